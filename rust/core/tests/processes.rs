//! Several handles on one store. They share nothing but the directory, so to each other they are like processes.

mod common;

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use common::model::Model;
use common::{all, assert_whole, condition, event, query, read};
use counterpoint::storage::{DIRECTORY, Disk, LockKind, Memory, Storage};
use counterpoint::{
    AppendCondition, AppendError, Durability, Event, OpenError, Options, Query, ReadOptions, StorageError,
    Store,
};
use proptest::prelude::*;

/// Small segments, so that handles follow each other from one to the next.
fn small() -> Options {
    Options { segment_bytes: 4096, ..Options::default() }
}

fn open(path: &Path) -> Store {
    Store::open(path, small()).unwrap()
}

fn unless(event_type: &str, after: u64) -> Vec<AppendCondition> {
    vec![condition(query(&[event_type], &[]), after)]
}

#[test]
fn what_one_handle_appends_another_reads_and_is_refused_for() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    assert_eq!(one.append(vec![event("A", &["x"])], vec![]).unwrap(), 1);
    assert_eq!(other.head().unwrap(), 1);
    assert_eq!(all(&other).len(), 1);
    let refused = other.append(vec![event("A", &[])], unless("A", 0));
    assert!(matches!(refused, Err(AppendError::Conflict(conflict)) if conflict.position == 1));
    assert_eq!(other.append(vec![event("B", &[])], unless("A", 1)).unwrap(), 2);
    assert_eq!(one.append(vec![event("A", &[])], unless("C", 0)).unwrap(), 3);
    assert_eq!(all(&one), all(&other));
}

#[test]
fn a_batch_larger_than_the_first_segment_reaches_the_other_handles() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    let large = Event::new("A", &["x"], &vec![7; 50_000], None, None).unwrap();
    one.append(vec![large.clone()], vec![]).unwrap();
    assert_eq!(other.append(vec![large.clone()], unless("B", 0)).unwrap(), 2);
    assert_eq!(all(&one).into_iter().map(|found| found.event).collect::<Vec<_>>(), vec![large; 2]);
    drop((one, other));
    assert_eq!(open(directory.path()).head().unwrap(), 2);
}

#[test]
fn a_subscription_follows_what_other_handles_append() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    let mut subscription = other.subscribe(query(&[], &["even"]), 0).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..200 {
                one.append(vec![event("A", if n % 2 == 0 { &["even"] } else { &["odd"] })], vec![]).unwrap();
            }
        });
        let mut positions = Vec::new();
        while positions.len() < 100 {
            let events = subscription.poll().unwrap();
            if events.is_empty() {
                other.wait(subscription.position(), Duration::from_secs(10)).unwrap();
            }
            positions.extend(events.iter().map(|event| event.position));
        }
        assert_eq!(positions, (1..200).step_by(2).collect::<Vec<_>>());
    });
}

#[test]
fn handles_that_race_lose_nothing_and_accept_each_claim_once() {
    let directory = tempfile::tempdir().unwrap();
    let stores: Vec<Store> = (0..4).map(|_| open(directory.path())).collect();
    let claims = 150;
    let won: Vec<Vec<usize>> = thread::scope(|scope| {
        let race = |store| {
            move || {
                let claim = |n: &usize| {
                    let tag = format!("claim:{n}");
                    let free = condition(query(&[], &[&tag]), 0);
                    Store::append(store, vec![event("Claimed", &[&tag])], vec![free]).is_ok()
                };
                (0..claims).filter(claim).collect()
            }
        };
        let racers: Vec<_> =
            stores.iter().flat_map(|store| [store, store]).map(|store| scope.spawn(race(store))).collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    let mut winners: Vec<usize> = won.into_iter().flatten().collect();
    winners.sort_unstable();
    assert_eq!(winners, (0..claims).collect::<Vec<_>>(), "each claim has one winner");
    for store in &stores {
        let events = all(store);
        assert_eq!(
            events.iter().map(|event| event.position).collect::<Vec<_>>(),
            (1..=claims as u64).collect::<Vec<_>>()
        );
    }
    drop(stores);
    let store = open(directory.path());
    assert_eq!(all(&store).len(), claims);
    assert_eq!(assert_whole(&store).conditions, claims as u64);
}

#[test]
fn a_head_that_one_handle_has_seen_is_complete_in_every_other() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (open(directory.path()), open(directory.path()));
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..500 {
                one.append((0..=n % 3).map(|_| event("A", &["x"])).collect(), vec![]).unwrap();
            }
            over.store(true, Ordering::Release);
        });
        while !over.load(Ordering::Acquire) {
            let head = one.head().unwrap();
            assert!(other.head().unwrap() >= head);
            let seen =
                read(&other, query(&[], &["x"]), ReadOptions { until: Some(head), ..ReadOptions::default() });
            assert_eq!(seen.len() as u64, head);
        }
    });
}

