//! Links the payload so that it runs at any address.

fn main() {
    println!("cargo::rerun-if-changed=../../linker/realm-conformance.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo::rustc-link-arg-bins=-T{root}/../../linker/realm-conformance.ld");
        for argument in ["-pie", "--no-dynamic-linker", "-znotext"] {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}
