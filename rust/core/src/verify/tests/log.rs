//! Damage to the log: it is found, it is named, and what is behind it is read all the same.

use super::*;
use crate::log::frame::Frame;
use crate::log::recovery::{self, Start};

/// An open store of several segments, whose files are damaged underneath it.
struct Patient {
    storage: Arc<Memory>,
    store: Store,
    /// Segment, offset, length, kind, first position and number of events of each frame.
    frames: Vec<(u64, u64, u64, Kind, u64, u64)>,
    events: u64,
}

impl Patient {
    fn new() -> Self {
        let storage = Arc::new(Memory::default());
        let store = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(16)).unwrap();
        for n in 0..90u64 {
            let batch: Vec<Event> = (0..=n % 3).map(|_| event("A", &["all", &format!("n:{n}")])).collect();
            let own = condition(query(&[], &[&format!("n:{n}")]), 0);
            store.append(batch, vec![own]).unwrap();
        }
        let events = store.head().unwrap();
        let mut patient = Self { storage, store, frames: Vec::new(), events };
        let mut start = Start { store: None, position: 1, previous: 0 };
        for first in patient.firsts() {
            let bytes = patient.read(first);
            let visit = |frame: Frame<'_>, _: &recovery::End| {
                let (kind, position) = (frame.header.kind, frame.header.first_position);
                let (length, count) = (frame.length as u64, u64::from(frame.event_count));
                patient.frames.push((first, frame.offset, length, kind, position, count));
                Ok(())
            };
            let end = recovery::scan(&segment::file_name(first), &bytes, bytes.len() as u64, start, visit);
            let end = end.unwrap();
            start = Start { store: None, position: end.next_position, previous: end.previous };
        }
        assert!(patient.firsts().len() > 3);
        assert_whole(&verify(&patient.store));
        patient
    }

    fn firsts(&self) -> Vec<u64> {
        let head = self.events;
        let names = self.storage.list().unwrap();
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
        firsts.retain(|first| *first <= head);
        firsts.sort_unstable();
        firsts
    }

    fn read(&self, first: u64) -> Vec<u8> {
        let file = self.storage.open(&segment::file_name(first)).unwrap();
        let mut bytes = vec![0; file.len().unwrap() as usize];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn write(&self, first: u64, offset: u64, bytes: &[u8]) {
        self.storage.open(&segment::file_name(first)).unwrap().write_all_at(bytes, offset).unwrap();
    }

    /// What is found while one byte is another.
    fn with_flipped(&self, first: u64, offset: u64) -> Verification {
        let was = self.read(first)[offset as usize];
        self.write(first, offset, &[was ^ 0x10]);
        let verification = verify(&self.store);
        self.write(first, offset, &[was]);
        verification
    }

    /// Writes a frame anew, with checksums that are right.
    fn rewrite(&self, number: usize, change: impl FnOnce(&mut Header)) {
        let (first, offset, ..) = self.frames[number];
        let bytes = self.read(first);
        let seed = StoreSeed::new(SegmentHeader::decode(&bytes).unwrap().0.store);
        let frame = Frame::decode(&bytes[offset as usize..], seed, (first, offset)).unwrap();
        let events: Vec<&[u8]> = frame.records().map(|record| record.unwrap().event).collect();
        let guards = crate::condition::encode(&frame.guards().unwrap()).unwrap();
        let (mut header, mut out) = (frame.header, Vec::new());
        change(&mut header);
        frame::encode(&mut out, seed, (first, offset), &header, events.into_iter(), &guards, |_, _| {});
        self.write(first, offset, &out);
    }

    fn replace(&self, first: u64, bytes: &[u8]) {
        self.storage.create(&segment::file_name(first)).unwrap().write_all_at(bytes, 0).unwrap();
    }
}

fn log(first: u64, offset: u64, position: Option<u64>) -> (FindingKind, String, u64, Option<u64>) {
    (FindingKind::Log, segment::file_name(first), offset, position)
}

fn assert_found(verification: &Verification, expected: &[(FindingKind, String, u64, Option<u64>)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(kind, file, offset, position)| (*kind, file.as_str(), *offset, *position))
        .collect();
    assert_eq!(found(verification), expected, "{:#?}", verification.findings);
}

#[test]
fn every_flipped_byte_of_a_frame_is_found_there_and_costs_that_batch_alone() {
    let patient = Patient::new();
    for (number, (first, offset, length, kind, position, count)) in patient.frames.iter().copied().enumerate()
    {
        // Another byte of each frame, so that all are met.
        for at in (offset + number as u64 % 13..offset + length).step_by(13) {
            let verification = patient.with_flipped(first, at);
            let lost = (kind == Kind::Batch).then_some(position);
            assert_found(&verification, &[log(first, offset, lost)]);
            assert_eq!(verification.events, patient.events - count);
            assert_eq!(verification.head, patient.events);
        }
    }
    assert_whole(&verify(&patient.store));
}

