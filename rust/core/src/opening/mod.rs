//! Opening: the log as far as it is sealed is known from the index files; the rest is read.
//!
//! The first member recovers the log. Whoever joins it reads what the others have written.

mod reading;
mod scan;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use uuid::Uuid;

use crate::copies;
use crate::cursors::CURSORS_FILE;
use crate::error::{Corruption, OpenError, StorageError};
use crate::index::Index;
use crate::indexing;
use crate::log::frame::{Frame, MAX_FRAME_BYTES};
use crate::log::recovery::End;
use crate::log::segment::{self, SegmentHeader};
use crate::log::{
    FIRST_SEGMENT_BYTES, LogWriter, Point, Segment, SegmentMaker, Segments, StoreSeed, is_prepared,
};
use crate::processes::{MARKS_FILE, Marks, SharedLock};
use crate::sealing::{self, Sealer, is_index_file};
use crate::storage::{Storage, TEMPORARY};
use crate::store::Options;
pub(crate) use reading::{OpenedToRead, open_to_read};
use scan::Found;

/// What an open store starts from.
pub(crate) struct Opened {
    pub(crate) writer: LogWriter,
    pub(crate) index: Index,
    pub(crate) sealer: Sealer,
    pub(crate) marks: Marks,
}

/// What there is before anything of the log has been read.
pub(crate) struct Opening {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) index_lock: Arc<SharedLock>,
    pub(crate) lock_ids: Vec<u64>,
    pub(crate) options: Options,
}

impl Opening {
    /// Opens the log of a store that others have open.
    pub(crate) fn join(self) -> Result<Opened, StorageError> {
        let firsts = segment_firsts(&self.names()?);
        let first = self.segments.get(1)?;
        let (header, checksum) = first.header()?;
        let marks = Marks::map(&*self.storage, header.store)?;
        marks.join(&self.lock_ids)?;
        let sealer = self.sealer(header.store);
        let (mut index, known) = self.sealed(&sealer, &firsts, header.store);
        let (segment, end) = known.unwrap_or_else(|| (first, End::of_empty(header, checksum)));
        // A segment after this one may not count yet.
        self.segments.extend(firsts.into_iter().take_while(|first| *first <= segment.first_position));
        let mut writer = self.writer(segment, end);
        let segments = &self.segments;
        writer.catch_up(marks.written(), |frame, end| {
            indexing::add(&mut index, frame, end, segments).map(drop)
        })?;
        Ok(Opened { writer, index, sealer, marks })
    }

    /// Recovers the log, or makes the first segment of a new store. For the first member.
    pub(crate) fn recover(self) -> Result<Opened, OpenError> {
        let storage = &*self.storage;
        let names = self.names()?;
        copies::refuse_unfinished(&names)?;
        let cursors = format!("{CURSORS_FILE}{TEMPORARY}");
        let is_left_over = |name: &str| is_prepared(name) || sealing::is_unfinished(name) || name == cursors;
        for name in names.iter().filter(|name| is_left_over(name)) {
            storage.remove(name).map_err(StorageError::io("remove", name))?;
        }
        let firsts = segment_firsts(&names);
        let (sealer, mut index, found) = match firsts.first() {
            None => self.begin(&names)?,
            Some(first) => {
                let store = self.segments.get(*first)?.header()?.0.store;
                let sealer = self.sealer(store);
                let (mut index, known) = self.sealed(&sealer, &firsts, store);
                if known.is_none() {
                    // They are of another log than this one, if there are any.
                    sealer.remove_all(&names)?;
                }
                let found = scan::all(&self, &firsts, known, &sealer, &mut index)?;
                (sealer, index, found)
            }
        };
        let Found { segment, end, unsynced, unused } = found;
        let mut writer = self.writer(Arc::clone(&segment), end);
        let marks = Marks::map(storage, writer.store())?;
        // Up to here a damaged log is as it was found.
        marks.check(&writer.reach())?;
        for tail in unsynced {
            tail.rewrite()?;
        }
        writer.settle_empty()?;
        if let Some(name) = unused {
            // Whoever took back that this segment had ended may have died before that was durable.
            segment.sync()?;
            storage.remove(&name).map_err(StorageError::io("remove", &name))?;
        }
        // Whoever made the store may have died, or failed, between naming its first segment and this sync.
        storage.sync_directory().map_err(StorageError::io("sync", "the store directory"))?;
        marks.rebuild(storage, writer.reach(), &self.lock_ids, self.options.exclusive)?;
        sealer.absorb(&mut index);
        Ok(Opened { writer, index, sealer, marks })
    }

