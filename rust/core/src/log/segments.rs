//! All segments of the log, of which only so many files are open at a time.

use std::sync::Arc;

use hashbrown::HashMap;

use super::segment::{self, Segment};
use crate::error::StorageError;
use crate::storage::Storage;
use crate::threads::RwLock;

/// How many segment files stay open. With segments of full size they hold 4 GiB of log.
const MAX_OPEN: usize = 64;

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
        if open.len() >= MAX_OPEN {
            // All at once: cheap to decide, and what is still in use is open again after one call.
            open.retain(|first, _| Some(*first) == last);
        }
        open.insert(segment.first_position, Arc::clone(segment));
    }
}
