//! Files in memory: for tests and for stores that need not outlive the process.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use super::{BELLS, LockFile, LockKind, MappedFile, PAGE_WORDS, SharedPage, Storage, StorageFile};
use crate::threads::{Condvar, Mutex, RwLock};

/// A directory in memory, gone when the last handle is.
#[derive(Debug, Default)]
pub struct Memory {
    files: Mutex<HashMap<String, Arc<MemoryFile>>>,
    pages: Mutex<HashMap<String, Arc<MemoryPage>>>,
    locks: Mutex<HashMap<String, Arc<Holders>>>,
}

impl Storage for Memory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.files.lock().keys().chain(self.pages.lock().keys()).cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = Arc::new(MemoryFile::default());
        self.files.lock().insert(name.to_owned(), Arc::clone(&file));
        Ok(file)
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.files.lock().get(name).cloned();
        Ok(file.ok_or(ErrorKind::NotFound)?)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.files.lock();
        let file = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), file);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.files.lock().remove(name).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        let lock = Arc::clone(self.locks.lock().entry(name.to_owned()).or_default());
        Ok(Box::new(MemoryLock { lock, held: Mutex::new(None) }))
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        Ok(Arc::clone(self.pages.lock().entry(name.to_owned()).or_default()) as Arc<dyn SharedPage>)
    }

    fn boot_id(&self) -> io::Result<u128> {
        Ok(0)
    }
}

#[derive(Debug, Default)]
struct MemoryFile(RwLock<Vec<u8>>);

impl MemoryFile {
    fn range(offset: u64, length: usize) -> io::Result<std::ops::Range<usize>> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let end = start.checked_add(length).ok_or(ErrorKind::FileTooLarge)?;
        Ok(start..end)
    }
}

impl StorageFile for MemoryFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.read().len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let bytes = self.0.read();
        let found = bytes.get(Self::range(offset, buffer.len())?).ok_or(ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(found);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let range = Self::range(offset, bytes.len())?;
        let mut contents = self.0.write();
        if contents.len() < range.end {
            contents.resize(range.end, 0);
        }
        contents.get_mut(range).expect("resized to hold the range").copy_from_slice(bytes);
        Ok(())
    }

    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        let range =
            Self::range(from, usize::try_from(length.saturating_sub(from)).map_err(io::Error::other)?)?;
        let mut contents = self.0.write();
        contents.resize(range.end.max(range.start), 0);
        contents.get_mut(range).expect("resized to hold the range").fill(0);
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.write().truncate(usize::try_from(length).map_err(io::Error::other)?);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn sync_all(&self) -> io::Result<()> {
        Ok(())
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        Ok(Arc::new(Snapshot(self.0.read().clone())))
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
struct MemoryPage {
    words: [AtomicU64; PAGE_WORDS],
    rings: [Mutex<u32>; BELLS],
    rung: [Condvar; BELLS],
}

impl Default for MemoryPage {
    fn default() -> Self {
        Self {
            words: [const { AtomicU64::new(0) }; PAGE_WORDS],
            rings: Default::default(),
            rung: Default::default(),
        }
    }
}

impl MemoryPage {
    fn bell(&self, bell: usize) -> (&Mutex<u32>, &Condvar) {
        self.rings.get(bell).zip(self.rung.get(bell)).expect("there are few bells")
    }
}

impl SharedPage for MemoryPage {
    fn words(&self) -> &[AtomicU64; PAGE_WORDS] {
        &self.words
    }

    fn rings(&self, bell: usize) -> u32 {
        *self.bell(bell).0.lock()
    }

    fn ring(&self, bell: usize, count: u32) {
        let (rings, rung) = self.bell(bell);
        let mut rings = rings.lock();
        *rings = rings.wrapping_add(1);
        match count {
            1 => rung.notify_one(),
            _ => rung.notify_all(),
        }
    }

    fn wait(&self, bell: usize, seen: u32, timeout: Duration) {
        let (rings, rung) = self.bell(bell);
        let rings = rings.lock();
        if *rings == seen {
            let _whatever_the_reason = rung.wait_for(rings, timeout);
        }
    }
}

/// Who holds a lock: how many share it, or one alone.
#[derive(Debug, Default)]
struct Holders {
    held: Mutex<(u32, bool)>,
    changed: Condvar,
}

#[derive(Debug)]
struct MemoryLock {
    lock: Arc<Holders>,
    held: Mutex<Option<LockKind>>,
}

impl MemoryLock {
    /// Lets go of what this handle holds, and takes the other kind if nobody is in the way.
    fn exchange(&self, holders: &mut (u32, bool), kind: Option<LockKind>) -> bool {
        let mut held = self.held.lock();
        if let Some(held) = held.take() {
            match held {
                LockKind::Shared => holders.0 -= 1,
                LockKind::Exclusive => holders.1 = false,
            }
            self.lock.changed.notify_all();
        }
        match kind {
            None => return true,
            Some(LockKind::Shared) if !holders.1 => holders.0 += 1,
            Some(LockKind::Exclusive) if *holders == (0, false) => holders.1 = true,
            Some(_) => return false,
        }
        *held = kind;
        true
    }
}

impl LockFile for MemoryLock {
    fn lock(&self) -> io::Result<()> {
        let mut holders = self.lock.held.lock();
        while !self.exchange(&mut holders, Some(LockKind::Exclusive)) {
            holders = self.lock.changed.wait(holders);
        }
        Ok(())
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        Ok(self.exchange(&mut self.lock.held.lock(), Some(kind)))
    }

    fn unlock(&self) -> io::Result<()> {
        self.exchange(&mut self.lock.held.lock(), None);
        Ok(())
    }

    fn id(&self) -> io::Result<u64> {
        Ok(0)
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.exchange(&mut self.lock.held.lock(), None);
    }
}
