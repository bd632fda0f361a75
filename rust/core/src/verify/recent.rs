//! The events that were read last, in tails that are made anew from the log: they answer without the index that is
//! under examination, and are what it is compared with.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

use crate::event::EventView;
use crate::index::{Direction, Location, Tail};
use crate::query::Query;

/// A tail is complete with so many events, and as many are always kept.
const TAIL_EVENTS: usize = if cfg!(test) { 8 } else { 1 << 16 };
/// So many events are kept if nothing else answers for them.
const MAX_EVENTS: usize = 4 * TAIL_EVENTS;

/// The last events, at least [`TAIL_EVENTS`] of them.
#[derive(Debug)]
pub(super) struct Recent {
    /// Complete tails, in order. There may be gaps between them.
    complete: VecDeque<Tail>,
    tail: Tail,
    /// Where parts of the index end, descending: no tail goes on past one.
    ends: Vec<u64>,
}

impl Recent {
    pub(super) fn new(first_position: u64, mut ends: Vec<u64>) -> Self {
        ends.sort_unstable_by(|one, other| other.cmp(one));
        Self { complete: VecDeque::new(), tail: Tail::new(first_position), ends }
    }

    /// Adds the next event; `true` if the tail is complete now.
    pub(super) fn push(&mut self, event: &EventView<'_>, location: Location) -> bool {
        self.tail.push(event, location);
        let last = self.tail.last_position();
        while self.ends.last().is_some_and(|end| *end < last) {
            self.ends.pop();
        }
        self.ends.last() == Some(&last) || self.tail.event_count() >= TAIL_EVENTS
    }

    /// The tail that grows.
    pub(super) fn tail(&self) -> &Tail {
        &self.tail
    }

    /// Begins a new tail at this position.
    pub(super) fn turn(&mut self, next: u64) {
        let complete = std::mem::replace(&mut self.tail, Tail::new(next));
        if complete.event_count() > 0 {
            self.complete.push_back(complete);
        }
    }

    /// Forgets tails that are not needed: those that something else answers for, and the oldest if there are too many.
    pub(super) fn trim(&mut self, is_covered: impl Fn(&Tail) -> bool) {
        let mut events = self.complete.iter().map(Tail::event_count).sum::<usize>();
        while let Some(oldest) = self.complete.front() {
            events -= oldest.event_count();
            if events < TAIL_EVENTS || (events < MAX_EVENTS && !is_covered(oldest)) {
                return;
            }
            self.complete.pop_front();
        }
    }

    /// The first position that is answered for.
    pub(super) fn first_position(&self) -> u64 {
        self.complete.front().unwrap_or(&self.tail).first_position()
    }

    /// The first event in the range that matches, as far as the range is answered for.
    pub(super) fn first_match(&self, query: &Query, positions: &RangeInclusive<u64>) -> Option<u64> {
        let begins = self.complete.partition_point(|tail| tail.last_position() < *positions.start());
        let tails = self.complete.range(begins..).chain([&self.tail]);
        tails
            .take_while(|tail| tail.first_position() <= *positions.end())
            .find_map(|tail| tail.matches(query, positions.clone(), Direction::Forward).next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, QueryItem};

    fn filled(from: u64, to: u64, ends: Vec<u64>) -> Recent {
        let mut recent = Recent::new(from, ends);
        for position in from..=to {
            let event = Event::new("A", &[position.to_string()], b"", None, None).unwrap();
            if recent.push(&event.view(), Location { offset: 0, length: 0 }) {
                recent.turn(position + 1);
            }
        }
        recent
    }

    #[test]
    fn tails_end_where_parts_of_the_index_do() {
        let recent = filled(1, 20, vec![5, 6, 40]);
        let ends: Vec<u64> = recent.complete.iter().map(Tail::last_position).collect();
        assert_eq!((ends, recent.tail.first_position()), (vec![5, 6, 14], 15));
    }

    #[test]
    fn what_is_covered_goes_but_for_the_last_events() {
        let mut recent = filled(1, 40, vec![]);
        recent.trim(|tail| tail.last_position() <= 16);
        assert_eq!(recent.first_position(), 17);
        recent.trim(|_| true);
        assert_eq!(recent.first_position(), 33);
        let mut recent = filled(1, 60, vec![]);
        recent.trim(|_| false);
        assert_eq!(recent.first_position(), 25);
    }

    #[test]
    fn a_search_finds_what_is_in_the_range_and_nothing_else() {
        let mut recent = filled(1, 20, vec![]);
        recent.turn(30);
        let own =
            |n: u64| Query::items(vec![QueryItem::new::<&str, _>(&[], &[n.to_string()]).unwrap()]).unwrap();
        for n in 1..=20 {
            assert_eq!(recent.first_match(&own(n), &(1..=29)), Some(n));
            assert_eq!(recent.first_match(&own(n), &(n..=n)), Some(n));
            assert_eq!(recent.first_match(&own(n), &(n + 1..=29)), None);
            assert_eq!(recent.first_match(&own(n), &(1..=n - 1)), None);
        }
        assert_eq!(recent.first_match(&Query::All, &(21..=29)), None);
    }
}
