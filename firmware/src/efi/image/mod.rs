//! Images (UEFI 2.10, 7.4): loading, starting, leaving and unloading them.
//!
//! Applications and boot service drivers are supported. A runtime driver would have to be
//! relocated again by `SetVirtualAddressMap()`, which belongs to the runtime services image and
//! knows nothing of PE files: it is refused as unsupported.

mod abi;
mod file;
mod load;
mod path;
mod registry;
mod switch;

pub use abi::{exit, load_image, start_image, unload_image};
pub use load::{Buffer, LoadError};
pub use path::bytes as path_bytes;
pub use registry::{firmware, init, load_from_buffer, load_in_place, set_load_options, start};