#[test]
fn every_flipped_byte_of_a_segment_header_is_found_and_its_events_are_read_all_the_same() {
    let patient = Patient::new();
    for first in patient.firsts() {
        for offset in 0..64 {
            let verification = patient.with_flipped(first, offset);
            assert_found(&verification, &[log(first, 0, Some(first))]);
            assert_eq!(verification.events, patient.events);
        }
    }
}

#[test]
fn what_is_damaged_is_named_up_to_where_the_log_goes_on() {
    let patient = Patient::new();
    let [(first, offset, _, _, position, _), (_, second, length, _, next, count)] = patient.frames[3..5]
    else {
        unreachable!()
    };
    patient.write(first, offset, &vec![0xAA; (second + length - offset) as usize]);
    let verification = verify(&patient.store);
    assert_found(&verification, &[log(first, offset, Some(position))]);
    let last = next + count - 1;
    let what = format!(
        "no frame header; events {position} to {last} are damaged, and the log goes on at offset {}",
        second + length
    );
    assert_eq!(verification.findings[0].what, what);
}

#[test]
fn a_segment_that_is_gone_is_missed_and_the_others_are_read() {
    for missing in 0..4 {
        let patient = Patient::new();
        let firsts = patient.firsts();
        let first = firsts[missing];
        patient.storage.remove(&segment::file_name(first)).unwrap();
        let verification = verify(&patient.store);
        assert_found(&verification, &[log(first, 0, Some(first))]);
        let next = firsts.get(missing + 1).copied().unwrap_or(patient.events + 1);
        assert_eq!(verification.events, patient.events - (next - first));
        assert!(verification.findings[0].what.contains(&format!("events {first} to {} are lost", next - 1)));
    }
    let patient = Patient::new();
    let last = *patient.firsts().last().unwrap();
    patient.storage.remove(&segment::file_name(last)).unwrap();
    assert_found(&verify(&patient.store), &[log(last, 0, Some(last))]);
}

#[test]
fn a_file_that_ends_too_early_is_found_where_it_ends() {
    let patient = Patient::new();
    let (first, offset, _, _, position, _) = patient.frames[4];
    let file = patient.storage.open(&segment::file_name(first)).unwrap();
    // In the middle of a frame, and where one ends.
    for cut in [offset + 8, offset] {
        file.truncate(cut).unwrap();
        assert_found(&verify(&patient.store), &[log(first, offset, Some(position))]);
    }
    file.truncate(10).unwrap();
    let verification = verify(&patient.store);
    assert_found(&verification, &[log(first, 0, Some(first)), log(first, 64, Some(first))]);
}

#[test]
fn the_last_file_is_as_long_as_it_was_made() {
    let patient = Patient::new();
    let last = *patient.firsts().last().unwrap();
    let file = patient.storage.open(&segment::file_name(last)).unwrap();
    let length = file.len().unwrap();
    // One that is being prepared is no sign that this one has ended.
    for name in patient.storage.list().unwrap() {
        assert!(segment::first_position(&name).is_none_or(|first| first <= last));
    }
    file.truncate(length - 8).unwrap();
    assert_found(&verify(&patient.store), &[log(last, length - 8, None)]);
    file.write_all_at(&[0; 16], length - 8).unwrap();
    assert_found(&verify(&patient.store), &[log(last, length, None)]);
}

#[test]
fn segments_that_changed_places_or_came_from_another_store_are_found() {
    let patient = Patient::new();
    let firsts = patient.firsts();
    let (one, other) = (patient.read(firsts[1]), patient.read(firsts[2]));
    patient.replace(firsts[1], &other);
    patient.replace(firsts[2], &one);
    let verification = verify(&patient.store);
    let expected = [1, 1, 2, 2].map(|n| firsts[n]);
    let found: Vec<_> = verification.findings.iter().map(|finding| finding.file.clone()).collect();
    assert_eq!(found, expected.map(segment::file_name), "{:#?}", verification.findings);
    assert_eq!(verification.events, patient.events - (firsts[3] - firsts[1]));

    let (patient, stranger) = (Patient::new(), Patient::new());
    let second = patient.firsts()[1];
    patient.replace(second, &stranger.read(second));
    let verification = verify(&patient.store);
    assert_eq!(verification.findings[0].what, "the segment belongs to another store");
    assert_eq!(verification.events, patient.events - (patient.firsts()[2] - second));
}

