//! A disk that loses what was not synced, and fails on demand.
//!
//! A file has the bytes that a process sees and the bytes that a power loss leaves. Syncing copies the first to the
//! second, where they were written since the last sync; a crash keeps, of what was not synced, any subset of sectors,
//! or parts of them, or leaves garbage there. Names behave alike with the directory's sync.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use counterpoint::storage::{
    LockFile, LockKind, MappedFile, Memory, PAGE_WORDS, SharedPage, Sharing, Storage, StorageFile,
};
use parking_lot::Mutex;

use super::failing::{EIO, Faults, Operation, Order};

const SECTOR: usize = 512;
/// The name of the page that processes share.
const MARKS: &str = "marks";

#[derive(Debug, Default)]
struct Contents {
    seen: Vec<u8>,
    durable: Vec<u8>,
    /// The sectors written since the last sync.
    dirty: BTreeSet<usize>,
    /// How many syncs have failed.
    failed_syncs: u64,
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

/// What becomes of something that was not synced when the power is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Lost,
    Kept,
    /// So many bytes of it were written.
    Torn(usize),
    /// The device was in the middle of it: anything may be there, which this number chooses.
    Garbage(u64),
}

impl Fate {
    /// What a sector holds that was to change from `old` to `new`. One that is overwritten is written whole or not at all,
    /// as design.md assumes; where there was nothing yet, a part of it may be there, or garbage.
    fn apply(self, old: &mut [u8], new: &[u8]) {
        let overwrites = old.iter().zip(new).any(|(old, new)| *old != 0 && old != new);
        match self {
            Self::Torn(bytes) if overwrites && bytes < new.len() / 2 => {}
            Self::Torn(_) | Self::Garbage(_) if overwrites => old.copy_from_slice(new),
            Self::Lost => {}
            Self::Kept => old.copy_from_slice(new),
            Self::Torn(bytes) => {
                let bytes = bytes.min(new.len());
                old[..bytes].copy_from_slice(&new[..bytes]);
            }
            Self::Garbage(mut chooses) => {
                // What was to stay as it was stays: writing the same bytes again changes nothing on a device.
                for (old, new) in old.iter_mut().zip(new).filter(|(old, new)| old != new) {
                    chooses =
                        chooses.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(new.to_owned().into());
                    *old = (chooses >> 56) as u8;
                }
            }
        }
    }
}

#[derive(Debug, Default)]
pub struct SimulatedDisk {
    seen: Mutex<HashMap<String, Arc<Mutex<Contents>>>>,
    durable: Mutex<HashMap<String, Arc<Mutex<Contents>>>>,
    faults: Arc<Faults>,
    /// The marks as they were written back at some time before; none of them if they never were.
    written_back: Mutex<Option<Vec<u64>>>,
    others: Memory,
}

impl SimulatedDisk {
    /// Makes `count` operations fail, beginning with the `number`-th from now; earlier orders are void.
    pub fn fail(&self, number: u64, count: u64) {
        self.faults.give(Some(Order { number, count, ..Order::default() }));
    }

    /// Makes operations fail as the order says, or none.
    pub fn order(&self, order: Option<Order>) {
        self.faults.give(order);
    }

    pub fn operations(&self) -> u64 {
        self.faults.operations()
    }

    /// How many operations of each kind there were.
    pub fn counts(&self) -> BTreeMap<Operation, u64> {
        self.faults.counts()
    }

    /// Has `hook` called before each sync of a file, so that a test can hold one up.
    pub fn before_sync(&self, hook: impl Fn() + Send + Sync + 'static) {
        self.observe(move |operation| {
            if operation == Operation::Sync {
                hook()
            }
        });
    }

    /// Has `hook` called before each operation. The disk can be looked at from there, and crashed.
    pub fn observe(&self, hook: impl Fn(Operation) + Send + Sync + 'static) {
        self.faults.observe(Some(Arc::new(hook)));
    }

    /// Ends that.
    pub fn look_away(&self) {
        self.faults.observe(None);
    }

