//! Hands the linker script of the runtime image to the linker.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none") {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../linker/runtime.ld");
        println!("cargo::rerun-if-changed={script}");
        println!("cargo::rustc-link-arg-bins=-T{script}");
        // Linked as what runs anywhere, so that an absolute address shows as a relocation.
        for argument in ["-pie", "--no-dynamic-linker", "-ztext"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
