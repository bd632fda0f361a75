//! The membership filter: whether a file can hold a tag, for the price of one cache line.
//!
//! A blocked Bloom filter (Putze, Sanders and Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007). The
//! top bits of a hash choose the block, so the filter is written in the order of the hashes.

use super::layout::FILTER_BLOCK_BYTES;

/// About 1 % of the tags that a file does not hold pass its filter.
const TAGS_PER_BLOCK: u64 = 48;
/// Bits set for each tag: 6 of 9 bits each are what one multiplication yields.
const PROBES: u32 = 6;

/// One block.
pub(super) type Block = [u64; 8];

/// How many blocks there are for so many tags.
pub(super) fn block_count(tags: u64) -> u64 {
    tags.div_ceil(TAGS_PER_BLOCK).max(1)
}

/// The number of a hash's block among `blocks`; ascends with the hash.
pub(super) fn block_of(hash: u64, blocks: u64) -> u64 {
    ((u128::from(hash) * u128::from(blocks)) >> 64) as u64
}

/// The bits of a hash within its block.
pub(super) fn bits(hash: u64) -> Block {
    // Multiplied, the bits depend on all of the hash and not only on those below the block's number.
    let mixed = hash.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let mut block = Block::default();
    for probe in 0..PROBES {
        let bit = mixed >> (64 - 9 * (probe + 1));
        let (word, bit) = ((bit >> 6 & 7) as usize, bit & 63);
        if let Some(word) = block.get_mut(word) {
            *word |= 1 << bit;
        }
    }
    block
}

/// Whether a block, as the file has it, can hold the hash.
pub(super) fn can_hold(block: &[u8; FILTER_BLOCK_BYTES as usize], hash: u64) -> bool {
    let (words, _) = block.as_chunks::<8>();
    words.iter().zip(bits(hash)).all(|(word, bits)| u64::from_le_bytes(*word) & bits == bits)
}
