//! The RIPAS of every granule of the protected half, kept by run.

use alloc::collections::BTreeMap;

use crate::definitions::{GRANULE, Ripas};

/// State of `[0, top)` as runs: the key is a run's first address, its end the next key.
///
/// Several TiB in one state cost one entry.
#[derive(Clone, Debug)]
pub struct RipasMap {
    runs: BTreeMap<u64, Ripas>,
    top: u64,
}

impl RipasMap {
    /// A protected half of `top` bytes, all EMPTY, as RMI_REALM_CREATE leaves it.
    pub fn new(top: u64) -> Self {
        let mut runs = BTreeMap::new();
        runs.insert(0, Ripas::Empty);
        Self { runs, top }
    }

    /// End of the protected half.
    pub fn top(&self) -> u64 {
        self.top
    }

    /// State of the granule at `ipa`; EMPTY beyond the protected half.
    pub fn get(&self, ipa: u64) -> Ripas {
        if ipa >= self.top {
            return Ripas::Empty;
        }
        self.runs.range(..=ipa).next_back().map_or(Ripas::Empty, |(_, ripas)| *ripas)
    }

    /// State at `base` and the end of its run, at most `end`.
    pub fn run(&self, base: u64, end: u64) -> (Ripas, u64) {
        let top = self.runs.range(base.saturating_add(1)..).next().map_or(self.top, |(start, _)| *start);
        (self.get(base), top.min(end))
    }

    /// Puts `[base, end)` (granule-aligned, within the half) into the state `ripas`.
    pub fn set(&mut self, base: u64, end: u64, ripas: Ripas) {
        debug_assert!(base.is_multiple_of(GRANULE) && end.is_multiple_of(GRANULE));
        let end = end.min(self.top);
        if base >= end {
            return;
        }
        let after = self.get(end);
        let inside: alloc::vec::Vec<u64> = self.runs.range(base..end).map(|(key, _)| *key).collect();
        for key in inside {
            self.runs.remove(&key);
        }
        if base == 0 || self.get(base) != ripas {
            self.runs.insert(base, ripas);
        }
        if end < self.top {
            if after == ripas {
                self.runs.remove(&end);
            } else {
                self.runs.insert(end, after);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_a_flat_map_and_keeps_runs_apart() {
        const PAGES: usize = 48;
        let mut map = RipasMap::new(PAGES as u64 * GRANULE);
        let mut flat = [Ripas::Empty; PAGES];
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as usize % below
        };
        // Miri is a thousand times slower and looks for something else.
        let rounds = if cfg!(miri) { 20 } else { 2000 };
        for _ in 0..rounds {
            let base = random(PAGES);
            let end = base + 1 + random(PAGES - base);
            let ripas = Ripas::from_raw(random(4) as u64).unwrap();
            map.set(base as u64 * GRANULE, end as u64 * GRANULE, ripas);
            flat[base..end].fill(ripas);
            for (page, expected) in flat.iter().enumerate() {
                assert_eq!(map.get(page as u64 * GRANULE), *expected);
            }
            let from = random(PAGES);
            let run = flat[from..].iter().take_while(|r| **r == flat[from]).count();
            assert_eq!(map.run(from as u64 * GRANULE, u64::MAX), (flat[from], (from + run) as u64 * GRANULE));
            let changes = flat.windows(2).filter(|w| w[0] != w[1]).count();
            assert_eq!(map.runs.len(), changes + 1);
        }
    }

    #[test]
    fn terabytes_cost_one_run() {
        let mut map = RipasMap::new(1 << 47);
        map.set(1 << 30, 1 << 46, Ripas::Ram);
        assert_eq!(map.runs.len(), 3);
        assert_eq!(map.run(1 << 40, 1 << 47), (Ripas::Ram, 1 << 46));
        assert_eq!(map.get(u64::MAX), Ripas::Empty);
    }
}
