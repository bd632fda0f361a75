//! Events as values. An event is kept in its encoded form: the bytes that are appended are the bytes
//! that the log stores and that a reader gets, so none is rebuilt on the way.
//!
//! ```text
//! flags u8 | type length u8 | tag count u8 | 0 u8 | data length u32 | [metadata length u32] | [id 16]
//! type | tag count x (length u8, tag) | data | [metadata]
//! ```

use std::sync::Arc;

use hashbrown::HashSet;
use uuid::Uuid;

use crate::bytes::{Decoder, length32, put_short_text};
use crate::limits::{self, InvalidInput, MAX_DATA_BYTES, MAX_TAGS};

const HAS_ID: u8 = 1;
const HAS_METADATA: u8 = 2;

/// An event that can be appended: type, tags, data, and optionally metadata and an id. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Event {
    bytes: Arc<[u8]>,
}

/// An event with what the store adds: where it stands in the log and when it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SequencedEvent {
    /// Its place in the log, from 1.
    pub position: u64,
    /// Microseconds since the Unix epoch, UTC; one value for a whole batch, never decreasing in the log.
    pub recorded_at: u64,
    /// The event itself.
    pub event: Event,
}

/// The parts of an encoded event, borrowed from its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventView<'a> {
    /// The event type.
    pub event_type: &'a str,
    /// The tags, in the order first given.
    pub tags: Tags<'a>,
    /// The payload.
    pub data: &'a [u8],
    /// What else the caller stored beside the payload.
    pub metadata: Option<&'a [u8]>,
    /// The caller's identifier of this event.
    pub id: Option<Uuid>,
}

/// The encoded tags of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tags<'a> {
    encoded: &'a [u8],
    count: u8,
}

impl Event {
    /// Checks the parts against the limits and encodes them. Repeated tags are dropped.
    pub fn new<T: AsRef<str>>(
        event_type: &str,
        tags: &[T],
        data: &[u8],
        metadata: Option<&[u8]>,
        id: Option<Uuid>,
    ) -> Result<Self, InvalidInput> {
        limits::text("event type", event_type)?;
        limits::at_most("bytes of data", data.len(), MAX_DATA_BYTES)?;
        limits::at_most("bytes of metadata", metadata.map_or(0, <[u8]>::len), MAX_DATA_BYTES)?;
        let tags = distinct_texts("tag", tags)?;
        limits::at_most("tags of an event", tags.len(), MAX_TAGS)?;

        let tag_bytes: usize = tags.iter().map(|tag| tag.len() + 1).sum();
        let metadata_bytes = metadata.map_or(0, <[u8]>::len);
        let mut out = Vec::with_capacity(28 + event_type.len() + tag_bytes + data.len() + metadata_bytes);
        let flags = if id.is_some() { HAS_ID } else { 0 } | if metadata.is_some() { HAS_METADATA } else { 0 };
        let count = |length: usize| u8::try_from(length).expect("checked against the limits above");
        out.extend_from_slice(&[flags, count(event_type.len()), count(tags.len()), 0]);
        out.extend_from_slice(&length32(data.len()).to_le_bytes());
        if let Some(metadata) = metadata {
            out.extend_from_slice(&length32(metadata.len()).to_le_bytes());
        }
        if let Some(id) = id {
            out.extend_from_slice(id.as_bytes());
        }
        out.extend_from_slice(event_type.as_bytes());
        for tag in tags {
            put_short_text(&mut out, tag);
        }
        out.extend_from_slice(data);
        out.extend_from_slice(metadata.unwrap_or_default());
        Ok(Self { bytes: out.into() })
    }

    /// Takes over the encoded form; `None` if the bytes are not exactly one valid event.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        EventView::decode(bytes)?;
        Some(Self { bytes: bytes.into() })
    }

    /// The encoded form.
    pub fn encoded(&self) -> &[u8] {
        &self.bytes
    }

    /// The parts of the event.
    pub fn view(&self) -> EventView<'_> {
        EventView::parse(&self.bytes).expect("an event is validated when it is made")
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.view().fmt(f)
    }
}

