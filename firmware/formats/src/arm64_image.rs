//! The header of an arm64 kernel Image (Linux, Documentation/arch/arm64/booting.rst, "Call the
//! kernel image").

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

/// "ARM\x64".
const MAGIC: u32 = 0x644d_5241;
/// LINUX_PE_MAGIC, of a kernel that is an EFI program of another kind (linux/pe.h).
const LINUX_PE_MAGIC: u32 = 0x8182_23cd;
const FLAG_BIG_ENDIAN: u64 = 1 << 0;
const FLAG_PLACE_ANYWHERE: u64 = 1 << 3;

/// What compressed kernels begin with, and the format's name.
const COMPRESSED: [(&[u8], &str); 6] = [
    (b"\x1f\x8b", "gzip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x02\x21\x4c\x18", "lz4"),
    (b"\x5d\0\0", "lzma"),
];

/// Why a file is no bootable Image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Fewer than 64 bytes.
    #[error("arm64 Image is truncated")]
    Truncated,
    /// Compressed, in the format of this name.
    #[error("kernel is compressed with {0}, which is not supported")]
    Compressed(&'static str),
    /// No "ARM\x64" in the header.
    #[error("no arm64 Image: magic missing")]
    NoMagic,
    /// image_size is zero (kernels before 3.17), or smaller than the header.
    #[error("arm64 Image: image_size is not valid")]
    ImageSize,
    /// text_offset is not below 2 MiB.
    #[error("arm64 Image: text_offset is not valid")]
    TextOffset,
    /// The kernel is big-endian.
    #[error("arm64 Image is big-endian")]
    BigEndian,
}

/// The page size a kernel was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    /// The header does not say.
    Unspecified,
    /// 4 KiB.
    Size4K,
    /// 16 KiB.
    Size16K,
    /// 64 KiB.
    Size64K,
}

#[derive(FromBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawHeader {
    code0: U32,
    code1: U32,
    text_offset: U64,
    image_size: U64,
    flags: U64,
    reserved: [U64; 3],
    magic: U32,
    pe_header_offset: U32,
}

/// Whether an EFI program is a Linux kernel: an Image, or one that unpacks itself, which has a number of its own in the
/// same place.
pub fn is_linux(file: &[u8]) -> bool {
    RawHeader::ref_from_prefix(file).is_ok_and(|(raw, _)| matches!(raw.magic.get(), MAGIC | LINUX_PE_MAGIC))
}

/// A checked header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The first instruction; "MZ" and a harmless instruction in a kernel with an EFI stub.
    pub code0: u32,
    /// The image goes this many bytes behind an address that is a multiple of 2 MiB.
    pub text_offset: u64,
    /// The memory that must be free for the kernel from its start on, in bytes: at least the
    /// header's length, and possibly more or less than the file's.
    pub image_size: u64,
    /// The page size.
    pub page_size: PageSize,
    /// Whether the 2 MiB aligned base may be anywhere in memory; otherwise it should be as close
    /// to the start of RAM as possible.
    pub place_anywhere: bool,
}

impl Header {
    /// The length of the header in bytes.
    pub const LEN: usize = size_of::<RawHeader>();

    /// Checks the header at the start of a file.
    pub fn parse(file: &[u8]) -> Result<Self, Error> {
        if let Some((_, name)) = COMPRESSED.iter().find(|(magic, _)| file.starts_with(magic)) {
            return Err(Error::Compressed(name));
        }
        let (raw, _) = RawHeader::ref_from_prefix(file).map_err(|_| Error::Truncated)?;
        if raw.magic.get() != MAGIC {
            return Err(Error::NoMagic);
        }
        let image_size = raw.image_size.get();
        // Half of the address space is more than there can be, and keeps sums from wrapping.
        if image_size < Self::LEN as u64 || image_size > u64::MAX / 2 {
            return Err(Error::ImageSize);
        }
        if raw.text_offset.get() >= 2 << 20 {
            return Err(Error::TextOffset);
        }
        let flags = raw.flags.get();
        if flags & FLAG_BIG_ENDIAN != 0 {
            return Err(Error::BigEndian);
        }
        Ok(Self {
            code0: raw.code0.get(),
            text_offset: raw.text_offset.get(),
            image_size,
            page_size: match flags >> 1 & 3 {
                1 => PageSize::Size4K,
                2 => PageSize::Size16K,
                3 => PageSize::Size64K,
                _ => PageSize::Unspecified,
            },
            place_anywhere: flags & FLAG_PLACE_ANYWHERE != 0,
        })
    }
}
