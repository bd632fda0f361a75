//! How far the log is durable, who makes it so, and who waits for it.
//!
//! One sync at a time, for everybody in all processes: whoever finds the sync lock free takes it, syncs all that is
//! written, moves the durable mark and rings the bell. The others sleep until the bell rings. Should the syncer die,
//! its lock is free again, and they look after a moment.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::StorageError;
use crate::log::{Reach, Segments};
use crate::processes::{Marks, SharedLock};
use crate::store::Durability;

/// How long a waiter trusts that whoever holds the sync lock is alive and will ring the bell.
const PATIENCE: Duration = Duration::from_millis(10);
/// How long a waiter for new events sleeps without looking: a process that was killed before it rang is late by this.
const LONGEST_SLEEP: Duration = Duration::from_millis(50);

/// Makes the log durable, and knows whether it still can.
#[derive(Debug)]
pub(crate) struct Syncer {
    pub(crate) marks: Marks,
    lock: SharedLock,
    segments: Arc<Segments>,
    durability: Durability,
}

impl Syncer {
    pub(crate) fn new(
        marks: Marks,
        lock: SharedLock,
        segments: Arc<Segments>,
        durability: Durability,
    ) -> Self {
        Self { marks, lock, segments, durability }
    }

    /// The last position that readers see.
    pub(crate) fn visible(&self) -> u64 {
        match self.durability {
            Durability::Fsync => self.marks.durable().position,
            Durability::Os { .. } => self.marks.written().position,
        }
    }

    /// The log has been written up to here. For the holder of the append lock.
    pub(crate) fn wrote(&self, written: Reach) {
        self.marks.publish_written(written);
        if let Durability::Os { .. } = self.durability {
            self.marks.ring();
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
        self.sync_until(|durable| durable.position >= position)
    }

    /// Returns once all that is written now is durable, events or not.
    pub(crate) fn sync_now(&self) -> Result<(), StorageError> {
        let written = self.marks.written();
        self.sync_until(|durable| *durable >= written)
    }

    fn sync_until(&self, is_enough: impl Fn(&Reach) -> bool) -> Result<(), StorageError> {
        loop {
            let rings = self.marks.rings();
            if is_enough(&self.marks.durable()) {
                return Ok(());
            }
            self.check()?;
            match self.lock.try_hold().inspect_err(|error| self.fail(error))? {
                Some(held) => {
                    // Whoever had the lock before may have synced what this caller waits for.
                    let synced = if is_enough(&self.marks.durable()) {
                        Ok(())
                    } else {
                        self.sync().inspect_err(|error| self.fail(error))
                    };
                    // Before the bell: who is woken by it must find the lock free.
                    drop(held);
                    self.marks.ring();
                    synced?;
                }
                None => self.marks.wait(rings, PATIENCE),
            }
        }
    }

    /// One sync of all that is written. For the holder of the sync lock.
    fn sync(&self) -> Result<(), StorageError> {
        let written = self.marks.written();
        // Whatever came before this segment was durable before the segment was written to.
        self.segments.get(written.segment)?.sync()?;
        self.marks.publish_durable(written);
        Ok(())
    }

    /// Waits until the visible head is past `after`, `timeout` has run out, or `give_up` says so when woken.
    pub(crate) fn wait(&self, after: u64, timeout: Duration, give_up: impl Fn() -> bool) {
        let until = Instant::now().checked_add(timeout);
        loop {
            let rings = self.marks.rings();
            if self.visible() > after || give_up() {
                return;
            }
            let left = until.map_or(LONGEST_SLEEP, |until| until.saturating_duration_since(Instant::now()));
            if left.is_zero() {
                return;
            }
            self.marks.wait(rings, left.min(LONGEST_SLEEP));
        }
    }

    /// From here on nothing is acknowledged, in any process, until the store has been opened again: a failed write or
    /// sync leaves it unknown what the disk has, and trying again would not tell (I9).
    pub(crate) fn fail(&self, cause: &dyn Display) {
        self.marks.poison(&cause.to_string());
        self.marks.ring();
    }

    /// The poison, if there is any.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        match self.marks.poison_cause() {
            Some(cause) => Err(StorageError::Poisoned { cause }),
            None => Ok(()),
        }
    }
}
