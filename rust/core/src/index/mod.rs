//! The index: which positions hold a type or a tag. It knows nothing of the log: where an event is stored is an
//! opaque [`Location`] to it, and where the log stands after the last event an opaque point.

mod common;
mod cursor;
mod parts;
mod postings;
pub(crate) mod sealed;
mod tail;

pub(crate) use cursor::Direction;
pub(crate) use parts::{Full, Index, Part};
pub(crate) use sealed::POINT_BYTES;
pub(crate) use tail::{Location, Tail};
