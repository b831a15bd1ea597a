//! Sets of addresses as sorted lists of ranges.

use alloc::vec::Vec;
use core::ops::Range;

/// Whether the two have an address in common.
pub fn overlap(a: &Range<u64>, b: &Range<u64>) -> bool {
    a.start < b.end && b.start < a.end
}

/// Whether all of `inner` is in `outer`.
pub fn contain(outer: &Range<u64>, inner: &Range<u64>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// What is left of `from` (sorted and disjoint) without `holes`, sorted and disjoint again.
pub fn subtract(from: &[Range<u64>], holes: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut left = from.to_vec();
    for hole in holes {
        left = left
            .into_iter()
            .flat_map(|range| [range.start..range.end.min(hole.start), range.start.max(hole.end)..range.end])
            .filter(|range| range.start < range.end)
            .collect();
    }
    left
}

/// The last block of `size` bytes in `range` that is aligned to its size, a power of two.
pub fn last_block(range: &Range<u64>, size: u64) -> Option<Range<u64>> {
    let start = range.end.checked_sub(size)? & !(size - 1);
    (start >= range.start).then(|| start..start + size)
}

#[cfg(test)]
#[expect(clippy::single_range_in_vec_init, reason = "a list of one range is what is meant")]
mod tests {
    use super::*;

    #[test]
    fn subtraction_keeps_both_sides() {
        assert_eq!(subtract(&[0..10, 20..30], &[3..5, 8..22, 29..40]), [0..3, 5..8, 22..29]);
        assert_eq!(subtract(&[0..10], &[0..10]), []);
        assert_eq!(subtract(&[5..10], &[0..5, 10..12]), [5..10]);
    }

    #[test]
    fn relations() {
        assert!(overlap(&(0..2), &(1..3)) && !overlap(&(0..2), &(2..3)));
        assert!(contain(&(0..9), &(8..9)) && !contain(&(0..9), &(8..10)));
    }

    #[test]
    fn last_blocks_are_aligned_and_inside() {
        assert_eq!(last_block(&(1..13), 4), Some(8..12));
        assert_eq!(last_block(&(1..7), 4), None);
        assert_eq!(last_block(&(0..3), 4), None);
        assert_eq!(last_block(&(4..8), 4), Some(4..8));
    }
}