#[test]
fn a_segment_that_does_not_continue_the_one_before_it_is_found() {
    let patient = Patient::new();
    let second = patient.firsts()[1];
    let (header, _) = SegmentHeader::decode(&patient.read(second)).unwrap();
    let header = SegmentHeader { previous: header.previous ^ 1, ..header };
    patient.write(second, 0, &header.encode().0);
    let verification = verify(&patient.store);
    // Nor does its first frame quote this header.
    assert_found(&verification, &[log(second, 0, Some(second)), log(second, 64, None)]);
    assert_eq!(verification.findings[0].what, "the segment does not continue the one before it");
    assert_eq!(verification.events, patient.events);
}

#[test]
fn a_segment_that_begins_inside_another_is_found_and_passed_over() {
    let patient = Patient::new();
    let [first, second, ..] = patient.firsts()[..] else { unreachable!() };
    patient.replace(second - 1, &patient.read(first));
    let verification = verify(&patient.store);
    // Where the one before it ends is known from that one.
    assert_found(&verification, &[log(second - 1, 0, None)]);
    assert_eq!(verification.events, patient.events);
}

#[test]
fn a_store_that_does_not_open_can_be_verified() {
    let patient = Patient::new();
    let (first, offset, _, _, position, count) = patient.frames[2];
    patient.store.close().unwrap();
    patient.write(first, offset + 70, b"damage");
    // Without index files all of the log is read at the opening.
    for name in patient.storage.list().unwrap() {
        if sealed::file_positions(&name).is_some() {
            patient.storage.remove(&name).unwrap();
        }
    }
    assert!(Store::open_in(Arc::clone(&patient.storage) as Arc<dyn Storage>, small(16)).is_err());
    let verification = verify_storage(&patient.storage);
    assert_found(&verification, &[log(first, offset, Some(position))]);
    assert_eq!(verification.events, patient.events - count);
}

#[test]
fn nothing_but_rubble_is_found_to_be_that() {
    let storage = Arc::new(Memory::default());
    storage.create(FIRST).unwrap().write_all_at(&[0xFF; 10_000], 0).unwrap();
    let verification = verify_storage(&storage);
    assert_eq!(verification.findings[0].what, "not a segment of an event log");
    assert_eq!(verification.events, 0);
    assert_whole(&verify_storage(&Arc::new(Memory::default())));
}

fn a() -> Vec<Event> {
    vec![event("A", &["a"])]
}

/// What is found of a log whose second batch is not what a store writes.
fn forged(change: impl FnOnce(&mut Header)) -> (Verification, u64) {
    let mut forged = Forged::new();
    forged.batch(&a(), &[]);
    forged.frame(&a(), &[], change);
    forged.batch(&a(), &[]);
    let offset = forged.offsets[1];
    (verify_storage(&forged.storage()), offset)
}

#[test]
fn a_time_that_goes_back_is_found() {
    let (verification, offset) = forged(|header| header.recorded_at = 1);
    assert_found(&verification, &[log(1, offset, Some(2))]);
    assert_eq!(verification.findings[0].what, "the time goes back");
}

#[test]
fn a_frame_that_calls_durable_what_comes_after_it_is_found() {
    for change in [|header: &mut Header| header.durable = 2, |header: &mut Header| header.durable_end += 8] {
        let (verification, offset) = forged(change);
        assert_found(&verification, &[log(1, offset, Some(2))]);
        assert_eq!(verification.findings[0].what, "the frame calls durable what was not written yet");
    }
}

#[test]
fn positions_that_are_left_out_are_found() {
    let patient = Patient::new();
    let (first, offset, _, _, position, _) = patient.frames[2];
    patient.rewrite(2, |header| header.first_position += 3);
    let verification = verify(&patient.store);
    let what =
        format!("the frame's position is out of order; events {position} to {} are damaged", position + 2);
    assert!(verification.findings[0].what.starts_with(&what), "{:#?}", verification.findings);
    assert_eq!(
        found(&verification)[0],
        (FindingKind::Log, &*segment::file_name(first), offset, Some(position))
    );
    // Those that come next have positions that were met by then.
    assert_eq!(verification.events, patient.events - 3);
}

#[test]
fn a_position_that_comes_again_is_found_and_not_taken_for_another_event() {
    let (verification, offset) = forged(|header| header.first_position = 1);
    assert_found(&verification, &[log(1, offset, None)]);
    // The one after it has position 2 and does not link to what is before it.
    assert_eq!((verification.head, verification.events), (2, 2));
}

