//! The store: wires log, index, commit path and readers together.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use crate::commit::{Committer, Inbox, Syncer};
use crate::condition::AppendCondition;
use crate::copies::{self, Backup, BackupOptions};
use crate::cursors::Cursors;
use crate::error::{AppendError, CopyError, OpenError, ReadError, StorageError};
use crate::event::Event;
use crate::housekeeping::{self, Preparer, Work};
use crate::limits::InvalidInput;
use crate::log::{Reach, SegmentMaker, Segments, StoreSeed, segment};
use crate::opening::{self, Opened, OpenedToRead, Opening};
use crate::processes::{Bell, Locks, Member, SharedLock};
use crate::query::Query;
use crate::read::{Read, ReadCache, ReadOptions};
use crate::reader::Reader;
use crate::storage::{Disk, Memory, ReadOnlyDisk, Storage};
use crate::subscribe::Subscription;
use crate::threads::{Mutex, RwLock};
use crate::verify::{self, Explanation, Verify};
use crate::view::View;

/// Smallest and largest value of [`Options::segment_bytes`].
pub const SEGMENT_BYTES: std::ops::RangeInclusive<u64> = 4 << 10..=segment::MAX_CAPACITY;

/// When an append is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Once it survives power loss.
    Fsync,
    /// Once the operating system has it, so that it survives the death of the process; power loss may take what was
    /// appended within the last interval, but never leaves a hole.
    Os {
        /// How long the log may stay unsynced.
        sync_interval: Duration,
    },
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// When an append is acknowledged.
    pub durability: Durability,
    /// Whether conditions are kept in the log, so that every decision can be checked again later.
    pub record_conditions: bool,
    /// The length at which a log segment is full. The first segments are smaller; a larger batch gets a segment of
    /// its own.
    pub segment_bytes: u64,
    /// How many events the index keeps in memory before it seals them in a file. All handles should use the same.
    pub index_events: usize,
    /// How many bytes of small answers are kept in memory for when the same is read again; 0 for none.
    pub read_cache_bytes: usize,
    /// Whether no other handle, in this process or another, may have the store open at the same time.
    pub exclusive: bool,
    /// Whether the handle only reads: it changes nothing in the directory, keeps nobody out, and follows what others
    /// append. Of the other options only `index_events` and `read_cache_bytes` mean something to it.
    pub read_only: bool,
}

impl Options {
    fn check(&self) -> Result<(), OpenError> {
        if self.read_only && self.exclusive {
            let what = "a handle that is read_only keeps nobody out: it cannot be exclusive as well";
            return Err(OpenError::InvalidOption(what.to_owned()));
        }
        let (least, most) = SEGMENT_BYTES.into_inner();
        let given = self.segment_bytes;
        if (least..=most).contains(&given) {
            return Ok(());
        }
        Err(OpenError::InvalidOption(format!("segment_bytes is {given}: it must be {least} to {most}")))
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            durability: Durability::Fsync,
            record_conditions: true,
            segment_bytes: 64 << 20,
            index_events: 1 << 17,
            read_cache_bytes: 32 << 20,
            exclusive: false,
            read_only: false,
        }
    }
}

/// Figures about an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// The last visible position, which is also the number of events.
    pub head: u64,
    /// Segment files.
    pub segments: u64,
    /// Bytes of all segment files, preallocated room included.
    pub log_bytes: u64,
    /// Files of the index.
    pub index_files: u64,
    /// Bytes of all index files.
    pub index_bytes: u64,
    /// Different event types.
    pub types: u64,
}

/// An open store. It closes when dropped; reads and subscriptions that are left then answer that it is closed.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    housekeepers: Mutex<Vec<JoinHandle<()>>>,
    /// Gone once the store is closed, so that no file of it stays open.
    member: Mutex<Option<(Member, Arc<dyn Storage>)>>,
}

/// What reads and subscriptions share with the store: the open store, until it is closed. Whatever works on it holds
/// it for as long as that takes, so its files are closed with the store and not with the last object that knew it.
#[derive(Debug)]
pub(crate) struct Shared(RwLock<Option<Arc<Inner>>>);

/// A store while it is open.
#[derive(Debug)]
pub(crate) struct Inner {
    role: Role,
    pub(crate) view: Arc<View>,
    cursors: Cursors,
}

