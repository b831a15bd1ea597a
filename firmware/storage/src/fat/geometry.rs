//! Where things are on a volume: the BIOS parameter block (Microsoft FAT specification, 3.1 to 3.5).

use zerocopy::byteorder::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// Bytes of a directory entry.
pub const ENTRY_SIZE: u64 = 32;
/// The first cluster that has a number.
pub const FIRST_CLUSTER: u32 = 2;
/// The largest cluster: beyond the 64 KiB that other systems write.
const MAX_CLUSTER_SIZE: u32 = 256 << 10;
/// The most clusters that FAT12, FAT16 and FAT32 have.
const MAX_FAT12: u32 = 4084;
const MAX_FAT16: u32 = 65524;
const MAX_FAT32: u32 = 0x0fff_fff5;

/// How wide the entries of the FAT are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// 12 bits.
    Fat12,
    /// 16 bits.
    Fat16,
    /// 28 bits of 32.
    Fat32,
}

/// The BPB, and what follows it on FAT32.
#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BootSector {
    jump: [u8; 3],
    oem_name: [u8; 8],
    bytes_per_sector: U16,
    sectors_per_cluster: u8,
    reserved_sectors: U16,
    fats: u8,
    root_entries: U16,
    total_sectors_16: U16,
    media: u8,
    fat_size_16: U16,
    geometry: [u8; 4],
    hidden_sectors: U32,
    total_sectors_32: U32,
    fat_size_32: U32,
    flags: U16,
    version: U16,
    root_cluster: U32,
    fs_info: U16,
}

/// The places on a volume, in bytes from its start.
#[derive(Debug)]
pub struct Geometry {
    /// The width of the FAT's entries.
    pub kind: Kind,
    /// Bytes of a sector.
    pub sector_size: u32,
    /// Bytes of a cluster.
    pub cluster_size: u32,
    /// How many clusters there are; their numbers begin with two.
    pub clusters: u32,
    /// The first FAT.
    pub fat_start: u64,
    /// Bytes of one FAT.
    pub fat_size: u64,
    /// The FATs that are kept alike: from which to which.
    pub fats: core::ops::Range<u8>,
    /// The root directory of FAT12 and FAT16, and its bytes.
    pub root_start: u64,
    /// Its length; zero on FAT32.
    pub root_size: u64,
    /// The root directory of FAT32; zero on the others.
    pub root_cluster: u32,
    /// The first cluster.
    pub data_start: u64,
    /// The whole volume.
    pub volume_size: u64,
    /// FSInfo of FAT32.
    pub fs_info: Option<u64>,
}

impl Geometry {
    /// Reads it from the first sector of a volume. `None` when that is none.
    pub fn parse(sector: &[u8; 512]) -> Option<Self> {
        let (boot, _) = BootSector::ref_from_prefix(sector).ok()?;
        if !matches!(boot.jump, [0xeb, _, 0x90] | [0xe9, ..]) || !sector.ends_with(&[0x55, 0xaa]) {
            return None;
        }
        let sector_size = u32::from(boot.bytes_per_sector.get());
        let per_cluster = u32::from(boot.sectors_per_cluster);
        let reserved = u32::from(boot.reserved_sectors.get());
        if !matches!(sector_size, 512 | 1024 | 2048 | 4096) || !per_cluster.is_power_of_two() {
            return None;
        }
        let cluster_size = sector_size * per_cluster;
        if cluster_size > MAX_CLUSTER_SIZE || reserved == 0 || !(1..=4).contains(&boot.fats) || boot.media < 0xf0 {
            return None;
        }
        let wide = boot.fat_size_16.get() == 0;
        let fat_sectors = if wide { boot.fat_size_32.get() } else { boot.fat_size_16.get().into() };
        let total = match boot.total_sectors_16.get() {
            0 => boot.total_sectors_32.get(),
            total => total.into(),
        };
        let root_size = u64::from(boot.root_entries.get()) * ENTRY_SIZE;
        let root_sectors = u32::try_from(root_size.div_ceil(sector_size.into())).ok()?;
        if fat_sectors == 0 || (root_sectors == 0) != wide || (wide && boot.version.get() != 0) {
            return None;
        }
        let fats_end = fat_sectors.checked_mul(boot.fats.into())?.checked_add(reserved)?;
        let data = fats_end.checked_add(root_sectors)?;
        let clusters = total.checked_sub(data)? / per_cluster;
        let kind = match clusters {
            0 => return None,
            _ if wide => Kind::Fat32,
            1..=MAX_FAT12 => Kind::Fat12,
            _ => Kind::Fat16,
        };
        let bytes = |sectors: u32| u64::from(sectors) * u64::from(sector_size);
        let entries = u64::from(clusters) + u64::from(FIRST_CLUSTER);
        let (limit, needed) = match kind {
            Kind::Fat12 => (MAX_FAT12, (entries * 3).div_ceil(2)),
            Kind::Fat16 => (MAX_FAT16, entries * 2),
            Kind::Fat32 => (MAX_FAT32, entries * 4),
        };
        let fat_size = bytes(fat_sectors);
        let root_cluster = if wide { boot.root_cluster.get() } else { 0 };
        let root_exists = !wide || (FIRST_CLUSTER..clusters + FIRST_CLUSTER).contains(&root_cluster);
        if clusters > limit || needed > fat_size || !root_exists {
            return None;
        }
        // Bit 7: only the FAT that the low bits number is kept.
        let flags = boot.flags.get();
        let active = (flags & 0xf) as u8;
        let fats = if wide && flags & 0x80 != 0 { active..active + 1 } else { 0..boot.fats };
        if fats.end > boot.fats {
            return None;
        }
        let info = u32::from(boot.fs_info.get());
        Some(Self {
            kind,
            sector_size,
            cluster_size,
            clusters,
            fat_start: bytes(reserved),
            fat_size,
            fats,
            root_start: bytes(fats_end),
            root_size,
            root_cluster,
            data_start: bytes(data),
            volume_size: bytes(total),
            fs_info: (wide && (1..reserved).contains(&info)).then(|| bytes(info)),
        })
    }

    /// Whether there is such a cluster.
    pub fn has(&self, cluster: u32) -> bool {
        cluster.checked_sub(FIRST_CLUSTER).is_some_and(|index| index < self.clusters)
    }

    /// Where a cluster that there is begins.
    pub fn offset(&self, cluster: u32) -> u64 {
        let index = u64::from(cluster.saturating_sub(FIRST_CLUSTER));
        self.data_start + index * u64::from(self.cluster_size)
    }
}

/// Whether a FAT volume begins in this sector.
pub fn begins_in(sector: &[u8; 512]) -> bool {
    Geometry::parse(sector).is_some()
}
