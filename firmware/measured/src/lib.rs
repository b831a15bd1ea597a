//! Measured boot of a realm of the Arm Confidential Compute Architecture.
//!
//! [`measure::Measurer`] is the one way into a measurement register: it extends the register and appends
//! the event, so that [`event_log::replay`] of the log gives the registers. [`hash`] is the realm's hash
//! on this CPU; [`expected`] computes the same registers from the files alone.
#![no_std]

extern crate alloc;

pub mod authenticode;
pub mod cc;
pub mod event_log;
pub mod expected;
pub mod hash;
pub mod measure;

pub use hash::{Algorithm, CpuHash, Digest, Hasher};
