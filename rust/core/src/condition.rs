//! What an append may depend on.

use crate::bytes::{Decoder, length32, put_short_text};
use crate::limits::{self, InvalidInput, MAX_BATCH_BYTES, MAX_CONDITIONS};
use crate::query::{Query, QueryItem};

/// "No event after `after` matches `query`."
///
/// An append takes any number of conditions, each with a position of its own: one for each read that the
/// decision was based on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AppendCondition {
    /// What must not have happened.
    pub query: Query,
    /// The last position the decision has seen (exclusive); 0 for none, so that the whole log counts.
    pub after: u64,
}

/// Why a conditional append was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// The position of an event that matches the condition.
    pub position: u64,
    /// The index of the condition among those of the append.
    pub condition: usize,
}

/// The conditions of an append in the form the log keeps them.
///
/// ```text
/// count u16, then for each condition:
///   after u64 | item count u16 (0: every event), then for each item:
///     type count u16 | tag count u8 | (length u8, text) for each type, then each tag
/// ```
pub(crate) fn encode(conditions: &[AppendCondition]) -> Result<Vec<u8>, InvalidInput> {
    limits::at_most("conditions of an append", conditions.len(), MAX_CONDITIONS)?;
    let mut out = Vec::new();
    if conditions.is_empty() {
        return Ok(out);
    }
    put_count(&mut out, conditions.len());
    for condition in conditions {
        out.extend_from_slice(&condition.after.to_le_bytes());
        let items: &[QueryItem] = match &condition.query {
            Query::All => &[],
            Query::Items(items) => items,
        };
        put_count(&mut out, items.len());
        for item in items {
            put_count(&mut out, item.types().len());
            out.push(u8::try_from(item.tags().len()).expect("checked against MAX_TAGS"));
            for text in item.types().iter().chain(item.tags()) {
                put_short_text(&mut out, text);
            }
            // Sharing an item costs nothing, so a small query can have a very long encoding.
            limits::at_most("bytes of a batch", out.len(), MAX_BATCH_BYTES)?;
        }
    }
    Ok(out)
}

/// Reads back what [`encode`] wrote; `None` unless the bytes are exactly that.
pub fn decode(bytes: &[u8]) -> Option<Vec<AppendCondition>> {
    if bytes.is_empty() {
        return Some(Vec::new());
    }
    let mut decoder = Decoder::new(bytes);
    let count = decoder.u16()?;
    let mut conditions = Vec::new();
    for _ in 0..count {
        let after = decoder.u64()?;
        let items = decoder.u16()?;
        let query = match items {
            0 => Query::All,
            _ => Query::items((0..items).map(|_| decode_item(&mut decoder)).collect::<Option<_>>()?).ok()?,
        };
        conditions.push(AppendCondition { query, after });
    }
    (decoder.is_empty() && count > 0).then_some(conditions)
}

fn decode_item(decoder: &mut Decoder<'_>) -> Option<QueryItem> {
    let types = decoder.u16()?;
    let tags = decoder.u8()?;
    let types: Vec<&str> = (0..types).map(|_| decoder.short_text()).collect::<Option<_>>()?;
    let tags: Vec<&str> = (0..tags).map(|_| decoder.short_text()).collect::<Option<_>>()?;
    QueryItem::new(&types, &tags).ok()
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(length32(count)).expect("counts are checked against the limits");
    out.extend_from_slice(&count.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<AppendCondition> {
        let item = |types: &[&str], tags: &[&str]| QueryItem::new(types, tags).unwrap();
        vec![
            AppendCondition { query: Query::All, after: u64::MAX },
            AppendCondition {
                query: Query::items(vec![item(&["A", "B"], &["t:1", "t:2"]), item(&[], &["é"])]).unwrap(),
                after: 7,
            },
        ]
    }

    #[test]
    fn conditions_survive_encoding() {
        assert_eq!(decode(&encode(&examples()).unwrap()), Some(examples()));
        assert_eq!(decode(&encode(&[]).unwrap()), Some(vec![]));
    }

    #[test]
    fn no_part_of_an_encoding_is_taken_for_the_whole() {
        let bytes = encode(&examples()).unwrap();
        for length in 1..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None);
        }
    }
}
