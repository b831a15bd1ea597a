//! Cache maintenance by address.
#![expect(unsafe_code, reason = "cache maintenance instructions")]

use core::arch::asm;
use core::ops::Range;

use aarch64_cpu::asm::barrier;

/// CTR_EL0.DminLine and CTR_EL0.IminLine: where the logarithms of the smallest lines' words stand.
const DATA_LINE: u32 = 16;
const INSTRUCTION_LINE: u32 = 0;
/// CTR_EL0.IDC: instruction fetches see data without it being cleaned.
const IDC: u64 = 1 << 28;
/// CTR_EL0.DIC: instruction fetches see memory without lines being invalidated.
const DIC: u64 = 1 << 29;

/// From this many bytes on all instruction lines are dropped at once: it costs no more than refilling them.
const WHOLE_INSTRUCTION_CACHE: u64 = 256 * 1024;

fn cache_type() -> u64 {
    let ctr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) ctr, options(nomem, nostack, preserves_flags)) };
    ctr
}

/// Runs one cache instruction on every line of `range`.
macro_rules! each_line {
    ($instruction:literal, $range:expr, $field:expr) => {{
        let line = 4u64 << ((cache_type() >> $field) & 0xf);
        let range: &Range<u64> = $range;
        if !range.is_empty() {
            // SAFETY: the instructions that this file gives move no written data but towards memory; the addresses
            // are those of mapped memory, from the first line of the range to its last.
            unsafe {
                asm!(
                    concat!("2: ", $instruction, ", {at}"),
                    "add {at}, {at}, {line}",
                    "cmp {at}, {end}",
                    "b.lo 2b",
                    at = inout(reg) range.start & !(line - 1) => _,
                    line = in(reg) line,
                    end = in(reg) range.end,
                    options(nostack),
                );
            }
        }
    }};
}

/// Makes instructions written to `range` be fetched as written, by this CPU.
pub fn sync_instructions(range: Range<u64>) {
    let ctr = cache_type();
    if ctr & IDC == 0 {
        each_line!("dc cvau", &range, DATA_LINE);
    }
    barrier::dsb(barrier::ISH);
    if ctr & DIC == 0 {
        if range.end.saturating_sub(range.start) >= WHOLE_INSTRUCTION_CACHE {
            // SAFETY: dropping instruction lines makes them be fetched again, nothing else.
            unsafe { asm!("ic iallu", options(nostack, preserves_flags)) };
        } else {
            each_line!("ic ivau", &range, INSTRUCTION_LINE);
        }
        barrier::dsb(barrier::ISH);
    }
    barrier::isb(barrier::SY);
}

/// Brings `range` to memory and out of the caches, for code that runs with its caches off.
pub fn clean_invalidate(range: Range<u64>) {
    each_line!("dc civac", &range, DATA_LINE);
    barrier::dsb(barrier::SY);
}
