//! Finding events in the index.

use std::ops::RangeInclusive;

use super::load;
use crate::error::StorageError;
use crate::index::sealed::Damaged;
use crate::index::{Direction, Part};
use crate::query::Query;
use crate::view::View;

/// How many positions are searched before the index is unlocked for a moment, so that no reader stalls appends.
const WINDOW: u64 = if cfg!(test) { 16 } else { 1 << 20 };

/// An event that was found in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) position: u64,
    /// Where in its segment it begins.
    pub(super) offset: u64,
    /// How many bytes it has there at most; `None` if it may reach to the end of its segment.
    pub(super) length: Option<u64>,
    /// Whether the event itself has to be looked at: files know tags by their hashes.
    pub(super) unconfirmed: bool,
}

/// When a search has found enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enough {
    pub(super) events: usize,
    pub(super) bytes: u64,
}

impl Enough {
    pub(super) fn is_reached(&self, found: &[Found]) -> bool {
        found.len() >= self.events || bytes(found) >= self.bytes
    }
}

fn bytes(found: &[Found]) -> u64 {
    found.iter().map(|one| one.length.unwrap_or_default()).sum()
}

/// Searches one part of the index, and no more than a window of positions where it has to be locked, from the end of
/// `positions` where the direction begins. Returns the last position searched.
pub(super) fn search(
    view: &View,
    query: &Query,
    positions: RangeInclusive<u64>,
    direction: Direction,
    enough: Enough,
    found: &mut Vec<Found>,
) -> Result<u64, StorageError> {
    let before = found.len();
    loop {
        match search_part(view, query, positions.clone(), direction, enough, found) {
            Ok(searched) => return Ok(searched),
            Err(damaged) => {
                found.truncate(before);
                view.mend(&damaged)?;
            }
        }
    }
}

fn search_part(
    view: &View,
    query: &Query,
    positions: RangeInclusive<u64>,
    direction: Direction,
    enough: Enough,
    found: &mut Vec<Found>,
) -> Result<u64, Damaged> {
    let mut bytes = bytes(found);
    let mut is_enough = |one: Found| {
        found.push(one);
        bytes += one.length.unwrap_or_default();
        found.len() >= enough.events || bytes >= enough.bytes
    };
    let (low, high) = positions.clone().into_inner();
    let index = view.index.read();
    match index.part(if direction == Direction::Forward { low } else { high }) {
        Part::Sealed(part) => {
            drop(index);
            let window = clip(&positions, part.positions());
            let unconfirmed = !matches!(query, Query::All);
            let mut searched = end(&window, direction);
            for position in part.matches(query, window.clone(), direction)? {
                let position = position?;
                let location = part.location(position)?.expect("the part holds what it finds");
                let (offset, length) = (u64::from(location.offset), location.length_bound.map(u64::from));
                if is_enough(Found { position, offset, length, unconfirmed }) {
                    searched = position;
                    break;
                }
            }
            part.check_whole()?;
            Ok(searched)
        }
        Part::Tail(tail) => {
            let window = match direction {
                Direction::Forward => low..=high.min(low.saturating_add(WINDOW)),
                Direction::Backward => low.max(high.saturating_sub(WINDOW))..=high,
            };
            let window = clip(&window, tail.first_position()..=tail.last_position());
            for position in tail.matches(query, window.clone(), direction) {
                let location = tail.location(position).expect("the index knows where its events are");
                let (offset, length) = (u64::from(location.offset), Some(u64::from(location.length)));
                if is_enough(Found { position, offset, length, unconfirmed: false }) {
                    return Ok(position);
                }
            }
            Ok(end(&window, direction))
        }
    }
}

fn clip(window: &RangeInclusive<u64>, part: RangeInclusive<u64>) -> RangeInclusive<u64> {
    *window.start().max(part.start())..=*window.end().min(part.end())
}

fn end(window: &RangeInclusive<u64>, direction: Direction) -> u64 {
    match direction {
        Direction::Forward => *window.end(),
        Direction::Backward => *window.start(),
    }
}

/// The first event in the range that matches.
pub(crate) fn first_match(
    view: &View,
    query: &Query,
    positions: RangeInclusive<u64>,
) -> Result<Option<u64>, StorageError> {
    let (mut low, high) = positions.into_inner();
    let enough = Enough { events: 1, bytes: u64::MAX };
    let mut found = Vec::new();
    while low <= high {
        found.clear();
        let searched = search(view, query, low..=high, Direction::Forward, enough, &mut found)?;
        if let Some(found) = found.first()
            && (!found.unconfirmed || query.matches(&load::one(view, found)?.event.view()))
        {
            return Ok(Some(found.position));
        }
        low = searched.saturating_add(1);
    }
    Ok(None)
}
