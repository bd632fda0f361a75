//! Keeps the index files: seals tails, merges neighbours, mends what is damaged. It knows the index and the log.
//!
//! All of it happens off the append path. One handle at a time, among all processes, makes and removes files; the
//! others see from a number in the shared marks that there are new ones, and take them into use.

use std::cmp::Reverse;
use std::io::{self, ErrorKind};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use uuid::Uuid;

use crate::error::StorageError;
use crate::index::sealed::{self, Damaged, MAX_EVENTS, MergeError, Sealed};
use crate::index::{Full, Index};
use crate::indexing;
use crate::log::recovery::End;
use crate::log::{LogWriter, Point, SegmentMaker, Segments};
use crate::processes::SharedLock;
use crate::storage::{MappedFile, Storage, StorageFile};
use crate::threads::RwLock;

/// A file is merged with all newer ones once those hold so many times its events. So of files that begin equal, four make
/// one, four of those the next, and their number is logarithmic in the log, whatever their sizes.
const NEWER_PER_OLDER: u64 = 3;

/// Names of the index files that are being made. There is one maker at a time, which may seal while it merges.
const SEALING: &str = "seal.tmp";
const MERGING: &str = "merge.tmp";

/// Whether a file of this name is left over from making an index file.
pub(crate) fn is_unfinished(name: &str) -> bool {
    name == SEALING || name == MERGING
}

/// Whether a file of this name is one of the index.
pub(crate) fn is_index_file(name: &str) -> bool {
    sealed::file_positions(name).is_some()
}

/// Makes, finds and removes index files.
#[derive(Debug)]
pub(crate) struct Sealer {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) lock: Arc<SharedLock>,
    pub(crate) store: Uuid,
    /// How many events are sealed together.
    pub(crate) run_events: usize,
    /// Set when the store is being closed: what takes long is left for another time.
    pub(crate) stopping: AtomicBool,
}

impl Sealer {
    /// The sealed parts that there are files of. See [`load`].
    pub(crate) fn load(&self, known: &[Arc<Sealed>]) -> Vec<Arc<Sealed>> {
        load(&*self.storage, self.store, known)
    }

    /// Takes into use what files there are.
    pub(crate) fn refresh(&self, index: &RwLock<Index>) {
        let known = index.read().sealed();
        let parts = self.load(&known);
        index.write().replace_sealed(parts);
    }

    /// Seals what is full and durable, and merges what has become many; `true` if there are new files. Does nothing
    /// while somebody else is at it.
    pub(crate) fn tend(
        &self,
        index: &RwLock<Index>,
        durable: &(dyn Fn() -> u64 + Sync),
    ) -> Result<bool, StorageError> {
        let Some(_held) = self.lock.try_hold()? else { return Ok(false) };
        self.refresh(index);
        let mut changed = self.seal_durable(index, durable)?;
        while !self.stopping.load(Ordering::Relaxed) && self.merge(index, durable)? {
            changed = true;
        }
        Ok(changed)
    }

    fn seal_durable(
        &self,
        index: &RwLock<Index>,
        durable: &(dyn Fn() -> u64 + Sync),
    ) -> Result<bool, StorageError> {
        let mut changed = false;
        let next = || index.read().next_to_seal().filter(|full| full.tail.last_position() <= durable());
        while let Some(full) = next().filter(|_| !self.stopping.load(Ordering::Relaxed)) {
            self.seal(&full)?;
            self.refresh(index);
            changed = true;
        }
        Ok(changed)
    }

    /// Seals the current tail as well, which is durable and ends at `point`. For the last member, when it leaves.
    pub(crate) fn seal_tail(&self, index: &RwLock<Index>, point: &Point) {
        index.write().close_tail(point.encode());
        self.absorb(&mut index.write());
    }

    /// Seals all full tails, for a member that is alone. A failure costs memory now and time at the next opening.
    pub(crate) fn absorb(&self, index: &mut Index) {
        while let Some(full) = index.next_to_seal() {
            let before = index.sealed().len();
            if self.seal(&full).is_err() {
                return;
            }
            index.replace_sealed(self.load(&index.sealed()));
            if index.sealed().len() == before {
                return;
            }
        }
    }

