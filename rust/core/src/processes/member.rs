//! Becoming a member of a store, and ceasing to be one.
//!
//! A member holds a shared lock on the directory for as long as it has the store open; whoever gets an exclusive one is
//! alone. The first member recovers the log, and the last one closes it in order. The directory itself is locked, and
//! not a file in it, because a file can be removed under its holders.

use std::io::ErrorKind;
use std::thread;
use std::time::{Duration, Instant};

use super::Marks;
use super::lock::{Held, SharedLock};
use crate::error::{OpenError, StorageError};
use crate::log::segment;
use crate::storage::{DIRECTORY, LockFile, LockKind, Storage};

/// How long one that was killed may keep the directory to itself. Its locks go one after the other, so it may have lost
/// that of the members already; nobody else has the directory to itself without it, but for who wants to be alone.
const DYING: Duration = Duration::from_secs(2);
const BETWEEN_LOOKS: Duration = Duration::from_millis(1);

/// This handle's membership.
#[derive(Debug)]
pub(crate) struct Member {
    directory: Box<dyn LockFile>,
    members: SharedLock,
    exclusive: bool,
}

/// A membership that begins: nobody else can begin or end one until it is dropped.
#[derive(Debug)]
pub(crate) struct Entry<'a> {
    member: &'a Member,
    _held: Held<'a>,
    /// Whether there is no other member.
    pub(crate) is_first: bool,
}

impl Member {
    pub(crate) fn new(storage: &dyn Storage, exclusive: bool) -> Result<Self, StorageError> {
        let directory =
            storage.lock_file(DIRECTORY).map_err(StorageError::io("open", "the store directory"))?;
        Ok(Self { directory, members: SharedLock::open(storage, SharedLock::MEMBERS)?, exclusive })
    }

    pub(crate) fn lock_id(&self) -> Result<u64, StorageError> {
        self.members.id()
    }

    /// Becomes a member, the first or one of several.
    pub(crate) fn enter(&self, storage: &dyn Storage) -> Result<Entry<'_>, OpenError> {
        let held = self.members.hold()?;
        let until = Instant::now() + DYING;
        loop {
            let is_first = self.try_lock(LockKind::Exclusive)?;
            if is_first || (!self.exclusive && self.try_lock(LockKind::Shared)?) {
                return Ok(Entry { member: self, _held: held, is_first });
            }
            let pid = if has_log(storage)? { Marks::exclusive_holder(storage) } else { None };
            if self.exclusive || pid.is_some() || Instant::now() >= until {
                return Err(OpenError::Locked { pid, wants_alone: self.exclusive });
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Ceases to be a member. Calls `last` first if there is no other one.
    pub(crate) fn leave(&self, last: impl FnOnce()) -> Result<(), StorageError> {
        let held = self.members.hold()?;
        if self.try_lock(LockKind::Exclusive)? {
            last();
        }
        let left = self.directory.unlock().map_err(StorageError::io("unlock", "the store directory"));
        drop(held);
        left
    }

    fn try_lock(&self, kind: LockKind) -> Result<bool, StorageError> {
        self.directory.try_lock(kind).map_err(StorageError::io("lock", "the store directory"))
    }
}

/// Whether there is a log. Before there is one nobody can be alone with it, and to look into the marks would make them.
fn has_log(storage: &dyn Storage) -> Result<bool, StorageError> {
    let names = storage.list().map_err(StorageError::io("list", "the store directory"))?;
    Ok(names.iter().any(|name| segment::first_position(name).is_some()))
}

/// The members as they are, for one who will be none. Nobody begins or ends a membership until it is dropped: so who opens
/// the store at this moment is not missed, and does not take the question for another member.
#[derive(Debug)]
pub(crate) struct Memberships {
    /// Whether anybody has the store open.
    pub(crate) any: bool,
    _held: Option<Box<dyn LockFile>>,
}

impl Memberships {
    /// Waits until nobody is beginning or ending one.
    pub(crate) fn look(storage: &dyn Storage) -> Result<Self, StorageError> {
        let members = match storage.lock_file(SharedLock::MEMBERS) {
            // Whoever opens a store makes it first.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self { any: false, _held: None }),
            found => found.map_err(StorageError::io("open", SharedLock::MEMBERS))?,
        };
        members.lock().map_err(StorageError::io("lock", SharedLock::MEMBERS))?;
        let directory =
            storage.lock_file(DIRECTORY).map_err(StorageError::io("open", "the store directory"))?;
        let alone = directory.try_lock(LockKind::Exclusive);
        let any = !alone.map_err(StorageError::io("lock", "the store directory"))?;
        Ok(Self { any, _held: Some(members) })
    }
}

impl Entry<'_> {
    /// Lets others in.
    pub(crate) fn complete(self) -> Result<(), StorageError> {
        if self.is_first && !self.member.exclusive {
            // Nobody can come between the two locks: whoever wants one waits for the entry to be over.
            self.member.try_lock(LockKind::Shared)?;
        }
        Ok(())
    }
}
