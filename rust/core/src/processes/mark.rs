//! A mark: a place in the log that one process at a time publishes and everybody reads, whole or not at all.
//!
//! ```text
//! word 0 turn | 1..5 and 5..9 two slots: segment, end, position, checksum
//! ```
//!
//! The turn tells which slot counts. A publisher fills the other one and then takes the next turn with one store, so
//! one that dies midway has changed nothing, and readers need no lock.

use std::sync::atomic::{AtomicU64, Ordering, fence};

use uuid::Uuid;

use crate::log::Reach;

const SLOT_WORDS: usize = 4;
/// How many words a mark takes.
pub(super) const MARK_WORDS: usize = 1 + 2 * SLOT_WORDS;

/// The words of one mark.
#[derive(Clone, Copy)]
pub(super) struct Mark<'a>(&'a [AtomicU64]);

impl<'a> Mark<'a> {
    /// The mark in these words, which are [`MARK_WORDS`].
    pub(super) fn new(words: &'a [AtomicU64]) -> Self {
        debug_assert_eq!(words.len(), MARK_WORDS);
        Self(words)
    }

    /// The place last published, if its checksum says that it is whole and of this store.
    pub(super) fn witness(self, store: Uuid) -> Option<Reach> {
        let (reach, sum) = self.slot();
        (sum == checksum(store, reach)).then_some(reach)
    }

    /// Publishes a place. One caller at a time, in all processes.
    pub(super) fn publish(self, store: Uuid, reach: Reach) {
        let Some((turn, slots)) = self.0.split_first() else { return };
        let next = turn.load(Ordering::Relaxed).wrapping_add(1);
        // Who sees a word of what follows sees the turn before it too.
        fence(Ordering::Release);
        let values = [reach.segment, reach.end, reach.position, checksum(store, reach)];
        for (word, value) in slot_of(slots, next).iter().zip(values) {
            word.store(value, Ordering::Relaxed);
        }
        turn.store(next, Ordering::Release);
    }

    fn slot(self) -> (Reach, u64) {
        let Some((turn, slots)) = self.0.split_first() else { return (Reach::default(), 0) };
        loop {
            let before = turn.load(Ordering::Acquire);
            let words = slot_of(slots, before).iter().map(|word| word.load(Ordering::Relaxed));
            let words: [u64; SLOT_WORDS] = collect(words);
            // The loads above come before the one below: a slot is filled again only after a further turn.
            fence(Ordering::Acquire);
            if turn.load(Ordering::Relaxed) == before {
                let [segment, end, position, sum] = words;
                return (Reach { segment, end, position }, sum);
            }
        }
    }
}

fn slot_of(slots: &[AtomicU64], turn: u64) -> &[AtomicU64] {
    let (even, odd) = slots.split_at(slots.len() / 2);
    if turn.is_multiple_of(2) { even } else { odd }
}

fn collect(words: impl Iterator<Item = u64>) -> [u64; SLOT_WORDS] {
    let mut all = [0; SLOT_WORDS];
    for (place, word) in all.iter_mut().zip(words) {
        *place = word;
    }
    all
}

/// Never 0, so that an empty page has no valid mark.
fn checksum(store: Uuid, Reach { segment, end, position }: Reach) -> u64 {
    let sum = [segment, end, position]
        .iter()
        .fold(crc32c::crc32c(store.as_bytes()), |sum, word| crc32c::crc32c_append(sum, &word.to_le_bytes()));
    u64::from(sum) | 1 << 32
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn words() -> [AtomicU64; MARK_WORDS] {
        [const { AtomicU64::new(0) }; MARK_WORDS]
    }

    #[test]
    fn an_empty_page_bears_no_witness() {
        assert_eq!(Mark::new(&words()).witness(Uuid::from_bytes([7; 16])), None);
    }

    #[test]
    fn a_publisher_that_dies_midway_has_changed_nothing() {
        let (words, store) = (words(), Uuid::from_bytes([7; 16]));
        let reach = Reach { segment: 1, end: 2, position: 3 };
        Mark::new(&words).publish(store, reach);
        slot_of(&words[1..], 2).iter().for_each(|word| word.store(9, Ordering::Relaxed));
        assert_eq!(Mark::new(&words).witness(store), Some(reach));
    }

    #[test]
    fn a_mark_with_a_flipped_bit_bears_no_witness_nor_does_that_of_another_store() {
        let (words, store) = (words(), Uuid::from_bytes([7; 16]));
        Mark::new(&words).publish(store, Reach { segment: 1, end: 2, position: 3 });
        assert_eq!(Mark::new(&words).witness(Uuid::from_bytes([8; 16])), None);
        for word in slot_of(&words[1..], 1) {
            for bit in 0..64 {
                word.fetch_xor(1 << bit, Ordering::Relaxed);
                assert_eq!(Mark::new(&words).witness(store), None);
                word.fetch_xor(1 << bit, Ordering::Relaxed);
            }
        }
        assert!(Mark::new(&words).witness(store).is_some());
    }

    #[test]
    fn a_mark_is_read_whole_while_it_moves() {
        let (words, store, over) = (words(), Uuid::nil(), AtomicBool::new(false));
        let mark = Mark::new(&words);
        mark.publish(store, Reach::default());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..200_000 {
                    mark.publish(store, Reach { segment: n, end: n * 2, position: n * 3 });
                }
                over.store(true, Ordering::Release);
            });
            while !over.load(Ordering::Acquire) {
                let Reach { segment, end, position } = mark.witness(store).unwrap();
                assert_eq!((end, position), (segment * 2, segment * 3));
            }
        });
    }
}
