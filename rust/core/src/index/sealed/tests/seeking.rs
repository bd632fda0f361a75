//! Seeks in lists of every length around the limits of blocks, and scans around those of chunks.

use super::*;
use crate::index::cursor::Seek;

/// A file in which the tag `t` is on these events, and the type is `u` there and `f` elsewhere.
fn file_with(on: &[u32], events: u32) -> Sealed {
    let log: Vec<Event> = (0..events)
        .map(|ordinal| if on.binary_search(&ordinal).is_ok() { event("u", &["t"]) } else { event("f", &[]) })
        .collect();
    sealed(1, &log)
}

fn cursor(sealed: &Sealed) -> super::super::lists::ListCursor<'_> {
    match sealed.find(sealed.hasher.hash("t")).unwrap().unwrap() {
        super::super::dictionary::Value::List(at) => sealed.list(at).unwrap(),
        only => unreachable!("a list, and not {only:?}"),
    }
}

#[test]
fn seeks_agree_with_a_plain_search_around_the_limits_of_blocks() {
    for count in [2, 3, 4, 127, 128, 129, 130, 131, 257, 258, 259, 385, 386, 387, 1500] {
        for gap in [1, 2, 7] {
            // Bursts, so that blocks of both forms occur.
            let far = if gap == 7 { 3000 } else { 0 };
            let on: Vec<u32> = (0..count).map(|n| 3 + n * gap + n / 200 * far).collect();
            let end = on.last().unwrap() + 5;
            let sealed = file_with(&on, end);
            for step in [1, 2, 3, 13, 127, 129, 1000] {
                let (mut forward, mut backward) = (cursor(&sealed), cursor(&sealed));
                for target in (0..end).step_by(step) {
                    let expected = on.iter().find(|event| **event >= target).copied();
                    assert_eq!(
                        forward.seek_forward(target).unwrap(),
                        expected,
                        "{count} {gap} forward {target}"
                    );
                }
                for target in (0..end).rev().step_by(step) {
                    let expected = on.iter().rfind(|event| **event <= target).copied();
                    assert_eq!(
                        backward.seek_backward(target).unwrap(),
                        expected,
                        "{count} {gap} backward {target}"
                    );
                }
            }
            let mut all = Vec::new();
            cursor(&sealed)
                .for_each(|event| {
                    all.push(event);
                    Ok::<(), Damaged>(())
                })
                .unwrap();
            assert_eq!(all, on);
        }
    }
}

#[test]
fn scans_agree_with_a_plain_search_around_the_limits_of_chunks() {
    let events = 3 * 4096 + 70;
    let rare: Vec<u32> = vec![0, 63, 64, 65, 4094, 4095, 4096, 4160, 8191, 12287, 12288, 12357];
    let dense: Vec<u32> =
        (0..events).filter(|ordinal| ordinal % 50 == 3 && !(4096..8192).contains(ordinal)).collect();
    for on in [rare, dense] {
        let sealed = file_with(&on, events);
        let range = 0..=events - 1;
        let names = ["u".into()];
        let clause = || {
            let mut clause = sealed.type_clause(&names, &range).unwrap();
            clause.lead().unwrap();
            clause
        };
        for step in [1, 5, 64, 4096] {
            let (mut forward, mut backward) = (clause(), clause());
            for target in (0..events).step_by(step) {
                let expected = on.iter().find(|event| **event >= target).copied();
                assert_eq!(forward.seek_forward(target).unwrap(), expected, "forward {target}");
            }
            for target in (0..events).rev().step_by(step) {
                let expected = on.iter().rfind(|event| **event <= target).copied();
                assert_eq!(backward.seek_backward(target).unwrap(), expected, "backward {target}");
            }
        }
    }
}

#[test]
fn the_ends_of_a_long_list_cost_no_block_and_the_next_event_one() {
    let on: Vec<u32> = (0..20_000).map(|n| n * 3).collect();
    let sealed = file_with(&on, 60_000);
    let verified = || sealed.pages.verified_count();
    let query = item(&[], &["t"]);
    let before = verified();
    assert_eq!(sealed.first_match(&query, 0..=u64::MAX).unwrap(), Some(1));
    let newest = sealed.matches(&query, 0..=u64::MAX, Direction::Backward).unwrap().next();
    assert_eq!(newest, Some(Ok(59_998)));
    assert_eq!(sealed.first_match(&query, 59_999..=u64::MAX).unwrap(), None);
    // A page each of filter, directory, dictionary and postings.
    assert_eq!(verified() - before, 4);
    let mut all = sealed.matches(&query, 30_000..=u64::MAX, Direction::Forward).unwrap();
    assert_eq!(all.next(), Some(Ok(30_001)));
    // The block in the middle, and at most a page of skips.
    assert!(verified() - before <= 4 + 3, "{}", verified() - before);
}

#[test]
fn a_long_list_of_every_second_event_takes_little_more_than_a_bit_an_event() {
    let on: Vec<u32> = (0..50_000u32).filter(|n| n.wrapping_mul(0x9E37_79B9) >> 31 == 0).collect();
    let sealed = file_with(&on, 50_000);
    let sections = sealed.header.sections;
    let bits = (sections.postings.length + sections.skips.length) * 8;
    assert!(bits < 2 * 50_000, "{bits}");
}
