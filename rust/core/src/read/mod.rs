//! Reads: a snapshot's head, then the matching events in chunks.
//!
//! A chunk is found in the index and then read from the log, without any lock. Nothing of the log is kept in memory
//! beyond the chunk, but for small answers that may be asked for again.

mod cache;
mod load;
mod search;

use std::sync::Arc;

use crate::error::{ReadError, StorageError};
use crate::event::SequencedEvent;
use crate::index::Direction;
use crate::limits::InvalidInput;
use crate::query::Query;
use crate::store::Shared;
use crate::view::View;

pub(crate) use cache::ReadCache;
use cache::{Answer, Learned};
pub(crate) use search::first_match;
use search::{Enough, Found};

/// The first chunk is small, so that a read of one event costs one event; each next one is larger.
const FIRST_CHUNK_EVENTS: usize = 16;
const MAX_CHUNK_EVENTS: usize = 1024;
const MAX_CHUNK_BYTES: u64 = 1 << 20;
/// After so many events a long read lets go of what it has mapped of the index.
const RELEASED_AT_ONCE: usize = 1 << 17;

/// Which part of the log a read covers, and in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Only events after this position (exclusive).
    pub after: u64,
    /// Only events up to this position (inclusive).
    pub until: Option<u64>,
    /// From the newest to the oldest.
    pub reverse: bool,
    /// At most this many events.
    pub limit: Option<u64>,
}

/// One read: the head it was taken at, and any number of passes over its events.
#[derive(Clone, Debug)]
pub struct Read {
    store: Arc<Shared>,
    query: Query,
    options: ReadOptions,
    head: u64,
}

impl Read {
    pub(crate) fn new(store: Arc<Shared>, query: Query, options: ReadOptions) -> Result<Self, ReadError> {
        if options.limit == Some(0) {
            return Err(InvalidInput::ZeroLimit.into());
        }
        let inner = store.open()?;
        let head = inner.head()?;
        inner.index_up_to(head)?;
        Ok(Self { store, query, options, head })
    }

    /// The head of the snapshot: nothing that this read does not see can appear at or below it (I5).
    pub fn head(&self) -> u64 {
        self.head
    }

    /// A pass over the events.
    pub fn chunks(&self) -> Chunks {
        let rest = Rest {
            low: self.options.after.saturating_add(1),
            high: self.options.until.unwrap_or(u64::MAX).min(self.head),
            left: self.options.limit.unwrap_or(u64::MAX),
        };
        let known = self.known();
        let is_next = rest.low <= known.as_ref().map_or(0, |known| known.covered) + 1;
        let learned = (is_next && !self.options.reverse).then(Learned::default);
        Chunks {
            read: self.clone(),
            rest,
            known,
            learned,
            found: 0,
            chunk_events: FIRST_CHUNK_EVENTS,
            buffer: Vec::new(),
        }
    }

    fn known(&self) -> Option<Arc<Answer>> {
        let Query::Items(items) = &self.query else { return None };
        self.store.open().ok()?.view.cache.get(items)
    }
}

/// A pass over the events of a read, chunk by chunk.
#[derive(Debug)]
pub struct Chunks {
    read: Read,
    rest: Rest,
    /// What is known of the query already.
    known: Option<Arc<Answer>>,
    /// What this pass has found beyond that; `None` if it will not be kept.
    learned: Option<Learned>,
    /// How many events were found since memory was last let go of.
    found: usize,
    chunk_events: usize,
    buffer: Vec<u8>,
}

/// What of a pass is still to come.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// The positions that are still to be searched, both inclusive.
    low: u64,
    high: u64,
    /// At most so many events.
    left: u64,
}

impl Rest {
    fn is_over(&self) -> bool {
        self.low > self.high || self.left == 0
    }

    /// Moves past what was searched.
    fn pass(&mut self, searched: u64, direction: Direction) {
        match direction {
            Direction::Forward => self.low = searched.saturating_add(1),
            // Position 0 does not exist, so a search that reached 1 is over.
            Direction::Backward => self.high = searched.saturating_sub(1),
        }
    }
}

impl Chunks {
    /// The next events in order; empty when there are no more. After an error the same events are tried again.
    pub fn next_chunk(&mut self) -> Result<Vec<SequencedEvent>, ReadError> {
        let store = self.read.store.open()?;
        let before = self.rest;
        let events = self.find_and_load(&store.view).inspect_err(|_| self.rest = before)?;
        self.chunk_events = (self.chunk_events * 4).min(MAX_CHUNK_EVENTS);
        if self.is_over()
            && let (Some(learned), Query::Items(items)) = (self.learned.take(), &self.read.query)
        {
            learned.keep(&store.view.cache, items, self.known.as_deref(), self.rest.low - 1);
        }
        Ok(events)
    }

