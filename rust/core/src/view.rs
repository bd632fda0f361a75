//! What one handle knows of the log: how far it has read it, and the index of that.

use std::ops::RangeInclusive;
use std::sync::Arc;

use crate::error::StorageError;
use crate::index::sealed::Damaged;
use crate::index::{Index, Part, Tail};
use crate::indexing;
use crate::log::{LogWriter, Segments, StoreSeed};
use crate::processes::Marks;
use crate::read::ReadCache;
use crate::sealing::Sealer;
use crate::threads::{Mutex, RwLock};

/// Reading so many events when the store is opened takes a few milliseconds.
const LONG_TAIL: usize = 1 << 14;

/// So many answers are compared before the index is unlocked for a moment.
const AT_ONCE: usize = 1 << 12;

/// The end of the log as far as it is known here, and the index up to there.
///
/// Locks are taken in this order: the append lock, `writer`, the index lock, `index`.
#[derive(Debug)]
pub(crate) struct View {
    /// Whoever moves it brings the index along.
    pub(crate) writer: Mutex<LogWriter>,
    pub(crate) index: RwLock<Index>,
    pub(crate) sealer: Sealer,
    pub(crate) segments: Arc<Segments>,
    pub(crate) marks: Arc<Marks>,
    pub(crate) seed: StoreSeed,
    pub(crate) cache: ReadCache,
}

impl View {
    /// Reads what other processes have written since; `true` if a tail of the index is full now.
    pub(crate) fn catch_up(&self, writer: &mut LogWriter) -> Result<bool, StorageError> {
        let written = self.marks.written();
        let mut full = false;
        if writer.reach() != written {
            writer.catch_up(written, |frame, end| {
                full |= indexing::add(&mut self.index.write(), frame, end, &self.segments)?;
                Ok(())
            })?;
        }
        Ok(full)
    }

    /// Makes sure that the index holds every event up to `head`, which somebody has seen; `true` if a tail is full now.
    pub(crate) fn index_up_to(&self, head: u64) -> Result<bool, StorageError> {
        if self.index.read().last_position() >= head {
            Ok(false)
        } else {
            self.catch_up(&mut self.writer.lock())
        }
    }

    /// Says that these positions have been read for now, so that a long read keeps memory flat.
    pub(crate) fn release(&self, positions: RangeInclusive<u64>) {
        let sealed = self.index.read().sealed();
        for part in sealed.iter() {
            part.release(positions.clone());
        }
    }

    /// Compares the index in memory with a tail of some events that was made from the log, a few answers at a time, so that
    /// no append waits for long. `each` gets a position and what is different. What is in files by now is passed over.
    pub(crate) fn compare(&self, tail: &Tail, each: &mut dyn FnMut(u64, String)) {
        let terms: Vec<_> = tail.terms().collect();
        for terms in terms.chunks(AT_ONCE) {
            let index = self.index.read();
            let Part::Tail(own) = index.part(tail.first_position()) else { return };
            for known in terms {
                if let Some(position) = own.differs_from(tail, *known) {
                    each(position, format!("{:?} is on the event in only one of log and index", known.term));
                }
            }
        }
        let positions: Vec<_> = (tail.first_position()..).zip(tail.locations()).collect();
        for located in positions.chunks(AT_ONCE) {
            let index = self.index.read();
            let Part::Tail(own) = index.part(tail.first_position()) else { return };
            for (position, location) in located {
                if own.location(*position) != Some(**location) {
                    each(*position, "the event is not where it is said to be".to_owned());
                }
            }
        }
    }

    /// Seals what is in memory if reading it again would take long. For the last member, once all is durable.
    pub(crate) fn seal_long_tail(&self) {
        let writer = self.writer.lock();
        if self.index.read().tail_events() >= LONG_TAIL
            && writer.reach() == self.marks.durable()
            && let Some(point) = writer.point()
        {
            self.sealer.seal_tail(&self.index, &point);
        }
    }

    /// Makes the index whole again where a file turned out to be damaged.
    pub(crate) fn mend(&self, damaged: &Damaged) -> Result<(), StorageError> {
        self.sealer.mend(&self.index, damaged)?;
        self.marks.index_changed();
        Ok(())
    }
}
