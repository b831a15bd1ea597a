//! Variable services (UEFI 2.10, section 8.2).
#![expect(unsafe_code, reason = "reads and writes what the caller points at")]

use core::ffi::c_void;
use core::ptr;
use core::slice;

use r_efi::efi::{Char16, Guid, Status};
use realmfw_runtime::variables::{Error, MAX_VARIABLE_SIZE};

use super::status;
use crate::region::{self, with_variables};

/// Longest name that is looked at, in characters: no longer one can be a variable's.
const MAX_NAME_LENGTH: usize = MAX_VARIABLE_SIZE / size_of::<Char16>();

/// `GetVariable()`.
pub unsafe extern "efiapi" fn get_variable(
    name: *mut Char16,
    guid: *mut Guid,
    attributes: *mut u32,
    data_size: *mut usize,
    data: *mut c_void,
) -> Status {
    if guid.is_null() || data_size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers are valid, as GetVariable() demands; `name` ends with a NUL.
    let (name, guid, room) =
        unsafe { (name_at(name, MAX_NAME_LENGTH), guid.read_unaligned(), data_size.read_unaligned()) };
    let Some(name) = name else {
        return Status::INVALID_PARAMETER;
    };
    status(with_variables(|variables| {
        let (found, value) = variables.get(name, &guid).map_err(to_status)?;
        let fits = value.len() <= room;
        if fits && data.is_null() {
            return Err(Status::INVALID_PARAMETER);
        }
        // SAFETY: the caller's `data` has room for `room` bytes and is not the store; the others are
        // checked or may be null.
        unsafe {
            data_size.write_unaligned(value.len());
            if !attributes.is_null() {
                attributes.write_unaligned(found);
            }
            if !fits {
                return Err(Status::BUFFER_TOO_SMALL);
            }
            ptr::copy_nonoverlapping(value.as_ptr(), data.cast(), value.len());
        }
        Ok(())
    }))
}

/// `GetNextVariableName()`.
pub unsafe extern "efiapi" fn get_next_variable_name(
    name_size: *mut usize,
    name: *mut Char16,
    guid: *mut Guid,
) -> Status {
    if name_size.is_null() || guid.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers are valid, as GetNextVariableName() demands; `name` has `room`
    // bytes.
    let (room, from) = unsafe { (name_size.read_unaligned(), guid.read_unaligned()) };
    // SAFETY: as above.
    let Some(current) = (unsafe { name_at(name, room / size_of::<Char16>()) }) else {
        return Status::INVALID_PARAMETER;
    };
    status(with_variables(|variables| {
        let (next, vendor) = variables.next(current, &from).map_err(to_status)?;
        let needed = next.len().saturating_add(size_of::<Char16>());
        // SAFETY: as above, and the name with its NUL is written only where it fits.
        unsafe {
            name_size.write_unaligned(needed);
            if needed > room {
                return Err(Status::BUFFER_TOO_SMALL);
            }
            let target = name.cast::<u8>();
            ptr::copy_nonoverlapping(next.as_ptr(), target, next.len());
            target.add(next.len()).cast::<Char16>().write_unaligned(0);
            guid.write_unaligned(vendor);
        }
        Ok(())
    }))
}

/// `SetVariable()`.
pub unsafe extern "efiapi" fn set_variable(
    name: *mut Char16,
    guid: *mut Guid,
    attributes: u32,
    data_size: usize,
    data: *mut c_void,
) -> Status {
    if guid.is_null() || (data.is_null() && data_size != 0) || isize::try_from(data_size).is_err() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's pointers are valid, as SetVariable() demands: `name` ends with a NUL,
    // `data` has `data_size` bytes.
    let (name, guid, data) = unsafe {
        let data = match data_size {
            0 => &[],
            _ => slice::from_raw_parts(data.cast::<u8>(), data_size),
        };
        (name_at(name, MAX_NAME_LENGTH), guid.read_unaligned(), data)
    };
    let Some(name) = name else {
        return Status::INVALID_PARAMETER;
    };
    status(region::change(|variables, _| variables.set(name, &guid, attributes, data).map_err(to_status)))
}

/// `QueryVariableInfo()`.
pub unsafe extern "efiapi" fn query_variable_info(
    attributes: u32,
    maximum_storage: *mut u64,
    remaining_storage: *mut u64,
    maximum_variable: *mut u64,
) -> Status {
    if maximum_storage.is_null() || remaining_storage.is_null() || maximum_variable.is_null() {
        return Status::INVALID_PARAMETER;
    }
    status(with_variables(|variables| {
        let info = variables.query(attributes).map_err(to_status)?;
        // SAFETY: not null, and the caller's.
        unsafe {
            maximum_storage.write_unaligned(info.maximum_storage);
            remaining_storage.write_unaligned(info.remaining_storage);
            maximum_variable.write_unaligned(info.maximum_variable);
        }
        Ok(())
    }))
}

/// The bytes of the name at `name` without its NUL; `None` if that is null, or no NUL comes among
/// the first `limit` characters.
///
/// # Safety
/// `name` is null, or readable up to its NUL or `limit` characters; it stays so and does not change
/// during the service.
unsafe fn name_at<'a>(name: *const Char16, limit: usize) -> Option<&'a [u8]> {
    if name.is_null() {
        return None;
    }
    let limit = limit.min(MAX_NAME_LENGTH);
    let mut length = 0usize;
    while length < limit {
        // SAFETY: before the NUL and the limit, as the caller promises.
        if unsafe { name.add(length).read_unaligned() } == 0 {
            let size = length.saturating_mul(size_of::<Char16>());
            // SAFETY: these bytes have just been read.
            return Some(unsafe { slice::from_raw_parts(name.cast(), size) });
        }
        length = length.saturating_add(1);
    }
    None
}

fn to_status(error: Error) -> Status {
    match error {
        Error::InvalidParameter => Status::INVALID_PARAMETER,
        Error::NotFound => Status::NOT_FOUND,
        Error::OutOfResources => Status::OUT_OF_RESOURCES,
        Error::SecurityViolation => Status::SECURITY_VIOLATION,
        Error::Unsupported => Status::UNSUPPORTED,
        Error::WriteProtected => Status::WRITE_PROTECTED,
    }
}
