//! A whole store with some of its bytes changed: opened, read, verified, appended to, and opened again.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};

use counterpoint::storage::{Memory, PAGE_WORDS, Storage};
use counterpoint::{
    AppendCondition, AppendError, Event, OpenError, Options, Query, QueryItem, ReadError, ReadOptions,
    SequencedEvent, StorageError, Store, Verify,
};

use super::forms::{self, FIXTURE};

type Files = BTreeMap<String, Vec<u8>>;

/// Changes to the fixture, each of eight bytes: what, which file, where (of 65,536), and what with.
///
/// The first byte of the input says whether checksums are made right and whether the marks are there at all.
pub fn directory(input: &[u8]) {
    let Some((flags, edits)) = input.split_first() else { return };
    let mut files: Files = FIXTURE.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    for edit in edits.chunks_exact(8).take(64) {
        apply(&mut files, edit);
    }
    if flags & 1 == 1 {
        sign(&mut files);
    }
    if flags & 2 == 2 {
        files.remove("marks");
    }
    live(&files, flags & 1 == 0);
}

/// Some changes to begin with: one of each kind in each file, and odd numbers in every field of the headers.
pub fn seeds() -> Vec<Vec<u8>> {
    let mut seeds = vec![vec![0], vec![1], vec![2]];
    for file in 0..FIXTURE.len() as u8 {
        seeds.extend((0..8).map(|kind| vec![kind % 4, kind, file, 100, 20, 4, 0, 255, 255]));
        for at in (8..128).step_by(4) {
            seeds.extend((1..5).map(|number| vec![1, 7, file, at, 0, 0, 2 + number % 2, 0, number]));
        }
    }
    seeds
}

fn apply(files: &mut Files, edit: &[u8]) {
    let [kind, file, low, high, size, from_low, from_high, value] = *edit else { return };
    let Some(name) = FIXTURE.get(usize::from(file) % FIXTURE.len()).map(|(name, _)| *name) else { return };
    let Some(bytes) = files.get_mut(name) else { return };
    let at = usize::from(u16::from_le_bytes([low, high])).min(bytes.len());
    let end = (at + usize::from(size)).min(bytes.len());
    match kind % 8 {
        0 => bytes[at..end].fill(value),
        1 => bytes[at..end].iter_mut().for_each(|byte| *byte ^= value),
        2 => bytes.truncate(at),
        3 => bytes.resize(at + usize::from(value) * 64, 0),
        4 => {
            // Older bytes.
            let from = usize::from(u16::from_le_bytes([from_low, from_high])).min(bytes.len());
            let older: Vec<u8> = bytes[from..].iter().take(end - at).copied().collect();
            bytes[at..at + older.len().min(end - at)].copy_from_slice(&older[..older.len().min(end - at)]);
        }
        5 => drop(files.remove(name)),
        6 => {
            let other = FIXTURE.get(usize::from(value) % FIXTURE.len()).map_or("", |(name, _)| *name);
            let theirs = files.get(other).cloned().unwrap_or_default();
            files.insert(name.to_owned(), theirs);
        }
        _ => {
            let number =
                [0, 1, u64::MAX, u64::MAX / 2, 1 << 32, 1 << 31, 255, 1 << 16][usize::from(value) % 8];
            let number = number.to_le_bytes();
            let width = [1, 2, 4, 8][usize::from(from_low) % 4].min(bytes.len() - at);
            bytes[at..at + width].copy_from_slice(&number[..width]);
        }
    }
}

/// Makes all checksums right, from segment to segment.
fn sign(files: &mut Files) {
    let mut previous = Some(0);
    for (name, bytes) in files.iter_mut() {
        if name.ends_with(".log") {
            previous = forms::sign_segment(bytes, previous);
        } else if name.ends_with(".idx") {
            forms::sign_index(bytes);
        } else if name == "cursors" {
            forms::sign_end(bytes);
        }
    }
}

/// The marks alone, as they may be left.
pub fn marks(input: &[u8]) {
    let mut files: Files = FIXTURE.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
    files.insert("marks".to_owned(), input.to_vec());
    let events = live(&files, true);
    // Whatever they say, it is the log that counts; only a durable mark beyond its end is believed.
    assert!(events.is_none_or(|events| events == intact().len()));
}

fn storage(files: &Files) -> Arc<Memory> {
    let storage = Arc::new(Memory::default());
    for (name, bytes) in files {
        if name == "marks" {
            let page = storage.shared_page(name).expect("memory has room");
            let mut words = [0; PAGE_WORDS * 8];
            words.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            for (word, bytes) in page.words().iter().zip(words.chunks_exact(8)) {
                word.store(u64::from_le_bytes(*bytes.first_chunk().expect("of eight")), Ordering::SeqCst);
            }
        } else {
            storage.create(name).and_then(|file| file.write_all_at(bytes, 0)).expect("memory has room");
        }
    }
    storage
}

