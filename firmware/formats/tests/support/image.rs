//! A writer of PE32+ images.

pub struct ImageSection {
    pub name: &'static [u8],
    pub virtual_size: u32,
    pub virtual_address: u32,
    pub raw_offset: u32,
    pub raw: Vec<u8>,
    pub characteristics: u32,
}

pub const READ: u32 = 0x4000_0000;
pub const WRITE: u32 = 0x8000_0000;
pub const EXECUTE: u32 = 0x2000_0000;

/// The header fields that tests vary.
pub struct ImageBuilder {
    pub machine: u16,
    pub characteristics: u16,
    pub optional_magic: u16,
    pub entry: u32,
    pub image_base: u64,
    pub section_alignment: u32,
    pub file_alignment: u32,
    pub size_of_image: u32,
    pub size_of_headers: u32,
    pub subsystem: u16,
    pub dll_characteristics: u16,
    /// Address and size by index.
    pub directories: Vec<(u32, u32)>,
    pub sections: Vec<ImageSection>,
    /// Appended to the file.
    pub trailing: Vec<u8>,
}

pub const PE_OFFSET: usize = 0x40;
pub const OPTIONAL_OFFSET: usize = PE_OFFSET + 24;
pub const CHECKSUM_OFFSET: usize = OPTIONAL_OFFSET + 64;
pub const DIRECTORIES_OFFSET: usize = OPTIONAL_OFFSET + 112;

impl ImageBuilder {
    pub fn build(&self) -> Vec<u8> {
        let mut file = vec![0; PE_OFFSET];
        file[..2].copy_from_slice(b"MZ");
        file[0x3c] = PE_OFFSET as u8;
        file.extend(b"PE\0\0");
        let mut u16s = |values: &[u16]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        u16s(&[self.machine, self.sections.len() as u16, 0, 0, 0, 0, 0, 0]);
        let optional_len = 112 + 8 * self.directories.len() as u16;
        u16s(&[optional_len, self.characteristics, self.optional_magic, 0]);
        let mut u32s = |values: &[u32]| file.extend(values.iter().flat_map(|v| v.to_le_bytes()));
        u32s(&[0, 0, 0, self.entry, 0]);
        u32s(&[self.image_base as u32, (self.image_base >> 32) as u32]);
        u32s(&[self.section_alignment, self.file_alignment, 0, 0, 0, 0]);
        u32s(&[self.size_of_image, self.size_of_headers, 0xc0ff_ee00]);
        u32s(&[u32::from(self.subsystem) | u32::from(self.dll_characteristics) << 16]);
        u32s(&[0; 9]);
        u32s(&[self.directories.len() as u32]);
        for (address, size) in &self.directories {
            u32s(&[*address, *size]);
        }
        for section in &self.sections {
            let mut name = section.name.to_vec();
            name.resize(8, 0);
            file.extend(name);
            let fields = [
                section.virtual_size,
                section.virtual_address,
                section.raw.len() as u32,
                section.raw_offset,
                0,
                0,
                0,
                section.characteristics,
            ];
            file.extend(fields.iter().flat_map(|field| field.to_le_bytes()));
        }
        for section in &self.sections {
            let end = section.raw_offset as usize + section.raw.len();
            if section.raw.is_empty() {
                continue;
            }
            file.resize(file.len().max(end), 0);
            file[section.raw_offset as usize..end].copy_from_slice(&section.raw);
        }
        file.resize(file.len().max(self.size_of_headers as usize), 0);
        file.extend(&self.trailing);
        file
    }
}

/// One block of base relocations: entries of type and offset.
pub fn relocation_block(page: u32, entries: &[(u16, u16)]) -> Vec<u8> {
    let len = 8 + 2 * entries.len() as u32;
    let mut block = [page.to_le_bytes(), len.to_le_bytes()].concat();
    for (kind, offset) in entries {
        block.extend((kind << 12 | offset).to_le_bytes());
    }
    block
}

