//! EFI_CC_MEASUREMENT_PROTOCOL (UEFI 2.11, section 38.2), in realms: what loaders and kernels measure of what they load.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use core::{ptr, slice};

use measured::cc;
use measured::measure::mr_index_of_pcr;
use r_efi::efi::{Boolean, Guid, PhysicalAddress, Status};

use super::super::event_log;
use crate::measurement;

/// EFI_CC_MEASUREMENT_PROTOCOL_GUID.
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0x9675_1a3d, 0x72f4, 0x41a6, 0xa7, 0x94, &[0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b]);

/// EFI_CC_MEASUREMENT_PROTOCOL.
#[repr(C)]
pub struct Protocol {
    get_capability: unsafe extern "efiapi" fn(*mut Protocol, *mut u8) -> Status,
    get_event_log: unsafe extern "efiapi" fn(
        *mut Protocol,
        u32,
        *mut PhysicalAddress,
        *mut PhysicalAddress,
        *mut Boolean,
    ) -> Status,
    hash_log_extend_event: unsafe extern "efiapi" fn(*mut Protocol, u64, PhysicalAddress, u64, *const u8) -> Status,
    map_pcr_to_mr_index: unsafe extern "efiapi" fn(*mut Protocol, u32, *mut u32) -> Status,
}

/// Makes the protocol instance of a realm; none in a plain VM.
pub fn create() -> Option<*mut Protocol> {
    measurement::algorithm()?;
    let protocol = Protocol { get_capability, get_event_log, hash_log_extend_event, map_pcr_to_mr_index };
    Some(Box::leak(Box::new(protocol)))
}

unsafe extern "efiapi" fn get_capability(this: *mut Protocol, capability: *mut u8) -> Status {
    if this.is_null() || capability.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let Some(algorithm) = measurement::algorithm() else { return Status::DEVICE_ERROR };
    let bytes = cc::capability(algorithm);
    // SAFETY: not null; the structure begins with the byte that says how large it is, which is read and written.
    let room = unsafe { capability.replace(bytes.len() as u8) };
    if usize::from(room) < bytes.len() {
        return Status::BUFFER_TOO_SMALL;
    }
    // SAFETY: the caller has said that there is room for the whole structure, and bytes need no alignment.
    unsafe { bytes.as_ptr().copy_to(capability, bytes.len()) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn get_event_log(
    this: *mut Protocol,
    format: u32,
    location: *mut PhysicalAddress,
    last_entry: *mut PhysicalAddress,
    truncated: *mut Boolean,
) -> Status {
    let null = this.is_null() || location.is_null() || last_entry.is_null() || truncated.is_null();
    if null || format != cc::EVENT_LOG_FORMAT_TCG_2 {
        return Status::INVALID_PARAMETER;
    }
    let Some((place, (last, missing))) = event_log::place().zip(measurement::read_log()) else {
        return Status::DEVICE_ERROR;
    };
    // SAFETY: none is null; the caller passes places to write to, of whatever alignment.
    unsafe {
        location.write_unaligned(place.start);
        last_entry.write_unaligned(place.start + last as u64);
        truncated.write_unaligned(missing.into());
    }
    Status::SUCCESS
}

/// The bytes at `address`; `None` when there cannot be so many.
///
/// # Safety
/// Where there can be, they are readable and nobody writes to them for the lifetime.
unsafe fn bytes<'a>(address: PhysicalAddress, length: u64) -> Option<&'a [u8]> {
    let (start, length) = (usize::try_from(address).ok()?, usize::try_from(length).ok()?);
    if length == 0 {
        return Some(&[]);
    }
    if start == 0 || isize::try_from(length).is_err() || start.checked_add(length).is_none() {
        return None;
    }
    // SAFETY: not null, of a length that slices can have, not beyond the end of addresses; the rest is the caller's.
    Some(unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(start), length) })
}

unsafe extern "efiapi" fn hash_log_extend_event(
    this: *mut Protocol,
    flags: u64,
    data: PhysicalAddress,
    data_length: u64,
    event: *const u8,
) -> Status {
    if this.is_null() || event.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; an event begins with its size, and need not be aligned.
    let size = unsafe { event.cast::<u32>().read_unaligned() };
    // SAFETY: the caller vouches for the data and for as many bytes of the event as it says; it waits for this call,
    // and the firmware writes to neither.
    let pair =
        unsafe { bytes(data, data_length).zip(bytes(event.expose_provenance() as u64, u32::from_le(size).into())) };
    let Some((data, event)) = pair else { return Status::INVALID_PARAMETER };
    match measurement::hash_log_extend_event(flags, data, event) {
        Some(Ok(())) => Status::SUCCESS,
        Some(Err(cc::Error::Invalid)) => Status::INVALID_PARAMETER,
        Some(Err(cc::Error::Image(_))) => Status::UNSUPPORTED,
        Some(Err(cc::Error::LogFull)) => Status::VOLUME_FULL,
        Some(Err(cc::Error::Register(_))) | None => Status::DEVICE_ERROR,
    }
}

unsafe extern "efiapi" fn map_pcr_to_mr_index(this: *mut Protocol, pcr: u32, mr_index: *mut u32) -> Status {
    if this.is_null() || mr_index.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let Some(index) = mr_index_of_pcr(pcr) else { return Status::UNSUPPORTED };
    // SAFETY: not null; the caller passes a place to write to.
    unsafe { mr_index.write_unaligned(index) };
    Status::SUCCESS
}