    /// The disk as it may be after a power loss now. `keep` says whether an unsynced sector or name survived.
    pub fn crash(&self, mut keep: impl FnMut() -> bool) -> Self {
        self.crash_as(|| if keep() { Fate::Kept } else { Fate::Lost }, &mut || Fate::Kept)
    }

    /// The same with fates of every kind. The words of the shared marks have fates of their own: they are written back at
    /// any time, but never before they are written.
    pub fn crash_as(&self, mut fate: impl FnMut() -> Fate, word: &mut dyn FnMut() -> Fate) -> Self {
        // The page is as it was before the files are looked at: a mark that moves meanwhile may speak of what the files
        // looked at did not have yet.
        let marks = self.marks();
        let _still = self.faults.world.write();
        let mut names = self.durable.lock().clone();
        let keep = |fate: Fate| fate == Fate::Kept;
        for (name, file) in self.seen.lock().iter() {
            if names.get(name).is_none_or(|durable| !Arc::ptr_eq(durable, file)) && keep(fate()) {
                names.insert(name.clone(), Arc::clone(file));
            }
        }
        names.retain(|name, _| self.seen.lock().contains_key(name) || keep(fate()));
        let after = Self::default();
        for (name, file) in names {
            let bytes = survivors(&file.lock(), &mut fate);
            let contents = Contents { seen: bytes.clone(), durable: bytes, ..Contents::default() };
            let contents = Arc::new(Mutex::new(contents));
            after.seen.lock().insert(name.clone(), Arc::clone(&contents));
            after.durable.lock().insert(name, contents);
        }
        let Some(marks) = marks else { return after };
        let before = self.written_back.lock().clone();
        let survived: Vec<u64> =
            (0..PAGE_WORDS)
                .map(|number| {
                    if keep(word()) { marks[number] } else { before.as_ref().map_or(0, |page| page[number]) }
                })
                .collect();
        if before.is_some() || survived.iter().any(|word| *word != 0) {
            let page = after.others.shared_page(MARKS).expect("memory has room");
            page.words().iter().zip(survived).for_each(|(to, word)| to.store(word, Ordering::SeqCst));
        }
        after
    }

    /// What a system does whenever it likes.
    pub fn write_marks_back(&self) {
        if let Some(marks) = self.marks() {
            *self.written_back.lock() = Some(marks);
        }
    }

    /// The page of the shared marks, if there is one.
    fn marks(&self) -> Option<Vec<u64>> {
        let is_there = self.others.list().expect("memory can be listed").iter().any(|name| name == MARKS);
        let page = is_there.then(|| self.others.shared_page(MARKS).expect("memory has room"))?;
        Some(page.words().iter().map(|word| word.load(Ordering::SeqCst)).collect())
    }

    /// The bytes of all files as processes see them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let seen = self.seen.lock();
        seen.iter().map(|(name, file)| (name.clone(), file.lock().seen.clone())).collect()
    }

    fn file(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let contents = self.seen.lock().get(name).cloned().ok_or(ErrorKind::NotFound)?;
        let told_of = AtomicU64::new(contents.lock().failed_syncs);
        Ok(Arc::new(SimulatedFile { contents, told_of, faults: Arc::clone(&self.faults) }))
    }
}

