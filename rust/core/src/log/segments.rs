//! All segments of the log, of which only so many files are open at a time.

use std::sync::Arc;

use hashbrown::HashMap;

use super::segment::{self, Segment};
use crate::error::StorageError;
use crate::storage::Storage;
use crate::threads::RwLock;

/// How many segment files stay open, well below the 1,024 descriptors that a process usually may have. With segments of
/// full size they hold 16 GiB of log.
const MAX_OPEN: usize = 256;

/// The segments, in order of position.
#[derive(Debug)]
pub(crate) struct Segments {
    storage: Arc<dyn Storage>,
    firsts: RwLock<Vec<u64>>,
    open: RwLock<HashMap<u64, Arc<Segment>>>,
}

impl Segments {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, firsts: RwLock::default(), open: RwLock::default() }
    }

    /// Adds the next segment, which stays open for as long as it is the last one. One that is known stays as it is.
    pub(crate) fn push(&self, segment: Arc<Segment>) {
        let mut firsts = self.firsts.write();
        if firsts.last().is_some_and(|last| *last >= segment.first_position) {
            return;
        }
        firsts.push(segment.first_position);
        drop(firsts);
        self.keep_open(&segment);
    }

    /// Adds segments that nobody has opened yet.
    pub(crate) fn extend(&self, firsts: impl IntoIterator<Item = u64>) {
        self.firsts.write().extend(firsts);
    }

    /// The first positions of all that are known here.
    pub(crate) fn firsts(&self) -> Vec<u64> {
        self.firsts.read().clone()
    }

    pub(crate) fn len(&self) -> usize {
        self.firsts.read().len()
    }

    /// The first position of the segment that holds `position`, and that of the one after it.
    pub(crate) fn holding(&self, position: u64) -> Option<(u64, Option<u64>)> {
        let firsts = self.firsts.read();
        let after = firsts.partition_point(|first| *first <= position);
        Some((*firsts.get(after.checked_sub(1)?)?, firsts.get(after).copied()))
    }

    /// The segment that begins at `first`.
    pub(crate) fn get(&self, first: u64) -> Result<Arc<Segment>, StorageError> {
        if let Some(segment) = self.open.read().get(&first) {
            return Ok(Arc::clone(segment));
        }
        let name = segment::file_name(first);
        let file = self.storage.open(&name).map_err(StorageError::io("open", &name))?;
        let segment = Arc::new(Segment::new(first, file));
        self.keep_open(&segment);
        Ok(segment)
    }

    /// The bytes of all files.
    pub(crate) fn bytes(&self) -> Result<u64, StorageError> {
        let firsts = self.firsts.read().clone();
        firsts.into_iter().map(|first| self.get(first)?.len()).sum()
    }

    fn keep_open(&self, segment: &Arc<Segment>) {
        let last = self.firsts.read().last().copied();
        let mut open = self.open.write();
        // One at a time: to close a file takes up to 0.3 ms, and others may be waiting for the append lock meanwhile.
        if open.len() >= MAX_OPEN
            && let Some(oldest) = open.keys().copied().filter(|first| Some(*first) != last).min()
        {
            open.remove(&oldest);
        }
        open.insert(segment.first_position, Arc::clone(segment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::Memory;

    #[test]
    fn of_many_segments_so_many_are_open_and_the_last_one_always_is() {
        let storage = Arc::new(Memory::default());
        let segments = Segments::new(Arc::clone(&storage) as Arc<dyn Storage>);
        let count = MAX_OPEN as u64 + 10;
        for first in 1..=count {
            storage.create(&segment::file_name(first)).unwrap();
        }
        segments.extend(1..=count);
        for first in (1..=count).rev().chain(1..=count) {
            assert_eq!(segments.get(first).unwrap().first_position, first);
            assert!(segments.open.read().len() <= MAX_OPEN);
            assert!(segments.open.read().contains_key(&count));
        }
    }
}
