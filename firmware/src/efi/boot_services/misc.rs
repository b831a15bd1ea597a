//! Miscellaneous services, and the end of boot services (UEFI 2.10, sections 7.4.6 and 7.5).
#![expect(unsafe_code, reason = "reads and writes through the pointers of EFI clients")]

use core::ffi::c_void;
use core::{ptr, slice};

use r_efi::efi::{Char16, Guid, Handle, Status};
use uefi_core::crc32::crc32;

use super::protocols::guid;
use super::status;
use crate::efi::services::{self, configuration, exit, time};

/// `ExitBootServices()`.
pub unsafe extern "efiapi" fn exit_boot_services(image: Handle, map_key: usize) -> Status {
    status(exit::exit_boot_services(image, map_key))
}

/// `InstallConfigurationTable()`.
pub unsafe extern "efiapi" fn install_configuration_table(protocol: *mut Guid, table: *mut c_void) -> Status {
    // SAFETY: the caller's pointer, null or a GUID.
    match unsafe { guid(protocol) } {
        Some(guid) => status(services::install_configuration_table(&guid, table)),
        None => Status::INVALID_PARAMETER,
    }
}

/// `GetNextMonotonicCount()`.
pub unsafe extern "efiapi" fn get_next_monotonic_count(count: *mut u64) -> Status {
    if count.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointer, not null.
    unsafe { count.write_unaligned(configuration::next_monotonic_count()) };
    Status::SUCCESS
}

/// `Stall()`.
pub unsafe extern "efiapi" fn stall(microseconds: usize) -> Status {
    time::stall(microseconds as u64);
    Status::SUCCESS
}

/// `SetWatchdogTimer()`. The data that describes the code is not used.
pub unsafe extern "efiapi" fn set_watchdog_timer(
    seconds: usize,
    code: u64,
    _data_size: usize,
    _data: *mut Char16,
) -> Status {
    status(time::set_watchdog(seconds as u64, code))
}

/// `CalculateCrc32()`.
pub unsafe extern "efiapi" fn calculate_crc32(data: *mut c_void, size: usize, crc: *mut u32) -> Status {
    if data.is_null() || size == 0 || crc.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers, not null; so many bytes can be read, and nothing changes them meanwhile.
    unsafe { crc.write_unaligned(crc32(slice::from_raw_parts(data.cast(), size))) };
    Status::SUCCESS
}

/// `CopyMem()`. The buffers may overlap.
pub unsafe extern "efiapi" fn copy_mem(destination: *mut c_void, source: *mut c_void, length: usize) {
    // SAFETY: the caller's pointers for so many bytes.
    unsafe { ptr::copy(source.cast::<u8>(), destination.cast::<u8>(), length) };
}

/// `SetMem()`.
pub unsafe extern "efiapi" fn set_mem(buffer: *mut c_void, size: usize, value: u8) {
    // SAFETY: the caller's pointer for so many bytes.
    unsafe { ptr::write_bytes(buffer.cast::<u8>(), value, size) };
}
