//! Backups: whole or known not to be, whatever interrupts them, and apart from the store they are of.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use common::simulated::SimulatedDisk;
use common::{all, assert_whole, chance, condition, event, query, rounds};
use counterpoint::storage::{Disk, Memory, Storage};
use counterpoint::{
    BackedUp, BackupOptions, CopyError, Corruption, Durability, OpenError, Options, SequencedEvent, Store,
};

const COPY: BackupOptions = BackupOptions { copy: true, verify: false };
const VERIFY: BackupOptions = BackupOptions { copy: false, verify: true };

fn small() -> Options {
    Options { segment_bytes: 4096, index_events: 40, ..Options::default() }
}

fn open(storage: &Arc<SimulatedDisk>) -> Result<Store, OpenError> {
    Store::open_in(Arc::clone(storage) as Arc<_>, small())
}

fn append(store: &Store, batches: u64) {
    for n in 0..batches {
        let events = (0..=n % 3).map(|_| event("A", &["x", "some tag that takes room"])).collect();
        let head = store.head().unwrap();
        store.append(events, vec![condition(query(&["A"], &[]), head)]).unwrap();
    }
}

fn backup(store: &Store, to: &Arc<SimulatedDisk>, options: BackupOptions) -> Result<BackedUp, CopyError> {
    let mut backup = store.backup_in(Arc::clone(to) as Arc<_>, options)?;
    loop {
        if let Some(come_to) = backup.step()? {
            return Ok(come_to);
        }
    }
}

fn backup_to(store: &Store, to: &Path, options: BackupOptions) -> Result<BackedUp, CopyError> {
    let mut backup = store.backup(to, options)?;
    loop {
        if let Some(come_to) = backup.step()? {
            return Ok(come_to);
        }
    }
}

/// What of a store must not change: log, index files and cursors.
fn kept(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    files
        .into_iter()
        .filter(|(name, _)| name.ends_with(".log") || name.ends_with(".idx") || name == "cursors")
        .collect()
}

fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    kept(
        entries
            .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
            .collect(),
    )
}

fn assert_backs_up(copy: &Store, original: &[SequencedEvent]) {
    assert_eq!(all(copy), original);
    assert_whole(copy);
    let next = copy.append(vec![event("More", &[])], vec![]).unwrap();
    assert_eq!(next, original.len() as u64 + 1);
    assert_whole(copy);
}

#[test]
fn a_backup_has_what_the_store_had_and_counts_it() {
    for options in [BackupOptions::default(), COPY, VERIFY] {
        let (disk, to) = (Arc::<SimulatedDisk>::default(), Arc::default());
        let store = open(&disk).unwrap();
        append(&store, 100);
        store.set_cursor("reader", 17, None).unwrap();
        while store.stats().unwrap().index_files == 0 {
            thread::yield_now();
        }
        let come_to = backup(&store, &to, options).unwrap();
        assert_eq!((come_to.head, come_to.segments), (199, store.stats().unwrap().segments));
        assert!(come_to.index_files > 0 && come_to.copied_bytes > 0);
        assert_eq!(come_to.linked_bytes > 0, !options.copy);
        assert_eq!(come_to.cloned_bytes, 0);
        assert_eq!(come_to.verification.is_some(), options.verify);
        let is_index = |name: &&String| name.ends_with(".idx");
        assert_eq!(to.contents().keys().filter(is_index).count() as u64, come_to.index_files);
        let copy = open(&to).unwrap();
        assert_eq!(copy.get_cursor("reader").unwrap(), 17);
        assert_backs_up(&copy, &all(&store));
        assert_eq!(store.head().unwrap(), 199);
    }
}

#[test]
fn a_backup_of_any_length_is_whole() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    for _ in 0..60 {
        let to = Arc::default();
        let come_to = backup(&store, &to, VERIFY).unwrap();
        assert_eq!(come_to.head, store.head().unwrap());
        assert_backs_up(&open(&to).unwrap(), &all(&store));
        append(&store, 1);
    }
}

