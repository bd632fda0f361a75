//! One small error for each operation, with the evidence inside. Nobody has to read the text.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thiserror::Error;

use crate::condition::Conflict;
use crate::limits::InvalidInput;

/// Damage that recovery must not repair silently: bytes that were acknowledged are not what was written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}, offset {offset}: {what}")]
pub struct Corruption {
    /// The file's name within the store.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// What was found there.
    pub what: String,
}

/// Trouble with the storage under the log.
#[derive(Clone, Debug, Error)]
pub enum StorageError {
    /// An operating system call failed.
    #[error("could not {operation} {file}: {source}")]
    Io {
        /// What was attempted.
        operation: &'static str,
        /// The file's name within the store.
        file: String,
        /// What the operating system said.
        source: Arc<io::Error>,
    },
    /// The log is damaged.
    #[error("the store is damaged: {0}; nothing was changed")]
    Corrupt(#[from] Corruption),
    /// An earlier write or sync failed, so what is on disk is unknown until the store is opened again.
    #[error("no append is possible since a write failed ({cause}): close the store and open it again")]
    Poisoned {
        /// The failure, as it was first reported.
        cause: String,
    },
}

/// Why a store could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path cannot be used as a store.
    #[error("{}: {source}", path.display())]
    Path {
        /// The path given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another handle, in this process or another, has the store open, and one of the two wants it for itself.
    #[error("{}", locked(*pid, *wants_alone))]
    Locked {
        /// The process that has the store for itself, if it is known.
        pid: Option<u32>,
        /// Whether it is this handle that wants the store for itself.
        wants_alone: bool,
    },
    /// The directory was to become a copy of a store, by a backup or a salvage, and is not, or not yet.
    #[error(
        "this is no store but an unfinished copy of one, still being made or broken off: make the backup again, to \
         this path if you like, or remove the directory"
    )]
    Unfinished,
    /// An option is out of range, or does not go with another one.
    #[error("{0}")]
    InvalidOption(String),
    /// The directory holds no store, and a handle that only reads makes none.
    #[error("there is no store here, and a store that is opened to be read is not made")]
    NoStore,
    /// The log could not be read or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a copy of a store, by a backup or a salvage, was not made, or a store could not be looked at.
#[derive(Debug, Error)]
pub enum CopyError {
    /// The path cannot be used.
    #[error("{}: {source}", path.display())]
    Path {
        /// The path given.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The copy would be a part of what it copies.
    #[error("{} is inside the store: a copy belongs elsewhere, best on another disk", path.display())]
    Inside {
        /// The path given.
        path: PathBuf,
    },
    /// There are files where the copy was to be made.
    #[error(
        "the directory is not empty, it has {name}: choose a path where nothing is, or an empty directory"
    )]
    NotEmpty {
        /// One of the files.
        name: String,
    },
    /// Somebody uses the directory where the copy was to be made.
    #[error("the directory is in use: another copy is being made there, or a store in it is open")]
    InUse,
    /// The store that was to be looked at is open.
    #[error("the store is open, in this process or another: close it there first")]
    SourceOpen,
    /// The directory has no file of a store.
    #[error("there is no store: the directory has no log, and nothing that is left of one")]
    NoStore,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The copy failed earlier.
    #[error("the copy was broken off by an error: begin again")]
    BrokenOff,
    /// The copy was verified, and is not whole: it was not finished.
    #[error("the copy was not finished, since it does not verify: {first} ({count} found in all)")]
    Unverified {
        /// The first thing that was found.
        first: Corruption,
        /// How much was found.
        count: u64,
    },
    /// Reading or writing failed, or the log is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl From<ReadError> for CopyError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Closed => Self::Closed,
            ReadError::Storage(error) => Self::Storage(error),
            // Nothing that is copied or verified takes an argument with a limit, or sets a cursor.
            error @ (ReadError::Invalid(_) | ReadError::ReadOnly) => {
                Self::Storage(StorageError::io("verify", "the copy")(io::Error::other(error)))
            }
        }
    }
}

/// Why an append was not made.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// The events or conditions break a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// An event that matches a condition exists: a normal outcome.
    #[error("event {} matches condition {}", .0.position, .0.condition)]
    Conflict(Conflict),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// The handle only reads.
    #[error("the store is open to be read only")]
    ReadOnly,
    /// The log could not be written. Whether the events are stored shows when the store is opened again.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Why a read, a wait or a cursor operation failed.
#[derive(Clone, Debug, Error)]
pub enum ReadError {
    /// An argument breaks a limit.
    #[error(transparent)]
    Invalid(#[from] InvalidInput),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// A cursor was to be set through a handle that only reads.
    #[error("the store is open to be read only")]
    ReadOnly,
    /// The log could not be read or is damaged.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

fn locked(pid: Option<u32>, wants_alone: bool) -> String {
    match pid {
        Some(pid) if pid == std::process::id() => {
            format!("the store is open exclusively in this process ({pid}) already: share that handle")
        }
        Some(pid) => format!("the store is open exclusively in process {pid}"),
        None if wants_alone => "the store is open elsewhere, so it cannot be opened exclusively".to_owned(),
        None => "the store is open exclusively in another process".to_owned(),
    }
}

impl OpenError {
    /// Calls an error what it is to whoever gave the path, where it tells more of the path than of the storage.
    pub(crate) fn about_path(self, path: &Path) -> Self {
        let Self::Storage(error) = &self else { return self };
        error.in_path(path).map_or(self, |(path, source)| Self::Path { path, source })
    }
}

impl CopyError {
    /// The same for the path of a copy, or of a store that is looked at.
    pub(crate) fn about_path(self, path: &Path) -> Self {
        let Self::Storage(error) = &self else { return self };
        error.in_path(path).map_or(self, |(path, source)| Self::Path { path, source })
    }
}

impl StorageError {
    /// Wraps an operating system error with what was attempted on which file.
    pub(crate) fn io<'a>(operation: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { operation, file: file.to_owned(), source: Arc::new(source) }
    }

    /// The path and the cause of an error that tells more of the path than of the storage.
    fn in_path(&self, path: &Path) -> Option<(PathBuf, io::Error)> {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        let Self::Io { file, source, .. } = self else { return None };
        let number = source.raw_os_error()?;
        let is_path = matches!(
            source.kind(),
            IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem
        );
        is_path.then(|| (path.join(file), io::Error::from_raw_os_error(number)))
    }
}
