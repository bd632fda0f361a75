//! Power loss and failing operations, on a simulated disk (F1 and F2 of the promises in `docs/design.md`).

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{panic, thread};

use common::simulated::SimulatedDisk;
use common::{all, assert_whole, chance, condition, event, query, rounds};
use counterpoint::storage::Storage;
use counterpoint::{
    AppendError, Durability, Event, Options, Query, ReadError, ReadOptions, SequencedEvent, StorageError,
    Store,
};

fn open(disk: &Arc<SimulatedDisk>) -> Result<Store, counterpoint::OpenError> {
    Store::open_in(Arc::clone(disk) as Arc<_>, Options { segment_bytes: 4096, ..Options::default() })
}

fn open_os(disk: &Arc<SimulatedDisk>, sync_interval: Duration) -> Store {
    let options = Options { durability: Durability::Os { sync_interval }, ..Options::default() };
    Store::open_in(Arc::clone(disk) as Arc<_>, options).unwrap()
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
            assert_eq!(assert_whole(&store).events, head + 1, "{context}");
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

#[test]
fn what_is_seen_or_acknowledged_after_a_failure_and_a_reopening_survives_a_power_loss() {
    for fail_at in 1..150 {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        disk.fail(fail_at, 1);
        append_some(&store, 60);
        drop(store);
        disk.fail(1, 0);
        let store = open(&disk).unwrap();
        let head_after_a_crash = || open(&Arc::new(disk.crash(|| false))).unwrap().head().unwrap();
        assert_eq!(head_after_a_crash(), store.head().unwrap(), "failure at {fail_at}");
        let acknowledged = store.append(vec![event("B", &[])], vec![]).unwrap();
        assert_eq!(head_after_a_crash(), acknowledged, "failure at {fail_at}");
    }
}

#[test]
fn a_store_whose_making_failed_half_way_is_durable_once_it_is_open() {
    for fail_at in 1..12 {
        let disk = Arc::new(SimulatedDisk::default());
        disk.fail(fail_at, 1);
        drop(open(&disk));
        disk.fail(1, 0);
        let store = open(&disk).unwrap();
        store.append(vec![event("A", &[])], vec![]).unwrap();
        let crashed = open(&Arc::new(disk.crash(|| false))).unwrap();
        assert_eq!(crashed.head().unwrap(), 1, "failure at {fail_at}");
    }
}

/// Holds up the next sync of a file for a while; returns once it has begun.
fn hold_up_a_sync(disk: &SimulatedDisk) -> impl FnOnce() {
    let begun = Arc::new(AtomicBool::new(false));
    let begins = Arc::clone(&begun);
    disk.before_sync(move || {
        if !begins.swap(true, Ordering::SeqCst) {
            thread::sleep(Duration::from_millis(200));
        }
    });
    move || {
        while !begun.load(Ordering::SeqCst) {
            thread::yield_now();
        }
    }
}

#[test]
fn an_append_that_lost_to_an_event_that_was_never_durable_is_told_of_the_failure() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    let has_begun = hold_up_a_sync(&disk);
    thread::scope(|scope| {
        scope.spawn(|| store.append(vec![event("First", &[])], vec![]).unwrap());
        has_begun();
        // The next two are one group, whose write succeeds and whose sync does not.
        disk.fail(3, 1);
        let winner = scope.spawn(|| store.append(vec![event("A", &[])], vec![]));
        thread::sleep(Duration::from_millis(50));
        let loser = store.append(vec![event("B", &[])], vec![condition(query(&["A"], &[]), 0)]);
        assert!(matches!(loser, Err(AppendError::Storage(_))), "{loser:?}");
        assert!(winner.join().unwrap().is_err());
    });
}

#[test]
fn closing_waits_for_a_cursor_that_is_being_set() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    let has_begun = hold_up_a_sync(&disk);
    thread::scope(|scope| {
        let set = scope.spawn(|| store.set_cursor("a", 1, Some(0)).unwrap());
        has_begun();
        store.close().unwrap();
        assert_eq!(open(&disk).unwrap().get_cursor("a").unwrap(), 1);
        assert!(set.join().unwrap());
    });
}

#[test]
fn a_file_that_could_not_be_preallocated_gives_its_room_back() {
    let disk = Arc::new(SimulatedDisk::default());
    disk.fail(3, 1);
    open(&disk).unwrap_err();
    assert_eq!(disk.list().unwrap(), [""; 0]);
}

