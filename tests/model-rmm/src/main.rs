//! The EL2 program. See `el2` for how it starts and what it does on each exit from the realm.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod el2;

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("model-rmm runs at EL2 under QEMU: cargo xtask run --direct-kernel");
    std::process::exit(2);
}
