//! What a store does, in order of a life: open, append, read, follow, close, open again.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{all, condition, event, item, query, read};
use counterpoint::storage::Disk;
use counterpoint::{
    AppendError, Durability, Event, InvalidInput, OpenError, Options, Query, ReadError, ReadOptions, Store,
};

fn memory() -> Store {
    Store::open_memory(Options::default()).unwrap()
}

fn small() -> Options {
    Options { segment_bytes: 4 << 10, ..Options::default() }
}

#[test]
fn a_new_store_is_empty() {
    let store = memory();
    assert_eq!(store.head().unwrap(), 0);
    assert_eq!(all(&store), []);
}

#[test]
fn an_append_returns_the_position_of_its_last_event() {
    let store = memory();
    assert_eq!(store.append(vec![event("A", &[]), event("B", &[])], vec![]).unwrap(), 2);
    assert_eq!(store.append(vec![event("C", &[])], vec![]).unwrap(), 3);
    assert_eq!(store.head().unwrap(), 3);
}

#[test]
fn events_come_back_as_they_were_appended_across_segments_and_a_reopen() {
    let directory = tempfile::tempdir().unwrap();
    let events: Vec<Event> = (0..500u32)
        .map(|n| Event::new("Numbered", &[n.to_string()], &[n as u8; 100], None, None).unwrap())
        .collect();
    let store = Store::open(directory.path(), small()).unwrap();
    for batch in events.chunks(7) {
        store.append(batch.to_vec(), vec![]).unwrap();
    }
    assert!(store.stats().unwrap().segments > 10);
    let before = all(&store);
    store.close().unwrap();

    let store = Store::open(directory.path(), small()).unwrap();
    assert_eq!(all(&store), before);
    assert_eq!(before.iter().map(|found| found.event.clone()).collect::<Vec<_>>(), events);
    assert_eq!(before.iter().map(|found| found.position).collect::<Vec<_>>(), (1..=500).collect::<Vec<_>>());
    assert!(before.is_sorted_by_key(|found| found.recorded_at));
    assert_eq!(store.append(vec![event("After", &[])], vec![]).unwrap(), 501);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let large = Event::new::<&str>("Large", &[], &vec![7; 100_000], None, None).unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    for _ in 0..3 {
        store.append(vec![event("Small", &[]), large.clone()], vec![]).unwrap();
    }
    drop(store);
    let store = Store::open(directory.path(), small()).unwrap();
    assert_eq!(read(&store, query(&["Large"], &[]), ReadOptions::default()).len(), 3);
}

#[test]
fn a_condition_refuses_what_a_matching_event_contradicts() {
    let store = memory();
    store.append(vec![event("A", &["x"]), event("B", &["x", "y"])], vec![]).unwrap();
    let refused = store.append(
        vec![event("C", &[])],
        vec![condition(query(&["A"], &[]), 1), condition(query(&[], &["y", "x"]), 1)],
    );
    let Err(AppendError::Conflict(conflict)) = refused else { panic!("{refused:?}") };
    assert_eq!((conflict.position, conflict.condition), (2, 1));
    assert_eq!(store.head().unwrap(), 2);
    for after in [2, 3, u64::MAX] {
        store.append(vec![event("C", &[])], vec![condition(query(&[], &["x"]), after)]).unwrap();
    }
}

#[test]
fn an_empty_append_is_refused_before_its_condition_is_looked_at() {
    let store = memory();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    let refused = store.append(vec![], vec![condition(Query::All, 0)]);
    assert!(matches!(refused, Err(AppendError::Invalid(InvalidInput::EmptyBatch))));
}

#[test]
fn an_event_that_matches_several_items_is_read_once() {
    let store = memory();
    for _ in 0..20 {
        store.append(vec![event("A", &["x", "y"]), event("B", &["y"]), event("C", &["z"])], vec![]).unwrap();
    }
    let items = vec![item(&["A"], &[]), item(&[], &["x"]), item(&["A", "B"], &["y"])];
    let query = Query::items(items).unwrap();
    let positions =
        |options| read(&store, query.clone(), options).iter().map(|e| e.position).collect::<Vec<_>>();
    let expected: Vec<u64> = (1..=60).filter(|position| position % 3 != 0).collect();
    assert_eq!(positions(ReadOptions::default()), expected);
    let backwards = ReadOptions { reverse: true, limit: Some(3), until: Some(50), after: 5 };
    assert_eq!(positions(backwards), [50, 49, 47]);
    // The first event of the log has nothing before it to seek to.
    let to_the_first = ReadOptions { reverse: true, until: Some(2), ..ReadOptions::default() };
    assert_eq!(positions(to_the_first), [2, 1]);
}

#[test]
fn a_read_is_a_snapshot() {
    let store = memory();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    let snapshot = store.read(Query::All, ReadOptions::default()).unwrap();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    assert_eq!(snapshot.head(), 1);
    assert_eq!(snapshot.chunks().next_chunk().unwrap().len(), 1);
}