impl Storage for SimulatedDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let _still = self.faults.operation(Operation::List)?;
        Ok(self.seen.lock().keys().cloned().chain(self.others.list()?).collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let _still = self.faults.operation(Operation::Create)?;
        self.seen.lock().insert(name.to_owned(), Arc::default());
        self.file(name)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let _still = self.faults.operation(Operation::Open)?;
        self.file(name)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let _still = self.faults.operation(Operation::Rename)?;
        let mut seen = self.seen.lock();
        let file = seen.remove(from).ok_or(ErrorKind::NotFound)?;
        seen.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let _still = self.faults.operation(Operation::Remove)?;
        self.seen.lock().remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let _still = self.faults.operation(Operation::SyncDirectory)?;
        *self.durable.lock() = self.seen.lock().clone();
        self.write_marks_back();
        Ok(())
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        let _still = self.faults.operation(Operation::Lock)?;
        Ok(Box::new(SimulatedLock { lock: self.others.lock_file(name)?, faults: Arc::clone(&self.faults) }))
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        let _still = self.faults.operation(Operation::Page)?;
        self.others.shared_page(name)
    }

    fn boot_id(&self) -> io::Result<u128> {
        Ok(1)
    }

    /// Links, as between two directories of one file system.
    fn share(&self, name: &str, how: Sharing, source: &dyn Storage, source_name: &str) -> io::Result<bool> {
        let _still = self.faults.operation(Operation::Link)?;
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
    /// As on Linux, everybody who had the file open is told once of a sync that failed.
    told_of: AtomicU64,
    faults: Arc<Faults>,
}

impl StorageFile for SimulatedFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.contents.lock().seen.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let _still = self.faults.operation(Operation::Read)?;
        let contents = self.contents.lock();
        let start = offset as usize;
        let found = contents.seen.get(start..start + buffer.len()).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let failed = self.faults.operation(Operation::Write);
        // A write that fails has written a part.
        let written = if failed.is_ok() { bytes.len() } else { self.faults.part_of(bytes.len()) };
        if written > 0 {
            self.contents.lock().write(&bytes[..written], offset as usize);
        }
        failed.map(drop)
    }

    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        let failed = self.faults.operation(Operation::Preallocate);
        let bytes = length.saturating_sub(from) as usize;
        let written = if failed.is_ok() { bytes } else { self.faults.part_of(bytes) };
        if written > 0 {
            self.contents.lock().write(&vec![0; written], from as usize);
        }
        failed.map(drop)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        let _still = self.faults.operation(Operation::Truncate)?;
        self.contents.lock().seen.truncate(length as usize);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let failed = self.faults.operation(Operation::Sync);
        let mut contents = self.contents.lock();
        match &failed {
            Ok(_) => contents.sync(),
            Err(_) => {
                // What could not be written counts as clean, and the disk never gets it.
                contents.dirty.clear();
                contents.failed_syncs += 1;
            }
        }
        let told_of = self.told_of.swap(contents.failed_syncs, Ordering::SeqCst);
        if failed.is_ok() && told_of < contents.failed_syncs {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        failed.map(drop)
    }

    fn sync_all(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        let _still = self.faults.operation(Operation::Map)?;
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

#[derive(Debug)]
struct SimulatedLock {
    lock: Box<dyn LockFile>,
    faults: Arc<Faults>,
}

impl LockFile for SimulatedLock {
    fn lock(&self) -> io::Result<()> {
        drop(self.faults.operation(Operation::Lock)?);
        self.lock.lock()
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        drop(self.faults.operation(Operation::Lock)?);
        self.lock.try_lock(kind)
    }

    fn unlock(&self) -> io::Result<()> {
        self.lock.unlock()
    }

    fn id(&self) -> io::Result<u64> {
        self.lock.id()
    }
}

/// What a file holds after a power loss.
fn survivors(file: &Contents, fate: &mut impl FnMut() -> Fate) -> Vec<u8> {
    let (durable, seen) = (file.durable.len(), file.seen.len());
    let length = match fate() {
        Fate::Kept | Fate::Garbage(_) => seen,
        Fate::Lost => durable,
        Fate::Torn(sectors) => durable.min(seen) + (durable.abs_diff(seen)).min(sectors * SECTOR),
    };
    let mut bytes = file.durable.clone();
    bytes.resize(length, 0);
    for start in (0..length.min(seen)).step_by(SECTOR) {
        let sector = start..(start + SECTOR).min(length).min(seen);
        if bytes[sector.clone()] != file.seen[sector.clone()] {
            fate().apply(&mut bytes[sector.clone()], &file.seen[sector]);
        }
    }
    bytes
}
