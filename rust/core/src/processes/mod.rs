//! Who may append, and who sees what: the lock and the shared marks.

mod lock;
mod marks;

pub(crate) use lock::acquire;
pub(crate) use marks::Marks;

/// Names of the files of this room.
pub(crate) const LOCK_FILE: &str = "lock";
pub(crate) const MARKS_FILE: &str = "marks";
