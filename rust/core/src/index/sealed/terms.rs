//! Writing the tags of an index file in the order of their hashes: filter, directory, dictionary and lists grow together.

use std::io::{self, ErrorKind};

use super::blocks::{self, BLOCK_LENGTH, VARINT_BYTES, put_varint};
use super::dictionary::{IS_LIST, bucket, directory_bits};
use super::filter::{self, Block};
use super::layout::{ENTRY_BYTES, FILTER_BLOCK_BYTES, SKIP_BYTES, Sections};
use super::lists::{Head, between, skip_count};
use super::write::{FileWriter, SectionWriter};

/// What has to be known before the first term is written, so that the sections can be placed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TermCounts {
    hashes: u64,
    skips: u64,
    lists: u64,
    /// The lists take at most so many bytes.
    list_bytes: u64,
}

impl TermCounts {
    /// Counts a tag with so many events.
    pub(super) fn add_tag(&mut self, events: u32) {
        self.hashes += 1;
        if events > 1 {
            self.add_list(events);
        }
    }

    /// Counts a list of so many events.
    pub(super) fn add_list(&mut self, events: u32) {
        let between = u64::from(between(events));
        self.lists += 1;
        self.skips += u64::from(skip_count(events));
        self.list_bytes += (between + 4) * VARINT_BYTES as u64 + between.div_ceil(BLOCK_LENGTH as u64);
    }

    /// The least power of two that leaves every list within reach of a value's 31 bits.
    fn postings_unit(&self) -> u64 {
        let reaches = |unit: &u64| (self.list_bytes + self.lists * unit) / unit < u64::from(IS_LIST);
        (0..32).map(|power| 1 << power).find(reaches).unwrap_or(1 << 31)
    }
}

/// Writes postings and skips.
pub(super) struct ListWriter<'a> {
    postings: SectionWriter<'a>,
    skips: SectionWriter<'a>,
    pub(super) unit: u64,
    head: Head,
    /// Events of the list so far.
    count: u32,
    /// The event pushed last.
    before: u32,
    /// Where the list's first block begins.
    blocks: u64,
    distances: Vec<u32>,
    encoded: Vec<u8>,
}

impl ListWriter<'_> {
    /// Begins a list and returns where it does, in bytes. Its events are pushed next, all of them.
    pub(super) fn begin(&mut self, head: Head) -> io::Result<u64> {
        self.postings.align(self.unit)?;
        let at = self.postings.length();
        for number in [head.count, head.first, head.last - head.first] {
            put_varint(&mut self.encoded, number);
        }
        if skip_count(head.count) > 0 {
            let first_skip = self.skips.length() / SKIP_BYTES;
            put_varint(&mut self.encoded, u32::try_from(first_skip).map_err(|_| ErrorKind::FileTooLarge)?);
        }
        self.put()?;
        (self.head, self.count, self.blocks) = (head, 0, self.postings.length());
        Ok(at)
    }

    /// Adds the list's next event.
    #[inline]
    pub(super) fn push(&mut self, event: u32) -> io::Result<()> {
        let number = self.count;
        self.count += 1;
        if number > 0 && number + 1 < self.head.count {
            // Lists ascend, and the head has counted them.
            self.distances.push(event.wrapping_sub(self.before).wrapping_sub(1));
        }
        self.before = event;
        let ends = number + 2 == self.head.count && !self.distances.is_empty();
        if ends || self.distances.len() == BLOCK_LENGTH { self.put_block() } else { Ok(()) }
    }

    fn put_block(&mut self) -> io::Result<()> {
        if skip_count(self.head.count) > 0 {
            let start = self.postings.length() - self.blocks;
            let start = u32::try_from(start).map_err(|_| ErrorKind::FileTooLarge)?;
            self.skips.put(&self.before.to_le_bytes())?;
            self.skips.put(&start.to_le_bytes())?;
        }
        blocks::encode(&mut self.encoded, &self.distances);
        self.distances.clear();
        self.put()
    }

    fn put(&mut self) -> io::Result<()> {
        self.postings.put(&self.encoded)?;
        self.encoded.clear();
        Ok(())
    }
}

