//! Types: an exact table of the few there are, and a column with the type of every event.
//!
//! A rare type has a list of its events like a tag. A frequent one has none: it is found by scanning the column, where the
//! masks tell which chunks of 4096 events have any. Beside a shorter clause every type is looked up in the column, event
//! by event.

use std::io;
use std::ops::RangeInclusive;

use super::Sealed;
use super::layout::{CHUNK_EVENTS, Header};
use super::lists::ListCursor;
use super::pages::{Damaged, Pages};
use super::write::SectionWriter;
use crate::bytes::{Decoder, put_short_text};
use crate::index::cursor::Seek;

/// A type on fewer than one in so many events is rare. No more types than this can be frequent, so that a mask of 64
/// bits has one for each.
const RARE: u64 = 64;
/// Stands for the list of a type that has none.
const NO_LIST: u64 = u64::MAX;

/// A type of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TypeEntry {
    pub(super) name: Box<str>,
    pub(super) count: u32,
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) place: Place,
}

/// How the events of a type are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// By its list, so many bytes into the postings.
    List(u64),
    /// In the column, helped by this bit of the masks.
    Column { mask: u64 },
}

/// Whether a type with so many of the events is found by scanning the column.
pub(super) fn is_frequent(count: u32, events: u32) -> bool {
    u64::from(count) * RARE >= u64::from(events)
}

/// Bytes of a number among so many types.
pub(super) fn type_bytes(types: usize) -> u32 {
    match types {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Reads the table of types.
pub(super) fn parse(pages: &Pages, header: &Header) -> Result<Vec<TypeEntry>, Damaged> {
    let section = header.sections.types;
    let bytes = pages.bytes(section, 0, section.length)?;
    decode(bytes, header).ok_or_else(|| pages.damaged(section.offset, "the table of types is malformed"))
}

fn decode(bytes: &[u8], header: &Header) -> Option<Vec<TypeEntry>> {
    let mut decoder = Decoder::new(bytes);
    let mut types: Vec<TypeEntry> = Vec::new();
    let (mut events, mut frequent) = (0, 0);
    for _ in 0..decoder.u32()? {
        let name = decoder.short_text()?;
        let (count, first, last, list) = (decoder.u32()?, decoder.u32()?, decoder.u32()?, decoder.u64()?);
        let place = if is_frequent(count, header.event_count) {
            frequent += 1;
            Place::Column { mask: 1u64.checked_shl(frequent - 1)? }
        } else {
            Place::List(list)
        };
        events += u64::from(count);
        let ascends = types.last().is_none_or(|before| *before.name < *name);
        if !ascends || first > last || last >= header.event_count {
            return None;
        }
        types.push(TypeEntry { name: name.into(), count, first, last, place });
    }
    let fits = events == u64::from(header.event_count) && type_bytes(types.len()) == header.type_bytes;
    (fits && decoder.is_empty()).then_some(types)
}

/// Writes the table of types.
pub(super) fn write(types: &[TypeEntry], out: &mut SectionWriter<'_>) -> io::Result<()> {
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&u32::try_from(types.len()).map_err(io::Error::other)?.to_le_bytes());
    for TypeEntry { name, count, first, last, place } in types {
        put_short_text(&mut bytes, name);
        for number in [count, first, last] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        let list = if let Place::List(at) = place { *at } else { NO_LIST };
        bytes.extend_from_slice(&list.to_le_bytes());
    }
    out.put(&bytes)
}

/// The types of an item, any of which will do.
#[derive(Debug)]
pub(super) struct TypeClause<'a> {
    sealed: &'a Sealed,
    wanted: Wanted,
    count: u64,
    /// The ordinals that are searched.
    range: RangeInclusive<u32>,
    /// What a scan looks for; only set on the clause that leads.
    mask: u64,
    lists: Vec<ListCursor<'a>>,
    leads: bool,
}

/// Numbers of types.
#[derive(Debug)]
enum Wanted {
    One(u32),
    Ascending(Vec<u32>),
}

impl Wanted {
    fn numbers(&self) -> &[u32] {
        match self {
            Self::One(number) => std::slice::from_ref(number),
            Self::Ascending(numbers) => numbers,
        }
    }

    fn has(&self, number: u32) -> bool {
        match self {
            Self::One(wanted) => *wanted == number,
            Self::Ascending(numbers) => numbers.binary_search(&number).is_ok(),
        }
    }
}

