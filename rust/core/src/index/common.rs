//! What two dense lists have in common, found run by run and not event by event.
//!
//! The events of one list are noted in a small table, and those of the other looked up there: no step waits for the one
//! before and no branch has to be guessed, so this takes a few instructions an event where leaping takes dozens. What
//! falls together in the table is confirmed in the list.

use super::cursor::Direction;

/// Places of the table; a run that spans no more positions than this meets nothing by chance.
const PLACES: usize = 1 << 13;
/// The longest part of a list that is met at once.
pub(crate) const RUN_EVENTS: usize = 128;
/// With fewer events of either list, it would have been as well to leap.
const DENSE: usize = 8;

/// Events that are in both of two lists, for a range of ordinals.
#[derive(Debug)]
pub(crate) struct Common {
    /// The first and the last ordinal of the range; nothing is known if they are not in this order.
    first: u32,
    last: u32,
    events: [u32; RUN_EVENTS],
    count: usize,
    /// In each place the last turn in which one of the events there was noted.
    noted: [u8; PLACES],
    turn: u8,
}

/// What is known about the next event of both lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Met {
    /// Nothing.
    Unknown,
    /// This is it.
    Both(u32),
    /// It is at this ordinal or beyond; `None` if there is nothing beyond.
    Beyond(Option<u32>),
}

impl Default for Common {
    fn default() -> Self {
        Self { first: 1, last: 0, events: [0; RUN_EVENTS], count: 0, noted: [0; PLACES], turn: 0 }
    }
}

impl Common {
    /// The next event of both lists from `target` on.
    pub(crate) fn seek(&self, target: u32, direction: Direction) -> Met {
        if target < self.first || target > self.last {
            return Met::Unknown;
        }
        let events = self.events.get(..self.count).unwrap_or_default();
        match direction {
            Direction::Forward => match events.iter().find(|event| **event >= target) {
                Some(event) => Met::Both(*event),
                None => Met::Beyond(self.last.checked_add(1)),
            },
            Direction::Backward => match events.iter().rfind(|event| **event <= target) {
                Some(event) => Met::Both(*event),
                None => Met::Beyond(self.first.checked_sub(1)),
            },
        }
    }

    /// Meets two runs, each ascending and without a gap in its list, from `target` to where one of them ends. Returns
    /// whether that was worth the effort.
    pub(crate) fn fill(&mut self, one: &[u32], other: &[u32], target: u32, direction: Direction) -> bool {
        (self.first, self.last, self.count) = (1, 0, 0);
        let (Some(starts), Some(ends)) = (one.first().zip(other.first()), one.last().zip(other.last()))
        else {
            return false;
        };
        let (start, end) = (*starts.0.max(starts.1), *ends.0.min(ends.1));
        if target < start || target > end {
            return false;
        }
        (self.first, self.last) = match direction {
            Direction::Forward => (target, end),
            Direction::Backward => (start, target),
        };
        let (one, other) = (self.within(one), self.within(other));
        self.note(one);
        self.look_up(other);
        self.confirm(one);
        one.len().min(other.len()) >= DENSE
    }

    fn within<'a>(&self, run: &'a [u32]) -> &'a [u32] {
        let from = run.partition_point(|event| *event < self.first);
        let to = run.partition_point(|event| *event <= self.last);
        run.get(from..to).unwrap_or_default()
    }

    fn note(&mut self, run: &[u32]) {
        self.turn = self.turn.wrapping_add(1);
        if self.turn == 0 {
            self.noted = [0; PLACES];
            self.turn = 1;
        }
        for event in run {
            if let Some(noted) = self.noted.get_mut(*event as usize % PLACES) {
                *noted = self.turn;
            }
        }
    }

    /// Takes what falls together with a noted event.
    fn look_up(&mut self, run: &[u32]) {
        let mut count = 0;
        for event in run {
            if let Some(place) = self.events.get_mut(count) {
                *place = *event;
            }
            count += usize::from(self.noted.get(*event as usize % PLACES) == Some(&self.turn));
        }
        self.count = count;
    }

    /// Keeps what is in the run.
    fn confirm(&mut self, run: &[u32]) {
        let mut kept = 0;
        for number in 0..self.count {
            let event = self.events.get(number).copied().unwrap_or_default();
            if run.binary_search(&event).is_ok()
                && let Some(place) = self.events.get_mut(kept)
            {
                *place = event;
                kept += 1;
            }
        }
        self.count = kept;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(steps: &[u32]) -> Vec<u32> {
        steps.iter().scan(0, |at, step| Some(std::mem::replace(at, *at + step))).collect()
    }

    fn steps(apart: u32) -> impl Strategy<Value = Vec<u32>> {
        prop::collection::vec(1..=apart, 0..=RUN_EVENTS)
    }

    proptest! {
        #[test]
        fn what_is_common_to_two_runs_is_what_a_plain_search_finds(
            rounds in prop::collection::vec(
                (1..5000_u32).prop_flat_map(|apart| (steps(apart), steps(apart), 0..20_000_u32)),
                1..4,
            ),
            backward in any::<bool>(),
        ) {
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let mut common = Common::default();
            for (one, other, target) in rounds {
                let (one, other) = (run(&one), run(&other));
                common.fill(&one, &other, target, direction);
                for from in (0..40).map(|step| target.saturating_add(20).saturating_sub(step)) {
                    let is_common = |event: &&u32| other.contains(event);
                    let (first, expected) = if backward {
                        (one.first().max(other.first()), one.iter().filter(is_common).rfind(|event| **event <= from))
                    } else {
                        (one.last().min(other.last()), one.iter().filter(is_common).find(|event| **event >= from))
                    };
                    match common.seek(from, direction) {
                        Met::Both(event) => prop_assert_eq!(Some(&event), expected),
                        Met::Beyond(Some(beyond)) if backward => {
                            prop_assert_eq!(Some(beyond + 1), first.copied());
                            prop_assert!(expected.is_none_or(|event| *event <= beyond));
                        }
                        Met::Beyond(Some(beyond)) => {
                            prop_assert_eq!(beyond.checked_sub(1), first.copied());
                            prop_assert!(expected.is_none_or(|event| *event >= beyond));
                        }
                        Met::Beyond(None) => prop_assert_eq!(expected, None),
                        Met::Unknown => {}
                    }
                }
            }
        }
    }

    #[test]
    fn a_table_that_has_taken_all_its_turns_begins_anew() {
        let mut common = Common::default();
        for round in 0..1000_u32 {
            let (one, other) = ([round, round + 2], [round, round + 1, round + 2]);
            common.fill(&one, &other, round, Direction::Forward);
            assert_eq!(common.seek(round, Direction::Forward), Met::Both(round));
            assert_eq!(common.seek(round + 1, Direction::Forward), Met::Both(round + 2));
        }
    }
}
