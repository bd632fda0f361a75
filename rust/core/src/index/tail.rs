//! The index of the part of the log that is not sealed yet, in memory, rebuilt from the log at every open (I7).

use std::convert::Infallible;
use std::ops::RangeInclusive;

use hashbrown::HashMap;

use super::cursor::{Direction, ItemCursor, QueryCursor, Seek};
use super::postings::{List, Postings};
use crate::event::EventView;
use crate::query::{Query, QueryItem};

/// Where the log keeps an event, and how many bytes it takes there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub(crate) offset: u32,
    pub(crate) length: u32,
}

impl Location {
    pub(crate) fn new(offset: u64, length: usize) -> Self {
        let short = |number: u64| u32::try_from(number).expect("a segment is smaller than 4 GiB");
        Self { offset: short(offset), length: short(length as u64) }
    }
}

/// Postings of every type and tag, and the location of every event, for a run of positions. Events are counted from 0
/// in here (ordinals), positions from 1 outside.
#[derive(Debug)]
pub(crate) struct Tail {
    first_position: u64,
    types: HashMap<Box<str>, Postings>,
    tags: HashMap<Box<str>, Postings>,
    locations: Vec<Location>,
}

/// A type or a tag, and the events that it is on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TermPostings<'a> {
    is_type: bool,
    pub(crate) term: &'a str,
    events: &'a [u32],
}

impl Default for Tail {
    fn default() -> Self {
        Self::new(1)
    }
}

impl Tail {
    /// A tail without events; the first one pushed has `first_position`, which is at least 1.
    pub(crate) fn new(first_position: u64) -> Self {
        Self { first_position, types: HashMap::new(), tags: HashMap::new(), locations: Vec::new() }
    }

    /// The position of the first event, whether there is one yet or not.
    pub(crate) fn first_position(&self) -> u64 {
        self.first_position
    }

    /// The position of the last event; one less than the first position if there is none.
    pub(crate) fn last_position(&self) -> u64 {
        self.first_position + self.locations.len() as u64 - 1
    }

    /// The event types.
    pub(crate) fn type_names(&self) -> impl Iterator<Item = &str> {
        self.types.keys().map(|name| &**name)
    }

    /// How many events there are.
    pub(crate) fn event_count(&self) -> usize {
        self.locations.len()
    }

    /// Every type with its postings, in no particular order.
    pub(super) fn types(&self) -> impl Iterator<Item = (&str, &[u32])> {
        self.types.iter().map(|(name, postings)| (&**name, postings.as_slice()))
    }

    /// Every tag with its postings, in no particular order.
    pub(super) fn tags(&self) -> impl Iterator<Item = (&str, &[u32])> {
        self.tags.iter().map(|(tag, postings)| (&**tag, postings.as_slice()))
    }

    /// The postings of a type; empty if it is on no event.
    pub(super) fn type_postings(&self, name: &str) -> &[u32] {
        self.types.get(name).map_or(&[], Postings::as_slice)
    }

