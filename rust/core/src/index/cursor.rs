//! Cursors that seek: how a query walks the postings.
//!
//! An item is a conjunction of clauses (each tag one, all its types together one), met by leapfrogging from the
//! shortest clause; a query is the merge of its items, each event once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::RangeInclusive;

use super::postings::List;

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

/// A tag's postings, or those of several types, any of which will do.
#[derive(Debug)]
pub(crate) enum Clause<'a> {
    One(List<'a>),
    Any(Vec<List<'a>>),
}

impl<'a> Clause<'a> {
    pub(crate) fn any(mut lists: Vec<List<'a>>) -> Option<Self> {
        match lists.len() {
            0 | 1 => lists.pop().map(Self::One),
            _ => Some(Self::Any(lists)),
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::One(list) => list.len(),
            Self::Any(lists) => lists.iter().map(List::len).sum(),
        }
    }

    fn seek(&mut self, target: u32, direction: Direction) -> Option<u32> {
        match (self, direction) {
            (Self::One(list), Direction::Forward) => list.seek_forward(target),
            (Self::One(list), Direction::Backward) => list.seek_backward(target),
            (Self::Any(lists), Direction::Forward) => {
                lists.iter_mut().filter_map(|list| list.seek_forward(target)).min()
            }
            (Self::Any(lists), Direction::Backward) => {
                lists.iter_mut().filter_map(|list| list.seek_backward(target)).max()
            }
        }
    }
}

/// The events that meet all clauses of one item.
#[derive(Debug)]
pub(crate) struct ItemCursor<'a>(Vec<Clause<'a>>);

impl<'a> ItemCursor<'a> {
    pub(crate) fn all(mut clauses: Vec<Clause<'a>>) -> Self {
        clauses.sort_by_cached_key(Clause::len);
        Self(clauses)
    }

    fn seek(&mut self, mut target: u32, direction: Direction) -> Option<u32> {
        loop {
            let candidate = target;
            for clause in &mut self.0 {
                target = clause.seek(target, direction)?;
                if target != candidate {
                    break;
                }
            }
            if target == candidate {
                return Some(candidate);
            }
        }
    }
}

/// The events that meet any item, each once, in order, within a range.
#[derive(Debug)]
pub(crate) struct QueryCursor<'a> {
    items: Vec<ItemCursor<'a>>,
    /// The next event of each item that has one.
    heads: BinaryHeap<Reverse<(u32, usize)>>,
    direction: Direction,
    range: RangeInclusive<u32>,
}

impl<'a> QueryCursor<'a> {
    pub(crate) fn new(items: Vec<ItemCursor<'a>>, range: RangeInclusive<u32>, direction: Direction) -> Self {
        let start = match direction {
            Direction::Forward => *range.start(),
            Direction::Backward => *range.end(),
        };
        let mut cursor = Self { items, heads: BinaryHeap::new(), direction, range };
        for item in 0..cursor.items.len() {
            cursor.advance(item, start);
        }
        cursor
    }

    fn head_at(&self, key: u32) -> Option<usize> {
        self.heads.peek().filter(|Reverse((head, _))| *head == key).map(|Reverse((_, item))| *item)
    }

    fn advance(&mut self, item: usize, target: u32) {
        let found = self.items.get_mut(item).and_then(|cursor| cursor.seek(target, self.direction));
        if let Some(ordinal) = found.filter(|ordinal| self.range.contains(ordinal)) {
            self.heads.push(Reverse((self.direction.key(ordinal), item)));
        }
    }
}

impl Iterator for QueryCursor<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let Reverse((key, _)) = *self.heads.peek()?;
        let ordinal = self.direction.key(key);
        let next = match self.direction {
            Direction::Forward => ordinal.checked_add(1),
            Direction::Backward => ordinal.checked_sub(1),
        };
        // Every item that stands on this event moves past it, so that it is returned once.
        while let Some(item) = self.head_at(key) {
            self.heads.pop();
            if let Some(next) = next {
                self.advance(item, next);
            }
        }
        Some(ordinal)
    }
}
