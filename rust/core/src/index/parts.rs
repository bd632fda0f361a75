//! The whole index: sealed files for the older events, tails in memory for the newer ones.
//!
//! Each part answers for a run of positions. The runs may overlap for a moment, when another process has sealed what is
//! still in a tail here; the file counts then, and the tail goes.

use std::collections::VecDeque;
use std::sync::Arc;

use super::sealed::Sealed;
use super::{Location, POINT_BYTES, Tail};
use crate::event::EventView;

/// A tail that is complete, and where the log stands after it.
#[derive(Debug)]
pub(crate) struct Full {
    pub(crate) tail: Tail,
    pub(crate) point: [u8; POINT_BYTES],
}

/// The index of all events that this handle knows.
#[derive(Debug)]
pub(crate) struct Index {
    sealed: Arc<[Arc<Sealed>]>,
    /// In order; each begins where the one before ends.
    full: VecDeque<Arc<Full>>,
    tail: Tail,
    /// How many events make a tail full.
    run_events: usize,
}

/// What answers for a position.
pub(crate) enum Part<'a> {
    Sealed(Arc<Sealed>),
    Tail(&'a Tail),
}

impl Index {
    /// The index of what is sealed, with an empty tail after it.
    pub(crate) fn new(sealed: Vec<Arc<Sealed>>, run_events: usize) -> Self {
        let first = sealed.last().map_or(1, |last| last.positions().end() + 1);
        Self { sealed: sealed.into(), full: VecDeque::new(), tail: Tail::new(first), run_events }
    }

    /// Adds the next event.
    pub(crate) fn push(&mut self, event: &EventView<'_>, location: Location) {
        self.tail.push(event, location);
    }

    /// To be called between two frames: begins a new tail if this one is full. `point` is where the log stands.
    pub(crate) fn turn(&mut self, point: impl FnOnce() -> Option<[u8; POINT_BYTES]>) -> bool {
        self.tail.event_count() >= self.run_events && point().is_some_and(|point| self.close_tail(point))
    }

    /// Begins a new tail, unless this one is empty.
    pub(crate) fn close_tail(&mut self, point: [u8; POINT_BYTES]) -> bool {
        if self.tail.event_count() == 0 {
            return false;
        }
        let next = Tail::new(self.last_position() + 1);
        let tail = std::mem::replace(&mut self.tail, next);
        self.full.push_back(Arc::new(Full { tail, point }));
        true
    }

    /// The last position that the index holds.
    pub(crate) fn last_position(&self) -> u64 {
        self.tail.first_position() + self.tail.event_count() as u64 - 1
    }

    /// How many events the current tail holds.
    pub(crate) fn tail_events(&self) -> usize {
        self.tail.event_count()
    }

    /// The sealed parts.
    pub(crate) fn sealed(&self) -> Arc<[Arc<Sealed>]> {
        Arc::clone(&self.sealed)
    }

    /// The oldest full tail.
    pub(crate) fn next_to_seal(&self) -> Option<Arc<Full>> {
        self.full.front().cloned()
    }

    /// Takes other sealed parts into use, which begin at position 1, and drops the tails that they cover.
    pub(crate) fn replace_sealed(&mut self, sealed: Vec<Arc<Sealed>>) {
        let last = sealed.last().map_or(0, |last| *last.positions().end());
        let begins_after =
            self.full.front().map_or(self.tail.first_position(), |full| full.tail.first_position());
        // What is not covered by the tails has to be by files.
        if last + 1 < begins_after {
            return;
        }
        self.full.retain(|full| full.tail.last_position() > last);
        self.sealed = sealed.into();
    }

    /// The part that answers for `position`.
    pub(crate) fn part(&self, position: u64) -> Part<'_> {
        let sealed = self.sealed.partition_point(|sealed| *sealed.positions().end() < position);
        if let Some(sealed) = self.sealed.get(sealed) {
            return Part::Sealed(Arc::clone(sealed));
        }
        let full = self.full.partition_point(|full| full.tail.last_position() < position);
        Part::Tail(self.full.get(full).map_or(&self.tail, |full| &full.tail))
    }

    /// Where the parts end, but for the tail that grows.
    pub(crate) fn ends(&self) -> Vec<u64> {
        let sealed = self.sealed.iter().map(|part| *part.positions().end());
        sealed.chain(self.full.iter().map(|full| full.tail.last_position())).collect()
    }

    /// Different types, as far as they are known: in files and in tails they are counted apart.
    pub(crate) fn type_names(&self) -> hashbrown::HashSet<String> {
        let sealed = self.sealed.iter().flat_map(|sealed| sealed.type_names().map(str::to_owned));
        let full = self.full.iter().flat_map(|full| full.tail.type_names().map(str::to_owned));
        sealed.chain(full).chain(self.tail.type_names().map(str::to_owned)).collect()
    }
}
