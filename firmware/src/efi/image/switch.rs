//! Into an image and out of it: what `Exit()` needs and a language cannot give, a jump out of
//! every frame that the image has built.
#![expect(unsafe_code, reason = "the stack is switched by hand")]

use core::arch::naked_asm;

use r_efi::efi::{Handle, Status, SystemTable};

/// The entry point of an image (UEFI 2.10, 4.1).
pub type EntryPoint = unsafe extern "efiapi" fn(Handle, *mut SystemTable) -> Status;

/// Calls an image. Before that, stores in `frame` what [`leave`] takes to end the call.
///
/// # Safety
/// `entry` is the entry point of a loaded image. `frame` is valid for writes.
#[unsafe(naked)]
pub unsafe extern "C" fn enter(
    handle: Handle,
    table: *mut SystemTable,
    entry: EntryPoint,
    frame: *mut usize,
) -> Status {
    // ┌──────────────────────────────────────────────────────────────────────────────────────────┐
    // │ All that AAPCS64 has a function preserve goes on the stack: x19 to x30 and d8 to d15. The │
    // │ stack pointer is then all there is to remember. An image that returns leaves the same way │
    // │ as one that exits.                                                                        │
    // └──────────────────────────────────────────────────────────────────────────────────────────┘
    naked_asm!(
        "hint #34", // bti c
        "stp x29, x30, [sp, #-160]!",
        "mov x29, sp",
        "stp x27, x28, [sp, #16]",
        "stp x25, x26, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x21, x22, [sp, #64]",
        "stp x19, x20, [sp, #80]",
        "stp d14, d15, [sp, #96]",
        "stp d12, d13, [sp, #112]",
        "stp d10, d11, [sp, #128]",
        "stp d8, d9, [sp, #144]",
        "mov x9, sp",
        "str x9, [x3]",
        "blr x2",
        "mov x1, sp",
        "b {leave}",
        leave = sym leave,
    )
}

/// Ends the call of [`enter`] that stored `frame`, with `status` as its result.
///
/// # Safety
/// That call has not ended, and no frame built since holds anything that must be dropped.
#[unsafe(naked)]
pub unsafe extern "C" fn leave(status: Status, frame: usize) -> ! {
    naked_asm!(
        "hint #34", // bti c
        "mov sp, x1",
        "ldp d8, d9, [sp, #144]",
        "ldp d10, d11, [sp, #128]",
        "ldp d12, d13, [sp, #112]",
        "ldp d14, d15, [sp, #96]",
        "ldp x19, x20, [sp, #80]",
        "ldp x21, x22, [sp, #64]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #32]",
        "ldp x27, x28, [sp, #16]",
        "ldp x29, x30, [sp], #160",
        "ret",
    )
}
