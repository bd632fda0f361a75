//! Backups: copies of a store that goes on meanwhile, up to the position to which it is durable when the backup begins.
//!
//! Segments that have ended and index files never change again, so both stores can have the same ones. Of the segments
//! the last two are copied: the last one because it goes on, and the one before it because recovery may write its end again.
//! By the time that a store has more segments, none that it shares is among its last two.

use std::cmp::Reverse;
use std::collections::{BTreeSet, VecDeque};
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::Arc;

use super::files::{FileCopy, SegmentCopy};
use super::target::{Check, Target, list};
use crate::cursors::{self, CURSORS_FILE, Positions};
use crate::error::{CopyError, Corruption, StorageError};
use crate::index::sealed;
use crate::log::segment::{self, SegmentHeader};
use crate::log::{Reach, Segment};
use crate::storage::{Sharing, Storage, StorageFile};
use crate::store::Shared;
use crate::verify::Verification;

/// So often index files are looked for that were merged before they were copied.
const INDEX_ROUNDS: u32 = 8;

/// How a backup is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BackupOptions {
    /// Whether every byte is copied, so that a sector that goes bad damages one of the two and not both.
    pub copy: bool,
    /// Whether the backup is verified before it counts as one.
    pub verify: bool,
}

/// What a backup came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// The last position of the backup.
    pub head: u64,
    /// Its log files.
    pub segments: u64,
    /// Its index files.
    pub index_files: u64,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// Bytes of files that were cloned: they share their blocks until one is written to.
    pub cloned_bytes: u64,
    /// Bytes of files that are linked: they are the same files.
    pub linked_bytes: u64,
    /// The verification of the backup, if it was asked for.
    pub verification: Option<Verification>,
}

/// A backup under way: [`Backup::step`] does a piece of it. Dropped before it is over, it leaves a directory that is known
/// to be unfinished.
#[derive(Debug)]
pub struct Backup {
    store: Arc<Shared>,
    source: Arc<dyn Storage>,
    /// Gone once it is finished.
    target: Option<Target>,
    /// Where the backup ends.
    until: Reach,
    /// The header of the segment in which it ends.
    last_header: (SegmentHeader, u32),
    cursors: Positions,
    /// The segments that are still to be copied, by first position.
    segments: VecDeque<u64>,
    index: IndexFiles,
    /// In which ways files may be shared, best first.
    ways: Vec<Sharing>,
    work: Work,
    options: BackupOptions,
    come_to: BackedUp,
}

/// What is done at the moment.
#[derive(Debug)]
enum Work {
    Segments,
    Segment(Box<SegmentCopy>),
    Index,
    IndexFile(FileCopy),
    Check(Box<Check>),
    Over,
    Failed,
}

/// The index files that belong into the backup.
#[derive(Debug, Default)]
struct IndexFiles {
    todo: Vec<String>,
    made: BTreeSet<String>,
    rounds: u32,
}

impl Backup {
    pub(crate) fn at(store: Arc<Shared>, path: &Path, options: BackupOptions) -> Result<Self, CopyError> {
        let inner = store.open()?;
        let about = |source| CopyError::Path { path: path.to_owned(), source };
        if inner.view.sealer.storage.holds(path).map_err(about)? {
            return Err(CopyError::Inside { path: path.to_owned() });
        }
        drop(inner);
        Self::new(store, Target::at(path)?, options)
    }

    pub(crate) fn begin(
        store: Arc<Shared>,
        storage: Arc<dyn Storage>,
        options: BackupOptions,
    ) -> Result<Self, CopyError> {
        drop(store.open()?);
        Self::new(store, Target::begin(storage)?, options)
    }

    fn new(store: Arc<Shared>, target: Target, options: BackupOptions) -> Result<Self, CopyError> {
        let inner = store.open()?;
        let view = &inner.view;
        let source = Arc::clone(&view.sealer.storage);
        // Before the head: what a cursor has passed must be in the backup, or its reader would miss what is appended there.
        let cursors = cursors::load(&*source)?;
        let until = inner.durable_reach()?;
        // An empty segment may be made longer, with a new header, and one that has ended may be cut: not at this moment.
        let last_header = inner.while_nobody_appends(|| view.segments.get(until.segment)?.header())?;
        let segments = segments(&*source, view.segments.firsts(), until)?;
        drop(inner);
        let ways = if options.copy { Vec::new() } else { vec![Sharing::Clone, Sharing::Link] };
        let (head, count) = (until.position, segments.len() as u64);
        let come_to = BackedUp { head, segments: count, ..BackedUp::default() };
        let (target, index, work) = (Some(target), IndexFiles::default(), Work::Segments);
        Ok(Self {
            store,
            source,
            target,
            until,
            last_header,
            cursors,
            segments,
            index,
            ways,
            work,
            options,
            come_to,
        })
    }

