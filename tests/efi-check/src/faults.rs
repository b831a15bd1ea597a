//! Faults on purpose: the firmware must tell of each and power the machine off.

use core::hint;
use core::ptr;

use crate::env::bs;
use crate::options::Options;

/// An address that no machine maps.
const NOWHERE: usize = 0x7654_3210_0000;

/// Does what `kind` says: `read` from nowhere, `write` to code, `jump` to data, exhaust the `stack`, run an
/// `undefined` instruction, or damage the firmware's own state so that one of its checks ends in a `panic`. Does not
/// return when the firmware takes it as it must.
pub fn provoke(options: &Options) {
    match options.fault() {
        "read" => {
            // SAFETY: none; the fault is the point.
            unsafe { ptr::without_provenance::<u64>(NOWHERE).read_volatile() };
        }
        "write" => {
            let code = crate::efi_main as *const () as usize;
            // SAFETY: none, as before.
            unsafe { ptr::with_exposed_provenance_mut::<u32>(code).write_volatile(0) };
        }
        "jump" => {
            let ret: u32 = 0xd65f_03c0;
            // SAFETY: none, as before.
            let function: extern "C" fn() = unsafe { core::mem::transmute(&raw const ret) };
            function();
        }
        "stack" => {
            hint::black_box(recurse(1));
        }
        // SAFETY: none, as before.
        "undefined" => unsafe { core::arch::asm!("udf #0") },
        "panic" => {
            let (distance, size) = options.overwrite;
            let stall = bs().stall;
            let state = ptr::with_exposed_provenance_mut::<u8>((stall as usize).wrapping_add(distance));
            // SAFETY: none: it is the firmware's memory, which boot services leave a client free to write to.
            unsafe { state.write_bytes(0xff, size) };
            let _ = unsafe { stall(0) };
        }
        _ => {}
    }
}

#[expect(unconditional_recursion, reason = "it ends in the guard page")]
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let mut frame = [depth; 64];
    hint::black_box(&mut frame);
    recurse(depth + 1) + frame[3]
}
