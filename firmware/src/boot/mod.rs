//! Booting: what is started, and what is said when nothing can be.

mod arm64;
mod direct_kernel;
mod error;

pub use direct_kernel::direct_kernel;
pub use error::{Error, Item};
