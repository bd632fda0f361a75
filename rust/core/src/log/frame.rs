//! The frame: one batch, written whole or not at all.
//!
//! ```text
//! header, 64 bytes
//!    0 magic u32          4 kind u32             8 length u32         12 event count u32
//!   16 first position u64                       24 recorded at u64
//!   32 durable position u64                     40 durable end u64
//!   48 previous u32      52 events bytes u32    56 guards bytes u32   60 header checksum u32
//! events  count x record: length u32 | checksum u32 | recorded at u64 | encoded event
//! guards  the conditions of the append, if it had any and they are recorded
//! zeros   up to the alignment
//! checksum u32 of the header checksum and all after it
//! ```
//!
//! All checksums are CRC32C. A frame's header checksum is seeded with the store's id, the segment, the offset and the
//! previous frame's checksum, and the frame's own goes on from it. (Were it a checksum of the whole frame, a CRC over
//! its own header's CRC would come out the same for every header, and frames would link to anything.) So bytes that are stale, misplaced or of an abandoned write never validate. A record's is seeded
//! with the store's id and its position, so that one event can be read and trusted without its frame.

use uuid::Uuid;

use crate::bytes::{Decoder, length32};
use crate::condition::{self, AppendCondition};
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_EVENTS};

/// Bytes of a frame's header.
pub const HEADER_BYTES: usize = 64;
/// Frames start and end at multiples of this.
pub const ALIGNMENT: usize = 8;
/// Bytes of a record before the encoded event.
pub const RECORD_HEADER_BYTES: usize = 16;
/// Longest frame: a full batch with its records' headers and its own.
pub const MAX_FRAME_BYTES: usize =
    MAX_BATCH_BYTES + MAX_BATCH_EVENTS * RECORD_HEADER_BYTES + 2 * HEADER_BYTES;

pub(crate) const MAGIC: [u8; 4] = *b"cpf\x01";
const CHECKSUM_BYTES: usize = 4;

/// What a frame is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Events, with the conditions they were appended under.
    Batch = 1,
    /// No events: it tells that everything before it is durable.
    Seal = 2,
    /// The last frame of a full segment.
    End = 3,
}

impl Kind {
    pub(crate) fn of(number: u32) -> Option<Self> {
        [Self::Batch, Self::Seal, Self::End].into_iter().find(|kind| *kind as u32 == number)
    }
}

/// The seed that binds checksums to one store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreSeed(u32);

impl StoreSeed {
    /// The seed of the store with this id.
    pub fn new(store: Uuid) -> Self {
        Self(crc32c::crc32c(store.as_bytes()))
    }

    fn frame(self, segment: u64, offset: u64, previous: u32) -> u32 {
        let seed = crc32c::crc32c_append(self.0, &segment.to_le_bytes());
        let seed = crc32c::crc32c_append(seed, &offset.to_le_bytes());
        crc32c::crc32c_append(seed, &previous.to_le_bytes())
    }

    fn record(self, position: u64, recorded_at: u64) -> u32 {
        let seed = crc32c::crc32c_append(self.0, &position.to_le_bytes());
        crc32c::crc32c_append(seed, &recorded_at.to_le_bytes())
    }
}

/// The fields of a frame's header that the writer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the frame is for.
    pub kind: Kind,
    /// The position of its first event, or of the next event if it has none.
    pub first_position: u64,
    /// Microseconds since the Unix epoch.
    pub recorded_at: u64,
    /// The last durable position when the frame was written.
    pub durable: u64,
    /// The offset in this segment up to which everything was durable when the frame was written.
    pub durable_end: u64,
    /// The checksum of the frame before, or of the segment's header.
    pub previous: u32,
}

/// Where a frame was put and what links the next one to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The frame's length in bytes.
    pub length: usize,
    /// The frame's checksum.
    pub checksum: u32,
}

/// The length of the frame for these parts.
pub const fn frame_length(events: usize, event_bytes: usize, guards: usize) -> usize {
    let body = event_bytes + events * RECORD_HEADER_BYTES + guards;
    (HEADER_BYTES + body + CHECKSUM_BYTES).next_multiple_of(ALIGNMENT)
}

