//! Links the image by `linker/realmfw.ld`, and builds the runtime services image that it embeds.

#[path = "build/runtime.rs"]
mod runtime;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../linker/realmfw.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
    // Functions that came out alike are there once: the only addresses of functions that are compared are those that
    // images pass to EFI_RESET_NOTIFICATION_PROTOCOL, which are the images'.
    println!("cargo::rustc-link-arg-bins=--icf=all");
    // A position-independent image without a loader: boot-asm applies the relocations.
    for argument in ["-pie", "--no-dynamic-linker", "-Bsymbolic", "-zmax-page-size=4096", "--pack-dyn-relocs=relr"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
    runtime::build()
}
