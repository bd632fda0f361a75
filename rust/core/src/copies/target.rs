//! A directory that becomes a store: not before all that is in it is durable.
//!
//! A marker is in it from the moment on at which it appears, and is removed last. A temporary name and a rename would do
//! as well for what is there, but not for what is not: opening the path of a backup that was broken off would find nothing
//! and make an empty store. And a directory that is given, such as one that a volume is mounted at, cannot be replaced.

use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use crate::cursors::CURSORS_FILE;
use crate::error::{CopyError, Corruption, OpenError, StorageError};
use crate::index::sealed;
use crate::log::{Reach, is_prepared, segment};
use crate::processes::{MARKS_FILE, Marks};
use crate::storage::{DIRECTORY, Disk, LockFile, LockKind, Storage};
use crate::verify::{Finding, FindingKind, Verification, Verify};

/// The file by which a copy that is not finished is known.
pub(super) const MARKER: &str = "unfinished";
const TEXT: &str =
    "This directory was to become a copy of a Counterpoint store and has not yet: its making is under way, or
was broken off. It is no store. Make the copy again, to this path if you like, or remove the directory.
";

/// Refuses to open a directory with these files if it is a copy that is not finished.
pub(crate) fn refuse_unfinished(names: &[String]) -> Result<(), OpenError> {
    if is_unfinished(names) { Err(OpenError::Unfinished) } else { Ok(()) }
}

/// Whether a directory with these files is a copy that is not finished.
pub(super) fn is_unfinished(names: &[String]) -> bool {
    names.iter().any(|name| name == MARKER)
}

pub(super) fn list(storage: &dyn Storage) -> Result<Vec<String>, StorageError> {
    storage.list().map_err(StorageError::io("list", "the directory"))
}

/// The directory while it is filled. Dropped before it is finished, it gives its room back; the marker stays.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) storage: Arc<dyn Storage>,
    /// Held for as long as this lives: another copy to the same place, and whoever would open a store there, is kept out.
    _lock: Box<dyn LockFile>,
    is_finished: bool,
}

impl Target {
    /// Makes the directory, or takes one that is empty or has a copy that was broken off.
    pub(super) fn at(path: &Path) -> Result<Self, CopyError> {
        let about = |source| CopyError::Path { path: path.to_owned(), source };
        let disk = Disk::open_marked(path, MARKER, TEXT).map_err(about)?;
        Self::begin(Arc::new(disk)).map_err(|error| error.about_path(path))
    }

    /// Takes a directory that is empty or has a copy that was broken off.
    pub(super) fn begin(storage: Arc<dyn Storage>) -> Result<Self, CopyError> {
        let lock =
            storage.lock_file(DIRECTORY).map_err(StorageError::io("open", "the directory of the copy"))?;
        let locked = lock.try_lock(LockKind::Exclusive);
        if !locked.map_err(StorageError::io("lock", "the directory of the copy"))? {
            return Err(CopyError::InUse);
        }
        let names = list(&*storage)?;
        let is_marked = names.iter().any(|name| name == MARKER);
        let foreign = names.into_iter().find(|name| name != MARKER && !(is_marked && is_ours(name)));
        if let Some(name) = foreign {
            return Err(CopyError::NotEmpty { name });
        }
        if !is_marked {
            let marker = storage.create(MARKER).map_err(StorageError::io("create", MARKER))?;
            marker
                .write_all_at(TEXT.as_bytes(), 0)
                .and_then(|()| marker.sync_all())
                .map_err(StorageError::io("write", MARKER))?;
        }
        storage.sync_directory().map_err(StorageError::io("sync", "the directory of the copy"))?;
        let target = Self { storage, _lock: lock, is_finished: false };
        target.clear()?;
        Ok(target)
    }

