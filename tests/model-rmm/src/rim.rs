//! The realm initial measurement (DEN0137 A7.1.1): what RMI calls of a host extend it with.

use alloc::collections::BTreeSet;
use alloc::vec;

use rsi::rmm::{Measurement, hash};
use rsi::{GRANULE, HashAlgorithm};

/// The attributes of RmiRealmParams that are measured (DEN0137 B4.3.9.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmParams {
    /// RmiRealmFlags: bit 0 LPA2, bit 1 SVE, bit 2 PMU.
    pub flags: u64,
    /// IPA width in bits.
    pub s2sz: u32,
    /// SVE vector length.
    pub sve_vl: u32,
    /// Breakpoints.
    pub num_bps: u32,
    /// Watchpoints.
    pub num_wps: u32,
    /// PMU counters.
    pub pmu_num_ctrs: u32,
    /// Hash algorithm.
    pub hash: HashAlgorithm,
}

impl RealmParams {
    /// RmiRealmFlags bit of LPA2, which IPA widths beyond 48 need.
    pub const FLAG_LPA2: u64 = 1;
    /// RmiRealmFlags bit of SVE.
    pub const FLAG_SVE: u64 = 1 << 1;
    /// RmiRealmFlags bit of the PMU.
    pub const FLAG_PMU: u64 = 1 << 2;
}

/// A RIM under construction.
#[derive(Clone, Debug)]
pub struct Rim {
    algorithm: HashAlgorithm,
    value: Measurement,
    tables: Tables,
}

const DESCRIPTOR: usize = 0x100;

impl Rim {
    /// RMI_REALM_CREATE.
    pub fn new(params: &RealmParams) -> Self {
        let mut page = vec![0; GRANULE as usize];
        put(&mut page, 0, &params.flags.to_le_bytes());
        put(&mut page, 0x8, &params.s2sz.to_le_bytes());
        put(&mut page, 0x10, &params.sve_vl.to_le_bytes());
        put(&mut page, 0x18, &params.num_bps.to_le_bytes());
        put(&mut page, 0x20, &params.num_wps.to_le_bytes());
        put(&mut page, 0x28, &params.pmu_num_ctrs.to_le_bytes());
        put(&mut page, 0x30, &[params.hash as u8]);
        Self { algorithm: params.hash, value: hash(params.hash, &[&page]), tables: Tables::new(params.s2sz) }
    }

    /// The measurement so far.
    pub fn value(&self) -> Measurement {
        self.value
    }

    fn extend(&mut self, kind: u8, fields: &[(usize, &[u8])]) {
        let mut descriptor = [0; DESCRIPTOR];
        put(&mut descriptor, 0, &[kind]);
        put(&mut descriptor, 0x8, &(DESCRIPTOR as u64).to_le_bytes());
        put(&mut descriptor, 0x10, &self.value);
        for (offset, bytes) in fields {
            put(&mut descriptor, *offset, bytes);
        }
        self.value = hash(self.algorithm, &[&descriptor]);
    }

    /// RMI_DATA_CREATE of one granule whose contents are measured.
    pub fn data(&mut self, ipa: u64, contents: &[u8]) {
        const MEASURE_CONTENT: u64 = 1;
        let digest = hash(self.algorithm, &[contents]);
        let ipa = ipa.to_le_bytes();
        let flags = MEASURE_CONTENT.to_le_bytes();
        self.extend(0, &[(0x50, &ipa), (0x58, &flags), (0x60, &digest)]);
    }

    /// RMI_REC_CREATE of a runnable REC.
    pub fn rec(&mut self, pc: u64, gprs: &[u64; 8]) {
        const RUNNABLE: u64 = 1;
        let mut page = vec![0; GRANULE as usize];
        put(&mut page, 0, &RUNNABLE.to_le_bytes());
        put(&mut page, 0x200, &pc.to_le_bytes());
        for (gpr, offset) in gprs.iter().zip((0x300..).step_by(8)) {
            put(&mut page, offset, &gpr.to_le_bytes());
        }
        let digest = hash(self.algorithm, &[&page]);
        self.extend(1, &[(0x50, &digest)]);
    }

    /// RMI_RTT_INIT_RIPAS of `[base, top)` as Linux hosts do it: as far as the tables there are
    /// allow, then tables down to the largest block that fits. Returns the descriptors measured.
    pub fn init_ripas(&mut self, base: u64, top: u64) -> u64 {
        let mut at = base;
        let mut count = 0_u64;
        while at < top {
            let level = self.tables.level(at);
            let size = Tables::block(level);
            let table_end = Tables::table_end(at, level, self.tables.start);
            let mut next = at;
            while at.is_multiple_of(size)
                && next < table_end
                && next.saturating_add(size) <= top
                && self.tables.level(next) == level
            {
                let (from, to) = (next.to_le_bytes(), next.saturating_add(size).to_le_bytes());
                self.extend(2, &[(0x50, &from), (0x58, &to)]);
                count = count.saturating_add(1);
                next = next.saturating_add(size);
            }
            if next == at {
                let wanted = self.tables.map_level(at, top);
                if wanted <= level {
                    return count;
                }
                self.tables.create(at, level, wanted);
            }
            at = next;
        }
        count
    }
}

fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    for (to, from) in bytes.iter_mut().skip(offset).zip(value) {
        *to = *from;
    }
}

/// Which realm translation tables exist: only their level matters to the RIM.
#[derive(Clone, Debug)]
struct Tables {
    start: u32,
    existing: BTreeSet<(u32, u64)>,
}

impl Tables {
    /// Start level for an IPA width, with up to 16 concatenated tables.
    fn new(width: u32) -> Self {
        let levels = width.saturating_sub(8) / 9;
        Self { start: 4_u32.saturating_sub(levels), existing: BTreeSet::new() }
    }

    fn block(level: u32) -> u64 {
        1 << (12 + 9 * 3_u32.saturating_sub(level))
    }

    /// End of the table that holds the entry of `ipa` at `level`.
    fn table_end(ipa: u64, level: u32, start: u32) -> u64 {
        if level <= start {
            return u64::MAX;
        }
        let span = Self::block(level.saturating_sub(1));
        (ipa & !(span - 1)).saturating_add(span)
    }

    /// Level of the last table on the walk to `ipa`.
    fn level(&self, ipa: u64) -> u32 {
        let mut level = self.start;
        while level < 3 && self.existing.contains(&(level + 1, ipa & !(Self::block(level) - 1))) {
            level += 1;
        }
        level
    }

    /// Level of the largest block at `base` that ends by `top`.
    fn map_level(&self, base: u64, top: u64) -> u32 {
        let mut level = 3;
        while level > self.start {
            let size = Self::block(level - 1);
            if !base.is_multiple_of(size) || base.saturating_add(size) > top {
                break;
            }
            level -= 1;
        }
        level
    }

    fn create(&mut self, ipa: u64, above: u32, level: u32) {
        for level in above + 1..=level {
            self.existing.insert((level, ipa & !(Self::block(level - 1) - 1)));
        }
    }
}

#[cfg(test)]
mod tests;
