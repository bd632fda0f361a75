//! Postings lists in the file, searched without decoding what is passed.
//!
//! ```text
//! list   count, first, last - first as varints; [number of its first skip as a varint] | blocks
//! ```
//!
//! First and last event stand in the head, so that the ends of a list cost nothing more: a condition on recent
//! positions and the newest event of a tag are answered there. What lies between is in blocks of 128, each number being
//! the distance to the event before, less one. A list of more than one block has a skip for each: its last event,
//! and where it starts, counted from the first block.

use super::Sealed;
use super::blocks::{self, BLOCK_BYTES, BLOCK_LENGTH, VARINT_BYTES, take_varint};
use super::layout::SKIP_BYTES;
use super::pages::Damaged;
use crate::index::cursor::{Direction, Seek};

/// What stands at the start of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) count: u32,
    pub(super) first: u32,
    pub(super) last: u32,
}

/// How many of so many events are in blocks: all but the first and the last.
pub(super) fn between(count: u32) -> u32 {
    count.saturating_sub(2)
}

/// How many skips a list of so many events has.
pub(super) fn skip_count(count: u32) -> u32 {
    match between(count) as usize {
        0..=BLOCK_LENGTH => 0,
        between => u32::try_from(between.div_ceil(BLOCK_LENGTH)).expect("no more than there are events"),
    }
}

impl Sealed {
    /// Opens the list that begins so many bytes into the postings.
    pub(super) fn list(&self, at: u64) -> Result<ListCursor<'_>, Damaged> {
        let postings = self.header.sections.postings;
        let bytes = self.pages.up_to(postings, at, 4 * VARINT_BYTES as u64)?;
        let mut rest = bytes;
        let mut read = || {
            let (count, first) = (take_varint(&mut rest)?, take_varint(&mut rest)?);
            let last = first.checked_add(take_varint(&mut rest)?)?;
            let first_skip = if skip_count(count) > 0 { take_varint(&mut rest)? } else { 0 };
            // As many events as it claims have room between the first and the last.
            let fits = count > 0
                && last < self.header.event_count
                && count - 1 <= last - first
                && (count > 1 || first == last);
            fits.then_some((Head { count, first, last }, first_skip))
        };
        let damaged = || self.pages.damaged(postings.offset + at, "a list is malformed");
        let (head, first_skip) = read().ok_or_else(damaged)?;
        let blocks = at + (bytes.len() - rest.len()) as u64;
        Ok(ListCursor { sealed: self, head, blocks, first_skip, block: None })
    }
}

/// A list that is searched.
#[derive(Debug)]
pub(super) struct ListCursor<'a> {
    sealed: &'a Sealed,
    pub(super) head: Head,
    /// Where in the postings the first block begins.
    blocks: u64,
    first_skip: u32,
    /// The block in which the last search ended.
    block: Option<Box<Block>>,
}

#[derive(Debug)]
struct Block {
    number: u32,
    /// The last event before the block.
    before: u32,
    events: [u32; BLOCK_LENGTH],
    count: usize,
}

impl Block {
    fn events(&self) -> &[u32] {
        self.events.get(..self.count).unwrap_or(&self.events)
    }

    fn last(&self) -> u32 {
        self.events().last().copied().unwrap_or(self.before)
    }
}