#[test]
fn what_is_written_and_not_durable_is_not_in_a_backup() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 3);
    let head = store.head().unwrap();
    // Its write succeeds and its sync does not: it stays in the middle of what is written.
    disk.fail(2, 1);
    store.append(vec![event("Lost", &[])], vec![]).unwrap_err();
    let to = Arc::default();
    assert_eq!(backup(&store, &to, VERIFY).unwrap().head, head, "a poisoned store can be backed up");
    let copy = open(&to).unwrap();
    assert_eq!((copy.head().unwrap(), all(&copy).len() as u64), (head, head));
}

#[test]
fn a_backup_has_all_that_was_acknowledged_without_a_sync() {
    let disk = Arc::<SimulatedDisk>::default();
    let os = Durability::Os { sync_interval: std::time::Duration::from_secs(60) };
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, Options { durability: os, ..small() }).unwrap();
    append(&store, 30);
    let to = Arc::default();
    assert_eq!(backup(&store, &to, VERIFY).unwrap().head, 60);
    assert_backs_up(&open(&Arc::new(to.crash(|| false))).unwrap(), &all(&store));
}

#[test]
fn a_backup_survives_a_power_loss_once_it_is_made() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    store.set_cursor("reader", 5, None).unwrap();
    for options in [BackupOptions::default(), COPY] {
        let to = Arc::<SimulatedDisk>::default();
        backup(&store, &to, options).unwrap();
        let copy = open(&Arc::new(to.crash(|| false))).unwrap();
        assert_eq!(copy.get_cursor("reader").unwrap(), 5);
        assert_backs_up(&copy, &all(&store));
    }
}

/// A directory after a backup that did not return: it is known to be unfinished, or it is whole.
fn assert_known(to: &Arc<SimulatedDisk>, original: &[SequencedEvent], context: &str) -> bool {
    match open(to) {
        Err(OpenError::Unfinished) => false,
        Ok(copy) if all(&copy) == original => true,
        // It was never begun: what it was to hold has no name yet.
        Ok(copy) => {
            assert_eq!((copy.head().unwrap(), copy.stats().unwrap().segments), (0, 1), "{context}");
            assert_eq!(to.contents().keys().filter(|name| name.ends_with(".idx")).count(), 0, "{context}");
            panic!("{context}: an unfinished backup was taken for an empty store")
        }
        Err(error) => panic!("{context}: {error}"),
    }
}

#[test]
fn a_backup_that_a_power_loss_interrupts_at_any_operation_is_known_and_can_be_made_again() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    let original = all(&store);
    let mut chance = chance();
    for options in [BackupOptions::default(), COPY, VERIFY] {
        let (mut whole, mut unfinished) = (0, 0);
        for fail_at in 1.. {
            let to = begun();
            to.fail(fail_at, u64::MAX);
            let made = backup(&store, &to, options);
            for round in 0..rounds(6) {
                let crashed = Arc::new(to.crash(&mut chance));
                let context = format!("{options:?}, failure at {fail_at}, crash {round}");
                let is_whole = assert_known(&crashed, &original, &context);
                assert!(is_whole || made.is_err(), "{context}");
                *(if is_whole { &mut whole } else { &mut unfinished }) += 1;
                if !is_whole {
                    backup(&store, &crashed, options).unwrap();
                    assert_backs_up(&open(&crashed).unwrap(), &original);
                }
            }
            if made.is_ok() {
                break;
            }
        }
        assert!(whole > 0 && unfinished > 20, "{whole} whole, {unfinished} unfinished");
    }
}

/// A directory that has the marker already: it appears with it.
fn begun() -> Arc<SimulatedDisk> {
    let to = Arc::<SimulatedDisk>::default();
    to.create("unfinished").unwrap().sync_all().unwrap();
    to.sync_directory().unwrap();
    to
}