/// Writes everything that leads from a tag to its events.
pub(super) struct TermWriter<'a> {
    filter: SectionWriter<'a>,
    blocks: u64,
    block: Block,
    block_number: u64,
    directory: SectionWriter<'a>,
    pub(super) directory_bits: u32,
    next_bucket: u64,
    dictionary: SectionWriter<'a>,
    entries: u32,
    pub(super) lists: ListWriter<'a>,
}

impl<'a> TermWriter<'a> {
    /// Places the sections.
    pub(super) fn new(out: &mut FileWriter<'a>, counts: &TermCounts) -> io::Result<Self> {
        if counts.hashes > u64::from(u32::MAX) || counts.skips > u64::from(u32::MAX) {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let directory_bits = directory_bits(counts.hashes);
        let blocks = filter::block_count(counts.hashes);
        let filter = out.section(blocks * FILTER_BLOCK_BYTES);
        let directory = out.section(((1 << directory_bits) + 1) * 4);
        let dictionary = out.section(counts.hashes * ENTRY_BYTES);
        let skips = out.section(counts.skips * SKIP_BYTES);
        // How long the lists become shows at their end, so they come last.
        let postings = out.section(0);
        let lists = ListWriter {
            postings,
            skips,
            unit: counts.postings_unit(),
            head: Head { count: 0, first: 0, last: 0 },
            count: 0,
            before: 0,
            blocks: 0,
            distances: Vec::with_capacity(BLOCK_LENGTH),
            encoded: Vec::new(),
        };
        Ok(Self {
            filter,
            blocks,
            block: Block::default(),
            block_number: 0,
            directory,
            directory_bits,
            next_bucket: 0,
            dictionary,
            entries: 0,
            lists,
        })
    }

    /// Writes a tag; hashes ascend. `events` pushes what the head has counted, if it is more than one.
    pub(super) fn tag<E: From<io::Error>>(
        &mut self,
        hash: u64,
        head: Head,
        events: impl FnOnce(&mut ListWriter<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.filter_up_to(filter::block_of(hash, self.blocks))?;
        self.block.iter_mut().zip(filter::bits(hash)).for_each(|(word, bits)| *word |= bits);
        self.directory_up_to(bucket(hash, self.directory_bits))?;
        let value = if head.count == 1 {
            head.first
        } else {
            let at = self.lists.begin(head)? / self.lists.unit;
            events(&mut self.lists)?;
            IS_LIST | u32::try_from(at).map_err(|_| io::Error::from(ErrorKind::FileTooLarge))?
        };
        let mut entry = [0; ENTRY_BYTES as usize];
        let (first, last) = entry.split_at_mut(8);
        first.copy_from_slice(&hash.to_le_bytes());
        last.copy_from_slice(&value.to_le_bytes());
        self.entries += 1;
        Ok(self.dictionary.put(&entry)?)
    }

    /// Writes what is left and closes the sections.
    pub(super) fn finish(mut self, out: &mut FileWriter<'a>, sections: &mut Sections) -> io::Result<()> {
        self.filter_up_to(self.blocks)?;
        self.directory_up_to(1 << self.directory_bits)?;
        sections.filter = out.close(self.filter)?;
        sections.directory = out.close(self.directory)?;
        sections.dictionary = out.close(self.dictionary)?;
        sections.skips = out.close(self.lists.skips)?;
        sections.postings = out.close(self.lists.postings)?;
        Ok(())
    }

    /// Writes the blocks of the filter before this one.
    fn filter_up_to(&mut self, number: u64) -> io::Result<()> {
        while self.block_number < number {
            let block = std::mem::take(&mut self.block);
            block.iter().try_for_each(|word| self.filter.put(&word.to_le_bytes()))?;
            self.block_number += 1;
        }
        Ok(())
    }

    /// Writes where the buckets up to and with this one begin.
    fn directory_up_to(&mut self, bucket: u64) -> io::Result<()> {
        while self.next_bucket <= bucket {
            self.directory.put(&self.entries.to_le_bytes())?;
            self.next_bucket += 1;
        }
        Ok(())
    }
}
