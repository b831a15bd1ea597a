//! EFI_UNICODE_COLLATION_PROTOCOL (UEFI 2.11, 21.1): how names compare, in English.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;

use r_efi::efi::{Boolean, Char8, Char16, Guid};
use uefi_core::collation;

use super::abi::Char16String;

/// EFI_UNICODE_COLLATION_PROTOCOL2_GUID
pub const PROTOCOL_GUID: Guid =
    Guid::from_fields(0xa4c7_51fc, 0x23ae, 0x4c3e, 0x92, 0xe9, &[0x49, 0x64, 0xcf, 0x63, 0xf3, 0x49]);

type Coll = unsafe extern "efiapi" fn(*mut Protocol, *const Char16, *const Char16) -> isize;
type Match = unsafe extern "efiapi" fn(*mut Protocol, *const Char16, *const Char16) -> Boolean;
type Change = unsafe extern "efiapi" fn(*mut Protocol, *mut Char16);
type FatToStr = unsafe extern "efiapi" fn(*mut Protocol, usize, *const Char8, *mut Char16);
type StrToFat = unsafe extern "efiapi" fn(*mut Protocol, *const Char16, usize, *mut Char8) -> Boolean;

/// The interface.
#[repr(C)]
pub struct Protocol {
    stri_coll: Coll,
    metai_match: Match,
    str_lwr: Change,
    str_upr: Change,
    fat_to_str: FatToStr,
    str_to_fat: StrToFat,
    /// RFC 4646 codes, NUL-terminated.
    supported_languages: *const Char8,
}

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    let supported_languages = c"en".as_ptr().cast();
    Box::leak(Box::new(Protocol {
        stri_coll,
        metai_match,
        str_lwr,
        str_upr,
        fat_to_str,
        str_to_fat,
        supported_languages,
    }))
}

unsafe extern "efiapi" fn stri_coll(_this: *mut Protocol, first: *const Char16, second: *const Char16) -> isize {
    // SAFETY: the caller passes NUL-terminated strings, by the protocol's contract.
    match unsafe { (Char16String::new(first), Char16String::new(second)) } {
        (Some(first), Some(second)) => collation::compare(first.units(), second.units()) as isize,
        // There is no status to return; nothing comes before something.
        (first, second) => isize::from(first.is_some()) - isize::from(second.is_some()),
    }
}

unsafe extern "efiapi" fn metai_match(_this: *mut Protocol, text: *const Char16, pattern: *const Char16) -> Boolean {
    // SAFETY: the caller passes NUL-terminated strings, by the protocol's contract.
    match unsafe { (Char16String::new(text), Char16String::new(pattern)) } {
        (Some(text), Some(pattern)) => collation::matches(text.units(), pattern.units()).into(),
        _ => Boolean::FALSE,
    }
}

/// Changes each unit of a string where it is.
///
/// # Safety
/// `text` is null or points to writable units up to a NUL.
unsafe fn change(text: *mut Char16, to: fn(u16) -> u16) {
    let mut at = text;
    while !at.is_null() {
        // SAFETY: the units up to the NUL can be read and written, and `at` is moved on only from one that was not
        // NUL.
        unsafe {
            match at.read_unaligned() {
                0 => return,
                unit => at.write_unaligned(to(unit)),
            }
        }
        at = at.wrapping_add(1);
    }
}

unsafe extern "efiapi" fn str_lwr(_this: *mut Protocol, text: *mut Char16) {
    // SAFETY: the caller passes a string to change, by the protocol's contract.
    unsafe { change(text, collation::lower) };
}

unsafe extern "efiapi" fn str_upr(_this: *mut Protocol, text: *mut Char16) {
    // SAFETY: the caller passes a string to change, by the protocol's contract.
    unsafe { change(text, collation::upper) };
}

unsafe extern "efiapi" fn fat_to_str(_this: *mut Protocol, size: usize, fat: *const Char8, text: *mut Char16) {
    if fat.is_null() || text.is_null() {
        return;
    }
    let mut length = 0;
    while length < size {
        // SAFETY: the caller's `size` bytes can be read up to a NUL.
        let byte = unsafe { fat.wrapping_add(length).read() };
        if byte == 0 {
            break;
        }
        // SAFETY: the caller's string has room for a unit for each byte, and for a NUL.
        unsafe { text.wrapping_add(length).write_unaligned(byte.into()) };
        length += 1;
    }
    // SAFETY: as above.
    unsafe { text.wrapping_add(length).write_unaligned(0) };
}

unsafe extern "efiapi" fn str_to_fat(
    _this: *mut Protocol,
    text: *const Char16,
    size: usize,
    fat: *mut Char8,
) -> Boolean {
    // SAFETY: the caller passes a NUL-terminated string, by the protocol's contract.
    let Some(text) = (unsafe { Char16String::new(text) }) else { return Boolean::FALSE };
    if fat.is_null() {
        return Boolean::FALSE;
    }
    let mut substituted = false;
    for (at, (byte, own)) in text.units().filter_map(collation::to_fat).take(size).enumerate() {
        substituted |= !own;
        // SAFETY: the caller's buffer has `size` bytes, and `take` keeps `at` below that.
        unsafe { fat.wrapping_add(at).write(byte) };
    }
    substituted.into()
}
