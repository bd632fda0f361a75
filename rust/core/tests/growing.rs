//! An empty segment is made longer in place for a batch that needs it. Whoever does that may die in the middle.

mod common;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use common::failing::{Operation, Order};
use common::simulated::SimulatedDisk;
use common::{all, assert_whole, event};
use counterpoint::log::segment::{SegmentHeader, file_name};
use counterpoint::storage::{Memory, Storage};
use counterpoint::{Event, Options, Store};

/// The word of the shared marks that says that an appender makes room.
const ROLLING: usize = 6;

fn open(storage: &Arc<impl Storage + 'static>) -> Store {
    Store::open_in(Arc::clone(storage) as Arc<_>, Options { segment_bytes: 4096, ..Options::default() })
        .unwrap()
}

#[test]
fn a_power_loss_while_an_empty_segment_is_made_longer_leaves_a_store_that_can_be_used() {
    let large = Event::new::<&str>("Large", &[], &[7; 5000], None, None).unwrap();
    let moments =
        [(Operation::Preallocate, 1), (Operation::Write, 1), (Operation::Sync, 1), (Operation::Sync, 2)];
    for (kind, number) in moments {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk);
        disk.order(Some(Order { only: Some(kind), number, count: u64::MAX, ..Order::default() }));
        store.append(vec![large.clone()], vec![]).unwrap_err();
        for keep in [false, true] {
            let crashed = Arc::new(disk.crash(|| keep));
            let head = open(&crashed).append(vec![event("A", &[])], vec![]).unwrap();
            assert_eq!(all(&open(&crashed)).len() as u64, head, "{kind:?} {number}");
            assert_whole(&open(&crashed));
        }
    }
}

#[test]
fn an_appender_that_was_killed_while_it_made_an_empty_segment_longer_harms_nobody_else() {
    for has_new_header in [false, true] {
        let storage = Arc::new(Memory::default());
        let survivor = open(&storage);
        let file = storage.open(&file_name(1)).unwrap();
        // What the other one did before it was killed.
        storage.shared_page("marks").unwrap().words()[ROLLING].store(1, Ordering::SeqCst);
        file.preallocate(4096, 8192).unwrap();
        if has_new_header {
            let mut bytes = [0; 64];
            file.read_exact_at(&mut bytes, 0).unwrap();
            let header = SegmentHeader { capacity: 8192, ..SegmentHeader::decode(&bytes).unwrap().0 };
            file.write_all_at(&header.encode().0, 0).unwrap();
        }
        assert_eq!(survivor.append(vec![event("A", &[])], vec![]).unwrap(), 1);
        drop(survivor);
        let store = open(&storage);
        assert_eq!(all(&store).len(), 1);
        assert_eq!(assert_whole(&store).events, 1);
    }
}
