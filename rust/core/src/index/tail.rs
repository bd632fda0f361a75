//! The index of the part of the log that is not sealed yet, in memory, rebuilt from the log at every open (I7).

use std::ops::RangeInclusive;

use hashbrown::HashMap;

use super::cursor::{Clause, Direction, ItemCursor, QueryCursor};
use super::postings::Postings;
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

/// Postings of every type and tag, and the location of every event. Events are counted from 0 in here (ordinals);
/// positions are counted from 1 outside.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    types: HashMap<Box<str>, Postings>,
    tags: HashMap<Box<str>, Postings>,
    locations: Vec<Location>,
}

impl Tail {
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
        match query {
            Query::All if direction == Direction::Forward => Box::new(range.map(position)),
            Query::All => Box::new(range.rev().map(position)),
            Query::Items(items) => {
                let items = items.iter().filter_map(|item| self.cursor(item)).collect();
                Box::new(QueryCursor::new(items, range, direction).map(position))
            }
        }
    }

    /// The first position in the range that matches.
    pub(crate) fn first_match(&self, query: &Query, positions: RangeInclusive<u64>) -> Option<u64> {
        self.matches(query, positions, Direction::Forward).next()
    }

    /// The last position that the index holds.
    pub(crate) fn last_position(&self) -> u64 {
        self.locations.len() as u64
    }

    /// Where the event is stored.
    pub(crate) fn location(&self, position: u64) -> Option<Location> {
        self.locations.get(usize::try_from(position.checked_sub(1)?).ok()?).copied()
    }

    /// How many different types and tags there are.
    pub(crate) fn term_counts(&self) -> (usize, usize) {
        (self.types.len(), self.tags.len())
    }

    fn ordinals(&self, positions: &RangeInclusive<u64>) -> Option<RangeInclusive<u32>> {
        let last = (self.locations.len() as u64).min(*positions.end()).checked_sub(1)?;
        let first = positions.start().saturating_sub(1);
        let ordinal = |ordinal| u32::try_from(ordinal).ok();
        (first <= last).then_some(ordinal(first)?..=ordinal(last)?)
    }

    /// `None` if the item cannot match because a term of it occurs nowhere.
    fn cursor(&self, item: &QueryItem) -> Option<ItemCursor<'_>> {
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

fn position(ordinal: u32) -> u64 {
    u64::from(ordinal) + 1
}