/// An EFI application as linkers write them: code, data with relocations to apply and
/// uninitialised data behind, the relocations, then a certificate table.
pub fn application() -> ImageBuilder {
    let mut data = vec![0x11; 0x200];
    data[8..16].copy_from_slice(&0x1_4000_2000u64.to_le_bytes());
    data[0x80..0x88].copy_from_slice(&0x1_4000_1004u64.to_le_bytes());
    let mut relocations = relocation_block(0x2000, &[(10, 8), (10, 0x80), (0, 0), (0, 0)]);
    let relocations_len = relocations.len() as u32;
    relocations.resize(0x200, 0);
    let mut directories = vec![(0, 0); 16];
    directories[4] = (0xa00, 0x10);
    directories[5] = (0x4000, relocations_len);
    ImageBuilder {
        machine: 0xaa64,
        characteristics: 0x22,
        optional_magic: 0x20b,
        entry: 0x1004,
        image_base: 0x1_4000_0000,
        section_alignment: 0x1000,
        file_alignment: 0x200,
        size_of_image: 0x5000,
        size_of_headers: 0x400,
        subsystem: 10,
        dll_characteristics: 0x160,
        directories,
        sections: vec![
            ImageSection {
                name: b".text",
                virtual_size: 0x1f0,
                virtual_address: 0x1000,
                raw_offset: 0x400,
                raw: vec![0xc0; 0x200],
                characteristics: READ | EXECUTE | 0x20,
            },
            ImageSection {
                name: b".data",
                virtual_size: 0x1800,
                virtual_address: 0x2000,
                raw_offset: 0x600,
                raw: data,
                characteristics: READ | WRITE | 0x40,
            },
            ImageSection {
                name: b".reloc",
                virtual_size: relocations_len,
                virtual_address: 0x4000,
                raw_offset: 0x800,
                raw: relocations,
                characteristics: READ | 0x40,
            },
        ],
        trailing: vec![0xce; 0x10],
    }
}

/// The layout of an arm64 kernel with its EFI stub: file offsets are addresses, no relocations,
/// memory behind the file.
pub fn kernel() -> ImageBuilder {
    ImageBuilder {
        machine: 0xaa64,
        characteristics: 0x206,
        optional_magic: 0x20b,
        entry: 0x1_0040,
        image_base: 0,
        section_alignment: 0x1_0000,
        file_alignment: 0x200,
        size_of_image: 0x4_0000,
        size_of_headers: 0x1_0000,
        subsystem: 10,
        dll_characteristics: 0x100,
        directories: vec![(0, 0); 6],
        sections: vec![
            ImageSection {
                name: b".text",
                virtual_size: 0x1_0000,
                virtual_address: 0x1_0000,
                raw_offset: 0x1_0000,
                raw: vec![0xd5; 0x1_0000],
                characteristics: READ | EXECUTE | 0x20,
            },
            ImageSection {
                name: b".data",
                virtual_size: 0x2_0000,
                virtual_address: 0x2_0000,
                raw_offset: 0x2_0000,
                raw: vec![0xda; 0x1200],
                characteristics: READ | WRITE | 0x40,
            },
        ],
        trailing: Vec::new(),
    }
}

/// The header of an arm64 kernel Image.
pub fn arm64_header(text_offset: u64, image_size: u64, flags: u64) -> Vec<u8> {
    let mut header = b"MZ\x40\xfa\0\0\0\x14".to_vec();
    header.extend([text_offset, image_size, flags, 0, 0, 0].map(u64::to_le_bytes).concat());
    header.extend(b"ARM\x64\x40\0\0\0");
    header
}

/// Smaller than [`kernel`], for fuzzers and Miri: sections not aligned to pages.
pub fn packed() -> ImageBuilder {
    let mut image = application();
    image.section_alignment = 0x20;
    image.file_alignment = 0x20;
    image.size_of_image = 0xa00;
    image.entry = 0x404;
    for (section, address) in image.sections.iter_mut().zip([0x400, 0x600, 0x800]) {
        section.virtual_address = address;
        section.virtual_size = 0x200;
    }
    image.directories[5].0 = 0x800;
    image.sections[2].raw[..4].copy_from_slice(&0x600u32.to_le_bytes());
    image
}

/// All shapes, as files.
pub fn all() -> Vec<Vec<u8>> {
    vec![application().build(), packed().build(), kernel().build()]
}
