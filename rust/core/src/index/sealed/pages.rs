//! Mapped pages, each checked against its checksum before its first use.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;

use super::layout::{Header, PAGE_BYTES, Section};
use crate::storage::MappedFile;

/// An index file is not what was written. The log has everything to build it again (I7).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{file}, offset {offset}: {what}")]
pub(crate) struct Damaged {
    /// The file's name within the store.
    pub(crate) file: Arc<str>,
    /// Where in the file, in bytes.
    pub(crate) offset: u64,
    /// What was found there.
    pub(crate) what: &'static str,
}

const BAD_CHECKSUMS: &str = "the checksums do not match their own";

/// The pages of one file.
#[derive(Debug)]
pub(super) struct Pages {
    pub(super) name: Arc<str>,
    mapped: Arc<dyn MappedFile>,
    /// A bit for each page that matched its checksum. Set by whoever looked first; to look twice does no harm.
    verified: Box<[AtomicU64]>,
    checksums: Range<usize>,
}

impl Pages {
    /// Verifies the header and the checksums, and reads nothing else.
    pub(super) fn open(name: Arc<str>, mapped: Arc<dyn MappedFile>) -> Result<(Self, Header), Damaged> {
        let damaged = |offset, what| Damaged { file: Arc::clone(&name), offset, what };
        let header = Header::decode(mapped.bytes()).map_err(|what| damaged(0, what))?;
        let checksums = header.checksum_range().ok_or_else(|| damaged(0, "the file is too long"))?;
        let table = mapped.bytes().get(checksums.clone()).unwrap_or_default();
        if crc32c::crc32c(table) != header.checksums {
            return Err(damaged(checksums.start as u64, BAD_CHECKSUMS));
        }
        let words = (checksums.start / PAGE_BYTES).div_ceil(64);
        let verified = std::iter::repeat_with(AtomicU64::default).take(words).collect();
        Ok((Self { name, mapped, verified, checksums }, header))
    }

    pub(super) fn damaged(&self, offset: u64, what: &'static str) -> Damaged {
        Damaged { file: Arc::clone(&self.name), offset, what }
    }

    /// Bytes of a section, verified.
    #[inline]
    pub(super) fn bytes(&self, section: Section, from: u64, length: u64) -> Result<&[u8], Damaged> {
        let fits = from.checked_add(length).is_some_and(|end| end <= section.length);
        if !fits {
            return Err(self.damaged(section.offset, "a number leads out of its section"));
        }
        self.verified_bytes(section.offset + from, length)
    }

    /// As many bytes of a section as it has from there on, but at most `length`, verified.
    #[inline]
    pub(super) fn up_to(&self, section: Section, from: u64, length: u64) -> Result<&[u8], Damaged> {
        self.bytes(section, from, length.min(section.length.saturating_sub(from)))
    }

    #[inline]
    pub(super) fn array<const N: usize>(&self, section: Section, from: u64) -> Result<[u8; N], Damaged> {
        let bytes = self.bytes(section, from, N as u64)?;
        Ok(*bytes.first_chunk().expect("as many bytes as were asked for"))
    }

    #[inline]
    fn verified_bytes(&self, offset: u64, length: u64) -> Result<&[u8], Damaged> {
        let range = offset as usize..(offset + length) as usize;
        let bytes = self.mapped.bytes();
        // Sections end before the checksums, so the range lies within the file.
        let Some(found) = bytes.get(range.clone()) else { return Ok(&[]) };
        for page in range.start / PAGE_BYTES..range.end.div_ceil(PAGE_BYTES) {
            let is_verified = self
                .verified
                .get(page / 64)
                .is_some_and(|word| word.load(Ordering::Relaxed) >> (page % 64) & 1 == 1);
            if !is_verified {
                self.verify(bytes, page)?;
            }
        }
        Ok(found)
    }

    #[cold]
    fn verify(&self, bytes: &[u8], page: usize) -> Result<(), Damaged> {
        let expected = bytes
            .get(self.checksums.clone())
            .and_then(|table| table.get(page * 4..)?.first_chunk::<4>())
            .map(|checksum| u32::from_le_bytes(*checksum));
        let start = page * PAGE_BYTES;
        let found = bytes.get(start..start + PAGE_BYTES).map(crc32c::crc32c);
        if expected.is_none() || expected != found {
            return Err(self.damaged(start as u64, "a page does not match its checksum"));
        }
        if let Some(word) = self.verified.get(page / 64) {
            word.fetch_or(1 << (page % 64), Ordering::Relaxed);
        }
        Ok(())
    }

    /// To be called after what was found has been used: a page that was verified may have had to be read again, and have
    /// failed to be.
    pub(super) fn check_whole(&self) -> Result<(), Damaged> {
        if self.mapped.is_whole() { Ok(()) } else { Err(self.damaged(0, "a page could not be read")) }
    }

    /// Looks at a page once more, whether it was verified before or not; what is damaged is not used any longer. The
    /// checksums count as one page, the last.
    pub(super) fn check(&self, page: u64) -> Result<(), Damaged> {
        let bytes = self.mapped.bytes();
        let page = usize::try_from(page).unwrap_or(usize::MAX);
        if page == 0 || page * PAGE_BYTES == self.checksums.start {
            // Both were read when the file was opened, and are not read again.
            let header = Header::decode(bytes).map_err(|what| self.damaged(0, what))?;
            let table = bytes.get(self.checksums.clone()).unwrap_or_default();
            if crc32c::crc32c(table) != header.checksums {
                return Err(self.damaged(self.checksums.start as u64, BAD_CHECKSUMS));
            }
            return Ok(());
        }
        self.verify(bytes, page).inspect_err(|_| {
            if let Some(word) = self.verified.get(page / 64) {
                word.fetch_and(!(1 << (page % 64)), Ordering::Relaxed);
            }
        })
    }

    /// Lets go of the whole pages before `to` that lie in this part of a section. They are verified again when they are
    /// next used: they may come from the disk again.
    pub(super) fn release(&self, section: Section, from: u64, to: u64) {
        let place = |at: u64| (section.offset + at.min(section.length)) as usize / PAGE_BYTES;
        let (first, end) = (place(from), place(to));
        for page in first..end {
            if let Some(word) = self.verified.get(page / 64) {
                word.fetch_and(!(1 << (page % 64)), Ordering::Relaxed);
            }
        }
        if first < end {
            self.mapped.release(first * PAGE_BYTES..end * PAGE_BYTES);
        }
    }

    #[cfg(test)]
    pub(super) fn verified_count(&self) -> u32 {
        self.verified.iter().map(|word| word.load(Ordering::Relaxed).count_ones()).sum()
    }
}
