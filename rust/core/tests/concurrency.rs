//! Threads that race for the same store.

mod common;

use std::collections::HashMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use common::{all, condition, event, query, read};
use counterpoint::{AppendError, Options, Query, ReadOptions, Store};

fn small(directory: &tempfile::TempDir) -> Store {
    Store::open(directory.path(), Options { segment_bytes: 16 << 10, ..Options::default() }).unwrap()
}

#[test]
fn of_fifty_racers_for_one_name_one_wins() {
    let directory = tempfile::tempdir().unwrap();
    let store = small(&directory);
    for round in 0..20 {
        let name = format!("name:{round}");
        let (barrier, wins) = (Barrier::new(50), AtomicU64::new(0));
        thread::scope(|scope| {
            for _ in 0..50 {
                scope.spawn(|| {
                    barrier.wait();
                    let claim = condition(query(&[], &[&name]), 0);
                    match store.append(vec![event("Claimed", &[&name])], vec![claim]) {
                        Ok(_) => wins.fetch_add(1, Ordering::Relaxed),
                        Err(AppendError::Conflict(conflict)) => {
                            // The event that was lost to is visible to whoever lost.
                            assert!(conflict.position <= store.head().unwrap());
                            0
                        }
                        Err(error) => panic!("{error}"),
                    };
                });
            }
        });
        assert_eq!(wins.into_inner(), 1);
    }
    assert_eq!(store.head().unwrap(), 20);
}

#[test]
fn unrelated_appends_never_conflict_and_related_ones_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let store = small(&directory);
    let (threads, each) = (8, 40);
    thread::scope(|scope| {
        for number in 0..threads {
            let store = &store;
            scope.spawn(move || {
                let own = format!("own:{number}");
                let mut after = 0;
                for _ in 0..each {
                    let alone = condition(query(&[], &[&own]), after);
                    after = store.append(vec![event("Step", &[&own, "shared"])], vec![alone]).unwrap();
                    // A counter that everybody increments: the decision is retried until it holds.
                    for attempt in 0.. {
                        assert!(attempt < 10_000, "a conflict with nobody");
                        let shared = query(&["Counted"], &[]);
                        let head = store.head().unwrap();
                        let tag = read(store, shared.clone(), ReadOptions::default()).len().to_string();
                        match store.append(vec![event("Counted", &[&tag])], vec![condition(shared, head)]) {
                            Ok(_) => break,
                            Err(AppendError::Conflict(_)) => {}
                            Err(error) => panic!("{error}"),
                        }
                    }
                }
            });
        }
    });
    let counted = read(&store, query(&["Counted"], &[]), ReadOptions::default());
    let numbers: Vec<String> =
        counted.iter().map(|found| found.event.view().tags.iter().next().unwrap().to_owned()).collect();
    assert_eq!(numbers, (0..threads * each).map(|n| n.to_string()).collect::<Vec<_>>());
    let before = all(&store);
    drop(store);
    assert_eq!(all(&small(&directory)), before);
}

#[test]
fn nothing_appears_at_or_below_a_head_that_was_seen() {
    let directory = tempfile::tempdir().unwrap();
    let store = small(&directory);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|number: u32| {
                let store = &store;
                scope.spawn(move || {
                    for n in 0..200 {
                        let events = (0..=n % 3).map(|_| event("A", &[&number.to_string()])).collect();
                        store.append(events, vec![]).unwrap();
                    }
                })
            })
            .collect();
        for _ in 0..2 {
            scope.spawn(|| {
                let mut seen = HashMap::new();
                while !done.load(Ordering::Acquire) {
                    let snapshot = store.read(Query::All, ReadOptions::default()).unwrap();
                    let events = read(
                        &store,
                        Query::All,
                        ReadOptions { until: Some(snapshot.head()), ..Default::default() },
                    );
                    assert_eq!(events.len() as u64, snapshot.head());
                    for found in events {
                        assert_eq!(
                            *seen.entry(found.position).or_insert_with(|| found.event.clone()),
                            found.event
                        );
                    }
                }
            });
        }
        writers.into_iter().for_each(|writer| writer.join().unwrap());
        done.store(true, Ordering::Release);
    });
}

#[test]
fn appends_under_way_are_answered_when_the_store_closes() {
    for _ in 0..20 {
        let store = Store::open_memory(Options::default()).unwrap();
        let accepted = AtomicU64::new(0);
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    loop {
                        match store.append(vec![event("A", &[])], vec![]) {
                            Ok(position) => accepted.fetch_max(position, Ordering::Relaxed),
                            Err(AppendError::Closed) => break,
                            Err(error) => panic!("{error}"),
                        };
                    }
                });
            }
            while store.wait(100, Duration::from_secs(1)).unwrap() <= 100 {}
            store.close().unwrap();
        });
        assert!(accepted.into_inner() > 100);
    }
}