    /// Whether it is certain, without looking, that there are no more events.
    pub fn is_over(&self) -> bool {
        self.rest.is_over()
    }

    fn find_and_load(&mut self, view: &View) -> Result<Vec<SequencedEvent>, StorageError> {
        let (mut found, mut events) = (Vec::new(), Vec::new());
        loop {
            self.recall(&mut events);
            if self.is_over() || events.len() >= self.chunk_events {
                return Ok(events);
            }
            found.clear();
            self.search(view, events.len(), &mut found)?;
            let recalled = events.len();
            load::all(view, &found, &mut self.buffer, &mut events)?;
            if found.iter().any(|found| found.unconfirmed) {
                let mut number = 0;
                events.retain(|event| {
                    number += 1;
                    number <= recalled || self.read.query.matches(&event.event.view())
                });
            }
            let new = events.get(recalled..).unwrap_or_default();
            self.rest.left -= new.len() as u64;
            self.learned = self.learned.take().and_then(|learned| learned.and(new));
            if !new.is_empty() {
                self.recall(&mut events);
                return Ok(events);
            }
        }
    }

    /// Finds the next events that are not known, of which the chunk has so many already, and moves past what was searched.
    fn search(&mut self, view: &View, had: usize, found: &mut Vec<Found>) -> Result<(), StorageError> {
        let direction = self.direction();
        let wanted = usize::try_from(self.rest.left).unwrap_or(usize::MAX).min(self.chunk_events - had);
        let enough = Enough { events: wanted, bytes: MAX_CHUNK_BYTES };
        while !enough.is_reached(found) && !self.is_over() && !self.is_known() {
            let Rest { mut low, high, .. } = self.rest;
            if direction == Direction::Backward {
                low = low.max(self.covered() + 1);
            }
            let searched = search::search(view, &self.read.query, low..=high, direction, enough, found)?;
            self.rest.pass(searched, direction);
        }
        self.found += found.len();
        if self.found >= RELEASED_AT_ONCE {
            self.found = 0;
            view.release(self.read.options.after..=self.read.head);
        }
        Ok(())
    }

    /// Takes the next events from what is known, as far as that goes.
    fn recall(&mut self, events: &mut Vec<SequencedEvent>) {
        let Some(known) = self.known.as_ref().filter(|_| !self.is_over() && self.is_known()) else { return };
        let Rest { low, high, left } = &mut self.rest;
        let (from, to) = (*low, known.covered.min(*high));
        let all = known.events(from..=to);
        let room =
            usize::try_from(*left).unwrap_or(usize::MAX).min(self.chunk_events.saturating_sub(events.len()));
        let count = all.len().min(room);
        *left -= count as u64;
        if self.read.options.reverse {
            let taken = all.iter().rev().take(count);
            events.extend(taken.cloned());
            *high = if count == all.len() {
                from - 1
            } else {
                events.last().map_or(*high, |last| last.position - 1)
            };
        } else {
            events.extend(all.iter().take(count).cloned());
            *low = if count == all.len() {
                to + 1
            } else {
                events.last().map_or(*low, |last| last.position + 1)
            };
        }
    }

    /// Whether the next positions are known.
    fn is_known(&self) -> bool {
        let next = if self.read.options.reverse { self.rest.high } else { self.rest.low };
        next <= self.covered()
    }

    fn covered(&self) -> u64 {
        self.known.as_ref().map_or(0, |known| known.covered)
    }

    fn direction(&self) -> Direction {
        if self.read.options.reverse { Direction::Backward } else { Direction::Forward }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, Options, QueryItem, Store};

    #[test]
    fn no_event_is_lost_or_doubled_where_windows_and_chunks_meet() {
        let store = Store::open_memory(Options::default()).unwrap();
        for every in 1..=200 {
            let tags = [7, 17, 18, 40].iter().filter(|n| every % **n == 0).map(|n| n.to_string());
            let event = Event::new("A", &tags.collect::<Vec<_>>(), b"", None, None).unwrap();
            store.append(vec![event], vec![]).unwrap();
        }
        for every in [7, 17, 18, 40] {
            let item = QueryItem::new::<&str, _>(&[], &[every.to_string()]).unwrap();
            let query = Query::items(vec![item]).unwrap();
            for reverse in [false, true] {
                let options = ReadOptions { reverse, ..ReadOptions::default() };
                let mut chunks = store.read(query.clone(), options).unwrap().chunks();
                let chunks =
                    std::iter::from_fn(|| Some(chunks.next_chunk().unwrap()).filter(|c| !c.is_empty()));
                let mut positions: Vec<u64> = chunks.flatten().map(|event| event.position).collect();
                if reverse {
                    positions.reverse();
                }
                assert_eq!(positions, (every..=200).step_by(every as usize).collect::<Vec<_>>());
            }
        }
    }
}
