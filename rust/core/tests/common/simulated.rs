//! A disk that loses what was not synced, and fails on demand.
//!
//! A file has the bytes that a process sees and the bytes that a power loss leaves. Syncing copies the first to the
//! second, where they were written since the last sync; a crash keeps, of what was not synced, any subset of sectors.
//! Names behave alike with the directory's sync.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use counterpoint::storage::{LockFile, MappedFile, Memory, SharedPage, Sharing, Storage, StorageFile};
use parking_lot::Mutex;

const SECTOR: usize = 512;

#[derive(Debug, Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The sectors written since the last sync.
    dirty: BTreeSet<usize>,
}

impl Contents {
    fn write(&mut self, bytes: &[u8], offset: usize) {
        let end = offset + bytes.len();
        if self.seen.len() < end {
            self.seen.resize(end, 0);
        }
        self.seen[offset..end].copy_from_slice(bytes);
        self.dirty.extend(offset / SECTOR..end.div_ceil(SECTOR));
    }

    fn sync(&mut self) {
        self.durable.resize(self.seen.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let end = ((sector + 1) * SECTOR).min(self.seen.len());
            let sector = (sector * SECTOR).min(end)..end;
            self.durable[sector.clone()].copy_from_slice(&self.seen[sector]);
        }
    }
}

/// What is called before each sync of a file.
#[derive(Clone)]
struct Hook(Arc<dyn Fn() + Send + Sync>);

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hook")
    }
}

#[derive(Debug, Default)]
struct Faults {
    before_sync: Mutex<Option<Hook>>,
    operations: AtomicU64,
    /// The first operation that fails, counted from 1; 0 for none.
    fail_at: AtomicU64,
    /// How many fail from there on.
    fail_count: AtomicU64,
}

impl Faults {
    fn operation(&self) -> io::Result<()> {
        let number = self.operations.fetch_add(1, Ordering::SeqCst) + 1;
        let first = self.fail_at.load(Ordering::SeqCst);
        let failing = first > 0 && number >= first && number - first < self.fail_count.load(Ordering::SeqCst);
        if failing { Err(io::Error::other("injected failure")) } else { Ok(()) }
    }
}

#[derive(Debug, Default)]
pub struct SimulatedDisk {
    seen: Mutex<HashMap<String, Arc<Mutex<Contents>>>>,
    durable: Mutex<HashMap<String, Arc<Mutex<Contents>>>>,
    faults: Arc<Faults>,
    others: Memory,
}

impl SimulatedDisk {
    /// Makes `count` operations fail, beginning with the `number`-th from now; earlier orders are void.
    pub fn fail(&self, number: u64, count: u64) {
        self.faults.fail_count.store(count, Ordering::SeqCst);
        self.faults.fail_at.store(self.operations() + number, Ordering::SeqCst);
    }

    pub fn operations(&self) -> u64 {
        self.faults.operations.load(Ordering::SeqCst)
    }

