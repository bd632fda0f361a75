//! An appender is killed when the full segment has ended and the next one is there, before anybody knows; another goes
//! on, and the power fails.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::failing::Order;
use common::simulated::SimulatedDisk;
use common::{all, assert_whole, chance, event};
use counterpoint::log::segment::file_name;
use counterpoint::storage::Storage;
use counterpoint::{Durability, Event, Options, Store};

const SEGMENT_BYTES: u64 = 4096;
/// The word of the shared marks that says that an appender makes room.
const ROLLING: usize = 6;
/// The words before the bells, which those who sleep need.
const WORDS: usize = 500;

fn open(disk: &Arc<SimulatedDisk>) -> Store {
    open_with(disk, Durability::Fsync)
}

fn open_with(disk: &Arc<SimulatedDisk>, durability: Durability) -> Store {
    let options = Options { segment_bytes: SEGMENT_BYTES, durability, ..Options::default() };
    Store::open_in(Arc::clone(disk) as Arc<_>, options).unwrap()
}

fn large() -> Vec<Event> {
    vec![Event::new::<&str>("Large", &[], &[7; 1500], None, None).unwrap()]
}

/// A store with two events acknowledged, whose appender was killed after so many rollovers that nobody knows of; and
/// the one that is left.
fn killed_after(rollovers: usize) -> (Arc<SimulatedDisk>, Store) {
    let disk = Arc::new(SimulatedDisk::default());
    let survivor = open(&disk);
    // Nothing that it writes is said to be durable, as in one group.
    let killed = open_with(&disk, Durability::Os { sync_interval: Duration::from_secs(3600) });
    for _ in 0..2 {
        survivor.append(large(), vec![]).unwrap();
    }
    let page = disk.shared_page("marks").unwrap();
    let words = || page.words().iter().take(WORDS);
    let known: Vec<u64> = words().map(|word| word.load(Ordering::SeqCst)).collect();
    for _ in 0..2 * rollovers {
        killed.append(large(), vec![]).unwrap();
    }
    // As it was before any of that was made known. Full segments have not been cut yet.
    words().zip(known).for_each(|(word, known)| word.store(known, Ordering::SeqCst));
    page.words()[ROLLING].store(1, Ordering::SeqCst);
    for name in disk.list().unwrap().iter().filter(|name| name.ends_with(".log")) {
        let file = disk.open(name).unwrap();
        file.preallocate(file.len().unwrap(), SEGMENT_BYTES).unwrap();
        file.sync_all().unwrap();
    }
    assert!(disk.list().unwrap().contains(&file_name(2 * rollovers as u64 + 1)));
    // Its threads would go on.
    std::mem::forget(killed);
    (disk, survivor)
}

#[test]
fn a_power_loss_while_a_rollover_of_one_who_was_killed_is_taken_back_leaves_a_store_that_opens() {
    let mut chance = chance();
    for rollovers in [1, 2, 3] {
        let mut moments = 0;
        for number in 1.. {
            let (disk, survivor) = killed_after(rollovers);
            disk.order(Some(Order { number, count: u64::MAX, ..Order::default() }));
            let appended = survivor.append(vec![event("A", &[])], vec![]);
            for keep in [Some(false), Some(true), None, None, None] {
                let crashed = Arc::new(disk.crash(|| keep.unwrap_or_else(&mut chance)));
                let store = open(&crashed);
                let head = store.append(vec![event("B", &[])], vec![]).unwrap();
                assert!(head >= 3, "{rollovers} rollovers, operation {number}");
                assert_eq!(all(&store).len() as u64, head, "{rollovers} rollovers, operation {number}");
                assert_whole(&store);
            }
            moments = number;
            if let Ok(position) = appended {
                assert_eq!(position, 3);
                break;
            }
        }
        assert!(moments > 8, "{moments}");
    }
}