    /// Writes the marks of a log that ends here. They bear witness: should the copy lose its end, that is noticed when it is
    /// opened.
    pub(super) fn write_marks(&self, store: Uuid, end: Reach) -> Result<(), StorageError> {
        self.write(MARKS_FILE, &Marks::of_closed(store, end)?)
    }

    /// Writes a small file.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let file = self.storage.create(name).map_err(StorageError::io("create the copy of", name))?;
        let written = file.write_all_at(bytes, 0).and_then(|()| file.sync_all());
        written.map_err(StorageError::io("write the copy of", name))
    }

    /// Makes the names of all files durable.
    pub(super) fn sync(&self) -> Result<(), StorageError> {
        self.storage.sync_directory().map_err(StorageError::io("sync", "the directory of the copy"))
    }

    /// From here on this is a store.
    pub(super) fn finish(mut self) -> Result<(), StorageError> {
        self.sync()?;
        // Whether the marker is gone is not known once its removal has been tried.
        self.is_finished = true;
        self.storage.remove(MARKER).map_err(StorageError::io("remove", MARKER))?;
        self.sync()
    }

    fn clear(&self) -> Result<(), StorageError> {
        for name in list(&*self.storage)?.iter().filter(|name| is_ours(name)) {
            self.storage.remove(name).map_err(StorageError::io("remove", name))?;
        }
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if !self.is_finished {
            // Failing that, the next copy to this place does it.
            drop(self.clear());
        }
    }
}

/// Whether a file of this name can be a part of a copy.
fn is_ours(name: &str) -> bool {
    segment::first_position(name).is_some()
        || sealed::file_positions(name).is_some()
        || is_prepared(name)
        || [MARKS_FILE, CURSORS_FILE].contains(&name)
}

/// The verification of a copy. Nothing is lost with an index file in which something is found: the copy does without it.
#[derive(Debug)]
pub(super) struct Check {
    storage: Arc<dyn Storage>,
    head: u64,
    verify: Verify,
    is_again: bool,
}

impl Check {
    pub(super) fn begin(target: &Target, head: u64) -> Result<Self, CopyError> {
        let storage = Arc::clone(&target.storage);
        Ok(Self { verify: Verify::of_storage(Arc::clone(&storage))?, storage, head, is_again: false })
    }

    /// Does a piece of it; the outcome once it is over.
    pub(super) fn step(&mut self) -> Result<Option<Verification>, CopyError> {
        if self.verify.step()? {
            return Ok(None);
        }
        let result =
            std::mem::replace(&mut self.verify, Verify::of_storage(Arc::clone(&self.storage))?).result();
        let is_index = |finding: &&Finding| finding.kind == FindingKind::Index;
        let has_index = result.findings.iter().any(|finding| is_index(&finding));
        let serious = |kind| kind == FindingKind::Log || (kind == FindingKind::Index && self.is_again);
        if let Some(finding) = result.findings.iter().find(|finding| serious(finding.kind)) {
            let Finding { file, offset, what, .. } = finding.clone();
            let (first, count) = (Corruption { file, offset, what }, result.finding_count);
            return Err(CopyError::Unverified { first, count });
        }
        if !has_index {
            return self.whole(result).map(Some);
        }
        for name in list(&*self.storage)?.iter().filter(|name| sealed::file_positions(name).is_some()) {
            if result.findings.iter().any(|finding| finding.file == *name) {
                self.storage.remove(name).map_err(StorageError::io("remove", name))?;
            }
        }
        self.is_again = true;
        self.verify = Verify::of_storage(Arc::clone(&self.storage))?;
        Ok(None)
    }

    /// A copy that verifies but ends early is none.
    fn whole(&self, result: Verification) -> Result<Verification, CopyError> {
        if result.head == self.head {
            return Ok(result);
        }
        let what = format!("the copy ends at position {} and not at {}", result.head, self.head);
        let first = Corruption { file: segment::file_name(1), offset: 0, what };
        Err(CopyError::Unverified { first, count: 1 })
    }
}
