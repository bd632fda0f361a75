//! The decoders of bytes from disk that are not public, for the fuzz targets in `rust/core/fuzz`. Not part of the API.

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

use uuid::Uuid;

use crate::condition::{self, AppendCondition};
use crate::cursors::{self, Positions};
use crate::index::Direction;
use crate::index::sealed::{MergeError, Sealed, merge};
use crate::query::Query;
use crate::storage::{MappedFile, Memory, Storage};

/// Reads the conditions of an append as the log keeps them.
pub fn decode_conditions(bytes: &[u8]) -> Option<Vec<AppendCondition>> {
    condition::decode(bytes)
}

/// The bytes of conditions that are within the limits.
pub fn encode_conditions(conditions: &[AppendCondition]) -> Option<Vec<u8>> {
    condition::encode(conditions).ok()
}

/// Reads the file of the cursors.
pub fn decode_cursors(bytes: &[u8]) -> Option<Positions> {
    cursors::decode(bytes)
}

/// The bytes of the file of these cursors.
pub fn encode_cursors(positions: &Positions) -> Vec<u8> {
    cursors::encode(positions)
}

/// An index file in memory.
#[derive(Debug)]
pub struct IndexFile(Arc<Sealed>);

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl MappedFile for Bytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, _: Range<usize>) {}
}

impl IndexFile {
    /// Opens the bytes of a file of this name; an error says what is wrong.
    pub fn open(name: &str, bytes: Vec<u8>, store: Uuid) -> Result<Self, String> {
        let sealed = Sealed::open(name, Arc::new(Bytes(bytes)), store).map_err(|error| error.to_string())?;
        Ok(Self(Arc::new(sealed)))
    }

    /// The positions of its events.
    pub fn positions(&self) -> RangeInclusive<u64> {
        self.0.positions()
    }

    /// Its first candidates for a query, at most so many.
    pub fn candidates(&self, query: &Query, reverse: bool, most: usize) -> Result<Vec<u64>, String> {
        let direction = if reverse { Direction::Backward } else { Direction::Forward };
        let found = self.0.matches(query, 0..=u64::MAX, direction).map_err(|error| error.to_string())?;
        found.take(most).collect::<Result<_, _>>().map_err(|error| error.to_string())
    }

    /// The offset of an event in its segment, and the most bytes that it takes there.
    pub fn location(&self, position: u64) -> Result<Option<(u32, Option<u32>)>, String> {
        let location = self.0.location(position).map_err(|error| error.to_string())?;
        Ok(location.map(|found| (found.offset, found.length_bound)))
    }

    /// Checks every page and counts the postings of all tags.
    pub fn check(&self) -> Result<u64, String> {
        let pages = (0..self.0.page_count()).try_for_each(|page| self.0.check_page(page));
        let counted = pages.and_then(|()| self.0.count_postings(0..self.0.tag_count()));
        counted.map_err(|error| error.to_string())
    }

    /// Writes the file anew, as merging does.
    pub fn rewrite(&self) -> Result<Vec<u8>, String> {
        let file = Memory::default().create("file").map_err(|error| error.to_string())?;
        merge(&[Arc::clone(&self.0)], &*file).map_err(|error: MergeError| error.to_string())?;
        Ok(file.map().map_err(|error| error.to_string())?.bytes().to_vec())
    }
}
