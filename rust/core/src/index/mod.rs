//! The index: which positions hold a type or a tag. It knows nothing of the log: where an event is stored is an
//! opaque [`Location`] to it.

mod cursor;
mod postings;
mod tail;

pub(crate) use cursor::Direction;
pub(crate) use tail::{Location, Tail};
