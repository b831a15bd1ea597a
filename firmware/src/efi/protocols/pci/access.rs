//! Accesses to registers, as both protocols make them. Each is checked as a whole before the first register is touched,
//! and each register is reached where `memory::map_device` has it: in a realm at its shared alias.
#![expect(unsafe_code, reason = "copies from and to the buffers of EFI images")]

use core::ffi::c_void;
use core::ptr;

use aarch64_cpu::asm::barrier;
use pci::access::{Width, from_efi_address};
use r_efi::efi::Status;

use super::super::super::services::time;
use crate::devices::pci::Host;
use crate::{arch, memory};

/// What an address is in.
#[derive(Clone, Copy, Eq, PartialEq)]
#[repr(u8)]
pub enum Space {
    Memory,
    Io,
    /// Addresses are EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL_PCI_ADDRESS.
    Config,
}

/// The widest access to configuration space (PCI Express Base, section 7.2.2).
const CONFIG_WIDTH: u64 = 4;
/// The widest access to other registers.
const MAX_WIDTH: u64 = 8;

/// Where the CPU has the first register of an access to `address` of the bus, when all of it is within a window.
#[inline(never)]
fn reach(host: &Host, space: Space, address: u64, width: Width, count: usize) -> Result<u64, Status> {
    let length = width.span(count).ok_or(Status::INVALID_PARAMETER)?;
    let place = match space {
        // No bus has such I/O.
        Space::Io if width.size() == MAX_WIDTH => None,
        Space::Config => {
            let (address, register) = from_efi_address(address);
            host.config.cpu_address(address, register, length)
        }
        space => host.cpu_address(space == Space::Io, address, length),
    };
    let place = place.ok_or(Status::INVALID_PARAMETER)?;
    // Device memory takes no other access.
    if place.is_multiple_of(width.size()) { Ok(place) } else { Err(Status::UNSUPPORTED) }
}

/// Reads `size` bytes at `place` of the CPU, or writes them there.
#[inline(never)]
fn access(place: u64, size: u64, write: Option<u64>) -> Result<u64, Status> {
    let offset = place % MAX_WIDTH;
    let registers = memory::map_device(place - offset, MAX_WIDTH).map_err(|_| Status::OUT_OF_RESOURCES)?;
    match write {
        Some(value) => registers.write(offset, size, value),
        None => return Ok(registers.read(offset, size)),
    }
    Ok(0)
}

/// Reads `count` values at `address` of the bus to `buffer`, or writes them from it.
///
/// # Safety
/// `buffer` is null or the caller's to be read or written.
pub unsafe fn transfer(
    host: &Host,
    (space, write): (Space, bool),
    address: u64,
    width: u32,
    count: usize,
    buffer: *mut c_void,
) -> Result<(), Status> {
    let width = Width::new(width).filter(|_| !buffer.is_null()).ok_or(Status::INVALID_PARAMETER)?;
    let start = reach(host, space, address, width, count)?;
    let widest = if space == Space::Config { CONFIG_WIDTH } else { MAX_WIDTH };
    // No value has more than eight bytes.
    let piece = width.size().min(widest);
    let length = piece as usize;
    // What the registers are told about must be in memory before, and what they tell about comes after.
    barrier::dsb(barrier::SY);
    for index in 0..count {
        let mut place = start + width.register_offset(index);
        let mut at = buffer.cast::<u8>().wrapping_add(width.buffer_offset(index));
        for _ in 0..width.size() / piece {
            let mut bytes = [0; MAX_WIDTH as usize];
            if write {
                // SAFETY: the caller's buffer has these bytes of a value here, and there is room for them.
                unsafe { ptr::copy_nonoverlapping(at, bytes.as_mut_ptr(), length) };
                access(place, piece, Some(u64::from_le_bytes(bytes)))?;
            } else {
                bytes = access(place, piece, None)?.to_le_bytes();
                // SAFETY: likewise, the other way round.
                unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), at, length) };
            }
            place += piece;
            at = at.wrapping_add(length);
        }
    }
    barrier::dsb(barrier::SY);
    Ok(())
}

/// Reads until the value under `mask` is `value`, at most for `delay` times 100 ns.
///
/// # Safety
/// `result` is null or the caller's to be written, and aligned.
pub unsafe fn poll(
    host: &Host,
    space: Space,
    address: u64,
    width: u32,
    (mask, value): (u64, u64),
    delay: u64,
    result: *mut u64,
) -> Result<(), Status> {
    if Width::plain(width).is_none() || result.is_null() {
        return Err(Status::INVALID_PARAMETER);
    }
    let start = arch::counter();
    let ticks = delay.saturating_mul(arch::counter_frequency() / 1000) / 10_000;
    loop {
        let mut found = 0u64;
        // SAFETY: there is room for one value.
        unsafe { transfer(host, (space, false), address, width, 1, (&raw mut found).cast())? };
        // SAFETY: the caller's promise.
        unsafe { result.write(found) };
        if found & mask == value || delay == 0 {
            return Ok(());
        }
        if arch::counter().wrapping_sub(start) >= ticks {
            return Err(Status::TIMEOUT);
        }
        time::stall(1);
    }
}

/// Copies `count` values of memory space as if through a buffer when both places overlap.
pub fn copy(host: &Host, width: u32, to: u64, from: u64, count: usize) -> Result<(), Status> {
    let width = Width::plain(width).ok_or(Status::INVALID_PARAMETER)?;
    let from = reach(host, Space::Memory, from, width, count)?;
    let to = reach(host, Space::Memory, to, width, count)?;
    for index in 0..count {
        let index = if to > from { count - 1 - index } else { index };
        let offset = width.register_offset(index);
        let value = access(from + offset, width.size(), None)?;
        access(to + offset, width.size(), Some(value))?;
    }
    Ok(())
}