/// What a handle may do.
#[derive(Debug)]
enum Role {
    Writer(Arc<Committer>),
    Reader(Reader),
}

impl Store {
    /// Opens the store in the directory, making both if they do not exist.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        let path_error = |source| OpenError::Path { path: path.to_owned(), source };
        let storage: Arc<dyn Storage> = if options.read_only {
            Arc::new(ReadOnlyDisk::open(path).map_err(path_error)?)
        } else {
            Arc::new(Disk::open(path).map_err(path_error)?)
        };
        Self::open_in(storage, options).map_err(|error| error.about_path(path))
    }

    /// Opens a new store in memory.
    pub fn open_memory(options: Options) -> Result<Self, OpenError> {
        if options.read_only {
            let what = "a store in memory is new, and read_only would leave it empty";
            return Err(OpenError::InvalidOption(what.to_owned()));
        }
        Self::open_in(Arc::new(Memory::default()), options)
    }

    /// Opens the store in any storage.
    pub fn open_in(storage: Arc<dyn Storage>, options: Options) -> Result<Self, OpenError> {
        options.check()?;
        // Before anything is made there, such as the files of the locks.
        let names = storage.list().map_err(StorageError::io("list", "the store directory"))?;
        copies::refuse_unfinished(&names)?;
        if options.read_only {
            return Self::open_to_read(&storage, options);
        }
        let member = Member::new(&*storage, options.exclusive)?;
        let locks = Locks::open(&*storage, &member)?;
        let entry = member.enter(&*storage)?;
        let segments = Arc::new(Segments::new(Arc::clone(&storage)));
        let opening = Opening {
            storage: Arc::clone(&storage),
            segments: Arc::clone(&segments),
            index_lock: locks.index,
            lock_ids: locks.ids,
            options,
        };
        let opened = if entry.is_first { opening.recover()? } else { opening.join()? };
        entry.complete()?;
        let view = Arc::new(view(opened, segments, options));
        let (marks, segments) = (Arc::clone(&view.marks), Arc::clone(&view.segments));
        let syncer = Syncer::new(marks, locks.sync, segments, options.durability);
        let work = Arc::new(Work::default());
        let committer = Arc::new(Committer::new(
            locks.append,
            Arc::clone(&view),
            syncer,
            options.record_conditions,
            work,
        ));
        let preparer = Preparer { maker: SegmentMaker::new(Arc::clone(&storage)), lock: locks.prepare };
        let housekeepers = housekeeping::start(&committer, preparer, options.durability)
            .map_err(StorageError::io("start a thread for", "the store"))?;
        let cursors = Cursors::new(Arc::clone(&storage), locks.cursors);
        let inner = Inner { role: Role::Writer(committer), view, cursors };
        Ok(Self {
            shared: Arc::new(Shared(RwLock::new(Some(Arc::new(inner))))),
            housekeepers: Mutex::new(housekeepers.into()),
            member: Mutex::new(Some((member, storage))),
        })
    }

    fn open_to_read(storage: &Arc<dyn Storage>, options: Options) -> Result<Self, OpenError> {
        let OpenedToRead { opened, segments, storage, watch } = opening::open_to_read(storage, options)?;
        let view = Arc::new(view(opened, segments, options));
        let cursors = Cursors::new(Arc::clone(&storage), SharedLock::open(&*storage, SharedLock::CURSORS)?);
        let inner = Inner { role: Role::Reader(Reader::new(watch, Arc::clone(&view))), view, cursors };
        Ok(Self {
            shared: Arc::new(Shared(RwLock::new(Some(Arc::new(inner))))),
            housekeepers: Mutex::default(),
            member: Mutex::new(None),
        })
    }

    /// Appends the events as one batch, all or nothing, unless an event matches one of the conditions (I2, I4).
    /// Returns the position of the last event once it is as durable as the store promises.
    pub fn append(&self, events: Vec<Event>, conditions: Vec<AppendCondition>) -> Result<u64, AppendError> {
        self.shared.get().ok_or(AppendError::Closed)?.committer()?.append(events, conditions)
    }

    /// Queues an append and returns at once. What [`Store::append`] would return is delivered to the inbox under `id`,
    /// which need not be unique; an error that is returned here is not. Submitted appends keep their order.
    pub fn submit(
        &self,
        events: Vec<Event>,
        conditions: Vec<AppendCondition>,
        inbox: &Arc<dyn Inbox>,
        id: u64,
    ) -> Result<(), AppendError> {
        self.shared.get().ok_or(AppendError::Closed)?.committer()?.submit(events, conditions, inbox, id)
    }

    /// Takes a snapshot and reads from it.
    pub fn read(&self, query: Query, options: ReadOptions) -> Result<Read, ReadError> {
        Read::new(Arc::clone(&self.shared), query, options)
    }

    /// The events after a position as they come.
    pub fn subscribe(&self, query: Query, after: u64) -> Result<Subscription, ReadError> {
        Subscription::new(Arc::clone(&self.shared), query, after)
    }

    /// The last visible position, 0 for an empty store.
    pub fn head(&self) -> Result<u64, ReadError> {
        let inner = self.shared.open()?;
        Ok(inner.head()?)
    }

    /// Waits until the head is past `after`, at most for `timeout`. Returns the head.
    pub fn wait(&self, after: u64, timeout: Duration) -> Result<u64, ReadError> {
        let inner = self.shared.open()?;
        match &inner.role {
            Role::Writer(committer) => committer.syncer.wait(after, timeout, || self.is_closed()),
            Role::Reader(reader) => reader.wait(after, timeout, || self.is_closed())?,
        }
        self.head()
    }

    /// The position of a named cursor, 0 if it was never set.
    pub fn get_cursor(&self, name: &str) -> Result<u64, ReadError> {
        self.shared.open()?.cursors.get(name)
    }

    /// Sets a named cursor, durably, if it stands at `expected` or nothing is expected. `false` if it stands elsewhere.
    pub fn set_cursor(&self, name: &str, position: u64, expected: Option<u64>) -> Result<bool, ReadError> {
        let inner = self.shared.open()?;
        match inner.role {
            Role::Writer(_) => inner.cursors.set(name, position, expected),
            Role::Reader(_) => Err(ReadError::ReadOnly),
        }
    }

    /// Begins to verify the store, up to its head: its log, its index, and all conditions that appends were accepted under.
    pub fn verify(&self) -> Result<Verify, ReadError> {
        Verify::of_store(Arc::clone(&self.shared))
    }

    /// How the event at a position came to be in the log.
    pub fn why(&self, position: u64) -> Result<Explanation, ReadError> {
        let inner = self.shared.open()?;
        let head = inner.head()?;
        if !(1..=head).contains(&position) {
            return Err(InvalidInput::NoSuchPosition { position, head }.into());
        }
        inner.index_up_to(head)?;
        Ok(verify::explain(&inner.view, position)?)
    }

    /// Begins a copy of the store in a new directory, up to its head, while it goes on.
    pub fn backup(&self, path: &Path, options: BackupOptions) -> Result<Backup, CopyError> {
        Backup::at(Arc::clone(&self.shared), path, options)
    }

    /// The same in any storage.
    pub fn backup_in(&self, storage: Arc<dyn Storage>, options: BackupOptions) -> Result<Backup, CopyError> {
        Backup::begin(Arc::clone(&self.shared), storage, options)
    }

    /// Figures about the store.
    pub fn stats(&self) -> Result<Stats, ReadError> {
        let inner = self.shared.open()?;
        let head = inner.head()?;
        inner.index_up_to(head)?;
        let index = inner.view.index.read();
        Ok(Stats {
            head,
            segments: inner.view.segments.len() as u64,
            log_bytes: inner.view.segments.bytes()?,
            index_files: index.sealed().len() as u64,
            index_bytes: index.sealed().iter().map(|part| part.bytes()).sum(),
            types: index.type_names().len() as u64,
        })
    }

    /// Whether [`Store::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.get().is_none()
    }

    /// Whether the store was opened to be read only.
    pub fn is_read_only(&self) -> bool {
        self.shared.get().is_some_and(|inner| matches!(inner.role, Role::Reader(_)))
    }

    /// Finishes the appends under way, wakes all waiters, makes everything durable and lets go of the directory.
    /// Closing again does nothing but wait for that.
    pub fn close(&self) -> Result<(), StorageError> {
        let mut member = self.member.lock();
        let Some(inner) = self.shared.0.write().take() else { return Ok(()) };
        let Role::Writer(committer) = &inner.role else {
            inner.view.marks.ring(Bell::Head);
            inner.cursors.close();
            return Ok(());
        };
        committer.close();
        // The marks are of use here if they are whole, and do no harm if not.
        drop(inner.view.marks.check_intact());
        inner.view.marks.ring(Bell::Head);
        committer.work.stop();
        inner.view.sealer.stop();
        for housekeeper in self.housekeepers.lock().drain(..) {
            // What it could have failed at is done again here.
            drop(housekeeper.join());
        }
        inner.cursors.close();
        // A poisoned store has said so already, and has nothing that could be closed in order.
        let poisoned = committer.syncer.check().is_err();
        let closed = if poisoned { Ok(()) } else { committer.seal() };
        let Some((member, storage)) = member.take() else { return closed };
        let left = member.leave(|| {
            // A prepared file that stays is removed when the store is opened again.
            drop(SegmentMaker::new(storage).discard());
            if !poisoned {
                inner.view.seal_long_tail();
            }
        });
        closed.and(left)
    }
}

