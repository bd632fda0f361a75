//! Recovery over bytes: what each kind of damage to a segment is taken for.

mod common;

use std::path::Path;

use common::{condition, event, query};
use counterpoint::log::frame::{Frame, HEADER_BYTES, Kind, StoreSeed};
use counterpoint::log::recovery::{End, Start, scan};
use counterpoint::log::segment::{MAX_CAPACITY, SegmentHeader, file_name};
use counterpoint::{Corruption, Event, OpenError, Options, StorageError, Store};

const NAME: &str = "00000000000000000001.log";
const START: Start = Start { store: None, position: 1, previous: 0 };

/// The bytes of a small segment that was closed in order, and the offset of each of its frames.
fn closed_segment() -> (Vec<u8>, Vec<(u64, Kind)>) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(directory.path(), Options { segment_bytes: 4096, ..Options::default() }).unwrap();
    for n in 0..3u64 {
        let guard = condition(query(&["A"], &["x"]), n);
        store.append(vec![event("A", &["x", "y"])], vec![guard]).unwrap();
    }
    drop(store);
    let bytes = segment_bytes(directory.path());
    let frames = frames(&bytes);
    assert_eq!(
        frames.iter().map(|(_, kind)| *kind).collect::<Vec<_>>(),
        [Kind::Batch, Kind::Batch, Kind::Batch, Kind::Seal]
    );
    (bytes, frames)
}

fn segment_bytes(directory: &Path) -> Vec<u8> {
    std::fs::read(directory.join(file_name(1))).unwrap()
}

fn recover(bytes: &[u8]) -> Result<End, Corruption> {
    scan(NAME, bytes, bytes.len() as u64, START, |_, _| Ok(()))
}

fn frames(bytes: &[u8]) -> Vec<(u64, Kind)> {
    let mut frames = Vec::new();
    let visit = |frame: Frame<'_>, _: &End| {
        frames.push((frame.offset, frame.header.kind));
        Ok(())
    };
    scan(NAME, bytes, bytes.len() as u64, START, visit).unwrap();
    frames
}

#[test]
fn a_whole_segment_is_read_to_its_end() {
    let (bytes, _) = closed_segment();
    let end = recover(&bytes).unwrap();
    assert_eq!((end.next_position, end.last, end.torn), (4, Some(Kind::Seal), false));
}

#[test]
fn the_conditions_of_an_append_are_in_its_frame() {
    let (bytes, frames) = closed_segment();
    let header = SegmentHeader::decode(&bytes).unwrap().0;
    for (n, (offset, _)) in frames[..3].iter().enumerate() {
        let frame =
            Frame::decode(&bytes[*offset as usize..], StoreSeed::new(header.store), (1, *offset)).unwrap();
        assert_eq!(frame.guards().unwrap(), [condition(query(&["A"], &["x"]), n as u64)]);
    }
}

#[test]
fn every_flipped_bit_is_noticed_or_without_effect() {
    let (bytes, frames) = closed_segment();
    let whole = recover(&bytes).unwrap();
    let seal = frames[3].0;
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        match recover(&damaged) {
            Err(corruption) => assert_eq!(corruption.file, NAME),
            // The seal and what follows it hold no event: nothing that was acknowledged is lost with them.
            Ok(end) => {
                assert!(bit as u64 / 8 >= seal, "bit {bit}");
                assert!(end.torn && end.next_position == whole.next_position, "bit {bit}");
            }
        }
    }
}

#[test]
fn a_shorter_file_is_damage_wherever_it_is_cut() {
    let (bytes, _) = closed_segment();
    for length in 0..bytes.len() {
        assert!(recover(&bytes[..length]).is_err(), "cut to {length}");
    }
}

#[test]
fn a_batch_that_nothing_calls_durable_is_a_torn_tail_wherever_it_breaks_off() {
    let (mut bytes, frames) = closed_segment();
    let (last, seal) = (frames[2].0 as usize, frames[3].0 as usize);
    bytes[seal..].fill(0);
    for written in last..seal - 1 {
        let mut torn = bytes.clone();
        torn[written..].fill(0);
        let end = recover(&torn).unwrap();
        assert_eq!((end.next_position, end.offset), (3, last as u64));
        assert_eq!(end.torn, written > last, "{written}");
    }
}

#[test]
fn a_batch_that_a_later_frame_calls_durable_is_not_dropped() {
    let (mut bytes, frames) = closed_segment();
    let (last, seal) = (frames[2].0 as usize, frames[3].0 as usize);
    bytes[last..seal].fill(0);
    let corruption = recover(&bytes).unwrap_err();
    assert_eq!((corruption.file.as_str(), corruption.offset), (NAME, last as u64));
}

