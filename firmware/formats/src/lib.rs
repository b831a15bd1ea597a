//! Formats and parsers of everything the firmware reads: pure, no hardware, no unsafe.
//!
//! Every byte that reaches this crate comes from a host or an image that may be hostile: lengths
//! and offsets are checked before use, counts are bounded, and a malformed input ends in an error.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod arm64_image;
pub mod bootorder;
pub mod char16;
pub mod compressed;
pub mod device_path;
pub mod device_tree;
pub mod fw_cfg;
pub mod load_option;
pub mod machine;
pub mod pe;
mod region;

pub use region::Region;