    /// Has `hook` called before each sync of a file, so that a test can hold one up.
    pub fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        *self.faults.before_sync.lock() = Some(Hook(Arc::new(hook)));
    }

    /// The disk as it may be after a power loss now. `keep` says whether an unsynced sector or name survived.
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> Self {
        // Shared pages are written back at any time, but never before they are written. This one is as it was before the
        // files are looked at: a mark that moves meanwhile may speak of what the files looked at did not have yet.
        let page = |disk: &Self| disk.others.shared_page("marks").expect("memory has room");
        let marks: Vec<u64> = page(self).words().iter().map(|word| word.load(Ordering::SeqCst)).collect();
        let mut names = self.durable.lock().clone();
        for (name, file) in self.seen.lock().iter() {
            if names.get(name).is_none_or(|durable| !Arc::ptr_eq(durable, file)) && keep() {
                names.insert(name.clone(), Arc::clone(file));
            }
        }
        names.retain(|name, _| self.seen.lock().contains_key(name) || keep());
        let after = Self::default();
        for (name, file) in names {
            let file = file.lock();
            let length = if keep() { file.seen.len() } else { file.durable.len() };
            let mut bytes = file.durable.clone();
            bytes.resize(length, 0);
            for start in (0..length.min(file.seen.len())).step_by(SECTOR) {
                let sector = start..(start + SECTOR).min(length).min(file.seen.len());
                if bytes[sector.clone()] != file.seen[sector.clone()] && keep() {
                    bytes[sector.clone()].copy_from_slice(&file.seen[sector]);
                }
            }
            let contents = Contents { seen: bytes.clone(), durable: bytes, dirty: BTreeSet::new() };
            let contents = Arc::new(Mutex::new(contents));
            after.seen.lock().insert(name.clone(), Arc::clone(&contents));
            after.durable.lock().insert(name, contents);
        }
        for (word, survived) in marks.into_iter().zip(page(&after).words()) {
            survived.store(word, Ordering::SeqCst);
        }
        after
    }

    /// The bytes of all files as processes see them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let seen = self.seen.lock();
        seen.iter().map(|(name, file)| (name.clone(), file.lock().seen.clone())).collect()
    }

    fn file(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let contents = self.seen.lock().get(name).cloned().ok_or(ErrorKind::NotFound)?;
        Ok(Arc::new(SimulatedFile { contents, faults: Arc::clone(&self.faults) }))
    }
}

impl Storage for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.faults.operation()?;
        Ok(self.seen.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.faults.operation()?;
        self.seen.lock().insert(name.to_owned(), Arc::default());
        self.file(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        self.faults.operation()?;
        self.file(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.faults.operation()?;
        let mut seen = self.seen.lock();
        let file = seen.remove(from).ok_or(ErrorKind::NotFound)?;
        seen.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.faults.operation()?;
        self.seen.lock().remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.faults.operation()?;
        *self.durable.lock() = self.seen.lock().clone();
        Ok(())
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        self.others.lock_file(name)
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        self.others.shared_page(name)
    }

    fn boot_id(&self) -> io::Result<u128> {
        Ok(1)
    }

    /// Links, as between two directories of one file system.
    fn share(&self, name: &str, how: Sharing, source: &dyn Storage, source_name: &str) -> io::Result<bool> {
        self.faults.operation()?;
        let source: &dyn Any = source;
        let Some(source) = source.downcast_ref::<Self>().filter(|_| how == Sharing::Link) else {
            return Ok(false);
        };
        let contents = source.seen.lock().get(source_name).cloned().ok_or(ErrorKind::NotFound)?;
        self.seen.lock().insert(name.to_owned(), contents);
        Ok(true)
    }
}

#[derive(Debug)]
struct SimulatedFile {
    contents: Arc<Mutex<Contents>>,
    faults: Arc<Faults>,
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.lock().seen.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.faults.operation()?;
        let contents = self.contents.lock();
        let start = offset as usize;
        let found = contents.seen.get(start..start + buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let failed = self.faults.operation();
        // A write that fails has written a part.
        let bytes = if failed.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        self.contents.lock().write(bytes, offset as usize);
        failed
    }

    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        self.faults.operation()?;
        self.contents.lock().write(&vec![0; (length - from) as usize], from as usize);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.faults.operation()?;
        self.contents.lock().seen.truncate(length as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let hook = self.faults.before_sync.lock().clone();
        hook.inspect(|hook| hook.0());
        let failed = self.faults.operation();
        let mut contents = self.contents.lock();
        match failed {
            Ok(()) => contents.sync(),
            // As on Linux: what could not be written counts as clean, and the disk never gets it.
            Err(_) => contents.dirty.clear(),
        }
        failed
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        self.faults.operation()?;
        Ok(Arc::new(Snapshot(self.contents.lock().seen.clone())))
    }
}

#[derive(Debug)]
struct Snapshot(Vec<u8>);

impl MappedFile for Snapshot {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, _: Range<usize>) {}
}
