//! The offset of every event in its log segment, in about ten bits, found without a search.
//!
//! Offsets grow by about the same from event to event, so 128 of them lie near a line. A span is that line (its base,
//! and its slope in 256ths of a byte), and how far each offset lies above it is bit-packed in the increments. Where a log
//! segment ends within a span the offsets fall back, and that one span is wide.

use std::io;

use super::Sealed;
use super::blocks::{pack, packed_bytes, width};
use super::layout::{PAGE_BYTES, SPAN_BYTES, SPAN_OFFSETS};
use super::pages::Damaged;
use super::write::SectionWriter;

/// Increments of a span start at multiples of this, so that 32 bits reach far enough.
const START_UNIT: usize = 16;
const SLOPE_BITS: u32 = 8;

/// Where the log keeps an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SealedLocation {
    /// The offset of its record in its log segment.
    pub(crate) offset: u32,
    /// At least as many bytes as the record has, if the next event lies behind it in the same segment. `None` if the
    /// event is the last of its segment: its record ends before the segment does.
    pub(crate) length_bound: Option<u32>,
}

impl Sealed {
    /// Where the event is stored; `None` if the position is not in here.
    pub(crate) fn location(&self, position: u64) -> Result<Option<SealedLocation>, Damaged> {
        let ordinal = position.checked_sub(self.header.first_position);
        let Some(ordinal) = ordinal.filter(|ordinal| *ordinal < u64::from(self.header.event_count)) else {
            return Ok(None);
        };
        let (offset, next) = (self.offset(ordinal)?, self.offset(ordinal + 1)?);
        let length_bound = next.checked_sub(offset).filter(|bound| *bound > 0);
        Ok(Some(SealedLocation { offset, length_bound }))
    }

    /// The offset of an event; that of the event after the last is where the last record ends.
    pub(super) fn offset(&self, ordinal: u64) -> Result<u32, Damaged> {
        let (spans, increments) = (self.header.sections.spans, self.header.sections.increments);
        let at = ordinal / SPAN_OFFSETS * SPAN_BYTES;
        let span: [u8; 16] = self.pages.array(spans, at)?;
        let span = u128::from_le_bytes(span);
        let (base, slope, start, width) = (span as u32, (span >> 32) as u32, (span >> 64) as u32, span >> 96);
        if width > 32 {
            return Err(self.pages.damaged(spans.offset + at, "a span of offsets is malformed"));
        }
        let within = ordinal % SPAN_OFFSETS;
        let bit = within * width as u64;
        let bytes = self.pages.array(increments, u64::from(start) * START_UNIT as u64 + bit / 8)?;
        let increment = (u64::from_le_bytes(bytes) >> (bit % 8)) & ((1 << width) - 1);
        Ok(base.wrapping_add(on_line(within, slope)).wrapping_add(increment as u32))
    }

    /// Lets go of the memory that the offsets and types of these ordinals took.
    pub(super) fn release_events(&self, from: u64, to: u64) {
        let sections = &self.header.sections;
        let type_bytes = u64::from(self.header.type_bytes);
        self.pages.release(sections.column, from * type_bytes, to * type_bytes);
        let spans = from / SPAN_OFFSETS * SPAN_BYTES..to / SPAN_OFFSETS * SPAN_BYTES;
        self.pages.release(sections.spans, spans.start, spans.end);
        // Where the increments lie stands in the spans; about the same share of them has been passed.
        let share = |at: u64| {
            let place = u128::from(sections.increments.length) * u128::from(at);
            (place / u128::from(self.header.event_count)) as u64 / PAGE_BYTES as u64 * PAGE_BYTES as u64
        };
        self.pages.release(sections.increments, share(from), share(to));
    }
}

/// How far a line has risen.
fn on_line(steps: u64, slope: u32) -> u32 {
    ((steps * u64::from(slope)) >> SLOPE_BITS) as u32
}

/// Writes offsets one by one.
pub(super) struct OffsetsWriter<'a> {
    spans: SectionWriter<'a>,
    increments: SectionWriter<'a>,
    offsets: Vec<u32>,
    packed: Vec<u8>,
    start: u32,
}

impl<'a> OffsetsWriter<'a> {
    pub(super) fn new(spans: SectionWriter<'a>, increments: SectionWriter<'a>) -> Self {
        let offsets = Vec::with_capacity(SPAN_OFFSETS as usize);
        Self { spans, increments, offsets, packed: Vec::new(), start: 0 }
    }

    pub(super) fn push(&mut self, offset: u32) -> io::Result<()> {
        self.offsets.push(offset);
        if self.offsets.len() as u64 == SPAN_OFFSETS { self.write_span() } else { Ok(()) }
    }

    /// Writes what is left; the sections are then complete.
    pub(super) fn finish(mut self) -> io::Result<(SectionWriter<'a>, SectionWriter<'a>)> {
        self.write_span()?;
        // The last increment is read as one of eight bytes.
        self.increments.put(&[0; 8])?;
        Ok((self.spans, self.increments))
    }

    fn write_span(&mut self) -> io::Result<()> {
        let (Some(first), Some(last)) = (self.offsets.first(), self.offsets.last()) else { return Ok(()) };
        let steps = self.offsets.len() as u64 - 1;
        let rise = u64::from(last.saturating_sub(*first)) << SLOPE_BITS;
        let slope = u32::try_from(rise.checked_div(steps).unwrap_or_default()).unwrap_or_default();
        // A line that the offsets stray from by more than 32 bits cannot be; a level one always will do.
        let (base, slope) =
            self.above(slope).map_or_else(|| (self.above(0).unwrap_or_default(), 0), |base| (base, slope));
        for (step, offset) in (0..).zip(&mut self.offsets) {
            *offset = offset.wrapping_sub(base).wrapping_sub(on_line(step, slope));
        }
        let width = self.offsets.iter().copied().map(width).max().unwrap_or_default();
        pack(&mut self.packed, &self.offsets, width);
        let length = packed_bytes(self.offsets.len(), width).next_multiple_of(START_UNIT);
        self.packed.resize(length, 0);
        for number in [base, slope, self.start, width] {
            self.spans.put(&number.to_le_bytes())?;
        }
        self.increments.put(&self.packed)?;
        self.start += u32::try_from(length / START_UNIT).expect("a span has at most 512 bytes");
        self.offsets.clear();
        self.packed.clear();
        Ok(())
    }

    /// The base that puts a line of this slope below all offsets, if they lie within 32 bits of it.
    fn above(&self, slope: u32) -> Option<u32> {
        let over = |(step, offset): (u64, &u32)| i64::from(*offset) - i64::from(on_line(step, slope));
        let lowest = (0..).zip(&self.offsets).map(over).min()?;
        let highest = (0..).zip(&self.offsets).map(over).max()?;
        u32::try_from(highest - lowest).ok()?;
        Some(lowest as u32)
    }
}