#[test]
fn handles_come_and_go_while_others_append() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let come_and_go = || {
            let mut count = 0;
            while !over.load(Ordering::Acquire) {
                let visitor = open(directory.path());
                visitor.append(vec![event("Visited", &[])], vec![]).unwrap();
                visitor.close().unwrap();
                count += 1;
            }
            count
        };
        let visitors = [scope.spawn(come_and_go), scope.spawn(come_and_go)];
        for _ in 0..400 {
            store.append(vec![event("Stayed", &["x"])], unless("Nothing", 0)).unwrap();
        }
        over.store(true, Ordering::Release);
        let visits: usize = visitors.map(|visitor| visitor.join().unwrap()).into_iter().sum();
        assert_eq!(all(&store).len(), 400 + visits);
    });
}

#[test]
fn a_failure_in_one_handle_stops_the_appends_of_all_until_the_store_is_opened_anew() {
    let disk = std::sync::Arc::new(common::simulated::SimulatedDisk::default());
    let open = || Store::open_in(std::sync::Arc::clone(&disk) as std::sync::Arc<_>, small());
    let (one, other) = (open().unwrap(), open().unwrap());
    one.append(vec![event("A", &[])], vec![]).unwrap();
    disk.fail(1, 1);
    assert!(matches!(one.append(vec![event("B", &[])], vec![]), Err(AppendError::Storage(_))));
    let refused = other.append(vec![event("B", &[])], vec![]);
    assert!(
        matches!(&refused, Err(AppendError::Storage(StorageError::Poisoned { cause })) if cause.contains("os error 5")),
        "{refused:?}"
    );
    assert_eq!(all(&other).len(), 1);
    drop(one);
    let joined = open().unwrap();
    assert!(joined.append(vec![event("B", &[])], vec![]).is_err(), "somebody still has the poisoned store");
    drop((joined, other));
    assert_eq!(open().unwrap().append(vec![event("B", &[])], vec![]).unwrap(), 2);
}

#[test]
fn who_was_killed_while_it_opened_the_store_is_waited_for_until_it_is_dead() {
    for there_is_one in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        if there_is_one {
            drop(open(directory.path()));
        }
        // The locks of the dead go one after the other: this is what is left of them for a moment.
        let last = Disk::open(directory.path()).unwrap().lock_file(DIRECTORY).unwrap();
        assert!(last.try_lock(LockKind::Exclusive).unwrap());
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(50));
                last.unlock().unwrap();
            });
            assert_eq!(open(directory.path()).append(vec![event("A", &[])], vec![]).unwrap(), 1);
        });
    }
}

#[test]
fn files_replaced_under_an_open_store_are_noticed_by_who_joins() {
    for name in ["marks", "append.lock", "sync.lock", "prepare.lock", "members.lock"] {
        let directory = tempfile::tempdir().unwrap();
        let _store = open(directory.path());
        std::fs::remove_file(directory.path().join(name)).unwrap();
        let joined = Store::open(directory.path(), small());
        assert!(
            matches!(&joined, Err(OpenError::Storage(StorageError::Corrupt(found))) if found.what.contains("replaced")),
            "{name}: {joined:?}"
        );
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append { handle: usize, tags: Vec<u8>, guard: Option<(u8, u64)> },
    Reopen { handle: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let append = (0..3usize, prop::collection::vec(0..6u8, 0..3), prop::option::of((0..6u8, 0..40u64)))
        .prop_map(|(handle, tags, guard)| Step::Append { handle, tags, guard });
    let reopen = (0..3usize).prop_map(|handle| Step::Reopen { handle });
    prop::collection::vec(prop_oneof![8 => append, 1 => reopen], 1..60)
}

proptest! {
    #[test]
    fn handles_agree_with_the_model(steps in steps(), os in any::<bool>()) {
        let storage = std::sync::Arc::new(Memory::default());
        let durability = if os { Durability::Os { sync_interval: Duration::from_secs(60) } } else { Durability::Fsync };
        let open = || Store::open_in(std::sync::Arc::clone(&storage) as std::sync::Arc<_>, Options { durability, ..small() }).unwrap();
        let mut handles = [open(), open(), open()];
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append { handle, tags, guard } => {
                    let tags: HashSet<String> = tags.iter().map(|tag| format!("t{tag}")).collect();
                    let events = vec![Event::new("A", &tags.into_iter().collect::<Vec<_>>(), b"", None, None).unwrap()];
                    let conditions: Vec<_> = guard
                        .map(|(tag, after)| condition(query(&["A"], &[&format!("t{tag}")]), after))
                        .into_iter()
                        .collect();
                    match (handles[handle].append(events.clone(), conditions.clone()), model.append(&events, &conditions)) {
                        (Ok(position), Ok(expected)) => prop_assert_eq!(position, expected),
                        (Err(AppendError::Conflict(found)), Err(expected)) => {
                            prop_assert!(expected.contains(&(found.condition, found.position)));
                        }
                        (found, expected) => prop_assert!(false, "{found:?}, not {expected:?}"),
                    }
                }
                Step::Reopen { handle } => {
                    handles[handle].close().unwrap();
                    handles[handle] = open();
                }
            }
            for handle in &handles {
                prop_assert_eq!(handle.head().unwrap(), model.head());
            }
        }
        for handle in &handles {
            let found: Vec<Event> = read(handle, Query::All, ReadOptions::default()).into_iter().map(|found| found.event).collect();
            prop_assert_eq!(&found, &model.events);
        }
    }
}
