//! EFI_DEVICE_PATH_TO_TEXT_PROTOCOL and EFI_DEVICE_PATH_FROM_TEXT_PROTOCOL (UEFI 2.11, 10.6.2 and 10.6.4). What they
//! return is pool memory that the caller frees.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;

use formats::device_path::text::{self, Style};
use formats::device_path::{DevicePath, HEADER_LEN, Node, NodeHeader};
use r_efi::efi::{Boolean, Char16};
use r_efi::protocols::device_path::Protocol as RawPath;
use r_efi::protocols::{device_path_from_text, device_path_to_text};

use super::super::image::path_bytes;
use super::abi::{Char16String, hand_out};

/// Makes the instance that writes text.
pub fn create_to_text() -> *mut device_path_to_text::Protocol {
    Box::leak(Box::new(device_path_to_text::Protocol { convert_device_node_to_text, convert_device_path_to_text }))
}

/// Makes the instance that reads text.
pub fn create_from_text() -> *mut device_path_from_text::Protocol {
    Box::leak(Box::new(device_path_from_text::Protocol { convert_text_to_device_node, convert_text_to_device_path }))
}

fn style(display_only: Boolean, allow_shortcuts: Boolean) -> Style {
    Style { display_only: display_only.into(), allow_shortcuts: allow_shortcuts.into() }
}

fn hand_out_text(text: Option<Vec<u16>>) -> *mut Char16 {
    text.map_or(ptr::null_mut(), |units| hand_out(&units).cast())
}

unsafe extern "efiapi" fn convert_device_node_to_text(
    node: *mut RawPath,
    display_only: Boolean,
    allow_shortcuts: Boolean,
) -> *mut Char16 {
    if node.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: not null, so a node by the protocol's contract: at least its header can be read.
    let header = unsafe { node.cast::<[u8; HEADER_LEN]>().read_unaligned() };
    let Some(header) = NodeHeader::parse(header) else { return ptr::null_mut() };
    // SAFETY: the node has the length that its header says, by the protocol's contract.
    let bytes = unsafe { core::slice::from_raw_parts(node.cast::<u8>(), header.len.into()) };
    hand_out_text(text::of_node(Node { header, bytes }, style(display_only, allow_shortcuts)).ok())
}

unsafe extern "efiapi" fn convert_device_path_to_text(
    path: *mut RawPath,
    display_only: Boolean,
    allow_shortcuts: Boolean,
) -> *mut Char16 {
    // SAFETY: null or a device path, by the protocol's contract.
    let path = unsafe { path_bytes(path) }.and_then(|bytes| DevicePath::parse(bytes).ok());
    hand_out_text(path.and_then(|path| text::of_path(path, style(display_only, allow_shortcuts)).ok()))
}

/// # Safety
/// `text` is null or NUL-terminated.
unsafe fn convert(text: *const Char16, to: fn(&[u16]) -> Option<Vec<u8>>) -> *mut RawPath {
    // SAFETY: the caller's promise.
    let units = unsafe { Char16String::new(text) }.and_then(|text| {
        let mut units = Vec::new();
        units.try_reserve_exact(text.units().count()).ok()?;
        units.extend(text.units());
        Some(units)
    });
    let path = units.and_then(|units| to(&units));
    path.map_or(ptr::null_mut(), |path| hand_out(&path).cast())
}

unsafe extern "efiapi" fn convert_text_to_device_node(node: *const Char16) -> *mut RawPath {
    // SAFETY: null or a string, by the protocol's contract.
    unsafe { convert(node, text::to_node) }
}

unsafe extern "efiapi" fn convert_text_to_device_path(path: *const Char16) -> *mut RawPath {
    // SAFETY: null or a string, by the protocol's contract.
    unsafe { convert(path, text::to_path) }
}
