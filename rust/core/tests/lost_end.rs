//! A log that has lost its end is not taken for one that ends earlier, with or without a clean close (I8).

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::{all, event};
use counterpoint::log::segment::first_position;
use counterpoint::{OpenError, Options, StorageError, Store};

fn open(directory: &Path) -> Result<Store, OpenError> {
    Store::open(directory, Options { segment_bytes: 4096, ..Options::default() })
}

/// The files of a store as a killed process leaves them: copied while it is open.
fn killed(events: usize) -> tempfile::TempDir {
    let (live, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let store = open(live.path()).unwrap();
    for _ in 0..events {
        store.append(vec![event("A", &["x"])], vec![]).unwrap();
    }
    for entry in fs::read_dir(live.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.path().join(path.file_name().unwrap())).unwrap();
    }
    copy
}

/// The last segment, and how far it is used.
fn last_segment(directory: &Path) -> (PathBuf, usize) {
    let names =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let name = names.filter(|name| first_position(name).is_some()).max().unwrap();
    let path = directory.join(name);
    let used = fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).unwrap() + 1;
    (path, used)
}

/// Opening says so, again and again, and leaves every byte of the log as it is.
fn assert_damaged(directory: &Path) {
    let log = || {
        let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
        let logs = paths.filter(|path| path.extension().is_some_and(|extension| extension == "log"));
        logs.map(|path| (path.clone(), fs::read(path).unwrap())).collect::<BTreeMap<_, _>>()
    };
    let before = log();
    for _ in 0..2 {
        let opened = open(directory);
        assert!(matches!(opened, Err(OpenError::Storage(StorageError::Corrupt(_)))), "{opened:?}");
        assert!(log() == before);
    }
}

#[test]
fn a_killed_store_opens_with_all_that_was_acknowledged() {
    assert_eq!(all(&open(killed(100).path()).unwrap()).len(), 100);
}

#[test]
fn a_missing_last_segment_is_noticed_even_without_the_marks() {
    let directory = killed(100);
    fs::remove_file(last_segment(directory.path()).0).unwrap();
    fs::remove_file(directory.path().join("marks")).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn frames_that_were_zeroed_at_the_end_are_missed_by_the_marks() {
    let directory = killed(5);
    let (path, used) = last_segment(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[64..used].fill(0);
    fs::write(&path, bytes).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn a_flipped_bit_in_the_last_frame_is_missed_by_the_marks() {
    let directory = killed(5);
    let (path, used) = last_segment(directory.path());
    let mut bytes = fs::read(&path).unwrap();
    bytes[used - 20] ^= 1;
    fs::write(&path, bytes).unwrap();
    assert_damaged(directory.path());
}

#[test]
fn damaged_marks_are_no_witness() {
    let directory = killed(5);
    let marks = directory.path().join("marks");
    for at in 0..256 {
        let mut bytes = fs::read(&marks).unwrap();
        bytes[at] ^= 0x55;
        fs::write(&marks, bytes).unwrap();
        assert_eq!(all(&open(directory.path()).unwrap()).len(), 5, "byte {at}");
    }
}

#[test]
fn a_segment_that_never_got_a_frame_is_dropped_if_the_one_before_it_has_not_ended() {
    let directory = killed(5);
    let (path, _) = last_segment(directory.path());
    let mut unused = fs::read(&path).unwrap();
    unused[64..].fill(0);
    for bytes in [&unused[..], &[]] {
        fs::write(directory.path().join("00000000000000000006.log"), bytes).unwrap();
        let store = open(directory.path()).unwrap();
        assert_eq!(all(&store).len(), 5);
        drop(store);
        assert!(!directory.path().join("00000000000000000006.log").exists());
    }
    let used = fs::read(&path).unwrap();
    fs::write(directory.path().join("00000000000000000006.log"), used).unwrap();
    assert_damaged(directory.path());
}
