//! Cache maintenance for code that has been written to.
#![expect(unsafe_code, reason = "cache maintenance instructions")]

use core::arch::asm;

/// Makes the `size` bytes at `start` be fetched as they are now, by this CPU.
pub fn sync_instructions(start: u64, size: u64) {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    // The smallest line of either cache: both instructions may visit a line more than once.
    let line = 4u64 << ((ctr >> 16) & 0xf).min(ctr & 0xf);
    let end = start.wrapping_add(size);
    let mut at = start & !line.wrapping_sub(1);
    while at < end {
        // SAFETY: the instruction moves written data towards memory, and the address is mapped.
        unsafe { asm!("dc cvau, {}", in(reg) at, options(nostack, preserves_flags)) };
        at = at.wrapping_add(line);
    }
    // SAFETY: waits; and drops lines, which are then fetched again.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
    at = start & !line.wrapping_sub(1);
    while at < end {
        // SAFETY: as above.
        unsafe { asm!("ic ivau, {}", in(reg) at, options(nostack, preserves_flags)) };
        at = at.wrapping_add(line);
    }
    // SAFETY: waits, and refetches.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}
