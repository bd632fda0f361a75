//! Locks that both the threads and the processes of a store agree on.

use std::sync::{Arc, MutexGuard};

use super::{Marks, Member};
use crate::error::StorageError;
use crate::storage::{LockFile, LockKind, Storage};
use crate::threads::Mutex;

/// One of the store's locks. Its mutex is for the threads of this handle, the file for all others.
#[derive(Debug)]
pub(crate) struct SharedLock {
    name: &'static str,
    file: Mutex<Box<dyn LockFile>>,
}

/// The locks of an open store, but for those of its membership.
#[derive(Debug)]
pub(crate) struct Locks {
    pub(crate) append: SharedLock,
    pub(crate) sync: SharedLock,
    pub(crate) cursors: SharedLock,
    pub(crate) prepare: SharedLock,
    pub(crate) index: Arc<SharedLock>,
    /// What tells the locks' files from others of the same names.
    pub(crate) ids: Vec<u64>,
}

impl Locks {
    pub(crate) fn open(storage: &dyn Storage, member: &Member) -> Result<Self, StorageError> {
        let open = |name| SharedLock::open(storage, name);
        let (append, sync, cursors) =
            (open(SharedLock::APPEND)?, open(SharedLock::SYNC)?, open(SharedLock::CURSORS)?);
        let (prepare, index) = (open(SharedLock::PREPARE)?, Arc::new(open(SharedLock::INDEX)?));
        let ids =
            vec![member.lock_id()?, append.id()?, sync.id()?, cursors.id()?, index.id()?, prepare.id()?];
        Ok(Self { append, sync, cursors, prepare, index, ids })
    }
}

/// The lock while it is held.
#[derive(Debug)]
pub(crate) struct Held<'a>(MutexGuard<'a, Box<dyn LockFile>>);

impl SharedLock {
    /// Who becomes, or ceases to be, a member.
    pub(crate) const MEMBERS: &'static str = "members.lock";
    /// Who appends to the log and moves the written mark.
    pub(crate) const APPEND: &'static str = "append.lock";
    /// Who syncs the log and moves the durable mark.
    pub(crate) const SYNC: &'static str = "sync.lock";
    /// Who makes the next segment ready.
    pub(crate) const PREPARE: &'static str = "prepare.lock";
    /// Who makes and removes index files.
    pub(crate) const INDEX: &'static str = "index.lock";
    /// Who changes the cursors.
    pub(crate) const CURSORS: &'static str = "cursors.lock";

    pub(crate) fn open(storage: &dyn Storage, name: &'static str) -> Result<Self, StorageError> {
        let file = storage.lock_file(name).map_err(StorageError::io("open", name))?;
        Ok(Self { name, file: Mutex::new(file) })
    }

    /// Waits for the lock.
    pub(crate) fn hold(&self) -> Result<Held<'_>, StorageError> {
        let file = self.file.lock();
        file.lock().map_err(StorageError::io("lock", self.name))?;
        Ok(Held(file))
    }

    /// Waits for the lock, after those who have waited long.
    pub(crate) fn hold_in_turn(&self, marks: &Marks) -> Result<Held<'_>, StorageError> {
        marks.turns().step_back();
        if let Some(held) = self.try_hold()? {
            return Ok(held);
        }
        let turn = marks.turns().begin();
        let held = self.hold();
        // It may have been long.
        marks.check_intact()?;
        drop(turn);
        held
    }

    /// Takes the lock unless somebody has it.
    pub(crate) fn try_hold(&self) -> Result<Option<Held<'_>>, StorageError> {
        let Some(file) = self.file.try_lock() else { return Ok(None) };
        let locked = file.try_lock(LockKind::Exclusive).map_err(StorageError::io("lock", self.name))?;
        Ok(locked.then(|| Held(file)))
    }

    /// Tells the lock's file from one that took its name.
    pub(crate) fn id(&self) -> Result<u64, StorageError> {
        self.file.lock().id().map_err(StorageError::io("identify", self.name))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Failing that, the lock goes when its file is closed.
        drop(self.0.unlock());
    }
}
