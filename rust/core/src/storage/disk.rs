//! A directory of the local file system.

#![expect(clippy::disallowed_types, reason = "this is the door")]

use std::any::Any;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSliceMut};
use std::num::NonZeroU64;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use memmap2::{Mmap, MmapOptions, MmapRaw, UncheckedAdvice};
use rustix::fs::{
    Advice, AtFlags, Dir, Mode, OFlags, StatxFlags, Timespec, fadvise, openat, renameat, statx, unlinkat,
};
use rustix::io::{Errno, ReadWriteFlags, fcntl_dupfd_cloexec, preadv2, retry_on_intr};
use rustix::thread::futex;

use super::bus::Watch;
use super::locks::DiskLock;
use super::{
    BELLS, DIRECTORY, LockFile, MappedFile, PAGE_BYTES, PAGE_WORDS, SharedPage, Sharing, Storage,
    StorageFile, places,
};

/// How much zero-filling writes at a time. The page cache keeps what one call wrote as one folio: small ones would make
/// the sync of a small frame a little faster, but selective reads slower by a quarter, since each has to be found.
const ZEROS: &[u8] = &[0; 256 << 10];

/// How many descriptors a process gets room for. Its table grows when it is full, and where there are threads the system
/// then waits some 20 ms for all of them: not when a segment is opened with the append lock held.
const DESCRIPTORS: i32 = 512;

/// A store directory.
///
/// It is kept open, and all names are looked up in it and not by its path: if it is removed and another one made under its
/// path, that is another store, which must not get this one's files.
#[derive(Debug)]
pub struct Disk {
    directory: File,
}

impl Disk {
    /// Opens the directory, creating it and its parents if they do not exist.
    pub fn open(path: &Path) -> io::Result<Self> {
        // To make what is there but cannot be looked at would say that it exists.
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => {}
            Ok(_) => return Err(Errno::NOTDIR.into()),
            Err(error) if error.kind() == ErrorKind::NotFound => places::make(path)?,
            Err(error) => return Err(error),
        }
        Self::existing(path)
    }

    /// Opens a directory that exists.
    pub(super) fn existing(path: &Path) -> io::Result<Self> {
        let path = path.canonicalize()?;
        let directory = File::open(&path)?;
        make_room_for_descriptors(&directory);
        Ok(Self { directory })
    }

    /// Opens a file to be read and written.
    fn file(&self, name: &str, more: OFlags) -> io::Result<File> {
        open_at(&self.directory, name, OFlags::RDWR | more)
    }
}

/// Opens a file of a directory. What is made may be used by whom the process lets use its files.
pub(super) fn open_at(directory: &File, name: &str, flags: OFlags) -> io::Result<File> {
    let opened =
        retry_on_intr(|| openat(directory, name, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o666)))?;
    Ok(File::from(opened))
}

/// The names in a directory.
pub(super) fn names(directory: File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::new(directory)? {
        // A name that is not UTF-8 is none of ours.
        names.extend(entry?.file_name().to_str().map(str::to_owned));
    }
    names.retain(|name| name != DIRECTORY && name != "..");
    Ok(names)
}

impl Storage for Disk {
    fn list(&self) -> io::Result<Vec<String>> {
        names(open_at(&self.directory, DIRECTORY, OFlags::DIRECTORY)?)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile(self.file(name, OFlags::CREATE | OFlags::TRUNC)?)))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        Ok(Arc::new(DiskFile(self.file(name, OFlags::empty())?)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        Ok(renameat(&self.directory, from, &self.directory, to)?)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        Ok(unlinkat(&self.directory, name, AtFlags::empty())?)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.directory.sync_all()
    }

    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>> {
        // The directory is opened again: a lock belongs to what was opened, and this one must be of this handle.
        let file = if name == DIRECTORY {
            open_at(&self.directory, DIRECTORY, OFlags::DIRECTORY)?
        } else {
            self.file(name, OFlags::CREATE)?
        };
        Ok(Box::new(DiskLock::new(file)?))
    }

    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>> {
        let file = self.file(name, OFlags::CREATE)?;
        if file.metadata()?.len() < PAGE_BYTES as u64 {
            // Written, not only extended: a full disk must be an error here and not a signal later.
            file.write_all_at(&[0; PAGE_BYTES], 0)?;
        }
        let mapped = MmapOptions::new().len(PAGE_BYTES).map_raw(&file)?;
        let watch = Watch::shared_page(mapped.as_mut_ptr() as usize);
        Ok(Arc::new(MappedPage { watch, mapped, file, why_lost: OnceLock::new() }))
    }

    fn boot_id(&self) -> io::Result<u128> {
        boot_id()
    }

    fn holds(&self, path: &Path) -> io::Result<bool> {
        places::holds(&self.directory, path)
    }

    fn share(&self, name: &str, how: Sharing, source: &dyn Storage, source_name: &str) -> io::Result<bool> {
        let source: &dyn Any = source;
        let Some(source) = source.downcast_ref::<Self>() else { return Ok(false) };
        places::share((&source.directory, source_name), (&self.directory, name), how)
    }
}

