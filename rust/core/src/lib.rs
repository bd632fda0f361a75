//! Counterpoint: an embedded event store with dynamic consistency boundaries (DCB, <https://dcb.events>).
//!
//! A store is a directory. Events are appended in batches to a checksummed log; an append can be made to depend on
//! no matching event having arrived since the caller last looked. This crate is the engine; it knows nothing of
//! Python. `docs/design.md` has the numbered invariants that comments quote (I1 to I11).
//!
//! ```
//! use counterpoint::{AppendCondition, AppendError, Event, Options, Query, QueryItem, ReadOptions, Store};
//!
//! let store = Store::open_memory(Options::default())?;
//! let seat = Query::items(vec![QueryItem::new::<&str, _>(&[], &["seat:1A"])?])?;
//!
//! // Read, and remember the head of the snapshot.
//! let read = store.read(seat.clone(), ReadOptions::default())?;
//! assert!(read.chunks().next_chunk()?.is_empty());
//!
//! // Append if the seat is still free; a second decision on the same snapshot is refused.
//! let still_free = AppendCondition { query: seat, after: read.head() };
//! let taken = Event::new("SeatTaken", &["seat:1A"], b"{}", None, None)?;
//! assert_eq!(store.append(vec![taken.clone()], vec![still_free.clone()])?, 1);
//! assert!(matches!(store.append(vec![taken], vec![still_free]), Err(AppendError::Conflict(_))));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::allow_attributes, clippy::disallowed_methods, clippy::disallowed_types)]
#![deny(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]
#![deny(unsafe_code)]
#![cfg_attr(
    test,
    expect(clippy::indexing_slicing, clippy::unwrap_used, reason = "tests stop at the first surprise")
)]

mod bytes;
mod commit;
mod condition;
mod copies;
mod cursors;
#[doc(hidden)]
pub mod decoders;
mod error;
mod event;
mod housekeeping;
mod index;
mod indexing;
mod limits;
pub mod log;
mod opening;
mod processes;
mod query;
mod read;
mod reader;
mod sealing;
pub mod storage;
mod store;
mod subscribe;
mod threads;
mod verify;
mod view;

pub use commit::Inbox;
pub use condition::{AppendCondition, Conflict};
pub use copies::{BackedUp, Backup, BackupOptions, Damage, Inspect, Inspection, Salvage, Salvaged};
pub use error::{AppendError, CopyError, Corruption, OpenError, ReadError, StorageError};
pub use event::{Event, EventView, SequencedEvent, Tags};
pub use limits::{
    InvalidInput, MAX_BATCH_BYTES, MAX_BATCH_EVENTS, MAX_CONDITIONS, MAX_CURSORS, MAX_DATA_BYTES,
    MAX_QUERY_ITEMS, MAX_TAGS, MAX_TEXT_BYTES,
};
pub use query::{Items, Query, QueryItem};
pub use read::{Chunks, Read, ReadOptions};
pub use store::{Durability, Options, SEGMENT_BYTES, Stats, Store};
pub use subscribe::Subscription;
pub use verify::{Explanation, Finding, FindingKind, MAX_FINDINGS, Verification, Verify};
