//! What a store does, in order of a life: open, append, read, follow, close, open again.

mod common;

use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{all, condition, event, item, query, read};
use counterpoint::log::frame::Kind;
use counterpoint::log::recovery::{Start, scan};
use counterpoint::log::segment::SegmentHeader;
use counterpoint::storage::Disk;
use counterpoint::{
    AppendError, Durability, Event, InvalidInput, OpenError, Options, Query, QueryItem, ReadError,
    ReadOptions, StorageError, Store,
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
fn an_exclusive_handle_is_the_only_one() {
    let directory = tempfile::tempdir().unwrap();
    let exclusive = Options { exclusive: true, ..Options::default() };
    let store = Store::open(directory.path(), exclusive).unwrap();
    for options in [exclusive, Options::default()] {
        let second = Store::open(directory.path(), options);
        assert!(matches!(second, Err(OpenError::Locked { pid: Some(pid), .. }) if pid == std::process::id()));
    }
    store.close().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let second = Store::open(directory.path(), exclusive);
    assert!(matches!(second, Err(OpenError::Locked { pid: None, wants_alone: true })));
    assert_eq!(store.append(vec![event("A", &[])], vec![]).unwrap(), 1);
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
    let mut others: Vec<_> =
        names.map(|name| name.into_string().unwrap()).filter(|name| !name.ends_with(".log")).collect();
    others.sort();
    assert_eq!(
        others,
        ["append.lock", "cursors.lock", "index.lock", "marks", "members.lock", "prepare.lock", "sync.lock"]
    );
}

#[test]
fn a_path_that_cannot_be_used_is_an_error_about_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "not a store").unwrap();
    assert!(matches!(Store::open(&file, Options::default()), Err(OpenError::Path { .. })));
    std::fs::create_dir(directory.path().join("append.lock")).unwrap();
    let opened = Store::open(directory.path(), Options::default());
    assert!(
        matches!(&opened, Err(OpenError::Path { path, .. }) if path.ends_with("append.lock")),
        "{opened:?}"
    );
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
fn every_flipped_bit_of_the_cursors_is_damage() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    assert!(store.set_cursor("a", 7, None).unwrap());
    let cursors = directory.path().join("cursors");
    let whole = std::fs::read(&cursors).unwrap();
    for bit in 0..whole.len() * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&cursors, bytes).unwrap();
        let got = store.get_cursor("a");
        assert!(matches!(got, Err(ReadError::Storage(StorageError::Corrupt(_)))), "bit {bit}: {got:?}");
        let set = store.set_cursor("b", 1, None);
        assert!(matches!(set, Err(ReadError::Storage(StorageError::Corrupt(_)))), "bit {bit}: {set:?}");
    }
    std::fs::write(&cursors, whole).unwrap();
    assert_eq!(store.get_cursor("a").unwrap(), 7);
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

#[test]
fn a_damaged_event_is_an_error_of_the_read_and_its_neighbours_are_not() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    for data in ["first", "second", "third"] {
        store
            .append(vec![Event::new::<&str>("A", &[], data.as_bytes(), None, None).unwrap()], vec![])
            .unwrap();
    }
    let log = directory.path().join("00000000000000000001.log");
    let bytes = std::fs::read(&log).unwrap();
    let at = bytes.windows(6).position(|window| window == b"second").unwrap();
    let file = std::fs::File::options().write(true).open(&log).unwrap();
    file.write_all_at(b"S", at as u64).unwrap();
    let only =
        |position| ReadOptions { after: position - 1, until: Some(position), ..ReadOptions::default() };
    for (position, is_whole) in [(1, true), (2, false), (3, true)] {
        let read = store.read(Query::All, only(position)).unwrap().chunks().next_chunk();
        match read {
            Ok(events) => assert!(is_whole && events[0].position == position),
            Err(error) => {
                assert!(
                    !is_whole && matches!(error, ReadError::Storage(StorageError::Corrupt(_))),
                    "{error}"
                );
            }
        }
    }
}