    /// Makes the index whole again where a file turned out to be damaged, from the log.
    pub(crate) fn mend(&self, index: &RwLock<Index>, damaged: &Damaged) -> Result<(), StorageError> {
        let _held = self.lock.hold()?;
        self.replace(index, damaged)
    }

    fn replace(&self, index: &RwLock<Index>, damaged: &Damaged) -> Result<(), StorageError> {
        let parts = index.read().sealed();
        let Some(number) = parts.iter().position(|part| part.name() == *damaged.file) else {
            // Somebody else has mended it.
            return Ok(());
        };
        let (before, from) = parts.split_at(number);
        let Some((bad, after)) = from.split_first() else { return Ok(()) };
        let name = bad.name();
        match self.storage.remove(&name) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StorageError::io("remove", &name)(error));
            }
            _ => {}
        }
        let mut scratch = Index::new(before.to_vec(), self.run_events);
        self.read_again(&mut scratch, before.last(), bad)?;
        let mut known = before.to_vec();
        known.extend_from_slice(after);
        index.write().replace_sealed(self.load(&known));
        Ok(())
    }

    /// Indexes and seals the events of `bad`, which come after those of `before`.
    fn read_again(
        &self,
        scratch: &mut Index,
        before: Option<&Arc<Sealed>>,
        bad: &Sealed,
    ) -> Result<(), StorageError> {
        let bug = |what| self.segments.get(1).and_then(|segment| Err(segment.corrupt(0, what)));
        let (segment, end) = match before {
            None => {
                let segment = self.segments.get(1)?;
                let (header, checksum) = segment.header()?;
                (segment, End::of_empty(header, checksum))
            }
            Some(part) => {
                let Some(point) = Point::decode(part.point()) else {
                    return bug("an index file has no point");
                };
                let segment = self.segments.get(point.segment)?;
                let header = segment.header()?.0;
                (segment, point.end(header))
            }
        };
        let Some(to) = Point::decode(bad.point()) else { return bug("an index file has no point") };
        let Some(reach) = to.reach() else { return bug("an index file has no events") };
        let maker = SegmentMaker::new(Arc::clone(&self.storage));
        let mut log = LogWriter::resume(maker, Arc::clone(&self.segments), 0, segment, end);
        log.catch_up(reach, |frame, end| {
            if indexing::add(scratch, frame, end, &self.segments)? {
                self.absorb(scratch);
            }
            Ok(())
        })?;
        scratch.close_tail(to.encode());
        self.absorb(scratch);
        Ok(())
    }

    /// Leaves what takes long for another time.
    pub(crate) fn stop(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    /// Removes all index files.
    pub(crate) fn remove_all(&self, names: &[String]) -> Result<(), StorageError> {
        for name in names.iter().filter(|name| is_index_file(name)) {
            self.storage.remove(name).map_err(StorageError::io("remove", name))?;
        }
        Ok(())
    }

    /// Seals a tail, whose events are all durable. For the holder of the index lock.
    fn seal(&self, full: &Full) -> Result<(), StorageError> {
        let name = sealed::file_name(full.tail.first_position(), full.tail.last_position());
        self.publish(SEALING, &name, |file| sealed::build(&full.tail, &full.point, self.store, file))
    }

    /// Merges the newest files if that is due. For the holder of the index lock.
    fn merge(&self, index: &RwLock<Index>, durable: &(dyn Fn() -> u64 + Sync)) -> Result<bool, StorageError> {
        let parts = index.read().sealed();
        let run = due(&parts);
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return Ok(false) };
        let name = sealed::file_name(*first.positions().start(), *last.positions().end());
        let mut damaged = None;
        let merged = self.publish(MERGING, &name, |file| {
            let between = || self.seal_durable(index, durable).map(drop).map_err(io::Error::other);
            let file = Interleaved { file, stopping: &self.stopping, between: &between };
            sealed::merge(run, &file).map_err(|error| match error {
                MergeError::Io(error) => error,
                MergeError::Damaged(found) => {
                    damaged = Some(found);
                    ErrorKind::InvalidData.into()
                }
            })
        });
        match (damaged, merged) {
            (Some(damaged), _) => return self.replace(index, &damaged).map(|()| true),
            (None, Err(_)) if self.stopping.load(Ordering::Relaxed) => return Ok(false),
            (None, merged) => merged?,
        }
        self.refresh(index);
        for part in run {
            // One that stays is passed over, since the merged one is larger.
            drop(self.storage.remove(&part.name()));
        }
        Ok(true)
    }

    /// Makes a file that appears under its name once it is complete.
    fn publish(
        &self,
        unfinished: &str,
        name: &str,
        write: impl FnOnce(&dyn StorageFile) -> io::Result<()>,
    ) -> Result<(), StorageError> {
        let file = self.storage.create(unfinished).map_err(StorageError::io("create", unfinished))?;
        write(&*file)
            .and_then(|()| file.sync_all())
            .map_err(StorageError::io("write", unfinished))
            .inspect_err(
                // The log needs the room more, if it was that.
                |_| drop(self.storage.remove(unfinished)),
            )?;
        self.storage.rename(unfinished, name).map_err(StorageError::io("rename", unfinished))
    }
}

