//! UEFI: the boot services, the protocols and the images behind one [`init`].

pub mod boot_services;
pub mod image;
pub mod protocols;
pub mod services;

pub use boot_services::{EfiParameters, init};
