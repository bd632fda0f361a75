//! One file from neighbours, in memory that does not grow with them.
//!
//! Hashes are passed twice in step over all inputs: once to count, so that every section has its place, and once to
//! write. What has been passed is released.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use thiserror::Error;
use uuid::Uuid;

use super::Sealed;
use super::assemble::{self, Source};
use super::dictionary::Value;
use super::layout::{CHUNK_EVENTS, ENTRY_BYTES, POINT_BYTES};
use super::lists::{Head, ListCursor};
use super::pages::Damaged;
use super::terms::{TermCounts, TermWriter};
use super::types::{Place, number};
use crate::index::cursor::Seek;
use crate::storage::StorageFile;

/// So many bytes are passed before they are released.
const RELEASE_BYTES: u64 = 1 << 20;
/// So many events are passed before what the file says of them is released.
const RELEASE_EVENTS: u64 = 1 << 20;

/// Why files could not be merged.
#[derive(Debug, Error)]
pub(crate) enum MergeError {
    /// The output could not be written, or would be too large (`FileTooLarge`).
    #[error("the merged index could not be written: {0}")]
    Io(#[from] io::Error),
    /// An input is not what was written.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Writes one file with the events of all inputs, which are neighbours of one store in ascending order; anything else is
/// refused (`InvalidInput`). The file is not durable until the caller syncs it.
pub(crate) fn merge(inputs: &[Arc<Sealed>], file: &dyn StorageFile) -> Result<(), MergeError> {
    let adjoins = |pair: &[Arc<Sealed>]| match pair {
        [one, next] => {
            one.header.store == next.header.store
                && one.positions().end().checked_add(1) == Some(next.header.first_position)
        }
        _ => false,
    };
    if inputs.is_empty() || !inputs.windows(2).all(adjoins) {
        return Err(io::Error::from(ErrorKind::InvalidInput).into());
    }
    let mut shift = 0;
    let mut runs = Vec::new();
    for input in inputs {
        // If this is too much the file is refused before an ordinal is written.
        runs.push(Run { sealed: input, shift: shift as u32, numbers: Vec::new() });
        shift += u64::from(input.header.event_count);
    }
    let mut source = MergeSource { runs, types: BTreeMap::new(), event_count: shift };
    source.unite_types();
    assemble::write(&mut source, file)?;
    inputs.iter().try_for_each(|input| Ok(input.check_whole()?))
}

/// An input, and how its numbers become those of the output.
struct Run<'a> {
    sealed: &'a Sealed,
    /// Ordinals grow by this.
    shift: u32,
    /// The new number of each type.
    numbers: Vec<u32>,
}

struct MergeSource<'a> {
    runs: Vec<Run<'a>>,
    types: BTreeMap<&'a str, Head>,
    event_count: u64,
}

impl<'a> MergeSource<'a> {
    fn unite_types(&mut self) {
        for Run { sealed, shift, .. } in &self.runs {
            for entry in &sealed.types {
                let (first, last) = (entry.first.wrapping_add(*shift), entry.last.wrapping_add(*shift));
                let head = Head { count: entry.count, first, last };
                let sum = self.types.entry(&entry.name).or_insert(Head { count: 0, ..head });
                *sum = Head { count: sum.count.wrapping_add(entry.count), first: sum.first, last };
            }
        }
        let number: BTreeMap<&str, u32> = self.types.keys().copied().zip(0..).collect();
        for run in &mut self.runs {
            let numbers = run.sealed.types.iter().filter_map(|entry| number.get(&*entry.name).copied());
            run.numbers = numbers.collect();
        }
    }

    /// Each hash of any input, ascending, with the events it has there.
    fn each_hash(
        &self,
        mut each: impl FnMut(u64, &mut [Part<'a>]) -> Result<(), MergeError>,
    ) -> Result<(), MergeError> {
        let mut walks = Vec::new();
        for run in &self.runs {
            walks.push(Walk::start(run)?);
        }
        let mut parts = Vec::with_capacity(walks.len());
        while let Some(hash) = walks.iter().filter_map(|walk| Some(walk.entry?.0)).min() {
            for walk in &mut walks {
                parts.extend(walk.take(hash)?);
            }
            each(hash, &mut parts)?;
            parts.clear();
        }
        Ok(())
    }
}

/// The events of a hash in one input.
struct Part<'a> {
    shift: u32,
    events: Events<'a>,
}

enum Events<'a> {
    Only(u32),
    List(ListCursor<'a>),
}

impl Part<'_> {
    fn head(&self) -> Head {
        let Head { count, first, last } = match &self.events {
            Events::Only(event) => Head { count: 1, first: *event, last: *event },
            Events::List(list) => list.head,
        };
        Head { count, first: first + self.shift, last: last + self.shift }
    }

    fn for_each(&mut self, mut each: impl FnMut(u32) -> io::Result<()>) -> Result<(), MergeError> {
        match &mut self.events {
            Events::Only(event) => Ok(each(*event + self.shift)?),
            Events::List(list) => list.for_each(|event| Ok(each(event + self.shift)?)),
        }
    }
}

/// The head of what the parts have together.
fn united(parts: &[Part<'_>]) -> Option<Head> {
    let count = parts.iter().map(|part| part.head().count).sum();
    Some(Head { count, first: parts.first()?.head().first, last: parts.last()?.head().last })
}

/// A walk through the dictionary of one input.
struct Walk<'a> {
    sealed: &'a Sealed,
    shift: u32,
    /// The entry that has not been taken yet.
    entry: Option<(u64, Value)>,
    /// Its number.
    at: u32,
    /// Bytes of the dictionary and of the postings that are released.
    released: (u64, u64),
}

