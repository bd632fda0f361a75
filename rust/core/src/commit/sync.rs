//! How far the log is durable, who makes it so, and who waits for it.
//!
//! One sync at a time, for everybody in all processes: whoever finds the sync lock free takes it, syncs all that is
//! written, moves the durable mark, wakes those whose batches are durable now, and calls one of the others to do the
//! next sync. Should the syncer die, its lock is free again, and those who wait look after a moment.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::StorageError;
use crate::log::{Reach, Segments};
use crate::processes::{Bell, Marks, SharedLock};
use crate::store::Durability;

/// How long a waiter trusts that whoever holds the sync lock is alive and will ring the bell.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a waiter for new events sleeps without looking: a process that was killed before it rang is late by this.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Makes the log durable, and knows whether it still can.
#[derive(Debug)]
pub(crate) struct Syncer {
    pub(crate) marks: Arc<Marks>,
    lock: SharedLock,
    segments: Arc<Segments>,
    durability: Durability,
}

impl Syncer {
    pub(crate) fn new(
        marks: Arc<Marks>,
        lock: SharedLock,
        segments: Arc<Segments>,
        durability: Durability,
    ) -> Self {
        Self { marks, lock, segments, durability }
    }

    /// The last position that readers see.
    pub(crate) fn visible(&self) -> u64 {
        self.visible_reach().position
    }

    /// The place in the log up to which readers see it.
    pub(crate) fn visible_reach(&self) -> Reach {
        match self.durability {
            Durability::Fsync => self.marks.durable(),
            Durability::Os { .. } => self.marks.written(),
        }
    }

    /// The log has been written up to here. For the holder of the append lock.
    pub(crate) fn wrote(&self, written: Reach) {
        self.marks.publish_written(written);
        if let Durability::Os { .. } = self.durability {
            self.marks.ring(Bell::Head);
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

    /// Returns once everything up to `position`, which is written, is durable.
    pub(crate) fn make_durable(&self, position: u64) -> Result<(), StorageError> {
        self.sync_until(position, |durable| durable.position >= position)
    }

    /// Returns once all that is written now is durable, events or not.
    pub(crate) fn sync_now(&self) -> Result<(), StorageError> {
        let written = self.marks.written();
        self.sync_until(written.position, |durable| *durable >= written)
    }

    fn sync_until(&self, position: u64, is_enough: impl Fn(&Reach) -> bool) -> Result<(), StorageError> {
        let marks = &self.marks;
        let mut called = false;
        loop {
            // In this order: what happens after a look shows in the bell.
            let (round, reaches) = marks.sync_round();
            let rings = (marks.rings(Bell::Sync(round)), marks.rings(Bell::Sync(round + 1)));
            if is_enough(&marks.durable()) {
                if called && marks.written() > marks.durable() {
                    // Called to do the next sync, this one needs none: a sync that began while it looked has done.
                    marks.call_one(Bell::Sync(round));
                }
                return Ok(());
            }
            // Before the marks are believed, which said that it is not enough.
            self.check()?;
            marks.check_intact().inspect_err(|error| self.fail(error))?;
            if self.try_to_sync(&is_enough).inspect_err(|error| self.fail(error))? {
                continue;
            }
            called = reaches < position;
            if called {
                marks.wait(Bell::Sync(round + 1), rings.1, PATIENCE);
            } else {
                marks.wait(Bell::Sync(round), rings.0, PATIENCE);
            }
        }
    }

    /// Syncs, unless it is not needed any more; `false` if somebody else is at it.
    fn try_to_sync(&self, is_enough: impl Fn(&Reach) -> bool) -> Result<bool, StorageError> {
        let marks = &self.marks;
        let Some(held) = self.lock.try_hold()? else { return Ok(false) };
        let (round, _) = marks.sync_round();
        let needed = !is_enough(&marks.durable());
        if needed {
            self.check()?;
            let written = marks.written();
            marks.sync_begins(written.position);
            // Whatever came before this segment was durable before the segment was written to.
            let synced = self.segments.get(written.segment)?.sync();
            // While the lock is held: who has opened the file since is not told of the failure by a sync of its own. Nor
            // is this one of a failure that somebody met meanwhile who went on to a new segment.
            synced.inspect_err(|error| self.fail(error))?;
            self.check()?;
            marks.check_intact().inspect_err(|error| self.fail(error))?;
            marks.publish_durable(written);
            marks.sync_ends();
        }
        // Before the bells: who is woken must find the lock free.
        drop(held);
        if needed {
            marks.ring(Bell::Sync(round));
            if self.durability == Durability::Fsync {
                marks.ring(Bell::Head);
            }
        }
        // Who looked just before this sync began waits for the next one, and may be durable now.
        if marks.written() > marks.durable() {
            marks.call_one(Bell::Sync(round + 1));
        } else {
            marks.ring(Bell::Sync(round + 1));
        }
        Ok(true)
    }

    /// Waits until the visible head is past `after`, `timeout` has run out, or `give_up` says so when woken.
    pub(crate) fn wait(&self, after: u64, timeout: Duration, give_up: impl Fn() -> bool) {
        let until = Instant::now().checked_add(timeout);
        loop {
            if self.marks.check_intact().is_err() {
                // The caller looks again, and is told.
                return;
            }
            let rings = self.marks.rings(Bell::Head);
            if self.visible() > after || give_up() {
                return;
            }
            let left = until.map_or(LONGEST_SLEEP, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            self.marks.wait(Bell::Head, rings, left.min(LONGEST_SLEEP));
        }
    }

    /// From here on nothing is acknowledged, in any process, until the store has been opened again: a failed write or
    /// sync leaves it unknown what the disk has, and trying again would not tell (I9).
    pub(crate) fn fail(&self, cause: &dyn Display) {
        self.marks.poison(&cause.to_string());
        let (round, _) = self.marks.sync_round();
        for bell in [Bell::Sync(round), Bell::Sync(round + 1), Bell::Head] {
            self.marks.ring(bell);
        }
    }

    /// The poison, if there is any.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.marks.poison_cause() {
            Some(cause) => Err(StorageError::Poisoned { cause }),
            None => Ok(()),
        }
    }
}
