//! Opening: recovery of every segment, and the index built from what it finds.

use std::sync::Arc;

use crate::cursors::CURSORS_FILE;
use crate::error::{Corruption, StorageError};
use crate::index::Tail;
use crate::indexing;
use crate::log::frame::Kind;
use crate::log::recovery::{self, End, Start};
use crate::log::segment::{self, HEADER_BYTES, MAX_CAPACITY, SegmentHeader};
use crate::log::{FIRST_SEGMENT_BYTES, LogWriter, Segment, SegmentMaker, Segments, is_prepared};
use crate::processes::{MARKS_FILE, Marks};
use crate::storage::{Storage, TEMPORARY};

/// What an open store starts from.
pub(crate) struct Opened {
    pub(crate) writer: LogWriter,
    pub(crate) index: Tail,
    pub(crate) marks: Marks,
}

/// Opens the log of a store that others have open: it is read as far as they have written it.
pub(crate) fn join(
    storage: &Arc<dyn Storage>,
    segments: &Arc<Segments>,
    max_segment_bytes: u64,
    lock_ids: &[u64],
) -> Result<Opened, StorageError> {
    let segment = segments.get(1)?;
    let (header, checksum) = segment.header()?;
    segments.push(Arc::clone(&segment));
    let marks = Marks::map(&**storage, header.store)?;
    marks.join(lock_ids)?;
    let maker = SegmentMaker::new(Arc::clone(storage));
    let end = End::of_empty(header, checksum);
    let mut writer = LogWriter::resume(maker, Arc::clone(segments), max_segment_bytes, segment, end);
    let mut index = Tail::default();
    writer.catch_up(marks.written(), |frame, _| indexing::add(&mut index, frame))?;
    Ok(Opened { writer, index, marks })
}

/// Recovers the log, or makes the first segment of a new store. For the first member.
pub(crate) fn recover(
    storage: &Arc<dyn Storage>,
    segments: &Arc<Segments>,
    max_segment_bytes: u64,
    lock_ids: &[u64],
    exclusive: bool,
) -> Result<Opened, StorageError> {
    let names = storage.list().map_err(StorageError::io("list", "the store directory"))?;
    let cursors = format!("{CURSORS_FILE}{TEMPORARY}");
    for name in names.iter().filter(|name| is_prepared(name) || **name == cursors) {
        storage.remove(name).map_err(StorageError::io("remove", name))?;
    }
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
    firsts.sort_unstable();
    let maker = SegmentMaker::new(Arc::clone(storage));
    let mut index = Tail::default();
    let Found { segment, end, unsynced, unused } = if firsts.is_empty() {
        begin(&names, &maker, segments, max_segment_bytes)?
    } else {
        scan_all(&**storage, &firsts, segments, &mut index)?
    };
    let writer = LogWriter::resume(maker, Arc::clone(segments), max_segment_bytes, segment, end);
    let marks = Marks::map(&**storage, writer.store())?;
    // Up to here a damaged log is as it was found.
    marks.check(&writer.reach())?;
    for tail in unsynced {
        tail.rewrite()?;
    }
    if let Some(name) = unused {
        storage.remove(&name).map_err(StorageError::io("remove", &name))?;
    }
    // Whoever made the store may have died, or failed, between naming its first segment and this sync.
    storage.sync_directory().map_err(StorageError::io("sync", "the store directory"))?;
    marks.rebuild(&**storage, writer.reach(), lock_ids, exclusive)?;
    Ok(Opened { writer, index, marks })
}

/// The log as it was found, and what has to be written before it can be used.
struct Found {
    segment: Arc<Segment>,
    end: End,
    unsynced: Vec<UnsyncedTail>,
    /// The file of a segment that never got a frame.
    unused: Option<String>,
}

/// The end of a segment, from the first byte that no later frame calls durable.
///
/// The page cache may show bytes that the disk never got: after a failed sync their pages count as clean, and a
/// further sync would succeed without writing them (I9). Written again, they are dirty again.
struct UnsyncedTail {
    segment: Arc<Segment>,
    offset: u64,
    /// Zeros where a batch was torn.
    bytes: Vec<u8>,
}

impl UnsyncedTail {
    fn find(segment: &Arc<Segment>, bytes: &[u8], end: &End) -> Option<Self> {
        let place = |offset: u64| usize::try_from(offset).expect("offsets are inside the bytes read");
        let offset = end.durable_end.min(end.offset).max(HEADER_BYTES as u64);
        let to = if end.torn { bytes.len() } else { place(end.offset) };
        let mut tail = bytes.get(place(offset)..to).filter(|tail| !tail.is_empty())?.to_vec();
        let kept = place(end.offset - offset);
        tail.get_mut(kept..).unwrap_or_default().fill(0);
        Some(Self { segment: Arc::clone(segment), offset, bytes: tail })
    }

    fn rewrite(&self) -> Result<(), StorageError> {
        let written = self.segment.file.write_all_at(&self.bytes, self.offset);
        written.map_err(StorageError::io("rewrite", &self.segment.name()))?;
        self.segment.sync()
    }
}