impl ListCursor<'_> {
    fn block_count(&self) -> u32 {
        between(self.head.count).div_ceil(BLOCK_LENGTH as u32)
    }

    /// The last event of a block, and where it starts.
    fn skip(&self, number: u32) -> Result<(u32, u64), Damaged> {
        if self.block_count() == 1 {
            return Ok((self.head.last, 0));
        }
        let at = (u64::from(self.first_skip) + u64::from(number)) * SKIP_BYTES;
        let skip: [u8; 8] = self.sealed.pages.array(self.sealed.header.sections.skips, at)?;
        let skip = u64::from_le_bytes(skip);
        Ok((skip as u32, skip >> 32))
    }

    /// The first block whose last event is at or after `target`, or the number of blocks. `near` is one to start from.
    fn holding(&self, target: u32, near: u32) -> Result<u32, Damaged> {
        let count = self.block_count();
        // The answer lies in low..=high, and the search widens from where the last one ended.
        let (mut low, mut high, mut step) = (0, count, 1);
        let near = near.min(count.saturating_sub(1));
        if near < count && self.skip(near)?.0 < target {
            low = near + 1;
            while low < count && low.saturating_add(step) < count {
                let probe = low + step;
                if self.skip(probe)?.0 >= target {
                    high = probe;
                    break;
                }
                low = probe + 1;
                step *= 2;
            }
        } else {
            high = near;
            while let Some(probe) = high.checked_sub(step) {
                if self.skip(probe)?.0 < target {
                    low = probe + 1;
                    break;
                }
                high = probe;
                step *= 2;
            }
        }
        while low < high {
            let middle = low + (high - low) / 2;
            if self.skip(middle)?.0 < target {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Decodes a block, unless it is the one at hand.
    fn load(&mut self, number: u32) -> Result<&Block, Damaged> {
        if self.block.as_ref().is_none_or(|block| block.number != number) {
            let mut block = self.block.take().unwrap_or_else(|| {
                Box::new(Block { number, before: 0, events: [0; BLOCK_LENGTH], count: 0 })
            });
            self.decode(number, &mut block)?;
            self.block = Some(block);
        }
        Ok(self.block.as_deref().expect("loaded above"))
    }

    fn decode(&self, number: u32, block: &mut Block) -> Result<(), Damaged> {
        let pages = &self.sealed.pages;
        let postings = self.sealed.header.sections.postings;
        block.number = number;
        block.before = match number.checked_sub(1) {
            Some(previous) => self.skip(previous)?.0,
            None => self.head.first,
        };
        let (last, start) = self.skip(number)?;
        let rest = between(self.head.count) as usize - number as usize * BLOCK_LENGTH;
        block.count = rest.min(BLOCK_LENGTH);
        let at = self.blocks + start;
        let bytes = pages.up_to(postings, at, BLOCK_BYTES)?;
        let events = block.events.get_mut(..block.count).unwrap_or_default();
        let decoded = blocks::decode(bytes, events);
        let mut event = u64::from(block.before);
        for distance in events {
            event += u64::from(*distance) + 1;
            *distance = event as u32;
        }
        // With more than one block, each ends where its skip says; and every one ends before the list does.
        let fits = event < u64::from(self.head.last) && (self.block_count() == 1 || event == u64::from(last));
        if decoded.is_none() || !fits {
            return Err(pages.damaged(postings.offset + at, "a block of a list is malformed"));
        }
        Ok(())
    }

    /// Where to look first: at the block at hand, else at the end from which the search comes.
    fn nearest(&self, from: u32) -> u32 {
        self.block.as_ref().map_or(from, |block| block.number)
    }

    /// Hands over every event in order.
    pub(super) fn for_each<E: From<Damaged>>(
        &mut self,
        mut each: impl FnMut(u32) -> Result<(), E>,
    ) -> Result<(), E> {
        each(self.head.first)?;
        for number in 0..self.block_count() {
            for event in self.load(number)?.events() {
                each(*event)?;
            }
        }
        if self.head.count > 1 {
            each(self.head.last)?;
        }
        Ok(())
    }
}

impl Seek for ListCursor<'_> {
    type Error = Damaged;

    fn len(&self) -> usize {
        self.head.count as usize
    }

    fn seek_forward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        let Head { first, last, .. } = self.head;
        if target <= first {
            return Ok(Some(first));
        }
        if target > last {
            return Ok(None);
        }
        let at_hand = self.block.as_ref();
        let number = match at_hand.filter(|block| block.before < target && target <= block.last()) {
            Some(block) => block.number,
            None => self.holding(target, self.nearest(0))?,
        };
        if number >= self.block_count() {
            return Ok(Some(last));
        }
        let events = self.load(number)?.events();
        let place = events.partition_point(|event| *event < target);
        Ok(Some(events.get(place).copied().unwrap_or(last)))
    }

    fn seek_backward(&mut self, target: u32) -> Result<Option<u32>, Damaged> {
        let Head { first, last, .. } = self.head;
        if target >= last {
            return Ok(Some(last));
        }
        if target < first {
            return Ok(None);
        }
        let Some(end) = self.block_count().checked_sub(1) else { return Ok(Some(first)) };
        let at_hand = self.block.as_ref();
        let number = match at_hand.filter(|block| block.before <= target && target <= block.last()) {
            Some(block) => block.number,
            // Behind the last block it is that block's last event.
            None => self.holding(target, self.nearest(end))?.min(end),
        };
        let block = self.load(number)?;
        let place = block.events().partition_point(|event| *event <= target);
        let found = place.checked_sub(1).and_then(|place| block.events().get(place));
        Ok(Some(found.copied().unwrap_or(block.before)))
    }

    fn near(&self, _direction: Direction) -> &[u32] {
        self.block.as_ref().map_or(&[], |block| block.events())
    }
}
