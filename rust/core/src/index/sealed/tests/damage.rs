//! Damage is noticed or makes no difference: never a panic, never another answer.

use std::ops::Range;

use super::*;
use crate::storage::MappedFile;

#[derive(Debug)]
struct Bytes(Vec<u8>);

impl MappedFile for Bytes {
    fn bytes(&self) -> &[u8] {
        &self.0
    }
    fn release(&self, _: Range<usize>) {}
}

const EVENTS: u64 = 400;

/// Rare and frequent types, lists with and without skips, tags on one event.
fn bytes() -> Vec<u8> {
    let events: Vec<Event> = (0..EVENTS)
        .map(|n| {
            let event_type = if n % 100 == 42 { "rare" } else { ["A", "B"][n as usize % 2] };
            event(event_type, &["all", &format!("few {}", n / 7), &format!("one {n}")])
        })
        .collect();
    let file = new_file();
    build(&tail(1, &events), &POINT, STORE, &*file).unwrap();
    file.map().unwrap().bytes().to_vec()
}

/// Everything that can be asked, and a merge with itself left out: its answers are the file's bytes.
fn answers(bytes: Vec<u8>) -> Result<Vec<u64>, Damaged> {
    let sealed = Sealed::open(&file_name(1, EVENTS), Arc::new(Bytes(bytes)), STORE)?;
    let mut answers: Vec<u64> = sealed.point().iter().map(|byte| u64::from(*byte)).collect();
    answers.extend(sealed.type_names().map(|name| name.len() as u64));
    let few: Vec<String> = (0..60).map(|n| format!("few {n}")).collect();
    let mut queries = vec![item(&["A"], &[]), item(&["rare"], &[]), item(&["A", "rare"], &["all"])];
    queries.extend([item(&[], &["all"]), item(&[], &["one 7"]), item(&[], &["absent"]), Query::All]);
    queries.extend(few.iter().map(|tag| item(&[], &[tag])));
    for query in &queries {
        for direction in [Direction::Forward, Direction::Backward] {
            for found in sealed.matches(query, 0..=u64::MAX, direction)? {
                answers.push(found?);
            }
        }
    }
    for position in sealed.positions() {
        let location = sealed.location(position)?.unwrap();
        answers.extend([u64::from(location.offset), u64::from(location.length_bound.unwrap_or_default())]);
    }
    let file = new_file();
    match merge(&[Arc::new(sealed)], &*file) {
        Ok(()) => answers.push(u64::from(crc32c::crc32c(file.map().unwrap().bytes()))),
        Err(MergeError::Damaged(damaged)) => return Err(damaged),
        Err(MergeError::Io(error)) => unreachable!("{error}"),
    }
    Ok(answers)
}

#[test]
fn a_flipped_bit_changes_no_answer() {
    let intact = bytes();
    let expected = answers(intact.clone()).unwrap();
    let mut noticed = 0;
    // Zeros at the end of a page are all alike: every bit of what is there, and a few of those.
    let places = (0..intact.len()).filter(|at| intact[*at] != 0 || at % 61 == 0);
    let places: Vec<usize> = places.filter(|at| cfg!(not(debug_assertions)) || at % 7 == 0).collect();
    for at in &places {
        for bit in 0..8 {
            if cfg!(debug_assertions) && bit != at % 8 {
                continue;
            }
            let mut bytes = intact.clone();
            bytes[*at] ^= 1 << bit;
            match answers(bytes) {
                Ok(found) => assert_eq!(found, expected, "bit {bit} of byte {at}"),
                Err(damaged) => {
                    noticed += 1;
                    assert!(damaged.offset < intact.len() as u64);
                }
            }
        }
    }
    assert!(noticed * 2 > places.len(), "{noticed} of {}", places.len());
}

#[test]
fn a_file_cut_short_or_made_longer_is_refused() {
    let intact = bytes();
    for length in 0..intact.len() {
        assert!(answers(intact[..length].to_vec()).is_err(), "{length} bytes");
    }
    assert!(answers([&intact[..], &[0]].concat()).is_err());
}

/// What no checksum catches, because it was computed over the nonsense: no panic, and no endless loop.
#[test]
fn numbers_that_lead_nowhere_are_noticed_behind_their_checksums() {
    let intact = bytes();
    let (_, header) = Pages::open("file".into(), Arc::new(Bytes(intact.clone()))).unwrap();
    let sections = header.sections;
    for section in [
        sections.directory,
        sections.dictionary,
        sections.skips,
        sections.postings,
        sections.types,
        sections.spans,
    ] {
        for at in section.offset..section.offset + section.length {
            for value in [0, 0x7F, 0x80, 0xFF] {
                let mut bytes = intact.clone();
                bytes[at as usize] = value;
                resign(&mut bytes, at as usize / 4096, &header);
                drop(answers_within(bytes));
            }
        }
    }
}

/// The answers, unless there are absurdly many.
fn answers_within(bytes: Vec<u8>) -> Result<(), Damaged> {
    let sealed = Sealed::open(&file_name(1, EVENTS), Arc::new(Bytes(bytes)), STORE)?;
    let queries =
        [item(&["A", "rare"], &[]), item(&[], &["all"]), item(&[], &["few 7"]), item(&["B"], &["one 7"])];
    for query in &queries {
        for direction in [Direction::Forward, Direction::Backward] {
            for (number, found) in sealed.matches(query, 0..=u64::MAX, direction)?.enumerate() {
                assert!(number as u64 <= EVENTS && sealed.positions().contains(&found?));
            }
        }
    }
    sealed.positions().try_for_each(|position| sealed.location(position).map(drop))?;
    match merge(&[Arc::new(sealed)], &*new_file()) {
        Err(MergeError::Damaged(damaged)) => Err(damaged),
        _ => Ok(()),
    }
}

fn resign(bytes: &mut [u8], page: usize, header: &Header) {
    let checksum = crc32c::crc32c(&bytes[page * 4096..(page + 1) * 4096]);
    let table = header.checksum_range().unwrap();
    bytes[table.start + page * 4..][..4].copy_from_slice(&checksum.to_le_bytes());
    let checksums = crc32c::crc32c(&bytes[table]);
    let header = Header { checksums, ..header.clone() };
    bytes[..4096].copy_from_slice(&header.encode());
}
