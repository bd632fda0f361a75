//! Handles that only read, beside random writers and after losses of power.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::reading::{answers, append, look_in, small};
use common::simulated::SimulatedDisk;
use common::{all, chance, event, rounds};
use counterpoint::storage::{Memory, Storage};
use counterpoint::{Event, Store};
use proptest::prelude::*;

#[test]
fn after_a_loss_of_power_a_reader_shows_a_part_of_what_recovery_keeps() {
    let (mut keep, mut shown) = (chance(), 0);
    for round in 0..rounds(150) {
        let disk = Arc::new(SimulatedDisk::default());
        let writer = Store::open_in(Arc::clone(&disk) as Arc<_>, small()).unwrap();
        let large = Event::new("A", &["x"], &vec![7; 100 * (round % 17)], None, None).unwrap();
        disk.fail(20 + round as u64 % 40, 1);
        let mut acknowledged = 0;
        // Some failures are not those of an append.
        for _ in 0..20 {
            let Ok(last) = writer.append(vec![large.clone(), event("B", &["y"])], vec![]) else { break };
            acknowledged = last;
        }
        let crashed = Arc::new(disk.crash(&mut keep));
        // On the next boot, or without the marks, what a reader sees is all that there is.
        let same_boot = round % 2 == 0;
        if !same_boot {
            let page = crashed.shared_page("marks").unwrap();
            page.words()[3].store(99, Ordering::SeqCst);
        }
        let storage: Arc<dyn Storage> = Arc::clone(&crashed) as Arc<_>;
        let reader = look_in(&storage).unwrap();
        let seen = all(&reader);
        assert!(seen.len() as u64 >= acknowledged);
        let recovered = Store::open_in(Arc::clone(&storage), small()).unwrap();
        let kept = all(&recovered);
        assert_eq!(seen, kept[..seen.len()]);
        assert!(same_boot || seen == kept);
        assert_eq!(all(&reader), kept, "and it follows");
        append(&recovered, 3);
        assert_eq!(answers(&reader), answers(&recovered));
        shown += seen.len();
    }
    assert!(shown > 0);
}

#[derive(Clone, Debug)]
enum Step {
    Append { handle: usize, events: usize },
    Reopen { handle: usize },
    CloseAll,
    Look { reader: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => (0..2usize, 1..12usize).prop_map(|(handle, events)| Step::Append { handle, events }),
        2 => (0..2usize).prop_map(|handle| Step::Reopen { handle }),
        1 => Just(Step::CloseAll),
        3 => (0..2usize).prop_map(|reader| Step::Look { reader }),
    ];
    prop::collection::vec(step, 1..40)
}

proptest! {
    #[test]
    fn readers_answer_like_writers_whoever_has_the_store_open(steps in steps()) {
        let storage: Arc<dyn Storage> = Arc::new(Memory::default());
        let open = || Store::open_in(Arc::clone(&storage), small()).unwrap();
        let mut writers = [Some(open()), Some(open())];
        let mut readers = [look_in(&storage).unwrap(), look_in(&storage).unwrap()];
        let mut count = 0;
        for step in steps {
            match step {
                Step::Append { handle, events } => {
                    let batch = (0..events).map(|n| {
                        count += 1;
                        event(if count % 3 == 0 { "A" } else { "B" }, if n % 2 == 0 { &["x"] } else { &["y"] })
                    });
                    writers[handle].get_or_insert_with(open).append(batch.collect(), vec![]).unwrap();
                }
                Step::Reopen { handle } => {
                    writers[handle] = None;
                    writers[handle] = Some(open());
                }
                Step::CloseAll => writers = [None, None],
                Step::Look { reader } => readers[reader] = look_in(&storage).unwrap(),
            }
            for reader in &readers {
                prop_assert_eq!(reader.head().unwrap(), count);
            }
        }
        let expected = answers(&open());
        for reader in &readers {
            prop_assert_eq!(&answers(reader), &expected);
        }
    }
}
