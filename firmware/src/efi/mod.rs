//! UEFI: the boot services, the protocols and the images behind one [`start`].

pub mod boot_services;
pub mod event_log;
pub mod image;
pub mod protocols;
mod runtime;
pub mod services;
mod start;
pub mod variables;

pub use start::{Error, start};
