//! What lies where in an index file.
//!
//! ```text
//! header, one page
//!     0 magic 8            8 version u32         12 event count u32
//!    16 store id 16       32 first position u64  40 point 64
//!   104 type bytes u32   108 directory bits u32 112 postings unit u32   116 zero u32
//!   120 column, masks, spans, increments, filter, directory, dictionary, skips, postings, types, checksums:
//!       11 x (offset u64, length u64)
//!   296 zeros            4088 checksum of the checksums u32              4092 checksum u32 (of bytes 0 to 4091)
//!
//! column      event count x type number, of 1, 2 or 4 bytes
//! masks       for each 4096 events: u64, bit n for the n-th frequent type
//! spans       for each 128 offsets: base u32 | slope u32 | start u32 | width u32
//! increments  for each span: its offsets less what its line predicts, bit-packed; zeros 8
//! filter      blocks of 64 bytes
//! directory   2^bits + 1 x u32: the first entry of each bucket of tags
//! dictionary  entries, ascending: tag hash u64 | value u32
//! skips       for each block of a long list: last event u32 | start u32
//! postings    lists: count, first, last - first, [first skip] as varints | blocks
//! types       count u32, then each type: name length u8, name, count u32, first u32, last u32, list u64
//! checksums   for each page before it: CRC32C u32
//! ```
//!
//! Integers are little-endian. Every section starts on a page of 4096 bytes; what is left of its last page is zero.
//! Events are ordinals: they count from 0 at the first position.

use std::ops::Range;

use uuid::Uuid;

use crate::bytes::Decoder;

/// The unit of checksums.
pub(super) const PAGE_BYTES: usize = 4096;
/// Bytes of the opaque mark that says where the log stands after the last event.
pub(crate) const POINT_BYTES: usize = 64;
/// The most events of one file: an ordinal leaves a bit of the dictionary's values free.
pub(crate) const MAX_EVENTS: u32 = i32::MAX as u32;
/// The version of the format.
const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"cpidx\r\n\x1a";
/// How many sections there are.
const SECTIONS: usize = 11;

/// A part of the file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// All parts of the file, in the order in which they lie there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sections {
    pub(super) column: Section,
    pub(super) masks: Section,
    pub(super) spans: Section,
    pub(super) increments: Section,
    pub(super) filter: Section,
    pub(super) directory: Section,
    pub(super) dictionary: Section,
    pub(super) skips: Section,
    pub(super) postings: Section,
    pub(super) types: Section,
    pub(super) checksums: Section,
}

/// What the file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) store: Uuid,
    pub(super) first_position: u64,
    pub(super) event_count: u32,
    pub(super) point: [u8; POINT_BYTES],
    /// Bytes of a type number in the column.
    pub(super) type_bytes: u32,
    /// So many top bits of a hash choose its bucket.
    pub(super) directory_bits: u32,
    /// What the dictionary counts the postings' bytes in, so that its values reach all of them.
    pub(super) postings_unit: u32,
    pub(super) sections: Sections,
    /// The checksum of the checksums section.
    pub(super) checksums: u32,
}

impl Sections {
    fn to_array(self) -> [Section; SECTIONS] {
        let Self { column, masks, spans, increments, filter, directory, dictionary, .. } = self;
        let Self { skips, postings, types, checksums, .. } = self;
        [column, masks, spans, increments, filter, directory, dictionary, skips, postings, types, checksums]
    }

    fn from_array(sections: [Section; SECTIONS]) -> Self {
        let [column, masks, spans, increments, filter, directory, dictionary, rest @ ..] = sections;
        let [skips, postings, types, checksums] = rest;
        Self {
            column,
            masks,
            spans,
            increments,
            filter,
            directory,
            dictionary,
            skips,
            postings,
            types,
            checksums,
        }
    }
}