#[test]
fn an_idle_log_is_sealed_whatever_the_interval_of_its_syncs() {
    let os = |sync_interval| Durability::Os { sync_interval };
    for durability in [Durability::Fsync, os(Duration::ZERO), os(Duration::from_millis(200))] {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path(), Options { durability, ..small() }).unwrap();
        store.append(vec![event("A", &[])], vec![]).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while !ends_with_a_seal(directory.path()) {
            assert!(Instant::now() < until, "{durability:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn ends_with_a_seal(directory: &Path) -> bool {
    let name = "00000000000000000001.log";
    let bytes = std::fs::read(directory.join(name)).unwrap();
    let start = Start { store: None, position: 1, previous: 0 };
    scan(name, &bytes, bytes.len() as u64, start, |_, _| Ok(())).is_ok_and(|end| end.last == Some(Kind::Seal))
}

#[test]
fn opening_removes_only_its_own_temporary_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    for name in ["next.ready", "next-0.tmp", "cursors.tmp", "letter.tmp"] {
        std::fs::write(path(name), "unfinished").unwrap();
    }
    let _store = Store::open(directory.path(), small()).unwrap();
    assert!(["next.ready", "next-0.tmp", "cursors.tmp"].iter().all(|name| !path(name).exists()));
    assert!(path("letter.tmp").exists());
}

#[test]
fn a_cursors_file_longer_than_any_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    assert!(store.set_cursor("a", 7, None).unwrap());
    drop(store);
    let file = std::fs::File::options().write(true).open(directory.path().join("cursors")).unwrap();
    file.set_len(1 << 42).unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    let got = store.get_cursor("a");
    assert!(matches!(got, Err(ReadError::Storage(StorageError::Corrupt(_)))), "{got:?}");
}

#[test]
fn a_small_condition_with_a_very_long_encoding_is_refused() {
    let types: Vec<String> = (0..65_535).map(|n| format!("{n:0200}")).collect();
    let large = QueryItem::new::<_, &str>(&types, &[]).unwrap();
    let shared = Query::items(vec![large; 65_535]).unwrap();
    let refused = memory().append(vec![event("A", &[])], vec![condition(shared, 0)]);
    assert!(matches!(refused, Err(AppendError::Invalid(InvalidInput::AboveLimit { .. }))), "{refused:?}");
}

#[test]
fn an_empty_last_segment_is_dropped_unless_the_one_before_it_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    drop(store);
    let empty = directory.path().join("00000000000000000002.log");
    std::fs::write(&empty, "").unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    assert!(!empty.exists());
    // The next append does not fit, so it makes that segment.
    let large = Event::new::<&str>("Large", &[], &[7; 4096], None, None).unwrap();
    assert_eq!(store.append(vec![large], vec![]).unwrap(), 2);
    drop(store);
    std::fs::write(&empty, "").unwrap();
    let opened = Store::open(directory.path(), small());
    assert!(
        matches!(&opened, Err(OpenError::Storage(StorageError::Corrupt(found))) if found.file == "00000000000000000002.log"),
        "{opened:?}"
    );
}

/// Checks that no segment is longer than it was made, and returns how many there are.
fn check_lengths(directory: &Path) -> usize {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let logs = names.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
    let lengths = logs.map(|path| {
        let bytes = std::fs::read(&path).unwrap();
        let capacity = SegmentHeader::decode(&bytes).unwrap().0.capacity;
        assert!(bytes.len() as u64 <= capacity, "{path:?} has {} of {capacity} bytes", bytes.len());
    });
    lengths.count()
}

#[test]
fn a_segment_keeps_room_for_its_end_whatever_its_last_batch_and_its_seal_leave() {
    let event = |bytes| vec![Event::new::<&str>("A", &[], &vec![7; bytes], None, None).unwrap()];
    for bytes in (3700..3900).step_by(8) {
        let directory = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let store = Store::open(directory.path(), small()).unwrap();
            store.append(event(bytes), vec![]).unwrap();
        }
        assert!(check_lengths(directory.path()) >= 2);
    }
}

#[test]
fn a_prepared_segment_that_is_too_small_for_a_batch_is_not_used() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), small()).unwrap();
    let event = |bytes| vec![Event::new::<&str>("A", &[], &vec![7; bytes], None, None).unwrap()];
    store.append(event(2100), vec![]).unwrap();
    let prepared = directory.path().join("next.ready");
    while !std::fs::metadata(&prepared).is_ok_and(|found| found.len() == 4096) {
        std::thread::yield_now();
    }
    store.append(event(100_000), vec![]).unwrap();
    assert_eq!(check_lengths(directory.path()), 2);
}
