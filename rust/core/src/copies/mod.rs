//! Copies of a store in new directories: backups of an open store, and what can be salvaged of a damaged one.
//!
//! Both write a prefix of a log, the cursors, and marks that bear witness of its end. What they have in common is in
//! [`target`]: a directory that does not count as a store before all of it is durable.

mod backup;
mod files;
mod salvage;
mod survey;
mod target;

pub use self::backup::{BackedUp, Backup, BackupOptions};
pub use self::salvage::{Salvage, Salvaged};
pub use self::survey::{Damage, Inspect, Inspection};
pub(crate) use self::target::refuse_unfinished;