#[test]
fn a_frame_in_another_place_does_not_validate() {
    let (bytes, frames) = closed_segment();
    let store = SegmentHeader::decode(&bytes).unwrap().0.store;
    let frame = &bytes[frames[0].0 as usize..];
    let decode = |seed, place| Frame::decode(frame, seed, place).is_ok();
    assert!(decode(StoreSeed::new(store), (1, frames[0].0)));
    assert!(!decode(StoreSeed::new(store), (1, frames[1].0)));
    assert!(!decode(StoreSeed::new(store), (2, frames[0].0)));
    assert!(!decode(StoreSeed::new(uuid::Uuid::nil()), (1, frames[0].0)));
}

#[test]
fn a_segment_of_another_place_in_the_log_is_refused() {
    let (bytes, _) = closed_segment();
    let wrong = [
        Start { position: 2, ..START },
        Start { previous: 1, ..START },
        Start { store: Some(uuid::Uuid::nil()), ..START },
    ];
    for start in wrong {
        assert!(scan(NAME, &bytes, bytes.len() as u64, start, |_, _| Ok(())).is_err());
    }
}

#[test]
fn no_field_of_a_frame_is_believed_before_the_checksum_of_its_header() {
    let (bytes, frames) = closed_segment();
    let seed = StoreSeed::new(SegmentHeader::decode(&bytes).unwrap().0.store);
    let place = (1, frames[0].0);
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = bytes[frames[0].0 as usize..].to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let refused = Frame::decode(&damaged, seed, place).unwrap_err();
        assert!(
            ["no frame header", "the header's checksum is wrong"].contains(&refused),
            "bit {bit}: {refused}"
        );
    }
}

#[test]
fn a_frame_that_follows_another_history_does_not_link() {
    let ours = tempfile::tempdir().unwrap();
    drop(Store::open(ours.path(), Options { segment_bytes: 4096, ..Options::default() }).unwrap());
    let theirs = tempfile::tempdir().unwrap();
    std::fs::copy(ours.path().join(file_name(1)), theirs.path().join(file_name(1))).unwrap();
    let [mut ours, theirs] = [&ours, &theirs].map(|directory| {
        let store = Store::open(directory.path(), Options::default()).unwrap();
        for _ in 0..2 {
            let id = uuid::Uuid::new_v4();
            store.append(vec![Event::new::<&str>("A", &[], b"", None, Some(id)).unwrap()], vec![]).unwrap();
        }
        drop(store);
        segment_bytes(directory.path())
    });
    let second = frames(&ours)[1].0 as usize;
    ours[second..].copy_from_slice(&theirs[second..]);
    let corruption = recover(&ours).unwrap_err();
    assert_eq!(corruption.offset, second as u64);
    assert!(corruption.what.contains("link"), "{corruption}");
}

#[test]
fn a_file_that_is_longer_than_it_was_made_is_damaged() {
    let (mut bytes, _) = closed_segment();
    bytes.resize(bytes.len() + 4096, 0);
    assert!(recover(&bytes).is_err());
}

#[test]
fn a_capacity_that_no_segment_has_is_refused() {
    let (bytes, _) = closed_segment();
    let header = SegmentHeader::decode(&bytes).unwrap().0;
    for (capacity, valid) in [(MAX_CAPACITY, true), (MAX_CAPACITY + 1, false), (u64::MAX, false)] {
        let decoded = SegmentHeader::decode(&SegmentHeader { capacity, ..header }.encode().0);
        assert_eq!(decoded.is_ok(), valid, "{capacity}");
    }
}

#[test]
fn a_file_longer_than_any_segment_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), Options::default()).unwrap());
    let log = std::fs::File::options().write(true).open(directory.path().join(file_name(1))).unwrap();
    log.set_len(1 << 42).unwrap();
    let opened = Store::open(directory.path(), Options::default());
    assert!(matches!(opened, Err(OpenError::Storage(StorageError::Corrupt(_)))), "{opened:?}");
}

#[test]
fn opening_clears_a_torn_tail() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join(file_name(1));
    let (mut bytes, _) = closed_segment();
    let end = recover(&bytes).unwrap();
    *bytes.last_mut().unwrap() = 1;
    assert!(recover(&bytes).unwrap().torn);
    std::fs::write(&log, &bytes).unwrap();
    drop(Store::open(directory.path(), Options::default()).unwrap());
    assert_eq!(recover(&segment_bytes(directory.path())).unwrap(), end);
}

#[test]
fn conditions_are_not_kept_where_they_are_not_wanted() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options { record_conditions: false, ..Options::default() };
    let store = Store::open(directory.path(), options).unwrap();
    store.append(vec![event("A", &[])], vec![condition(query(&["A"], &[]), 0)]).unwrap();
    let visit = |frame: Frame<'_>, _: &End| {
        assert_eq!(frame.guards().unwrap(), []);
        Ok(())
    };
    assert_eq!(scan(NAME, &segment_bytes(directory.path()), 1 << 20, START, visit).unwrap().next_position, 2);
}
