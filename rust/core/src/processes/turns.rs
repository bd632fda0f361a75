//! Turns at a lock: whoever has waited long goes first.
//!
//! The system's locks are not fair. Who lets go of one and wants it again at once is running, and takes it before one
//! that has yet to be woken, which then waits behind all others. So whoever waits leaves in a word since when, and
//! who comes for the lock steps back for a moment while somebody has waited long. All of this is a hint: wrong words,
//! or those of the dead, cost a little time and nothing else.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many can be waiting and be known to.
pub(super) const TURN_WORDS: usize = 16;

/// Whoever has waited for this long goes first.
const LONG: u64 = 5_000;
/// Whoever seems to have waited for this long has died, or the clock was set.
const TOO_LONG: u64 = 40_000;
/// How often one that comes looks whether somebody still has to go first, and how long it sleeps each time.
const LOOKS: usize = 10;
const BETWEEN_LOOKS: Duration = Duration::from_micros(100);

/// The words in which those who wait leave since when, in microseconds; 0 where nobody does.
#[derive(Clone, Copy)]
pub(crate) struct Turns<'a>(&'a [AtomicU64]);

/// A place among those who wait, given up when dropped.
pub(crate) struct Turn<'a> {
    word: &'a AtomicU64,
    since: u64,
}

impl<'a> Turns<'a> {
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        Self(words)
    }

    /// Lets those go first who have waited long, within reason.
    pub(super) fn step_back(self) {
        for _ in 0..LOOKS {
            if !self.somebody_is_late() {
                return;
            }
            thread::sleep(BETWEEN_LOOKS);
        }
    }

    /// Says that somebody waits from now on; `None` if too many do.
    pub(super) fn begin(self) -> Option<Turn<'a>> {
        let since = micros();
        let is_free = |word: &&AtomicU64| {
            let found = word.load(Ordering::Relaxed);
            let free = found == 0 || since.saturating_sub(found) >= TOO_LONG;
            free && word.compare_exchange(found, since, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        self.0.iter().find(is_free).map(|word| Turn { word, since })
    }

    fn somebody_is_late(self) -> bool {
        let mut waiting = self.0.iter().map(|word| word.load(Ordering::Relaxed)).filter(|since| *since != 0);
        // The clock is not asked while nobody waits.
        let Some(first) = waiting.next() else { return false };
        let now = micros();
        let is_late = |since: u64| (LONG..TOO_LONG).contains(&now.saturating_sub(since));
        is_late(first) || waiting.any(is_late)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // Unless somebody took this one for dead, and has the word now.
        let _taken = self.word.compare_exchange(self.since, 0, Ordering::Relaxed, Ordering::Relaxed);
    }
}

fn micros() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(value: u64) -> [AtomicU64; TURN_WORDS] {
        std::array::from_fn(|_| AtomicU64::new(value))
    }

    #[test]
    fn somebody_who_has_waited_long_is_let_go_first_until_they_have_the_lock() {
        let words = words(0);
        let turns = Turns::new(&words);
        let mut turn = turns.begin().unwrap();
        assert!(!turns.somebody_is_late(), "has only just come");
        turn.since = micros() - LONG - 1;
        words[0].store(turn.since, Ordering::Relaxed);
        assert!(turns.somebody_is_late());
        drop(turn);
        assert!(!turns.somebody_is_late());
    }

    #[test]
    fn the_dead_are_not_waited_for_and_their_places_are_taken() {
        let words = words(1);
        let turns = Turns::new(&words);
        assert!(!turns.somebody_is_late());
        let places: Vec<_> = std::iter::from_fn(|| turns.begin()).collect();
        assert_eq!(places.len(), TURN_WORDS);
        drop(places);
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
    }

    #[test]
    fn words_that_make_no_sense_hold_nobody_up() {
        let words = words(u64::MAX);
        let turns = Turns::new(&words);
        turns.step_back();
        assert!(!turns.somebody_is_late());
        assert!(turns.begin().is_none());
    }
}