    /// Does a piece of the work; what it came to, once all is done and durable.
    pub fn step(&mut self) -> Result<Option<BackedUp>, CopyError> {
        let open = self.store.open()?;
        let work = std::mem::replace(&mut self.work, Work::Failed);
        self.work = self.advance(work)?;
        drop(open);
        Ok(matches!(self.work, Work::Over).then(|| self.come_to.clone()))
    }

    /// Bytes that are behind.
    pub fn progress(&self) -> u64 {
        self.come_to.copied_bytes + self.come_to.cloned_bytes + self.come_to.linked_bytes
    }

    fn advance(&mut self, work: Work) -> Result<Work, CopyError> {
        match work {
            Work::Segments => match self.segments.pop_front() {
                Some(first) => self.begin_segment(first),
                None => Ok(Work::Index),
            },
            Work::Segment(mut copy) => {
                let before = copy.end.offset;
                let goes_on = copy.step()?;
                self.come_to.copied_bytes += copy.end.offset - before;
                if goes_on {
                    return Ok(Work::Segment(copy));
                }
                if copy.end.header.first_position == self.until.segment {
                    self.target()?.write_marks(copy.end.header.store, Reach::of(&copy.end))?;
                }
                Ok(Work::Segments)
            }
            Work::Index => self.next_index_file(),
            Work::IndexFile(mut copy) => {
                if copy.step()? {
                    return Ok(Work::IndexFile(copy));
                }
                self.come_to.copied_bytes += copy.length();
                Ok(Work::Index)
            }
            Work::Check(mut check) => match check.step()? {
                None => Ok(Work::Check(check)),
                Some(verification) => {
                    self.come_to.index_files = verification.index_files;
                    self.come_to.verification = Some(verification);
                    self.finish()
                }
            },
            Work::Over => Ok(Work::Over),
            Work::Failed => Err(CopyError::BrokenOff),
        }
    }

    fn target(&self) -> Result<&Target, CopyError> {
        self.target.as_ref().ok_or(CopyError::BrokenOff)
    }

    fn begin_segment(&mut self, first: u64) -> Result<Work, CopyError> {
        let name = segment::file_name(first);
        let until = (first == self.until.segment).then_some(self.until);
        // Of the two that are written to by recovery, the one that has ended can be cloned.
        let shared = match (until, self.segments.len()) {
            (Some(_), _) => false,
            (None, 1) => self.share(&name, &[Sharing::Clone])?,
            _ => self.share(&name, &[Sharing::Clone, Sharing::Link])?,
        };
        if shared {
            return Ok(Work::Segments);
        }
        let source = Segment::new(first, self.open(&name)?);
        let header = if until.is_some() { self.last_header } else { source.header()? };
        let is_in_place = header.0.first_position == first && header.0.store == self.last_header.0.store;
        if !is_in_place {
            return Err(source.corrupt(0, "the segment belongs to another place or store").into());
        }
        let file = self.create(&name)?;
        self.come_to.copied_bytes += segment::HEADER_BYTES as u64;
        Ok(Work::Segment(Box::new(SegmentCopy::begin(source, header, file, until)?)))
    }

    /// Has the backup share a file with the store; `false` if it has to be copied.
    fn share(&mut self, name: &str, ways: &[Sharing]) -> Result<bool, CopyError> {
        let target = Arc::clone(&self.target()?.storage);
        for how in ways {
            if !self.ways.contains(how) {
                continue;
            }
            let shared = target.share(name, *how, &*self.source, name);
            if !shared.map_err(StorageError::io("share", name))? {
                // One that cannot be linked has too many links, or belongs to somebody else; no other can be cloned.
                self.ways.retain(|way| way != how || *how == Sharing::Link);
                continue;
            }
            let file = target.open(name).map_err(StorageError::io("open the copy of", name))?;
            file.sync_all().map_err(StorageError::io("sync the copy of", name))?;
            let length = file.len().map_err(StorageError::io("measure the copy of", name))?;
            match how {
                Sharing::Clone => self.come_to.cloned_bytes += length,
                Sharing::Link => self.come_to.linked_bytes += length,
            }
            return Ok(true);
        }
        Ok(false)
    }

