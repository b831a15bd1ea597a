//! EFI_HII_STRING_PROTOCOL (UEFI 2.10, 34.3).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ffi::CStr;
use core::ptr;

use hii::{Error, Font};
use r_efi::efi::{self, Char8, Char16, Status};
use r_efi::hii::{Handle as HiiHandle, StringId};
use r_efi::protocols::hii_string::{Info, Protocol};

use super::super::super::services;
use super::super::abi::Char16String;
use super::{database, hand_out, result, status};

/// EFI_FONT_INFO before its name.
const INFO_LEN: usize = 6;

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol { new_string, get_string, set_string, get_languages, get_secondary_languages }))
}

/// The package list of a handle, which is one: null is no list that could be found or not.
fn named(list: HiiHandle) -> Result<hii::Handle, Error> {
    if list.is_null() { Err(Error::Malformed) } else { Ok(list.addr()) }
}

/// A client's language; `None` when it is null.
///
/// # Safety
/// `language` is null or a NUL-terminated string, which stays as it is for the lifetime of the result.
unsafe fn language<'a>(language: *const Char8) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    (!language.is_null()).then(|| unsafe { CStr::from_ptr(language.cast()) }.to_bytes())
}

/// The bytes of a client's text with its NUL; `None` when it is null.
///
/// # Safety
/// `text` is null or a NUL-terminated string, which stays as it is for the lifetime of the result.
unsafe fn text<'a>(text: *const Char16) -> Option<&'a [u8]> {
    // SAFETY: the caller's promise.
    let units = unsafe { Char16String::new(text) }?.units().count();
    // SAFETY: so many units were just read, and the NUL behind them.
    Some(unsafe { core::slice::from_raw_parts(text.cast(), 2 * (units + 1)) })
}

/// A client's font; `None` when it is null.
///
/// # Safety
/// `info` is null or points to an EFI_FONT_INFO with its name, which stays as it is for the lifetime of the result.
unsafe fn font<'a>(info: *const Info) -> Option<Font<'a>> {
    if info.is_null() {
        return None;
    }
    // SAFETY: not null, so a style, a size and a name.
    unsafe {
        let style = ptr::read_unaligned(&raw const (*info).font_style);
        let size = ptr::read_unaligned(&raw const (*info).font_size);
        Some(Font { style, size, name: text(info.wrapping_byte_add(INFO_LEN).cast())? })
    }
}

/// The bytes of an EFI_FONT_INFO with its name.
fn font_info(font: &Font) -> Result<Vec<u8>, Error> {
    let mut info = Vec::new();
    for part in [&font.style.to_ne_bytes()[..], &font.size.to_ne_bytes(), font.name] {
        hii::append(&mut info, part)?;
    }
    Ok(info)
}

/// A font in pool memory that the client frees.
fn hand_out_font(bytes: &[u8]) -> Result<*mut Info, Status> {
    let info = services::allocate_pool(efi::BOOT_SERVICES_DATA, bytes.len().max(size_of::<Info>()))?.as_ptr();
    // SAFETY: the allocation just made has room for the bytes.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), info, bytes.len()) };
    Ok(info.cast())
}

unsafe extern "efiapi" fn new_string(
    _this: *const Protocol,
    list: HiiHandle,
    place: *mut StringId,
    spoken: *const Char8,
    name: *const Char16,
    string: *mut Char16,
    info: *const Info,
) -> Status {
    // SAFETY: each null or as its type says, by the protocol's contract.
    let (spoken, name, string, font) = unsafe { (language(spoken), text(name), text(string), font(info)) };
    let (Some(spoken), Some(string)) = (spoken, string) else { return Status::INVALID_PARAMETER };
    if place.is_null() {
        return Status::INVALID_PARAMETER;
    }
    match named(list).and_then(|list| database().new_string(list, spoken, name, string, font.as_ref())) {
        Ok(id) => {
            // SAFETY: not null, so to be written by the protocol's contract.
            unsafe { place.write(id) };
            Status::SUCCESS
        }
        Err(error) => status(error),
    }
}

unsafe extern "efiapi" fn get_string(
    _this: *const Protocol,
    spoken: *const Char8,
    list: HiiHandle,
    id: StringId,
    string: *mut Char16,
    size: *mut usize,
    info: *mut *mut Info,
) -> Status {
    // SAFETY: null or a string, by the protocol's contract.
    let Some(spoken) = (unsafe { language(spoken) }) else { return Status::INVALID_PARAMETER };
    let database = database();
    let found = named(list).and_then(|list| database.string(list, spoken, id));
    let bytes = found.as_ref().map(|(bytes, _)| bytes.as_slice()).map_err(|error| *error);
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    let status = unsafe { hand_out(bytes, size, string.cast()) };
    if status != Status::SUCCESS || info.is_null() {
        return status;
    }
    let font = found.ok().and_then(|(_, font)| font).map(|font| font_info(&font)).transpose();
    // Allocating pool memory runs notifications.
    drop(database);
    let font = match font.map(|font| font.map(|bytes| hand_out_font(&bytes))) {
        Ok(Some(Ok(font))) => font,
        Ok(Some(Err(error))) => return error,
        // The system's default font.
        Ok(None) => ptr::null_mut(),
        Err(error) => return super::status(error),
    };
    // SAFETY: not null, so to be written by the protocol's contract.
    unsafe { info.write(font) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn set_string(
    _this: *const Protocol,
    list: HiiHandle,
    id: StringId,
    spoken: *const Char8,
    string: *mut Char16,
    info: *const Info,
) -> Status {
    // SAFETY: each null or as its type says, by the protocol's contract.
    let (spoken, string, font) = unsafe { (language(spoken), text(string), font(info)) };
    let (Some(spoken), Some(string)) = (spoken, string) else { return Status::INVALID_PARAMETER };
    result(named(list).and_then(|list| database().set_string(list, spoken, id, string, font.as_ref())))
}

unsafe extern "efiapi" fn get_languages(
    _this: *const Protocol,
    list: HiiHandle,
    buffer: *mut Char8,
    size: *mut usize,
) -> Status {
    let languages = named(list).and_then(|list| database().languages(list));
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    unsafe { hand_out(languages.as_deref().map_err(|error| *error), size, buffer.cast()) }
}

unsafe extern "efiapi" fn get_secondary_languages(
    _this: *const Protocol,
    list: HiiHandle,
    primary: *const Char8,
    buffer: *mut Char8,
    size: *mut usize,
) -> Status {
    // SAFETY: null or a string, by the protocol's contract.
    let Some(primary) = (unsafe { language(primary) }) else { return Status::INVALID_PARAMETER };
    let languages = named(list).and_then(|list| database().secondary_languages(list, primary));
    // SAFETY: a size and a buffer that has it, by the protocol's contract.
    unsafe { hand_out(languages.as_deref().map_err(|error| *error), size, buffer.cast()) }
}
