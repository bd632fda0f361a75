//! Looking at a store that cannot be opened, as it lies there: what it still holds, and from where on it is damaged.
//!
//! What can be had of it is its *prefix*: all events from position 1 up to the first one that is lost. Damage that no event is
//! lost with, such as to the header of a segment or to a seal, does not end it; frames that show that they followed
//! another history do.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use uuid::Uuid;

use super::target::{self, list};
use crate::cursors::{self, CURSORS_FILE};
use crate::error::{CopyError, StorageError};
use crate::event::EventView;
use crate::index::sealed;
use crate::log::frame::{Frame, Kind, Preamble};
use crate::log::segment::{self, HEADER_BYTES, SegmentHeader};
use crate::log::{Reach, Segment, StoreSeed};
use crate::processes::{MARKS_FILE, Marks};
use crate::storage::{DIRECTORY, LockFile, LockKind, PAGE_BYTES, ReadOnlyDisk, Storage};
use crate::verify::{Findings, Log, LogScan, Met};

/// Where the id of the store stands in a segment's header.
const ID: std::ops::Range<usize> = 16..32;

/// What a store that lies there holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The names of its log files, in order.
    pub segments: Vec<String>,
    /// Their bytes.
    pub log_bytes: u64,
    /// The last position of the prefix: all events up to it are whole.
    pub head: u64,
    /// The batches of the prefix.
    pub batches: u64,
    /// Events past the prefix that are whole themselves, though some before them are lost.
    pub readable_after: u64,
    /// The last position of an event that is whole.
    pub last_readable: u64,
    /// The position up to which the marks know the log to be durable; `None` if they are not there or not whole.
    pub durable: Option<u64>,
    /// The named cursors; `None` if their file is damaged.
    pub cursors: Option<BTreeMap<String, u64>>,
    /// Whether events are known to be lost.
    pub loses_events: bool,
    /// Whether it is a copy that was not finished.
    pub is_unfinished: bool,
    /// What is damaged, in order; at most [`MAX_FINDINGS`](crate::MAX_FINDINGS).
    pub damages: Vec<Damage>,
    /// How much is damaged.
    pub damage_count: u64,
}

/// A place where a store is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file's name within the store.
    pub file: String,
    /// Where in the file, in bytes.
    pub offset: u64,
    /// The first position that is concerned, if any is.
    pub position: Option<u64>,
    /// What is wrong.
    pub what: String,
}

/// An inspection under way: [`Inspect::step`] does a piece of it. Nobody can open the store meanwhile.
#[derive(Debug)]
pub struct Inspect {
    storage: Arc<dyn Storage>,
    _lock: Box<dyn LockFile>,
    scan: LogScan,
    findings: Findings,
    prefix: Prefix,
    witness: Option<Reach>,
    found: Inspection,
}

impl Inspect {
    /// Looks at the store in a directory, in which nothing is written.
    pub fn at(path: &Path) -> Result<Self, CopyError> {
        let about = |source| CopyError::Path { path: path.to_owned(), source };
        let storage = Arc::new(ReadOnlyDisk::open(path).map_err(about)?);
        Self::of_storage(storage).map_err(|error| error.about_path(path))
    }

    /// The same in any storage.
    pub fn of_storage(storage: Arc<dyn Storage>) -> Result<Self, CopyError> {
        let lock = storage.lock_file(DIRECTORY).map_err(StorageError::io("open", "the store directory"))?;
        let locked = lock.try_lock(LockKind::Exclusive);
        if !locked.map_err(StorageError::io("lock", "the store directory"))? {
            return Err(CopyError::SourceOpen);
        }
        let names = list(&*storage)?;
        let mut findings = Findings::default();
        let mut firsts: Vec<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
        firsts.sort_unstable();
        let mut prefix = Prefix::new(Arc::clone(&storage));
        if firsts.is_empty() {
            prefix.is_over = true;
            let is_left = |name: &&String| is_left_of_a_store(name);
            let left = names.iter().find(is_left).ok_or(CopyError::NoStore)?;
            let what = format!("the log is missing, but {left} shows that there was one");
            findings.log(&segment::file_name(1), 0, Some(1), what);
        }
        let is_unfinished = target::is_unfinished(&names);
        if is_unfinished {
            findings.log(target::MARKER, 0, None, "this is a copy of a store that was not finished");
        }
        let marks = read_marks(&*storage)?;
        let store = store_id(&*storage, &firsts, marks.map(|(store, _)| store))?;
        let witness = marks.filter(|(of, _)| *of == store).map(|(_, durable)| durable);
        let log = Log::find(Arc::clone(&storage), store, None)?;
        let found = Inspection {
            segments: firsts.iter().map(|first| segment::file_name(*first)).collect(),
            log_bytes: log.bytes(),
            durable: witness.map(|durable| durable.position),
            cursors: read_cursors(&*storage, &mut findings)?,
            is_unfinished,
            ..Inspection::default()
        };
        Ok(Self { storage, _lock: lock, scan: log.scan(1), findings, prefix, witness, found })
    }

