//! The resources of a loaded image (Microsoft, PE Format, "The .rsrc Section").

use core::ops::Range;

use super::Image;

/// Entries of a directory stand behind its header.
const DIRECTORY_HEADER: usize = 16;
const NAMED_ENTRIES: usize = 12;
const NUMBERED_ENTRIES: usize = 14;
const DIRECTORY_ENTRY: usize = 8;
/// Marks an offset as that of a name, or of a directory.
const INDIRECT: u32 = 1 << 31;
/// The length of "HII" in characters and the characters.
const HII: [u8; 8] = [3, 0, b'H', 0, b'I', 0, b'I', 0];
/// An EFI_HII_PACKAGE_LIST_HEADER, and where its PackageLength is.
const LIST_HEADER: usize = 20;
const PACKAGE_LENGTH: usize = 16;

impl Image {
    /// Where in `memory`, the loaded image, the package list lies that is its resource of the type "HII" (UEFI 2.11,
    /// section 7.4.1). `None` where there is none that lies in the image.
    pub fn hii_package_list(&self, memory: &[u8]) -> Option<Range<usize>> {
        let directory = self.resource_directory.clone()?;
        let resources = memory.get(directory.start as usize..directory.end as usize)?;
        let mut offset = (0..u16_at(resources, NAMED_ENTRIES)?).find_map(|index| {
            let entry = DIRECTORY_HEADER + usize::from(index) * DIRECTORY_ENTRY;
            let name = bytes_at(resources, (u32_at(resources, entry)? & !INDIRECT) as usize)?;
            if name == HII { u32_at(resources, entry + 4) } else { None }
        })?;
        // Below the type are names, and below these languages; the first of each is taken.
        for _ in 0..2 {
            if offset & INDIRECT != 0 {
                let directory = resources.get((offset & !INDIRECT) as usize..)?;
                if u16_at(directory, NAMED_ENTRIES)? == 0 && u16_at(directory, NUMBERED_ENTRIES)? == 0 {
                    return None;
                }
                offset = u32_at(directory, DIRECTORY_HEADER + 4)?;
            }
        }
        // A third directory would lie beyond the resources.
        let start = u32_at(resources, offset as usize)? as usize;
        let size = u32_at(resources, offset as usize + 4)? as usize;
        let data = memory.get(start..)?.get(..size)?;
        let length = u32_at(data, PACKAGE_LENGTH)? as usize;
        (LIST_HEADER..=size).contains(&length).then(|| start..start + length)
    }
}

fn bytes_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes_at(bytes, at).map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes_at(bytes, at).map(u32::from_le_bytes)
}
