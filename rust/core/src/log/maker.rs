//! Makes segment files. The next one is prepared off the append path, by whichever process gets to it, for whichever
//! process needs it first.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use uuid::Uuid;

use super::recovery::End;
use super::segment::{self, Segment, SegmentHeader};
use crate::error::StorageError;
use crate::storage::{Storage, StorageFile, TEMPORARY};

/// The first segment is small, so that a small store is; each next one is twice as large, up to the store's limit.
pub(crate) const FIRST_SEGMENT_BYTES: u64 = 1 << 20;
/// A segment that has to be made while appends wait is this many times smaller than one that was prepared.
const UNPREPARED_IS_SMALLER: u64 = 16;
/// How much is zero-filled between two syncs when nobody waits for it: the syncs of appends meanwhile wait for as much
/// on the device, and no more.
const STEP_BYTES: u64 = 1 << 20;

/// Name of the file that is ready to become the next segment.
const READY: &str = "next.ready";
/// How the names of files begin that are being prepared.
const PREPARING: &str = "next-";

/// Whether a file of this name is one that was prepared, or nearly, to become a segment.
pub(crate) fn is_prepared(name: &str) -> bool {
    name == READY || (name.starts_with(PREPARING) && name.ends_with(TEMPORARY))
}

/// A file that will be a segment, and its name until then.
type Temporary = (String, Arc<dyn StorageFile>);

#[derive(Debug)]
pub(crate) struct SegmentMaker {
    storage: Arc<dyn Storage>,
}

impl SegmentMaker {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Makes a file of `capacity` bytes ready, so that the next rollover does not have to.
    pub(crate) fn prepare(&self, capacity: u64) -> Result<(), StorageError> {
        let (name, _) = self.preallocate(|file| {
            let mut filled = 0;
            while filled < capacity {
                let next = (filled + STEP_BYTES).min(capacity);
                file.preallocate(filled, next)?;
                file.sync_data()?;
                filled = next;
            }
            file.sync_all()
        })?;
        self.storage.rename(&name, READY).map_err(StorageError::io("rename", &name))
    }