    /// Does a piece of the work; `false` once there is nothing left to do.
    pub fn step(&mut self) -> Result<bool, CopyError> {
        self.step_with(&mut |_| Ok(()))
    }

    /// The same. Each frame of the prefix is handed to `each`.
    pub(super) fn step_with(
        &mut self,
        each: &mut dyn FnMut(&Frame<'_>) -> Result<(), StorageError>,
    ) -> Result<bool, CopyError> {
        let Self { scan, findings, prefix, .. } = self;
        let mut visit = |met: Met<'_>, segment: u64, findings: &mut Findings| match met {
            Met::Gap(_) => {
                prefix.is_over = true;
                Ok(())
            }
            Met::Frame(frame) => match prefix.meet(frame, segment, findings)? {
                true => each(frame),
                false => Ok(()),
            },
        };
        if scan.step(findings, &mut visit)? {
            return Ok(true);
        }
        self.look_at_the_end();
        Ok(false)
    }

    /// Bytes of the log that are behind, and all there are.
    pub fn progress(&self) -> (u64, u64) {
        self.scan.progress()
    }

    /// What it has come to so far.
    pub fn result(mut self) -> Inspection {
        let prefix = &self.prefix;
        self.found.head = prefix.next_position - 1;
        self.found.batches = prefix.batches;
        self.found.readable_after = prefix.readable_after;
        self.found.last_readable = prefix.last_readable;
        self.found.loses_events = prefix.is_over;
        self.found.damage_count = self.findings.count();
        let damage = |found: crate::verify::Finding| Damage {
            file: found.file,
            offset: found.offset,
            position: found.position,
            what: found.what,
        };
        self.found.damages = self.findings.take().into_iter().map(damage).collect();
        self.found
    }

    pub(super) fn cursors(&self) -> BTreeMap<String, u64> {
        self.found.cursors.clone().unwrap_or_default()
    }

    pub(super) fn head(&self) -> u64 {
        self.prefix.next_position - 1
    }

    /// A log that has lost its end is whole up to there.
    fn look_at_the_end(&mut self) {
        let next = self.scan.next_position();
        let has_ended =
            self.prefix.last.is_some_and(|last| last.kind == Kind::End && last.next_position == next);
        let name = segment::file_name(next);
        if has_ended && !self.found.segments.contains(&name) {
            let what = "the segment before it has ended, but this one is missing";
            self.findings.log(&name, 0, Some(next), what);
            self.prefix.is_over = true;
        } else if let Some(durable) = self.witness.filter(|durable| durable.position >= next) {
            let (head, durable) = (next - 1, durable.position);
            let what = format!("the log ends at position {head}, but it was durable up to {durable}");
            let (file, offset) = self.prefix.last.map_or((1, 0), |last| (last.segment, last.end));
            self.findings.log(&segment::file_name(file), offset, Some(next), what);
            self.prefix.is_over = true;
        }
    }

    /// Whether the path is in the directory.
    pub(super) fn holds(&self, path: &Path) -> std::io::Result<bool> {
        self.storage.holds(path)
    }
}

/// The events from position 1 on, as far as none is lost.
#[derive(Debug)]
struct Prefix {
    storage: Arc<dyn Storage>,
    next_position: u64,
    is_over: bool,
    batches: u64,
    readable_after: u64,
    last_readable: u64,
    /// The last frame that was met.
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    segment: u64,
    /// The offset after it.
    end: u64,
    checksum: u32,
    kind: Kind,
    next_position: u64,
}

impl Prefix {
    fn new(storage: Arc<dyn Storage>) -> Self {
        Self {
            storage,
            next_position: 1,
            is_over: false,
            batches: 0,
            readable_after: 0,
            last_readable: 0,
            last: None,
        }
    }

    /// Takes note of a frame; `true` if it is the next one of the prefix.
    fn meet(
        &mut self,
        frame: &Frame<'_>,
        segment: u64,
        findings: &mut Findings,
    ) -> Result<bool, StorageError> {
        let (first, Some(next_position)) = (frame.header.first_position, frame.next_position()) else {
            return Ok(false);
        };
        let events =
            frame.records().flatten().filter(|record| EventView::decode(record.event).is_some()).count();
        let is_whole = events as u64 == u64::from(frame.event_count)
            && frame.guards().is_some()
            && (frame.header.kind == Kind::Batch || events == 0);
        if !is_whole {
            let what = "the frame's events or conditions are malformed";
            findings.log(&segment::file_name(segment), frame.offset, Some(first), what);
        }
        // Asked of every frame, since it is told of those before it.
        let follows = !self.is_over && self.follows(frame, segment)?;
        let (end, checksum, kind) = (frame.end(), frame.checksum, frame.header.kind);
        self.last = Some(Last { segment, end, checksum, kind, next_position });
        if events > 0 {
            self.last_readable = self.last_readable.max(next_position - 1);
        }
        self.is_over |= !follows || !is_whole || first != self.next_position;
        if self.is_over {
            self.readable_after += events as u64;
            return Ok(false);
        }
        self.batches += u64::from(kind == Kind::Batch);
        self.next_position = next_position;
        Ok(true)
    }

