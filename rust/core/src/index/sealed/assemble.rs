//! One file from whatever has the events: sections in their order, each written from start to end.

use std::io::{self, ErrorKind};

use uuid::Uuid;

use super::layout::{CHUNK_EVENTS, Header, MAX_EVENTS, POINT_BYTES, SPAN_BYTES, SPAN_OFFSETS, Sections};
use super::lists::Head;
use super::offsets::OffsetsWriter;
use super::terms::{TermCounts, TermWriter};
use super::types::{self, ColumnWriter, Place, TypeEntry, is_frequent};
use super::write::FileWriter;
use crate::storage::StorageFile;

/// A run of events that becomes a file. Everything is handed over in order, one by one.
pub(super) trait Source {
    type Error: From<io::Error>;

    fn store(&self) -> Uuid;
    fn first_position(&self) -> u64;
    fn event_count(&self) -> u64;
    fn point(&self) -> [u8; POINT_BYTES];

    /// The names of the types, ascending, with their events.
    fn types(&self) -> Vec<(Box<str>, Head)>;
    /// The number of each event's type, as in `types`.
    fn column(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> Result<(), Self::Error>;
    /// The offset of each event, and where the last one ends.
    fn offsets(&mut self, each: &mut dyn FnMut(u32) -> io::Result<()>) -> Result<(), Self::Error>;
    /// Adds every tag hash.
    fn count_tags(&mut self, counts: &mut TermCounts) -> Result<(), Self::Error>;
    /// The events of one type.
    fn events_of_type(
        &mut self,
        number: usize,
        each: &mut dyn FnMut(u32) -> io::Result<()>,
    ) -> Result<(), Self::Error>;
    /// Writes every tag hash, ascending.
    fn tags(&mut self, out: &mut TermWriter<'_>) -> Result<(), Self::Error>;
}

/// Writes the file. Making it durable is left to the caller.
pub(super) fn write<S: Source>(source: &mut S, file: &dyn StorageFile) -> Result<(), S::Error> {
    let event_count = match u32::try_from(source.event_count()) {
        Ok(0) => return Err(io::Error::from(ErrorKind::InvalidInput).into()),
        Ok(count @ ..=MAX_EVENTS) => count,
        _ => return Err(io::Error::from(ErrorKind::FileTooLarge).into()),
    };
    let mut types = entries(source.types(), event_count);
    let type_bytes = types::type_bytes(types.len());
    let mut out = FileWriter::new(file);
    let mut sections = Sections::default();

    let events = u64::from(event_count);
    let column = out.section(events * u64::from(type_bytes));
    let masks = out.section(events.div_ceil(CHUNK_EVENTS) * 8);
    let mut writer = ColumnWriter::new(column, masks, &types);
    source.column(&mut |number| writer.push(number))?;
    let (column, masks) = writer.finish()?;
    (sections.column, sections.masks) = (out.close(column)?, out.close(masks)?);

    let spans = out.section((events + 1).div_ceil(SPAN_OFFSETS) * SPAN_BYTES);
    let increments = out.section(0);
    let mut writer = OffsetsWriter::new(spans, increments);
    source.offsets(&mut |offset| writer.push(offset))?;
    let (spans, increments) = writer.finish()?;
    (sections.spans, sections.increments) = (out.close(spans)?, out.close(increments)?);

    let mut counts = TermCounts::default();
    source.count_tags(&mut counts)?;
    for entry in types.iter().filter(|entry| matches!(entry.place, Place::List(_))) {
        counts.add_list(entry.count);
    }
    let mut terms = TermWriter::new(&mut out, &counts)?;
    for (number, entry) in types.iter_mut().enumerate() {
        let Place::List(at) = &mut entry.place else { continue };
        *at = terms.lists.begin(Head { count: entry.count, first: entry.first, last: entry.last })?;
        source.events_of_type(number, &mut |event| terms.lists.push(event))?;
    }
    source.tags(&mut terms)?;
    let (directory_bits, unit) = (terms.directory_bits, terms.lists.unit);
    terms.finish(&mut out, &mut sections)?;

    let mut table = out.section(0);
    types::write(&types, &mut table)?;
    sections.types = out.close(table)?;
    let header = Header {
        store: source.store(),
        first_position: source.first_position(),
        event_count,
        point: source.point(),
        type_bytes,
        directory_bits,
        postings_unit: u32::try_from(unit).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?,
        sections,
        checksums: 0,
    };
    Ok(out.finish(header, sections)?)
}

/// Decides which types are frequent. Where the lists of the others lie is filled in when they are written.
fn entries(types: Vec<(Box<str>, Head)>, event_count: u32) -> Vec<TypeEntry> {
    let mut mask = 1;
    let entry = |(name, Head { count, first, last })| {
        let place = if is_frequent(count, event_count) {
            let place = Place::Column { mask };
            mask <<= 1;
            place
        } else {
            Place::List(0)
        };
        TypeEntry { name, count, first, last, place }
    };
    types.into_iter().map(entry).collect()
}
