//! Loading: copying into memory, base relocation, page permissions.

use core::ops::Range;

use super::{Error, Image, Section};

const PAGE_SIZE: u64 = 4096;
/// IMAGE_REL_BASED_ABSOLUTE: padding.
const ABSOLUTE: u16 = 0;
/// IMAGE_REL_BASED_DIR64: a 64-bit address.
const DIR64: u16 = 10;
const BLOCK_HEADER_LEN: usize = 8;

/// How pages of a loaded image are mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Permission {
    /// Read only: headers, constants, and the gaps between sections.
    ReadOnly,
    /// Read and execute.
    ReadExecute,
    /// Read and write.
    ReadWrite,
    /// All three, for a section that is marked both writable and executable.
    ReadWriteExecute,
}

impl Image {
    /// How many bytes at the start of the file are, where they stand, what loading would put
    /// there; the rest of SizeOfImage is zero. `None` when the file is laid out differently.
    ///
    /// arm64 kernels are laid out so: their file offsets are their addresses.
    pub fn flat_len(&self) -> Option<u32> {
        let mut len = self.size_of_headers;
        for section in &self.sections {
            let raw = section.loaded_raw_range();
            if raw.is_empty() {
                continue;
            }
            // What lies between two sections in the file would be zero in a loaded image. Sections
            // are disjoint in memory, so this also refuses one whose memory goes on behind its data.
            if raw.start != section.virtual_range.start || raw.start != len {
                return None;
            }
            len = raw.end;
        }
        Some(len)
    }

    /// Whether loading the file where it stands is only zeroing what is behind
    /// [`flat_len`](Self::flat_len).
    pub fn laid_out_flat(&self) -> bool {
        self.flat_len().is_some()
    }

    /// Copies headers and sections of `file` to `memory`, which must be SizeOfImage bytes long,
    /// and fills the rest with zeros.
    pub fn load_into(&self, file: &[u8], memory: &mut [u8]) -> Result<(), Error> {
        if memory.len() != self.size_of_image as usize {
            return Err(Error::WrongMemorySize);
        }
        let mut filled = 0;
        let headers = core::iter::once((0..self.size_of_headers, 0));
        let sections = self.sections.iter().map(|section| (section.loaded_raw_range(), section.virtual_range.start));
        for (raw, start) in headers.chain(sections) {
            let start = start as usize;
            let source = file.get(raw.start as usize..raw.end as usize).ok_or(Error::Truncated("section"))?;
            // Sections ascend and are disjoint, so every byte is written once.
            let gap = memory.get_mut(filled..start).ok_or(Error::WrongMemorySize)?;
            gap.fill(0);
            filled = start + source.len();
            memory.get_mut(start..filled).ok_or(Error::WrongMemorySize)?.copy_from_slice(source);
        }
        memory.get_mut(filled..).unwrap_or_default().fill(0);
        Ok(())
    }

    /// Applies the base relocations to a loaded image that is going to run at `load_address`.
    ///
    /// An image without a base relocation table is left as it is, unless its relocations were
    /// stripped and it is not at its image base.
    pub fn relocate(&self, memory: &mut [u8], load_address: u64) -> Result<(), Error> {
        if load_address == self.image_base && memory.len() == self.size_of_image as usize {
            return Ok(());
        }
        self.relocate_noting(memory, load_address, |_| {})
    }

    /// As [`Self::relocate`], and calls `note` with the offset of each 64-bit address in the image, so that it can be
    /// moved once more. An image whose relocations were stripped cannot, wherever it is.
    pub fn relocate_noting(
        &self,
        memory: &mut [u8],
        load_address: u64,
        mut note: impl FnMut(usize),
    ) -> Result<(), Error> {
        if memory.len() != self.size_of_image as usize {
            return Err(Error::WrongMemorySize);
        }
        let delta = load_address.wrapping_sub(self.image_base);
        if self.is_relocs_stripped() {
            return Err(Error::RelocationsStripped);
        }
        let Some(directory) = self.relocation_directory.clone() else {
            return Ok(());
        };
        let end = directory.end as usize;
        let mut block = directory.start as usize;
        while block < end {
            block = relocate_block(memory, block, end, delta, &mut note)?;
        }
        Ok(())
    }

    /// The permissions of the loaded image by pages, ascending, disjoint and without gaps up to
    /// SizeOfImage rounded up to a page.
    ///
    /// `None` when sections are not aligned to 4 KiB: such an image runs only if all of it may be
    /// read, written and executed.
    pub fn permissions(&self) -> Option<Permissions<'_>> {
        let aligned = u64::from(self.section_alignment) >= PAGE_SIZE
            && self.sections.iter().all(|section| u64::from(section.virtual_range.start).is_multiple_of(PAGE_SIZE));
        aligned.then_some(Permissions {
            sections: &self.sections,
            position: 0,
            end: u64::from(self.size_of_image).next_multiple_of(PAGE_SIZE),
        })
    }
}

/// The iterator of [`Image::permissions`]: byte ranges from the start of the image.
#[derive(Clone, Debug)]
pub struct Permissions<'a> {
    sections: &'a [Section],
    position: u64,
    end: u64,
}

impl Iterator for Permissions<'_> {
    type Item = (Range<u64>, Permission);

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.end {
            return None;
        }
        let start = self.position;
        let next_section = self.sections.first().map_or(self.end, |section| u64::from(section.virtual_range.start));
        let permission = if start < next_section {
            // Headers, or what no section claims.
            self.position = next_section;
            Permission::ReadOnly
        } else {
            let (section, others) = self.sections.split_first()?;
            self.sections = others;
            self.position = u64::from(section.virtual_range.end).next_multiple_of(PAGE_SIZE);
            match (section.writable, section.executable) {
                (false, false) => Permission::ReadOnly,
                (false, true) => Permission::ReadExecute,
                (true, false) => Permission::ReadWrite,
                (true, true) => Permission::ReadWriteExecute,
            }
        };
        Some((start..self.position, permission))
    }
}

/// Applies one block of the base relocation table and returns where the next one begins.
fn relocate_block(
    memory: &mut [u8],
    block: usize,
    end: usize,
    delta: u64,
    note: &mut impl FnMut(usize),
) -> Result<usize, Error> {
    let bad = Error::RelocationBlock(block as u32);
    let word = |memory: &[u8], offset: usize| -> Option<u32> {
        let bytes = memory.get(offset..)?.first_chunk()?;
        Some(u32::from_le_bytes(*bytes))
    };
    if end - block < BLOCK_HEADER_LEN {
        return Err(bad);
    }
    let page = word(memory, block).ok_or(bad)? as usize;
    let block_len = word(memory, block + 4).ok_or(bad)? as usize;
    if block_len < BLOCK_HEADER_LEN || block_len > end - block || !block_len.is_multiple_of(2) {
        return Err(bad);
    }
    let block_end = block + block_len;
    for entry_offset in (block + BLOCK_HEADER_LEN..block_end).step_by(2) {
        let entry = memory
            .get(entry_offset..)
            .and_then(|rest| rest.first_chunk())
            .map(|bytes| u16::from_le_bytes(*bytes))
            .ok_or(bad)?;
        match entry >> 12 {
            ABSOLUTE => {}
            DIR64 => {
                let target = page + usize::from(entry & 0xfff);
                let value = memory.get_mut(target..).and_then(|rest| rest.first_chunk_mut()).ok_or(bad)?;
                *value = u64::from_le_bytes(*value).wrapping_add(delta).to_le_bytes();
                note(target);
            }
            other => return Err(Error::RelocationType(other)),
        }
    }
    Ok(block_end)
}