#[test]
fn a_subscription_catches_up_and_then_follows() {
    let store = memory();
    for _ in 0..100 {
        store.append(vec![event("A", &["x"]), event("B", &[])], vec![]).unwrap();
    }
    let mut subscription = store.subscribe(query(&["A"], &[]), 10).unwrap();
    let mut positions = Vec::new();
    loop {
        let chunk = subscription.poll().unwrap();
        if chunk.is_empty() {
            break;
        }
        positions.extend(chunk.iter().map(|event| event.position));
    }
    assert_eq!(positions, (11..200).step_by(2).collect::<Vec<_>>());
    assert_eq!(subscription.position(), 200);
    store.append(vec![event("B", &[]), event("A", &[])], vec![]).unwrap();
    assert_eq!(subscription.poll().unwrap()[0].position, 202);
    assert!(subscription.poll().unwrap().is_empty());
}

#[test]
fn waiting_ends_with_an_append_a_timeout_or_the_store() {
    let store = Arc::new(memory());
    assert_eq!(store.wait(0, Duration::from_millis(5)).unwrap(), 0);
    let waiting = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || store.wait(0, Duration::MAX))
    };
    store.append(vec![event("A", &[])], vec![]).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap(), 1);
    let waiting = {
        let store = Arc::clone(&store);
        std::thread::spawn(move || store.wait(1, Duration::MAX))
    };
    store.close().unwrap();
    assert!(matches!(waiting.join().unwrap(), Err(ReadError::Closed)));
}

#[test]
fn a_second_handle_is_told_who_holds_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let second = Store::open(directory.path(), Options::default());
    assert!(matches!(second, Err(OpenError::Locked { pid: Some(pid) }) if pid == std::process::id()));
    store.close().unwrap();
    Store::open(directory.path(), Options::default()).unwrap();
}

#[test]
fn a_closed_store_leaves_only_its_own_files() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    for _ in 0..100 {
        store.append(vec![event("A", &["x"])], vec![]).unwrap();
    }
    store.close().unwrap();
    let names = std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let others: Vec<_> = names.filter(|name| !name.to_str().unwrap().ends_with(".log")).collect();
    assert!(
        others.len() == 2 && others.contains(&"lock".into()) && others.contains(&"marks".into()),
        "{others:?}"
    );
}

#[test]
fn a_path_that_cannot_be_used_is_an_error_about_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    assert!(matches!(Store::open(&file, Options::default()), Err(OpenError::Path { .. })));
    std::fs::create_dir(directory.path().join("lock")).unwrap();
    let opened = Store::open(directory.path(), Options::default());
    assert!(matches!(&opened, Err(OpenError::Path { path, .. }) if path.ends_with("lock")), "{opened:?}");
    let undersized = Options { segment_bytes: 1, ..Options::default() };
    let made = directory.path().join("made");
    assert!(matches!(Store::open(&made, undersized), Err(OpenError::InvalidOption(_))));
    assert!(!made.exists());
}

#[test]
fn a_closed_store_says_so() {
    let store = memory();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    let mut chunks = store.read(Query::All, ReadOptions::default()).unwrap().chunks();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.append(vec![event("A", &[])], vec![]), Err(AppendError::Closed)));
    assert!(matches!(store.head(), Err(ReadError::Closed)));
    assert!(matches!(chunks.next_chunk(), Err(ReadError::Closed)));
}

#[test]
fn cursors_outlive_the_store_and_move_by_compare_and_set() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!(store.get_cursor("a").unwrap(), 0);
    assert!(store.set_cursor("a", 7, Some(0)).unwrap());
    assert!(!store.set_cursor("a", 9, Some(0)).unwrap());
    assert!(store.set_cursor("b", 3, None).unwrap());
    drop(store);
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert_eq!((store.get_cursor("a").unwrap(), store.get_cursor("b").unwrap()), (7, 3));
}

#[test]
fn a_missing_log_is_not_taken_for_a_new_store() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), Options::default()).unwrap());
    std::fs::remove_file(directory.path().join("00000000000000000001.log")).unwrap();
    let opened = Store::open(directory.path(), Options::default());
    assert!(matches!(opened, Err(OpenError::Storage(counterpoint::StorageError::Corrupt(_)))), "{opened:?}");
}

#[test]
fn durability_os_acknowledges_and_syncs_later() {
    let directory = tempfile::tempdir().unwrap();
    let durability = Durability::Os { sync_interval: Duration::from_millis(1) };
    let options = Options { durability, ..Options::default() };
    let store = Store::open_in(Arc::new(Disk::open(directory.path()).unwrap()), options).unwrap();
    for _ in 0..100 {
        store.append(vec![event("A", &[])], vec![]).unwrap();
    }
    assert_eq!(store.head().unwrap(), 100);
    drop(store);
    assert_eq!(all(&Store::open(directory.path(), Options::default()).unwrap()).len(), 100);
}
