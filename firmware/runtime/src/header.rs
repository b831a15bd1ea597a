//! The header at offset 0.
#![expect(unsafe_code, reason = "assembly places the header and computes the offsets in it")]

use core::arch::global_asm;

use runtime_abi::ImageHeader;

use crate::region::{CODE_SIZE, DATA_SIZE};
use crate::tables;

// +----------------------------------------------------------------------------------------------+
// | Rust cannot write the distance between two symbols into static data: a function's address     |
// | there would be a relocation. The assembler's difference is a constant when the image is linked.|
// +----------------------------------------------------------------------------------------------+
global_asm!(
    ".pushsection .header, \"ax\"",
    "1: .quad {magic}",
    ".word {version}",
    ".word {code_size}",
    ".word {data_size}",
    ".word {initialize} - 1b",
    ".word {exit_boot_services} - 1b",
    ".word 0",
    ".popsection",
    magic = const ImageHeader::MAGIC,
    version = const ImageHeader::VERSION,
    code_size = const CODE_SIZE,
    data_size = const DATA_SIZE,
    initialize = sym tables::initialize,
    exit_boot_services = sym tables::exit_boot_services,
);