impl Sealed {
    /// A clause for those of the types that the file has; `None` if it has none of them.
    pub(super) fn type_clause(
        &self,
        names: &[Box<str>],
        range: &RangeInclusive<u32>,
    ) -> Option<TypeClause<'_>> {
        let number = |name: &str| self.types.binary_search_by(|known| (*known.name).cmp(name)).ok();
        let mut numbers: Vec<u32> =
            names.iter().filter_map(|name| number(name)).map(|number| number as u32).collect();
        numbers.sort_unstable();
        let wanted = match *numbers {
            [] => return None,
            [number] => Wanted::One(number),
            _ => Wanted::Ascending(numbers),
        };
        Some(self.clause(wanted, range))
    }

    /// A clause for the type of this number that leads: every event of it.
    pub(super) fn events_of_type(&self, number: u32) -> Result<TypeClause<'_>, Damaged> {
        self.events_of_type_within(number, &(0..=self.header.event_count - 1))
    }

    /// The same for a range of events. One without a column may find others behind it.
    pub(super) fn events_of_type_within(
        &self,
        number: u32,
        range: &RangeInclusive<u32>,
    ) -> Result<TypeClause<'_>, Damaged> {
        let mut clause = self.clause(Wanted::One(number), range);
        clause.lead()?;
        Ok(clause)
    }

    fn clause(&self, wanted: Wanted, range: &RangeInclusive<u32>) -> TypeClause<'_> {
        let entries = wanted.numbers().iter().filter_map(|number| self.types.get(*number as usize));
        let (mut count, mut first, mut last) = (0, u32::MAX, 0);
        for entry in entries {
            count += u64::from(entry.count);
            (first, last) = (first.min(entry.first), last.max(entry.last));
        }
        let range = first.max(*range.start())..=last.min(*range.end());
        TypeClause { sealed: self, wanted, count, range, mask: 0, lists: Vec::new(), leads: false }
    }

    /// The number of an event's type.
    fn type_of(&self, ordinal: u32) -> Result<u32, Damaged> {
        let bytes = self.column(ordinal, ordinal)?;
        Ok(number(bytes))
    }

    /// The part of the column for these events.
    pub(super) fn column(&self, first: u32, last: u32) -> Result<&[u8], Damaged> {
        let bytes = u64::from(self.header.type_bytes);
        let count = u64::from(last - first) + 1;
        self.pages.bytes(self.header.sections.column, u64::from(first) * bytes, count * bytes)
    }

    /// The frequent types among the events of a chunk.
    fn mask(&self, chunk: u32) -> Result<u64, Damaged> {
        self.pages.array(self.header.sections.masks, u64::from(chunk) * 8).map(u64::from_le_bytes)
    }
}

/// A number of up to four bytes.
pub(super) fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

impl TypeClause<'_> {
    /// The first wanted event of a part of the column, or the last one, counted from the start of the part.
    fn find(&self, column: &[u8], backward: bool) -> Option<usize> {
        match (self.sealed.header.type_bytes, &self.wanted) {
            (1, Wanted::One(wanted)) => find_byte(column, *wanted as u8, backward),
            (1, wanted) => {
                let mut is_wanted = [false; 256];
                for number in wanted.numbers() {
                    if let Some(flag) = is_wanted.get_mut(*number as usize) {
                        *flag = true;
                    }
                }
                let hit = |byte: &u8| is_wanted.get(usize::from(*byte)).is_some_and(|hit| *hit);
                if backward { column.iter().rposition(hit) } else { column.iter().position(hit) }
            }
            (bytes, wanted) => {
                let mut numbers = column.chunks_exact(bytes as usize).map(number);
                let hit = |number| wanted.has(number);
                if backward { numbers.rposition(hit) } else { numbers.position(hit) }
            }
        }
    }

    fn scan_forward(&self, target: u32) -> Result<Option<u32>, Damaged> {
        let mut at = target.max(*self.range.start());
        while at <= *self.range.end() {
            let chunk = at / CHUNK_EVENTS as u32;
            let end = (chunk * CHUNK_EVENTS as u32 + (CHUNK_EVENTS as u32 - 1)).min(*self.range.end());
            if self.sealed.mask(chunk)? & self.mask != 0
                && let Some(found) = self.find(self.sealed.column(at, end)?, false)
            {
                return Ok(Some(at + found as u32));
            }
            at = end + 1;
        }
        Ok(None)
    }

    fn scan_backward(&self, target: u32) -> Result<Option<u32>, Damaged> {
        let mut at = target.min(*self.range.end());
        while at >= *self.range.start() {
            let chunk = at / CHUNK_EVENTS as u32;
            let start = (chunk * CHUNK_EVENTS as u32).max(*self.range.start());
            if self.sealed.mask(chunk)? & self.mask != 0
                && let Some(found) = self.find(self.sealed.column(start, at)?, true)
            {
                return Ok(Some(start + found as u32));
            }
            let Some(before) = start.checked_sub(1) else { break };
            at = before;
        }
        Ok(None)
    }
}

