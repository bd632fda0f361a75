//! A directory of the local file system.

#![expect(clippy::disallowed_types, clippy::disallowed_methods, reason = "this is the door")]

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use memmap2::{MmapOptions, MmapRaw};
use rustix::fs::Timespec;
use rustix::io::Errno;
use rustix::thread::futex;

use super::locks::DiskLock;
use super::{DIRECTORY, LockFile, PAGE_BYTES, PAGE_WORDS, SharedPage, Storage, StorageFile};

/// How much zero-filling writes at a time.
const ZEROS: &[u8] = &[0; 256 << 10];

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
        let missing = path.ancestors().take_while(|path| *path != Path::new("") && !path.is_dir()).count();
        fs::create_dir_all(path)?;
        // Absolute, because a program may change its working directory while the store is open.
        let path = path.canonicalize()?;
        for parent in path.ancestors().skip(1).take(missing) {
            File::open(parent)?.sync_all()?;
        }
        let directory = File::open(&path)?;
        Ok(Self { path, directory })
    }

    fn file(&self, name: &str) -> PathBuf {
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
}

#[derive(Debug)]
struct DiskFile(File);

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
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
}

#[derive(Debug)]
struct MappedPage(MmapRaw);

impl MappedPage {
    /// The bell is the first half of the last word: a futex is 32 bits wide.
    fn bell(&self) -> &AtomicU32 {
        let word = self.words().last().expect("a page has words");
        // SAFETY: 4 bytes inside a live word, aligned, and only ever used as this atomic: nobody else uses the word.
        #[expect(unsafe_code, reason = "see above")]
        unsafe {
            AtomicU32::from_ptr(word.as_ptr().cast::<u32>())
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

    fn rings(&self) -> u32 {
        self.bell().load(Ordering::SeqCst)
    }

    fn ring(&self) {
        self.bell().fetch_add(1, Ordering::SeqCst);
        // Without the private flag: the waiters may be in other processes.
        let _nobody_waited = futex::wake(self.bell(), futex::Flags::empty(), i32::MAX as u32);
    }

    fn wait(&self, seen: u32, timeout: Duration) {
        let timeout = Timespec::try_from(timeout).ok();
        // Every way to return is one that the caller looks again after: rung already, time out, a signal.
        let _the_reason = futex::wait(self.bell(), futex::Flags::empty(), seen, timeout.as_ref());
    }
}
