//! fw_cfg's directory and structures, and the header of kernels.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::arm64_image::{self, Header, PageSize};
use formats::fw_cfg::{self, Directory, DmaAccess, Error, key};
use support::image::arm64_header;
use support::{fw_cfg_directory, fw_cfg_file};
use zerocopy::IntoBytes;

fn directory(count: u32, files: &[Vec<u8>]) -> Result<Directory, Error> {
    Directory::parse(&[&count.to_be_bytes()[..], &files.concat()].concat())
}

#[test]
fn files_are_found() {
    let bytes = fw_cfg_directory();
    let len = Directory::len_from_count(bytes[..4].try_into().unwrap());
    assert_eq!(len, Ok(bytes.len()));
    let directory = Directory::parse(&bytes).unwrap();
    let names: Vec<_> = directory.files().iter().map(fw_cfg::File::name).collect();
    assert_eq!(names, ["bootorder", "etc/acpi/tables", "etc/table-loader"]);
    let file = directory.find("etc/acpi/tables").unwrap();
    assert_eq!((file.size, file.key), (0x2_0000, 0x22));
    assert_eq!(directory.find("etc/acpi"), None);
}

#[test]
fn directories_are_checked() {
    let file = |name: &str| fw_cfg_file(name, 1, 0x20);
    assert!(directory(0, &[]).unwrap().files().is_empty());
    assert_eq!(Directory::parse(&[0, 0, 0]), Err(Error::Truncated));
    assert_eq!(directory(2, &[file("a")]), Err(Error::Truncated));
    assert_eq!(directory(u32::MAX, &[file("a")]), Err(Error::TooManyFiles(u32::MAX)));
    assert_eq!(directory(2, &[file("a"), file("a")]), Err(Error::DuplicateName));
    // What follows the NUL does not make names differ.
    let mut other = file("a");
    other[60] = b'x';
    assert_eq!(directory(2, &[file("a"), other]), Err(Error::DuplicateName));
    for wrong in [0x1f, 0x4000] {
        let file = fw_cfg_file("a", 1, wrong);
        assert_eq!(directory(1, &[file]), Err(Error::BadKey(0)));
    }
}

/// QEMU takes any name that its `-fw_cfg` option is given: one that is odd must not end the boot.
#[test]
fn odd_names_are_left_out() {
    let names = |files: &[&str]| {
        let files: Vec<_> = files.iter().map(|name| fw_cfg_file(name, 1, 0x20)).collect();
        let directory = directory(files.len() as u32, &files).unwrap();
        directory.files().iter().map(|file| file.name().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&["opt/my file", "a"]), ["a", "opt/my file"]);
    let longest = "x".repeat(55);
    assert_eq!(names(&[&longest]), [&longest[..]]);
    for odd in ["", "\t", "caf\u{e9}", "\u{7f}", &"x".repeat(56)] {
        assert_eq!(names(&[odd, "a", odd]), ["a"], "{odd:?}");
    }
}

#[test]
fn dma_structures_are_big_endian() {
    let read = DmaAccess::read(Some(key::KERNEL_DATA), 0x1234, 0x4020_0000);
    assert_eq!(read.as_bytes(), [0, 0x11, 0, 0x0a, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 0x40, 0x20, 0, 0]);
    let again = DmaAccess::read(None, 1, 0);
    assert_eq!(again.control.get(), 2);
    assert_eq!(fw_cfg::DMA_SIGNATURE.to_be_bytes(), *b"QEMU CFG");
}

#[test]
fn kernel_headers() {
    let header = Header::parse(&arm64_header(0x8_0000, 0x200_0000, 0xa)).unwrap();
    assert_eq!(header.code0, 0xfa40_5a4d);
    assert_eq!(header.text_offset, 0x8_0000);
    assert_eq!(header.image_size, 0x200_0000);
    assert_eq!(header.page_size, PageSize::Size4K);
    assert!(header.place_anywhere);
    let header = Header::parse(&arm64_header(0, 64, 6)).unwrap();
    assert_eq!(header.page_size, PageSize::Size64K);
    assert!(!header.place_anywhere);
}

/// By the number that an Image has, and by the one of a kernel that unpacks itself.
#[test]
fn kernels_among_efi_programs() {
    let mut file = arm64_header(0, 0x4_0000, 0xa);
    assert!(arm64_image::is_linux(&file));
    file[0x38..0x3c].copy_from_slice(&0x8182_23cd_u32.to_le_bytes());
    assert!(arm64_image::is_linux(&file));
    assert!(!arm64_image::is_linux(&file[..0x3b]));
    file[0x38] ^= 1;
    assert!(!arm64_image::is_linux(&file));
}

#[test]
fn kernel_headers_are_checked() {
    use arm64_image::Error;
    let error = |file: &[u8]| Header::parse(file).unwrap_err();
    assert_eq!(error(&arm64_header(0, 64, 0)[..63]), Error::Truncated);
    assert_eq!(error(&[0; 64]), Error::NoMagic);
    assert_eq!(error(&arm64_header(0, 0, 0)), Error::ImageSize);
    assert_eq!(error(&arm64_header(0, u64::MAX, 0)), Error::ImageSize);
    assert_eq!(error(&arm64_header(0x20_0000, 64, 0)), Error::TextOffset);
    assert_eq!(error(&arm64_header(0, 64, 1)), Error::BigEndian);
    assert_eq!(error(b"\x1f\x8b\x08"), Error::Compressed("gzip"));
    assert_eq!(error(&[&b"\x28\xb5\x2f\xfd"[..], &[0; 64]].concat()), Error::Compressed("zstd"));
}
