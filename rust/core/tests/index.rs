//! Whatever part of the log is in files, in memory, merged, damaged or read again: the index answers like the scan.

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use std::{fs, thread};

use common::model::Model;
use common::{condition, event, query, read};
use counterpoint::storage::{Memory, Storage};
use counterpoint::{AppendError, Event, Options, Query, QueryItem, ReadOptions, Store};
use proptest::prelude::*;

/// So few events to a file that a small log has many, and small segments. Every answer is the index's own.
fn small(index_events: usize) -> Options {
    Options { segment_bytes: 8192, index_events, read_cache_bytes: 0, ..Options::default() }
}

fn index_files(directory: &Path) -> Vec<String> {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(".idx")).collect()
}

/// Waits for what happens in the background.
fn eventually(what: &str, happened: impl Fn() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(60), "{what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Event n has a type that is the same for most, a tag of its own and one of a few.
fn numbered(n: u64) -> Event {
    let event_type = if n.is_multiple_of(50) { "Rare" } else { "Usual" };
    event(event_type, &[&format!("own:{n}"), &format!("shared:{}", n % 7)])
}

fn fill(store: &Store, count: u64) {
    let head = store.head().unwrap();
    for n in head + 1..=head + count {
        store.append(vec![numbered(n)], vec![]).unwrap();
    }
}

fn positions(store: &Store, query: Query, options: ReadOptions) -> Vec<u64> {
    read(store, query, options).iter().map(|event| event.position).collect()
}

fn check(store: &Store, count: u64) {
    assert_eq!(store.head().unwrap(), count);
    assert_eq!(read(store, Query::All, ReadOptions::default()).len() as u64, count);
    for n in [1, 2, count / 2, count - 1, count] {
        let own = query(&[], &[&format!("own:{n}")]);
        assert_eq!(positions(store, own.clone(), ReadOptions::default()), [n]);
        let taken = store.append(vec![event("A", &[])], vec![condition(own, 0)]);
        assert!(matches!(taken, Err(AppendError::Conflict(conflict)) if conflict.position == n));
    }
    let fifths = (1..=count).filter(|n| n % 7 == 5).collect::<Vec<_>>();
    assert_eq!(positions(store, query(&[], &["shared:5"]), ReadOptions::default()), fifths);
    let reverse = ReadOptions { reverse: true, limit: Some(3), ..ReadOptions::default() };
    let last = fifths.iter().rev().take(3).copied().collect::<Vec<_>>();
    assert_eq!(positions(store, query(&["Usual", "Rare"], &["shared:5"]), reverse), last);
    let rare = (1..=count).filter(|n| n % 50 == 0).collect::<Vec<_>>();
    assert_eq!(positions(store, query(&["Rare"], &[]), ReadOptions::default()), rare);
    assert!(positions(store, query(&[], &["own:0"]), ReadOptions::default()).is_empty());
}

#[test]
fn full_tails_become_files_whose_number_stays_small() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small(16)).unwrap();
    fill(&store, 1000);
    // 62 full tails in base 4 are three digits of at most 3.
    eventually("few files", || (1..=9).contains(&index_files(directory.path()).len()));
    check(&store, 1000);
    eventually("the files in use", || store.stats().unwrap().index_files <= 9);
    store.close().unwrap();
    let store = Store::open(directory.path(), small(16)).unwrap();
    assert!(store.stats().unwrap().index_files > 0);
    check(&store, 1000);
}

#[test]
fn index_files_can_be_deleted_at_any_time() {
    let directory = tempfile::tempdir().unwrap();
    for round in 1..=4 {
        let store = Store::open(directory.path(), small(16)).unwrap();
        fill(&store, 100);
        eventually("files", || store.stats().unwrap().index_files > 0);
        for name in index_files(directory.path()).iter().skip(round % 2) {
            fs::remove_file(directory.path().join(name)).ok();
        }
        check(&store, 100 * round as u64);
        fill(&store, 100);
        store.close().unwrap();
        for name in index_files(directory.path()).iter().step_by(2) {
            fs::remove_file(directory.path().join(name)).unwrap();
        }
        let store = Store::open(directory.path(), small(16)).unwrap();
        check(&store, 100 * (round as u64 + 1));
        store.close().unwrap();
        fs::remove_dir_all(directory.path()).unwrap();
        fs::create_dir(directory.path()).unwrap();
        let store = Store::open(directory.path(), small(16)).unwrap();
        fill(&store, 100 * round as u64);
    }
}

#[test]
fn a_damaged_index_file_is_made_again_and_no_answer_is_wrong() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small(64)).unwrap();
    fill(&store, 200);
    eventually("three files", || store.stats().unwrap().index_files == 3);
    store.close().unwrap();
    let names = index_files(directory.path());
    let whole: Vec<Vec<u8>> =
        names.iter().map(|name| fs::read(directory.path().join(name)).unwrap()).collect();
    for (name, whole) in names.iter().zip(&whole) {
        for place in (0..whole.len()).step_by(509) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x10;
            fs::write(directory.path().join(name), &bytes).unwrap();
            let store = Store::open(directory.path(), small(64)).unwrap();
            check(&store, 200);
        }
        fs::write(directory.path().join(name), &whole[..whole.len() / 2]).unwrap();
        check(&Store::open(directory.path(), small(64)).unwrap(), 200);
    }
}

