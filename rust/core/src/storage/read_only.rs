//! A directory that is only read: nothing in it is made, changed or removed, and no file's time moves that need not.

#![expect(clippy::disallowed_types, reason = "this is the door")]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::OFlags;
use rustix::io::Errno;

use super::disk::{self, DiskFile};
use super::locks::DiskLock;
use super::{DIRECTORY, LockFile, PAGE_BYTES, PAGE_WORDS, SharedPage, Storage, StorageFile, places};
use crate::threads::Mutex;

/// A store directory that may be on a file system that cannot be written to, or belong to somebody else.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    /// Names are looked up in it, whatever becomes of its path.
    directory: File,
    /// Files of pages that were looked at: kept open, since they are looked at again and again.
    pages: Mutex<HashMap<String, File>>,
}

impl ReadOnlyDisk {
    /// Opens the directory, which has to exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
        let directory = without_access_time(|flags| open(flags.bits().cast_signed()))?;
        disk::make_room_for_descriptors(&directory);
        Ok(Self { directory, pages: Mutex::default() })
    }

    fn file(&self, name: &str) -> io::Result<File> {
        // Not to be kept waiting by a pipe of that name.
        without_access_time(|flags| disk::open_at(&self.directory, name, flags | OFlags::NONBLOCK))
    }
}

/// Opens a file or directory so that reading it leaves its time of access, where that is allowed: to its owner.
fn without_access_time(open: impl Fn(OFlags) -> io::Result<File>) -> io::Result<File> {
    match open(OFlags::NOATIME) {
        Err(error) if error.raw_os_error() == Some(Errno::PERM.raw_os_error()) => open(OFlags::empty()),
        opened => opened,
    }
}

fn refuse<T>() -> io::Result<T> {
    Err(Errno::ROFS.into())
}

impl Storage for ReadOnlyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        disk::names(self.file(DIRECTORY)?)
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        refuse()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let file = self.file(name)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(DiskFile(file)))
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refuse()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refuse()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refuse()
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        Ok(Box::new(DiskLock::new(self.file(name)?)?))
    }

    fn shared_page(&self, _: &str) -> io::Result<Arc<dyn SharedPage>> {
        refuse()
    }

    /// Read and not mapped: a file that is cut short is an error then, and not a signal.
    fn look_at_page(&self, name: &str, copy: &[AtomicU64; PAGE_WORDS]) -> io::Result<bool> {
        let mut pages = self.pages.lock();
        let has_name = |file: &File| Ok::<_, io::Error>(file.metadata()?.nlink() > 0);
        if !pages.get(name).map(has_name).transpose()?.unwrap_or_default() {
            match self.file(name) {
                Ok(file) => drop(pages.insert(name.to_owned(), file)),
                // Whoever has the page open may go on with the one that has lost its name.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        let Some(file) = pages.get(name) else { return Ok(false) };
        let mut bytes = [0; PAGE_BYTES];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(false),
            read => read?,
        }
        for (word, bytes) in copy.iter().zip(bytes.as_chunks().0) {
            word.store(u64::from_ne_bytes(*bytes), Ordering::Relaxed);
        }
        Ok(true)
    }

    fn holds(&self, path: &Path) -> io::Result<bool> {
        places::holds(&self.directory, path)
    }

    fn boot_id(&self) -> io::Result<u128> {
        disk::boot_id()
    }
}
