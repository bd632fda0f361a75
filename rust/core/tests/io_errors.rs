//! Every operation of a run fails, one at a time, once and from then on, with every error (F2 in `docs/testing.md`).

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::failing::{EIO, ENOSPC, Operation, Order};
use common::simulated::SimulatedDisk;
use common::{all, assert_whole, condition, event, is_soak, query};
use counterpoint::{
    AppendError, Event, OpenError, Options, Query, ReadError, SequencedEvent, StorageError, Store,
};

const APPENDS: u64 = 48;
const CURSOR: &str = "follower";

fn open(disk: &Arc<SimulatedDisk>) -> Result<Store, OpenError> {
    let options = Options { segment_bytes: 4096, index_events: 16, ..Options::default() };
    Store::open_in(Arc::clone(disk) as Arc<_>, options)
}

/// What became of a run.
#[derive(Debug, Default)]
struct Outcome {
    acknowledged: u64,
    asked: u64,
    cursor: u64,
    cursor_asked: u64,
    error: Option<AppendError>,
}

fn batch(n: u64) -> Vec<Event> {
    let one = |index| {
        let tags = [format!("n:{}", n % 7), format!("i:{index}")];
        Event::new("A", &tags, &vec![n as u8; (n % 5 * 80) as usize], Some(b"m"), None).unwrap()
    };
    (0..=n % 3).map(one).collect()
}

/// Appends through both handles in turn, under conditions on older events, and sets cursors, until an append fails.
fn run(handles: &[Store; 2]) -> Outcome {
    let mut outcome = Outcome::default();
    for n in 0..APPENDS {
        let store = &handles[(n % 2) as usize];
        let (events, nothing) = (batch(n), query(&["Nothing"], &[&format!("n:{}", n % 7)]));
        outcome.asked = outcome.acknowledged + events.len() as u64;
        // The tag is there and the type is not: what has the tag is looked at.
        match store.append(events, vec![condition(nothing, 0)]) {
            Ok(last) => outcome.acknowledged = last,
            Err(error) => {
                outcome.error = Some(error);
                return outcome;
            }
        }
        if n % 8 == 0 {
            outcome.cursor_asked = n + 1;
            match store.set_cursor(CURSOR, n + 1, None) {
                Ok(_) => outcome.cursor = n + 1,
                Err(error) => {
                    assert!(matches!(error, ReadError::Storage(StorageError::Io { .. })), "{error}");
                }
            }
        }
    }
    outcome
}

/// How many operations of each kind `work` makes.
fn counted(disk: &SimulatedDisk, work: impl FnOnce()) -> BTreeMap<Operation, u64> {
    let before = disk.counts();
    work();
    let mut counts = disk.counts();
    counts.iter_mut().for_each(|(operation, count)| *count -= before.get(operation).unwrap_or(&0));
    counts
}

/// Each operation of each kind, with each error, once and for ever. A soak has every combination.
fn orders(counts: &BTreeMap<Operation, u64>) -> Vec<Order> {
    let mut orders = Vec::new();
    for (only, count) in counts {
        for number in 1..=*count {
            for (count, error, halves) in combinations(number) {
                orders.push(Order { only: Some(*only), number, count, error, halves });
            }
        }
    }
    orders
}

fn combinations(number: u64) -> Vec<(u64, i32, usize)> {
    let errors = [EIO, ENOSPC];
    if !is_soak() {
        let of = |turn: u64| (errors[(turn % 2) as usize], (turn % 3) as usize);
        return [1, u64::MAX]
            .map(|count| (count, of(number + count % 2).0, of(number + count % 3).1))
            .to_vec();
    }
    let counts = [1, 2, u64::MAX].into_iter();
    let with_errors = counts.flat_map(|count| errors.map(|error| (count, error)));
    with_errors.flat_map(|(count, error)| [0, 1, 2].map(|halves| (count, error, halves))).collect()
}

