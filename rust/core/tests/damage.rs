//! Damage at rest: what is read is what was written, or a `Corruption` that says where it is not (F3 in
//! `docs/testing.md`). The stores here were closed in order, so everything in them was acknowledged.

mod common;

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::files::{Files, MARKS, files_of, storage_of};
use common::{all, assert_whole, condition, is_soak, query, read, seed};
use counterpoint::decoders::IndexFile;
use counterpoint::log::recovery::{End, Start, scan};
use counterpoint::log::segment::{SegmentHeader, first_position};
use counterpoint::storage::{Memory, Storage};
use counterpoint::{
    AppendError, Corruption, Event, OpenError, Options, ReadError, ReadOptions, SequencedEvent, StorageError,
    Store,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const CURSOR: &str = "follower";

/// A whole store and what it holds.
struct Patient {
    files: Files,
    events: Vec<SequencedEvent>,
    options: Options,
}

impl Patient {
    /// A log of about so many bytes in segments of a quarter of that, with index files of so many events.
    fn new(bytes: u64, index_events: usize) -> Self {
        let options = Options {
            segment_bytes: (bytes / 4).max(4096),
            index_events,
            read_cache_bytes: 0,
            ..Options::default()
        };
        let storage = Arc::new(Memory::default());
        let store = Store::open_in(Arc::clone(&storage) as Arc<_>, options).unwrap();
        for n in 0u64.. {
            let stats = store.stats().unwrap();
            if n % 10 == 0 && stats.segments >= 4 && n * 300 > bytes {
                break;
            }
            let tags = [format!("n:{n}"), format!("few:{}", n % 7)];
            let data = vec![n as u8 | 1; (n % 9 * 30) as usize];
            let event = Event::new(["A", "B"][(n % 2) as usize], &tags, &data, Some(b"m"), None).unwrap();
            let guard = condition(query(&["Absent"], &[&tags[1]]), n / 2);
            store.append(vec![event], if n % 3 == 0 { vec![guard] } else { vec![] }).unwrap();
        }
        store.set_cursor(CURSOR, 5, None).unwrap();
        let until = Instant::now() + Duration::from_secs(20);
        while index_events < 1 << 10 && store.stats().unwrap().index_files < 2 {
            assert!(Instant::now() < until);
            thread::sleep(Duration::from_millis(1));
        }
        let events = all(&store);
        store.close().unwrap();
        Self { files: files_of(&storage), events, options }
    }

    fn names(&self, end: &str) -> Vec<String> {
        self.files.keys().filter(|name| name.ends_with(end)).cloned().collect()
    }

    fn with(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
        let mut files = self.files.clone();
        change(files.get_mut(name).unwrap());
        files
    }

    fn open(&self, files: &Files) -> Result<Store, OpenError> {
        Store::open_in(storage_of(files) as Arc<_>, self.options)
    }

    /// `true`: all is as it was, and an append is read as well. `false`: it is said to be damaged, and where.
    fn is_sound(&self, files: &Files, context: &str) -> bool {
        match self.open(files) {
            Err(OpenError::Storage(StorageError::Corrupt(corruption))) => {
                self.names_a_place(&corruption, files, context);
                false
            }
            Err(error) => panic!("{context}: {error}"),
            Ok(store) => {
                assert!(all(&store) == self.events, "{context}: an event is not what it was");
                assert_eq!(store.append(vec![common::event("After", &[])], vec![]).unwrap(), self.head() + 1);
                true
            }
        }
    }

    fn head(&self) -> u64 {
        self.events.len() as u64
    }

    fn names_a_place(&self, corruption: &Corruption, files: &Files, context: &str) {
        let is_missing = !files.contains_key(&corruption.file);
        let length = self.files.get(&corruption.file).map_or(0, Vec::len);
        assert!(
            self.files.contains_key(&corruption.file) || is_missing && corruption.offset == 0,
            "{context}: {corruption}"
        );
        assert!(corruption.offset <= length as u64, "{context}: {corruption}");
    }

    /// Whatever became of the index, the answers are those of the log.
    fn answers(&self, store: &Store, context: &str) {
        for (types, tags) in
            [(&["A"][..], &["few:3"][..]), (&[], &["n:1"]), (&["B"], &[]), (&[], &["absent"])]
        {
            let wanted = query(types, tags);
            let found = read(store, wanted.clone(), ReadOptions::default());
            let expected = self.events.iter().filter(|event| wanted.matches(&event.event.view()));
            assert!(found.iter().eq(expected), "{context}: {wanted:?}");
        }
        let taken = store.append(vec![common::event("A", &[])], vec![condition(query(&["B"], &["n:1"]), 0)]);
        let is_refused = matches!(&taken, Err(AppendError::Conflict(conflict)) if conflict.position == 2);
        assert!(is_refused, "{context}: {taken:?}");
    }
}

/// The frames of a segment: how far it reads, and how many events it has.
fn recover(name: &str, bytes: &[u8], start: Start) -> Result<End, Corruption> {
    scan(name, bytes, bytes.len() as u64, start, |frame, _| {
        let whole = frame.records().flatten().count() as u32 == frame.event_count && frame.guards().is_some();
        if whole { Ok(()) } else { Err("a record is damaged") }
    })
}

#[test]
fn every_bit_of_a_log_of_64_kib_is_missed_or_makes_no_difference() {
    let patient = Patient::new(if is_soak() { 512 << 10 } else { 68 << 10 }, 1 << 17);
    let logs = patient.names(".log");
    let bytes: usize = logs.iter().map(|name| patient.files[name].len()).sum();
    assert!(logs.len() >= 4 && bytes >= 64 << 10, "{bytes} bytes in {} segments", logs.len());
    let mut start = Start { store: None, position: 1, previous: 0 };
    let mut work = Vec::new();
    for name in &logs {
        let end = recover(name, &patient.files[name], start).unwrap();
        work.push((name, start, end));
        start = Start { store: Some(end.header.store), position: end.next_position, previous: end.previous };
    }
    let missed: usize = thread::scope(|scope| {
        let halves: Vec<_> = (0..2)
            .map(|half| {
                let (work, files) = (&work, &patient.files);
                scope.spawn(move || {
                    work.iter()
                        .map(|(name, start, end)| flip(name, &files[*name], *start, end, half))
                        .sum::<usize>()
                })
            })
            .collect();
        halves.into_iter().map(|half| half.join().unwrap()).sum()
    });
    println!("{} bits of {} segments flipped; {missed} were missed", bytes * 8, logs.len());
    assert!(missed > bytes * 8 / 3 * 2, "{missed}");
}

/// Flips every bit of every other byte; returns for how many the segment is said to be damaged.
fn flip(name: &str, bytes: &[u8], start: Start, whole: &End, half: usize) -> usize {
    let (mut damaged, mut missed) = (bytes.to_vec(), 0);
    for bit in (0..bytes.len()).skip(half).step_by(2).flat_map(|byte| byte * 8..byte * 8 + 8) {
        damaged[bit / 8] ^= 1 << (bit % 8);
        match recover(name, &damaged, start) {
            Err(corruption) => {
                assert!(corruption.file == name && corruption.offset <= bytes.len() as u64, "bit {bit}");
                missed += 1;
            }
            // The seal, which holds no event, and what follows it.
            Ok(end) => {
                let is_behind = bit as u64 / 8 >= whole.last_offset;
                assert!(is_behind && end.torn && end.next_position == whole.next_position, "bit {bit}");
            }
        }
        damaged[bit / 8] ^= 1 << (bit % 8);
    }
    missed
}

#[test]
fn a_flipped_bit_is_never_a_wrong_answer_of_the_store() {
    let patient = Patient::new(64 << 10, 1 << 17);
    let (mut flipped, mut missed) = (0, 0);
    for name in patient.names(".log") {
        for byte in (0..patient.files[&name].len()).step_by(if is_soak() { 1 } else { 7 }) {
            for bit in if is_soak() { 0..8 } else { byte % 8..byte % 8 + 1 } {
                let files = patient.with(&name, |bytes| bytes[byte] ^= 1 << bit);
                flipped += 1;
                missed +=
                    usize::from(!patient.is_sound(&files, &format!("{name}, bit {bit} of byte {byte}")));
            }
        }
    }
    println!("{flipped} bits flipped; {missed} were missed");
    assert!(missed * 2 > flipped, "{missed} of {flipped}");
}

#[test]
fn a_log_cut_anywhere_is_damaged_or_whole() {
    let patient = Patient::new(16 << 10, 1 << 17);
    let (mut cut, mut missed) = (0, 0);
    for name in patient.names(".log") {
        for length in (0..patient.files[&name].len()).step_by(if is_soak() { 1 } else { 5 }) {
            let files = patient.with(&name, |bytes| bytes.truncate(length));
            cut += 1;
            missed += usize::from(!patient.is_sound(&files, &format!("{name} cut to {length}")));
        }
    }
    println!("cut at {cut} places; {missed} were missed");
    // A last segment without frames is not needed.
    assert!(missed * 10 > cut * 9, "{missed} of {cut}");
}

#[test]
fn zeros_garbage_and_older_bytes_over_the_last_frames_are_never_a_wrong_answer() {
    let patient = Patient::new(16 << 10, 1 << 17);
    let mut rng = StdRng::seed_from_u64(seed());
    let name = patient.names(".log").pop().unwrap();
    let bytes = &patient.files[&name];
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (mut written, mut missed) = (0, 0);
    for at in used.saturating_sub(if is_soak() { 4000 } else { 500 })..(used + 64).min(bytes.len()) {
        for size in [1, 4, 8, 64, 300].map(|size: usize| size.min(bytes.len() - at)) {
            let older = rng.random_range(0..at.max(1));
            let overwritten: [(&str, Vec<u8>); 4] = [
                ("zeros", vec![0; size]),
                ("ones", vec![0xFF; size]),
                ("garbage", (0..size).map(|_| rng.random()).collect()),
                ("older bytes", bytes[older..].iter().copied().take(size).collect()),
            ];
            for (kind, with) in overwritten {
                let files = patient.with(&name, |bytes| bytes[at..at + with.len()].copy_from_slice(&with));
                written += 1;
                missed += usize::from(!patient.is_sound(&files, &format!("{size} {kind} at {at}")));
            }
        }
    }
    println!("{written} times overwritten; {missed} were missed");
    assert!(missed * 2 > written, "{missed} of {written}");
}

#[test]
fn a_missing_or_exchanged_file_is_damage_or_made_again() {
    let patient = Patient::new(16 << 10, 16);
    let logs = patient.names(".log");
    for name in patient.files.keys() {
        let mut files = patient.files.clone();
        files.remove(name);
        let is_needed = name.ends_with(".log");
        assert_eq!(patient.is_sound(&files, name), !is_needed, "{name}");
    }
    for (one, other) in logs.iter().zip(&logs[1..]) {
        let mut files = patient.files.clone();
        files.insert(one.clone(), patient.files[other].clone());
        assert!(!patient.is_sound(&files, one));
    }
    // With no log at all, each of the others shows that there was one.
    for name in patient.files.keys().filter(|name| !name.ends_with(".log")) {
        let files = Files::from([(name.clone(), patient.files[name].clone())]);
        let opened = patient.open(&files);
        let Err(OpenError::Storage(StorageError::Corrupt(corruption))) = &opened else {
            panic!("{name}: {opened:?}")
        };
        assert!(corruption.file == logs[0] && corruption.what.contains(name), "{corruption}");
    }
    // Of another store, and so of an older life of this one.
    let stranger = Patient::new(16 << 10, 16);
    for (name, bytes) in stranger.files.iter().filter(|(name, _)| patient.files.contains_key(*name)) {
        let mut files = patient.files.clone();
        files.insert(name.clone(), bytes.clone());
        assert_eq!(patient.is_sound(&files, name), !name.ends_with(".log"), "{name}");
    }
}

#[test]
fn a_damaged_index_file_changes_no_answer() {
    let patient = Patient::new(16 << 10, 16);
    let files = patient.names(".idx");
    assert!(files.len() >= 2, "{files:?}");
    let mut changed = 0;
    for name in if is_soak() { &files[..] } else { &files[..1] } {
        let bytes = &patient.files[name];
        let stride = if is_soak() { 7 } else { 29 };
        let places = (0..bytes.len()).filter(|at| bytes[*at] != 0 || at % stride == 0);
        for at in places {
            for bit in if is_soak() { 0..8 } else { at % 8..at % 8 + 1 } {
                let context = format!("{name}, bit {bit} of byte {at}");
                let store = patient.open(&patient.with(name, |bytes| bytes[at] ^= 1 << bit)).unwrap();
                patient.answers(&store, &context);
                changed += 1;
            }
        }
        for length in (0..bytes.len()).step_by(if is_soak() { 61 } else { 409 }) {
            let store = patient.open(&patient.with(name, |bytes| bytes.truncate(length))).unwrap();
            patient.answers(&store, &format!("{name} cut to {length}"));
            changed += 1;
        }
    }
    println!("{changed} damaged index files");
    assert!(changed > 500, "{changed}");
}

#[test]
fn every_bit_of_an_index_file_is_missed_when_all_of_it_is_looked_at() {
    let patient = Patient::new(16 << 10, 16);
    let name = patient.names(".idx").remove(0);
    let bytes = &patient.files[&name];
    let log = &patient.files[&patient.names(".log")[0]];
    let store = SegmentHeader::decode(log).unwrap().0.store;
    let look = |bytes: Vec<u8>| IndexFile::open(&name, bytes, store).and_then(|file| file.check());
    look(bytes.clone()).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let what = look(damaged).expect_err("a bit is flipped");
        assert!(what.starts_with(&format!("{name}, offset ")), "bit {bit}: {what}");
    }
    println!("{} bits flipped", bytes.len() * 8);
}

