//! Volumes and partitioned disks, built by code.

use uefi_core::crc32::crc32;

/// What a volume is made of.
#[derive(Clone, Copy, Debug)]
pub struct Format {
    /// 12, 16 or 32.
    pub width: u8,
    pub sector: usize,
    pub sectors_per_cluster: usize,
    pub clusters: usize,
}

pub const FAT12: Format = Format { width: 12, sector: 512, sectors_per_cluster: 1, clusters: 400 };
pub const FAT16: Format = Format { width: 16, sector: 512, sectors_per_cluster: 1, clusters: 4500 };
pub const FAT32: Format = Format { width: 32, sector: 512, sectors_per_cluster: 1, clusters: 700 };
pub const FAT32_4K: Format = Format { width: 32, sector: 4096, sectors_per_cluster: 1, clusters: 300 };

/// Slots of the root directory of FAT12 and FAT16.
pub const ROOT_ENTRIES: usize = 64;

impl Format {
    pub fn reserved(&self) -> usize {
        if self.width == 32 { 8 } else { 1 }
    }

    pub fn fat_sectors(&self) -> usize {
        ((self.clusters + 2) * usize::from(self.width)).div_ceil(8 * self.sector)
    }

    pub fn root_sectors(&self) -> usize {
        if self.width == 32 { 0 } else { (ROOT_ENTRIES * 32).div_ceil(self.sector) }
    }

    pub fn data(&self) -> usize {
        (self.reserved() + 2 * self.fat_sectors() + self.root_sectors()) * self.sector
    }

    pub fn cluster(&self, number: usize) -> usize {
        self.data() + (number - 2) * self.sectors_per_cluster * self.sector
    }

    /// An empty volume.
    pub fn build(&self) -> Vec<u8> {
        let total = self.data() / self.sector + self.clusters * self.sectors_per_cluster;
        let mut image = vec![0; total * self.sector];
        let mut put = |at: usize, bytes: &[u8]| image[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &[0xeb, 0x58, 0x90]);
        put(3, b"realmfw ");
        put(11, &(self.sector as u16).to_le_bytes());
        put(13, &[self.sectors_per_cluster as u8]);
        put(14, &(self.reserved() as u16).to_le_bytes());
        put(16, &[2]);
        put(21, &[0xf8]);
        put(32, &(total as u32).to_le_bytes());
        if self.width == 32 {
            put(36, &(self.fat_sectors() as u32).to_le_bytes());
            put(44, &2u32.to_le_bytes());
            put(48, &1u16.to_le_bytes());
            put(self.sector, b"RRaA");
            put(self.sector + 484, b"rrAa");
            put(self.sector + 488, &[0xff; 8]);
            put(self.sector + 508, &[0, 0, 0x55, 0xaa]);
        } else {
            put(17, &(ROOT_ENTRIES as u16).to_le_bytes());
            put(22, &(self.fat_sectors() as u16).to_le_bytes());
        }
        put(510, &[0x55, 0xaa]);
        self.set(&mut image, 0, 0x0fff_fff8);
        self.set(&mut image, 1, 0x0fff_ffff);
        if self.width == 32 {
            self.set(&mut image, 2, 0x0fff_ffff);
        }
        image
    }

    fn entry(&self, copy: usize, cluster: usize) -> usize {
        let fat = (self.reserved() + copy * self.fat_sectors()) * self.sector;
        fat + cluster * usize::from(self.width) / 8
    }

    /// Sets an entry of both copies of the FAT.
    pub fn set(&self, image: &mut [u8], cluster: usize, value: u32) {
        for copy in 0..2 {
            let at = self.entry(copy, cluster);
            match self.width {
                12 => {
                    let shift = cluster % 2 * 4;
                    let old = u16::from_le_bytes([image[at], image[at + 1]]) & !(0xfff << shift);
                    let new = old | ((value & 0xfff) as u16) << shift;
                    image[at..at + 2].copy_from_slice(&new.to_le_bytes());
                }
                16 => image[at..at + 2].copy_from_slice(&(value as u16).to_le_bytes()),
                _ => image[at..at + 4].copy_from_slice(&value.to_le_bytes()),
            }
        }
    }

    /// An entry of a copy of the FAT.
    pub fn get(&self, image: &[u8], copy: usize, cluster: usize) -> u32 {
        let at = self.entry(copy, cluster);
        match self.width {
            12 => u32::from(u16::from_le_bytes([image[at], image[at + 1]])) >> (cluster % 2 * 4) & 0xfff,
            16 => u16::from_le_bytes([image[at], image[at + 1]]).into(),
            _ => u32::from_le_bytes(image[at..at + 4].try_into().unwrap()) & 0x0fff_ffff,
        }
    }

    /// Clusters that the FAT has as free.
    pub fn free(&self, image: &[u8]) -> usize {
        (2..self.clusters + 2).filter(|cluster| self.get(image, 0, *cluster) == 0).count()
    }
}