impl Header {
    pub(super) fn encode(&self) -> [u8; PAGE_BYTES] {
        let mut bytes = Vec::with_capacity(PAGE_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&self.event_count.to_le_bytes());
        bytes.extend_from_slice(self.store.as_bytes());
        bytes.extend_from_slice(&self.first_position.to_le_bytes());
        bytes.extend_from_slice(&self.point);
        for number in [self.type_bytes, self.directory_bits, self.postings_unit, 0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for section in self.sections.to_array() {
            bytes.extend_from_slice(&section.offset.to_le_bytes());
            bytes.extend_from_slice(&section.length.to_le_bytes());
        }
        bytes.resize(PAGE_BYTES - 8, 0);
        bytes.extend_from_slice(&self.checksums.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes.try_into().expect("the fields above add up to a page")
    }

    /// Reads the header of a file of this length; an error says what is wrong.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let page = bytes.first_chunk::<PAGE_BYTES>().ok_or("the file is shorter than an index header")?;
        if !page.starts_with(&MAGIC) {
            return Err("not an index of an event log");
        }
        let (fields, checksum) = page.split_last_chunk::<4>().ok_or("no header")?;
        if crc32c::crc32c(fields) != u32::from_le_bytes(*checksum) {
            return Err("the header's checksum is wrong");
        }
        let (version, header) = Self::fields(fields).ok_or("no header")?;
        if version != VERSION {
            return Err("a version of the index format that this release does not read");
        }
        header.check(bytes.len() as u64)?;
        Ok(header)
    }

    fn fields(bytes: &[u8]) -> Option<(u32, Self)> {
        let checksums = bytes.last_chunk().copied().map(u32::from_le_bytes)?;
        let mut decoder = Decoder::new(bytes);
        let (_, version, event_count) = (decoder.array::<8>()?, decoder.u32()?, decoder.u32()?);
        let (store, first_position) = (Uuid::from_bytes(decoder.array()?), decoder.u64()?);
        let point = decoder.array()?;
        let (type_bytes, directory_bits) = (decoder.u32()?, decoder.u32()?);
        let (postings_unit, _) = (decoder.u32()?, decoder.u32()?);
        let mut sections = [Section::default(); SECTIONS];
        for section in &mut sections {
            *section = Section { offset: decoder.u64()?, length: decoder.u64()? };
        }
        let sections = Sections::from_array(sections);
        let header = Self {
            store,
            first_position,
            event_count,
            point,
            type_bytes,
            directory_bits,
            postings_unit,
            sections,
            checksums,
        };
        Some((version, header))
    }

    /// Whether the numbers fit each other and the length of the file, so that nobody has to ask again.
    fn check(&self, file_bytes: u64) -> Result<(), &'static str> {
        let mut end = PAGE_BYTES as u64;
        for section in self.sections.to_array() {
            if section.offset != end.next_multiple_of(PAGE_BYTES as u64) {
                return Err("the sections do not follow each other");
            }
            end = section.offset.checked_add(section.length).filter(|end| *end <= file_bytes).ok_or(SHORT)?;
        }
        if end != file_bytes {
            return Err("the file is longer than its sections");
        }
        let Sections { column, masks, spans, increments, filter, directory, dictionary, .. } = self.sections;
        let events = u64::from(self.event_count);
        let fits = (1..=u64::from(MAX_EVENTS)).contains(&events)
            && self.first_position > 0
            && self.first_position.checked_add(events).is_some()
            && [1, 2, 4].contains(&self.type_bytes)
            && column.length == events * u64::from(self.type_bytes)
            && masks.length == events.div_ceil(CHUNK_EVENTS) * 8
            && spans.length == (events + 1).div_ceil(SPAN_OFFSETS) * SPAN_BYTES
            && increments.length >= 8
            && filter.length > 0
            && filter.length.is_multiple_of(FILTER_BLOCK_BYTES)
            && (1..=30).contains(&self.directory_bits)
            && directory.length == ((1 << self.directory_bits) + 1) * 4
            && dictionary.length.is_multiple_of(ENTRY_BYTES)
            && dictionary.length / ENTRY_BYTES <= u64::from(u32::MAX)
            && self.postings_unit > 0
            && self.sections.skips.length.is_multiple_of(SKIP_BYTES)
            && self.sections.checksums.length == self.sections.checksums.offset / PAGE_BYTES as u64 * 4;
        if fits { Ok(()) } else { Err("the lengths of the sections do not fit the header") }
    }

    /// Where in the file the checksums lie.
    pub(super) fn checksum_range(&self) -> Option<Range<usize>> {
        let Section { offset, length } = self.sections.checksums;
        Some(usize::try_from(offset).ok()?..usize::try_from(offset + length).ok()?)
    }
}

const SHORT: &str = "the file is shorter than its sections";

/// So many events share a mask of the frequent types among them.
pub(super) const CHUNK_EVENTS: u64 = 4096;
/// So many offsets share a line.
pub(super) const SPAN_OFFSETS: u64 = 128;
/// Bytes of a span.
pub(super) const SPAN_BYTES: u64 = 16;
/// A cache line.
pub(super) const FILTER_BLOCK_BYTES: u64 = 64;
/// Bytes of a dictionary entry.
pub(super) const ENTRY_BYTES: u64 = 12;
/// Bytes of a skip.
pub(super) const SKIP_BYTES: u64 = 8;
