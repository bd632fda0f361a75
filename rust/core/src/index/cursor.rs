//! Cursors that seek: how a query walks the postings.
//!
//! An item is a conjunction of clauses (each tag one, all its types together one), met by leapfrogging from the
//! shortest clause; a query is the merge of its items, each event once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use super::common::{Common, Met};

/// After so many leaps that met nothing, two lists are met block by block.
const LEAPS: u32 = 4;

/// Which way a read goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Backward,
}

impl Direction {
    /// Orders ordinals so that the one met first is the smallest. Its own inverse.
    fn key(self, ordinal: u32) -> u32 {
        match self {
            Self::Forward => ordinal,
            Self::Backward => u32::MAX - ordinal,
        }
    }
}

/// A list of events that is searched from one end to the other.
pub(crate) trait Seek {
    /// Why a search can fail: not at all in memory, damage in a file.
    type Error;

    /// About how many events there are: the shortest list leads.
    fn len(&self) -> usize;

    /// Called once, before the first search, on the list that leads; the others are only asked about what it finds.
    fn lead(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }

    /// The first event at or after `target`; targets ascend. A list that does not lead may answer with any number
    /// above `target` that no event of its own lies below.
    fn seek_forward(&mut self, target: u32) -> Result<Option<u32>, Self::Error>;

    /// The same from the end: the last event at or before `target`; targets descend.
    fn seek_backward(&mut self, target: u32) -> Result<Option<u32>, Self::Error>;

    fn seek(&mut self, target: u32, direction: Direction) -> Result<Option<u32>, Self::Error> {
        match direction {
            Direction::Forward => self.seek_forward(target),
            Direction::Backward => self.seek_backward(target),
        }
    }

    /// Events around where the last search ended, ascending and without a gap in the list; none if they are not at hand.
    fn near(&self, _direction: Direction) -> &[u32] {
        &[]
    }
}

/// The events that meet all clauses of one item.
#[derive(Debug)]
pub(crate) struct ItemCursor<C> {
    clauses: Vec<C>,
    /// Leaps that met nothing since the last event that did.
    leaps: u32,
    /// What the first two clauses have in common for a while; made when leaping turns out to get nowhere.
    common: Option<Box<Common>>,
}

impl<C: Seek> ItemCursor<C> {
    pub(crate) fn all(mut clauses: Vec<C>) -> Self {
        clauses.sort_by_key(C::len);
        Self { clauses, leaps: 0, common: None }
    }

    fn seek(
        &mut self,
        mut target: u32,
        range: &RangeInclusive<u32>,
        direction: Direction,
    ) -> Result<Option<u32>, C::Error> {
        let Some((lead, others)) = self.clauses.split_first_mut() else { return Ok(None) };
        let within = |found: &u32| range.contains(found);
        'candidates: loop {
            let met = self.common.as_ref().map_or(Met::Unknown, |common| common.seek(target, direction));
            let (candidate, met_by) = match met {
                Met::Both(event) => (Some(event), 1),
                Met::Beyond(None) => (None, 0),
                Met::Beyond(Some(beyond)) => (lead.seek(beyond, direction)?, 0),
                Met::Unknown => (lead.seek(target, direction)?, 0),
            };
            let Some(candidate) = candidate.filter(within) else { return Ok(None) };
            for (number, clause) in others.iter_mut().enumerate().skip(met_by) {
                let Some(found) = clause.seek(candidate, direction)?.filter(within) else { return Ok(None) };
                if found != candidate {
                    target = found;
                    self.leaps += 1;
                    if number == 0 && self.leaps > LEAPS {
                        let common = self.common.get_or_insert_default();
                        let is_dense =
                            common.fill(lead.near(direction), clause.near(direction), target, direction);
                        // Where the lists hardly meet, leaping is the faster way after all.
                        self.leaps = if is_dense { LEAPS } else { 0 };
                    }
                    continue 'candidates;
                }
            }
            return Ok(Some(candidate));
        }
    }
}

/// The events that meet any item, each once, in order, within a range. It ends after an error.
#[derive(Debug)]
pub(crate) struct QueryCursor<C> {
    items: Vec<ItemCursor<C>>,
    /// The next event of each item that has one.
    heads: BinaryHeap<Reverse<(u32, usize)>>,
    /// The event returned last, which some items still stand on: nobody may ask for the next one.
    returned: Option<u32>,
    direction: Direction,
    range: RangeInclusive<u32>,
}

impl<C: Seek> QueryCursor<C> {
    pub(crate) fn new(
        items: Vec<ItemCursor<C>>,
        range: RangeInclusive<u32>,
        direction: Direction,
    ) -> Result<Self, C::Error> {
        let start = match direction {
            Direction::Forward => *range.start(),
            Direction::Backward => *range.end(),
        };
        let heads = BinaryHeap::with_capacity(items.len());
        let mut cursor = Self { items, heads, returned: None, direction, range };
        for item in 0..cursor.items.len() {
            if let Some(lead) = cursor.items.get_mut(item).and_then(|item| item.clauses.first_mut()) {
                lead.lead()?;
            }
            cursor.advance(item, start)?;
        }
        Ok(cursor)
    }

    fn head_at(&self, key: u32) -> Option<usize> {
        self.heads.peek().filter(|Reverse((head, _))| *head == key).map(|Reverse((_, item))| *item)
    }

    fn advance(&mut self, item: usize, target: u32) -> Result<(), C::Error> {
        let Some(cursor) = self.items.get_mut(item) else { return Ok(()) };
        if let Some(ordinal) = cursor.seek(target, &self.range, self.direction)? {
            self.heads.push(Reverse((self.direction.key(ordinal), item)));
        }
        Ok(())
    }

    /// Moves every item that stands on this event past it, so that it is returned once.
    fn pass(&mut self, ordinal: u32) -> Result<(), C::Error> {
        let next = match self.direction {
            Direction::Forward => ordinal.checked_add(1),
            Direction::Backward => ordinal.checked_sub(1),
        };
        while let Some(item) = self.head_at(self.direction.key(ordinal)) {
            self.heads.pop();
            if let Some(next) = next {
                self.advance(item, next)?;
            }
        }
        Ok(())
    }
}

impl<C: Seek> Iterator for QueryCursor<C> {
    type Item = Result<u32, C::Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(returned) = self.returned.take()
            && let Err(error) = self.pass(returned)
        {
            self.heads.clear();
            return Some(Err(error));
        }
        let Reverse((key, _)) = *self.heads.peek()?;
        self.returned = Some(self.direction.key(key));
        self.returned.map(Ok)
    }
}
