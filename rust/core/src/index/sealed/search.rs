//! Searching a file: from a query to candidates.

use std::ops::{Range, RangeInclusive};

use super::Sealed;
use super::dictionary::Value;
use super::filter;
use super::layout::FILTER_BLOCK_BYTES;
use super::lists::ListCursor;
use super::pages::Damaged;
use super::types::TypeClause;
use crate::index::cursor::{Direction, ItemCursor, QueryCursor, Seek};
use crate::index::tail::ordinals;
use crate::limits::MAX_TAGS;
use crate::query::{Query, QueryItem};

/// The candidates of a query, in order. It ends after an error.
#[derive(Debug)]
pub(crate) struct Matches<'a> {
    first_position: u64,
    found: Found<'a>,
}

#[derive(Debug)]
enum Found<'a> {
    All(Range<u64>, Direction),
    Items(QueryCursor<Clause<'a>>),
}

impl Iterator for Matches<'_> {
    type Item = Result<u64, Damaged>;

    fn next(&mut self) -> Option<Self::Item> {
        let ordinal = match &mut self.found {
            Found::All(range, Direction::Forward) => Ok(range.next()?),
            Found::All(range, Direction::Backward) => Ok(range.next_back()?),
            Found::Items(cursor) => cursor.next()?.map(u64::from),
        };
        Some(ordinal.map(|ordinal| self.first_position + ordinal))
    }
}

/// What an event has to have.
#[derive(Debug)]
enum Clause<'a> {
    Only(u32),
    List(ListCursor<'a>),
    Types(TypeClause<'a>),
}

impl Seek for Clause<'_> {
    type Error = Damaged;

    fn len(&self) -> usize {
        match self {
            Self::Only(_) => 1,
            Self::List(list) => list.len(),
            Self::Types(types) => types.len(),
        }
    }

    fn lead(&mut self) -> Result<(), Damaged> {
        if let Self::Types(types) = self { types.lead() } else { Ok(()) }
    }

    fn seek_forward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        match self {
            Self::Only(event) => Ok(Some(*event).filter(|event| *event >= target)),
            Self::List(list) => list.seek_forward(target),
            Self::Types(types) => types.seek_forward(target),
        }
    }

    fn seek_backward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        match self {
            Self::Only(event) => Ok(Some(*event).filter(|event| *event <= target)),
            Self::List(list) => list.seek_backward(target),
            Self::Types(types) => types.seek_backward(target),
        }
    }

    fn near(&self, direction: Direction) -> &[u32] {
        if let Self::List(list) = self { list.near(direction) } else { &[] }
    }
}

impl Sealed {
    /// The positions in the range that may match, in the order of the direction: all that do, and others whose tags have
    /// the hashes asked for. The caller confirms each on the event itself with [`Query::matches`].
    pub(crate) fn matches(
        &self,
        query: &Query,
        positions: RangeInclusive<u64>,
        direction: Direction,
    ) -> Result<Matches<'_>, Damaged> {
        let first_position = self.header.first_position;
        let range = ordinals(first_position, self.header.event_count, &positions);
        let found = match (range, query) {
            (None, _) => Found::All(0..0, direction),
            (Some(range), Query::All) => {
                Found::All(u64::from(*range.start())..u64::from(*range.end()) + 1, direction)
            }
            (Some(range), Query::Items(items)) => {
                let mut cursors = Vec::new();
                for item in items.iter() {
                    cursors.extend(self.cursor(item, &range)?);
                }
                Found::Items(QueryCursor::new(cursors, range, direction)?)
            }
        };
        Ok(Matches { first_position, found })
    }

    #[cfg(test)]
    /// The first candidate in the range. If it turns out not to match, the others come from [`Sealed::matches`].
    pub(crate) fn first_match(
        &self,
        query: &Query,
        positions: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Damaged> {
        self.matches(query, positions, Direction::Forward)?.next().transpose()
    }

    #[cfg(test)]
    /// Whether any event can have the tag: about one in a hundred tags that none has passes.
    pub(crate) fn may_contain(&self, tag: &str) -> Result<bool, Damaged> {
        self.may_contain_hash(self.hasher.hash(tag))
    }

    /// Whether any event can have a tag with this hash.
    pub(super) fn may_contain_hash(&self, hash: u64) -> Result<bool, Damaged> {
        let section = self.header.sections.filter;
        let block = filter::block_of(hash, section.length / FILTER_BLOCK_BYTES);
        let block = self.pages.array(section, block * FILTER_BLOCK_BYTES)?;
        Ok(filter::can_hold(&block, hash))
    }

    /// `None` if the item cannot match because a term of it occurs nowhere.
    fn cursor(
        &self,
        item: &QueryItem,
        range: &RangeInclusive<u32>,
    ) -> Result<Option<ItemCursor<Clause<'_>>>, Damaged> {
        let types = self.type_clause(item.types(), range);
        if types.is_none() && !item.types().is_empty() {
            return Ok(None);
        }
        // All tags pass the filter before any is looked up.
        let mut hashes = [0; MAX_TAGS];
        for (hash, tag) in hashes.iter_mut().zip(item.tags()) {
            *hash = self.hasher.hash(tag);
            if !self.may_contain_hash(*hash)? {
                return Ok(None);
            }
        }
        let mut clauses = Vec::with_capacity(item.tags().len() + 1);
        for (hash, _) in hashes.iter().zip(item.tags()) {
            clauses.push(match self.find(*hash)? {
                None => return Ok(None),
                Some(Value::Only(event)) => Clause::Only(event),
                Some(Value::List(at)) => Clause::List(self.list(at)?),
            });
        }
        clauses.extend(types.map(Clause::Types));
        Ok(Some(ItemCursor::all(clauses)))
    }
}