/// The first such byte, or the last one. Many bytes are compared at once: most of them are others.
fn find_byte(bytes: &[u8], wanted: u8, backward: bool) -> Option<usize> {
    const LANES: usize = 64;
    let (groups, rest) = bytes.as_chunks::<LANES>();
    let has = |group: &[u8; LANES]| group.iter().fold(false, |has, byte| has | (*byte == wanted));
    let is = |byte: &u8| *byte == wanted;
    if backward {
        if let Some(place) = rest.iter().rposition(is) {
            return Some(groups.len() * LANES + place);
        }
        let group = groups.iter().rposition(has)?;
        return groups.get(group)?.iter().rposition(is).map(|place| group * LANES + place);
    }
    // Where a type is dense the next one is near.
    let (near, _) = bytes.split_at_checked(8).unwrap_or((bytes, &[]));
    if let Some(place) = near.iter().position(is) {
        return Some(place);
    }
    match groups.iter().position(has) {
        Some(group) => groups.get(group)?.iter().position(is).map(|place| group * LANES + place),
        None => rest.iter().position(is).map(|place| groups.len() * LANES + place),
    }
}

impl Seek for TypeClause<'_> {
    type Error = Damaged;

    fn len(&self) -> usize {
        usize::try_from(self.count).unwrap_or(usize::MAX)
    }

    fn lead(&mut self) -> Result<(), Damaged> {
        self.leads = true;
        for number in self.wanted.numbers() {
            match self.sealed.types.get(*number as usize).map(|entry| entry.place) {
                Some(Place::List(at)) => self.lists.push(self.sealed.list(at)?),
                Some(Place::Column { mask }) => self.mask |= mask,
                None => {}
            }
        }
        Ok(())
    }

    fn seek_forward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        if !self.leads {
            if target > *self.range.end() {
                return Ok(None);
            }
            let is_wanted = self.wanted.has(self.sealed.type_of(target)?);
            return Ok(if is_wanted { Some(target) } else { target.checked_add(1) });
        }
        let mut found = if self.mask == 0 { None } else { self.scan_forward(target)? };
        for list in &mut self.lists {
            let next = list.seek_forward(target)?;
            found = found.into_iter().chain(next).min();
        }
        Ok(found)
    }

    fn seek_backward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        if !self.leads {
            if target < *self.range.start() {
                return Ok(None);
            }
            let is_wanted = self.wanted.has(self.sealed.type_of(target)?);
            return Ok(if is_wanted { Some(target) } else { target.checked_sub(1) });
        }
        let mut found = if self.mask == 0 { None } else { self.scan_backward(target)? };
        for list in &mut self.lists {
            found = found.max(list.seek_backward(target)?);
        }
        Ok(found)
    }
}

/// Writes the column and the masks, event by event.
pub(super) struct ColumnWriter<'a> {
    column: SectionWriter<'a>,
    masks: SectionWriter<'a>,
    /// For each type its bit in the masks; 0 for a rare one.
    bits: Vec<u64>,
    type_bytes: usize,
    mask: u64,
    events: u64,
}

impl<'a> ColumnWriter<'a> {
    pub(super) fn new(column: SectionWriter<'a>, masks: SectionWriter<'a>, types: &[TypeEntry]) -> Self {
        let bit = |entry: &TypeEntry| if let Place::Column { mask } = entry.place { mask } else { 0 };
        let bits = types.iter().map(bit).collect();
        let type_bytes = type_bytes(types.len()) as usize;
        Self { column, masks, bits, type_bytes, mask: 0, events: 0 }
    }

    pub(super) fn push(&mut self, number: u32) -> io::Result<()> {
        self.mask |= self.bits.get(number as usize).copied().unwrap_or_default();
        self.events += 1;
        self.column.put(number.to_le_bytes().get(..self.type_bytes).unwrap_or_default())?;
        if self.events.is_multiple_of(CHUNK_EVENTS) { self.put_mask() } else { Ok(()) }
    }

    /// Writes what is left; the sections are then complete.
    pub(super) fn finish(mut self) -> io::Result<(SectionWriter<'a>, SectionWriter<'a>)> {
        if !self.events.is_multiple_of(CHUNK_EVENTS) {
            self.put_mask()?;
        }
        Ok((self.column, self.masks))
    }

    fn put_mask(&mut self) -> io::Result<()> {
        self.masks.put(&std::mem::take(&mut self.mask).to_le_bytes())
    }
}
