//! What the runtime services compute: variables, time and address conversion, pure and without
//! hardware. The binary of this package puts them behind the EFI runtime services table.
//!
//! The binary has no relocations and cannot panic (the firmware's build refuses it otherwise), so
//! nothing here holds a pointer in static data, indexes, or computes with operators that check.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod address_map;
pub mod time;
pub mod variables;
