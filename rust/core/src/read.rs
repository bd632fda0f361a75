//! Reads: a snapshot's head, then the matching events in chunks.
//!
//! A chunk is found in the index under its lock, and read from the log without it. Nothing of the log is kept in
//! memory beyond the chunk.

use std::sync::Arc;

use crate::error::{ReadError, StorageError};
use crate::event::{Event, SequencedEvent};
use crate::index::{Direction, Location};
use crate::limits::InvalidInput;
use crate::log::{Segment, StoreSeed};
use crate::query::Query;
use crate::store::{Inner, Shared};

/// The first chunk is small, so that a read of one event costs one event; each next one is larger.
const FIRST_CHUNK_EVENTS: usize = 16;
const MAX_CHUNK_EVENTS: usize = 1024;
const MAX_CHUNK_BYTES: u64 = 1 << 20;
/// Events that are closer together than this in a segment are fetched with one read.
const MAX_GAP_BYTES: u64 = 1024;
/// How many positions are searched before the index is unlocked for a moment, so that no reader stalls appends.
const WINDOW: u64 = if cfg!(test) { 16 } else { 1 << 20 };

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
        let head = inner.head();
        inner.committer.index_up_to(head)?;
        Ok(Self { store, query, options, head })
    }

    /// The head of the snapshot: nothing that this read does not see can appear at or below it (I5).
    pub fn head(&self) -> u64 {
        self.head
    }

    /// A pass over the events.
    pub fn chunks(&self) -> Chunks {
        Chunks {
            read: self.clone(),
            low: self.options.after.saturating_add(1),
            high: self.options.until.unwrap_or(u64::MAX).min(self.head),
            left: self.options.limit.unwrap_or(u64::MAX),
            chunk_events: FIRST_CHUNK_EVENTS,
            buffer: Vec::new(),
        }
    }
}

/// A pass over the events of a read, chunk by chunk.
#[derive(Debug)]
pub struct Chunks {
    read: Read,
    /// The positions that are still to be searched, both inclusive.
    low: u64,
    high: u64,
    left: u64,
    chunk_events: usize,
    buffer: Vec<u8>,
}

/// An event that was found in the index.
type Found = (u64, Location);

impl Chunks {
    /// The next events in order; empty when there are no more. After an error the same events are tried again.
    pub fn next_chunk(&mut self) -> Result<Vec<SequencedEvent>, ReadError> {
        let store = self.read.store.open()?;
        let mut found = Vec::new();
        let (low, high) = (self.low, self.high);
        while found.is_empty() && !self.is_over() {
            self.search_window(&store, &mut found);
        }
        let events = self.load(&store, &found).inspect_err(|_| (self.low, self.high) = (low, high))?;
        self.chunk_events = (self.chunk_events * 4).min(MAX_CHUNK_EVENTS);
        self.left -= found.len() as u64;
        Ok(events)
    }

    /// Whether it is certain, without looking, that there are no more events.
    pub fn is_over(&self) -> bool {
        self.low > self.high || self.left == 0
    }

    fn direction(&self) -> Direction {
        if self.read.options.reverse { Direction::Backward } else { Direction::Forward }
    }

    /// Finds the events of the next chunk within one window of positions, and moves past what was searched.
    fn search_window(&mut self, store: &Inner, found: &mut Vec<Found>) {
        let direction = self.direction();
        let window = match direction {
            Direction::Forward => self.low..=self.high.min(self.low.saturating_add(WINDOW)),
            Direction::Backward => self.low.max(self.high.saturating_sub(WINDOW))..=self.high,
        };
        let mut searched = match direction {
            Direction::Forward => *window.end(),
            Direction::Backward => *window.start(),
        };
        let limit = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.chunk_events);
        let index = store.committer.index.read();
        let mut bytes = 0;
        for position in index.matches(&self.read.query, window, direction) {
            let location = index.location(position).expect("the index knows where its events are");
            found.push((position, location));
            bytes += u64::from(location.length);
            if found.len() == limit || bytes >= MAX_CHUNK_BYTES {
                searched = position;
                break;
            }
        }
        match direction {
            Direction::Forward => self.low = searched.saturating_add(1),
            // Position 0 does not exist, so a search that reached 1 is over.
            Direction::Backward => self.high = searched.saturating_sub(1),
        }
    }

    fn load(&mut self, store: &Inner, found: &[Found]) -> Result<Vec<SequencedEvent>, StorageError> {
        let mut events = Vec::with_capacity(found.len());
        let mut rest = found;
        while !rest.is_empty() {
            rest = self.load_run(store, rest, &mut events)?;
        }
        Ok(events)
    }

    /// Reads the longest run of neighbours at the start of `found` with one read; returns the rest.
    fn load_run<'a>(
        &mut self,
        store: &Inner,
        found: &'a [Found],
        events: &mut Vec<SequencedEvent>,
    ) -> Result<&'a [Found], StorageError> {
        let Some((first, _)) = found.first() else { return Ok(&[]) };
        let (start, next) =
            store.segments.holding(*first).expect("every position in the index is in a segment");
        let segment = store.segments.get(start)?;
        let (mut start, mut end, mut count) = (u64::MAX, 0, 0);
        for (position, location) in found {
            let outside = *position < segment.first_position || next.is_some_and(|next| *position >= next);
            let (from, to) = (u64::from(location.offset), u64::from(location.offset + location.length));
            let apart = count > 0 && (from > end + MAX_GAP_BYTES || to + MAX_GAP_BYTES < start);
            if outside || apart || (count > 0 && end.max(to) - start.min(from) > MAX_CHUNK_BYTES) {
                break;
            }
            (start, end, count) = (start.min(from), end.max(to), count + 1);
        }
        let (run, rest) = found.split_at(count);
        self.buffer.resize(usize::try_from(end - start).expect("bounded by one event or MAX_CHUNK_BYTES"), 0);
        segment.read(&mut self.buffer, start)?;
        for found in run {
            events.push(decode(&segment, store.seed, &self.buffer, start, found)?);
        }
        Ok(rest)
    }
}

fn decode(
    segment: &Segment,
    seed: StoreSeed,
    buffer: &[u8],
    start: u64,
    (position, location): &Found,
) -> Result<SequencedEvent, StorageError> {
    let offset = u64::from(location.offset);
    let begin = (offset - start) as usize;
    let bytes = buffer.get(begin..begin + location.length as usize).expect("the run holds its records");
    let record = segment.record(bytes, seed, *position, offset)?;
    let event = Event::decode(record.event)
        .ok_or_else(|| segment.corrupt(offset, format!("event {position} is malformed")))?;
    Ok(SequencedEvent { position: *position, recorded_at: record.recorded_at, event })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, QueryItem, Store};

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
