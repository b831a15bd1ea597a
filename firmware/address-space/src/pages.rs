//! Which pages of a small pool are taken.

/// Pages of the largest pool.
pub const CAPACITY: usize = 1024;

const WORD: usize = 64;

/// A bitmap of pages, the first `count` of which exist.
#[derive(Clone, Debug)]
pub struct PageBitmap {
    taken: [u64; CAPACITY / WORD],
    count: usize,
}

impl PageBitmap {
    /// `count` free pages, at most [`CAPACITY`].
    #[must_use]
    pub const fn new(count: usize) -> Self {
        Self { taken: [0; CAPACITY / WORD], count: if count < CAPACITY { count } else { CAPACITY } }
    }

    fn is_taken(&self, page: usize) -> bool {
        self.taken.get(page / WORD).is_none_or(|word| word >> (page % WORD) & 1 != 0)
    }

    fn flip(&mut self, first: usize, count: usize) {
        for page in first..first.saturating_add(count).min(CAPACITY) {
            if let Some(word) = self.taken.get_mut(page / WORD) {
                *word ^= 1 << (page % WORD);
            }
        }
    }

    /// Takes `count` neighbouring pages, the first that are free, and returns the first of them.
    pub fn take(&mut self, count: usize) -> Option<usize> {
        let mut run = 0;
        for page in 0..self.count {
            run = if self.is_taken(page) { 0 } else { run + 1 };
            if run == count && count > 0 {
                let first = page + 1 - count;
                self.flip(first, count);
                return Some(first);
            }
        }
        None
    }

    /// Gives pages back that [`Self::take`] returned.
    pub fn give(&mut self, first: usize, count: usize) {
        debug_assert!((first..first + count).all(|page| self.is_taken(page)));
        self.flip(first, count);
    }

    /// The pages that are taken.
    pub fn taken(&self) -> impl Iterator<Item = usize> {
        (0..self.count).filter(|page| self.is_taken(*page))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_found_across_words_and_holes() {
        let mut pages = PageBitmap::new(130);
        assert_eq!(pages.take(60), Some(0));
        assert_eq!(pages.take(10), Some(60));
        assert_eq!(pages.take(61), None);
        assert_eq!(pages.take(60), Some(70));
        assert_eq!(pages.take(1), None);
        pages.give(60, 10);
        assert_eq!(pages.taken().count(), 120);
        assert!(pages.taken().eq((0..60).chain(70..130)));
        assert_eq!(pages.take(11), None);
        assert_eq!(pages.take(4), Some(60));
        assert_eq!(pages.take(6), Some(64));
    }

    #[test]
    fn none_is_not_a_run() {
        assert_eq!(PageBitmap::new(4).take(0), None);
        assert_eq!(PageBitmap::new(0).take(1), None);
        assert_eq!(PageBitmap::new(9999).take(CAPACITY + 1), None);
        assert_eq!(PageBitmap::new(9999).take(CAPACITY), Some(0));
    }
}