pub const ESP: [u8; 16] =
    [0x28, 0x73, 0x2a, 0xc1, 0x1f, 0xf8, 0xd2, 0x11, 0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b];

/// As disks have; fewer where each byte of the sum takes long.
pub const GPT_ENTRIES: usize = if cfg!(miri) { 16 } else { 128 };

/// A disk with a GPT.
pub struct GptDisk {
    pub block: usize,
    pub blocks: usize,
    /// First and last block of each partition.
    pub partitions: Vec<(u64, u64)>,
}

impl GptDisk {
    pub fn array_blocks(&self) -> usize {
        (GPT_ENTRIES * 128).div_ceil(self.block)
    }

    pub fn first_usable(&self) -> u64 {
        2 + self.array_blocks() as u64
    }

    pub fn last_usable(&self) -> u64 {
        (self.blocks - 2 - self.array_blocks()) as u64
    }

    pub fn build(&self) -> Vec<u8> {
        let mut image = vec![0; self.block * self.blocks];
        protective_mbr(&mut image, self.blocks);
        let mut array = vec![0; GPT_ENTRIES * 128];
        for (index, (start, end)) in self.partitions.iter().enumerate() {
            let entry = &mut array[index * 128..][..128];
            entry[..16].copy_from_slice(&ESP);
            entry[16..32].copy_from_slice(&[0x40 + index as u8; 16]);
            entry[32..40].copy_from_slice(&start.to_le_bytes());
            entry[40..48].copy_from_slice(&end.to_le_bytes());
        }
        let last = self.blocks - 1;
        self.put(&mut image, &array, 1, last, 2);
        self.put(&mut image, &array, last, 1, last - self.array_blocks());
        image
    }

    fn put(&self, image: &mut [u8], array: &[u8], own: usize, other: usize, at: usize) {
        image[at * self.block..][..array.len()].copy_from_slice(array);
        let mut header = [0u8; 92];
        let mut field = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        field(0, b"EFI PART");
        field(8, &0x1_0000u32.to_le_bytes());
        field(12, &92u32.to_le_bytes());
        field(24, &(own as u64).to_le_bytes());
        field(32, &(other as u64).to_le_bytes());
        field(40, &self.first_usable().to_le_bytes());
        field(48, &self.last_usable().to_le_bytes());
        field(56, b"disk of the test");
        field(72, &(at as u64).to_le_bytes());
        field(80, &(GPT_ENTRIES as u32).to_le_bytes());
        field(84, &128u32.to_le_bytes());
        field(88, &crc32(array).to_le_bytes());
        image[own * self.block..][..92].copy_from_slice(&header);
        resum(image, own * self.block);
    }
}

/// Makes the CRC of the header at this place right again.
pub fn resum(image: &mut [u8], header: usize) {
    image[header + 16..header + 20].fill(0);
    let sum = crc32(&image[header..header + 92]);
    image[header + 16..header + 20].copy_from_slice(&sum.to_le_bytes());
}

pub fn protective_mbr(image: &mut [u8], blocks: usize) {
    mbr_entry(image, 0, 0, 0xee, 1, blocks as u32 - 1);
}

/// An entry of the boot record at `at`.
pub fn mbr_entry(image: &mut [u8], at: usize, index: usize, os_type: u8, start: u32, length: u32) {
    let entry = &mut image[at + 446 + index * 16..][..16];
    entry[4] = os_type;
    entry[8..12].copy_from_slice(&start.to_le_bytes());
    entry[12..16].copy_from_slice(&length.to_le_bytes());
    image[at + 510..at + 512].copy_from_slice(&[0x55, 0xaa]);
}

/// An ISO 9660 image as far as El Torito goes: a default entry for another platform, and two EFI images.
pub fn iso() -> Vec<u8> {
    let mut image = vec![0; 64 * 2048];
    let record = 17 * 2048;
    image[record..record + 30].copy_from_slice(b"\0CD001\x01EL TORITO SPECIFICATION");
    image[record + 0x47..record + 0x4b].copy_from_slice(&19u32.to_le_bytes());
    let catalogue = 19 * 2048;
    let mut entry = |index: usize, bytes: &[u8]| {
        image[catalogue + index * 32..][..bytes.len()].copy_from_slice(bytes);
    };
    let mut validation = [0u8; 32];
    validation[0] = 1;
    validation[30..].copy_from_slice(&[0x55, 0xaa]);
    let sum = 0u16.wrapping_sub(1).wrapping_sub(0xaa55);
    validation[28..30].copy_from_slice(&sum.to_le_bytes());
    entry(0, &validation);
    entry(1, &[0x88, 0, 0, 0, 0, 0, 4, 0, 20, 0, 0, 0]);
    entry(2, &[0x91, 0xef, 2, 0]);
    entry(3, &[0x88, 0, 0, 0, 0, 0, 16, 0, 24, 0, 0, 0]);
    entry(4, &[0x88, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0, 0]);
    image
}
