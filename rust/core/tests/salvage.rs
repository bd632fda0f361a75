//! Salvage: of every damaged store, all events before the first that is lost, with nothing changed in the old one.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;

use common::simulated::SimulatedDisk;
use common::{all, assert_whole, chance, condition, event, query, rounds};
use counterpoint::log::segment::file_name;
use counterpoint::storage::{Memory, Storage};
use counterpoint::{
    CopyError, Event, Inspect, Inspection, OpenError, Options, Salvage, Salvaged, SequencedEvent,
    StorageError, Store,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

type Files = BTreeMap<String, Vec<u8>>;

fn small() -> Options {
    Options { segment_bytes: 4096, index_events: 40, ..Options::default() }
}

/// A store that was closed in order, as its files, and its events.
fn patient(batches: u64) -> (Files, Vec<SequencedEvent>) {
    let disk = Arc::<SimulatedDisk>::default();
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, small()).unwrap();
    for n in 0..batches {
        let id = uuid::Uuid::from_u128(u128::from(n) + 1);
        let one = Event::new("A", &["x", &format!("n:{n}")], &[7; 90], Some(b"meta"), Some(id)).unwrap();
        let events = (0..=n % 3).map(|_| one.clone()).collect();
        store.append(events, vec![condition(query(&["B"], &[]), n)]).unwrap();
    }
    store.set_cursor("near", 2, None).unwrap();
    store.set_cursor("far", store.head().unwrap(), None).unwrap();
    let events = all(&store);
    drop(store);
    (disk.contents(), events)
}

fn on_disk(files: &Files) -> Arc<SimulatedDisk> {
    let disk = Arc::<SimulatedDisk>::default();
    for (name, bytes) in files {
        let file = disk.create(name).unwrap();
        file.write_all_at(bytes, 0).unwrap();
        file.sync_all().unwrap();
    }
    disk.sync_directory().unwrap();
    disk
}

fn inspect(disk: &Arc<SimulatedDisk>) -> Result<Inspection, CopyError> {
    let mut inspect = Inspect::of_storage(Arc::clone(disk) as Arc<_>)?;
    while inspect.step()? {}
    Ok(inspect.result())
}

fn salvage(disk: &Arc<SimulatedDisk>, to: &Arc<SimulatedDisk>) -> Result<Salvaged, CopyError> {
    let mut salvage = Salvage::of_storage(Arc::clone(disk) as Arc<_>, Arc::clone(to) as Arc<_>)?;
    loop {
        if let Some(come_to) = salvage.step()? {
            return Ok(come_to);
        }
    }
}

/// Salvages what can be had of the files, checks it against what was there, and returns what was found.
fn assert_salvages(files: &Files, events: &[SequencedEvent], context: &str) -> Inspection {
    let disk = on_disk(files);
    let found = inspect(&disk).unwrap();
    let to = Arc::<SimulatedDisk>::default();
    let come_to = salvage(&disk, &to).unwrap_or_else(|error| panic!("{context}: {error}"));
    assert_eq!(come_to.inspection, found, "{context}");
    assert!(disk.contents() == *files, "{context}: the damaged store was changed");
    let crashed = Arc::new(to.crash(|| false));
    let store = Store::open_in(crashed, small()).unwrap();
    let head = usize::try_from(found.head).unwrap();
    assert!(all(&store) == events[..head], "{context}");
    assert_eq!(assert_whole(&store).conditions, come_to.inspection.batches, "{context}");
    for name in ["near", "far"] {
        let kept = found.cursors.as_ref().map_or(0, |cursors| cursors[name].min(found.head));
        assert_eq!(store.get_cursor(name).unwrap(), kept, "{context}");
    }
    assert_eq!(store.append(vec![event("More", &[])], vec![]).unwrap(), found.head + 1, "{context}");
    found
}

/// Whether a store of these files opens; what it holds then.
fn opens(files: &Files) -> Option<Vec<SequencedEvent>> {
    match Store::open_in(on_disk(files), small()) {
        Ok(store) => Some(all(&store)),
        Err(OpenError::Storage(StorageError::Corrupt(_))) => None,
        Err(error) => panic!("{error}"),
    }
}

/// The logs, first to last.
fn logs(files: &Files) -> Vec<String> {
    files.keys().filter(|name| name.ends_with(".log")).cloned().collect()
}

fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