fn open(storage: &Arc<Memory>) -> Option<Store> {
    let options =
        Options { segment_bytes: 4096, index_events: 24, read_cache_bytes: 0, ..Options::default() };
    match Store::open_in(Arc::clone(storage) as Arc<dyn Storage>, options) {
        Ok(store) => Some(store),
        Err(OpenError::Storage(error)) => {
            check_error(&error);
            None
        }
        Err(error) => panic!("{error}"),
    }
}

/// Damage is said to be somewhere; and memory does not fail but for files that are not there or too short.
fn check_error(error: &StorageError) {
    match error {
        StorageError::Corrupt(corruption) => assert!(!corruption.file.is_empty(), "{error}"),
        StorageError::Io { .. } => {}
        StorageError::Poisoned { cause } => assert!(!cause.contains("panicked"), "{error}"),
    }
}

/// The events of the fixture, as long as nothing has been changed.
fn intact() -> &'static [SequencedEvent] {
    static INTACT: OnceLock<Vec<SequencedEvent>> = OnceLock::new();
    INTACT.get_or_init(|| {
        let files = FIXTURE.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        read(&open(&storage(&files)).expect("the fixture is whole"), &Query::All, false)
            .expect("it can be read")
    })
}

fn read(store: &Store, query: &Query, reverse: bool) -> Option<Vec<SequencedEvent>> {
    let options = ReadOptions { reverse, ..ReadOptions::default() };
    let mut events = Vec::new();
    let mut chunks = match store.read(query.clone(), options) {
        Ok(read) => read.chunks(),
        Err(error) => return failed(&error),
    };
    loop {
        match chunks.next_chunk() {
            Ok(chunk) if chunk.is_empty() => return Some(events),
            Ok(chunk) => events.extend(chunk),
            Err(error) => return failed(&error),
        }
    }
}

fn failed<T>(error: &ReadError) -> Option<T> {
    match error {
        ReadError::Storage(error) => check_error(error),
        error => panic!("{error}"),
    }
    None
}

/// Uses the store in every way. If checksums were left alone, what can be read is what was there. Returns how many events
/// there are.
fn live(files: &Files, is_unsigned: bool) -> Option<usize> {
    let storage = storage(files);
    let mut verify = Verify::of_storage(Arc::clone(&storage) as Arc<dyn Storage>);
    if let Ok(verify) = &mut verify {
        while verify.step().unwrap_or(false) {}
    }
    let store = open(&storage)?;
    let events = read(&store, &Query::All, false);
    if let Some(events) = &events {
        assert_eq!(events.len() as u64, store.head().expect("it is open"));
        assert!(events.iter().zip(1..).all(|(event, position)| event.position == position));
        if is_unsigned {
            assert!(intact().starts_with(events), "an event is not what it was");
        }
        ask(&store, events);
    }
    for name in ["orders", "zero"] {
        let _whatever_it_is = store.get_cursor(name).map_err(|error| failed::<()>(&error));
        let _set_or_damaged = store.set_cursor(name, 5, None).map_err(|error| failed::<()>(&error));
    }
    for position in [1, 2, store.head().expect("it is open")] {
        let _known_or_not = store.why(position);
    }
    let _figures = store.stats().map_err(|error| failed::<()>(&error));
    if let Ok(mut verify) = store.verify() {
        while verify.step().unwrap_or(false) {}
    }
    use_it(&store);
    let count = events.map(|events| events.len());
    drop(store);
    if let Some(store) = open(&storage) {
        let again = read(&store, &Query::All, true);
        assert!(again.is_none_or(|again| again.len() as u64 == store.head().expect("it is open")));
    }
    count
}

/// The index agrees with the one predicate, whatever it was made from.
fn ask(store: &Store, events: &[SequencedEvent]) {
    for tags in [&["all"][..], &["n:1", "all"], &["tag 63"], &["caf\u{e9}"]] {
        let item = QueryItem::new::<&str, _>(&[], tags).expect("within the limits");
        let query = Query::items(vec![item]).expect("there is an item");
        let Some(found) = read(store, &query, false) else { continue };
        assert!(found.iter().all(|found| query.matches(&found.event.view())));
        assert!(found.iter().all(|found| events.contains(found)), "found what is not there");
    }
}

fn use_it(store: &Store) {
    for (n, size) in [10, 3000, 9000].into_iter().enumerate() {
        let event = Event::new("After", &["all", &n.to_string()], &vec![7; size], None, None).expect("small");
        let condition = AppendCondition { query: Query::All, after: store.head().expect("it is open") };
        match store.append(vec![event], vec![condition]) {
            Ok(last) => assert_eq!(last, store.head().expect("it is open")),
            Err(AppendError::Storage(error)) => return check_error(&error),
            Err(error) => panic!("{error}"),
        }
    }
}
