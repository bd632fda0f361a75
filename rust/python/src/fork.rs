//! Notices that the process is a forked child.
//!
//! A child has the parent's memory and descriptors but none of its threads: a store opened before the fork has nobody
//! to do its background work, and any of its mutexes may be held for ever. The parent's advisory locks would stay held
//! through the child, so the child lets go of them.

use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many forks lie between this process and the one that loaded the module.
static GENERATION: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    counterpoint::storage::abandon_locks_after_fork();
}

/// Counts forks from here on.
pub fn watch() -> io::Result<()> {
    static STATUS: OnceLock<i32> = OnceLock::new();
    // SAFETY: the handler only touches atomics and makes system calls, which is allowed between fork and exec, and
    // Python never unloads an extension module. The safe ways fall short: asking for the process id is a system call
    // (150 ns here, half of what an event costs), and Python runs the hooks of `os.register_at_fork` after it has
    // dropped what other threads held, stores among it.
    let status = *STATUS.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_child)) });
    if status == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(status)) }
}

/// Changes with each fork, in the child.
pub fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}