#[test]
fn a_frame_that_does_not_link_to_the_one_before_it_is_found() {
    let patient = Patient::new();
    let (first, offset, ..) = patient.frames[2];
    patient.rewrite(2, |header| header.previous ^= 1);
    let verification = verify(&patient.store);
    assert_eq!(found(&verification)[0], (FindingKind::Log, &*segment::file_name(first), offset, None));
    assert_eq!(verification.events, patient.events);
    let what = "the frame does not link to the one before it; no event is lost";
    assert!(verification.findings.iter().all(|finding| finding.what.starts_with(what)));
}

#[test]
fn frames_of_the_wrong_kind_are_found() {
    let (verification, offset) = forged(|header| header.kind = Kind::Seal);
    assert_found(&verification, &[log(1, offset, Some(2))]);
    let mut empty = Forged::new();
    empty.batch(&[], &[]);
    assert_found(&verify_storage(&empty.storage()), &[log(1, 64, Some(1))]);
}

#[test]
fn conditions_that_are_malformed_are_found() {
    let mut forged = Forged::new();
    forged.frame(&a(), &[1, 0, 3], |_| {});
    let verification = verify_storage(&forged.storage());
    assert_found(&verification, &[log(1, 64, Some(1))]);
    assert_eq!((verification.events, verification.conditions), (1, 0));
}

#[test]
fn a_record_that_is_not_what_its_own_checksum_says_is_found() {
    for at in [64, 68, 72, 80] {
        let mut forged = Forged::new();
        forged.batch(&a(), &[]);
        forged.batch(&[a(), a()].concat(), &[]);
        let offset = forged.offsets[1];
        forged.bytes[(offset + at) as usize] = 0xEE;
        forged.reseal();
        let verification = verify_storage(&forged.storage());
        assert_found(&verification, &[log(1, offset, Some(2))]);
        assert_eq!(verification.events, 1);
    }
}

#[test]
fn an_event_whose_time_is_not_that_of_its_batch_is_found() {
    let mut forged = Forged::new();
    forged.batch(&[a(), a()].concat(), &[]);
    forged.bytes[64 + 24] += 1;
    forged.reseal();
    let verification = verify_storage(&forged.storage());
    assert_eq!(verification.findings.len(), 2, "{:#?}", verification.findings);
    assert_eq!(found(&verification)[0], (FindingKind::Log, FIRST, 128, Some(1)));
    assert_eq!(verification.findings[1].what, "the event's time is not that of its batch");
    assert_eq!(verification.events, 2);
}

#[test]
fn an_event_that_is_malformed_is_found_and_the_next_one_is_read() {
    let mut forged = Forged::new();
    let mut malformed = event("A", &["a"]).encoded().to_vec();
    malformed[3] = 1;
    let offset = forged.bytes.len() as u64;
    let header = Header {
        kind: Kind::Batch,
        first_position: 1,
        recorded_at: 5,
        durable: 0,
        durable_end: offset,
        previous: forged.previous,
    };
    let good = event("A", &["a"]);
    let events = [malformed.as_slice(), good.encoded()].into_iter();
    let seed = StoreSeed::new(Uuid::nil());
    frame::encode(&mut forged.bytes, seed, (1, offset), &header, events, &[], |_, _| {});
    let verification = verify_storage(&forged.storage());
    assert_found(&verification, &[log(1, 128, Some(1))]);
    assert_eq!(verification.findings[0].what, "the event is malformed");
    assert_eq!((verification.head, verification.events), (2, 1));
}

#[test]
fn what_looks_like_a_frame_inside_an_event_is_not_taken_for_one() {
    let mut forged = Forged::new();
    forged.batch(&a(), &[]);
    let copy = forged.bytes[64..].to_vec();
    let carrier =
        Event::new::<&str>("A", &[], &[&copy[..], &[0; 8], &copy[..]].concat(), None, None).unwrap();
    forged.batch(&[carrier], &[]);
    forged.batch(&a(), &[]);
    let offset = forged.offsets[1];
    forged.bytes[offset as usize + 20] ^= 1;
    assert_found(&verify_storage(&forged.storage()), &[log(1, offset, Some(2))]);
}

#[test]
fn a_segment_that_was_cut_is_found_though_what_follows_it_never_got_a_frame() {
    let mut forged = Forged::new();
    forged.batch(&[event("A", &[])], &[]);
    let next = forged.next;
    let storage = forged.storage();
    let first = storage.open(FIRST).unwrap();
    first.truncate(4096).unwrap();
    storage.create(&segment::file_name(next)).unwrap();
    let opened = Store::open_in(Arc::clone(&storage) as Arc<dyn Storage>, small(16));
    assert!(opened.is_err(), "{opened:?}");
    assert_found(&verify_storage(&storage), &[log(1, 4096, None)]);
}
