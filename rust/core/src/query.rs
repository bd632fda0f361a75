//! Queries, and the one predicate that says what they match.

use std::sync::Arc;

use crate::event::{EventView, distinct_texts};
use crate::limits::{self, InvalidInput, MAX_QUERY_ITEMS, MAX_TAGS};

/// Which events a read returns or a condition guards.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Query {
    /// Every event.
    All,
    /// The events that match at least one of the items.
    Items(Items),
}

/// At least one query item. Made by [`Query::items`], so that no query is empty. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Items(Arc<[QueryItem]>);

/// One alternative of a query: `types` ORed, `tags` ANDed; an empty side does not restrict. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueryItem(Arc<Parts>);

#[derive(Debug, PartialEq, Eq, Hash)]
struct Parts {
    types: Vec<Box<str>>,
    tags: Vec<Box<str>>,
}

impl Query {
    /// A query of the given items.
    pub fn items(items: Vec<QueryItem>) -> Result<Self, InvalidInput> {
        if items.is_empty() {
            return Err(InvalidInput::EmptyQuery);
        }
        limits::at_most("items of a query", items.len(), MAX_QUERY_ITEMS)?;
        Ok(Self::Items(Items(items.into())))
    }

    /// Whether the query matches the event: the oracle that every index answer must agree with.
    pub fn matches(&self, event: &EventView<'_>) -> bool {
        match self {
            Self::All => true,
            Self::Items(items) => items.iter().any(|item| item.matches(event)),
        }
    }
}

impl std::ops::Deref for Items {
    type Target = [QueryItem];

    fn deref(&self) -> &[QueryItem] {
        &self.0
    }
}

impl QueryItem {
    /// Checks and makes an item. Repeated types and tags are dropped.
    pub fn new<T: AsRef<str>, U: AsRef<str>>(types: &[T], tags: &[U]) -> Result<Self, InvalidInput> {
        let types = distinct_texts("event type", types)?;
        let tags = distinct_texts("tag", tags)?;
        if types.is_empty() && tags.is_empty() {
            return Err(InvalidInput::EmptyItem);
        }
        limits::at_most("types of a query item", types.len(), MAX_QUERY_ITEMS)?;
        limits::at_most("tags of a query item", tags.len(), MAX_TAGS)?;
        let boxed = |texts: Vec<&str>| texts.into_iter().map(Box::from).collect();
        Ok(Self(Arc::new(Parts { types: boxed(types), tags: boxed(tags) })))
    }

    /// The types, any of which will do; empty for every type.
    pub fn types(&self) -> &[Box<str>] {
        &self.0.types
    }

    /// The tags, all of which an event must have; empty for any tags.
    pub fn tags(&self) -> &[Box<str>] {
        &self.0.tags
    }

    /// Whether the item matches the event.
    pub fn matches(&self, event: &EventView<'_>) -> bool {
        let type_matches =
            self.types().is_empty() || self.types().iter().any(|own| **own == *event.event_type);
        type_matches && self.tags().iter().all(|tag| event.tags.contains(tag))
    }
}
