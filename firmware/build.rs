//! Links the image by `linker/realmfw.ld`.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../linker/realmfw.ld");
    println!("cargo::rerun-if-changed={script}");
    println!("cargo::rustc-link-arg-bins=-T{script}");
    // A position-independent image without a loader: boot-asm applies the relocations.
    for argument in ["-pie", "--no-dynamic-linker", "-Bsymbolic", "-zmax-page-size=4096"] {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
