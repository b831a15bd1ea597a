//! Images (UEFI 2.10, 7.4): loading, starting, leaving and unloading them.
//!
//! A runtime driver is relocated once more by `SetVirtualAddressMap()`. That belongs to the runtime
//! services image, which knows nothing of PE files: it gets a list of the addresses to move.

mod abi;
mod file;
mod fixups;
mod load;
mod path;
mod registry;
mod switch;

pub use abi::{exit, load_image, start_image, unload_image};
pub use load::{Buffer, LoadError};
pub use path::bytes as path_bytes;
pub use registry::{
    Outcome, firmware, hand_over_drivers, init, load_from_buffer, load_from_path, load_in_place, set_load_options,
    start,
};