#[test]
fn appending_while_another_panic_unwinds_is_an_ordinary_append() {
    struct Farewell<'a>(&'a Store);
    impl Drop for Farewell<'_> {
        fn drop(&mut self) {
            drop(self.0.append(vec![event("Farewell", &[])], vec![]));
        }
    }
    let store = open(&Arc::default()).unwrap();
    let unwound = panic::catch_unwind(panic::AssertUnwindSafe(|| {
        let _farewell = Farewell(&store);
        panic::resume_unwind(Box::new("a panic that has nothing to do with the store"));
    }));
    assert!(unwound.is_err());
    assert_eq!(store.append(vec![event("A", &[])], vec![]).unwrap(), 2);
}

#[test]
fn a_leader_that_panics_leaves_a_poisoned_store_that_answers_and_closes() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    disk.before_sync(|| panic::resume_unwind(Box::new("a panic at the rollover")));
    let large = Event::new::<&str>("Large", &[], &[7; 4096], None, None).unwrap();
    let append = || store.append(vec![large], vec![]);
    assert!(panic::catch_unwind(panic::AssertUnwindSafe(append)).is_err());
    let refused = store.append(vec![event("B", &[])], vec![]).unwrap_err();
    let is_told = matches!(&refused, AppendError::Storage(StorageError::Poisoned { cause }) if cause == "the commit path panicked");
    assert!(is_told, "{refused}");
    assert_eq!(all(&store).len(), 1, "reads go on");
    store.close().unwrap();
}

#[test]
fn batches_that_were_never_synced_are_a_torn_tail_whichever_sectors_of_them_survive() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open_os(&disk, Duration::from_secs(60));
    for _ in 0..3 {
        let large = Event::new::<&str>("Large", &[], &[7; 600], None, None).unwrap();
        store.append(vec![large], vec![]).unwrap();
    }
    let mut keep = chance();
    for round in 0..rounds(50) {
        open(&Arc::new(disk.crash(&mut keep))).unwrap_or_else(|error| panic!("crash {round}: {error}"));
    }
}

#[test]
fn cursors_survive_a_power_loss() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    for position in 1..4 {
        assert!(store.set_cursor("a", position, None).unwrap());
        let crashed = open(&Arc::new(disk.crash(|| false))).unwrap();
        assert_eq!(crashed.get_cursor("a").unwrap(), position);
    }
}

#[test]
fn what_durability_os_acknowledged_is_durable_soon_after() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open_os(&disk, Duration::from_millis(1));
    store.append(vec![event("A", &[])], vec![]).unwrap();
    // Before an idle log is sealed, and so synced in any case.
    let until = Instant::now() + Duration::from_millis(900);
    while open(&Arc::new(disk.crash(|| false))).unwrap().head().unwrap() == 0 {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn after_a_failed_read_the_same_events_are_read_again() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    let mut chunks = store.read(Query::All, ReadOptions::default()).unwrap().chunks();
    disk.fail(1, 1);
    assert!(matches!(chunks.next_chunk(), Err(ReadError::Storage(StorageError::Io { .. }))));
    assert_eq!(chunks.next_chunk().unwrap().len(), 1);
    assert!(chunks.next_chunk().unwrap().is_empty());
}

#[test]
fn a_failed_read_ends_a_verification_and_is_no_finding() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    append_some(&store, 60);
    let mut failures = 0;
    for fail_at in 1.. {
        disk.fail(fail_at, 1);
        let failed = store.verify().and_then(|mut verify| {
            while verify.step().inspect_err(|_| {
                // Nor does it go on as if nothing had been left out.
                assert!(verify.step().is_err());
            })? {}
            Ok(verify.result())
        });
        match failed {
            Err(error) => assert!(matches!(error, ReadError::Storage(StorageError::Io { .. })), "{error}"),
            Ok(verification) => {
                assert_eq!(verification.findings, []);
                break;
            }
        }
        failures += 1;
    }
    assert!(failures > 10, "{failures}");
    disk.fail(u64::MAX / 2, 0);
    assert_whole(&store);
}

#[test]
fn nothing_is_written_once_the_store_is_closed() {
    for _ in 0..50 {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| while store.append(vec![event("A", &[])], vec![]).is_ok() {});
            }
            store.wait(20, Duration::MAX).unwrap();
            store.close().unwrap();
            let at_close = disk.operations();
            thread::sleep(Duration::from_millis(2));
            assert_eq!(disk.operations(), at_close);
        });
    }
}