#[test]
fn an_index_file_that_is_damaged_under_an_open_store_changes_no_answer_and_is_made_again() {
    let patient = Patient::new(16 << 10, 16);
    let mut rng = StdRng::seed_from_u64(seed());
    for round in 0..if is_soak() { 400 } else { 40 } {
        let directory = tempfile::tempdir().unwrap();
        for (name, bytes) in &patient.files {
            std::fs::write(directory.path().join(name), bytes).unwrap();
        }
        let store = Store::open(directory.path(), patient.options).unwrap();
        for name in patient.names(".idx") {
            let path: PathBuf = directory.path().join(name);
            let file = OpenOptions::new().write(true).open(path).unwrap();
            let length = file.metadata().unwrap().len();
            // One page, or all of them but the header's.
            let from = if round % 4 == 0 { 4096 } else { rng.random_range(1..length / 4096) * 4096 };
            let to = if round % 4 == 0 { length } else { (from + 4096).min(length) };
            let garbage: Vec<u8> = (from..to).map(|_| rng.random()).collect();
            file.write_all_at(&garbage, from).unwrap();
        }
        patient.answers(&store, &format!("round {round}"));
        assert!(all(&store) == patient.events, "round {round}");
        store.close().unwrap();
        let store = Store::open(directory.path(), patient.options).unwrap();
        patient.answers(&store, &format!("round {round}, opened again"));
        assert_whole(&store);
    }
}