/// The sealed parts that there are files of, from position 1 on without a gap, the largest for each stretch. A file that
/// cannot be used is passed over: what it would have held is read from the log again (I7).
pub(crate) fn load(storage: &dyn Storage, store: Uuid, known: &[Arc<Sealed>]) -> Vec<Arc<Sealed>> {
    let names = storage.list().unwrap_or_default();
    let mut runs: Vec<(u64, u64)> = names
        .iter()
        .filter_map(|name| sealed::file_positions(name).map(RangeInclusive::into_inner))
        .collect();
    runs.sort_unstable_by_key(|(first, last)| (*first, Reverse(*last)));
    let mut parts: Vec<Arc<Sealed>> = Vec::new();
    let mut next = 1;
    for (first, last) in runs {
        if first != next {
            continue;
        }
        let known = known.iter().find(|part| part.positions() == (first..=last)).cloned();
        if let Some(part) = known.or_else(|| open(storage, store, first, last)) {
            next = last + 1;
            parts.push(part);
        }
    }
    parts
}

fn open(storage: &dyn Storage, store: Uuid, first: u64, last: u64) -> Option<Arc<Sealed>> {
    let name = sealed::file_name(first, last);
    let mapped = storage.open(&name).and_then(|file| file.map()).ok()?;
    Sealed::open(&name, mapped, store).ok().map(Arc::new)
}

/// The newest files, from the oldest one on that is small beside what follows it; empty if none is.
fn due(parts: &[Arc<Sealed>]) -> &[Arc<Sealed>] {
    let events = |parts: &[Arc<Sealed>]| parts.iter().map(|part| u64::from(part.event_count())).sum::<u64>();
    let is_due = |from: &usize| {
        let (older, newer) = parts.split_at(from + 1);
        let older = older.last().map_or(0, |part| u64::from(part.event_count()));
        let newer = events(newer);
        newer >= older * NEWER_PER_OLDER && older + newer <= u64::from(MAX_EVENTS)
    };
    let from = (0..parts.len()).find(|from| from + 1 < parts.len() && is_due(from));
    from.and_then(|from| parts.get(from..)).unwrap_or_default()
}

/// A file that is written in between other work, and not at all once the store is being closed.
struct Interleaved<'a> {
    file: &'a dyn StorageFile,
    stopping: &'a AtomicBool,
    between: &'a (dyn Fn() -> io::Result<()> + Sync),
}

impl std::fmt::Debug for Interleaved<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.file.fmt(f)
    }
}

impl StorageFile for Interleaved<'_> {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        if self.stopping.load(Ordering::Relaxed) {
            return Err(ErrorKind::Interrupted.into());
        }
        (self.between)()?;
        self.file.write_all_at(bytes, offset)
    }

    fn preallocate(&self, from: u64, length: u64) -> io::Result<()> {
        self.file.preallocate(from, length)
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn sync_all(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn map(&self) -> io::Result<Arc<dyn MappedFile>> {
        self.file.map()
    }
}
