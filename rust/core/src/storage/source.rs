//! A directory that is only read.

#![expect(clippy::disallowed_types, reason = "this is a part of the door")]

use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::disk::{Disk, DiskFile};
use super::{LockFile, SharedPage, Storage, StorageFile};

/// The directory of a store as it lies there. Nothing in it is made or changed, and no file is opened for writing, so that
/// it can be looked at where nothing may be written.
#[derive(Debug)]
pub struct DiskSource(Disk);

impl DiskSource {
    /// Opens a directory that exists.
    pub fn open(path: &Path) -> io::Result<Self> {
        if !std::fs::metadata(path)?.is_dir() {
            return Err(Errno::NOTDIR.into());
        }
        Disk::existing(path).map(Self)
    }

    /// Whether the path is this directory or lies below it.
    pub(crate) fn holds(&self, path: &Path) -> io::Result<bool> {
        self.0.holds(path)
    }
}

fn refused<T>() -> io::Result<T> {
    Err(ErrorKind::ReadOnlyFilesystem.into())
}

impl Storage for DiskSource {
    fn list(&self) -> io::Result<Vec<String>> {
        self.0.list()
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        // Not to be kept waiting by a pipe of that name.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = File::from(rustix::fs::open(self.0.file(name), flags, Mode::empty())?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not a regular file"));
        }
        Ok(Arc::new(DiskFile(file)))
    }

    fn create(&self, _: &str) -> io::Result<Arc<dyn StorageFile>> {
        refused()
    }

    fn rename(&self, _: &str, _: &str) -> io::Result<()> {
        refused()
    }

    fn remove(&self, _: &str) -> io::Result<()> {
        refused()
    }

    fn sync_directory(&self) -> io::Result<()> {
        refused()
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        if name == super::DIRECTORY { self.0.lock_file(name) } else { refused() }
    }

    fn shared_page(&self, _: &str) -> io::Result<Arc<dyn SharedPage>> {
        refused()
    }

    fn boot_id(&self) -> io::Result<u128> {
        self.0.boot_id()
    }
}