/// Appends one frame to `out`, to be written at `offset` of `segment`. `placed` is told each record's offset and length.
pub(crate) fn encode<'a>(
    out: &mut Vec<u8>,
    seed: StoreSeed,
    (segment, offset): (u64, u64),
    header: &Header,
    events: impl ExactSizeIterator<Item = &'a [u8]>,
    guards: &[u8],
    mut placed: impl FnMut(u64, usize),
) -> Encoded {
    let start = out.len();
    let count = events.len();
    out.resize(start + HEADER_BYTES, 0);
    for (event, position) in events.zip(header.first_position..) {
        placed(offset + (out.len() - start) as u64, RECORD_HEADER_BYTES + event.len());
        let checksum = crc32c::crc32c_append(seed.record(position, header.recorded_at), event);
        out.extend_from_slice(&length32(event.len()).to_le_bytes());
        out.extend_from_slice(&checksum.to_le_bytes());
        out.extend_from_slice(&header.recorded_at.to_le_bytes());
        out.extend_from_slice(event);
    }
    let event_bytes = out.len() - start - HEADER_BYTES;
    out.extend_from_slice(guards);
    let unpadded = out.len() - start + CHECKSUM_BYTES;
    let length = unpadded.next_multiple_of(ALIGNMENT);
    out.resize(start + length - CHECKSUM_BYTES, 0);

    let frame_seed = seed.frame(segment, offset, header.previous);
    let mut fields = Vec::with_capacity(HEADER_BYTES);
    fields.extend_from_slice(&MAGIC);
    for field in [header.kind as u32, length32(length), length32(count)] {
        fields.extend_from_slice(&field.to_le_bytes());
    }
    for field in [header.first_position, header.recorded_at, header.durable, header.durable_end] {
        fields.extend_from_slice(&field.to_le_bytes());
    }
    for field in [header.previous, length32(event_bytes), length32(guards.len())] {
        fields.extend_from_slice(&field.to_le_bytes());
    }
    let header_checksum = crc32c::crc32c_append(frame_seed, &fields);
    fields.extend_from_slice(&header_checksum.to_le_bytes());
    let (header_place, body) = out
        .get_mut(start..)
        .and_then(|frame| frame.split_first_chunk_mut::<HEADER_BYTES>())
        .expect("room for the header was made above");
    header_place.copy_from_slice(&fields);
    let checksum = crc32c::crc32c_append(header_checksum, body);
    out.extend_from_slice(&checksum.to_le_bytes());
    Encoded { length, checksum }
}

/// A frame whose checksums have been verified. Whether it links to what comes before is for the caller to see.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The header's fields.
    pub header: Header,
    /// How many events it holds.
    pub event_count: u32,
    /// Its length in bytes.
    pub length: usize,
    /// Its checksum, which the next frame quotes.
    pub checksum: u32,
    /// Its offset in the segment.
    pub offset: u64,
    seed: StoreSeed,
    events: &'a [u8],
    guards: &'a [u8],
}

impl<'a> Frame<'a> {
    /// Reads the frame at the start of `bytes`, which stand at `offset` of `segment`; an error says what is wrong.
    pub fn decode(
        bytes: &'a [u8],
        seed: StoreSeed,
        (segment, offset): (u64, u64),
    ) -> Result<Self, &'static str> {
        let Preamble { header, length, event_count, event_bytes, guard_bytes, header_checksum } =
            Preamble::decode(bytes, seed, (segment, offset))?;
        let frame = bytes.get(..length).ok_or("the frame is longer than its segment")?;
        let (_, body) = frame.split_first_chunk::<HEADER_BYTES>().ok_or("the frame is too short")?;
        let (body, checksum) = body.split_last_chunk::<CHECKSUM_BYTES>().ok_or("the frame is too short")?;
        let checksum = u32::from_le_bytes(*checksum);
        if crc32c::crc32c_append(header_checksum, body) != checksum {
            return Err("the frame's checksum is wrong");
        }
        let mut body = Decoder::new(body);
        let events = body.take(event_bytes as usize).ok_or("the events do not fit the frame")?;
        let guards = body.take(guard_bytes as usize).ok_or("the guards do not fit the frame")?;
        Ok(Self { header, event_count, length, checksum, offset, seed, events, guards })
    }

    /// The records in order: offset in the segment, length, and the encoded event. `None` where one is malformed.
    pub fn records(&self) -> impl Iterator<Item = Option<Record<'a>>> {
        let mut rest = Decoder::new(self.events);
        let mut offset = self.offset + HEADER_BYTES as u64;
        let (seed, first) = (self.seed, self.header.first_position);
        (0..u64::from(self.event_count)).map(move |index| {
            let mut peek = rest.clone();
            let length = RECORD_HEADER_BYTES + usize::try_from(peek.u32()?).ok()?;
            let record = Record::decode(rest.take(length)?, seed, first + index, offset)?;
            offset += length as u64;
            Some(record)
        })
    }

    /// The conditions under which the batch was accepted, as far as they were recorded; `None` if they are malformed.
    pub fn guards(&self) -> Option<Vec<AppendCondition>> {
        condition::decode(self.guards)
    }

    /// These conditions as they are stored.
    pub(crate) fn encoded_guards(&self) -> &'a [u8] {
        self.guards
    }

    /// The position after the last event of this frame.
    pub fn next_position(&self) -> Option<u64> {
        self.header.first_position.checked_add(u64::from(self.event_count))
    }

    /// The offset after this frame.
    pub fn end(&self) -> u64 {
        self.offset + self.length as u64
    }
}

