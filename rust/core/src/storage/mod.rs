//! The only door to the file system: a directory of named files behind two traits.
//!
//! [`Disk`] is a directory; [`Memory`] is the same engine without one. Tests put a failing or crashing
//! storage behind the same traits.

mod disk;
mod memory;

use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

pub use disk::Disk;
pub use memory::Memory;

/// Bytes of a shared page.
pub const PAGE_BYTES: usize = 4096;
/// Words of a shared page.
pub const PAGE_WORDS: usize = PAGE_BYTES / size_of::<u64>();

/// A flat directory of files. Names never contain a separator.
pub trait Storage: Debug + Send + Sync {
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
    /// Takes the advisory lock on the file of that name, without waiting. The lock dies with its holder.
    fn try_lock(&self, name: &str) -> io::Result<LockAttempt>;
    /// Maps the first page of a file for all processes that share it, making the file if need be.
    fn shared_page(&self, name: &str) -> io::Result<Arc<dyn SharedPage>>;
    /// Identifies the current run of the operating system: another boot, another number.
    fn boot_id(&self) -> io::Result<u128>;
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
    /// Writes all bytes at `offset`.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Gives the file `length` bytes of zeros with space on the device behind them.
    fn preallocate(&self, length: u64) -> io::Result<()>;
    /// Cuts the file to `length` bytes.
    fn truncate(&self, length: u64) -> io::Result<()>;
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
    /// A hint that this range is not needed for now, so that resident memory stays flat. The bytes stay readable.
    fn release(&self, range: Range<usize>);
}

/// A page of memory that all processes with the store open see.
pub trait SharedPage: Debug + Send + Sync {
    /// The page as words, so that no access can be torn.
    fn words(&self) -> &[AtomicU64; PAGE_WORDS];
}

/// A held lock; dropping it lets go.
pub trait Lock: Debug + Send + Sync {}

/// What came of trying to take a lock.
#[derive(Debug)]
pub enum LockAttempt {
    /// The lock is ours until the guard is dropped.
    Held(Box<dyn Lock>),
    /// Somebody else holds it.
    Busy {
        /// The holder's process id, if it has been written yet.
        holder: Option<u32>,
    },
}

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
