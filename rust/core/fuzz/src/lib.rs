//! Bytes of any kind, given to everything that reads bytes from disk (F6 in `docs/testing.md`).
//!
//! A target must not panic, and what it accepts must make sense. The first byte of most inputs says whether checksums are
//! made right first: else nothing behind them would ever be reached. cargo-fuzz drives the targets, and so does
//! `rust/core/tests/hostile.rs`, which includes this file.

mod directory;
mod forms;

use std::collections::BTreeSet;

use counterpoint::decoders::{self, IndexFile};
use counterpoint::log::frame::{Frame, StoreSeed};
use counterpoint::log::recovery::{self, End, Start};
use counterpoint::log::segment::{SegmentHeader, file_name};
use counterpoint::{Event, Query, QueryItem};

pub use directory::{directory, marks};
use forms::{FIXTURE, INDEX, SEGMENT};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 8] = [
    ("frame", frame),
    ("recovery", recovery),
    ("event", event),
    ("conditions", conditions),
    ("cursors", cursors),
    ("index", index),
    ("marks", marks),
    ("directory", directory),
];

/// What a target's inputs are grown from: valid bytes.
pub fn seeds(target: &str) -> Vec<Vec<u8>> {
    let frames = || forms::frames(SEGMENT);
    let unsigned = |bytes: &[u8]| [&[0], bytes].concat();
    match target {
        "frame" => {
            frames().iter().map(|(place, length)| unsigned(&SEGMENT[*place..place + length])).collect()
        }
        "recovery" => vec![unsigned(SEGMENT), unsigned(&SEGMENT[..2048])],
        "event" => forms::records(SEGMENT).iter().map(|record| record[16..].to_vec()).collect(),
        "conditions" => forms::guards(SEGMENT).iter().map(|guards| guards.to_vec()).collect(),
        "cursors" => {
            vec![unsigned(FIXTURE.iter().find(|(name, _)| *name == "cursors").map_or(&[], |file| file.1))]
        }
        "index" => vec![unsigned(INDEX)],
        "marks" => {
            vec![FIXTURE.iter().find(|(name, _)| *name == "marks").map_or(Vec::new(), |file| file.1.to_vec())]
        }
        _ => directory::seeds(),
    }
}

/// Whether checksums are to be made right, and the rest of the input.
fn is_signed(input: &[u8]) -> (bool, &[u8]) {
    input.split_first().map_or((false, input), |(first, rest)| (first & 1 == 1, rest))
}

/// A frame as it is read from a segment, where the first frame of the fixture stands.
pub fn frame(input: &[u8]) {
    let (is_signed, rest) = is_signed(input);
    let mut bytes = rest.to_vec();
    let place = (1, 64);
    if is_signed {
        forms::sign_frame(&mut bytes, place, None, 1);
    }
    let Ok(frame) = Frame::decode(&bytes, StoreSeed::new(forms::store()), place) else { return };
    check_frame(&frame, bytes.len());
}

fn check_frame(frame: &Frame<'_>, bytes: usize) {
    assert!(frame.length >= 64 && frame.length <= bytes && frame.length.is_multiple_of(8));
    assert_eq!(frame.end(), frame.offset + frame.length as u64);
    let mut end = frame.offset + 64;
    let mut count = 0;
    for record in frame.records() {
        let Some(record) = record else { break };
        count += 1;
        assert_eq!(record.offset, end);
        assert_eq!(record.length, record.event.len() + 16);
        end += record.length as u64;
        assert!(end <= frame.end());
        check_event(record.event);
    }
    assert!(count <= frame.event_count);
    let _whatever_they_are = frame.guards();
}

/// A segment as it is recovered.
pub fn recovery(input: &[u8]) {
    let (is_signed, rest) = is_signed(input);
    let mut bytes = rest.to_vec();
    if is_signed {
        forms::sign_segment(&mut bytes, None);
    }
    let start = Start { store: None, position: 1, previous: 0 };
    let scan = |bytes: &[u8]| {
        recovery::scan(&file_name(1), bytes, bytes.len() as u64, start, |frame, _| {
            check_frame(&frame, bytes.len());
            Ok(())
        })
    };
    match scan(&bytes) {
        Err(corruption) => {
            assert_eq!(corruption.file, file_name(1));
            assert!(corruption.offset <= bytes.len() as u64, "{corruption}");
        }
        Ok(end) => {
            assert!(end.offset <= bytes.len() as u64 && end.last_offset <= end.offset);
            // What opening leaves of it is recovered to the same end.
            bytes[end.offset as usize..].fill(0);
            assert_eq!(scan(&bytes), Ok(End { torn: false, ..end }));
            let (encoded, _) = end.header.encode();
            assert_eq!(SegmentHeader::decode(&encoded).map(|(header, _)| header), Ok(end.header));
        }
    }
}

