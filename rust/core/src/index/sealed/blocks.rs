//! How up to 128 numbers become bytes: bit-packed, or as varints where a few large ones would make all of them wide.
//!
//! ```text
//! block  width u8 (0 to 32) | numbers of `width` bits each, least significant bit first
//!        0x80               | numbers as varints
//! varint seven bits a byte, least significant first, the top bit set on all but the last
//! ```

/// Numbers of a full block.
pub(super) const BLOCK_LENGTH: usize = 128;
/// The longest varint of 32 bits.
pub(super) const VARINT_BYTES: usize = 5;
/// The longest block.
pub(super) const BLOCK_BYTES: u64 = (1 + BLOCK_LENGTH * VARINT_BYTES) as u64;

const VARINTS: u8 = 0x80;
/// So many numbers begin and end with a whole byte, whatever their width.
const GROUP: usize = 8;
/// The bytes of a group of the greatest width, and those that are read along with its last number.
const ROOM: usize = 40;

/// How many bits the number takes.
pub(super) fn width(number: u32) -> u32 {
    32 - number.leading_zeros()
}

/// Bytes of so many numbers of `width` bits.
pub(super) fn packed_bytes(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

pub(super) fn put_varint(out: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

pub(super) fn take_varint(bytes: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..VARINT_BYTES as u32 * 7).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u32::from(byte & 0x7F);
        // The fifth byte has only four bits of the number.
        if part.checked_shl(shift)? >> shift != part {
            return None;
        }
        number |= part << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

pub(super) fn pack(out: &mut Vec<u8>, numbers: &[u32], width: u32) {
    let (mut held, mut bits) = (0u64, 0);
    for number in numbers {
        held |= u64::from(*number) << bits;
        bits += width;
        if bits >= 32 {
            out.extend_from_slice(&(held as u32).to_le_bytes());
            held >>= 32;
            bits -= 32;
        }
    }
    let rest = held.to_le_bytes();
    out.extend_from_slice(rest.get(..bits.div_ceil(8) as usize).expect("fewer than 32 bits are held"));
}

/// The reverse of [`pack`]; what `bytes` lacks is zero.
pub(super) fn unpack(bytes: &[u8], width: u32, numbers: &mut [u32]) {
    let (words, rest) = bytes.as_chunks::<4>();
    let mut last = [0; 4];
    last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    let mut words = words.iter();
    let (mut held, mut bits, mask) = (0u64, 0, (1u64 << width) - 1);
    for number in numbers {
        if bits < width {
            held |= u64::from(u32::from_le_bytes(*words.next().unwrap_or(&last))) << bits;
            bits += 32;
        }
        *number = (held & mask) as u32;
        held >>= width;
        bits -= width;
    }
}

/// The same for whole groups with [`ROOM`] bytes after them: where each number of a group lies is known when this is
/// compiled, and none waits for the one before.
fn unpack_groups<const WIDTH: usize>(bytes: &[u8], groups: &mut [[u32; GROUP]]) -> Option<()> {
    for (number, group) in groups.iter_mut().enumerate() {
        let bytes: &[u8; ROOM] = bytes.get(number * WIDTH..)?.first_chunk()?;
        for (place, number) in group.iter_mut().enumerate() {
            let bit = place * WIDTH;
            let held = u64::from_le_bytes(*bytes.get(bit / 8..)?.first_chunk()?);
            *number = (held >> (bit % 8)) as u32 & (u64::MAX >> (64 - WIDTH)) as u32;
        }
    }
    Some(())
}

/// [`unpack_groups`] for the widths of lists that are worth it.
fn unpack_fast(bytes: &[u8], width: u32, groups: &mut [[u32; GROUP]]) -> Option<()> {
    macro_rules! widths {
        ($($width:literal)*) => {
            match width {
                $($width => unpack_groups::<$width>(bytes, groups),)*
                _ => None,
            }
        };
    }
    widths!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
}

/// Appends a block of up to [`BLOCK_LENGTH`] numbers, in the shorter of its two forms.
pub(super) fn encode(out: &mut Vec<u8>, numbers: &[u32]) {
    let widest = numbers.iter().copied().map(width).max().unwrap_or_default();
    let as_varints: usize = numbers.iter().map(|number| width(*number).div_ceil(7).max(1) as usize).sum();
    if as_varints < packed_bytes(numbers.len(), widest) {
        out.push(VARINTS);
        numbers.iter().for_each(|number| put_varint(out, *number));
    } else {
        out.push(widest as u8);
        pack(out, numbers, widest);
    }
}

/// Reads as many numbers as there is room for; `None` if the bytes do not hold them.
pub(super) fn decode(bytes: &[u8], numbers: &mut [u32]) -> Option<()> {
    let (form, mut bytes) = bytes.split_first()?;
    match *form {
        VARINTS => {
            for number in numbers {
                *number = take_varint(&mut bytes)?;
            }
        }
        width @ 0..=32 => {
            let width = u32::from(width);
            let (groups, rest) = numbers.as_chunks_mut::<GROUP>();
            if !rest.is_empty() || unpack_fast(bytes, width, groups).is_none() {
                unpack(bytes.get(..packed_bytes(numbers.len(), width))?, width, numbers);
            }
        }
        _ => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_block_gives_back_its_numbers(
            numbers in prop::collection::vec((0..=32u32, any::<u32>()), 0..=BLOCK_LENGTH),
            cut in any::<prop::sample::Index>(),
        ) {
            let numbers: Vec<u32> =
                numbers.into_iter().map(|(width, n)| n & ((1u64 << width) - 1) as u32).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, &numbers);
            prop_assert!(bytes.len() as u64 <= BLOCK_BYTES);
            let mut decoded = vec![0; numbers.len()];
            prop_assert_eq!(decode(&bytes, &mut decoded), Some(()));
            prop_assert_eq!(&decoded, &numbers);
            prop_assert_eq!(decode(&bytes[..cut.index(bytes.len())], &mut decoded), None);
        }
    }

    #[test]
    fn every_width_packs_alone() {
        for width in 0..=32 {
            let numbers: Vec<u32> =
                (0..BLOCK_LENGTH as u64).map(|n| (((1u64 << width) - 1) * (n % 2)) as u32).collect();
            let mut bytes = Vec::new();
            pack(&mut bytes, &numbers, width);
            let mut unpacked = vec![7; BLOCK_LENGTH];
            unpack(&bytes, width, &mut unpacked);
            assert_eq!(unpacked, numbers, "width {width}");
        }
    }

    #[test]
    fn what_follows_a_block_changes_nothing_in_it() {
        for width in 0..=32 {
            let numbers: Vec<u32> =
                (0..BLOCK_LENGTH as u64).map(|n| (((1u64 << width) - 1) >> (n % 3)) as u32).collect();
            let mut bytes = Vec::new();
            encode(&mut bytes, &numbers);
            for room in [0, 1, ROOM - 1, ROOM, BLOCK_BYTES as usize] {
                let mut followed = bytes.clone();
                followed.resize(bytes.len() + room, 0xFF);
                let mut decoded = vec![7; BLOCK_LENGTH];
                assert_eq!(decode(&followed, &mut decoded), Some(()));
                assert_eq!(decoded, numbers, "width {width}, {room} bytes after it");
            }
        }
    }

    #[test]
    fn one_far_event_does_not_make_all_of_a_block_wide() {
        let mut numbers = vec![3; BLOCK_LENGTH];
        numbers[5] = u32::MAX;
        let mut bytes = Vec::new();
        encode(&mut bytes, &numbers);
        assert_eq!(bytes.len(), 1 + (BLOCK_LENGTH - 1) + VARINT_BYTES);
    }
}