impl<'a> Walk<'a> {
    fn start(run: &Run<'a>) -> Result<Self, Damaged> {
        let mut walk = Self { sealed: run.sealed, shift: run.shift, entry: None, at: 0, released: (0, 0) };
        walk.read()?;
        Ok(walk)
    }

    fn read(&mut self) -> Result<(), Damaged> {
        let in_there = self.at < self.sealed.entry_count();
        let entry = if in_there { Some(self.sealed.entry(self.at)?) } else { None };
        let ascends = match (self.entry, entry) {
            (Some((before, _)), Some((hash, _))) => before < hash,
            _ => true,
        };
        if !ascends {
            let offset = self.sealed.header.sections.dictionary.offset;
            return Err(self.sealed.pages.damaged(offset, "the dictionary does not ascend"));
        }
        self.entry = entry;
        Ok(())
    }

    /// The events of the hash, if it is the next one here.
    fn take(&mut self, hash: u64) -> Result<Option<Part<'a>>, Damaged> {
        let Some((_, value)) = self.entry.filter(|(next, _)| *next == hash) else { return Ok(None) };
        self.at += 1;
        self.read()?;
        let events = match value {
            Value::Only(event) => Events::Only(event),
            Value::List(at) => {
                self.release(at);
                Events::List(self.sealed.list(at)?)
            }
        };
        Ok(Some(Part { shift: self.shift, events }))
    }

    /// Lets go of what lies before the entry and its list: lists follow each other in the order of the entries.
    fn release(&mut self, postings: u64) {
        let dictionary = u64::from(self.at) * ENTRY_BYTES;
        let (sections, pages) = (&self.sealed.header.sections, &self.sealed.pages);
        if dictionary.saturating_sub(self.released.0) > RELEASE_BYTES {
            pages.release(sections.dictionary, self.released.0, dictionary);
            self.released.0 = dictionary;
        }
        if postings.saturating_sub(self.released.1) > RELEASE_BYTES {
            pages.release(sections.postings, self.released.1, postings);
            self.released.1 = postings;
        }
    }
}

impl Source for MergeSource<'_> {
    type Error = MergeError;

    fn store(&self) -> Uuid {
        self.runs.first().map(|run| run.sealed.header.store).unwrap_or_default()
    }

    fn first_position(&self) -> u64 {
        self.runs.first().map(|run| run.sealed.header.first_position).unwrap_or_default()
    }

    fn event_count(&self) -> u64 {
        self.event_count
    }

    fn point(&self) -> [u8; POINT_BYTES] {
        self.runs.last().map_or([0; POINT_BYTES], |run| run.sealed.header.point)
    }

    fn types(&self) -> Vec<(Box<str>, Head)> {
        self.types.iter().map(|(name, head)| ((*name).into(), *head)).collect()
    }

    fn column(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> Result<(), MergeError> {
        for Run { sealed, numbers, .. } in &self.runs {
            let count = sealed.header.event_count;
            for start in (0..count).step_by(CHUNK_EVENTS as usize) {
                let last = (start + (CHUNK_EVENTS as u32 - 1)).min(count - 1);
                let column = sealed.column(start, last)?;
                for bytes in column.chunks_exact(sealed.header.type_bytes as usize) {
                    let Some(new) = numbers.get(number(bytes) as usize) else {
                        let offset = sealed.header.sections.column.offset;
                        return Err(sealed.pages.damaged(offset, "the column names no type").into());
                    };
                    each(*new)?;
                }
                let passed = u64::from(last) + 1;
                if passed.is_multiple_of(RELEASE_EVENTS) {
                    sealed.release_events(passed - RELEASE_EVENTS, passed);
                }
            }
        }
        Ok(())
    }

    fn offsets(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> Result<(), MergeError> {
        for Run { sealed, .. } in &self.runs {
            for ordinal in 0..u64::from(sealed.header.event_count) {
                each(sealed.offset(ordinal)?)?;
                if ordinal.is_multiple_of(RELEASE_EVENTS) {
                    sealed.release_events(ordinal.saturating_sub(RELEASE_EVENTS), ordinal);
                }
            }
        }
        if let Some(Run { sealed, .. }) = self.runs.last() {
            each(sealed.offset(u64::from(sealed.header.event_count))?)?;
        }
        Ok(())
    }

    fn count_tags(&mut self, counts: &mut TermCounts) -> Result<(), MergeError> {
        self.each_hash(|_, parts| {
            counts.add_tag(parts.iter().map(|part| part.head().count).sum());
            Ok(())
        })
    }

    fn events_of_type(
        &mut self,
        wanted: usize,
        each: &mut dyn FnMut(u32) -> io::Result<()>,
    ) -> Result<(), MergeError> {
        for Run { sealed, shift, numbers } in &self.runs {
            let Ok(own) = numbers.binary_search(&(wanted as u32)) else { continue };
            if let Some(Place::List(at)) = sealed.types.get(own).map(|entry| entry.place) {
                let mut list = sealed.list(at)?;
                list.for_each(|event| Ok::<(), MergeError>(each(event + shift)?))?;
                continue;
            }
            let mut events = sealed.events_of_type(own as u32)?;
            let mut next = 0;
            while let Some(event) = events.seek_forward(next)? {
                each(event + shift)?;
                next = event + 1;
            }
        }
        Ok(())
    }

    fn tags(&mut self, out: &mut TermWriter<'_>) -> Result<(), MergeError> {
        self.each_hash(|hash, parts| {
            let Some(head) = united(parts) else { return Ok(()) };
            out.tag(hash, head, |list| {
                parts.iter_mut().try_for_each(|part| part.for_each(|event| list.push(event)))
            })
        })
    }
}