fn has_number(error: &StorageError, number: i32) -> bool {
    match error {
        StorageError::Io { source, .. } => source.raw_os_error() == Some(number),
        StorageError::Poisoned { cause } => cause.contains(&format!("(os error {number})")),
        StorageError::Corrupt(_) => false,
    }
}

fn assert_prefix(events: &[SequencedEvent], outcome: &Outcome, context: &str) {
    let expected: Vec<Event> = (0..APPENDS).flat_map(batch).take(events.len()).collect();
    assert!(events.iter().map(|found| &found.event).eq(&expected), "{context}");
    let found = events.len() as u64;
    assert!(found == outcome.acknowledged || found == outcome.asked, "{context}: {found} of {outcome:?}");
}

/// Opening again recovers all that was acknowledged, and all is well.
fn assert_recovers(disk: &Arc<SimulatedDisk>, outcome: &Outcome, context: &str) {
    let store = open(disk).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_prefix(&all(&store), outcome, context);
    let cursor = store.get_cursor(CURSOR).unwrap();
    assert!(cursor == outcome.cursor || cursor == outcome.cursor_asked, "{context}: {cursor} in {outcome:?}");
    let head = store.head().unwrap();
    assert_eq!(store.append(vec![event("After", &[])], vec![]).unwrap(), head + 1, "{context}");
    assert_eq!(assert_whole(&store).events, head + 1, "{context}");
}

#[test]
fn whatever_fails_in_a_run_both_handles_say_so_reads_go_on_and_opening_again_recovers() {
    let counts = {
        let disk = Arc::new(SimulatedDisk::default());
        let handles = [open(&disk).unwrap(), open(&disk).unwrap()];
        counted(&disk, || assert!(run(&handles).error.is_none()))
    };
    assert!(counts.values().sum::<u64>() >= 200, "{counts:?}");
    let (orders, mut failures) = (orders(&counts), BTreeMap::<Operation, u64>::new());
    for order in &orders {
        let context = format!("{order:?}");
        let disk = Arc::new(SimulatedDisk::default());
        let handles = [open(&disk).unwrap(), open(&disk).unwrap()];
        disk.order(Some(*order));
        let outcome = run(&handles);
        if let Some(error) = &outcome.error {
            *failures.entry(order.only.unwrap()).or_default() += 1;
            let is_clear = matches!(error, AppendError::Storage(error) if has_number(error, order.error));
            assert!(is_clear, "{context}: {error}");
            for store in &handles {
                // While it goes on failing, that may be what is told.
                let refused = store.append(vec![event("B", &[])], vec![]);
                let is_told =
                    matches!(&refused, Err(AppendError::Storage(error)) if has_number(error, order.error));
                assert!(is_told, "{context}: {refused:?}");
            }
            disk.order(None);
            for store in &handles {
                assert_eq!(store.head().unwrap(), outcome.acknowledged, "{context}");
                assert_prefix(&all(store), &outcome, &context);
                let refused = store.append(vec![event("B", &[])], vec![]);
                let Err(AppendError::Storage(StorageError::Poisoned { cause })) = &refused else {
                    panic!("{context}: {refused:?}");
                };
                assert!(cause.contains(&format!("(os error {})", order.error)), "{context}: {cause}");
            }
        }
        drop(handles);
        disk.order(None);
        assert_recovers(&disk, &outcome, &context);
    }
    println!("{} runs of {counts:?}; an append failed in {failures:?} of them", orders.len());
    for kind in [Operation::Write, Operation::Sync, Operation::Rename, Operation::Preallocate] {
        assert!(failures.get(&kind).is_some_and(|count| *count > 2), "{kind:?}: {failures:?}");
    }
}

