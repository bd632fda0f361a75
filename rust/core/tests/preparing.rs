//! The next segment is made ready off the append path, whoever dies or fails at it.

mod common;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use counterpoint::storage::{LockFile, MappedFile, Memory, SharedPage, Storage, StorageFile};
use counterpoint::{Event, Options, Store};
use parking_lot::Mutex;

const MIB: u64 = 1 << 20;

/// Memory that tells how many files were made, and how they were filled.
#[derive(Debug, Default)]
struct Watched {
    memory: Memory,
    created: AtomicUsize,
    filled: Arc<Filled>,
    /// Whether the next file cannot be made.
    refuses: AtomicBool,
    refused: AtomicUsize,
}

#[derive(Debug, Default)]
struct Filled {
    /// Bytes that were filled with zeros since the last sync.
    unsynced: Mutex<u64>,
    /// The most that these were.
    most: Mutex<u64>,
}

#[derive(Debug)]
struct WatchedFile(Arc<dyn StorageFile>, Arc<Filled>);

impl Watched {
    fn files(&self, end: &str) -> usize {
        self.list().unwrap().iter().filter(|name| name.ends_with(end)).count()
    }

    fn created(&self) -> usize {
        self.created.load(Ordering::SeqCst)
    }
}

impl Storage for Watched {
    fn list(&self) -> io::Result<Vec<String>> {
        self.memory.list()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        if self.refuses.swap(false, Ordering::SeqCst) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(io::Error::other("refused"));
        }
        self.created.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(WatchedFile(self.memory.create(name)?, Arc::clone(&self.filled))))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.memory.open(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.memory.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.memory.remove(name)
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.memory.sync_directory()
    }
    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        self.memory.lock_file(name)
    }
    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        self.memory.shared_page(name)
    }
    fn boot_id(&self) -> io::Result<u128> {
        self.memory.boot_id()
    }
}

impl StorageFile for WatchedFile {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }
    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        let mut unsynced = self.1.unsynced.lock();
        *unsynced += length - from;
        let mut most = self.1.most.lock();
        *most = (*most).max(*unsynced);
        self.0.preallocate(from, length)
    }
    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.truncate(length)
    }
    fn sync_data(&self) -> io::Result<()> {
        *self.1.unsynced.lock() = 0;
        self.0.sync_data()
    }
    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }
    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        self.0.map()
    }
}

fn open(storage: &Arc<Watched>) -> Store {
    Store::open_in(Arc::clone(storage) as Arc<_>, Options { segment_bytes: 4 * MIB, ..Options::default() })
        .unwrap()
}

/// Sixteen of these make a segment of one MiB full.
fn append(store: &Store) {
    let event = Event::new::<&str>("A", &[], &[0; 64 << 10], None, None).unwrap();
    store.append(vec![event], vec![]).unwrap();
}

fn wait_until(happened: impl Fn() -> bool) {
    for _ in 0..10_000 {
        if happened() {
            return;
        }
        thread::sleep(Duration::from_millis(1));
    }
    panic!("it never happened");
}

#[test]
fn a_segment_that_was_never_made_ready_is_made_by_who_finds_the_log_a_little_fuller() {
    let storage = Arc::new(Watched::default());
    let (one, other) = (open(&storage), open(&storage));
    storage.refuses.store(true, Ordering::SeqCst);
    // As with one that is killed at it: its turn is over, and nothing is ready.
    (0..9).for_each(|_| append(&one));
    wait_until(|| storage.refused.load(Ordering::SeqCst) == 1);
    assert_eq!(storage.files("next.ready"), 0);
    (0..2).for_each(|_| append(&other));
    wait_until(|| storage.files("next.ready") == 1);
    assert_eq!(storage.files(".log"), 1, "the segment was not full yet");
}

#[test]
fn appends_make_no_file_if_the_next_segment_is_ready() {
    let storage = Arc::new(Watched::default());
    let store = open(&storage);
    (0..9).for_each(|_| append(&store));
    wait_until(|| storage.files("next.ready") == 1);
    let created = storage.created();
    // Further requests for the next segment find it ready.
    while storage.files(".log") == 1 {
        append(&store);
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(storage.created(), created);
}

#[test]
fn a_segment_is_made_ready_in_steps_that_other_syncs_can_wait_for() {
    let storage = Arc::new(Watched::default());
    let store = open(&storage);
    // The first is one MiB long, the second two.
    (0..9).for_each(|_| append(&store));
    wait_until(|| storage.files("next.ready") == 1);
    assert_eq!(*storage.filled.most.lock(), MIB);
}
