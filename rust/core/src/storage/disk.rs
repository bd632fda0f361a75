//! A directory of the local file system.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the door")]

use std::any::Any;
use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::{Mmap, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::{Advice, Timespec, fadvise};
use rustix::io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, preadv2};
use rustix::thread::futex;

use super::locks::DiskLock;
use super::{
    DIRECTORY, LockFile, MappedFile, PAGE_BYTES, PAGE_WORDS, SharedPage, Sharing, Storage, StorageFile,
    places,
};

/// How much zero-filling writes at a time. The page cache keeps what one call wrote as one folio: small ones would make
/// the sync of a small frame a little faster, but selective reads slower by a quarter, since each has to be found.
const ZEROS: &[u8] = &[0; 256 << 10];

/// How many descriptors a process gets room for. Its table grows when it is full, and where there are threads the system
/// then waits some 20 ms for all of them: not when a segment is opened with the append lock held.
const DESCRIPTORS: i32 = 512;

/// A store directory.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    /// Kept open: syncing it makes names durable.
    directory: File,
}

impl Disk {
    /// Opens the directory, creating it and its parents if they do not exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        if fs::metadata(path).is_ok_and(|found| !found.is_dir()) {
            return Err(Errno::NOTDIR.into());
        }
        places::make(path)?;
        Self::existing(path)
    }

    /// Opens a directory that exists.
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        // Absolute, because a program may change its working directory while the store is open.
        let path = path.canonicalize()?;
        let directory = File::open(&path)?;
        // A process that may not have so many goes without.
        drop(fcntl_dupfd_cloexec(&directory, DESCRIPTORS - 1));
        Ok(Self { path, directory })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            // A name that is not UTF-8 is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let options = OpenOptions::new().read(true).write(true).create(true).truncate(true).clone();
        Ok(Arc::new(DiskFile(options.open(self.file(name))?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile(OpenOptions::new().read(true).write(true).open(self.file(name))?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.file(from), self.file(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.file(name))
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        let file = if name == DIRECTORY {
            File::open(&self.path)?
        } else {
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.file(name))?
        };
        Ok(Box::new(DiskLock::new(file)?))
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(self.file(name))?;
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            // Written, not only extended: a full disk must be an error here and not a signal later.
            file.write_all_at(&[0; PAGE_BYTES], 0)?;
        }
        Ok(Arc::new(MappedPage(MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?)))
    }

    fn boot_id(&self) -> io::Result<u128> {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        u128::from_str_radix(&digits, 16).map_err(io::Error::other)
    }

    fn share(&self, name: &str, how: Sharing, source: &dyn Storage, source_name: &str) -> io::Result<bool> {
        let source: &dyn Any = source;
        let Some(source) = source.downcast_ref::<Self>() else { return Ok(false) };
        places::share(&source.file(source_name), &self.file(name), how)
    }
}

#[derive(Debug)]
pub(super) struct DiskFile(pub(super) File);

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }

    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        let mut into = [IoSliceMut::new(buffer)];
        match preadv2(&self.0, &mut into, offset, ReadWriteFlags::NOWAIT) {
            Ok(count) if count == buffer.len() => Ok(true),
            // Not all of it is in memory, or the file system cannot tell.
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn will_need(&self, offset: u64, length: u64) {
        // A hint: without it the read itself waits.
        let _ignored = fadvise(&self.0, offset, NonZeroU64::new(length), Advice::WillNeed);
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        let mut offset = from;
        while offset < length {
            let count = (length - offset).min(ZEROS.len() as u64);
            let zeros = ZEROS.get(..usize::try_from(count).map_err(io::Error::other)?);
            self.0.write_all_at(zeros.expect("count is at most the length of ZEROS"), offset)?;
            offset += count;
        }
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        // SAFETY: only files that are complete and never written again are mapped, so the bytes do not change under
        // the slice. Should somebody cut the file short, the process gets a bus error: `docs/design.md` says so under
        // what is assumed of the world. Copying each page into memory of our own instead would double the memory
        // that an index takes.
        #[expect(unsafe_code, reason = "see above")]
        let mapped = unsafe { Mmap::map(&self.0)? };
        Ok(Arc::new(MappedDisk(mapped)))
    }
}

#[derive(Debug)]
struct MappedDisk(Mmap);

impl MappedFile for MappedDisk {
    fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn release(&self, range: Range<usize>) {
        let (start, end) = (range.start / PAGE_BYTES * PAGE_BYTES, range.end.min(self.0.len()));
        if start >= end {
            return;
        }
        // SAFETY: the range lies within the mapping, which is shared and read-only: what is dropped here is read from
        // the same file again when it is next needed, so no byte of the slice changes.
        #[expect(unsafe_code, reason = "see above")]
        let released =
            unsafe { self.0.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        // A hint: memory that stays resident is no error.
        drop(released);
    }
}

#[derive(Debug)]
struct MappedPage(MmapRaw);

impl MappedPage {
    /// A bell and the number of those who wait for it: the halves of a word, since a futex is 32 bits wide.
    fn bell(&self, bell: usize) -> [&AtomicU32; 2] {
        let word = self.words().get(PAGE_WORDS - 1 - bell).expect("there are few bells");
        // SAFETY: each half is 4 bytes inside a live word, aligned, and only ever used as this atomic: nobody else uses
        // the words of the bells.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            let first = word.as_ptr().cast::<u32>();
            [AtomicU32::from_ptr(first), AtomicU32::from_ptr(first.add(1))]
        }
    }
}

impl SharedPage for MappedPage {
    fn words(&self) -> &[AtomicU64; PAGE_WORDS] {
        let page = self.0.as_mut_ptr().cast::<[AtomicU64; PAGE_WORDS]>();
        // SAFETY: the mapping is PAGE_BYTES long, page-aligned, writable and lives as long as `self`; atomics
        // make concurrent access from this and other processes defined. There is no way to share words between
        // processes without it. Should somebody cut the file short, the process gets a bus error: `docs/design.md`
        // says so under what is assumed of the world.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            &*page
        }
    }

    fn rings(&self, bell: usize) -> u32 {
        let [rings, _] = self.bell(bell);
        rings.load(Ordering::SeqCst)
    }

    fn ring(&self, bell: usize, count: u32) {
        let [rings, waiters] = self.bell(bell);
        rings.fetch_add(1, Ordering::SeqCst);
        // Whoever is not counted yet will see in the kernel that the bell has rung, and not sleep. One that is killed
        // stays counted, which costs a call now and then.
        if waiters.load(Ordering::SeqCst) > 0 {
            // Without the private flag: the waiters may be in other processes.
            let _nobody_waited = futex::wake(rings, futex::Flags::empty(), count.min(i32::MAX as u32));
        }
    }

    fn wait(&self, bell: usize, seen: u32, timeout: Duration) {
        let [rings, waiters] = self.bell(bell);
        let timeout = Timespec::try_from(timeout).ok();
        waiters.fetch_add(1, Ordering::SeqCst);
        // Every way to return is one that the caller looks again after: rung already, time out, a signal.
        let _the_reason = futex::wait(rings, futex::Flags::empty(), seen, timeout.as_ref());
        waiters.fetch_sub(1, Ordering::SeqCst);
    }
}