fn view(opened: Opened, segments: Arc<Segments>, options: Options) -> View {
    View {
        seed: StoreSeed::new(opened.writer.store()),
        writer: Mutex::new(opened.writer),
        index: RwLock::new(opened.index),
        sealer: opened.sealer,
        segments,
        marks: Arc::new(opened.marks),
        cache: ReadCache::new(options.read_cache_bytes),
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // Whoever wants to know closes explicitly. What was acknowledged is safe either way.
        drop(self.close());
    }
}

impl Shared {
    /// The open store, `None` once it is closed.
    fn get(&self) -> Option<Arc<Inner>> {
        self.0.read().clone()
    }

    /// The open store, for whatever only reads.
    pub(crate) fn open(&self) -> Result<Arc<Inner>, ReadError> {
        self.get().ok_or(ReadError::Closed)
    }
}

impl Inner {
    fn committer(&self) -> Result<&Arc<Committer>, AppendError> {
        match &self.role {
            Role::Writer(committer) => Ok(committer),
            Role::Reader(_) => Err(AppendError::ReadOnly),
        }
    }

    /// The last position that readers see.
    pub(crate) fn head(&self) -> Result<u64, StorageError> {
        Ok(self.reach()?.position)
    }

    /// The place in the log that [`Inner::head`] is at.
    pub(crate) fn reach(&self) -> Result<Reach, StorageError> {
        match &self.role {
            Role::Writer(committer) => self.if_intact(committer.syncer.visible_reach()),
            Role::Reader(reader) => {
                // It has to look where that is now.
                reader.refresh()?;
                Ok(self.view.marks.durable())
            }
        }
    }

