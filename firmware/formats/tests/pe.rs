//! PE images: each header field that is checked, loading, relocation, permissions, digest ranges.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::pe::{Error, Image, Machine, Permission, Subsystem};
use support::image::{
    self, CHECKSUM_OFFSET, DIRECTORIES_OFFSET, EXECUTE, ImageBuilder, ImageSection, OPTIONAL_OFFSET, PE_OFFSET, READ,
    WRITE,
};

fn parse(image: &ImageBuilder) -> Result<Image, Error> {
    Image::parse(&image.build())
}

/// The application with a change to it.
fn with(change: impl FnOnce(&mut ImageBuilder)) -> Result<Image, Error> {
    let mut image = image::application();
    change(&mut image);
    parse(&image)
}

/// The application with bytes of its file replaced.
fn with_bytes(at: usize, bytes: &[u8]) -> Result<Image, Error> {
    let mut file = image::application().build();
    file[at..at + bytes.len()].copy_from_slice(bytes);
    Image::parse(&file)
}

fn section(index: usize, field: &'static str) -> Error {
    Error::Section { index, field }
}

#[test]
fn fields() {
    let image = parse(&image::application()).unwrap();
    assert_eq!(image.machine(), Machine::Arm64);
    assert_eq!(image.subsystem(), Subsystem::Application);
    assert_eq!(image.entry_point(), Some(0x1004));
    assert_eq!(image.image_base(), 0x1_4000_0000);
    assert_eq!(image.size_of_image(), 0x5000);
    assert_eq!(image.size_of_headers(), 0x400);
    assert_eq!(image.section_alignment(), 0x1000);
    assert_eq!(image.dll_characteristics(), 0x160);
    assert!(image.is_nx_compatible());
    assert!(!image.is_relocs_stripped());
    let [text, data, reloc] = image.sections() else {
        panic!("three sections");
    };
    assert_eq!(&text.name, b".text\0\0\0");
    assert_eq!(text.virtual_range, 0x1000..0x11f0);
    assert_eq!(text.raw_range, 0x400..0x600);
    assert!(text.readable && !text.writable && text.executable);
    assert!(data.readable && data.writable && !data.executable);
    assert_eq!(reloc.virtual_range, 0x4000..0x4010);
}

#[test]
fn dos_header() {
    assert_eq!(Image::parse(&[]), Err(Error::NoDosSignature));
    assert_eq!(Image::parse(&[0; 64]), Err(Error::NoDosSignature));
    assert_eq!(Image::parse(b"MZ"), Err(Error::Truncated("DOS header")));
    assert_eq!(with_bytes(0, b"ZM"), Err(Error::NoDosSignature));
    assert_eq!(with_bytes(0x3c, &[0x3f]), Err(Error::Field("e_lfanew")));
    assert_eq!(with_bytes(0x3c, &[0xff; 4]), Err(Error::Truncated("e_lfanew")));
    assert_eq!(with_bytes(PE_OFFSET, b"NE"), Err(Error::NoPeSignature));
}

#[test]
fn coff_header() {
    assert_eq!(with(|image| image.machine = 0x8664), Err(Error::Machine(0x8664)));
    assert_eq!(with(|image| image.characteristics = 0), Err(Error::Field("Characteristics")));
    assert_eq!(with(|image| image.sections.clear()), Err(Error::Field("NumberOfSections")));
    assert_eq!(with_bytes(PE_OFFSET + 6, &97u16.to_le_bytes()), Err(Error::Field("NumberOfSections")));
    let optional_len = PE_OFFSET + 20;
    assert_eq!(with_bytes(optional_len, &0xffffu16.to_le_bytes()), Err(Error::Truncated("optional header")));
    assert_eq!(with_bytes(optional_len, &111u16.to_le_bytes()), Err(Error::Field("SizeOfOptionalHeader")));
    assert_eq!(with_bytes(optional_len, &239u16.to_le_bytes()), Err(Error::Field("NumberOfRvaAndSizes")));
    assert_eq!(with_bytes(DIRECTORIES_OFFSET - 4, &17u32.to_le_bytes()), Err(Error::Field("NumberOfRvaAndSizes")));
}