pub(super) fn make_room_for_descriptors(open: &File) {
    // A process that may not have so many goes without.
    drop(fcntl_dupfd_cloexec(open, DESCRIPTORS - 1));
}

pub(super) fn boot_id() -> io::Result<u128> {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).map_err(io::Error::other)
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

    fn has_name(&self) -> io::Result<bool> {
        // Of all that there is to know only this: whoever asks for the times has the system note the next change of them,
        // and the sync of an append then writes the inode too, which took a third of the appends.
        match statx(&self.0, c"", AtFlags::EMPTY_PATH, StatxFlags::NLINK) {
            // A system, or a sandbox, without this call.
            Err(Errno::NOSYS) => Ok(self.0.metadata()?.nlink() > 0),
            found => Ok(found?.stx_nlink > 0),
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.0.sync_all()
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        // SAFETY: only files that are complete and never written again are mapped, so the bytes do not change under
        // the slice, but for pages that cannot be read: those are zeros from then on, and whoever has used the slice
        // asks whether there were any. Copying each page into memory of our own instead would double the memory that
        // an index takes.
        #[expect(unsafe_code, reason = "see above")]
        let mapped = unsafe { Mmap::map(&self.0)? };
        Ok(Arc::new(MappedDisk { watch: Watch::file(mapped.as_ptr() as usize, mapped.len()), mapped }))
    }
}

#[derive(Debug)]
struct MappedDisk {
    /// First, so that it ends before the file is unmapped.
    watch: Watch,
    mapped: Mmap,
}

impl MappedFile for MappedDisk {
    fn bytes(&self) -> &[u8] {
        &self.mapped
    }

    fn is_whole(&self) -> bool {
        !self.watch.is_lost()
    }

    fn release(&self, range: Range<usize>) {
        let (start, end) = (range.start / PAGE_BYTES * PAGE_BYTES, range.end.min(self.mapped.len()));
        if start >= end {
            return;
        }
        // SAFETY: the range lies within the mapping, which is shared and read-only: what is dropped here is read from
        // the same file again when it is next needed, so no byte of the slice changes.
        #[expect(unsafe_code, reason = "see above")]
        let released =
            unsafe { self.mapped.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        // A hint: memory that stays resident is no error.
        drop(released);
    }
}

#[derive(Debug)]
struct MappedPage {
    /// First, so that it ends before the page is unmapped.
    watch: Watch,
    mapped: MmapRaw,
    file: File,
    /// The error number that says why the page was lost, if it can be told.
    why_lost: OnceLock<Option<i32>>,
}

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
        let page = self.mapped.as_mut_ptr().cast::<[AtomicU64; PAGE_WORDS]>();
        // SAFETY: the mapping is PAGE_BYTES long, page-aligned, writable and lives as long as `self`; atomics
        // make concurrent access from this and other processes defined. There is no way to share words between
        // processes without it. Should somebody cut the file short, the page is exchanged for zeros, as `bus` says.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            &*page
        }
    }

    fn trouble(&self) -> Option<io::Error> {
        if !self.watch.is_lost() {
            return None;
        }
        // The signal did not say why. A write to a word that nobody uses does, where that is refused as well.
        let unused = (PAGE_WORDS - BELLS - 1) * size_of::<u64>();
        let why = self.why_lost.get_or_init(|| {
            self.file
                .write_all_at(&[0; size_of::<u64>()], unused as u64)
                .err()
                .and_then(|error| error.raw_os_error())
        });
        let unknown = || io::Error::other("the file system does not take it, as when it is full or failing");
        Some(why.map_or_else(unknown, io::Error::from_raw_os_error))
    }

    fn check(&self) -> io::Result<()> {
        // A page that was cut off shows when it is touched; looking at the file each time would cost half a microsecond.
        if self.watch.is_whole() || self.file.metadata()?.len() >= PAGE_BYTES as u64 {
            return Ok(());
        }
        // Zeros, here and in the file, for the other processes.
        self.file.set_len(PAGE_BYTES as u64)?;
        self.words().iter().for_each(|word| word.store(0, Ordering::SeqCst));
        Err(ErrorKind::UnexpectedEof.into())
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
        // What was cut short meanwhile is there again after this; who finds out says so at the next look.
        drop(self.check());
        waiters.fetch_sub(1, Ordering::SeqCst);
    }
}
