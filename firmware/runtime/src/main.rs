//! UEFI runtime services: the part of the firmware that stays with the operating system.
//!
//! A flat image without relocations (see `runtime-abi` for its layout). Every entry point works at
//! any address, so the same code serves before `ExitBootServices()`, after it, and after
//! `SetVirtualAddressMap()`. The only pointer it keeps and follows after that is the
//! address of the clock's registers.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
use memory_functions as _;

#[cfg(target_os = "none")]
mod cache;
#[cfg(target_os = "none")]
mod header;
#[cfg(target_os = "none")]
mod psci;
#[cfg(target_os = "none")]
mod region;
#[cfg(target_os = "none")]
mod rtc;
#[cfg(target_os = "none")]
mod services;
#[cfg(target_os = "none")]
mod tables;

/// Nothing gets here: the firmware's build script refuses an image that contains this.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}

/// The image is for bare metal; a build for another target only checks that the package is whole.
#[cfg(not(target_os = "none"))]
fn main() {}
