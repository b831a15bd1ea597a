//! A serial terminal as UEFI's text console (UEFI 2.10, chapter 12): what the screen shows after
//! each output ([`Screen`]) and which key a run of bytes stands for ([`KeyDecoder`]).
//!
//! Nothing there touches a device: output goes to a closure that takes bytes, input comes in as
//! bytes, and time is told by the caller. A 16550 is driven through [`ns16550::Registers`]. The line itself has its settings
//! in [`serial`].
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod keys;
pub mod ns16550;
mod screen;
pub mod serial;

pub use keys::{Key, KeyDecoder, Modifiers, scan};
pub use screen::{Screen, ScreenError, Size, has_glyph};