#[test]
fn a_backup_that_meets_an_error_at_any_operation_says_so_and_is_made_by_trying_again() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    let original = all(&store);
    let (mut failures, mut left) = (0, 0);
    for fail_at in 1.. {
        let to = begun();
        to.fail(fail_at, 1);
        let last = to.operations() + fail_at;
        let made = backup(&store, &to, VERIFY);
        let is_over = to.operations() < last;
        to.fail(1, 0);
        if made.is_err() {
            failures += 1;
            if !assert_known(&to, &original, &format!("failure at {fail_at}")) {
                left += usize::from(!kept(to.contents()).is_empty());
                backup(&store, &to, VERIFY).unwrap();
            }
        }
        assert_backs_up(&open(&to).unwrap(), &original);
        if is_over {
            break;
        }
    }
    assert!(failures > 20, "{failures}");
    assert!(left <= 1, "what was made gives its room back, unless the marker could not be removed: {left}");
}

#[test]
fn a_backup_whose_source_cannot_be_read_fails_and_harms_neither() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    let mut failures = 0;
    for fail_at in 1..200 {
        let to = begun();
        disk.fail(fail_at, 1);
        let made = backup(&store, &to, COPY);
        disk.fail(1, 0);
        match made {
            Ok(_) => assert_backs_up(&open(&to).unwrap(), &all(&store)),
            Err(_) => {
                failures += 1;
                assert!(matches!(open(&to), Err(OpenError::Unfinished)), "failure at {fail_at}");
            }
        }
    }
    assert!(failures > 10, "{failures}");
    append(&store, 1);
    assert_whole(&store);
}

#[test]
fn an_unfinished_backup_that_is_dropped_can_be_made_again() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    let to = Arc::<SimulatedDisk>::default();
    let mut under_way = store.backup_in(Arc::clone(&to) as Arc<_>, COPY).unwrap();
    assert!(under_way.step().unwrap().is_none());
    assert!(open(&to).is_err());
    assert!(matches!(store.backup_in(Arc::clone(&to) as Arc<_>, COPY), Err(CopyError::InUse)));
    drop(under_way);
    assert!(matches!(open(&to), Err(OpenError::Unfinished)));
    backup(&store, &to, COPY).unwrap();
    assert_backs_up(&open(&to).unwrap(), &all(&store));
}

#[test]
fn a_backup_goes_into_no_directory_that_has_something() {
    let (disk, other) = (Arc::<SimulatedDisk>::default(), Arc::<SimulatedDisk>::default());
    let (store, stranger) = (open(&disk).unwrap(), open(&other).unwrap());
    append(&store, 2);
    let refused = backup(&store, &other, COPY);
    assert!(matches!(refused, Err(CopyError::InUse)), "{refused:?}");
    drop(stranger);
    let before = other.contents();
    let refused = backup(&store, &other, COPY);
    assert!(matches!(refused, Err(CopyError::NotEmpty { .. })), "{refused:?}");
    assert!(other.contents() == before);
    let to = begun();
    to.create("notes.txt").unwrap();
    let refused = backup(&store, &to, COPY);
    assert!(matches!(&refused, Err(CopyError::NotEmpty { name }) if name == "notes.txt"), "{refused:?}");
    assert!(to.contents().contains_key("notes.txt"));
}