#[test]
fn a_whole_store_is_found_whole_and_can_be_copied_so() {
    let (files, events) = patient(40);
    let found = assert_salvages(&files, &events, "whole");
    assert_eq!(found.damages, []);
    assert_eq!(found.head, events.len() as u64);
    assert_eq!((found.batches, found.readable_after, found.last_readable), (40, 0, found.head));
    assert_eq!(found.segments, logs(&files));
    assert_eq!(found.log_bytes, logs(&files).iter().map(|name| files[name].len() as u64).sum::<u64>());
}

#[test]
fn whatever_bit_is_flipped_in_the_log_only_the_batch_it_is_in_ends_the_prefix() {
    let (files, events) = patient(12);
    let mut refused = 0;
    for name in logs(&files) {
        let stride = rounds(1).min(61);
        for place in (0..used(&files[&name])).step_by(if stride > 1 { 1 } else { 23 }) {
            let mut damaged = files.clone();
            damaged.get_mut(&name).unwrap()[place] ^= 1 << (place % 8);
            // The index would hide damage to what it covers from opening.
            damaged.retain(|name, _| !name.ends_with(".idx"));
            let context = format!("{name}, byte {place}");
            let found = assert_salvages(&damaged, &events, &context);
            // A batch has up to three events.
            assert!(found.head + found.readable_after + 3 >= events.len() as u64, "{context}: {found:?}");
            if opens(&damaged).is_none() {
                refused += 1;
                assert!(found.damage_count > 0, "{context}");
            }
        }
    }
    assert!(refused > 50, "{refused}");
}

#[test]
fn a_damaged_header_or_seal_costs_no_event() {
    let (files, events) = patient(40);
    for name in logs(&files) {
        for place in [0, 9, 20, 33, 41, 49, 61] {
            let mut damaged = files.clone();
            damaged.get_mut(&name).unwrap()[place] ^= 1;
            let found = assert_salvages(&damaged, &events, &format!("{name}, byte {place}"));
            assert_eq!(
                (found.head, found.damages.is_empty()),
                (events.len() as u64, false),
                "{name}, {place}"
            );
        }
    }
    // All headers at once: the id of the store is known from what is left of them.
    let mut damaged = files.clone();
    for name in logs(&files) {
        damaged.get_mut(&name).unwrap()[41] ^= 1;
    }
    assert_eq!(assert_salvages(&damaged, &events, "all headers").head, events.len() as u64);
}

#[test]
fn a_missing_segment_ends_the_prefix_and_what_is_after_it_is_counted() {
    let (files, events) = patient(40);
    let names = logs(&files);
    for (number, name) in names.iter().enumerate() {
        let mut damaged = files.clone();
        damaged.remove(name);
        damaged.retain(|name, _| !name.ends_with(".idx"));
        let first: u64 = name[..20].parse().unwrap();
        let found = assert_salvages(&damaged, &events, name);
        assert_eq!(found.head, first - 1);
        assert_eq!(found.damages[0].file, *name);
        let next = names.get(number + 1).map_or(events.len() as u64 + 1, |next| next[..20].parse().unwrap());
        assert_eq!(found.readable_after, events.len() as u64 + 1 - next);
    }
}

#[test]
fn truncated_and_zeroed_files_give_what_is_before() {
    let (files, events) = patient(20);
    for name in logs(&files) {
        let length = used(&files[&name]);
        for at in (0..length).step_by(97) {
            let mut damaged = files.clone();
            damaged.get_mut(&name).unwrap().truncate(at);
            assert_salvages(&damaged, &events, &format!("{name} cut to {at}"));
            let mut damaged = files.clone();
            damaged.get_mut(&name).unwrap()[at..length.min(at + 512)].fill(0);
            assert_salvages(&damaged, &events, &format!("{name} zeroed at {at}"));
        }
    }
}

#[test]
fn a_log_that_is_gone_is_nothing_and_says_so() {
    let (files, events) = patient(5);
    let mut damaged = files.clone();
    damaged.retain(|name, _| !name.ends_with(".log"));
    let found = assert_salvages(&damaged, &events, "no log");
    assert_eq!((found.head, found.damages.len()), (0, 1));
    assert!(matches!(inspect(&Arc::default()), Err(CopyError::NoStore)));
}

