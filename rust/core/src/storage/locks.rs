//! Advisory locks of the operating system, and what becomes of them in a forked child.
//!
//! The lock is `flock`: a POSIX `fcntl` lock is lost when any other descriptor of the file closes in the process. An
//! `flock` belongs to what a fork shares, though: a child would keep it held after its parent has died. So the child
//! gives up its share at once, before any other code of it runs.

#![expect(clippy::disallowed_types, reason = "this is the door")]

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use super::{LockFile, LockKind};

/// How many locks a forked child can give up: seven for each open store.
const MAX_LOCKS: usize = 7 * 256;
const NONE: RawFd = -1;

/// The descriptors of all locks of this process. Fixed, because a forked child must not allocate.
static LOCKS: [AtomicI32; MAX_LOCKS] = [const { AtomicI32::new(NONE) }; MAX_LOCKS];
/// What stands in for an abandoned lock, so that its descriptor's number is not given to something else.
static NOTHING: OnceLock<File> = OnceLock::new();

/// A lock on an open file.
#[derive(Debug)]
pub(super) struct DiskLock {
    file: File,
    /// Where the descriptor stands in [`LOCKS`].
    slot: Option<&'static AtomicI32>,
}

impl DiskLock {
    pub(super) fn new(file: File) -> io::Result<Self> {
        if NOTHING.get().is_none() {
            let _lost_race = NOTHING.set(File::open("/dev/null")?);
        }
        let descriptor = file.as_raw_fd();
        let take = |slot: &&AtomicI32| {
            slot.compare_exchange(NONE, descriptor, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        };
        Ok(Self { slot: LOCKS.iter().find(take), file })
    }
}

impl LockFile for DiskLock {
    fn lock(&self) -> io::Result<()> {
        loop {
            match self.file.lock() {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                locked => return locked,
            }
        }
    }

    fn try_lock(&self, kind: LockKind) -> io::Result<bool> {
        let tried = match kind {
            LockKind::Shared => self.file.try_lock_shared(),
            LockKind::Exclusive => self.file.try_lock(),
        };
        match tried {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    fn unlock(&self) -> io::Result<()> {
        self.file.unlock()
    }

    fn id(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.ino())
    }
}

impl Drop for DiskLock {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            slot.store(NONE, Ordering::Release);
        }
        // Closing alone would not do while a child that was forked without our knowing holds the same lock.
        drop(self.file.unlock());
    }
}

/// To be called in a forked child, before anything else: lets go of the parent's locks without unlocking them. It only
/// loads atomics and makes system calls, which is all that is allowed there.
pub fn abandon_locks_after_fork() {
    let Some(nothing) = NOTHING.get() else { return };
    for lock in &LOCKS {
        let descriptor = lock.swap(NONE, Ordering::AcqRel);
        if descriptor != NONE {
            // SAFETY: the descriptor is one of ours, open, and stays open: it only means something else from here on.
            #[expect(unsafe_code, reason = "see above")]
            unsafe {
                libc::dup2(nothing.as_raw_fd(), descriptor);
            }
        }
    }
}
