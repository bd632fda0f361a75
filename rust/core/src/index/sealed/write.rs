//! Writing an index file: sections side by side, each through a small buffer of its own.

use std::io;

use super::layout::{Header, PAGE_BYTES, Section, Sections};
use crate::storage::StorageFile;

/// So much of a section is held back before it is written.
const BUFFER_BYTES: usize = 64 << 10;

/// A section that is being written.
pub(super) struct SectionWriter<'a> {
    file: &'a dyn StorageFile,
    offset: u64,
    /// Bytes that the buffer held before.
    written: u64,
    buffer: Vec<u8>,
    /// One for each page written: a thousandth of the file, the only memory that grows with it.
    checksums: Vec<u32>,
}

impl SectionWriter<'_> {
    /// Bytes put so far.
    pub(super) fn length(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    #[inline]
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES { self.flush() } else { Ok(()) }
    }

    /// Puts zeros up to a multiple of `unit`.
    pub(super) fn align(&mut self, unit: u64) -> io::Result<()> {
        let missing = self.length().next_multiple_of(unit) - self.length();
        for _ in 0..missing {
            self.put(&[0])?;
        }
        Ok(())
    }

    /// Writes the whole pages of the buffer.
    fn flush(&mut self) -> io::Result<()> {
        let length = self.buffer.len() / PAGE_BYTES * PAGE_BYTES;
        let pages = self.buffer.get(..length).unwrap_or_default();
        self.checksums.extend(pages.chunks(PAGE_BYTES).map(crc32c::crc32c));
        self.file.write_all_at(pages, self.offset + self.written)?;
        self.buffer.drain(..length);
        self.written += length as u64;
        Ok(())
    }
}

/// A file that is being written. Sections are placed one behind the other, so one of unknown length has to be closed
/// before the next is begun.
pub(super) struct FileWriter<'a> {
    file: &'a dyn StorageFile,
    /// The first page that is free.
    next: u64,
    /// The checksums of all pages so far.
    checksums: Vec<u32>,
}

impl<'a> FileWriter<'a> {
    pub(super) fn new(file: &'a dyn StorageFile) -> Self {
        // The header's own checksum stands in the header.
        Self { file, next: PAGE_BYTES as u64, checksums: vec![0] }
    }

    /// Begins a section of at most this length, which the sections after it leave free.
    pub(super) fn section(&mut self, length: u64) -> SectionWriter<'a> {
        let offset = self.next;
        self.next = (offset + length).next_multiple_of(PAGE_BYTES as u64);
        SectionWriter {
            file: self.file,
            offset,
            written: 0,
            buffer: Vec::with_capacity(BUFFER_BYTES + PAGE_BYTES),
            checksums: Vec::new(),
        }
    }

    /// Writes the rest of a section, whose length is now known.
    pub(super) fn close(&mut self, mut writer: SectionWriter<'a>) -> io::Result<Section> {
        let section = Section { offset: writer.offset, length: writer.length() };
        writer.buffer.resize(writer.buffer.len().next_multiple_of(PAGE_BYTES), 0);
        writer.flush()?;
        let first = usize::try_from(section.offset).map_err(io::Error::other)? / PAGE_BYTES;
        let end = first + writer.checksums.len();
        if self.checksums.len() < end {
            self.checksums.resize(end, 0);
        }
        let place = self.checksums.get_mut(first..end).expect("resized to hold them");
        place.copy_from_slice(&writer.checksums);
        self.next = self.next.max(section.offset + writer.written);
        Ok(section)
    }

    /// Writes the checksums and the header, which completes the file. Making it durable is left to the caller.
    pub(super) fn finish(self, mut header: Header, sections: Sections) -> io::Result<()> {
        let table: Vec<u8> = self.checksums.iter().flat_map(|checksum| checksum.to_le_bytes()).collect();
        self.file.write_all_at(&table, self.next)?;
        let checksums = Section { offset: self.next, length: table.len() as u64 };
        header.sections = Sections { checksums, ..sections };
        header.checksums = crc32c::crc32c(&table);
        self.file.write_all_at(&header.encode(), 0)
    }
}