#[test]
fn index_files_of_another_log_are_not_used() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = Store::open(one.path(), small(16)).unwrap();
    fill(&store, 100);
    eventually("files", || store.stats().unwrap().index_files > 0);
    store.close().unwrap();
    let copy = |names: &[String], from: &Path, to: &Path| {
        for name in names {
            fs::copy(from.join(name), to.join(name)).unwrap();
        }
    };
    let all = |path: &Path| {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect::<Vec<_>>()
    };
    copy(&all(one.path()), one.path(), other.path());
    // The two histories part here, and the files of one are put beside the log of the other.
    let (first, second) =
        (Store::open(one.path(), small(16)).unwrap(), Store::open(other.path(), small(16)).unwrap());
    for n in 0..100 {
        first.append(vec![event("First", &["x"])], vec![]).unwrap();
        second.append(vec![event("Second", &[&format!("y:{n}")])], vec![]).unwrap();
    }
    eventually("files", || first.stats().unwrap().index_files * 16 >= 5);
    first.close().unwrap();
    second.close().unwrap();
    for name in index_files(other.path()) {
        fs::remove_file(other.path().join(name)).unwrap();
    }
    copy(&index_files(one.path()), one.path(), other.path());
    let second = Store::open(other.path(), small(16)).unwrap();
    assert_eq!(positions(&second, query(&["Second"], &["y:90"]), ReadOptions::default()), [191]);
    assert!(positions(&second, query(&["First"], &[]), ReadOptions::default()).is_empty());
}

#[test]
fn handles_share_the_files_that_one_of_them_makes() {
    let directory = tempfile::tempdir().unwrap();
    let stores: Vec<Store> = (0..3).map(|_| Store::open(directory.path(), small(16)).unwrap()).collect();
    for n in 1..=600 {
        stores[n as usize % 3].append(vec![numbered(n)], vec![]).unwrap();
    }
    for store in &stores {
        check(store, 600);
        eventually("the files in use", || store.stats().unwrap().index_files > 0);
    }
    drop(stores);
    check(&Store::open(directory.path(), small(16)).unwrap(), 600);
}

#[derive(Clone, Debug)]
enum Step {
    Append { handle: usize, events: Vec<(u8, Vec<u8>)>, guard: Option<(u8, u64)> },
    Reopen { handle: usize },
    ReopenAll,
    LoseFiles { every: usize },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let events = prop::collection::vec((0..4u8, prop::collection::vec(0..12u8, 0..4)), 1..8);
    let append = (0..2usize, events, prop::option::of((0..12u8, 0..200u64)))
        .prop_map(|(handle, events, guard)| Step::Append { handle, events, guard });
    let steps = prop_oneof![
        20 => append,
        1 => (0..2usize).prop_map(|handle| Step::Reopen { handle }),
        1 => Just(Step::ReopenAll),
        1 => (1..4usize).prop_map(|every| Step::LoseFiles { every }),
    ];
    prop::collection::vec(steps, 1..80)
}

fn items() -> impl Strategy<Value = Query> {
    let item = (prop::collection::vec(0..5u8, 0..3), prop::collection::vec(0..13u8, 0..3))
        .prop_filter("an item restricts something", |(types, tags)| !types.is_empty() || !tags.is_empty());
    prop::collection::vec(item, 1..4).prop_map(|items| {
        let texts = |letter: char, numbers: Vec<u8>| {
            numbers.iter().map(|n| format!("{letter}{n}")).collect::<Vec<_>>()
        };
        let item = |(types, tags)| QueryItem::new(&texts('T', types), &texts('t', tags)).unwrap();
        Query::items(items.into_iter().map(item).collect()).unwrap()
    })
}

fn made((event_type, tags): &(u8, Vec<u8>)) -> Event {
    // Skewed: small numbers are frequent.
    let tags: Vec<String> = tags.iter().map(|tag| format!("t{}", tag * tag / 12)).collect();
    Event::new(&format!("T{}", event_type * event_type / 3), &tags, b"{}", None, None).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_index_agrees_with_the_scan(
        steps in steps(),
        queries in prop::collection::vec((items(), 0..300u64, prop::option::of(0..300u64), any::<bool>(), prop::option::of(1..20u64)), 20),
    ) {
        let storage = Arc::new(Memory::default());
        let open = || Store::open_in(Arc::clone(&storage) as Arc<_>, small(8)).unwrap();
        let mut handles = vec![open(), open()];
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append { handle, events, guard } => {
                    let events: Vec<Event> = events.iter().map(made).collect();
                    let guard = guard.map(|(tag, after)| condition(query(&[], &[&format!("t{tag}")]), after));
                    let conditions: Vec<_> = guard.into_iter().collect();
                    let expected = model.append(&events, &conditions);
                    match handles[handle].append(events, conditions) {
                        Ok(position) => prop_assert_eq!(Ok(position), expected),
                        Err(AppendError::Conflict(found)) => {
                            prop_assert!(expected.unwrap_err().contains(&(found.condition, found.position)));
                        }
                        Err(error) => return Err(TestCaseError::fail(error.to_string())),
                    }
                }
                Step::Reopen { handle } => {
                    handles[handle].close().unwrap();
                    handles[handle] = open();
                }
                Step::ReopenAll => {
                    handles.clear();
                    handles.extend([open(), open()]);
                }
                Step::LoseFiles { every } => {
                    let names = storage.list().unwrap();
                    for name in names.iter().filter(|name| name.ends_with(".idx")).step_by(every) {
                        storage.remove(name).ok();
                    }
                }
            }
        }
        for store in &handles {
            for (query, after, until, reverse, limit) in &queries {
                let options = ReadOptions { after: *after, until: *until, reverse: *reverse, limit: *limit };
                let found: Vec<_> = read(store, query.clone(), options).into_iter().map(|e| (e.position, e.event)).collect();
                prop_assert_eq!(found, model.read(query, options));
            }
        }
    }
}
