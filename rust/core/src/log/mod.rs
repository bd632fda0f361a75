//! The log: segments of checksummed, linked frames. It knows nothing of the index.
//!
//! Everything that gives bytes a meaning is in [`frame`] and [`segment`], and drawn in `docs/design.md`: a change to
//! one is a change to both.

mod follow;
pub mod frame;
mod maker;
mod reach;
pub mod recovery;
pub mod segment;
mod segments;
mod writer;

pub(crate) use frame::StoreSeed;

pub(crate) use maker::{FIRST_SEGMENT_BYTES, SegmentMaker, is_prepared};
pub(crate) use reach::{Point, Reach};
pub(crate) use segment::Segment;
pub(crate) use segments::Segments;
pub(crate) use writer::{LogWriter, Next};
