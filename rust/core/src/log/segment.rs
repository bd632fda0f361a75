//! Segment files: named by their first position, preallocated, append-only, immutable once full.
//!
//! ```text
//! header, 64 bytes
//!    0 magic 8           8 version u32         12 zero u32
//!   16 store id 16                             32 first position u64
//!   40 capacity u64     48 previous u32        52 zeros 8             60 checksum u32
//! frames, then zeros up to the capacity
//! ```

use std::io::ErrorKind;
use std::sync::Arc;

use uuid::Uuid;

use super::frame::{Record, StoreSeed};
use crate::bytes::Decoder;
use crate::error::{Corruption, StorageError};
use crate::storage::StorageFile;
use crate::threads::Mutex;

/// Bytes of a segment's header; the first frame follows.
pub const HEADER_BYTES: usize = 64;
/// The version of the log format.
pub const VERSION: u32 = 2;
/// The largest capacity: what a file claims beyond it is not believed, and offsets fit 32 bits.
pub const MAX_CAPACITY: u64 = 1 << 30;
/// How the names of segment files end.
pub const EXTENSION: &str = ".log";

const MAGIC: [u8; 8] = *b"cplog\r\n\x1a";
/// How much is looked at, and made zeros, in one go.
const WIPED_AT_ONCE: usize = 1 << 20;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// The store it belongs to.
    pub store: Uuid,
    /// The position of its first event.
    pub first_position: u64,
    /// The length the file was made with. A shorter file has lost its end, unless the segment is full.
    pub capacity: u64,
    /// The checksum of the last frame of the segment before, 0 for the first.
    pub previous: u32,
}

impl SegmentHeader {
    /// The header's bytes, and its checksum, which the first frame quotes.
    pub fn encode(&self) -> ([u8; HEADER_BYTES], u32) {
        let mut fields = Vec::with_capacity(HEADER_BYTES);
        fields.extend_from_slice(&MAGIC);
        fields.extend_from_slice(&VERSION.to_le_bytes());
        fields.extend_from_slice(&[0; 4]);
        fields.extend_from_slice(self.store.as_bytes());
        fields.extend_from_slice(&self.first_position.to_le_bytes());
        fields.extend_from_slice(&self.capacity.to_le_bytes());
        fields.extend_from_slice(&self.previous.to_le_bytes());
        fields.extend_from_slice(&[0; 8]);
        let checksum = crc32c::crc32c(&fields);
        fields.extend_from_slice(&checksum.to_le_bytes());
        (fields.try_into().expect("the fields above add up to the header"), checksum)
    }

    /// Reads a header and its checksum; an error says what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<(Self, u32), String> {
        let (header, _) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or("the file is shorter than a segment header")?;
        let (fields, checksum) = header.split_last_chunk::<4>().ok_or("no header")?;
        let checksum = u32::from_le_bytes(*checksum);
        let mut decoder = Decoder::new(fields);
        let mut decode = || {
            let (magic, version, _) = (decoder.array::<8>()?, decoder.u32()?, decoder.u32()?);
            let header = Self {
                store: Uuid::from_bytes(decoder.array()?),
                first_position: decoder.u64()?,
                capacity: decoder.u64()?,
                previous: decoder.u32()?,
            };
            Some((magic, version, header))
        };
        let (magic, version, header) = decode().ok_or("no header")?;
        if magic != MAGIC {
            return Err("not a segment of an event log".to_owned());
        }
        if crc32c::crc32c(fields) != checksum {
            return Err("the segment header's checksum is wrong".to_owned());
        }
        if version != VERSION {
            return Err(format!("log format version {version}, but this release reads version {VERSION}"));
        }
        if header.capacity > MAX_CAPACITY {
            return Err(format!("the capacity is {}, above the limit of {MAX_CAPACITY}", header.capacity));
        }
        Ok((header, checksum))
    }
}

/// The file name of the segment that begins at `first_position`.
pub fn file_name(first_position: u64) -> String {
    format!("{first_position:020}{EXTENSION}")
}

/// The first position of the segment with this file name; `None` if it is not the name of a segment.
pub fn first_position(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(EXTENSION).filter(|digits| digits.len() == 20)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// A segment as readers see it.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) first_position: u64,
    /// Kept, because every read and write may have to name it.
    name: String,
    pub(crate) file: Arc<dyn StorageFile>,
    /// What the last sync said.
    synced: Mutex<Result<(), StorageError>>,
}

impl Segment {
    pub(crate) fn new(first_position: u64, file: Arc<dyn StorageFile>) -> Self {
        Self { first_position, name: file_name(first_position), file, synced: Mutex::new(Ok(())) }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn len(&self) -> Result<u64, StorageError> {
        self.file.len().map_err(StorageError::io("measure", self.name()))
    }

    /// Reads the header and its checksum.
    pub(crate) fn header(&self) -> Result<(SegmentHeader, u32), StorageError> {
        let mut bytes = [0; HEADER_BYTES];
        let length = usize::try_from(self.len()?).map_or(HEADER_BYTES, |length| length.min(HEADER_BYTES));
        let bytes = bytes.get_mut(..length).expect("at most the header");
        self.read(bytes, 0)?;
        SegmentHeader::decode(bytes).map_err(|what| self.corrupt(0, what))
    }

    /// Reads bytes that are stored there: a file that ends before them has lost its end.
    pub(crate) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<(), StorageError> {
        self.file.read_exact_at(buffer, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => self.corrupt(offset, "the file ends before what is stored here"),
            _ => StorageError::io("read", self.name())(error),
        })
    }

