//! A machine with virtio devices that can be told to break every rule.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, missing_docs)]

pub mod device;
pub mod disk;
#[path = "../../../driver/tests/support/machine.rs"]
pub mod machine;
pub mod registers;

pub use machine::Machine;
