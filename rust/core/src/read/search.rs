//! Finding events in the index.

use std::ops::RangeInclusive;

use super::load;
use crate::error::StorageError;
use crate::index::sealed::Damaged;
use crate::index::{Direction, Location, Part};
use crate::query::Query;
use crate::view::View;

/// How many positions are searched before the index is unlocked for a moment, so that no reader stalls appends.
const WINDOW: u64 = if cfg!(test) { 16 } else { 1 << 20 };

/// An event that was found in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) position: u64,
    pub(super) location: Location,
    /// Whether the event itself has to be looked at: files know tags by their hashes.
    pub(super) unconfirmed: bool,
}

/// When a search has found enough.
#[derive(Clone, Copy, Debug)]
pub(super) struct Enough {
    pub(super) events: usize,
    pub(super) bytes: u64,
}

/// Searches one part of the index, and no more than a window of positions, from the end of `positions` where the
/// direction begins. Returns the last position searched.
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
    let (low, high) = positions.into_inner();
    let window = match direction {
        Direction::Forward => low..=high.min(low.saturating_add(WINDOW)),
        Direction::Backward => low.max(high.saturating_sub(WINDOW))..=high,
    };
    let mut bytes = 0;
    let mut is_enough = |found: &mut Vec<Found>, position, location: Location, unconfirmed| {
        found.push(Found { position, location, unconfirmed });
        bytes += u64::from(location.length.unwrap_or_default());
        found.len() >= enough.events || bytes >= enough.bytes
    };
    let index = view.index.read();
    match index.part(if direction == Direction::Forward { low } else { high }) {
        Part::Sealed(part) => {
            drop(index);
            let (first, last) = part.positions().into_inner();
            let window = (*window.start()).max(first)..=(*window.end()).min(last);
            let unconfirmed = !matches!(query, Query::All);
            for position in part.matches(query, window.clone(), direction)? {
                let position = position?;
                if is_enough(found, position, part.location(position)?, unconfirmed) {
                    return Ok(position);
                }
            }
            Ok(end(&window, direction))
        }
        Part::Tail(tail) => {
            let (first, last) = (tail.first_position(), tail.last_position().max(high));
            let window = (*window.start()).max(first)..=(*window.end()).min(last);
            for position in tail.matches(query, window.clone(), direction) {
                let location = tail.location(position).expect("the index knows where its events are");
                if is_enough(found, position, location, false) {
                    return Ok(position);
                }
            }
            Ok(end(&window, direction))
        }
    }
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
