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
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied, ReadOnlyFilesystem};
        let Self::Storage(StorageError::Io { file, source, .. }) = &self else { return self };
        match (source.kind(), source.raw_os_error()) {
            (
                IsADirectory | NotADirectory | NotFound | PermissionDenied | ReadOnlyFilesystem,
                Some(number),
            ) => Self::Path { path: path.join(file), source: io::Error::from_raw_os_error(number) },
            _ => self,
        }
    }
}

impl StorageError {
    /// Wraps an operating system error with what was attempted on which file.
    pub(crate) fn io<'a>(operation: &'static str, file: &'a str) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io { operation, file: file.to_owned(), source: Arc::new(source) }
    }
}
