//! The headers on the wire, and the checks that turn them into an [`Image`].

use alloc::vec::Vec;
use core::ops::Range;

use zerocopy::little_endian::{U16, U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use super::{Error, Image, Machine, Section, Subsystem};

const DOS_SIGNATURE: [u8; 2] = *b"MZ";
const PE_SIGNATURE: [u8; 4] = *b"PE\0\0";
const PE32_PLUS: u16 = 0x20b;
const EXECUTABLE_IMAGE: u16 = 0x0002;
const RESOURCE_TABLE: usize = 2;
const CERTIFICATE_TABLE: usize = 4;
const BASE_RELOCATION_TABLE: usize = 5;
const MAX_DIRECTORIES: u32 = 16;
/// The most sections Microsoft's loader takes.
const MAX_SECTIONS: u16 = 96;
const MEM_EXECUTE: u32 = 0x2000_0000;
const MEM_READ: u32 = 0x4000_0000;
const MEM_WRITE: u32 = 0x8000_0000;

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DosHeader {
    e_magic: [u8; 2],
    unused: [u8; 58],
    e_lfanew: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct CoffHeader {
    signature: [u8; 4],
    machine: U16,
    number_of_sections: U16,
    time_date_stamp: U32,
    pointer_to_symbol_table: U32,
    number_of_symbols: U32,
    size_of_optional_header: U16,
    characteristics: U16,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct OptionalHeader {
    magic: U16,
    linker_version: [u8; 2],
    size_of_code: U32,
    size_of_initialized_data: U32,
    size_of_uninitialized_data: U32,
    address_of_entry_point: U32,
    base_of_code: U32,
    image_base: U64,
    section_alignment: U32,
    file_alignment: U32,
    versions: [U16; 6],
    win32_version_value: U32,
    size_of_image: U32,
    size_of_headers: U32,
    check_sum: U32,
    subsystem: U16,
    dll_characteristics: U16,
    stack_and_heap_sizes: [U64; 4],
    loader_flags: U32,
    number_of_rva_and_sizes: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct DataDirectory {
    virtual_address: U32,
    size: U32,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct SectionHeader {
    name: [u8; 8],
    virtual_size: U32,
    virtual_address: U32,
    size_of_raw_data: U32,
    pointer_to_raw_data: U32,
    pointer_to_relocations: U32,
    pointer_to_linenumbers: U32,
    number_of_relocations: U16,
    number_of_linenumbers: U16,
    characteristics: U32,
}

/// Takes a header from the front of `rest`.
fn take<'a, T>(rest: &mut &'a [u8], what: &'static str) -> Result<&'a T, Error>
where
    T: FromBytes + Immutable + KnownLayout + Unaligned,
{
    let (header, behind) = T::ref_from_prefix(rest).map_err(|_| Error::Truncated(what))?;
    *rest = behind;
    Ok(header)
}

impl Image {
    /// Checks the headers of a PE32+ image for AArch64 in `file`.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        let dos: &DosHeader = take(&mut &*file, "DOS header")
            .map_err(|error| if file.starts_with(&DOS_SIGNATURE) { error } else { Error::NoDosSignature })?;
        if dos.e_magic != DOS_SIGNATURE {
            return Err(Error::NoDosSignature);
        }
        let pe_offset = dos.e_lfanew.get() as usize;
        if pe_offset < size_of::<DosHeader>() {
            return Err(Error::Field("e_lfanew"));
        }
        let mut rest = file.get(pe_offset..).ok_or(Error::Truncated("e_lfanew"))?;
        let coff: &CoffHeader = take(&mut rest, "COFF header")?;
        check_coff(coff)?;

        let optional_len = coff.size_of_optional_header.get() as usize;
        let optional_offset = pe_offset + size_of::<CoffHeader>();
        let (mut optional_bytes, mut section_table) =
            rest.split_at_checked(optional_len).ok_or(Error::Truncated("optional header"))?;
        let optional: &OptionalHeader =
            take(&mut optional_bytes, "optional header").map_err(|_| Error::Field("SizeOfOptionalHeader"))?;
        check_optional(optional, file.len())?;

        let directory_count = optional.number_of_rva_and_sizes.get();
        if directory_count > MAX_DIRECTORIES {
            return Err(Error::Field("NumberOfRvaAndSizes"));
        }
        let (directories, _) = <[DataDirectory]>::ref_from_prefix_with_elems(optional_bytes, directory_count as usize)
            .map_err(|_| Error::Field("NumberOfRvaAndSizes"))?;

        let section_table_offset = optional_offset + optional_len;
        let section_count = coff.number_of_sections.get() as usize;
        let headers_end = section_table_offset + section_count * size_of::<SectionHeader>();
        if (optional.size_of_headers.get() as usize) < headers_end {
            return Err(Error::Field("SizeOfHeaders"));
        }
        let sections = sections(&mut section_table, section_count, optional, file.len())?;

        let directories_offset = optional_offset + size_of::<OptionalHeader>();
        let certificates = directories.get(CERTIFICATE_TABLE);
        Ok(Self {
            subsystem: subsystem(optional.subsystem.get())?,
            characteristics: coff.characteristics.get(),
            dll_characteristics: optional.dll_characteristics.get(),
            entry_point: entry_point(optional.address_of_entry_point.get(), &sections)?,
            image_base: optional.image_base.get(),
            size_of_image: optional.size_of_image.get(),
            size_of_headers: optional.size_of_headers.get(),
            section_alignment: optional.section_alignment.get(),
            relocation_directory: relocation_directory(directories, optional)?,
            resource_directory: directories
                .get(RESOURCE_TABLE)
                .and_then(|entry| range(entry.virtual_address.get(), entry.size.get())),
            sections,
            file_len: file.len(),
            checksum_offset: optional_offset + core::mem::offset_of!(OptionalHeader, check_sum),
            certificate_entry_offset: certificates
                .map(|_| directories_offset + CERTIFICATE_TABLE * size_of::<DataDirectory>()),
            certificate_table: certificates.filter(|entry| entry.size.get() != 0).map(|entry| {
                let start = u64::from(entry.virtual_address.get());
                start..start + u64::from(entry.size.get())
            }),
        })
    }
}

fn check_coff(coff: &CoffHeader) -> Result<(), Error> {
    if coff.signature != PE_SIGNATURE {
        return Err(Error::NoPeSignature);
    }
    if coff.machine.get() != Machine::Arm64.value() {
        return Err(Error::Machine(coff.machine.get()));
    }
    if !(1..=MAX_SECTIONS).contains(&coff.number_of_sections.get()) {
        return Err(Error::Field("NumberOfSections"));
    }
    if coff.characteristics.get() & EXECUTABLE_IMAGE == 0 {
        return Err(Error::Field("Characteristics"));
    }
    Ok(())
}

fn check_optional(optional: &OptionalHeader, file_len: usize) -> Result<(), Error> {
    if optional.magic.get() != PE32_PLUS {
        return Err(Error::OptionalHeaderMagic(optional.magic.get()));
    }
    let section_alignment = optional.section_alignment.get();
    let file_alignment = optional.file_alignment.get();
    if !section_alignment.is_power_of_two() || section_alignment < file_alignment {
        return Err(Error::Field("SectionAlignment"));
    }
    if !file_alignment.is_power_of_two() {
        return Err(Error::Field("FileAlignment"));
    }
    let size_of_headers = optional.size_of_headers.get();
    if size_of_headers as usize > file_len {
        return Err(Error::Truncated("SizeOfHeaders"));
    }
    if size_of_headers > optional.size_of_image.get() {
        return Err(Error::Field("SizeOfImage"));
    }
    Ok(())
}

fn sections(
    table: &mut &[u8],
    count: usize,
    optional: &OptionalHeader,
    file_len: usize,
) -> Result<Vec<Section>, Error> {
    let mut sections = Vec::new();
    sections.try_reserve_exact(count)?;
    // Headers are loaded at the start of the image, and no section may replace them.
    let mut free_from = optional.size_of_headers.get();
    for index in 0..count {
        let header: &SectionHeader = take(table, "section table")?;
        let bad = |field| Error::Section { index, field };
        let raw_len = header.size_of_raw_data.get();
        let memory_len = match header.virtual_size.get() {
            0 => raw_len,
            len => len,
        };
        if memory_len == 0 {
            continue;
        }
        let virtual_range = range(header.virtual_address.get(), memory_len)
            .filter(|range| range.end <= optional.size_of_image.get())
            .ok_or(bad("VirtualSize"))?;
        if virtual_range.start < free_from {
            return Err(bad("VirtualAddress"));
        }
        free_from = virtual_range.end;

        // A pointer without data means nothing.
        let raw_range = match raw_len {
            0 => 0..0,
            len => range(header.pointer_to_raw_data.get(), len)
                .filter(|range| range.end as usize <= file_len)
                .ok_or(bad("SizeOfRawData"))?,
        };
        let characteristics = header.characteristics.get();
        sections.push(Section {
            name: header.name,
            virtual_range,
            raw_range,
            readable: characteristics & MEM_READ != 0,
            writable: characteristics & MEM_WRITE != 0,
            executable: characteristics & MEM_EXECUTE != 0,
        });
    }
    Ok(sections)
}

fn range(start: u32, len: u32) -> Option<Range<u32>> {
    Some(start..start.checked_add(len)?)
}

fn subsystem(value: u16) -> Result<Subsystem, Error> {
    match value {
        10 => Ok(Subsystem::Application),
        11 => Ok(Subsystem::BootServiceDriver),
        12 => Ok(Subsystem::RuntimeDriver),
        other => Err(Error::Subsystem(other)),
    }
}

fn entry_point(offset: u32, sections: &[Section]) -> Result<Option<u32>, Error> {
    if offset == 0 {
        return Ok(None);
    }
    let is_code = |section: &Section| section.executable && section.virtual_range.contains(&offset);
    if offset.is_multiple_of(4) && sections.iter().any(is_code) {
        Ok(Some(offset))
    } else {
        Err(Error::Field("AddressOfEntryPoint"))
    }
}

fn relocation_directory(directories: &[DataDirectory], optional: &OptionalHeader) -> Result<Option<Range<u32>>, Error> {
    let Some(entry) = directories.get(BASE_RELOCATION_TABLE).filter(|entry| entry.size.get() != 0) else {
        return Ok(None);
    };
    range(entry.virtual_address.get(), entry.size.get())
        .filter(|range| range.end <= optional.size_of_image.get())
        .map(Some)
        .ok_or(Error::Field("base relocation table"))
}