    /// Every type and tag with its postings.
    pub(crate) fn terms(&self) -> impl Iterator<Item = TermPostings<'_>> {
        let types = self.types().map(|(term, events)| TermPostings { is_type: true, term, events });
        types.chain(self.tags().map(|(term, events)| TermPostings { is_type: false, term, events }))
    }

    /// The first event of the other tail, whose events are among those of this one, on which a term is in only one of
    /// the two; its position.
    pub(crate) fn differs_from(&self, other: &Self, known: TermPostings<'_>) -> Option<u64> {
        let terms = if known.is_type { &self.types } else { &self.tags };
        let own = terms.get(known.term).map_or(&[][..], Postings::as_slice);
        let count = u32::try_from(other.event_count()).expect("ordinals fit 32 bits");
        let first = u32::try_from(other.first_position.checked_sub(self.first_position)?).ok()?;
        let begin = own.partition_point(|event| *event < first);
        let end = own.partition_point(|event| *event < first + count);
        let own = own.get(begin..end).unwrap_or_default();
        let same = own.iter().zip(known.events).take_while(|(own, known)| **own == first + **known).count();
        let next = [own.get(same).map(|own| *own - first), known.events.get(same).copied()];
        next.into_iter().flatten().min().map(|event| other.first_position + u64::from(event))
    }

    /// The location of every event, in order.
    pub(crate) fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Adds the next event.
    pub(crate) fn push(&mut self, event: &EventView<'_>, location: Location) {
        let ordinal = u32::try_from(self.locations.len()).expect("memory ends before four billion events");
        add(&mut self.types, event.event_type, ordinal);
        for tag in event.tags.iter() {
            add(&mut self.tags, tag, ordinal);
        }
        self.locations.push(location);
    }

    /// The positions in the range that match, in the order of the direction.
    pub(crate) fn matches(
        &self,
        query: &Query,
        positions: RangeInclusive<u64>,
        direction: Direction,
    ) -> Box<dyn Iterator<Item = u64> + '_> {
        let Some(range) = self.ordinals(&positions) else {
            return Box::new(std::iter::empty());
        };
        let position = |ordinal| self.first_position + u64::from(ordinal);
        match query {
            Query::All if direction == Direction::Forward => Box::new(range.map(position)),
            Query::All => Box::new(range.rev().map(position)),
            Query::Items(items) => {
                let items = items.iter().filter_map(|item| self.cursor(item)).collect();
                let Ok(cursor) = QueryCursor::new(items, range, direction);
                Box::new(cursor.map(move |found| {
                    let Ok(ordinal) = found;
                    position(ordinal)
                }))
            }
        }
    }

    /// Where the event is stored.
    pub(crate) fn location(&self, position: u64) -> Option<Location> {
        self.locations.get(usize::try_from(position.checked_sub(self.first_position)?).ok()?).copied()
    }

    fn ordinals(&self, positions: &RangeInclusive<u64>) -> Option<RangeInclusive<u32>> {
        let count = u32::try_from(self.locations.len()).expect("ordinals fit 32 bits");
        ordinals(self.first_position, count, positions)
    }

    /// `None` if the item cannot match because a term of it occurs nowhere.
    fn cursor(&self, item: &QueryItem) -> Option<ItemCursor<Clause<'_>>> {
        let mut clauses = Vec::with_capacity(item.tags().len() + 1);
        for tag in item.tags() {
            clauses.push(Clause::One(self.tags.get(tag).map(Postings::list)?));
        }
        if !item.types().is_empty() {
            let lists = item.types().iter().filter_map(|name| self.types.get(name).map(Postings::list));
            clauses.push(Clause::any(lists.collect())?);
        }
        Some(ItemCursor::all(clauses))
    }
}

fn add(terms: &mut HashMap<Box<str>, Postings>, term: &str, ordinal: u32) {
    match terms.get_mut(term) {
        Some(postings) => postings.push(ordinal),
        None => {
            terms.insert(term.into(), Postings::One(ordinal));
        }
    }
}

/// The part of a range of positions that lies within a run of `count` events, as ordinals.
pub(super) fn ordinals(
    first_position: u64,
    count: u32,
    positions: &RangeInclusive<u64>,
) -> Option<RangeInclusive<u32>> {
    let last = u64::from(count).checked_sub(1)?;
    let start = positions.start().saturating_sub(first_position);
    let end = positions.end().checked_sub(first_position)?.min(last);
    let ordinal = |ordinal| u32::try_from(ordinal).ok();
    (start <= end).then_some(ordinal(start)?..=ordinal(end)?)
}

/// A tag's postings, or those of several types, any of which will do.
#[derive(Debug)]
enum Clause<'a> {
    One(List<'a>),
    Any(Vec<List<'a>>),
}

impl<'a> Clause<'a> {
    fn any(mut lists: Vec<List<'a>>) -> Option<Self> {
        match lists.len() {
            0 | 1 => lists.pop().map(Self::One),
            _ => Some(Self::Any(lists)),
        }
    }
}

impl Seek for Clause<'_> {
    type Error = Infallible;

    fn len(&self) -> usize {
        match self {
            Self::One(list) => list.len(),
            Self::Any(lists) => lists.iter().map(List::len).sum(),
        }
    }

    fn seek_forward(&mut self, target: u32) -> Result<Option<u32>, Infallible> {
        Ok(match self {
            Self::One(list) => list.seek_forward(target),
            Self::Any(lists) => lists.iter_mut().filter_map(|list| list.seek_forward(target)).min(),
        })
    }

    fn seek_backward(&mut self, target: u32) -> Result<Option<u32>, Infallible> {
        Ok(match self {
            Self::One(list) => list.seek_backward(target),
            Self::Any(lists) => lists.iter_mut().filter_map(|list| list.seek_backward(target)).max(),
        })
    }

    fn near(&self, direction: Direction) -> &[u32] {
        match self {
            Self::One(list) => list.near(direction),
            Self::Any(_) => &[],
        }
    }
}
