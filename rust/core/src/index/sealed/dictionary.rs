//! The dictionary: from a tag's hash to the events that hold it.
//!
//! A lookup reads two numbers of the directory and the dozen entries between them.

use super::Sealed;
use super::layout::ENTRY_BYTES;
use super::pages::Damaged;

/// Set in a value that refers to a list, clear in one that is the only event.
pub(super) const IS_LIST: u32 = 1 << 31;
/// Entries of a bucket are this many to twice as many, on average.
const ENTRIES_PER_BUCKET: u64 = 8;

/// What the dictionary says of a tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    /// It is on this event alone.
    Only(u32),
    /// Its list begins so many bytes into the postings.
    List(u64),
}

/// How many top bits choose the bucket among so many entries.
pub(super) fn directory_bits(entries: u64) -> u32 {
    (entries / ENTRIES_PER_BUCKET).checked_ilog2().unwrap_or_default().clamp(1, 30)
}

/// The bucket of a hash.
pub(super) fn bucket(hash: u64, directory_bits: u32) -> u64 {
    hash >> (64 - directory_bits)
}

impl Sealed {
    /// How many different tag hashes there are.
    pub(super) fn entry_count(&self) -> u32 {
        u32::try_from(self.header.sections.dictionary.length / ENTRY_BYTES).expect("checked with the header")
    }

    /// The entry with this number.
    pub(super) fn entry(&self, number: u32) -> Result<(u64, Value), Damaged> {
        let at = u64::from(number) * ENTRY_BYTES;
        let bytes: [u8; 12] = self.pages.array(self.header.sections.dictionary, at)?;
        let (hash, value) = split(&bytes);
        Ok((hash, self.value(value)?))
    }

    /// Looks a hash up.
    pub(super) fn find(&self, hash: u64) -> Result<Option<Value>, Damaged> {
        let (directory, dictionary) = (self.header.sections.directory, self.header.sections.dictionary);
        let at = bucket(hash, self.header.directory_bits) * 4;
        let bounds: [u8; 8] = self.pages.array(directory, at)?;
        let bounds = u64::from_le_bytes(bounds);
        let (start, end) = (bounds & u64::from(u32::MAX), bounds >> 32);
        let Some(count) = end.checked_sub(start) else {
            return Err(self.pages.damaged(directory.offset + at, "a bucket ends before it begins"));
        };
        let bytes = self.pages.bytes(dictionary, start * ENTRY_BYTES, count * ENTRY_BYTES)?;
        let (entries, _) = bytes.as_chunks::<12>();
        let place = entries.partition_point(|entry| split(entry).0 < hash);
        match entries.get(place).map(split) {
            Some((found, value)) if found == hash => self.value(value).map(Some),
            _ => Ok(None),
        }
    }

    fn value(&self, value: u32) -> Result<Value, Damaged> {
        if value & IS_LIST != 0 {
            return Ok(Value::List(u64::from(value & !IS_LIST) * u64::from(self.header.postings_unit)));
        }
        if value >= self.header.event_count {
            return Err(self
                .pages
                .damaged(self.header.sections.dictionary.offset, "an entry names no event"));
        }
        Ok(Value::Only(value))
    }
}

fn split(entry: &[u8; 12]) -> (u64, u32) {
    let (hash, value) = entry.split_at(8);
    let hash = hash.first_chunk().copied().map(u64::from_le_bytes);
    let value = value.first_chunk().copied().map(u32::from_le_bytes);
    (hash.unwrap_or_default(), value.unwrap_or_default())
}
