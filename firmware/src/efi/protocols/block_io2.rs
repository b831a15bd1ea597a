//! EFI_BLOCK_IO2_PROTOCOL (UEFI 2.11, 13.10) over the EFI_BLOCK_IO_PROTOCOL of the same device. What is asked for is done
//! when the member returns; an event that the token has is signalled then.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{Boolean, Event, Guid, Lba, Status};
use r_efi::protocols::block_io;

use super::super::services;

/// EFI_BLOCK_IO2_PROTOCOL_GUID
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0xa77b_2472, 0xe282, 0x4e9f, 0xa2, 0x45, &[0xc2, 0xc0, 0xe2, 0x7b, 0xbc, 0xc1]);

/// EFI_BLOCK_IO2_TOKEN and EFI_DISK_IO2_TOKEN.
#[repr(C)]
pub struct Token {
    event: Event,
    transaction_status: Status,
}

type Transfer = unsafe extern "efiapi" fn(*mut Protocol, u32, Lba, *mut Token, usize, *mut c_void) -> Status;

#[repr(C)]
struct Protocol {
    media: *const block_io::Media,
    reset: unsafe extern "efiapi" fn(*mut Protocol, Boolean) -> Status,
    read_blocks_ex: Transfer,
    write_blocks_ex: Transfer,
    flush_blocks_ex: unsafe extern "efiapi" fn(*mut Protocol, *mut Token) -> Status,
}

/// The protocol, and where its work is done.
#[repr(C)]
pub struct BlockIo2 {
    /// First, so that a pointer to it is one to the whole.
    protocol: Protocol,
    block_io: *mut block_io::Protocol,
}

impl BlockIo2 {
    /// The protocol for `block_io`, whose medium `media` is.
    pub fn new(block_io: *mut block_io::Protocol, media: *const block_io::Media) -> Self {
        let protocol = Protocol { media, reset, read_blocks_ex, write_blocks_ex, flush_blocks_ex };
        Self { protocol, block_io }
    }
}

/// Does `work`, which a request with a token is for: what was wrong with the request itself is returned, and what became
/// of it otherwise is in the token, if that has an event.
///
/// # Safety
/// `token` is null or a token of the caller's.
pub unsafe fn complete(token: *mut Token, work: impl FnOnce() -> Status) -> Status {
    // An address that no structure has is no token: the SCT passes one.
    if !token.is_aligned() {
        return Status::INVALID_PARAMETER;
    }
    let status = work();
    let refused = status.is_error() && !matches!(status, Status::DEVICE_ERROR | Status::OUT_OF_RESOURCES);
    if token.is_null() || refused {
        return status;
    }
    // SAFETY: not null, and the caller's promise.
    unsafe {
        if (*token).event.is_null() {
            return status;
        }
        (*token).transaction_status = status;
        // That it is an event is the caller's claim.
        let _ = services::signal_event((*token).event);
    }
    Status::SUCCESS
}

/// Has the first protocol do the work.
///
/// # Safety
/// `this` is null or the protocol of a [`BlockIo2`] whose device is installed, `token` is null or a token of the caller's.
unsafe fn pass_on(
    this: *mut Protocol,
    token: *mut Token,
    work: impl FnOnce(*mut block_io::Protocol) -> Status,
) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    unsafe { complete(token, || work((*this.cast::<BlockIo2>()).block_io)) }
}

unsafe extern "efiapi" fn reset(this: *mut Protocol, extended: Boolean) -> Status {
    // SAFETY: the caller passes the instance that it took the member from, whose device is installed.
    unsafe { pass_on(this, ptr::null_mut(), |device| ((*device).reset)(device, extended)) }
}

unsafe extern "efiapi" fn read_blocks_ex(
    this: *mut Protocol,
    media_id: u32,
    lba: Lba,
    token: *mut Token,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: as in `reset`; the buffer is the caller's, as the other member wants it.
    unsafe { pass_on(this, token, |device| ((*device).read_blocks)(device, media_id, lba, length, buffer)) }
}

unsafe extern "efiapi" fn write_blocks_ex(
    this: *mut Protocol,
    media_id: u32,
    lba: Lba,
    token: *mut Token,
    length: usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: as in `read_blocks_ex`.
    unsafe { pass_on(this, token, |device| ((*device).write_blocks)(device, media_id, lba, length, buffer)) }
}

unsafe extern "efiapi" fn flush_blocks_ex(this: *mut Protocol, token: *mut Token) -> Status {
    // SAFETY: as in `reset`.
    unsafe { pass_on(this, token, |device| ((*device).flush_blocks)(device)) }
}
