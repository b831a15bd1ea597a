//! Cache maintenance by address.
#![expect(unsafe_code, reason = "cache maintenance instructions")]

use core::arch::asm;
use core::ops::Range;

use aarch64_cpu::asm::barrier;

/// CTR_EL0.DminLine and CTR_EL0.IminLine: where the logarithms of the smallest lines' words stand.
const DATA_LINE: u32 = 16;
const INSTRUCTION_LINE: u32 = 0;

fn line_size(field: u32) -> u64 {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    4 << ((ctr >> field) & 0xf)
}

fn lines(range: &Range<u64>, line: u64) -> impl Iterator<Item = u64> + use<> {
    let first = range.start & !(line - 1);
    let end = range.end;
    core::iter::successors(Some(first), move |at| at.checked_add(line)).take_while(move |at| *at < end)
}

/// Makes instructions written to `range` be fetched as written.
pub fn sync_instructions(range: Range<u64>) {
    for address in lines(&range, line_size(DATA_LINE)) {
        // SAFETY: cleaning a line of mapped memory changes no value that a program can read.
        unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::ISH);
    for address in lines(&range, line_size(INSTRUCTION_LINE)) {
        // SAFETY: dropping an instruction line makes it be fetched again, which is what is wanted.
        unsafe { asm!("ic ivau, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}

/// Brings `range` to memory and out of the caches, for code that runs with its caches off.
pub fn clean_invalidate(range: Range<u64>) {
    for address in lines(&range, line_size(DATA_LINE)) {
        // SAFETY: clean and invalidate loses no written data.
        unsafe { asm!("dc civac, {}", in(reg) address, options(nostack, preserves_flags)) };
    }
    barrier::dsb(barrier::SY);
}
