//! Every limit of the data model, and the one error that names a limit and the value that broke it.

use thiserror::Error;

/// Longest event type, tag and cursor name, in bytes of UTF-8.
pub const MAX_TEXT_BYTES: usize = 255;
/// Most tags of one event, and of one query item.
pub const MAX_TAGS: usize = 64;
/// Longest `data` and longest `metadata` of one event: 16 MiB.
pub const MAX_DATA_BYTES: usize = 16 << 20;
/// Most events in one batch.
pub const MAX_BATCH_EVENTS: usize = 65_535;
/// Longest batch as the log stores it, events and conditions together: 256 MiB.
pub const MAX_BATCH_BYTES: usize = 256 << 20;
/// Most items of one query, and most types of one item.
pub const MAX_QUERY_ITEMS: usize = 65_535;
/// Most conditions of one append.
pub const MAX_CONDITIONS: usize = 65_535;
/// Most named cursors of one store.
pub const MAX_CURSORS: usize = 65_535;

/// An argument that the store refuses before anything is written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidInput {
    /// An empty event type, tag or cursor name.
    #[error("the {what} is empty: it must have 1 to {MAX_TEXT_BYTES} bytes")]
    Empty {
        /// What was empty.
        what: &'static str,
    },
    /// An event type, tag or cursor name that is too long.
    #[error("the {what} has {bytes} bytes: the limit is {MAX_TEXT_BYTES}")]
    TooLong {
        /// What was too long.
        what: &'static str,
        /// Its length in UTF-8.
        bytes: usize,
    },
    /// More bytes or elements than the limit allows.
    #[error("{what}: {value} is above the limit of {limit}")]
    AboveLimit {
        /// What was counted, with its unit.
        what: &'static str,
        /// The value given.
        value: usize,
        /// The greatest value allowed.
        limit: usize,
    },
    /// An append without events.
    #[error("an append needs at least one event")]
    EmptyBatch,
    /// A query item with neither types nor tags.
    #[error(
        "a query item needs at least one type or tag; use the query that matches all events to match everything"
    )]
    EmptyItem,
    /// A query without items.
    #[error("a query needs at least one item; use the query that matches all events to match everything")]
    EmptyQuery,
    /// A position that no event has.
    #[error("position must be 1 to {head}, the head of the log, not {position}")]
    NoSuchPosition {
        /// The position given.
        position: u64,
        /// The head of the log.
        head: u64,
    },
    /// A read limit of zero.
    #[error("limit must be at least 1; leave it out for all events")]
    ZeroLimit,
}

/// Checks `value` against `limit`.
pub(crate) fn at_most(what: &'static str, value: usize, limit: usize) -> Result<(), InvalidInput> {
    if value > limit {
        return Err(InvalidInput::AboveLimit { what, value, limit });
    }
    Ok(())
}

/// Checks an event type, a tag or a name: 1 to `MAX_TEXT_BYTES` bytes.
pub(crate) fn text(what: &'static str, text: &str) -> Result<(), InvalidInput> {
    if text.is_empty() {
        return Err(InvalidInput::Empty { what });
    }
    match text.len() {
        ..=MAX_TEXT_BYTES => Ok(()),
        bytes => Err(InvalidInput::TooLong { what, bytes }),
    }
}