fn begin(
    names: &[String],
    maker: &SegmentMaker,
    segments: &Segments,
    max_segment_bytes: u64,
) -> Result<Found, StorageError> {
    // These are made after the first segment: a store that has them has had a log, and starting anew would hide its
    // loss.
    if let Some(file) = names.iter().find(|name| [MARKS_FILE, CURSORS_FILE].contains(&name.as_str())) {
        let what = format!("the log is missing, but {file} shows that there was one");
        return Err(StorageError::Corrupt(Corruption { file: segment::file_name(1), offset: 0, what }));
    }
    let header = SegmentHeader {
        store: uuid::Uuid::new_v4(),
        first_position: 1,
        capacity: FIRST_SEGMENT_BYTES.min(max_segment_bytes),
        previous: 0,
    };
    let (segment, end) = maker.create(header, header.capacity)?;
    segments.push(Arc::clone(&segment));
    Ok(Found { segment, end, unsynced: Vec::new(), unused: None })
}

fn scan_all(
    storage: &dyn Storage,
    firsts: &[u64],
    segments: &Segments,
    index: &mut Tail,
) -> Result<Found, StorageError> {
    let mut unsynced = Vec::new();
    let mut start = Start { store: None, position: 1, previous: 0 };
    let mut recorded_at = 0;
    let mut bytes = Vec::new();
    for (number, first) in firsts.iter().enumerate() {
        let segment = read_segment(storage, *first, &mut bytes)?;
        if *first != start.position {
            let what = format!("the segment that begins at {} is missing", start.position);
            return Err(segment.corrupt(0, what));
        }
        let mut end =
            recovery::scan(&segment.name(), &bytes, start, |frame, _| indexing::add(index, &frame))?;
        recorded_at = end.recorded_at.max(recorded_at);
        end.recorded_at = recorded_at;
        segments.push(Arc::clone(&segment));
        if end.last == Some(Kind::End) {
            if number + 2 == firsts.len() {
                // The last one is made before this one is synced: unless it has frames, the sync may never have been.
                unsynced.extend(UnsyncedTail::find(&segment, &bytes, &end));
            }
            start =
                Start { store: Some(end.header.store), position: end.next_position, previous: end.previous };
            continue;
        }
        let unused = match firsts.get(number + 1..) {
            None | Some([]) => None,
            Some([next]) if is_unused(storage, *next)? => Some(segment::file_name(*next)),
            Some(_) => {
                let what = "the segment has not ended, but another one follows it";
                return Err(segment.corrupt(end.offset, what));
            }
        };
        unsynced.extend(UnsyncedTail::find(&segment, &bytes, &end));
        return Ok(Found { segment, end, unsynced, unused });
    }
    let what = "the segment before it has ended, but this one is missing".to_owned();
    Err(StorageError::Corrupt(Corruption { file: segment::file_name(start.position), offset: 0, what }))
}

/// Whether a segment never got a frame: the one before it was about to end when its writer did.
fn is_unused(storage: &dyn Storage, first: u64) -> Result<bool, StorageError> {
    let mut bytes = Vec::new();
    read_segment(storage, first, &mut bytes)?;
    let has_header = SegmentHeader::decode(&bytes).is_ok();
    Ok(bytes.iter().skip(if has_header { HEADER_BYTES } else { 0 }).all(|byte| *byte == 0))
}

fn read_segment(
    storage: &dyn Storage,
    first_position: u64,
    bytes: &mut Vec<u8>,
) -> Result<Arc<Segment>, StorageError> {
    let name = segment::file_name(first_position);
    let file = storage.open(&name).map_err(StorageError::io("open", &name))?;
    let length = file.len().map_err(StorageError::io("measure", &name))?;
    let segment = Arc::new(Segment::new(first_position, file));
    if length > MAX_CAPACITY {
        return Err(segment.corrupt(MAX_CAPACITY, "the file is longer than any segment"));
    }
    bytes.resize(usize::try_from(length).expect("checked against MAX_CAPACITY"), 0);
    segment.read(bytes, 0)?;
    Ok(segment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::StoreSeed;
    use crate::log::frame::{self, Header};
    use crate::storage::Memory;
    use crate::{Event, Options, Query, ReadOptions, Store};

    #[test]
    fn the_time_of_the_log_does_not_go_back_when_the_clock_does() {
        let storage = Arc::new(Memory::default());
        let header =
            SegmentHeader { store: uuid::Uuid::nil(), first_position: 1, capacity: 4096, previous: 0 };
        let (bytes, previous) = header.encode();
        let (mut bytes, seed) = (bytes.to_vec(), StoreSeed::new(header.store));
        let in_the_far_future = u64::MAX / 2;
        let header = Header {
            kind: Kind::Batch,
            first_position: 1,
            recorded_at: in_the_far_future,
            durable: 0,
            durable_end: 64,
            previous,
        };
        let event = Event::new::<&str>("A", &[], b"", None, None).unwrap();
        frame::encode(&mut bytes, seed, (1, 64), &header, [event.encoded()].into_iter(), &[], |_, _| {});
        bytes.resize(4096, 0);
        storage.create(&segment::file_name(1)).unwrap().write_all_at(&bytes, 0).unwrap();

        let store = Store::open_in(storage, Options::default()).unwrap();
        assert_eq!(store.append(vec![event], vec![]).unwrap(), 2);
        let events = store.read(Query::All, ReadOptions::default()).unwrap().chunks().next_chunk().unwrap();
        assert_eq!(events.iter().map(|event| event.recorded_at).collect::<Vec<_>>(), [in_the_far_future; 2]);
    }
}
