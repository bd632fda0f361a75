//! Opening to read only: without becoming a member, and without changing anything.
//!
//! If somebody has the store open, the log is read up to what their marks call durable. If nobody has, it is read as the
//! first member would recover it, so that damage is found where it would be found then; and shown as far as the marks call it
//! durable, if they are of this run of the system. What would be written stays in memory.

use std::sync::Arc;

use super::scan::{self, Found};
use super::{Opened, Opening, check_never_begun, segment_firsts};
use crate::error::{OpenError, StorageError};
use crate::index::Index;
use crate::indexing;
use crate::log::recovery::End;
use crate::log::{Reach, Segments};
use crate::processes::{Marks, Memberships, SharedLock, Watch};
use crate::storage::{Overlay, Storage};
use crate::store::Options;

/// What a store that is open to be read starts from. The marks are its own.
pub(crate) struct OpenedToRead {
    pub(crate) opened: Opened,
    pub(crate) segments: Arc<Segments>,
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) watch: Watch,
}

/// Opens the store for reading.
///
/// Reading a log that nobody has open takes as long as recovering it, and is done without a lock, so as to keep nobody from
/// opening the store. If somebody does, or something is wrong, all is read again while nobody can come.
pub(crate) fn open_to_read(storage: &Arc<dyn Storage>, options: Options) -> Result<OpenedToRead, OpenError> {
    let members = Memberships::look(&**storage)?;
    let any = members.any;
    drop(members);
    if let Ok(Some(opened)) = attempt(storage, options, any) {
        return Ok(opened);
    }
    let mut members = Memberships::look(&**storage)?;
    let opened = match attempt(storage, options, members.any)? {
        Some(opened) => return Ok(opened),
        // Somebody made the locks only now.
        None => {
            members = Memberships::look(&**storage)?;
            attempt(storage, options, members.any)?
        }
    };
    drop(members);
    opened.ok_or_else(|| {
        let busy = std::io::ErrorKind::ResourceBusy.into();
        StorageError::io("look at", "the store directory")(busy).into()
    })
}

/// `None` if somebody opened the store meanwhile, so that what was read may be of two moments.
fn attempt(
    below: &Arc<dyn Storage>,
    options: Options,
    has_members: bool,
) -> Result<Option<OpenedToRead>, OpenError> {
    let storage: Arc<dyn Storage> = Arc::new(Overlay::new(Arc::clone(below)));
    let segments = Arc::new(Segments::new(Arc::clone(&storage)));
    let index_lock = Arc::new(SharedLock::open(&*storage, SharedLock::INDEX)?);
    let opening = Opening {
        storage: Arc::clone(&storage),
        segments: Arc::clone(&segments),
        index_lock,
        lock_ids: Vec::new(),
        options,
    };
    let names = opening.names()?;
    let firsts = segment_firsts(&names);
    let Some(first) = firsts.first() else {
        check_never_begun(&names)?;
        return Err(OpenError::NoStore);
    };
    let store = segments.get(*first)?.header()?.0.store;
    let watch = Watch::begin(&*storage, store)?;
    let opened = if has_members {
        opening.beside_members(&firsts, &watch)?
    } else {
        let opened = opening.alone(&names, &firsts, &watch)?;
        if watch.somebody_came(&*storage)? {
            return Ok(None);
        }
        opened
    };
    watch.follow(&*storage, &opened.marks)?;
    Ok(Some(OpenedToRead { opened, segments, storage, watch }))
}

impl Opening {
    /// Reads what the members have made durable.
    fn beside_members(self, firsts: &[u64], watch: &Watch) -> Result<Opened, StorageError> {
        let durable = watch.first_of_members()?;
        let first = self.segments.get(1)?;
        let (header, checksum) = first.header()?;
        let sealer = self.sealer(header.store);
        let (mut index, known) = self.sealed(&sealer, firsts, header.store);
        let (segment, end) = known.unwrap_or_else(|| (first, End::of_empty(header, checksum)));
        self.segments.extend(firsts.iter().copied().take_while(|first| *first <= segment.first_position));
        let mut writer = self.writer(segment, end);
        if writer.reach() < durable {
            let segments = &self.segments;
            writer
                .catch_up(durable, |frame, end| indexing::add(&mut index, frame, end, segments).map(drop))?;
        }
        // Index files may go further than the first look: what is in them is durable.
        let reach = writer.reach();
        let marks = self.own_marks(reach, reach)?;
        Ok(Opened { writer, index, sealer, marks })
    }

    /// Reads the log as the first member would recover it.
    fn alone(self, names: &[String], firsts: &[u64], watch: &Watch) -> Result<Opened, StorageError> {
        let store = self.segments.get(*firsts.first().unwrap_or(&1))?.header()?.0.store;
        let sealer = self.sealer(store);
        let (mut index, known): (Index, _) = self.sealed(&sealer, firsts, store);
        if known.is_none() {
            // They are of another log than this one, if there are any.
            sealer.remove_all(names)?;
        }
        let Found { segment, end, .. } = scan::all(&self, firsts, known, &sealer, &mut index)?;
        let writer = self.writer(segment, end);
        watch.check(&writer.reach())?;
        let end = writer.reach();
        let durable = watch.first_of_this_boot().unwrap_or(end);
        // A seal after the last event may have been lost.
        let marks = self.own_marks(end, durable.min(end))?;
        sealer.absorb(&mut index);
        Ok(Opened { writer, index, sealer, marks })
    }

    /// Marks that nobody else sees.
    fn own_marks(&self, written: Reach, durable: Reach) -> Result<Marks, StorageError> {
        let header = self.segments.get(1)?.header()?.0;
        let marks = Marks::map(&*self.storage, header.store)?;
        marks.publish_written(written);
        marks.publish_durable(durable);
        Ok(marks)
    }
}