/// What a frame's header says, its checksum verified: enough to go on to the next frame without reading this one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Preamble {
    pub(crate) header: Header,
    /// The frame's length in bytes, within the limit.
    pub(crate) length: usize,
    pub(crate) event_count: u32,
    event_bytes: u32,
    guard_bytes: u32,
    header_checksum: u32,
}

impl Preamble {
    /// Reads the header at the start of `bytes`, which stand at `offset` of `segment`; an error says what is wrong.
    pub(crate) fn decode(
        bytes: &[u8],
        seed: StoreSeed,
        (segment, offset): (u64, u64),
    ) -> Result<Self, &'static str> {
        let (header_bytes, _) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or("no room for a frame header")?;
        let (fields, checksum) = header_bytes.split_last_chunk::<4>().ok_or("no header")?;
        let (raw, header) = decode_header(fields).ok_or("no frame header")?;
        let header_checksum = u32::from_le_bytes(*checksum);
        if crc32c::crc32c_append(seed.frame(segment, offset, header.previous), fields) != header_checksum {
            return Err("the header's checksum is wrong");
        }
        let length = raw.length as usize;
        if length > MAX_FRAME_BYTES || !length.is_multiple_of(ALIGNMENT) {
            return Err("the frame's length is out of bounds");
        }
        let RawHeader { event_count, event_bytes, guard_bytes, .. } = raw;
        Ok(Self { header, length, event_count, event_bytes, guard_bytes, header_checksum })
    }

    /// The position after the last event of the frame.
    pub(crate) fn next_position(&self) -> Option<u64> {
        self.header.first_position.checked_add(u64::from(self.event_count))
    }
}

/// One event as the log stores it.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The offset of the record in its segment.
    pub offset: u64,
    /// The length of the record in bytes.
    pub length: usize,
    /// Microseconds since the Unix epoch.
    pub recorded_at: u64,
    /// The encoded event.
    pub event: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads the record at the start of `bytes` and verifies its checksum, which is bound to `position`.
    pub fn decode(bytes: &'a [u8], seed: StoreSeed, position: u64, offset: u64) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let length = usize::try_from(decoder.u32()?).ok()?;
        let checksum = decoder.u32()?;
        let recorded_at = decoder.u64()?;
        let event = decoder.take(length)?;
        let valid = crc32c::crc32c_append(seed.record(position, recorded_at), event) == checksum;
        valid.then_some(Self { offset, length: RECORD_HEADER_BYTES + length, recorded_at, event })
    }
}

struct RawHeader {
    length: u32,
    event_count: u32,
    event_bytes: u32,
    guard_bytes: u32,
}