#[test]
fn whatever_fails_while_a_store_is_opened_or_closed_nothing_is_lost() {
    let full = || {
        let disk = Arc::new(SimulatedDisk::default());
        let handles = [open(&disk).unwrap(), open(&disk).unwrap()];
        let outcome = run(&handles);
        (disk, handles, outcome)
    };
    let (disk, handles, _) = full();
    let closing = counted(&disk, || drop(handles));
    let opening = counted(&disk, || drop(open(&disk).unwrap()));
    let (mut refused, mut runs) = (0, 0);
    for order in orders(&closing) {
        let (disk, handles, outcome) = full();
        disk.order(Some(order));
        for store in &handles {
            if let Err(error) = store.close() {
                assert!(has_number(&error, order.error), "{order:?}: {error}");
            }
        }
        disk.order(None);
        assert_recovers(&disk, &outcome, &format!("closing, {order:?}"));
        runs += 1;
    }
    for order in orders(&opening) {
        let (disk, handles, outcome) = full();
        // As a killed process leaves it: the first to open it has the most to do.
        let killed = Arc::new(disk.crash(|| true));
        drop(handles);
        killed.order(Some(order));
        match open(&killed) {
            Ok(store) => {
                // It may not have come to that operation.
                killed.order(None);
                assert_prefix(&all(&store), &outcome, &format!("{order:?}"));
            }
            Err(OpenError::Storage(error)) => {
                assert!(has_number(&error, order.error), "{order:?}: {error}");
                refused += 1;
            }
            Err(error) => panic!("{order:?}: {error}"),
        }
        killed.order(None);
        assert_recovers(&killed, &outcome, &format!("opening, {order:?}"));
        runs += 1;
    }
    println!("{runs} runs; {refused} were refused");
    assert!(refused > 20, "{refused}");
}

/// Waits until the older events are in index files, which know only hashes: the events themselves have to be read.
fn wait_for_files(store: &Store) {
    let until = Instant::now() + Duration::from_secs(20);
    while store.stats().unwrap().index_files == 0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_condition_that_cannot_be_read_is_an_error_and_never_an_accepted_append() {
    let mut failures = 0;
    for number in 1.. {
        let disk = Arc::new(SimulatedDisk::default());
        let store = open(&disk).unwrap();
        for n in 0..40 {
            store.append(vec![event("Claimed", &[&format!("name:{n}")])], vec![]).unwrap();
        }
        wait_for_files(&store);
        disk.order(Some(Order { only: Some(Operation::Read), number, ..Order::default() }));
        let free = condition(query(&["Claimed"], &["name:3"]), 0);
        match store.append(vec![event("Claimed", &["name:3"])], vec![free]) {
            Err(AppendError::Storage(error)) => {
                assert!(has_number(&error, EIO), "{error}");
                failures += 1;
            }
            Err(AppendError::Conflict(conflict)) => {
                assert_eq!(conflict.position, 4);
                break;
            }
            accepted => panic!("{accepted:?}"),
        }
        disk.order(None);
        drop(store);
        assert_eq!(all(&open(&disk).unwrap()).len(), 40);
    }
    assert!(failures > 0);
}

#[test]
fn a_read_that_fails_is_an_error_and_never_a_shorter_answer() {
    let disk = Arc::new(SimulatedDisk::default());
    let store = open(&disk).unwrap();
    for n in 0..60 {
        store.append(vec![event("A", &[&format!("n:{}", n % 3)])], vec![]).unwrap();
    }
    wait_for_files(&store);
    for wanted in [Query::All, query(&["A"], &["n:1"])] {
        let mut failures = 0;
        for number in 1.. {
            disk.order(Some(Order { only: Some(Operation::Read), number, ..Order::default() }));
            let mut chunks =
                store.read(wanted.clone(), counterpoint::ReadOptions::default()).unwrap().chunks();
            let mut found = Vec::new();
            let failed = loop {
                match chunks.next_chunk() {
                    Ok(chunk) if chunk.is_empty() => break false,
                    Ok(chunk) => found.extend(chunk),
                    Err(ReadError::Storage(error)) => break has_number(&error, EIO),
                    Err(error) => panic!("{error}"),
                }
            };
            if !failed {
                assert_eq!(found.len(), if wanted == Query::All { 60 } else { 20 });
                break;
            }
            failures += 1;
        }
        assert!(failures > 0);
    }
}
