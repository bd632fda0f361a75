//! A handle that only reads: it changes nothing, shows what is durable and no more, and follows those who write.

mod common;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use common::reading::{answers, append, look_in, reading, small};
use common::simulated::SimulatedDisk;
use common::{all, assert_whole, event, query, rounds};
use counterpoint::log::segment;
use counterpoint::storage::{Memory, Storage};
use counterpoint::{
    AppendError, Durability, OpenError, Options, Query, ReadError, ReadOptions, SequencedEvent, StorageError,
    Store,
};
use parking_lot::Mutex;

fn open(path: &Path) -> Store {
    Store::open(path, small()).unwrap()
}

fn look(path: &Path) -> Result<Store, OpenError> {
    Store::open(path, reading())
}

/// Everything about the files of a store: names, bytes, and times, that of the last access too.
fn snapshot(path: &Path) -> BTreeMap<String, (Vec<u8>, [i64; 6])> {
    let entries: Vec<_> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    let about = |path: &Path| {
        let mut bytes = Vec::new();
        if path.is_file() {
            // Without an access of its own.
            let mut file = OpenOptions::new().read(true).custom_flags(libc::O_NOATIME).open(path).unwrap();
            file.read_to_end(&mut bytes).unwrap();
        }
        let m = fs::metadata(path).unwrap();
        let times = [m.mtime(), m.mtime_nsec(), m.ctime(), m.ctime_nsec(), m.atime(), m.atime_nsec()];
        (path.file_name().unwrap().to_str().unwrap().to_owned(), (bytes, times))
    };
    entries.iter().map(|path| &**path).chain([path]).map(about).collect()
}

/// Nothing about the files has changed since.
fn assert_untouched(path: &Path, before: &BTreeMap<String, (Vec<u8>, [i64; 6])>) {
    let now = snapshot(path);
    assert_eq!(now.keys().collect::<Vec<_>>(), before.keys().collect::<Vec<_>>());
    for (name, (bytes, times)) in before {
        assert!(now[name].0 == *bytes, "{name} has other bytes");
        assert_eq!(now[name].1, *times, "{name}");
    }
}

/// Everything that a handle shows, or why it cannot.
fn try_all(store: &Store) -> Result<Vec<SequencedEvent>, String> {
    let mut chunks =
        store.read(Query::All, ReadOptions::default()).map_err(|error| error.to_string())?.chunks();
    let mut events = Vec::new();
    loop {
        let chunk = chunks.next_chunk().map_err(|error| error.to_string())?;
        if chunk.is_empty() {
            return Ok(events);
        }
        events.extend(chunk);
    }
}

/// Waits until all that is full of the index is in files, which are made in the background.
fn wait_for_index_files(store: &Store) {
    while store.stats().unwrap().index_files == 0 {
        thread::sleep(Duration::from_millis(2));
    }
}

/// The files of an open store as its death leaves them.
fn killed(live: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(live).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

#[test]
fn a_reader_shows_what_a_writer_does_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    append(&writer, 100);
    writer.set_cursor("c", 7, None).unwrap();
    let expected = answers(&writer);
    let why = writer.why(101).unwrap();
    writer.close().unwrap();
    let before = snapshot(directory.path());
    for _ in 0..3 {
        let reader = look(directory.path()).unwrap();
        assert_eq!(answers(&reader), expected);
        assert_eq!(reader.get_cursor("c").unwrap(), 7);
        assert_eq!(reader.why(101).unwrap(), why);
        assert_eq!(reader.stats().unwrap().head, 200);
        assert_eq!(assert_whole(&reader).events, 200);
        assert_eq!(reader.wait(200, Duration::from_millis(20)).unwrap(), 200);
        reader.close().unwrap();
    }
    assert_untouched(directory.path(), &before);
}

#[test]
fn what_would_change_the_store_is_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    let reader = look(directory.path()).unwrap();
    assert!(reader.is_read_only());
    assert!(matches!(reader.append(vec![event("A", &[])], vec![]), Err(AppendError::ReadOnly)));
    assert!(matches!(reader.append(vec![], vec![]), Err(AppendError::ReadOnly)));
    assert!(matches!(reader.set_cursor("c", 1, None), Err(ReadError::ReadOnly)));
    reader.close().unwrap();
    assert!(matches!(reader.append(vec![event("A", &[])], vec![]), Err(AppendError::Closed)));
    assert!(matches!(reader.head(), Err(ReadError::Closed)));
}

