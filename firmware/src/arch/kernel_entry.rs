//! The arm64 boot protocol's last step (Linux, Documentation/arch/arm64/booting.rst).
#![expect(unsafe_code, reason = "leaves Rust for a kernel")]

use core::arch::naked_asm;

/// Enters a kernel with the MMU and data cache off and `dtb` in x0, at the exception level the firmware runs at.
///
/// The kernel and the tree must have been cleaned to the point of coherency.
pub fn enter_kernel(entry: u64, dtb: u64) -> ! {
    // SAFETY: the code below leaves the Rust world for good; the image stays mapped until its last instruction
    // because the map is an identity.
    unsafe { leave(dtb, entry) }
}

#[unsafe(naked)]
unsafe extern "C" fn leave(dtb: u64, entry: u64) -> ! {
    naked_asm!(
        "mov    x4, x1",
        "msr    DAIFSet, #0xf",
        "mrs    x5, CurrentEL",
        "cmp    x5, #(2 << 2)",
        "b.eq   1f",
        "mrs    x5, sctlr_el1",
        "bic    x5, x5, #(1 << 12)",
        "bic    x5, x5, #(1 << 2)",
        "bic    x5, x5, #1",
        "msr    sctlr_el1, x5",
        "isb",
        "tlbi   vmalle1",
        "b      2f",
        "1:",
        "mrs    x5, sctlr_el2",
        "bic    x5, x5, #(1 << 12)",
        "bic    x5, x5, #(1 << 2)",
        "bic    x5, x5, #1",
        "msr    sctlr_el2, x5",
        "isb",
        "tlbi   alle2",
        "2:",
        "ic     iallu",
        "dsb    nsh",
        "isb",
        "mov    x1, xzr",
        "mov    x2, xzr",
        "mov    x3, xzr",
        "br     x4",
    )
}
