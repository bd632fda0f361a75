//! Places in the log.

use super::frame::Kind;
use super::recovery::End;
use super::segment::SegmentHeader;
use crate::bytes::Decoder;

/// A place up to which something holds, such as being durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reach {
    /// The first position of the segment.
    pub(crate) segment: u64,
    /// The offset in the segment.
    pub(crate) end: u64,
    /// The last position before it.
    pub(crate) position: u64,
}

impl Reach {
    pub(crate) fn of(end: &End) -> Self {
        let (segment, position) = (end.header.first_position, end.next_position - 1);
        Self { segment, end: end.offset, position }
    }
}

/// A place between two frames, with what is needed to go on from there without having read what comes before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Point {
    /// The first position of the segment.
    pub(crate) segment: u64,
    /// The offset after the last frame.
    pub(crate) offset: u64,
    /// The offset of the last frame.
    pub(crate) last_offset: u64,
    pub(crate) next_position: u64,
    pub(crate) recorded_at: u64,
    /// The checksum of the last frame.
    pub(crate) previous: u32,
    /// What the last frame is.
    pub(crate) last: Kind,
    /// How many segments there are up to this one.
    pub(crate) segments: u64,
}

/// Bytes of an encoded point.
pub(crate) const POINT_BYTES: usize = 64;

impl Point {
    /// `None` for a segment that has no frames.
    pub(crate) fn of(end: &End, segments: u64) -> Option<Self> {
        Some(Self {
            segment: end.header.first_position,
            offset: end.offset,
            last_offset: end.last_offset,
            next_position: end.next_position,
            recorded_at: end.recorded_at,
            previous: end.previous,
            last: end.last?,
            segments,
        })
    }

    pub(crate) fn reach(&self) -> Option<Reach> {
        let position = self.next_position.checked_sub(1)?;
        Some(Reach { segment: self.segment, end: self.offset, position })
    }

    /// The end of the log at this place, in the segment with this header. All before it is durable.
    pub(crate) fn end(&self, header: SegmentHeader) -> End {
        End {
            header,
            offset: self.offset,
            previous: self.previous,
            next_position: self.next_position,
            recorded_at: self.recorded_at,
            durable_end: self.offset,
            last: Some(self.last),
            last_offset: self.last_offset,
            torn: false,
        }
    }

    pub(crate) fn encode(&self) -> [u8; POINT_BYTES] {
        let mut out = Vec::with_capacity(POINT_BYTES);
        let words = [self.segment, self.offset, self.last_offset, self.next_position, self.recorded_at];
        words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
        out.extend_from_slice(&self.previous.to_le_bytes());
        out.extend_from_slice(&(self.last as u32).to_le_bytes());
        out.extend_from_slice(&self.segments.to_le_bytes());
        out.resize(POINT_BYTES, 0);
        out.try_into().expect("resized to fit")
    }

    pub(crate) fn decode(bytes: &[u8; POINT_BYTES]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        Some(Self {
            segment: decoder.u64()?,
            offset: decoder.u64()?,
            last_offset: decoder.u64()?,
            next_position: decoder.u64()?,
            recorded_at: decoder.u64()?,
            previous: decoder.u32()?,
            last: Kind::of(decoder.u32()?)?,
            segments: decoder.u64()?,
        })
    }
}