#[test]
fn neither_store_changes_the_other_whatever_is_done_with_it() {
    for options in [BackupOptions::default(), COPY] {
        let home = tempfile::tempdir().unwrap();
        let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
        append(&Store::open(&ours, small()).unwrap(), 60);
        // The head is at another place of its segment each time, sometimes at its beginning.
        for _ in 0..12 {
            let store = Store::open(&ours, small()).unwrap();
            append(&store, 3);
            let original = all(&store);
            backup_to(&store, &theirs, options).unwrap();
            drop(store);
            let before = files(&ours);
            let copy = Store::open(&theirs, small()).unwrap();
            assert_backs_up(&copy, &original);
            append(&copy, 30);
            copy.set_cursor("theirs", 3, None).unwrap();
            drop(copy);
            assert!(files(&ours) == before, "the copy was used, and the original has changed");
            fs::remove_dir_all(&theirs).unwrap();

            let store = Store::open(&ours, small()).unwrap();
            backup_to(&store, &theirs, options).unwrap();
            let before = files(&theirs);
            append(&store, 30);
            let original = all(&store);
            drop(store);
            assert_eq!(all(&Store::open(&ours, small()).unwrap()), original);
            assert!(files(&theirs) == before, "the original was used, and the copy has changed");
            fs::remove_dir_all(&theirs).unwrap();
        }
        assert_whole(&Store::open(&ours, small()).unwrap());
    }
}

#[test]
fn recovery_of_either_store_writes_to_no_file_that_both_have() {
    let home = tempfile::tempdir().unwrap();
    let (ours, theirs) = (home.path().join("ours"), home.path().join("theirs"));
    let store = Store::open(&ours, small()).unwrap();
    for n in 0..40u64 {
        append(&store, 2);
        drop(backup_to(&store, &theirs, BackupOptions::default()).unwrap());
        let is_shared = |name: &String| {
            use std::os::unix::fs::MetadataExt;
            let id = |directory: &Path| fs::metadata(directory.join(name)).map(|found| found.ino()).ok();
            id(&ours).is_some() && id(&ours) == id(&theirs)
        };
        let logs: Vec<String> = files(&theirs).into_keys().filter(|name| name.ends_with(".log")).collect();
        let shared: Vec<&String> = logs.iter().filter(|name| is_shared(name)).collect();
        assert_eq!(shared.len(), logs.len().saturating_sub(2), "after {n}");
        assert!(shared.iter().all(|name| logs.iter().rev().take(2).all(|last| last != *name)));
        fs::remove_dir_all(&theirs).unwrap();
    }
}

#[test]
fn a_backup_of_a_store_in_memory_is_a_store_on_disk() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open_memory(small()).unwrap();
    append(&store, 60);
    let come_to = backup_to(&store, &home.path().join("copy"), VERIFY).unwrap();
    assert_eq!((come_to.linked_bytes, come_to.cloned_bytes), (0, 0));
    assert_backs_up(&Store::open(&home.path().join("copy"), small()).unwrap(), &all(&store));
}

#[test]
fn backups_beside_appends_rollovers_seals_and_merges_are_whole() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open(&home.path().join("store"), small()).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    store.append(vec![event("A", &["x"]), event("B", &["y"])], vec![]).unwrap();
                }
            });
        }
        let makers = (0..2).map(|maker| {
            let (store, home) = (&store, &home);
            scope.spawn(move || {
                for n in 0..rounds(15) {
                    let to = home.path().join(format!("{maker} {n}"));
                    let before = store.head().unwrap();
                    let options = BackupOptions { copy: n % 2 == 1, verify: n % 3 == 0 };
                    let come_to = backup_to(store, &to, options).unwrap();
                    assert!(come_to.head >= before);
                    let copy = Store::open(&to, small()).unwrap();
                    assert_eq!(copy.head().unwrap(), come_to.head);
                    assert_whole(&copy);
                    drop(copy);
                    fs::remove_dir_all(&to).unwrap();
                }
            })
        });
        makers.collect::<Vec<_>>().into_iter().for_each(|maker| maker.join().unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_whole(&store);
}