#[test]
fn events_of_another_store_or_another_history_are_not_taken_for_ours() {
    let (files, events) = patient(40);
    let (theirs, _) = patient(40);
    let names = logs(&files);
    assert_eq!(logs(&theirs), names);
    for (name, number) in names.iter().zip(0..) {
        let mut damaged = files.clone();
        damaged.insert(name.clone(), theirs[name].clone());
        let found = assert_salvages(&damaged, &events, name);
        let first: u64 = name[..20].parse().unwrap();
        assert!(found.head < first || number > 0, "{name}: {found:?}");
    }
}

#[test]
fn a_segment_of_a_history_that_parted_ends_the_prefix_though_its_positions_continue() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, small()).unwrap();
    store.append(vec![event("A", &["common"])], vec![]).unwrap();
    // With a seal of its own, so that the copy needs none and both go on at the same offset.
    drop(store);
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, small()).unwrap();
    let to = Arc::<SimulatedDisk>::default();
    let mut backup =
        store.backup_in(Arc::clone(&to) as Arc<_>, counterpoint::BackupOptions::default()).unwrap();
    while backup.step().unwrap().is_none() {}
    drop(backup);
    let copy = Store::open_in(Arc::clone(&to) as Arc<_>, small()).unwrap();
    let grow = |store: &Store, tag: &str| {
        for _ in 0..60 {
            store.append(vec![event("A", &[tag, "tags of equal length"])], vec![]).unwrap();
        }
    };
    grow(&store, "ours__");
    grow(&copy, "theirs");
    drop((store, copy));
    let (ours, theirs) = (disk.contents(), to.contents());
    let mut mixed = ours.clone();
    let second = logs(&ours)[1].clone();
    let Some(bytes) = theirs.get(&second) else {
        panic!("both rolled over at the same position: {:?}", logs(&theirs))
    };
    mixed.insert(second.clone(), bytes.clone());
    mixed.retain(|name, _| !name.ends_with(".idx"));
    let found = inspect(&on_disk(&mixed)).unwrap();
    assert_eq!(file_name(found.head + 1), second);
    assert!(found.readable_after > 0);
}

#[test]
fn damaged_cursors_cost_the_cursors_alone() {
    let (mut files, events) = patient(5);
    files.get_mut("cursors").unwrap()[20] ^= 1;
    let found = assert_salvages(&files, &events, "cursors");
    assert_eq!((found.cursors, found.head), (None, events.len() as u64));
    assert_eq!(found.damages[0].file, "cursors");
}

#[test]
fn cursors_past_what_is_left_are_set_back_to_it() {
    let (mut files, events) = patient(12);
    let name = logs(&files)[0].clone();
    files.get_mut(&name).unwrap()[1000] ^= 1;
    let (disk, to) = (on_disk(&files), Arc::<SimulatedDisk>::default());
    let come_to = salvage(&disk, &to).unwrap();
    assert!(come_to.inspection.head < events.len() as u64);
    assert_eq!(come_to.cursors_set_back, ["far"]);
}

#[test]
fn a_store_that_is_open_is_not_salvaged_and_cannot_be_opened_meanwhile() {
    let disk = Arc::<SimulatedDisk>::default();
    let store = Store::open_in(Arc::clone(&disk) as Arc<_>, small()).unwrap();
    assert!(matches!(inspect(&disk), Err(CopyError::SourceOpen)));
    drop(store);
    let under_way = Inspect::of_storage(Arc::clone(&disk) as Arc<_>).unwrap();
    assert!(matches!(Store::open_in(Arc::clone(&disk) as Arc<_>, small()), Err(OpenError::Locked { .. })));
    drop(under_way);
    Store::open_in(disk, small()).unwrap();
}

#[test]
fn a_salvage_that_is_interrupted_at_any_operation_is_known_and_can_be_made_again() {
    let (mut files, events) = patient(30);
    let name = logs(&files).pop().unwrap();
    files.get_mut(&name).unwrap()[100] ^= 1;
    let disk = on_disk(&files);
    let head = inspect(&disk).unwrap().head;
    let mut chance = chance();
    let mut unfinished = 0;
    for fail_at in 1.. {
        let to = Arc::<SimulatedDisk>::default();
        to.create("unfinished").unwrap().sync_all().unwrap();
        to.sync_directory().unwrap();
        to.fail(fail_at, u64::MAX);
        let made = salvage(&disk, &to);
        let crashed = Arc::new(to.crash(&mut chance));
        match Store::open_in(Arc::clone(&crashed) as Arc<_>, small()) {
            Err(OpenError::Unfinished) => {
                unfinished += 1;
                assert!(made.is_err(), "failure at {fail_at}");
                salvage(&disk, &crashed).unwrap();
            }
            store => assert!(all(&store.unwrap()) == events[..usize::try_from(head).unwrap()]),
        }
        if made.is_ok() {
            break;
        }
    }
    assert!(unfinished > 20, "{unfinished}");
}

