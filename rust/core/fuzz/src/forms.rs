//! The formats as `docs/design.md` draws them, written a second time: makes checksums right again after bytes have been
//! changed, and finds the parts of the fixture.

use uuid::Uuid;

/// The files of the fixture of version 2.
pub const FIXTURE: [(&str, &[u8]); 7] = [
    ("00000000000000000001.log", SEGMENT),
    (
        "00000000000000000023.log",
        include_bytes!("../../../../tests/fixtures/v2/store/00000000000000000023.log"),
    ),
    (
        "00000000000000000057.log",
        include_bytes!("../../../../tests/fixtures/v2/store/00000000000000000057.log"),
    ),
    ("00000000000000000001-00000000000000000024.idx", INDEX),
    (
        "00000000000000000025-00000000000000000048.idx",
        include_bytes!("../../../../tests/fixtures/v2/store/00000000000000000025-00000000000000000048.idx"),
    ),
    ("cursors", include_bytes!("../../../../tests/fixtures/v2/store/cursors")),
    ("marks", include_bytes!("../../../../tests/fixtures/v2/store/marks")),
];
pub const SEGMENT: &[u8] = include_bytes!("../../../../tests/fixtures/v2/store/00000000000000000001.log");
pub const INDEX: &[u8] =
    include_bytes!("../../../../tests/fixtures/v2/store/00000000000000000001-00000000000000000024.idx");

const HEADER: usize = 64;
const PAGE: usize = 4096;

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?) as usize)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&value.to_le_bytes());
    }
}

/// The store that the fixture is of.
pub fn store() -> Uuid {
    Uuid::from_slice(&SEGMENT[16..32]).expect("sixteen bytes")
}

/// Where the frames of a segment are, and how long.
pub fn frames(segment: &[u8]) -> Vec<(usize, usize)> {
    let (mut frames, mut at) = (Vec::new(), HEADER);
    while segment.get(at..at + 4) == Some(b"cpf\x01") {
        let Some(length) = u32_at(segment, at + 8).filter(|length| *length >= HEADER) else { break };
        frames.push((at, length));
        at += length;
    }
    frames
}

/// The records of all frames.
pub fn records(segment: &[u8]) -> Vec<&[u8]> {
    let mut records = Vec::new();
    for (at, _) in frames(segment) {
        let mut from = at + HEADER;
        for _ in 0..u32_at(segment, at + 12).unwrap_or(0) {
            let Some(length) = u32_at(segment, from) else { break };
            records.extend(segment.get(from..from + 16 + length));
            from += 16 + length;
        }
    }
    records
}

/// The conditions of all frames that have some.
pub fn guards(segment: &[u8]) -> Vec<&[u8]> {
    let of = |(at, _): (usize, usize)| {
        let from = at + HEADER + u32_at(segment, at + 52)?;
        segment.get(from..from + u32_at(segment, at + 56)?).filter(|guards| !guards.is_empty())
    };
    frames(segment).into_iter().filter_map(of).collect()
}

/// Makes the checksums of the frame at the start of `bytes` right, and those of its records; returns its length and its
/// checksum. With `previous` it links to what comes before.
pub fn sign_frame(
    bytes: &mut [u8],
    (segment, offset): (u64, u64),
    previous: Option<u32>,
    first_position: u64,
) -> Option<(usize, u32)> {
    let length = u32_at(bytes, 8).filter(|length| (HEADER + 4..=bytes.len()).contains(length))?;
    let seed = crc32c::crc32c(store().as_bytes());
    if let Some(previous) = previous {
        put(bytes, 48, previous);
    }
    let (mut from, end) = (HEADER, HEADER + u32_at(bytes, 52)?);
    for number in 0..u32_at(bytes, 12)? as u64 {
        let Some(size) = u32_at(bytes, from).filter(|size| from + 16 + size <= end.min(length)) else {
            break;
        };
        let position = first_position.wrapping_add(number);
        let bound = crc32c::crc32c_append(seed, &position.to_le_bytes());
        let bound = crc32c::crc32c_append(bound, &bytes[from + 8..from + 16]);
        let checksum = crc32c::crc32c_append(bound, &bytes[from + 16..from + 16 + size]);
        put(bytes, from + 4, checksum);
        from += 16 + size;
    }
    let bound = crc32c::crc32c_append(seed, &segment.to_le_bytes());
    let bound = crc32c::crc32c_append(bound, &offset.to_le_bytes());
    let bound = crc32c::crc32c_append(bound, &bytes[48..52]);
    let header = crc32c::crc32c_append(bound, &bytes[..60]);
    put(bytes, 60, header);
    let checksum = crc32c::crc32c_append(header, &bytes[HEADER..length - 4]);
    put(bytes, length - 4, checksum);
    Some((length, checksum))
}

/// Makes all checksums of a segment right, and its links, as far as its frames can be followed; returns the last checksum.
/// With `previous` it continues the segment before.
pub fn sign_segment(bytes: &mut [u8], previous: Option<u32>) -> Option<u32> {
    if bytes.len() < HEADER {
        return None;
    }
    if let Some(previous) = previous {
        put(bytes, 48, previous);
    }
    let mut checksum = crc32c::crc32c(&bytes[..60]);
    put(bytes, 60, checksum);
    let (segment, mut at) = (u64_at(bytes, 32)?, HEADER);
    while bytes.get(at..at + 4) == Some(b"cpf\x01") {
        let frame = &mut bytes[at..];
        let Some(first) = u64_at(frame, 16) else { break };
        let Some((length, own)) = sign_frame(frame, (segment, at as u64), Some(checksum), first) else {
            break;
        };
        checksum = own;
        at += length;
    }
    Some(checksum)
}

/// Makes the checksum at the end right.
pub fn sign_end(bytes: &mut [u8]) {
    if let Some(at) = bytes.len().checked_sub(4) {
        let checksum = crc32c::crc32c(&bytes[..at]);
        put(bytes, at, checksum);
    }
}

/// Makes all checksums of an index file right: of its pages, of those, and of its header.
pub fn sign_index(bytes: &mut [u8]) {
    let place = |bytes: &[u8], at| u64_at(bytes, at).and_then(|number| usize::try_from(number).ok());
    let (Some(table), Some(length)) = (place(bytes, 280), place(bytes, 288)) else { return };
    if table.is_multiple_of(PAGE) && table.checked_add(length).is_some_and(|end| end <= bytes.len()) {
        for page in 0..table / PAGE {
            let checksum = crc32c::crc32c(&bytes[page * PAGE..(page + 1) * PAGE]);
            if (page + 1) * 4 <= length && page > 0 {
                put(bytes, table + page * 4, checksum);
            }
        }
        let checksum = crc32c::crc32c(&bytes[table..table + length]);
        put(bytes, 4088, checksum);
    }
    if bytes.len() >= PAGE {
        let checksum = crc32c::crc32c(&bytes[..PAGE - 4]);
        put(bytes, PAGE - 4, checksum);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_what_is_valid_changes_nothing() {
        let mut segment = SEGMENT.to_vec();
        sign_segment(&mut segment, None).unwrap();
        assert_eq!(segment, SEGMENT);
        let mut index = INDEX.to_vec();
        sign_index(&mut index);
        assert_eq!(index, INDEX);
        assert!(frames(SEGMENT).len() > 10 && records(SEGMENT).len() > 20 && guards(SEGMENT).len() > 5);
    }
}