#[test]
fn damage_is_not_copied_unseen_and_a_backup_that_does_not_verify_does_not_count() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    let name = disk.contents().into_keys().filter(|name| name.ends_with(".log")).min().unwrap();
    let file = disk.open(&name).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, 300).unwrap();
    file.write_all_at(&[byte[0] ^ 1], 300).unwrap();
    let to = Arc::default();
    let refused = backup(&store, &to, COPY).unwrap_err();
    assert!(
        matches!(&refused, CopyError::Storage(counterpoint::StorageError::Corrupt(Corruption { file, .. })) if *file == name),
        "{refused}"
    );
    assert!(matches!(open(&to), Err(OpenError::Unfinished)));
    let refused = backup(&store, &to, VERIFY).unwrap_err();
    assert!(matches!(&refused, CopyError::Unverified { first, .. } if first.file == name), "{refused}");
    assert!(matches!(open(&to), Err(OpenError::Unfinished)));
}

#[test]
fn a_damaged_index_file_is_left_out_of_a_backup_that_is_verified() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = open(&disk).unwrap();
    append(&store, 60);
    drop(store);
    let store = open(&disk).unwrap();
    let name = disk.contents().into_keys().find(|name| name.ends_with(".idx")).unwrap();
    let file = disk.open(&name).unwrap();
    file.write_all_at(&[0xFF; 64], 4096).unwrap();
    let to = Arc::<SimulatedDisk>::default();
    let come_to = backup(&store, &to, BackupOptions { copy: true, verify: true }).unwrap();
    assert_eq!(come_to.verification.unwrap().findings, []);
    assert!(!to.contents().contains_key(&name));
    assert_backs_up(&open(&to).unwrap(), &all(&store));
}

#[test]
fn a_backup_that_lost_its_last_batch_is_not_taken_for_a_shorter_store() {
    let home = tempfile::tempdir().unwrap();
    let store = Store::open_memory(Options::default()).unwrap();
    append(&store, 5);
    let log = home.path().join("copy").join("00000000000000000001.log");
    for damage in ["seal", "marks", "both"] {
        backup_to(&store, &home.path().join("copy"), COPY).unwrap();
        let mut bytes = fs::read(&log).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        let from = used - 72 - 40;
        bytes[from..if damage == "marks" { used - 72 } else { used }].fill(0);
        fs::write(&log, bytes).unwrap();
        if damage == "marks" {
            fs::remove_file(home.path().join("copy").join("marks")).unwrap();
        }
        let opened = Store::open(&home.path().join("copy"), Options::default());
        assert!(
            matches!(opened, Err(OpenError::Storage(counterpoint::StorageError::Corrupt(_)))),
            "{damage}: {opened:?}"
        );
        fs::remove_dir_all(home.path().join("copy")).unwrap();
    }
}

#[test]
fn any_storage_can_be_backed_up_to() {
    let store = Store::open_memory(small()).unwrap();
    append(&store, 20);
    let memory = Arc::<Memory>::default();
    let mut under_way = store.backup_in(Arc::clone(&memory) as Arc<_>, VERIFY).unwrap();
    while under_way.step().unwrap().is_none() {}
    drop(under_way);
    assert_backs_up(&Store::open_in(memory, small()).unwrap(), &all(&store));
    let home = tempfile::tempdir().unwrap();
    let disk = Arc::new(Disk::open(home.path()).unwrap());
    let mut under_way = store.backup_in(disk, COPY).unwrap();
    while under_way.step().unwrap().is_none() {}
    assert!(matches!(under_way.step(), Ok(Some(_))));
    assert_backs_up(&Store::open(home.path(), small()).unwrap(), &all(&store));
}

#[test]
fn a_backup_of_a_closed_store_says_that_it_is_closed() {
    let store = Store::open_memory(small()).unwrap();
    append(&store, 60);
    let memory = Arc::<Memory>::default();
    let mut under_way = store.backup_in(Arc::clone(&memory) as Arc<_>, COPY).unwrap();
    store.close().unwrap();
    assert!(matches!(under_way.step(), Err(CopyError::Closed)));
    assert!(matches!(store.backup_in(memory, COPY), Err(CopyError::Closed)));
}