#[test]
fn an_unfinished_backup_can_be_salvaged_as_far_as_it_came() {
    let (mut files, events) = patient(30);
    files.insert("unfinished".to_owned(), Vec::new());
    let disk = on_disk(&files);
    assert!(inspect(&disk).unwrap().is_unfinished);
    let to = Arc::<SimulatedDisk>::default();
    salvage(&disk, &to).unwrap();
    assert!(all(&Store::open_in(to, small()).unwrap()) == events);
}

#[test]
fn whatever_a_store_opens_as_an_inspection_finds_too() {
    let (files, events) = patient(12);
    let seed = std::env::var("COUNTERPOINT_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("COUNTERPOINT_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let mut sound = 0;
    for round in 0..rounds(300) {
        let mut damaged = files.clone();
        damaged.retain(|name, _| !name.ends_with(".idx"));
        for _ in 0..rng.random_range(1..4) {
            let names: Vec<String> = damaged.keys().cloned().collect();
            let name = &names[rng.random_range(0..names.len())];
            let bytes = damaged.get_mut(name).unwrap();
            let at = rng.random_range(0..used(bytes).max(1));
            match rng.random_range(0..5) {
                0 => bytes.truncate(at),
                1 => bytes.iter_mut().skip(at).take(64).for_each(|byte| *byte = 0),
                2 => bytes.iter_mut().skip(at).take(16).for_each(|byte| *byte = rng.random()),
                3 => drop(damaged.remove(name)),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1),
            }
        }
        if logs(&damaged).is_empty() && !damaged.contains_key("cursors") {
            continue;
        }
        let context = format!("round {round}");
        let found = inspect(&on_disk(&damaged)).unwrap();
        let to = Arc::<SimulatedDisk>::default();
        salvage(&on_disk(&damaged), &to).unwrap_or_else(|error| panic!("{context}: {error}"));
        let salvaged = all(&Store::open_in(to, small()).unwrap());
        assert!(salvaged == events[..usize::try_from(found.head).unwrap()], "{context}");
        match opens(&damaged) {
            Some(opened) => {
                sound += 1;
                assert!(salvaged == opened, "{context}: {found:?}");
            }
            None => assert!(found.damage_count > 0, "{context}: {found:?}"),
        }
    }
    assert!(sound > 0);
}

#[test]
fn hostile_bytes_end_an_inspection_and_nothing_else() {
    let seed = std::env::var("COUNTERPOINT_SEED").map_or(7, |seed| seed.parse().expect("a number"));
    println!("COUNTERPOINT_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (files, _) = patient(3);
    let log = logs(&files)[0].clone();
    for _ in 0..rounds(200) {
        let mut damaged = files.clone();
        for name in [log.clone(), "cursors".to_owned(), "marks".to_owned(), file_name(rng.random_range(0..9))]
        {
            let mut bytes = vec![0; rng.random_range(0..3000)];
            rng.fill(&mut bytes[..]);
            // Magic numbers all over make more of it look like frames.
            for at in (0..bytes.len().saturating_sub(4)).step_by(64) {
                bytes[at..at + 4].copy_from_slice(b"cpf\x01");
            }
            if rng.random_bool(0.5) {
                damaged.insert(name, bytes);
            }
        }
        let (disk, to) = (on_disk(&damaged), Arc::<SimulatedDisk>::default());
        assert!(salvage(&disk, &to).unwrap().inspection.head <= 6);
        assert_whole(&Store::open_in(to, small()).unwrap());
    }
}

#[test]
fn a_store_in_memory_has_a_prefix_too() {
    let memory = Arc::<Memory>::default();
    let store = Store::open_in(Arc::clone(&memory) as Arc<_>, small()).unwrap();
    store.append(vec![event("A", &[])], vec![]).unwrap();
    drop(store);
    let mut inspect = Inspect::of_storage(memory).unwrap();
    while inspect.step().unwrap() {}
    let (done, total) = inspect.progress();
    assert!(done <= total && total > 0);
    assert_eq!(inspect.result().head, 1);
}
