//! Postings: the ascending list of events that hold one term.

use super::common::RUN_EVENTS;
use super::cursor::Direction;

/// So many postings are looked at one by one before a seek takes larger steps.
const NEAR: usize = 4;

/// Most tags are on few events, so a single posting needs no allocation.
#[derive(Debug)]
pub(crate) enum Postings {
    One(u32),
    Many(Vec<u32>),
}

impl Postings {
    pub(crate) fn push(&mut self, ordinal: u32) {
        match self {
            Self::One(first) => *self = Self::Many(vec![*first, ordinal]),
            Self::Many(list) => list.push(ordinal),
        }
    }

    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            Self::One(only) => std::slice::from_ref(only),
            Self::Many(list) => list,
        }
    }

    pub(crate) fn list(&self) -> List<'_> {
        List::new(self.as_slice())
    }
}

/// The part of a postings list that a cursor has not passed yet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct List<'a> {
    rest: &'a [u32],
}

impl<'a> List<'a> {
    pub(crate) fn new(postings: &'a [u32]) -> Self {
        Self { rest: postings }
    }

    pub(crate) fn len(&self) -> usize {
        self.rest.len()
    }

    /// What comes next, ascending: as much as is met at once with another list.
    pub(crate) fn near(&self, direction: Direction) -> &'a [u32] {
        let length = self.rest.len();
        let near = match direction {
            Direction::Forward => self.rest.get(..length.min(RUN_EVENTS)),
            Direction::Backward => self.rest.get(length.saturating_sub(RUN_EVENTS)..),
        };
        near.unwrap_or_default()
    }

    /// The first posting at or after `target`. Passes all before it.
    pub(crate) fn seek_forward(&mut self, target: u32) -> Option<u32> {
        // A condition on recent positions ends here: one comparison, however long the list.
        if self.rest.last().is_none_or(|last| *last < target) {
            self.rest = &[];
            return None;
        }
        // Where lists are dense the next hit is next door.
        if let Some(passed) = self.rest.iter().take(NEAR).position(|posting| *posting >= target) {
            self.rest = self.rest.get(passed..).unwrap_or_default();
            return self.rest.first().copied();
        }
        let reach = gallop(|step| self.rest.get(step).is_some_and(|posting| *posting < target));
        let near = self.rest.get(..reach).unwrap_or(self.rest);
        let passed = near.partition_point(|posting| *posting < target);
        self.rest = self.rest.get(passed..).unwrap_or_default();
        self.rest.first().copied()
    }

    /// The last posting at or before `target`. Passes all after it.
    pub(crate) fn seek_backward(&mut self, target: u32) -> Option<u32> {
        if let Some(passed) = self.rest.iter().rev().take(NEAR).position(|posting| *posting <= target) {
            self.rest = self.rest.get(..self.rest.len() - passed).unwrap_or_default();
            return self.rest.last().copied();
        }
        let length = self.rest.len();
        let from_end = |step: usize| length.checked_sub(step + 1).and_then(|at| self.rest.get(at));
        let reach = gallop(|step| from_end(step).is_some_and(|posting| *posting > target));
        let start = length.saturating_sub(reach);
        let near = self.rest.get(start..).unwrap_or_default();
        let kept = start + near.partition_point(|posting| *posting <= target);
        self.rest = self.rest.get(..kept).unwrap_or_default();
        self.rest.last().copied()
    }
}

/// Doubles a step for as long as `before` holds there; what is looked for lies within the distance returned.
/// Consecutive seeks usually move a short way, so this beats a search of the whole list.
fn gallop(before: impl Fn(usize) -> bool) -> usize {
    let mut step = 1;
    while before(step - 1) {
        step *= 2;
    }
    step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeks_agree_with_a_plain_search() {
        let postings: Vec<u32> = (0..200).map(|n| n * 3 + n % 2).collect();
        for step in [1, 2, 7, 50, 300] {
            let (mut forward, mut backward) = (List::new(&postings), List::new(&postings));
            for target in (0..700).step_by(step) {
                let expected = postings.iter().find(|posting| **posting >= target).copied();
                assert_eq!(forward.seek_forward(target), expected, "forward to {target} by {step}");
            }
            for target in (0..700).rev().step_by(step) {
                let expected = postings.iter().rfind(|posting| **posting <= target).copied();
                assert_eq!(backward.seek_backward(target), expected, "backward to {target} by {step}");
            }
        }
    }
}
