//! Sorting in little code: in place, in n log n steps whatever a hostile host puts in front of it.
//!
//! The standard library's sorts are made to be fast and cost kilobytes for each type; what the firmware sorts is short,
//! and its image is to stay small.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

/// Sorts by a key. Equal ones come in no particular order: a key that must tell them apart has to say so.
pub fn sort_by_key<T, K: Ord>(items: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(items, |first, second| key(first) < key(second));
}

/// Sorts by the order of the items themselves.
pub fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, |first, second| first < second);
}

/// Sorts by what comes before what.
pub fn sort_by<T>(items: &mut [T], less: impl Fn(&T, &T) -> bool) {
    for root in (0..items.len() / 2).rev() {
        sift_down(items, root, &less);
    }
    for end in (1..items.len()).rev() {
        items.swap(0, end);
        if let Some(heap) = items.get_mut(..end) {
            sift_down(heap, 0, &less);
        }
    }
}

/// Restores the heap below `node`, the one place where it may not hold.
fn sift_down<T>(heap: &mut [T], mut node: usize, less: &impl Fn(&T, &T) -> bool) {
    loop {
        let left = 2 * node + 1;
        let (Some(parent), Some(first)) = (heap.get(node), heap.get(left)) else { return };
        let (larger, child) = match heap.get(left + 1) {
            Some(second) if less(first, second) => (left + 1, second),
            _ => (left, first),
        };
        if !less(parent, child) {
            return;
        }
        heap.swap(node, larger);
        node = larger;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_short_list_is_sorted() {
        // Every list of up to seven numbers below four.
        let longest = if cfg!(miri) { 4 } else { 7_u32 };
        for length in 0..=longest {
            for code in 0..4_u32.pow(length) {
                let mut items: Vec<u32> = (0..length).map(|at| code / 4_u32.pow(at) % 4).collect();
                let mut expected = items.clone();
                expected.sort_unstable();
                sort(&mut items);
                assert_eq!(items, expected);
            }
        }
    }

    #[test]
    fn by_key_with_the_largest_first() {
        let count = if cfg!(miri) { 100 } else { 1000_u32 };
        let mut items: Vec<(u32, u32)> = (0..count).map(|at| (at.wrapping_mul(2_654_435_761) % 10, at)).collect();
        sort_by_key(&mut items, |(key, at)| (core::cmp::Reverse(*key), *at));
        assert!(items.is_sorted_by_key(|(key, at)| (core::cmp::Reverse(*key), *at)));
    }
}
