//! The log: segments of checksummed, linked frames. It knows nothing of the index.
//!
//! Everything that gives bytes a meaning is in [`frame`] and [`segment`], and drawn in `docs/design.md`: a change to
//! one is a change to both.

pub mod frame;
pub mod recovery;
pub mod segment;
mod writer;

pub(crate) use frame::StoreSeed;

pub(crate) use segment::{Segment, Segments};
pub(crate) use writer::{FIRST_SEGMENT_BYTES, LogWriter, Reach, SegmentMaker, prepared_name};