    /// Whether there is a file that was made ready.
    pub(crate) fn is_ready(&self) -> Result<bool, StorageError> {
        match self.storage.open(READY) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            opened => opened.map(|_| true).map_err(StorageError::io("open", READY)),
        }
    }

    /// Removes a prepared file that nobody needs any more.
    pub(crate) fn discard(&self) -> Result<(), StorageError> {
        match self.storage.remove(READY) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                Err(StorageError::io("remove", READY)(error))
            }
            _ => Ok(()),
        }
    }

    /// Makes the segment that begins with `header`, with room for at least `least` bytes. Its capacity is that of the
    /// file that was prepared, if there is one.
    pub(crate) fn create(
        &self,
        mut header: SegmentHeader,
        least: u64,
    ) -> Result<(Arc<Segment>, End), StorageError> {
        let unprepared = (header.capacity / UNPREPARED_IS_SMALLER).max(FIRST_SEGMENT_BYTES);
        let (temporary, file) = match self.take_ready(least)? {
            Some(ready) => ready,
            None => {
                let capacity = unprepared.min(header.capacity).max(least);
                // Synced below, together with the header.
                self.preallocate(|file| file.preallocate(0, capacity))?
            }
        };
        header.capacity = file.len().map_err(StorageError::io("measure", &temporary))?;
        let (name, (bytes, checksum)) = (segment::file_name(header.first_position), header.encode());
        file.write_all_at(&bytes, 0).map_err(StorageError::io("write", &temporary))?;
        file.sync_all().map_err(StorageError::io("sync", &temporary))?;
        self.storage.rename(&temporary, &name).map_err(StorageError::io("rename", &temporary))?;
        self.storage.sync_directory().map_err(StorageError::io("sync the directory of", &name))?;
        Ok((Arc::new(Segment::new(header.first_position, file)), End::of_empty(header, checksum)))
    }

    /// The segments after the one that begins at `first`. They are not kept open: other files may get their names.
    pub(crate) fn segments_after(&self, first: u64) -> Result<Vec<Segment>, StorageError> {
        let names = self.storage.list().map_err(StorageError::io("list", "the store directory"))?;
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
        firsts.retain(|one| *one > first);
        firsts.sort_unstable();
        let open = |first| {
            let name = segment::file_name(first);
            let file = self.storage.open(&name).map_err(StorageError::io("open", &name))?;
            Ok(Segment::new(first, file))
        };
        firsts.into_iter().map(open).collect()
    }

    /// Removes all segments after the one that begins at `first`.
    pub(crate) fn remove_after(&self, first: u64) -> Result<(), StorageError> {
        let names = self.storage.list().map_err(StorageError::io("list", "the store directory"))?;
        for name in names.iter().filter(|name| segment::first_position(name).is_some_and(|one| one > first)) {
            self.storage.remove(name).map_err(StorageError::io("remove", name))?;
        }
        // One that came back after a power loss would not continue what is appended from here on.
        self.storage.sync_directory().map_err(StorageError::io("sync", "the store directory"))
    }

    /// Takes the file that is ready. It gets a name of our own first, under which nobody can replace it.
    fn take_ready(&self, least: u64) -> Result<Option<Temporary>, StorageError> {
        let name = temporary_name();
        match self.storage.rename(READY, &name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            renamed => renamed.map_err(StorageError::io("rename", READY))?,
        }
        let file = self.storage.open(&name).map_err(StorageError::io("open", &name))?;
        if file.len().map_err(StorageError::io("measure", &name))? >= least {
            return Ok(Some((name, file)));
        }
        self.storage.remove(&name).map_err(StorageError::io("remove", &name))?;
        Ok(None)
    }

    fn preallocate(
        &self,
        fill: impl FnOnce(&dyn StorageFile) -> io::Result<()>,
    ) -> Result<Temporary, StorageError> {
        let name = temporary_name();
        let file = self.storage.create(&name).map_err(StorageError::io("create", &name))?;
        fill(&*file).map_err(StorageError::io("preallocate", &name)).inspect_err(|_| {
            // A full disk gets its room back. Failing that, the first to open the store removes the file.
            drop(self.storage.remove(&name));
        })?;
        Ok((name, file))
    }
}

fn temporary_name() -> String {
    format!("{PREPARING}{}{TEMPORARY}", Uuid::new_v4().simple())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::storage::{LockFile, Memory, SharedPage};

    /// Memory that knows whether a removal is not durable yet.
    #[derive(Debug, Default)]
    struct Removals(Memory, AtomicBool);

    impl Storage for Removals {
        fn list(&self) -> io::Result<Vec<String>> {
            self.0.list()
        }
        fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
            self.0.create(name)
        }
        fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
            self.0.open(name)
        }
        fn rename(&self, from: &str, to: &str) -> io::Result<()> {
            self.0.rename(from, to)
        }
        fn remove(&self, name: &str) -> io::Result<()> {
            self.1.store(true, Ordering::SeqCst);
            self.0.remove(name)
        }
        fn sync_directory(&self) -> io::Result<()> {
            self.1.store(false, Ordering::SeqCst);
            self.0.sync_directory()
        }
        fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
            self.0.lock_file(name)
        }
        fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
            self.0.shared_page(name)
        }
        fn boot_id(&self) -> io::Result<u128> {
            self.0.boot_id()
        }
    }

    #[test]
    fn the_removal_of_segments_that_nobody_knows_of_is_durable() {
        let storage = Arc::new(Removals::default());
        for first in [1, 5, 9] {
            storage.create(&segment::file_name(first)).unwrap();
        }
        storage.create("cursors").unwrap();
        SegmentMaker::new(Arc::clone(&storage) as Arc<dyn Storage>).remove_after(1).unwrap();
        let mut names = storage.list().unwrap();
        names.sort();
        assert_eq!(names, [segment::file_name(1), "cursors".to_owned()]);
        assert!(
            !storage.1.load(Ordering::SeqCst),
            "one that comes back after a power loss continues another log"
        );
    }
}