    /// The place up to which the log is durable: all that readers see by now, which is seen to first. A poisoned store says
    /// how far it came.
    pub(crate) fn durable_reach(&self) -> Result<Reach, StorageError> {
        let Role::Writer(committer) = &self.role else { return self.reach() };
        if committer.syncer.check().is_ok() {
            committer.syncer.make_durable(committer.syncer.visible())?;
        }
        self.if_intact(self.view.marks.durable())
    }

    /// What was read from the marks, unless they have been damaged. Looked at afterwards: they may be lost at any moment.
    fn if_intact(&self, reach: Reach) -> Result<Reach, StorageError> {
        self.view.marks.check_intact()?;
        Ok(reach)
    }

    /// Does something while no process appends. Who only reads has no say in that.
    pub(crate) fn while_nobody_appends<T>(
        &self,
        work: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match &self.role {
            Role::Writer(committer) => committer.while_nobody_appends(work),
            Role::Reader(_) => work(),
        }
    }

    /// Makes sure that the index holds every event up to `head`.
    pub(crate) fn index_up_to(&self, head: u64) -> Result<(), StorageError> {
        match &self.role {
            Role::Writer(committer) => {
                if self.view.index_up_to(head)? {
                    committer.work.seal();
                }
                Ok(())
            }
            Role::Reader(reader) => reader.index_up_to(head),
        }
    }
}
