//! Device registers, one access at a time; a device that does not answer is no disaster.

#![expect(unsafe_code, reason = "calls of the assembly that makes the access")]

use super::regs;

#[repr(C)]
struct Outcome {
    value: u64,
    done: u64,
}

unsafe extern "C" {
    fn device_load8(address: u64) -> Outcome;
    fn device_load16(address: u64) -> Outcome;
    fn device_load32(address: u64) -> Outcome;
    fn device_load64(address: u64) -> Outcome;
    fn device_store8(address: u64, value: u64) -> Outcome;
    fn device_store16(address: u64, value: u64) -> Outcome;
    fn device_store32(address: u64, value: u64) -> Outcome;
    fn device_store64(address: u64, value: u64) -> Outcome;
}

/// Panics unless `address` is below RAM or above the top of RAM that QEMU can have: devices live
/// there.
fn check(address: u64) {
    const HIGH_DEVICES: u64 = 0x40_0000_0000;
    assert!(!(model_rmm::layout::QEMU_RAM..HIGH_DEVICES).contains(&address), "device address {address:#x} is RAM");
}

/// Whether there was an answer. Where there was none, the fault has overwritten the address of the realm's own access,
/// which was in FAR_EL2 before.
fn answered(outcome: &Outcome, far: u64) -> bool {
    let done = outcome.done == 1;
    if !done {
        regs::set_far_el2(far);
    }
    done
}

/// Loads `size` (1, 2, 4, 8) bytes; none when nothing answers.
pub fn load(address: u64, size: u8) -> Option<u64> {
    check(address);
    let far = regs::far_el2();
    // SAFETY: the address is a device's, so no Rust object is read; a fault is recovered from.
    let outcome = unsafe {
        match size {
            1 => device_load8(address),
            2 => device_load16(address),
            4 => device_load32(address),
            _ => device_load64(address),
        }
    };
    answered(&outcome, far).then_some(outcome.value)
}

/// Stores `size` (1, 2, 4, 8) bytes; none when nothing answers.
pub fn store(address: u64, size: u8, value: u64) -> Option<()> {
    check(address);
    let far = regs::far_el2();
    // SAFETY: the address is a device's, so no Rust object is written; DMA that a store starts
    // goes to addresses that the host checked. A fault is recovered from.
    let outcome = unsafe {
        match size {
            1 => device_store8(address, value),
            2 => device_store16(address, value),
            4 => device_store32(address, value),
            _ => device_store64(address, value),
        }
    };
    answered(&outcome, far).then_some(())
}
