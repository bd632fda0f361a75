//! Stores that were made by an earlier release read the same for ever (F10 in `docs/testing.md`).
//!
//! `tests/fixtures` has one store for each version of the log format, and what it answers. `tests/test_old_formats.py`
//! reads the same through the public API. A version's fixture is made once, by the release that brings the version:
//!
//! ```sh
//! cargo test -p counterpoint --test old_formats -- --ignored
//! ```

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::listing::listing;
use common::{all, assert_whole, condition, event, item, query};
use counterpoint::log::segment::{VERSION, file_name};
use counterpoint::storage::Disk;
use counterpoint::{Event, OpenError, Options, Query, StorageError, Store, Verify};
use uuid::Uuid;

/// Small, so that the fixture has several segments and index files.
const OPTIONS: Options = Options {
    durability: counterpoint::Durability::Fsync,
    record_conditions: true,
    segment_bytes: 4096,
    index_events: 24,
    read_cache_bytes: 0,
    exclusive: false,
    read_only: false,
};

fn fixture(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../tests/fixtures/v{version}"))
}

/// A copy of the store that was made by the release with this version of the format.
fn copy(version: u32) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(fixture(version).join("store")).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, directory.path().join(path.file_name().unwrap())).unwrap();
    }
    directory
}

fn expected(version: u32) -> String {
    fs::read_to_string(fixture(version).join("expected.json")).unwrap()
}

fn open(directory: &Path) -> Store {
    Store::open(directory, OPTIONS).unwrap()
}

fn names(directory: &Path, end: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = paths.filter(|path| path.to_str().unwrap().ends_with(end)).collect();
    paths.sort();
    paths
}

#[test]
fn a_store_of_version_2_reads_the_same() {
    let directory = copy(2);
    assert!(names(directory.path(), ".log").len() >= 3 && names(directory.path(), ".idx").len() >= 2);
    let store = open(directory.path());
    assert_eq!(listing(&store), expected(2));
    let verification = assert_whole(&store);
    assert_eq!(verification.events, store.head().unwrap());
    assert!(verification.index_files >= 2 && verification.conditions > 10, "{verification:?}");
}

#[test]
fn it_can_be_appended_to_and_still_reads_the_same() {
    let directory = copy(2);
    let store = open(directory.path());
    let before = all(&store);
    for n in 0..40 {
        store.append(vec![event("After", &[&format!("after:{n}")])], vec![]).unwrap();
    }
    store.close().unwrap();
    let store = open(directory.path());
    assert_eq!(all(&store)[..before.len()], before);
    assert_eq!(assert_whole(&store).events, before.len() as u64 + 40);
}

#[test]
fn its_index_and_marks_are_made_anew_where_they_are_missing() {
    let directory = copy(2);
    for path in [names(directory.path(), ".idx"), names(directory.path(), "marks")].concat() {
        fs::remove_file(path).unwrap();
    }
    let store = open(directory.path());
    assert_eq!(listing(&store), expected(2));
    assert!(assert_whole(&store).index_files >= 2);
}

#[test]
fn it_can_be_verified_without_being_opened_and_no_byte_of_it_changes() {
    let directory = copy(2);
    let bytes = || -> Vec<_> {
        names(directory.path(), "").iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    };
    let before = bytes();
    let mut verify = Verify::of_storage(Arc::new(Disk::open(directory.path()).unwrap())).unwrap();
    while verify.step().unwrap() {}
    let verification = verify.result();
    assert_eq!((verification.findings.len(), verification.head), (0, 66));
    assert!(bytes() == before);
}

#[test]
fn a_store_of_version_1_is_refused_by_its_version_and_left_as_it_is() {
    let directory = copy(1);
    let log = directory.path().join(file_name(1));
    let before = fs::read(&log).unwrap();
    let opened = Store::open(directory.path(), OPTIONS);
    let Err(OpenError::Storage(StorageError::Corrupt(corruption))) = &opened else { panic!("{opened:?}") };
    assert_eq!((corruption.file.as_str(), corruption.offset), (&*file_name(1), 0));
    assert_eq!(corruption.what, "log format version 1, but this release reads version 2");
    assert!(fs::read(log).unwrap() == before);
}

#[test]
fn every_version_of_the_log_format_has_a_fixture() {
    for version in 1..=VERSION {
        assert!(fixture(version).join("store").join(file_name(1)).exists(), "version {version}");
    }
}

/// Everything that the format can hold: odd texts, ids, metadata, empty and binary data, batches, conditions.
fn fill(directory: &Path) {
    let odd =
        ["Ünï🦀", "cafe\u{301}", "caf\u{e9}", "nul\0and\ttab", " ", "x:y=z, \"quoted\" \\", "\u{10FFFF}"];
    let many: Vec<String> = (0..64).map(|n| format!("tag {n}")).collect();
    let (long, id) = ("l".repeat(255), |n: u128| Some(Uuid::from_u128(n << 64 | 7)));
    let one = |event_type: &str, tags: &[&str], data: &[u8]| {
        Event::new(event_type, tags, data, None, None).unwrap()
    };
    let mut store = open(directory);
    store.append(vec![one("First", &[], b"")], vec![]).unwrap();
    store.append(vec![one(&long, &[&long], &[0, 1, 0xFE, 0xFF])], vec![condition(Query::All, 1)]).unwrap();
    store.append(vec![Event::new("Many", &many, b"{}", Some(b""), id(1)).unwrap()], vec![]).unwrap();
    for (n, text) in odd.iter().enumerate() {
        let metadata = format!("meta {n}");
        let odd =
            Event::new(text, &[text], text.as_bytes(), Some(metadata.as_bytes()), id(n as u128)).unwrap();
        let none_yet = condition(query(&[], &[text]), 0);
        store.append(vec![odd], vec![none_yet]).unwrap();
    }
    for n in 0..28u64 {
        if n % 10 == 9 {
            // A seal, in the middle of a segment.
            drop(store);
            store = open(directory);
        }
        let tags = ["all", &format!("n:{}", n % 4)];
        let batch = vec![
            one("Plain", &tags, format!("{{\"n\":{n}}}").as_bytes()),
            one("Other", &tags[..1], &[n as u8; 40]),
        ];
        let items =
            vec![item(&["Absent", "Gone"], &[]), item(&["Plain"], &["n:9", "all"]), item(&[], &["absent"])];
        let conditions = [
            vec![],
            vec![condition(Query::items(items).unwrap(), n)],
            vec![condition(query(&["Absent"], &[]), 0), condition(Query::All, store.head().unwrap())],
        ];
        store.append(batch, conditions[n as usize % 3].clone()).unwrap();
    }
    for (name, position) in [("orders", 66), ("Ünï🦀 follower", 12), ("zero", 0)] {
        assert!(store.set_cursor(name, position, None).unwrap());
    }
    let until = Instant::now() + Duration::from_secs(20);
    while store.stats().unwrap().index_files < 2 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
#[ignore = "makes the fixture of this version, once"]
fn make_the_fixture_of_this_version() {
    let fixture = fixture(VERSION);
    let made = tempfile::tempdir().unwrap();
    fill(made.path());
    fs::create_dir_all(fixture.join("store")).unwrap();
    for path in names(made.path(), "").iter().filter(|path| !path.to_str().unwrap().ends_with(".lock")) {
        let to = fixture.join("store").join(path.file_name().unwrap());
        assert!(!to.exists(), "{to:?} is there already: a fixture is never changed");
        fs::copy(path, to).unwrap();
    }
    fs::write(fixture.join("expected.json"), listing(&open(made.path()))).unwrap();
}