#[test]
fn where_there_is_no_store_none_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let missing = directory.path().join("missing");
    assert!(matches!(look(&missing), Err(OpenError::Path { .. })));
    assert!(!missing.exists());
    assert!(matches!(look(directory.path()), Err(OpenError::NoStore)));
    fs::write(directory.path().join("notes.txt"), "not ours").unwrap();
    assert!(matches!(look(directory.path()), Err(OpenError::NoStore)));
    assert!(matches!(look(&directory.path().join("notes.txt")), Err(OpenError::Path { .. })));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    let exclusive = Options { exclusive: true, ..reading() };
    assert!(matches!(Store::open(&missing, exclusive), Err(OpenError::InvalidOption(_))));
    assert!(matches!(Store::open_memory(reading()), Err(OpenError::InvalidOption(_))));
    assert!(matches!(look_in(&(Arc::new(Memory::default()) as Arc<dyn Storage>)), Err(OpenError::NoStore)));
}

#[test]
fn a_store_whose_log_is_gone_is_damaged_for_a_reader_as_well() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    fs::remove_file(directory.path().join(segment::file_name(1))).unwrap();
    let found = look(directory.path());
    assert!(
        matches!(&found, Err(OpenError::Storage(StorageError::Corrupt(at))) if at.what.contains("missing"))
    );
}

#[test]
fn a_reader_is_no_member() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    let reader = look(directory.path()).unwrap();
    // Neither does it keep anybody out who wants the store alone, nor does that one keep it out.
    let alone = Store::open(directory.path(), Options { exclusive: true, ..small() }).unwrap();
    append(&alone, 1);
    let beside = look(directory.path()).unwrap();
    assert_eq!((reader.head().unwrap(), beside.head().unwrap()), (4, 4));
    alone.close().unwrap();
    // The next one is the first: it drops what a dying one would have left.
    let log = directory.path().join(segment::file_name(1));
    let mut bytes = fs::read(&log).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8);
    bytes[end..end + 100].fill(7);
    fs::write(&log, bytes).unwrap();
    let third = look(directory.path()).unwrap();
    append(&open(directory.path()), 1);
    for reader in [reader, beside, third] {
        assert_eq!(reader.head().unwrap(), 6);
        assert_eq!(all(&reader).len(), 6);
    }
}

#[test]
fn a_reader_follows_writers_that_come_and_go() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    let reader = look(directory.path()).unwrap();
    let mut subscription = reader.subscribe(query(&["B"], &[]), 0).unwrap();
    let mut positions = Vec::new();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                append(&open(directory.path()), 20);
            }
        });
        while positions.len() < 401 {
            let events = subscription.poll().unwrap();
            positions.extend(events.iter().map(|event| event.position));
            if events.is_empty() {
                reader.wait(subscription.position(), Duration::from_secs(10)).unwrap();
            }
        }
    });
    assert_eq!(positions, (1..=401).map(|n| 2 * n).collect::<Vec<_>>());
    // What others make of the index is taken into use: memory does not grow with the log.
    let writer = open(directory.path());
    append(&writer, 20);
    wait_for_index_files(&writer);
    wait_for_index_files(&reader);
    drop(writer);
    assert_eq!(answers(&reader), answers(&open(directory.path())));
}

#[test]
fn a_store_may_be_opened_to_read_at_any_moment_of_its_members_lives() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking: Vec<_> = (0..2)
            .map(|_| {
                scope.spawn(|| {
                    let (mut known, mut looks) = (0, 0);
                    while !over.load(Ordering::Acquire) {
                        let reader = look(directory.path()).unwrap();
                        let seen = all(&reader);
                        assert!(seen.len() as u64 >= known, "what was shown is gone");
                        assert_eq!(seen.last().map(|event| event.position), Some(seen.len() as u64));
                        (known, looks) = (reader.head().unwrap(), looks + 1);
                    }
                    looks
                })
            })
            .collect();
        for _ in 0..rounds(150) {
            append(&open(directory.path()), 2);
        }
        over.store(true, Ordering::Release);
        for looks in looking {
            assert!(looks.join().unwrap() > 0);
        }
    });
    assert_eq!(all(&open(directory.path())).len(), 2 + 4 * rounds(150));
}