#[test]
fn every_bit_of_the_marks_is_missed_or_makes_no_difference() {
    let patient = Patient::new(4 << 10, 1 << 17);
    let mut flipped = 0;
    for bit in 0..patient.files[MARKS].len() * 8 {
        let files = patient.with(MARKS, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(patient.is_sound(&files, &format!("bit {bit}")));
        flipped += 1;
    }
    println!("{flipped} bits flipped");
    assert_eq!(flipped, 4096 * 8);
}

#[test]
fn every_bit_and_every_cut_of_the_cursors_is_missed() {
    let patient = Patient::new(4 << 10, 1 << 17);
    let length = patient.files["cursors"].len();
    let flips = (0..length * 8).map(|bit| (bit, length));
    for (bit, length) in flips.chain((0..length).map(|length| (usize::MAX, length))) {
        let files = patient.with("cursors", |bytes| {
            bytes.truncate(length);
            if let Some(byte) = bytes.get_mut(bit / 8) {
                *byte ^= 1 << (bit % 8);
            }
        });
        let store = patient.open(&files).unwrap();
        for failed in [store.get_cursor(CURSOR).err(), store.set_cursor(CURSOR, 6, None).err()] {
            let Some(ReadError::Storage(StorageError::Corrupt(corruption))) = &failed else {
                panic!("bit {bit}, {length} bytes: {failed:?}");
            };
            assert_eq!((corruption.file.as_str(), corruption.offset), ("cursors", 0));
        }
        assert!(all(&store) == patient.events);
    }
}

#[test]
fn the_patients_are_whole_and_their_segments_in_order() {
    for (bytes, index_events) in [(4 << 10, 1 << 17), (16 << 10, 16), (64 << 10, 1 << 17)] {
        let patient = Patient::new(bytes, index_events);
        let firsts: Vec<u64> = patient.names(".log").iter().filter_map(|name| first_position(name)).collect();
        assert!(firsts.len() >= 4 && firsts.is_sorted(), "{firsts:?}");
        assert!(patient.is_sound(&patient.files, "nothing is damaged"));
        let store = patient.open(&patient.files).unwrap();
        patient.answers(&store, "nothing is damaged");
        assert_eq!(store.get_cursor(CURSOR).unwrap(), 5);
        assert_eq!(assert_whole(&store).findings, []);
        assert!(storage_of(&patient.files).list().unwrap().len() > 4);
    }
}
