//! Following the marks of those who have a store open, without being one of them.
//!
//! Who only reads takes no lock for it and changes no word: it looks at a copy of the page. What it learns goes into marks of
//! its own, so that all else works as it does for a member.

use uuid::Uuid;

use super::marks::Sight;
use super::{MARKS_FILE, Marks};
use crate::error::{Corruption, StorageError};
use crate::log::Reach;
use crate::storage::{Memory, Storage};
use crate::threads::Mutex;

/// How often a copy is taken again that is not whole: a mark takes far longer to move twice than a copy takes.
const LOOKS: usize = 100;

#[derive(Debug)]
pub(crate) struct Watch {
    boot: u128,
    /// The copy, one look at a time.
    copy: Mutex<Marks>,
    /// The page as it was when the store was opened.
    first: Sight,
}

impl Watch {
    /// Looks for the first time.
    pub(crate) fn begin(storage: &dyn Storage, store: Uuid) -> Result<Self, StorageError> {
        let boot = storage.boot_id().map_err(StorageError::io("identify the boot for", MARKS_FILE))?;
        let copy = Marks::map(&Memory::default(), store)?;
        let first = look(storage, &copy)?;
        Ok(Self { boot, copy: Mutex::new(copy), first })
    }

    /// Refuses a log that ends before what the page knew to be durable when it was first looked at.
    pub(crate) fn check(&self, found: &Reach) -> Result<(), StorageError> {
        self.copy.lock().check(found)
    }

    /// How far the log was durable at the first look, as somebody said who has the store open.
    pub(crate) fn first_of_members(&self) -> Result<Reach, StorageError> {
        self.first.durable.ok_or_else(|| {
            corrupt("the file of the shared marks was removed or damaged while other processes have the store open")
        })
    }

    /// The same, if it was said since the system started: what an earlier run said need not be all.
    pub(crate) fn first_of_this_boot(&self) -> Option<Reach> {
        self.first.durable.filter(|_| self.first.boot == self.boot)
    }

    /// Whether somebody has opened the store since the first look.
    pub(crate) fn somebody_came(&self, storage: &dyn Storage) -> Result<bool, StorageError> {
        let now = look(storage, &self.copy.lock())?;
        Ok((now.store, now.epoch) != (self.first.store, self.first.epoch))
    }

    /// Brings the marks that are this reader's own up to what is durable now. They never go back (I5). Returns a number
    /// that changes whenever index files are made.
    pub(crate) fn follow(&self, storage: &dyn Storage, own: &Marks) -> Result<u64, StorageError> {
        let copy = self.copy.lock();
        let now = look(storage, &copy)?;
        if now.is_of_another && now.store != self.first.store {
            return Err(corrupt("another store has taken the place of this one: close it and open it again"));
        }
        // Marks of an earlier run of the system stay until somebody opens the store.
        if let Some(durable) = now.durable.filter(|_| now.boot == self.boot)
            && durable > own.durable()
        {
            if durable > own.written() {
                own.publish_written(durable);
            }
            own.publish_durable(durable);
        }
        Ok(now.index_generation)
    }
}

fn look(storage: &dyn Storage, copy: &Marks) -> Result<Sight, StorageError> {
    let mut looks = 0;
    loop {
        let found = storage.look_at_page(MARKS_FILE, copy.words_of_copy());
        if !found.map_err(StorageError::io("read", MARKS_FILE))? {
            return Ok(Sight::default());
        }
        let sight = copy.sight();
        looks += 1;
        if sight.durable.is_some() || sight.is_of_another || looks == LOOKS {
            return Ok(sight);
        }
    }
}

fn corrupt(what: &str) -> StorageError {
    StorageError::Corrupt(Corruption { file: MARKS_FILE.to_owned(), offset: 0, what: what.to_owned() })
}
