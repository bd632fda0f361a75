//! Files in memory: for tests and for stores that need not outlive the process.

use std::collections::HashMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::{Lock, LockAttempt, MappedFile, PAGE_WORDS, SharedPage, Storage, StorageFile};

/// A directory in memory, gone when the last handle is.
#[derive(Debug, Default)]
pub struct Memory {
    files: Mutex<HashMap<String, Arc<MemoryFile>>>,
    pages: Mutex<HashMap<String, Arc<MemoryPage>>>,
    locked: Arc<AtomicBool>,
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

    fn try_lock(&self, _name: &str) -> io::Result<LockAttempt> {
        if self.locked.swap(true, Ordering::AcqRel) {
            return Ok(LockAttempt::Busy { holder: Some(std::process::id()) });
        }
        Ok(LockAttempt::Held(Box::new(MemoryLock(Arc::clone(&self.locked)))))
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

    fn preallocate(&self, length: u64) -> io::Result<()> {
        self.0.write().resize(usize::try_from(length).map_err(io::Error::other)?, 0);
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
struct MemoryPage([AtomicU64; PAGE_WORDS]);

impl Default for MemoryPage {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; PAGE_WORDS])
    }
}

impl SharedPage for MemoryPage {
    fn words(&self) -> &[AtomicU64; PAGE_WORDS] {
        &self.0
    }
}

#[derive(Debug)]
struct MemoryLock(Arc<AtomicBool>);

impl Lock for MemoryLock {}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}