#[test]
fn optional_header() {
    assert_eq!(with(|image| image.optional_magic = 0x10b), Err(Error::OptionalHeaderMagic(0x10b)));
    for value in [0, 0x1800, 0x100] {
        assert_eq!(with(|image| image.section_alignment = value), Err(Error::Field("SectionAlignment")), "{value:#x}");
    }
    for value in [0, 0x180] {
        assert_eq!(with(|image| image.file_alignment = value), Err(Error::Field("FileAlignment")));
    }
    assert_eq!(with(|image| image.size_of_image = 0x3ff), Err(Error::Field("SizeOfImage")));
    assert_eq!(with_bytes(OPTIONAL_OFFSET + 60, &0xffff_ffffu32.to_le_bytes()), Err(Error::Truncated("SizeOfHeaders")));
    // One byte less than the section table needs.
    let table_end = DIRECTORIES_OFFSET + 16 * 8 + 3 * 40;
    assert_eq!(
        with_bytes(OPTIONAL_OFFSET + 60, &(table_end as u32 - 1).to_le_bytes()),
        Err(Error::Field("SizeOfHeaders"))
    );
    for (value, kind) in [(11, Subsystem::BootServiceDriver), (12, Subsystem::RuntimeDriver)] {
        let image = with(|image| image.subsystem = value).unwrap();
        assert_eq!(image.subsystem(), kind);
    }
    assert_eq!(with(|image| image.subsystem = 3), Err(Error::Subsystem(3)));
}

#[test]
fn entry_points() {
    let entry = |value| with(|image| image.entry = value).map(|image| image.entry_point());
    assert_eq!(entry(0), Ok(None));
    assert_eq!(entry(0x11ec), Ok(Some(0x11ec)));
    for wrong in [0x1002, 0x11f0, 0x2000, 0x400, 0xffff_fffc] {
        assert_eq!(entry(wrong), Err(Error::Field("AddressOfEntryPoint")), "{wrong:#x}");
    }
}