    /// Makes a new store.
    fn begin(&self, names: &[String]) -> Result<(Sealer, Index, Found), StorageError> {
        check_never_begun(names)?;
        let header = SegmentHeader {
            store: Uuid::new_v4(),
            first_position: 1,
            capacity: FIRST_SEGMENT_BYTES.min(self.options.segment_bytes),
            previous: 0,
        };
        let (segment, end) = SegmentMaker::new(Arc::clone(&self.storage)).create(header, header.capacity)?;
        self.segments.push(Arc::clone(&segment));
        let found = Found { segment, end, unsynced: Vec::new(), unused: None };
        Ok((self.sealer(header.store), Index::new(Vec::new(), self.options.index_events), found))
    }

    /// The index of what is sealed, and the end of the log that it reaches; empty unless all of it fits the log.
    fn sealed(&self, sealer: &Sealer, firsts: &[u64], store: Uuid) -> (Index, Option<(Arc<Segment>, End)>) {
        let parts = sealer.load(&[]);
        let known = |point| self.known_end(&Point::decode(point)?, firsts, store);
        let ends: Option<Vec<_>> = parts.iter().map(|part| known(part.point())).collect();
        match ends.and_then(|mut ends| ends.pop()) {
            Some(end) => (Index::new(parts, self.options.index_events), Some(end)),
            None => (Index::new(Vec::new(), self.options.index_events), None),
        }
    }

    /// The end of the log at the point, if the log is there what it was when the point was taken.
    fn known_end(&self, point: &Point, firsts: &[u64], store: Uuid) -> Option<(Arc<Segment>, End)> {
        let count = firsts.partition_point(|first| *first <= point.segment);
        if count as u64 != point.segments || firsts.get(count.checked_sub(1)?) != Some(&point.segment) {
            return None;
        }
        let segment = self.segments.get(point.segment).ok()?;
        let (header, _) = segment.header().ok()?;
        let length = usize::try_from(point.offset.checked_sub(point.last_offset)?).ok()?;
        let is_inside = length <= MAX_FRAME_BYTES && point.offset <= segment.len().ok()?;
        if header.store != store || header.first_position != point.segment || !is_inside {
            return None;
        }
        let mut bytes = vec![0; length];
        segment.read(&mut bytes, point.last_offset).ok()?;
        let frame = Frame::decode(&bytes, StoreSeed::new(store), (point.segment, point.last_offset)).ok()?;
        let fits = frame.checksum == point.previous
            && frame.next_position() == Some(point.next_position)
            && frame.length == length;
        fits.then(|| (segment, point.end(header)))
    }

    fn names(&self) -> Result<Vec<String>, StorageError> {
        self.storage.list().map_err(StorageError::io("list", "the store directory"))
    }

    fn writer(&self, segment: Arc<Segment>, end: End) -> LogWriter {
        let maker = SegmentMaker::new(Arc::clone(&self.storage));
        LogWriter::resume(maker, Arc::clone(&self.segments), self.options.segment_bytes, segment, end)
    }

    fn sealer(&self, store: Uuid) -> Sealer {
        Sealer {
            storage: Arc::clone(&self.storage),
            segments: Arc::clone(&self.segments),
            lock: Arc::clone(&self.index_lock),
            store,
            run_events: self.options.index_events,
            stopping: AtomicBool::new(false),
        }
    }
}

/// Refuses to begin a log where there was one: these files are made after the first segment, and starting anew would hide
/// its loss.
fn check_never_begun(names: &[String]) -> Result<(), StorageError> {
    let shows = |name: &str| name == MARKS_FILE || name == CURSORS_FILE || is_index_file(name);
    let Some(file) = names.iter().filter(|name| shows(name)).min() else { return Ok(()) };
    let what = format!("the log is missing, but {file} shows that there was one");
    Err(StorageError::Corrupt(Corruption { file: segment::file_name(1), offset: 0, what }))
}

fn segment_firsts(names: &[String]) -> Vec<u64> {
    let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
    firsts.sort_unstable();
    firsts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::StoreSeed;
    use crate::log::frame::{self, Header, Kind};
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
