//! The index: which positions hold a type or a tag. It knows nothing of the log: where an event is stored is an
//! opaque [`Location`] to it.

mod cursor;
mod postings;
#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "not wired into opening, reading and housekeeping yet")
)]
pub(crate) mod sealed;
mod tail;

pub(crate) use cursor::Direction;
pub(crate) use tail::{Location, Tail};