#[test]
fn closing_a_reader_wakes_those_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    append(&open(directory.path()), 1);
    let reader = look(directory.path()).unwrap();
    thread::scope(|scope| {
        let waiting = scope.spawn(|| reader.wait(2, Duration::from_secs(600)));
        thread::sleep(Duration::from_millis(30));
        reader.close().unwrap();
        assert!(matches!(waiting.join().unwrap(), Err(ReadError::Closed)));
    });
}

#[test]
fn what_is_written_but_not_synced_is_not_shown() {
    for durability in [Durability::Fsync, Durability::Os { sync_interval: Duration::from_secs(60) }] {
        let disk = Arc::new(SimulatedDisk::default());
        let storage: Arc<dyn Storage> = Arc::clone(&disk) as Arc<_>;
        let writer = Store::open_in(Arc::clone(&storage), Options { durability, ..small() }).unwrap();
        let held = Arc::new(Mutex::new(()));
        let (begins, syncing) = channel();
        let barrier = Arc::clone(&held);
        let holding = held.lock();
        disk.before_sync(move || {
            let _nobody_listens_any_more = begins.send(());
            drop(barrier.lock());
        });
        thread::scope(|scope| {
            scope.spawn(|| append(&writer, 1));
            if durability == Durability::Fsync {
                syncing.recv().unwrap();
            } else {
                while writer.head().unwrap() < 2 {}
            }
            let reader = look_in(&storage).unwrap();
            assert_eq!((reader.head().unwrap(), all(&reader)), (0, vec![]));
            drop(holding);
            // With the other durability that is when the writer closes.
            if durability != Durability::Fsync {
                writer.close().unwrap();
            }
            assert_eq!(reader.wait(0, Duration::from_secs(60)).unwrap(), 2);
            assert_eq!(all(&reader).len(), 2);
        });
    }
}

#[test]
fn after_a_kill_a_reader_shows_what_the_marks_call_durable_and_without_them_what_recovery_keeps() {
    let directory = tempfile::tempdir().unwrap();
    let lazy = Durability::Os { sync_interval: Duration::from_secs(60) };
    let writer = Store::open(directory.path(), Options { durability: lazy, ..small() }).unwrap();
    append(&writer, 3);
    let copy = killed(directory.path());
    let marks = copy.path().join("marks");
    let of_this_boot = fs::read(&marks).unwrap();
    let before = snapshot(copy.path());
    let reader = look(copy.path()).unwrap();
    assert_eq!((reader.head().unwrap(), all(&reader).len()), (0, 0), "nothing was synced");
    assert_untouched(copy.path(), &before);
    let of_another_boot = |at: usize| {
        let mut bytes = of_this_boot.clone();
        bytes[at] ^= 1;
        Some(bytes)
    };
    // The boot id, the magic, and none at all.
    for bytes in [of_another_boot(24), of_another_boot(0), Some(Vec::new()), None] {
        match bytes {
            Some(bytes) => fs::write(&marks, bytes).unwrap(),
            None => fs::remove_file(&marks).unwrap(),
        }
        assert_eq!(all(&look(copy.path()).unwrap()).len(), 6);
    }
    // The one that recovers the log keeps what both have shown.
    let recovered = open(copy.path());
    assert_eq!((reader.head().unwrap(), all(&reader)), (6, all(&recovered)));
}

#[test]
fn marks_that_are_missing_beside_members_are_damage_as_for_one_who_joins() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    append(&writer, 1);
    let reader = look(directory.path()).unwrap();
    fs::remove_file(directory.path().join("marks")).unwrap();
    let found = look(directory.path());
    assert!(
        matches!(&found, Err(OpenError::Storage(StorageError::Corrupt(at))) if at.file == "marks"),
        "{found:?}"
    );
    // One that knows the page already goes on with it.
    append(&writer, 1);
    assert_eq!(reader.head().unwrap(), 4);
    writer.close().unwrap();
    append(&open(directory.path()), 1);
    assert_eq!((reader.head().unwrap(), all(&reader).len()), (6, 6));
}

