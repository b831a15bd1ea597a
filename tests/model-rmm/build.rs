//! Links the EL2 program at its place in QEMU's RAM.

fn main() {
    println!("cargo::rerun-if-changed=../../linker/model-rmm.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{root}/../../linker/model-rmm.ld");
        println!("cargo::rustc-link-arg-bins=-znostart-stop-gc");
    }
}