    /// Takes the next index file. One that is gone has been merged into another, which is looked for.
    fn next_index_file(&mut self) -> Result<Work, CopyError> {
        let Some(name) = self.index.todo.pop() else {
            let wanted = index_files(&list(&*self.source)?, self.until.position);
            self.index.todo =
                wanted.iter().filter(|name| !self.index.made.contains(*name)).cloned().collect();
            self.index.rounds += 1;
            if !self.index.todo.is_empty() && self.index.rounds <= INDEX_ROUNDS {
                return Ok(Work::Index);
            }
            return self.end_index(&wanted);
        };
        let is_gone = |error: &CopyError| matches!(error, CopyError::Storage(StorageError::Io { source, .. }) if source.kind() == ErrorKind::NotFound);
        match self.share(&name, &[Sharing::Clone, Sharing::Link]) {
            Err(error) if is_gone(&error) => return Ok(Work::Index),
            Ok(false) => {}
            shared => {
                shared?;
                self.index.made.insert(name);
                return Ok(Work::Index);
            }
        }
        let source = match self.source.open(&name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Work::Index),
            source => source.map_err(StorageError::io("open", &name))?,
        };
        let file = self.create(&name)?;
        self.index.made.insert(name.clone());
        Ok(Work::IndexFile(FileCopy::begin(name, source, file)?))
    }

    /// Removes what was merged meanwhile, and writes what is small.
    fn end_index(&mut self, wanted: &[String]) -> Result<Work, CopyError> {
        let target = self.target()?;
        for name in self.index.made.iter().filter(|name| !wanted.contains(name)) {
            target.storage.remove(name).map_err(StorageError::io("remove", name))?;
        }
        if !self.cursors.is_empty() {
            target.write(CURSORS_FILE, &cursors::encode(&self.cursors))?;
        }
        self.come_to.index_files =
            wanted.iter().filter(|name| self.index.made.contains(*name)).count() as u64;
        if self.options.verify {
            return Ok(Work::Check(Box::new(Check::begin(self.target()?, self.come_to.head)?)));
        }
        self.finish()
    }

    fn finish(&mut self) -> Result<Work, CopyError> {
        self.target.take().ok_or(CopyError::BrokenOff)?.finish()?;
        Ok(Work::Over)
    }

    fn open(&self, name: &str) -> Result<Arc<dyn StorageFile>, StorageError> {
        self.source.open(name).map_err(StorageError::io("open", name))
    }

    fn create(&self, name: &str) -> Result<Arc<dyn StorageFile>, CopyError> {
        Ok(self.target()?.storage.create(name).map_err(StorageError::io("create the copy of", name))?)
    }
}

/// The segments up to a place, by first position. One that is known but not there is missing.
fn segments(source: &dyn Storage, known: Vec<u64>, until: Reach) -> Result<VecDeque<u64>, StorageError> {
    let names = list(source)?;
    let there: BTreeSet<u64> = names.iter().filter_map(|name| segment::first_position(name)).collect();
    let missing = known.into_iter().chain([1, until.segment]).find(|first| !there.contains(first));
    if let Some(first) = missing {
        let what = "the segment is missing".to_owned();
        return Err(StorageError::Corrupt(Corruption { file: segment::file_name(first), offset: 0, what }));
    }
    Ok(there.into_iter().filter(|first| *first <= until.segment).collect())
}

/// The index files of a log that ends at `head`: from position 1 on without a gap, the largest for each stretch.
fn index_files(names: &[String], head: u64) -> Vec<String> {
    let positions = |name: &String| sealed::file_positions(name).map(RangeInclusive::into_inner);
    let mut runs: Vec<(u64, u64)> =
        names.iter().filter_map(positions).filter(|(_, last)| *last <= head).collect();
    runs.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
    let mut next = 1;
    runs.retain(|(first, last)| {
        let continues = *first == next;
        next = if continues { last + 1 } else { next };
        continues
    });
    runs.into_iter().map(|(first, last)| sealed::file_name(first, last)).collect()
}