#[test]
fn a_store_that_takes_the_place_of_another_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    append(&open(&path), 1);
    let reader = look(&path).unwrap();
    for entry in fs::read_dir(&path).unwrap() {
        fs::remove_file(entry.unwrap().path()).unwrap();
    }
    assert_eq!((reader.head().unwrap(), all(&reader).len()), (2, 2), "what was seen stays");
    append(&open(&path), 5);
    let found = reader.head();
    assert!(
        matches!(&found, Err(ReadError::Storage(StorageError::Corrupt(at))) if at.what.contains("another store")),
        "{found:?}"
    );
    // One of the same path in another directory has nothing to do with it.
    let reader = look(&path).unwrap();
    fs::remove_dir_all(&path).unwrap();
    append(&open(&path), 1);
    assert_eq!((reader.head().unwrap(), all(&reader).len()), (10, 10));
}

#[test]
fn damage_is_found_by_a_reader_where_it_is_found_by_one_who_recovers() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    append(&writer, 12);
    let copy = killed(directory.path());
    writer.close().unwrap();
    let mut verdicts = [0, 0];
    for sound in [copy.path(), directory.path()] {
        let mut names: Vec<String> = fs::read_dir(sound)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.retain(|name| name.ends_with(".log"));
        for name in &names {
            let bytes = fs::read(sound.join(name)).unwrap();
            let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) + 9;
            let stride = if rounds(1) > 1 { 1 } else { 11 };
            let flips = (0..used.min(bytes.len())).step_by(stride).map(|at| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                Some(bytes)
            });
            let cuts = [0, 63, 64, used / 2, bytes.len() - 1].map(|length| Some(bytes[..length].to_vec()));
            for damaged in flips.chain(cuts).chain([None]) {
                let sick = killed(sound);
                match damaged {
                    Some(bytes) => fs::write(sick.path().join(name), bytes).unwrap(),
                    None => fs::remove_file(sick.path().join(name)).unwrap(),
                }
                let before = snapshot(sick.path());
                let reader =
                    look(sick.path()).map_err(|error| error.to_string()).and_then(|store| try_all(&store));
                assert_untouched(sick.path(), &before);
                let writer = Store::open(sick.path(), small()).map_err(|error| error.to_string());
                let writer = writer.and_then(|store| try_all(&store));
                verdicts[usize::from(writer.is_ok())] += 1;
                match (reader, writer) {
                    (Ok(seen), Ok(kept)) => {
                        assert_eq!(seen.len().min(24), 24, "all of it was acknowledged");
                        assert_eq!(seen, kept[..seen.len()]);
                    }
                    (Err(found), Err(expected)) => assert_eq!(found, expected),
                    (reader, writer) => panic!("{name}: {reader:?}, not {writer:?}"),
                }
            }
        }
    }
    assert!(verdicts[0] > 20 && verdicts[1] > 0, "{verdicts:?}");
}

#[test]
fn an_index_file_that_is_damaged_is_mended_in_memory_alone() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    append(&writer, 200);
    let expected = answers(&writer);
    wait_for_index_files(&writer);
    writer.close().unwrap();
    let files: Vec<_> = fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let files: Vec<_> =
        files.into_iter().filter(|path| path.extension().is_some_and(|e| e == "idx")).collect();
    assert!(!files.is_empty());
    for file in &files {
        let sound = fs::read(file).unwrap();
        for place in [sound.len() / 4, sound.len() / 2, sound.len() - 10] {
            let mut bytes = sound.clone();
            bytes[place] ^= 1;
            fs::write(file, bytes).unwrap();
            let before = snapshot(directory.path());
            assert_eq!(answers(&look(directory.path()).unwrap()), expected);
            assert_untouched(directory.path(), &before);
        }
        fs::write(file, sound).unwrap();
    }
    for file in files {
        fs::remove_file(file).unwrap();
    }
    let before = snapshot(directory.path());
    let reader = look(directory.path()).unwrap();
    assert_eq!(answers(&reader), expected);
    assert_eq!(assert_whole(&reader).events, 400);
    assert_untouched(directory.path(), &before);
}

#[test]
fn index_files_may_be_merged_and_removed_under_a_reader() {
    let directory = tempfile::tempdir().unwrap();
    let writer = open(directory.path());
    append(&writer, 20);
    let reader = look(directory.path()).unwrap();
    for turn in 1..=20 {
        append(&writer, 20);
        assert_eq!(reader.head().unwrap(), 40 * (turn + 1));
        assert_eq!(answers(&reader), answers(&writer));
    }
    writer.close().unwrap();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "idx") {
            fs::remove_file(path).unwrap();
        }
    }
    assert_eq!(answers(&reader), answers(&open(directory.path())));
}
