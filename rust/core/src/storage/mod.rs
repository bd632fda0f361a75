//! The only door to the file system: a directory of named files behind two traits.
//!
//! [`Disk`] is a directory; [`Memory`] is the same engine without one. Tests put a failing or crashing
//! storage behind the same traits.

mod bus;
mod disk;
mod locks;
mod memory;
mod overlay;
mod places;
mod read_only;

use std::any::Any;
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use disk::Disk;
pub use locks::abandon_locks_after_fork;
pub use memory::Memory;
pub(crate) use overlay::Overlay;
pub use read_only::ReadOnlyDisk;

/// Bytes of a shared page.
pub const PAGE_BYTES: usize = 4096;
/// Words of a shared page.
pub const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// A flat directory of files. Names never contain a separator.
pub trait Storage: Any + Debug + Send + Sync {
    /// The names of all files, in no particular order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates an empty file, replacing one of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Opens an existing file for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// Renames a file, replacing one of the new name. Durable only after [`Storage::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_directory(&self) -> io::Result<()>;
    /// The advisory lock on the file of that name, or on the directory itself for [`DIRECTORY`]. Nothing is locked yet.
    fn lock_file(&self, name: &str) -> io::Result<Box<dyn LockFile>>;
    /// Maps the first page of a file for all processes that share it, making the file if need be.
    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>>;
    /// Copies the first page of a file, for one who does not share it; `false` if there is none. Words that change meanwhile
    /// may be torn. A storage whose pages are files must not make one for this.
    fn look_at_page(&self, name: &str, copy: &[AtomicU64; PAGE_WORDS]) -> io::Result<bool> {
        let page = self.shared_page(name)?;
        for (word, copied) in page.words().iter().zip(copy) {
            copied.store(word.load(Ordering::Acquire), Ordering::Relaxed);
        }
        Ok(true)
    }
    /// Identifies the current run of the operating system: another boot, another number.
    fn boot_id(&self) -> io::Result<u128>;
    /// Whether a path, of which not all need exist, leads into this storage.
    fn holds(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
    /// Makes a file with the bytes of another storage's, without copying them. `false` where that cannot be done: then
    /// nothing was made.
    fn share(
        &self,
        _name: &str,
        _how: Sharing,
        _source: &dyn Storage,
        _source_name: &str,
    ) -> io::Result<bool> {
        Ok(false)
    }
}

/// How two files have the same bytes on the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sharing {
    /// Two files: one that is written to gets blocks of its own.
    Clone,
    /// One file with two names.
    Link,
}

/// An open file, read and written at positions only.
pub trait StorageFile: Debug + Send + Sync {
    /// The length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills the buffer from `offset`; `UnexpectedEof` if the file ends first.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;
    /// The same, unless the device would have to be waited for: then `false`, and the buffer holds anything.
    fn read_cached_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_exact_at(buffer, offset).map(|()| true)
    }
    /// A hint that these bytes are read soon.
    fn will_need(&self, _offset: u64, _length: u64) {}
    /// Writes all bytes at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file `length` bytes long: what follows the first `from` are zeros with space on the device behind them.
    fn preallocate(&self, from: u64, length: u64) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
    /// Whether it still has a name: what is written to a file that was removed is lost.
    fn has_name(&self) -> io::Result<bool> {
        Ok(true)
    }
    /// Makes the contents durable, and as much about the file as is needed to read them.
    fn sync_data(&self) -> io::Result<()>;
    /// Makes the contents and everything about the file durable.
    fn sync_all(&self) -> io::Result<()>;
    /// The whole file as memory, for reading. Only for files that nobody changes any more; removing one is no change.
    fn map(&self) -> io::Result<Arc<dyn MappedFile>>;
}

/// The contents of a file as they were when it was mapped; valid for as long as this is held, even after the file is
/// removed.
pub trait MappedFile: Debug + Send + Sync {
    /// All bytes of the file.
    fn bytes(&self) -> &[u8];
    /// Whether every byte that was read came from the file. If not, some were zeros in the place of what could not be
    /// read: to be asked after the last of them was used.
    fn is_whole(&self) -> bool {
        true
    }
    /// A hint that this range is not needed for now, so that resident memory stays flat. The bytes stay readable.
    fn release(&self, range: Range<usize>);
}

/// A page of memory that all processes with the store open see, and bells that wake those who wait.
pub trait SharedPage: Debug + Send + Sync {
    /// The page as words, so that no access can be torn. The last [`BELLS`] are the bells'.
    fn words(&self) -> &[AtomicU64; PAGE_WORDS];
    /// Why changes to the page do not reach the others any more, if that is so. Then what is read is as it was, or this
    /// process's own.
    fn trouble(&self) -> Option<io::Error> {
        None
    }
    /// Makes sure that the page can be used. One whose file was cut short is an error, once, and then all zeros.
    fn check(&self) -> io::Result<()> {
        Ok(())
    }
    /// How often a bell has rung: to be read before looking whether there is anything to wait for.
    fn rings(&self, bell: usize) -> u32;
    /// Rings a bell: wakes up to `count` of those who wait for it, in all processes.
    fn ring(&self, bell: usize, count: u32);
    /// Sleeps unless the bell has rung since `seen`; until it rings, or `timeout` has run out, or for no reason.
    fn wait(&self, bell: usize, seen: u32, timeout: Duration);
}

/// How many bells a page has.
pub const BELLS: usize = 3;

/// A lock that excludes the holders of other handles, in this process or another. It dies with its holder's process.
///
/// One handle is one holder: threads that share it have to agree among themselves.
pub trait LockFile: Debug + Send + Sync {
    /// Waits for the lock.
    fn lock(&self) -> io::Result<()>;
    /// Takes the lock if nobody is in the way. A lock of the other kind that this handle had is lost either way.
    fn try_lock(&self, kind: LockKind) -> io::Result<bool>;
    /// Lets go.
    fn unlock(&self) -> io::Result<()>;
    /// Tells this file from one that took its name.
    fn id(&self) -> io::Result<u64>;
}

/// Who may hold a lock at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockKind {
    /// Any number of holders.
    Shared,
    /// One holder, and no shared ones.
    Exclusive,
}

/// The name that stands for the directory itself in [`Storage::lock_file`].
pub const DIRECTORY: &str = ".";

/// Replaces a small file so that after a crash it holds either its old bytes or the new ones.
pub(crate) fn replace(storage: &dyn Storage, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = format!("{name}{TEMPORARY}");
    let file = storage.create(&temporary)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    storage.rename(&temporary, name)?;
    storage.sync_directory()
}

/// How the names of files end that do not count until they are renamed.
pub(crate) const TEMPORARY: &str = ".tmp";