    /// Whether the frame can have followed the one before it. Where what links them is damaged, the positions decide.
    fn follows(&self, frame: &Frame<'_>, segment: u64) -> Result<bool, StorageError> {
        let last = self.last;
        if let Some(last) = last.filter(|last| last.segment == segment) {
            return Ok(last.end != frame.offset || last.checksum == frame.header.previous);
        }
        let Some((header, checksum)) = header_of(&*self.storage, segment)? else { return Ok(true) };
        let is_first = frame.offset == HEADER_BYTES as u64;
        let links = !is_first || checksum == frame.header.previous;
        let before = last.filter(|last| last.kind == Kind::End && last.next_position == segment);
        let before = before.map(|last| last.checksum).or((segment == 1).then_some(0));
        Ok(links && before.is_none_or(|checksum| checksum == header.previous))
    }
}

/// The header of a segment and its checksum; `None` if it is damaged.
fn header_of(storage: &dyn Storage, first: u64) -> Result<Option<(SegmentHeader, u32)>, StorageError> {
    let name = segment::file_name(first);
    let file = storage.open(&name).map_err(StorageError::io("open", &name))?;
    match Segment::new(first, file).header() {
        Ok(header) => Ok(Some(header).filter(|(header, _)| header.first_position == first)),
        Err(StorageError::Corrupt(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The store that the log is of: the one that most headers name. Where none is whole, the one that a damaged header or the
/// marks name and that makes the first frame of a segment validate.
fn store_id(storage: &dyn Storage, firsts: &[u64], marks: Option<Uuid>) -> Result<Uuid, StorageError> {
    let mut votes: BTreeMap<Uuid, u64> = marks.into_iter().map(|store| (store, 1)).collect();
    let mut candidates: Vec<Uuid> = marks.into_iter().collect();
    let mut has_header = false;
    for first in firsts {
        let start = start_of(storage, *first)?;
        if let Ok((header, _)) = SegmentHeader::decode(&start) {
            *votes.entry(header.store).or_default() += 1;
            has_header = true;
        } else if let Some(id) = start.get(ID).and_then(|id| id.try_into().ok()) {
            candidates.push(Uuid::from_bytes(id));
        }
    }
    if has_header {
        // Of those named equally often the first one that was met would do as well: any is right or none.
        return Ok(votes
            .into_iter()
            .max_by_key(|(_, count)| *count)
            .map(|(store, _)| store)
            .unwrap_or_default());
    }
    for first in firsts {
        let start = start_of(storage, *first)?;
        let frame = start.get(HEADER_BYTES..).unwrap_or_default();
        let fits = |store: &&Uuid| {
            Preamble::decode(frame, StoreSeed::new(**store), (*first, HEADER_BYTES as u64)).is_ok()
        };
        if let Some(store) = candidates.iter().find(fits) {
            return Ok(*store);
        }
    }
    Ok(candidates.first().copied().unwrap_or_default())
}

/// The first bytes of a segment, with the header of its first frame.
fn start_of(storage: &dyn Storage, first: u64) -> Result<Vec<u8>, StorageError> {
    let name = segment::file_name(first);
    let file = storage.open(&name).map_err(StorageError::io("open", &name))?;
    let mut start = Vec::new();
    Segment::new(first, file).read_some(&mut start, 0, 2 * HEADER_BYTES as u64)?;
    Ok(start)
}

/// The store that the marks are of, and how far they know it to be durable.
fn read_marks(storage: &dyn Storage) -> Result<Option<(Uuid, Reach)>, StorageError> {
    let mut bytes = vec![0; PAGE_BYTES];
    let read = storage.open(MARKS_FILE).and_then(|file| file.read_exact_at(&mut bytes, 0));
    match read {
        Err(error) if [ErrorKind::NotFound, ErrorKind::UnexpectedEof].contains(&error.kind()) => Ok(None),
        read => read.map_err(StorageError::io("read", MARKS_FILE)).map(|()| Marks::witness_in(&bytes)),
    }
}

fn read_cursors(
    storage: &dyn Storage,
    findings: &mut Findings,
) -> Result<Option<BTreeMap<String, u64>>, StorageError> {
    match cursors::load(storage) {
        Ok(cursors) => Ok(Some(cursors)),
        Err(StorageError::Corrupt(at)) => {
            findings.log(&at.file, at.offset, None, at.what);
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

fn is_left_of_a_store(name: &str) -> bool {
    [MARKS_FILE, CURSORS_FILE, target::MARKER].contains(&name) || sealed::file_positions(name).is_some()
}
