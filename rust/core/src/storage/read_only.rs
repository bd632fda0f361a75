//! A directory that is only read: nothing in it is made, changed or removed, and no file's time moves that need not.

#![expect(clippy::disallowed_types, reason = "this is the door")]

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::Dir;
use rustix::io::Errno;

use super::disk::{self, DiskFile};
use super::locks::DiskLock;
use super::{DIRECTORY, LockFile, PAGE_BYTES, PAGE_WORDS, SharedPage, Storage, StorageFile};
use crate::threads::Mutex;

/// A store directory that may be on a file system that cannot be written to, or belong to somebody else.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    path: PathBuf,
    /// Files of pages that were looked at: kept open, since they are looked at again and again.
    pages: Mutex<HashMap<String, File>>,
}

impl ReadOnlyDisk {
    /// Opens the directory, which has to exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !fs::metadata(path)?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        // Absolute, because a program may change its working directory while the store is open.
        let path = path.canonicalize()?;
        disk::make_room_for_descriptors(&open_to_read(&path)?);
        Ok(Self { path, pages: Mutex::default() })
    }

    fn file(&self, name: &str) -> io::Result<File> {
        open_to_read(&self.path.join(name))
    }
}

/// Opens a file or directory so that reading it leaves its time of access, where that is allowed: to its owner.
fn open_to_read(path: &Path) -> io::Result<File> {
    let open = |flags| OpenOptions::new().read(true).custom_flags(flags).open(path);
    match open(libc::O_NOATIME) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => open(0),
        opened => opened,
    }
}

fn refuse<T>() -> io::Result<T> {
    Err(Errno::ROFS.into())
}

impl Storage for ReadOnlyDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in Dir::new(open_to_read(&self.path)?)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().to_str().map(str::to_owned));
        }
        Ok(names)
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        refuse()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile(self.file(name)?)))
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
        let file = if name == DIRECTORY { open_to_read(&self.path)? } else { self.file(name)? };
        Ok(Box::new(DiskLock::new(file)?))
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

    fn boot_id(&self) -> io::Result<u128> {
        disk::boot_id()
    }
}