    /// Reads up to `count` bytes from `offset` on, as far as the file goes. It may be cut behind its last frame meanwhile.
    pub(crate) fn read_some(
        &self,
        buffer: &mut Vec<u8>,
        offset: u64,
        count: u64,
    ) -> Result<(), StorageError> {
        let mut length = self.len()?;
        loop {
            let count = usize::try_from(count.min(length.saturating_sub(offset)));
            buffer.resize(count.expect("no more than memory holds is asked for"), 0);
            match self.file.read_exact_at(buffer, offset) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    let now = self.len()?;
                    if now >= length {
                        return Err(StorageError::io("read", self.name())(error));
                    }
                    length = now;
                }
                read => return read.map_err(StorageError::io("read", self.name())),
            }
        }
    }

    /// Reads if the bytes are in memory; `false` if the device would have to be waited for.
    pub(crate) fn read_cached(&self, buffer: &mut [u8], offset: u64) -> Result<bool, StorageError> {
        self.file.read_cached_at(buffer, offset).map_err(StorageError::io("read", self.name()))
    }

    /// Has the device begin to read what is needed soon.
    pub(crate) fn will_need(&self, offset: u64, length: u64) {
        self.file.will_need(offset, length);
    }

    /// Makes durable what is written. One sync at a time, and none after a failed one: the system tells of a failure
    /// once, so a second sync, such as the leader's at a rollover beside the housekeeper's, would succeed without the
    /// bytes being on the disk (I9).
    pub(crate) fn sync(&self) -> Result<(), StorageError> {
        let mut synced = self.synced.lock();
        if synced.is_ok() {
            *synced = self.file.sync_data().map_err(StorageError::io("sync", self.name()));
        }
        synced.clone()
    }

    /// Verifies a record that was read from this segment.
    pub(crate) fn record<'a>(
        &self,
        bytes: &'a [u8],
        seed: StoreSeed,
        position: u64,
        offset: u64,
    ) -> Result<Record<'a>, StorageError> {
        Record::decode(bytes, seed, position, offset).ok_or_else(|| {
            self.corrupt(offset, format!("the record of event {position} does not match its checksum"))
        })
    }

    /// Makes everything from the offset on zeros, durably.
    pub(crate) fn wipe(&self, from: u64) -> Result<(), StorageError> {
        let (mut offset, length) = (from, self.len()?);
        let mut bytes = Vec::new();
        while offset < length {
            let count =
                usize::try_from(length - offset).map_or(WIPED_AT_ONCE, |left| left.min(WIPED_AT_ONCE));
            bytes.resize(count, 0);
            self.read(&mut bytes, offset)?;
            if bytes.iter().any(|byte| *byte != 0) {
                bytes.fill(0);
                self.file.write_all_at(&bytes, offset).map_err(StorageError::io("wipe", self.name()))?;
            }
            offset += count as u64;
        }
        self.sync()
    }

    pub(crate) fn corrupt(&self, offset: u64, what: impl Into<String>) -> StorageError {
        StorageError::Corrupt(Corruption { file: self.name.clone(), offset, what: what.into() })
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::storage::MappedFile;

    /// Tells of a failed sync once, as Linux does.
    #[derive(Debug, Default)]
    struct FailsOnce(AtomicBool);

    impl StorageFile for FailsOnce {
        fn len(&self) -> io::Result<u64> {
            Ok(0)
        }
        fn read_exact_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
            Ok(())
        }
        fn preallocate(&self, _: u64, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn truncate(&self, _: u64) -> io::Result<()> {
            Ok(())
        }
        fn sync_data(&self) -> io::Result<()> {
            if self.0.swap(true, Ordering::SeqCst) { Ok(()) } else { Err(io::Error::other("lost")) }
        }
        fn sync_all(&self) -> io::Result<()> {
            self.sync_data()
        }
        fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    #[test]
    fn no_sync_of_a_segment_succeeds_after_one_that_failed() {
        let segment = Segment::new(1, Arc::new(FailsOnce::default()));
        assert!(segment.sync().is_err());
        assert!(segment.sync().is_err());
    }

    #[test]
    fn the_bytes_of_a_segment_header_are_those_of_version_2() {
        let store = Uuid::from_bytes([7; 16]);
        let header = SegmentHeader { store, first_position: 9, capacity: 4096, previous: 0x0A0B_0C0D };
        let expected = [
            &b"cplog\r\n\x1a\x02\0\0\0\0\0\0\0"[..],
            &[7; 16],
            b"\x09\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\x0D\x0C\x0B\x0A\0\0\0\0\0\0\0\0",
            &HEADER_CHECKSUM.to_le_bytes(),
        ];
        let (bytes, checksum) = header.encode();
        assert_eq!(bytes.to_vec(), expected.concat(), "the format has changed: it needs another version");
        assert_eq!(checksum, HEADER_CHECKSUM);
        assert_eq!(SegmentHeader::decode(&bytes), Ok((header, checksum)));
        assert_eq!(file_name(9), "00000000000000000009.log");
    }

    /// Computed by another program.
    const HEADER_CHECKSUM: u32 = 3_725_143_915;
}
