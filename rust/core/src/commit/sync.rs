//! How far the log is durable, who makes it so, and who waits for it.

use std::fmt::Display;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::error::StorageError;
use crate::log::Reach;
use crate::processes::Marks;
use crate::store::Durability;

/// One sync at a time, for everybody who waits; and poison, once one has failed.
#[derive(Debug)]
pub(crate) struct Syncer {
    pub(crate) marks: Marks,
    durability: Durability,
    state: Mutex<State>,
    synced: Condvar,
    /// Guards nothing: it orders a change of the visible head and the waiting for one.
    head: Mutex<()>,
    head_moved: Condvar,
    poison: OnceLock<String>,
}

#[derive(Debug)]
struct State {
    durable: Arc<Reach>,
    written: Arc<Reach>,
    syncing: bool,
}

impl Syncer {
    /// Starts where everything written is durable.
    pub(crate) fn new(marks: Marks, reach: Reach, durability: Durability) -> Self {
        let reach = Arc::new(reach);
        Self {
            marks,
            durability,
            state: Mutex::new(State { durable: Arc::clone(&reach), written: reach, syncing: false }),
            synced: Condvar::new(),
            head: Mutex::new(()),
            head_moved: Condvar::new(),
            poison: OnceLock::new(),
        }
    }

    /// The last position that readers see.
    pub(crate) fn visible(&self) -> u64 {
        match self.durability {
            Durability::Fsync => self.marks.durable(),
            Durability::Os { .. } => self.marks.written(),
        }
    }

    /// How far the log is known to be durable.
    pub(crate) fn durable(&self) -> Arc<Reach> {
        Arc::clone(&self.state.lock().durable)
    }

    /// The log has been written up to here.
    pub(crate) fn wrote(&self, written: Reach) {
        self.marks.publish_written(written.position);
        self.state.lock().written = Arc::new(written);
        if let Durability::Os { .. } = self.durability {
            self.head_moves();
        }
    }

    /// Returns once everything up to `position` is acknowledged as the store promises.
    pub(crate) fn settle(&self, position: u64) -> Result<(), StorageError> {
        match self.durability {
            Durability::Fsync => self.make_durable(position),
            // What is written is acknowledged, and visible.
            Durability::Os { .. } => Ok(()),
        }
    }

    /// Returns once everything up to `position` is durable. Whoever finds no sync in progress does one, for all.
    pub(crate) fn make_durable(&self, position: u64) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        while state.durable.position < position {
            self.check()?;
            if state.syncing {
                self.synced.wait(&mut state);
            } else {
                self.sync(&mut state);
            }
        }
        Ok(())
    }

    /// Syncs all that is written, events or not.
    pub(crate) fn sync_now(&self) -> Result<(), StorageError> {
        let mut state = self.state.lock();
        while state.syncing {
            self.synced.wait(&mut state);
        }
        self.sync(&mut state);
        self.check()
    }

    /// One sync, with the state unlocked meanwhile.
    fn sync(&self, state: &mut MutexGuard<'_, State>) {
        state.syncing = true;
        let written = Arc::clone(&state.written);
        let synced = MutexGuard::unlocked(state, || written.segment.sync());
        state.syncing = false;
        match synced {
            Ok(()) => {
                self.marks.publish_durable(written.position);
                state.durable = written;
            }
            Err(error) => self.fail(&error),
        }
        self.synced.notify_all();
        self.head_moves();
    }

    /// Waits until the visible head is past `after`, `timeout` has run out, or `give_up` says so when woken.
    pub(crate) fn wait(&self, after: u64, timeout: Duration, give_up: impl Fn() -> bool) {
        let until = Instant::now().checked_add(timeout);
        let mut guard = self.head.lock();
        while self.visible() <= after && !give_up() {
            match until {
                Some(until) if self.head_moved.wait_until(&mut guard, until).timed_out() => return,
                Some(_) => {}
                None => self.head_moved.wait(&mut guard),
            }
        }
    }

    /// Wakes everybody who waits for the head.
    pub(crate) fn head_moves(&self) {
        drop(self.head.lock());
        self.head_moved.notify_all();
    }

    /// From here on nothing is acknowledged until the store has been opened again: a failed write or sync leaves it
    /// unknown what the disk has, and trying again would not tell (I9).
    pub(crate) fn fail(&self, cause: &dyn Display) {
        let _the_first_cause_stays = self.poison.set(cause.to_string());
        self.marks.poison();
        self.synced.notify_all();
    }

    /// The poison, if there is any.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.poison.get() {
            Some(cause) => Err(StorageError::Poisoned { cause: cause.clone() }),
            None => Ok(()),
        }
    }
}
