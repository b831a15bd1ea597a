//! Pages for the realm and its tables.

use alloc::vec::Vec;
use core::ops::Range;

use rsi::GRANULE;

/// The pages nobody uses.
#[derive(Debug)]
pub struct Pool {
    untouched: Vec<Range<u64>>,
    returned: Vec<u64>,
}

impl Pool {
    /// All of `ranges`.
    pub fn new(ranges: Vec<Range<u64>>) -> Self {
        Self { untouched: ranges, returned: Vec::new() }
    }

    /// A page; none when there is no more. Memory is touched only as pages are taken.
    pub fn take(&mut self) -> Option<u64> {
        if let Some(page) = self.returned.pop() {
            return Some(page);
        }
        let range = self.untouched.iter_mut().find(|range| !range.is_empty())?;
        let page = range.start;
        range.start = page.saturating_add(GRANULE);
        Some(page)
    }

    /// `count` pages in a row, aligned to their whole size; used before anything else is taken.
    pub fn take_aligned(&mut self, count: u64) -> Option<u64> {
        let size = count * GRANULE;
        for range in &mut self.untouched {
            let start = range.start.next_multiple_of(size);
            if start.saturating_add(size) <= range.end {
                range.start = start.saturating_add(size);
                return Some(start);
            }
        }
        None
    }

    /// Gives a page back.
    pub fn give(&mut self, page: u64) {
        self.returned.push(page);
    }
}
