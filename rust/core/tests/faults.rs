//! Power loss and failing operations, on a simulated disk (F1 and F2 of the promises in `docs/design.md`).

mod common;

use std::sync::Arc;

use common::simulated::SimulatedDisk;
use common::{all, chance, condition, event, query, rounds};
use counterpoint::{AppendError, Options, SequencedEvent, StorageError, Store};

fn open(disk: &Arc<SimulatedDisk>) -> Result<Store, counterpoint::OpenError> {
    Store::open_in(Arc::clone(disk) as Arc<_>, Options { segment_bytes: 4096, ..Options::default() })
}

/// Appends until something fails; returns how many events were acknowledged and how many were asked for.
fn append_some(store: &Store, count: u64) -> (u64, u64) {
    for n in 0..count {
        let events = (0..=n % 3).map(|_| event("A", &["x", "some tag that takes room"])).collect();
        let head = store.head().unwrap();
        if store.append(events, vec![condition(query(&["A"], &[]), head)]).is_err() {
            return (head, head + n % 3 + 1);
        }
    }
    let head = store.head().unwrap();
    (head, head)
}

/// Everything acknowledged is there, whole, and at most the one batch more that was under way.
fn assert_survived(events: &[SequencedEvent], (acknowledged, asked): (u64, u64), context: &str) {
    let found = events.len() as u64;
    assert!(found == acknowledged || found == asked, "{context}: {found} of {acknowledged}..{asked}");
    assert!(events.iter().zip(1..).all(|(event, position)| event.position == position), "{context}");
}

#[test]
fn a_power_loss_at_any_moment_loses_nothing_acknowledged() {
    let mut chance = chance();
    for fail_at in 1..120 {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        disk.fail(fail_at, u64::MAX);
        let reached = append_some(&store, 60);
        for round in 0..rounds(20) {
            let crashed = Arc::new(disk.crash(&mut chance));
            let context = format!("failure at {fail_at}, crash {round}");
            let store = open(&crashed).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_survived(&all(&store), reached, &context);
            let head = store.head().unwrap();
            assert_eq!(store.append(vec![event("B", &[])], vec![]).unwrap(), head + 1, "{context}");
        }
    }
}

#[test]
fn a_power_loss_during_recovery_is_survived_too() {
    let mut chance = chance();
    for fail_at in 1..60 {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        disk.fail(fail_at, u64::MAX);
        let reached = append_some(&store, 40);
        for recovery_fails_at in (1..8).cycle().take(rounds(7)) {
            let first = Arc::new(disk.crash(&mut chance));
            first.fail(recovery_fails_at, u64::MAX);
            drop(open(&first));
            let second = Arc::new(first.crash(&mut chance));
            let context = format!("failure at {fail_at}, recovery failing at {recovery_fails_at}");
            let store = open(&second).unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_survived(&all(&store), reached, &context);
        }
    }
}

#[test]
fn after_a_failed_operation_nothing_is_acknowledged_until_the_store_is_opened_again() {
    let operations = {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        let before = disk.operations();
        append_some(&store, 60);
        disk.operations() - before
    };
    assert!(operations >= 100, "{operations}");
    let mut failures = 0;
    for fail_at in 1..=operations {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        disk.fail(fail_at, 1);
        let reached = append_some(&store, 60);
        if reached.0 == reached.1 {
            // The operation was one of the housekeeper's, which is tried again where it matters.
            continue;
        }
        failures += 1;
        let refused = store.append(vec![event("B", &[])], vec![]);
        assert!(
            matches!(refused, Err(AppendError::Storage(StorageError::Poisoned { .. }))),
            "failure at {fail_at}: {refused:?}"
        );
        assert_eq!(all(&store).len() as u64, reached.0, "reads go on");
        drop(store);
        assert_survived(&all(&open(&disk).unwrap()), reached, &format!("failure at {fail_at}"));
    }
    assert!(failures >= 100, "{failures}");
}
