//! The lock that a handle holds while it has the store open.
//!
//! One handle at a time, for now. The lock lives on a file of its own from the start, so that it can become the
//! append lock that several processes pass around.

use std::thread;
use std::time::Duration;

use super::LOCK_FILE;
use crate::error::{OpenError, StorageError};
use crate::storage::{Lock, LockAttempt, Storage};

/// How often, and how long apart, a holder's process id is looked for: it is written just after the lock is taken.
const LOOKS: u32 = 10;
const BETWEEN_LOOKS: Duration = Duration::from_millis(2);

pub(crate) fn acquire(storage: &dyn Storage) -> Result<Box<dyn Lock>, OpenError> {
    for _ in 0..LOOKS {
        match storage.try_lock(LOCK_FILE).map_err(StorageError::io("lock", LOCK_FILE))? {
            LockAttempt::Held(lock) => return Ok(lock),
            LockAttempt::Busy { holder: Some(pid) } => return Err(OpenError::Locked { pid: Some(pid) }),
            LockAttempt::Busy { holder: None } => thread::sleep(BETWEEN_LOOKS),
        }
    }
    Err(OpenError::Locked { pid: None })
}