fn decode_header(fields: &[u8]) -> Option<(RawHeader, Header)> {
    let mut decoder = Decoder::new(fields);
    if decoder.array()? != MAGIC {
        return None;
    }
    let kind = Kind::of(decoder.u32()?)?;
    let (length, event_count) = (decoder.u32()?, decoder.u32()?);
    let (first_position, recorded_at) = (decoder.u64()?, decoder.u64()?);
    let (durable, durable_end) = (decoder.u64()?, decoder.u64()?);
    let previous = decoder.u32()?;
    let (event_bytes, guard_bytes) = (decoder.u32()?, decoder.u32()?);
    let header = Header { kind, first_position, recorded_at, durable, durable_end, previous };
    Some((RawHeader { length, event_count, event_bytes, guard_bytes }, header))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_the_same_body_have_checksums_that_tell_their_headers_apart() {
        let header = Header {
            kind: Kind::Seal,
            first_position: 7,
            recorded_at: 1,
            durable: 6,
            durable_end: 64,
            previous: 5,
        };
        let others = [
            (1, 64, header),
            (1, 72, header),
            (9, 64, header),
            (1, 64, Header { previous: 6, ..header }),
            (1, 64, Header { recorded_at: 2, ..header }),
            (1, 64, Header { first_position: 8, ..header }),
            (1, 64, Header { kind: Kind::End, ..header }),
        ];
        let mut checksums = Vec::new();
        for store in [Uuid::nil(), Uuid::from_bytes([7; 16])] {
            for (segment, offset, header) in others {
                let (mut bytes, seed) = (Vec::new(), StoreSeed::new(store));
                let place = (segment, offset);
                let encoded = encode(&mut bytes, seed, place, &header, [].into_iter(), &[], |_, _| {});
                assert_eq!(
                    Frame::decode(&bytes, seed, place).map(|frame| frame.checksum),
                    Ok(encoded.checksum)
                );
                checksums.push(encoded.checksum);
            }
        }
        checksums.sort_unstable();
        checksums.dedup();
        assert_eq!(checksums.len(), 2 * others.len());
    }

    /// The bytes of a frame with everything in it, written out: a change here needs another version of the format.
    #[test]
    fn the_bytes_of_a_frame_are_those_of_version_2() {
        let header = Header {
            kind: Kind::Batch,
            first_position: 7,
            recorded_at: 0x0102_0304_0506_0708,
            durable: 6,
            durable_end: 64,
            previous: 5,
        };
        let id = Some(Uuid::from_bytes([0xAB; 16]));
        let event = crate::Event::new("Type", &["a:1", "b"], b"data", Some(b"meta"), id).unwrap();
        let query = crate::Query::items(vec![crate::QueryItem::new(&["Type"], &["a:1"]).unwrap()]).unwrap();
        let guards = condition::encode(&[
            AppendCondition { query, after: 3 },
            AppendCondition { query: crate::Query::All, after: 6 },
        ]);
        let (mut bytes, mut places) = (Vec::new(), Vec::new());
        let seed = StoreSeed::new(Uuid::from_bytes([7; 16]));
        let events = std::iter::once(event.encoded());
        encode(&mut bytes, seed, (1, 64), &header, events, &guards.unwrap(), |offset, length| {
            places.push((offset, length));
        });
        let expected = [
            &b"cpf\x01\x01\0\0\0\xA8\0\0\0\x01\0\0\0\x07\0\0\0\0\0\0\0\x08\x07\x06\x05\x04\x03\x02\x01"[..],
            b"\x06\0\0\0\0\0\0\0\x40\0\0\0\0\0\0\0\x05\0\0\0\x3E\0\0\0\x22\0\0\0",
            &HEADER_CHECKSUM.to_le_bytes(),
            b"\x2E\0\0\0",
            &RECORD_CHECKSUM.to_le_bytes(),
            b"\x08\x07\x06\x05\x04\x03\x02\x01\x03\x04\x02\0\x04\0\0\0\x04\0\0\0",
            &[0xAB; 16],
            b"Type\x03a:1\x01bdatameta",
            b"\x02\0\x03\0\0\0\0\0\0\0\x01\0\x01\0\x01\x04Type\x03a:1\x06\0\0\0\0\0\0\0\0\0",
            &[0; 4],
            &FRAME_CHECKSUM.to_le_bytes(),
        ];
        assert_eq!(bytes, expected.concat(), "the format has changed: it needs another version");
        assert_eq!(places, [(128, 62)]);
    }

    /// Computed by another program.
    const HEADER_CHECKSUM: u32 = 3_643_696_877;
    const RECORD_CHECKSUM: u32 = 960_068_517;
    const FRAME_CHECKSUM: u32 = 148_835_320;
}
