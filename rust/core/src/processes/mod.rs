//! Who may append, and who sees what: the locks and the shared marks.
//!
//! Any number of handles, in any number of processes, are members of a store at the same time. What they agree on
//! is in the marks; who changes a mark holds the lock that goes with it. A lock dies with its holder, and a mark is
//! published with one store to one word, so whoever is killed leaves nothing half done that others would believe.

mod lock;
mod mark;
mod marks;
mod member;
mod turns;
mod watch;

pub(crate) use lock::{Locks, SharedLock};
pub(crate) use marks::{Bell, Marks};
pub(crate) use member::{Member, Memberships};
pub(crate) use watch::Watch;

/// The page of the shared marks.
pub(crate) const MARKS_FILE: &str = "marks";