#[test]
fn sections_are_checked() {
    let change = |change: fn(&mut ImageSection)| {
        with(|image| change(&mut image.sections[1])).map(|image| image.sections().len())
    };
    assert_eq!(change(|_| ()), Ok(3));
    assert_eq!(change(|data| data.virtual_size = 0x3001), Err(section(1, "VirtualSize")));
    assert_eq!(change(|data| data.virtual_address = 0xffff_f000), Err(section(1, "VirtualSize")));
    assert_eq!(change(|data| data.virtual_size = 0x2001), Err(section(2, "VirtualAddress")));
    assert_eq!(change(|data| data.virtual_address = 0x11ef), Err(section(1, "VirtualAddress")));
    assert_eq!(with(|image| image.sections[0].virtual_address = 0x200), Err(section(0, "VirtualAddress")));
    // Raw data: pointer and size of the second entry of the section table.
    let entry = DIRECTORIES_OFFSET + 16 * 8 + 40;
    let raw = |size: u32, pointer: u32| with_bytes(entry + 16, &[size.to_le_bytes(), pointer.to_le_bytes()].concat());
    let len = image::application().build().len() as u32;
    assert!(raw(0x200, len - 0x200).is_ok());
    assert_eq!(raw(0x201, len - 0x200), Err(section(1, "SizeOfRawData")));
    assert_eq!(raw(0xffff_ffff, 0x600), Err(section(1, "SizeOfRawData")));
    // Without data the pointer means nothing.
    assert_eq!(raw(0, 0xffff_ffff).unwrap().sections()[1].raw_range, 0..0);
    // The size in memory may be left out, and a section may be nothing at all.
    let sized_by_raw = with(|image| image.sections[1].virtual_size = 0).unwrap();
    assert_eq!(sized_by_raw.sections()[1].virtual_range, 0x2000..0x2200);
    let empty = with(|image| {
        image.sections[1].virtual_size = 0;
        image.sections[1].raw.clear();
        image.sections[1].virtual_address = 0xdead_0000;
    });
    assert_eq!(empty.unwrap().sections().len(), 2);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn truncated_files_are_refused() {
    let file = image::application().build();
    // What is behind the sections is not loaded.
    let loaded = 0xa00;
    for len in 0..loaded {
        assert!(Image::parse(&file[..len]).is_err(), "{len:#x}");
    }
    assert!(Image::parse(&file[..loaded]).is_ok());
}

fn load(image: &ImageBuilder) -> (Image, Vec<u8>) {
    let file = image.build();
    let image = Image::parse(&file).unwrap();
    let mut memory = vec![0xee; image.size_of_image() as usize];
    image.load_into(&file, &mut memory).unwrap();
    (image, memory)
}

#[test]
fn loading() {
    let file = image::application().build();
    let (image, memory) = load(&image::application());
    assert_eq!(memory[..0x400], file[..0x400]);
    let zero = |range: std::ops::Range<usize>| memory[range].iter().all(|byte| *byte == 0);
    assert!(zero(0x400..0x1000));
    assert_eq!(memory[0x1000..0x11f0], [0xc0; 0x1f0]);
    assert!(zero(0x11f0..0x2000), "the file's padding is not loaded");
    assert_eq!(memory[0x2000..0x2200], file[0x600..0x800]);
    assert!(zero(0x2200..0x4000));
    assert_eq!(memory[0x4000..0x4010], file[0x800..0x810]);
    assert!(zero(0x4010..0x5000));

    let mut short = vec![0; 0x4fff];
    assert_eq!(image.load_into(&file, &mut short), Err(Error::WrongMemorySize));
    let mut memory = vec![0; 0x5000];
    assert_eq!(image.load_into(&file[..0x700], &mut memory), Err(Error::Truncated("section")));
}

#[test]
fn relocation() {
    let (image, mut memory) = load(&image::application());
    let before = memory.clone();
    image.relocate(&mut memory, 0x1_4000_0000).unwrap();
    assert_eq!(memory, before);
    image.relocate(&mut memory, 0x8000_0000).unwrap();
    let number = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
    assert_eq!(number(0x2008), 0x8000_2000);
    assert_eq!(number(0x2080), 0x8000_1004);
    let changed = (0..memory.len()).filter(|at| memory[*at] != before[*at]);
    assert!(changed.map(|at| at & !7).all(|at| [0x2008, 0x2080].contains(&at)));
}

#[test]
fn addresses_are_noted_wherever_the_image_is() {
    for base in [0x1_4000_0000, 0x8000_0000] {
        let (image, mut memory) = load(&image::application());
        let mut noted = Vec::new();
        image.relocate_noting(&mut memory, base, |offset| noted.push(offset)).unwrap();
        assert_eq!(noted, [0x2008, 0x2080], "{base:#x}");
        let number = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
        assert_eq!(number(0x2008), base + 0x2000);
    }
    let (image, mut memory) = load(&image::application());
    assert_eq!(image.relocate_noting(&mut memory[1..], 0x8000_0000, |_| {}), Err(Error::WrongMemorySize));
}

/// The application with another base relocation table, relocated.
fn relocate_with(table: Vec<u8>) -> Result<(), Error> {
    let mut builder = image::application();
    builder.directories[5].1 = table.len() as u32;
    builder.sections[2].virtual_size = table.len() as u32;
    builder.sections[2].raw = table;
    let (image, mut memory) = load(&builder);
    image.relocate(&mut memory, 0)
}

#[test]
fn malformed_relocations() {
    let block = image::relocation_block;
    assert_eq!(relocate_with(block(0x4ff0, &[(10, 8)])), Ok(()));
    let wrong = Err(Error::RelocationBlock(0x4000));
    assert_eq!(relocate_with(block(0x4ff0, &[(10, 9)])), wrong);
    assert_eq!(relocate_with(block(0xffff_ffff, &[(10, 0xfff)])), wrong);
    assert_eq!(relocate_with(block(0x2000, &[(3, 0)])), Err(Error::RelocationType(3)));
    let with_len = |len: u32| {
        let mut table = block(0x2000, &[(10, 8), (0, 0)]);
        table[4..8].copy_from_slice(&len.to_le_bytes());
        relocate_with(table)
    };
    assert_eq!(with_len(12), Ok(()));
    // 14 ends inside the image, but behind the table.
    for len in [0, 7, 11, 13, 14, 0xffff_ffff] {
        assert_eq!(with_len(len), wrong, "{len}");
    }
    // Four bytes are left for the next block's header.
    assert_eq!(with_len(8), Err(Error::RelocationBlock(0x4008)));
}

#[test]
fn relocation_directory_is_inside() {
    let directory = |address, size| with(|image| image.directories[5] = (address, size)).map(|_| ());
    assert_eq!(directory(0x4ff8, 8), Ok(()));
    let wrong = Err(Error::Field("base relocation table"));
    assert_eq!(directory(0x4ff8, 9), wrong);
    assert_eq!(directory(0xffff_ffff, 0xffff_ffff), wrong);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn stripped_relocations() {
    let mut builder = image::application();
    builder.characteristics |= 1;
    let (image, mut memory) = load(&builder);
    assert!(image.is_relocs_stripped());
    assert_eq!(image.relocate(&mut memory, image.image_base()), Ok(()));
    assert_eq!(image.relocate(&mut memory, 0), Err(Error::RelocationsStripped));
    // A kernel has no relocations and needs none.
    let (image, mut memory) = load(&image::kernel());
    assert_eq!(image.relocate(&mut memory, 0x4020_0000), Ok(()));
}

#[test]
fn permissions() {
    use Permission::{ReadExecute, ReadOnly, ReadWrite, ReadWriteExecute};
    let list = |change: fn(&mut ImageBuilder)| {
        let image = with(change).unwrap();
        image.permissions().map(Iterator::collect::<Vec<_>>)
    };
    assert_eq!(
        list(|_| ()).unwrap(),
        [(0..0x1000, ReadOnly), (0x1000..0x2000, ReadExecute), (0x2000..0x4000, ReadWrite), (0x4000..0x5000, ReadOnly),]
    );
    // A gap, and an image that does not end at a page.
    assert_eq!(
        list(|image| {
            image.sections[0].characteristics = READ | WRITE | EXECUTE;
            image.sections[1].virtual_size = 0x1000;
            image.size_of_image = 0x4010;
        })
        .unwrap(),
        [
            (0..0x1000, ReadOnly),
            (0x1000..0x2000, ReadWriteExecute),
            (0x2000..0x3000, ReadWrite),
            (0x3000..0x4000, ReadOnly),
            (0x4000..0x5000, ReadOnly),
        ]
    );
    assert_eq!(list(|image| image.section_alignment = 0x800), None);
    assert_eq!(list(|image| image.sections[1].virtual_address = 0x2800), None);
    assert!(parse(&image::packed()).unwrap().permissions().is_none());
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn flat_layouts() {
    assert_eq!(parse(&image::application()).unwrap().flat_len(), None);
    let kernel = |change: fn(&mut ImageBuilder)| {
        let mut builder = image::kernel();
        change(&mut builder);
        let image = parse(&builder).unwrap();
        assert_eq!(image.laid_out_flat(), image.flat_len().is_some());
        image.flat_len()
    };
    assert_eq!(kernel(|_| ()), Some(0x2_1200));
    // A signature behind it is not loaded.
    assert_eq!(kernel(|image| image.trailing = vec![1; 0x100]), Some(0x2_1200));
    // Bytes of the file between two sections would have to become zeros.
    assert_eq!(
        kernel(|image| {
            image.sections[0].virtual_size = 0xf000;
        }),
        None
    );
    assert_eq!(
        kernel(|image| {
            image.sections[0].raw.truncate(0xf000);
        }),
        None
    );
    assert_eq!(
        kernel(|image| {
            image.sections[1].raw_offset += 0x200;
        }),
        None
    );
}

/// Files that have the same digest are the same once they are loaded.
#[test]
fn what_is_in_no_digest_is_in_no_loaded_image() {
    let certificates = DIRECTORIES_OFFSET + 4 * 8;
    let (image, memory) = load(&image::application());
    let covered: Vec<_> = image.authenticode_ranges().unwrap();
    let mut cleared = memory.clone();
    image.clear_unmeasured(&mut cleared);
    for at in 0..0x400 {
        let measured = covered.iter().any(|range| range.contains(&at));
        assert_eq!(
            measured,
            !(CHECKSUM_OFFSET..CHECKSUM_OFFSET + 4).contains(&at) && !(certificates..certificates + 8).contains(&at)
        );
        assert_eq!(cleared[at], if measured { memory[at] } else { 0 }, "{at:#x}");
    }
    assert_ne!(cleared, memory);
    assert_eq!(cleared[0x400..], memory[0x400..]);
    // Nothing is beyond the end of memory that is too short.
    image.clear_unmeasured(&mut cleared[..CHECKSUM_OFFSET + 2]);
}

#[test]
fn authenticode() {
    let image = parse(&image::application()).unwrap();
    let certificates = DIRECTORIES_OFFSET + 4 * 8;
    assert_eq!(
        image.authenticode_ranges().unwrap(),
        [
            0..CHECKSUM_OFFSET,
            CHECKSUM_OFFSET + 4..certificates,
            certificates + 8..0x400,
            0x400..0x600,
            0x600..0x800,
            0x800..0xa00,
        ]
    );
    assert_eq!(image.certificate_table(), Ok(Some(0xa00..0xa10)));

    // Sections are hashed by their place in the file; what follows them is hashed too.
    let unsigned = with(|image| {
        image.directories[4] = (0, 0);
        image.sections[0].raw_offset = 0x800;
        image.sections[2].raw_offset = 0x400;
    })
    .unwrap();
    let ranges = unsigned.authenticode_ranges().unwrap();
    assert_eq!(ranges[3..], [0x400..0x600, 0x600..0x800, 0x800..0xa00, 0xa00..0xa10]);
    assert_eq!(unsigned.certificate_table(), Ok(None));

    // No such directory entry at all.
    let ranges = with(|image| image.directories.truncate(4)).unwrap();
    let ranges = ranges.authenticode_ranges().unwrap();
    assert_eq!(ranges[..2], [0..CHECKSUM_OFFSET, CHECKSUM_OFFSET + 4..0x400]);
}

#[test]
fn certificates_lie_at_the_end() {
    let ranges = |entry| {
        let image = with(|image| image.directories[4] = entry).unwrap();
        assert_eq!(image.certificate_table().is_ok(), image.authenticode_ranges().is_ok());
        image.authenticode_ranges().map(|ranges| ranges.len())
    };
    assert_eq!(ranges((0xa08, 8)), Ok(7));
    for wrong in [(0xa00, 8), (0xa00, 0x11), (0x100, 0x910), (0xffff_ffff, 0xffff_ffff)] {
        assert_eq!(ranges(wrong), Err(Error::CertificateTable), "{wrong:x?}");
    }
    // Sections that share bytes are hashed twice, and the sum no longer says what follows.
    let shared = with(|image| image.sections[1].raw_offset = 0x400).unwrap();
    assert!(shared.authenticode_ranges().is_ok());
    let many = with(|image| {
        for section in &mut image.sections {
            section.raw_offset = 0x400;
            section.raw = vec![0; 0x400];
        }
        image.directories[4] = (0, 0);
    });
    assert_eq!(many.unwrap().authenticode_ranges(), Err(Error::Field("PointerToRawData")));
}

/// A resource directory for the address 0x3000: a type, a name and a language, and the package list that they lead to.
fn resources() -> Vec<u8> {
    let directory = |named: u16, numbered: u16, name: u32, data: u32| {
        let mut bytes = vec![0; 12];
        bytes.extend([named, numbered].map(u16::to_le_bytes).concat());
        bytes.extend([name, data].map(u32::to_le_bytes).concat());
        bytes
    };
    let mut bytes = directory(1, 0, 0x8000_0058, 0x8000_0018);
    bytes.extend(directory(0, 1, 1, 0x8000_0030));
    bytes.extend(directory(0, 1, 0, 0x48));
    bytes.extend([0x3060u32, 28, 0, 0].map(u32::to_le_bytes).concat());
    bytes.extend([3, 0, b'H', 0, b'I', 0, b'I', 0]);
    bytes.extend([0x77; 16]);
    bytes.extend([24u32, 0xdf00_0004, 0xffff_ffff].map(u32::to_le_bytes).concat());
    bytes
}

fn hii_package_list(resources: &[u8]) -> Option<std::ops::Range<usize>> {
    let mut application = image::application();
    application.directories[2] = (0x3000, resources.len() as u32);
    let (image, mut memory) = load(&application);
    memory[0x3000..0x3000 + resources.len()].copy_from_slice(resources);
    let list = image.hii_package_list(&memory);
    assert!(list.clone().is_none_or(|list| memory.get(list).is_some_and(|list| list.len() >= 20)));
    list
}

#[test]
fn hii_resources() {
    let whole = resources();
    assert_eq!(hii_package_list(&whole), Some(0x3060..0x3078));
    let (image, memory) = load(&image::application());
    assert_eq!(image.hii_package_list(&memory), None, "without resources");

    let changed = |at: usize, bytes: &[u8]| {
        let mut resources = whole.clone();
        resources[at..at + bytes.len()].copy_from_slice(bytes);
        hii_package_list(&resources)
    };
    let none: [(usize, &[u8]); 9] = [
        (12, &[0, 0]),
        (0x5a, b"X"),
        (0x17, &[0x7f]),
        (0x26, &[0, 0]),
        // A directory where data should be, beyond the end, and data beyond the image.
        (0x44, &0x8000_0018u32.to_le_bytes()),
        (0x44, &0x7fff_ffffu32.to_le_bytes()),
        (0x48, &0x4ff0u32.to_le_bytes()),
        // A list that is longer than the resource, or than nothing at all.
        (0x70, &29u32.to_le_bytes()),
        (0x70, &19u32.to_le_bytes()),
    ];
    for (at, bytes) in none {
        assert_eq!(changed(at, bytes), None, "{at:#x} {bytes:x?}");
    }
    // Data right below the type, as an image without names and languages has them.
    assert_eq!(changed(0x14, &0x48u32.to_le_bytes()), Some(0x3060..0x3078));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn damaged_resources() {
    let whole = resources();
    for at in 0..whole.len() {
        let _ = hii_package_list(&whole[..at]);
        for value in [0, 1, 0x7f, 0x80, 0xff] {
            let mut resources = whole.clone();
            resources[at] = value;
            let _ = hii_package_list(&resources);
        }
    }
    let mut application = image::application();
    for directory in [(0x4fff, 0x20), (0xffff_fff0, 0x20), (0, u32::MAX)] {
        application.directories[2] = directory;
        let (image, memory) = load(&application);
        assert_eq!(image.hii_package_list(&memory), None);
    }
}
