//! Verification of stores that are whole, damaged, or forged. In here tails have 8 events, and 3 conditions wait.

mod clean;
mod conditions;
mod index;
mod log;
mod why;

use super::*;
use crate::log::frame::{self, Header, Kind};
use crate::log::segment::SegmentHeader;
use crate::storage::Memory;
use crate::{AppendCondition, AppendError, Event, Options, Query, QueryItem, ReadOptions, Store};

/// Small segments, and index files of so many events.
fn small(index_events: usize) -> Options {
    Options { segment_bytes: 4096, index_events, ..Options::default() }
}

fn event(event_type: &str, tags: &[&str]) -> Event {
    Event::new(event_type, tags, b"{}", None, None).unwrap()
}

fn query(types: &[&str], tags: &[&str]) -> Query {
    Query::items(vec![QueryItem::new(types, tags).unwrap()]).unwrap()
}

fn condition(query: Query, after: u64) -> AppendCondition {
    AppendCondition { query, after }
}

fn run(mut verify: Verify) -> Verification {
    while verify.step().unwrap() {}
    let (done, total) = verify.progress();
    assert_eq!(done, total, "progress ends where it says");
    verify.result()
}

fn verify(store: &Store) -> Verification {
    run(store.verify().unwrap())
}

fn verify_storage(storage: &Arc<Memory>) -> Verification {
    run(Verify::of_storage(Arc::clone(storage) as Arc<dyn Storage>).unwrap())
}

/// What was found, in short.
fn found(verification: &Verification) -> Vec<(FindingKind, &str, u64, Option<u64>)> {
    let short = |finding: &Finding| (finding.kind, finding.offset, finding.position);
    let files = verification.findings.iter().map(|finding| finding.file.as_str());
    let findings = verification.findings.iter().map(short).zip(files);
    findings.map(|((kind, offset, position), file)| (kind, file, offset, position)).collect()
}

fn assert_whole(verification: &Verification) {
    assert_eq!(verification.findings, []);
    assert_eq!(verification.finding_count, 0);
}

/// A log that is made frame by frame, in one segment.
struct Forged {
    store: Uuid,
    bytes: Vec<u8>,
    previous: u32,
    next: u64,
    offsets: Vec<u64>,
}

const CAPACITY: u64 = 1 << 20;
const FIRST: &str = "00000000000000000001.log";

impl Forged {
    fn new() -> Self {
        Self::of(Uuid::nil())
    }

    fn of(store: Uuid) -> Self {
        let header = SegmentHeader { store, first_position: 1, capacity: CAPACITY, previous: 0 };
        let (bytes, previous) = header.encode();
        Self { store, bytes: bytes.to_vec(), previous, next: 1, offsets: Vec::new() }
    }

    /// Adds a batch whose header is changed before it is sealed with its checksums.
    fn frame(&mut self, events: &[Event], guards: &[u8], change: impl FnOnce(&mut Header)) {
        let offset = self.bytes.len() as u64;
        let mut header = Header {
            kind: Kind::Batch,
            first_position: self.next,
            recorded_at: 1000 + self.next,
            durable: self.next - 1,
            durable_end: offset,
            previous: self.previous,
        };
        change(&mut header);
        let encoded = events.iter().map(Event::encoded);
        let seed = StoreSeed::new(self.store);
        let frame = frame::encode(&mut self.bytes, seed, (1, offset), &header, encoded, guards, |_, _| {});
        self.offsets.push(offset);
        self.previous = frame.checksum;
        self.next = header.first_position + events.len() as u64;
    }

    fn batch(&mut self, events: &[Event], conditions: &[AppendCondition]) {
        self.frame(events, &crate::condition::encode(conditions).unwrap(), |_| {});
    }

    /// Makes the checksums of the last frame right again after a change to its bytes.
    fn reseal(&mut self) {
        let offset = *self.offsets.last().unwrap();
        let frame = &mut self.bytes[offset as usize..];
        let seed = [&self.store.as_bytes()[..], &1u64.to_le_bytes(), &offset.to_le_bytes(), &frame[48..52]];
        let seed = seed.iter().fold(0, |seed, bytes| crc32c::crc32c_append(seed, bytes));
        let header = crc32c::crc32c_append(seed, &frame[..60]);
        frame[60..64].copy_from_slice(&header.to_le_bytes());
        let end = frame.len() - 4;
        let whole = crc32c::crc32c_append(header, &frame[64..end]);
        frame[end..].copy_from_slice(&whole.to_le_bytes());
    }

    fn storage(mut self) -> Arc<Memory> {
        let storage = Arc::new(Memory::default());
        self.bytes.resize(CAPACITY as usize, 0);
        storage.create(FIRST).unwrap().write_all_at(&self.bytes, 0).unwrap();
        storage
    }
}