/// An encoded event.
pub fn event(input: &[u8]) {
    check_event(input);
}

fn check_event(bytes: &[u8]) {
    let Some(event) = Event::decode(bytes) else { return };
    assert_eq!(event.encoded(), bytes);
    assert!(Event::decode(&[bytes, &[0]].concat()).is_none(), "what follows is ignored");
    let view = event.view();
    let tags: Vec<&str> = view.tags.iter().collect();
    assert!(tags.len() == view.tags.len() && tags.iter().all(|tag| view.tags.contains(tag)));
    let made =
        Event::new(view.event_type, &tags, view.data, view.metadata, view.id).expect("within the limits");
    if tags.iter().collect::<BTreeSet<_>>().len() == tags.len() {
        assert_eq!(made.encoded(), bytes);
    }
}

/// The conditions of an append.
pub fn conditions(input: &[u8]) {
    let Some(conditions) = decoders::decode_conditions(input) else { return };
    let encoded = decoders::encode_conditions(&conditions).expect("within the limits");
    // Repeated types and tags are dropped when they are read.
    assert!(encoded.len() <= input.len());
    assert_eq!(decoders::decode_conditions(&encoded).as_ref(), Some(&conditions));
    assert!(decoders::decode_conditions(&[input, &[0]].concat()).is_none(), "what follows is ignored");
}

/// The file of the cursors.
pub fn cursors(input: &[u8]) {
    let (is_signed, rest) = is_signed(input);
    let mut bytes = rest.to_vec();
    if is_signed {
        forms::sign_end(&mut bytes);
    }
    let Some(positions) = decoders::decode_cursors(&bytes) else { return };
    let encoded = decoders::encode_cursors(&positions);
    assert!(encoded.len() <= bytes.len());
    assert_eq!(decoders::decode_cursors(&encoded), Some(positions));
}

/// An index file, asked everything that it can be asked.
pub fn index(input: &[u8]) {
    let (is_signed, rest) = is_signed(input);
    let mut bytes = rest.to_vec();
    if is_signed {
        forms::sign_index(&mut bytes);
    }
    let name = format!("{:020}-{:020}.idx", 1, 24);
    let Ok(file) = IndexFile::open(&name, bytes, forms::store()) else { return };
    assert_eq!(file.positions(), 1..=24);
    let item = |types: &[&str], tags: &[&str]| QueryItem::new(types, tags).expect("within the limits");
    let query = |items: Vec<QueryItem>| Query::items(items).expect("there are items");
    let queries = [
        Query::All,
        query(vec![item(&["Plain"], &[])]),
        query(vec![item(&["Plain", "Other", "Many"], &["all"])]),
        query(vec![item(&[], &["n:1", "all"]), item(&["First"], &[]), item(&[], &["tag 63"])]),
        query(vec![item(&[], &["absent"])]),
    ];
    for query in &queries {
        for reverse in [false, true] {
            let Ok(mut found) = file.candidates(query, reverse, 100) else { continue };
            if reverse {
                found.reverse();
            }
            assert!(found.len() <= 24 && found.is_sorted_by(|one, next| one < next), "{found:?}");
            assert!(found.iter().all(|position| file.positions().contains(position)));
        }
    }
    for position in 0..=25 {
        if let Ok(location) = file.location(position) {
            assert_eq!(location.is_some(), file.positions().contains(&position));
        }
    }
    let _whole_or_not = file.check();
    if let Ok(rewritten) = file.rewrite() {
        let again = IndexFile::open(&name, rewritten, forms::store());
        // Numbers that make no sense may come out as others that make none.
        drop(again.and_then(|again| again.check()));
    }
}