impl<'a> EventView<'a> {
    /// Reads one encoded event; `None` unless the bytes are exactly one valid event.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let view = Self::parse(bytes)?;
        let mut tags = Decoder::new(view.tags.encoded);
        let valid = (0..view.tags.count).all(|_| tags.short_text().is_some_and(|tag| !tag.is_empty()));
        (valid && tags.is_empty() && !view.event_type.is_empty()).then_some(view)
    }

    /// Splits the bytes into parts; tags are found but not looked into.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let mut decoder = Decoder::new(bytes);
        let [flags, type_length, tag_count, zero] = decoder.array()?;
        if flags & !(HAS_ID | HAS_METADATA) != 0 || zero != 0 || usize::from(tag_count) > MAX_TAGS {
            return None;
        }
        let data_length = usize::try_from(decoder.u32()?).ok()?;
        let metadata_length = match flags & HAS_METADATA {
            0 => None,
            _ => Some(usize::try_from(decoder.u32()?).ok()?),
        };
        let id = match flags & HAS_ID {
            0 => None,
            _ => Some(Uuid::from_bytes(decoder.array()?)),
        };
        let event_type = std::str::from_utf8(decoder.take(usize::from(type_length))?).ok()?;
        let mut tags = decoder.clone();
        let mut tag_bytes = 0;
        for _ in 0..tag_count {
            let length = usize::from(tags.u8()?);
            tags.take(length)?;
            tag_bytes += length + 1;
        }
        let tags = Tags { encoded: decoder.take(tag_bytes)?, count: tag_count };
        let data = decoder.take(data_length)?;
        let metadata = match metadata_length {
            Some(length) => Some(decoder.take(length)?),
            None => None,
        };
        decoder.is_empty().then_some(Self { event_type, tags, data, metadata, id })
    }
}

impl<'a> Tags<'a> {
    /// The tags one by one.
    pub fn iter(self) -> impl ExactSizeIterator<Item = &'a str> {
        let mut decoder = Decoder::new(self.encoded);
        (0..usize::from(self.count))
            .map(move |_| decoder.short_text().expect("tags are validated with their event"))
    }

    /// Whether `tag` is one of them.
    pub fn contains(self, tag: &str) -> bool {
        self.iter().any(|own| own == tag)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        usize::from(self.count)
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }
}

/// Checks each text and drops repetitions, keeping the order in which they were first seen.
pub(crate) fn distinct_texts<'a, T: AsRef<str>>(
    what: &'static str,
    texts: &'a [T],
) -> Result<Vec<&'a str>, InvalidInput> {
    let mut distinct: Vec<&str> = Vec::with_capacity(texts.len());
    let mut seen = HashSet::new();
    for text in texts {
        let text = text.as_ref();
        limits::text(what, text)?;
        // A handful is compared one by one; a set keeps thousands from taking quadratic time.
        let is_new = match distinct.len() {
            0..16 => !distinct.contains(&text),
            16 => {
                seen.extend(distinct.iter().copied());
                seen.insert(text)
            }
            _ => seen.insert(text),
        };
        if is_new {
            distinct.push(text);
        }
    }
    Ok(distinct)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_gives_back_what_it_was_made_of() {
        let id = Uuid::from_bytes([7; 16]);
        let event = Event::new("Paid", &["a:1", "b:2", "a:1"], b"\0data", Some(b"meta"), Some(id)).unwrap();
        let view = EventView::decode(event.encoded()).unwrap();
        assert_eq!(view, event.view());
        assert_eq!(view.event_type, "Paid");
        assert_eq!(view.tags.iter().collect::<Vec<_>>(), ["a:1", "b:2"]);
        assert_eq!((view.data, view.metadata, view.id), (&b"\0data"[..], Some(&b"meta"[..]), Some(id)));
    }

    #[test]
    fn empty_metadata_is_not_absent_metadata() {
        let empty = Event::new::<&str>("T", &[], b"", Some(b""), None).unwrap();
        let absent = Event::new::<&str>("T", &[], b"", None, None).unwrap();
        assert_eq!(empty.view().metadata, Some(&b""[..]));
        assert_eq!(absent.view().metadata, None);
    }

    #[test]
    fn limits_are_inclusive() {
        let text = "x".repeat(256);
        assert!(Event::new::<&str>(&text[..255], &[], b"", None, None).is_ok());
        assert_eq!(
            Event::new::<&str>(&text, &[], b"", None, None).unwrap_err().to_string(),
            "the event type has 256 bytes: the limit is 255"
        );
        let tags: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert!(Event::new("T", &tags[..64], b"", None, None).is_ok());
        assert!(Event::new("T", &tags, b"", None, None).is_err());
        assert!(Event::new("T", &[""], b"", None, None).is_err());
    }

    #[test]
    fn no_damaged_length_is_believed() {
        let event = Event::new("Paid", &["a:1"], b"data", Some(b"meta"), None).unwrap();
        for length in 0..event.encoded().len() {
            assert_eq!(EventView::decode(&event.encoded()[..length]), None);
        }
        for at in 0..12 {
            let mut bytes = event.encoded().to_vec();
            bytes[at] = 0xFF;
            assert_eq!(EventView::decode(&bytes), None, "byte {at}");
        }
    }
}
