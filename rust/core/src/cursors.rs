//! Named cursors: positions that outlive the process, moved by compare-and-set.
//!
//! ```text
//! magic 8 | version u32 | count u32 | count x (length u8, name, position u64) | checksum u32
//! ```

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Arc, RwLockReadGuard};

use crate::bytes::{Decoder, length32, put_short_text};
use crate::error::{Corruption, ReadError, StorageError};
use crate::limits::{self, MAX_CURSORS, MAX_TEXT_BYTES};
use crate::processes::SharedLock;
use crate::storage::{self, Storage};
use crate::threads::RwLock;

/// Name of the file that holds the cursors.
pub(crate) const CURSORS_FILE: &str = "cursors";

const MAGIC: [u8; 8] = *b"cpcursor";
const VERSION: u32 = 1;
/// The file with as many cursors as there may be, with names as long as they may be.
const MAX_FILE_BYTES: usize = 20 + MAX_CURSORS * (1 + MAX_TEXT_BYTES + 8);

/// The cursors of one store. All are in one small file, which is replaced as a whole.
#[derive(Debug)]
pub(crate) struct Cursors {
    storage: Arc<dyn Storage>,
    /// Held, among all processes, from reading the file until it is replaced.
    lock: SharedLock,
    closed: RwLock<bool>,
}

/// Where the cursors are, by name.
pub type Positions = BTreeMap<String, u64>;

impl Cursors {
    pub(crate) fn new(storage: Arc<dyn Storage>, lock: SharedLock) -> Self {
        Self { storage, lock, closed: RwLock::new(false) }
    }

    /// The cursor's position, 0 if it was never set.
    pub(crate) fn get(&self, name: &str) -> Result<u64, ReadError> {
        limits::text("cursor name", name)?;
        let _open = self.open()?;
        Ok(load(&*self.storage)?.get(name).copied().unwrap_or_default())
    }

    /// Moves the cursor if it stands where `expected` says; durable on return. `false` if it stands elsewhere.
    pub(crate) fn set(&self, name: &str, position: u64, expected: Option<u64>) -> Result<bool, ReadError> {
        limits::text("cursor name", name)?;
        let _open = self.open()?;
        let _held = self.lock.hold()?;
        let mut positions = load(&*self.storage)?;
        if expected.is_some_and(|expected| expected != positions.get(name).copied().unwrap_or_default()) {
            return Ok(false);
        }
        positions.insert(name.to_owned(), position);
        limits::at_most("cursors of a store", positions.len(), MAX_CURSORS)?;
        storage::replace(&*self.storage, CURSORS_FILE, &encode(&positions))
            .map_err(StorageError::io("replace", CURSORS_FILE))?;
        Ok(true)
    }

    /// Refuses what comes now and returns once what is under way is done: after that the file may be another handle's.
    pub(crate) fn close(&self) {
        *self.closed.write() = true;
    }

    fn open(&self) -> Result<RwLockReadGuard<'_, bool>, ReadError> {
        Some(self.closed.read()).filter(|closed| !**closed).ok_or(ReadError::Closed)
    }
}

/// All cursors; none if there is no file.
pub(crate) fn load(storage: &dyn Storage) -> Result<Positions, StorageError> {
    let bytes = match read_all(storage) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Positions::new()),
        Err(error) => return Err(StorageError::io("read", CURSORS_FILE)(error)),
    };
    decode(&bytes).ok_or_else(|| {
        let what = "the cursors do not match their checksum".to_owned();
        StorageError::Corrupt(Corruption { file: CURSORS_FILE.to_owned(), offset: 0, what })
    })
}

fn read_all(storage: &dyn Storage) -> std::io::Result<Vec<u8>> {
    let file = storage.open(CURSORS_FILE)?;
    // A longer file is not ours: what is read of it does not match its checksum.
    let length = file.len()?.min(MAX_FILE_BYTES as u64);
    let mut bytes = vec![0; usize::try_from(length).expect("bounded by MAX_FILE_BYTES")];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// The bytes of the file that holds these.
pub(crate) fn encode(positions: &Positions) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&length32(positions.len()).to_le_bytes());
    for (name, position) in positions {
        put_short_text(&mut out, name);
        out.extend_from_slice(&position.to_le_bytes());
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

pub(crate) fn decode(bytes: &[u8]) -> Option<Positions> {
    let (fields, checksum) = bytes.split_last_chunk::<4>()?;
    let mut decoder = Decoder::new(fields);
    let valid = crc32c::crc32c(fields) == u32::from_le_bytes(*checksum)
        && decoder.array()? == MAGIC
        && decoder.u32()? == VERSION;
    if !valid {
        return None;
    }
    let count = decoder.u32()?;
    let positions = (0..count)
        .map(|_| Some((decoder.short_text()?.to_owned(), decoder.u64()?)))
        .collect::<Option<_>>()?;
    decoder.is_empty().then_some(positions)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_cursors_are_those_of_version_1() {
        let positions =
            Positions::from([("b".to_owned(), 2), ("é".to_owned(), u64::MAX), ("a".to_owned(), 1)]);
        let expected = [
            &b"cpcursor\x01\0\0\0\x03\0\0\0"[..],
            b"\x01a\x01\0\0\0\0\0\0\0\x01b\x02\0\0\0\0\0\0\0",
            b"\x02\xC3\xA9\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF",
            &CHECKSUM.to_le_bytes(),
        ];
        let bytes = encode(&positions);
        assert_eq!(bytes, expected.concat(), "the format has changed: it needs another version");
        assert_eq!(decode(&bytes), Some(positions));
    }

    /// Computed by another program.
    const CHECKSUM: u32 = 619_698_967;
}
