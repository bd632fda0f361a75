//! The bytes of version 1.

use super::*;

/// Everything occurs once: a rare list would need more events, but its form is that of a tag's list.
fn events() -> Vec<Event> {
    vec![event("B", &["x", "only"]), event("A", &["x"]), event("B", &["y", "x"]), event("B", &["y"])]
}

fn bytes() -> Vec<u8> {
    let file = new_file();
    build(&tail(11, &events()), &POINT, STORE, &*file).unwrap();
    file.map().unwrap().bytes().to_vec()
}

/// Where a section begins and how it does, for each page.
fn section(bytes: &[u8], page: usize, length: usize) -> &[u8] {
    assert!(bytes[page * 4096 + length..(page + 1) * 4096].iter().all(|byte| *byte == 0));
    &bytes[page * 4096..page * 4096 + length]
}

#[test]
fn the_bytes_of_a_small_file_are_those_of_version_1() {
    let bytes = bytes();
    assert_eq!(
        &bytes[..44],
        b"cpidx\r\n\x1a\x01\0\0\0\x04\0\0\0a store for test\x0b\0\0\0\0\0\0\0\x07\x07\x07\x07"
    );
    assert_eq!(section(&bytes, 1, 4), [1, 0, 1, 1], "column");
    assert_eq!(section(&bytes, 2, 8), 3u64.to_le_bytes(), "masks");
    // Offsets 100, 200, 300, 400, 500: a line of 100 bytes an event, and nothing above it.
    let span: Vec<u8> = [100u32, 100 << 8, 0, 0].iter().flat_map(|number| number.to_le_bytes()).collect();
    assert_eq!(section(&bytes, 3, 16), span, "spans");
    assert_eq!(section(&bytes, 4, 8), [0; 8], "increments");
    assert_eq!(bytes[5 * 4096..][..64].iter().map(|byte| byte.count_ones()).sum::<u32>(), 18, "filter");
    let dictionary = section(&bytes, 7, 36);
    let hashes: Vec<u64> =
        dictionary.chunks(12).map(|entry| u64::from_le_bytes(*entry.first_chunk().unwrap())).collect();
    // SipHash-1-3 of "x", "only" and "y", computed by another program.
    assert_eq!(hashes, [146_355_637_470_790_401, 4_466_795_204_310_164_334, 16_295_271_768_057_842_415]);
    let values: Vec<u32> =
        dictionary.chunks(12).map(|entry| u32::from_le_bytes(*entry.last_chunk().unwrap())).collect();
    assert_eq!(values, [0, 1 << 31, 1 << 31 | 4]);
    // "x" is on the events 0, 1 and 2, "y" on 2 and 3.
    assert_eq!(section(&bytes, 8, 7), [3, 0, 2, 0, 2, 2, 1], "postings");
    assert_eq!(section(&bytes, 9, 48)[..7], *b"\x02\0\0\0\x01A\x01", "types");
    assert_eq!(bytes.len(), GOLDEN_BYTES);
    assert_eq!(crc32c::crc32c(&bytes), GOLDEN, "the format has changed: it needs another version");
}

const GOLDEN_BYTES: usize = 41_000;
const GOLDEN: u32 = 3_169_354_431;

#[test]
fn names_are_read_as_they_are_written() {
    assert_eq!(file_name(1, 42), "00000000000000000001-00000000000000000042.idx");
    assert_eq!(file_positions(&file_name(1, u64::MAX)), Some(1..=u64::MAX));
    let bad = ["1-2.idx", "00000000000000000003-00000000000000000002.idx", "00000000000000000001.log"];
    assert!(bad.iter().chain(&[&*file_name(0, 1)]).all(|name| file_positions(name).is_none()));
    assert_eq!(file_positions("00000000000000000001-99999999999999999999.idx"), None);
    assert_eq!(file_positions("+0000000000000000001-00000000000000000002.idx"), None);
}

#[test]
fn a_file_says_what_it_was_built_from() {
    let sealed = sealed(11, &events());
    assert_eq!(sealed.positions(), 11..=14);
    assert_eq!(sealed.point(), &POINT);
    assert_eq!(sealed.type_names().collect::<Vec<_>>(), ["A", "B"]);
    assert_eq!((sealed.event_count(), sealed.tag_count()), (4, 3));
    assert!(sealed.event_count() <= MAX_EVENTS);
    assert_eq!(sealed.bytes(), bytes().len() as u64);
    assert_eq!(sealed.location(10).unwrap(), None);
    assert_eq!(sealed.location(15).unwrap(), None);
    sealed.release(0..=u64::MAX);
    assert_eq!(sealed.location(14).unwrap().unwrap().offset, 400);
}

#[test]
fn a_file_is_not_taken_for_another() {
    let file = new_file();
    build(&tail(11, &events()), &POINT, STORE, &*file).unwrap();
    assert!(open(&*file, STORE, 11..=14).is_ok());
    assert!(open(&*file, STORE, 11..=15).is_err());
    assert!(open(&*file, STORE, 12..=14).is_err());
    assert!(open(&*file, Uuid::nil(), 11..=14).is_err());
}

#[test]
fn only_neighbours_are_merged_and_nothing_is_no_file() {
    let one = Arc::new(sealed(1, &events()));
    let other_store = Arc::new(sealed_as(Uuid::nil(), 5, &events()));
    let apart = Arc::new(sealed(6, &events()));
    for inputs in [vec![], vec![Arc::clone(&one), apart], vec![Arc::clone(&one), other_store]] {
        assert!(matches!(merge(&inputs, &*new_file()), Err(MergeError::Io(_))));
    }
    assert!(build(&Tail::new(1), &POINT, STORE, &*new_file()).is_err());
    let mut point = POINT;
    point[0] = 1;
    let file = new_file();
    build(&tail(5, &events()), &point, STORE, &*file).unwrap();
    let next = Arc::new(open(&*file, STORE, 5..=8).unwrap());
    assert_eq!(merged(&[one, next]).point(), &point);
}
