//! EFI_DEVICE_PATH_UTILITIES_PROTOCOL (UEFI 2.10, 10.5). What it returns is pool memory that the caller frees.
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ptr;

use formats::device_path::{DevicePath, Error, HEADER_LEN, MAX_LEN, NodeHeader, TYPE_END};
use r_efi::efi::Boolean;
use r_efi::protocols::device_path::Protocol as RawPath;
use r_efi::protocols::device_path_utilities::Protocol;

use super::super::image::path_bytes;
use super::abi::hand_out;

/// A path without nodes.
const EMPTY: [u8; HEADER_LEN] = [TYPE_END, formats::device_path::END_ENTIRE, HEADER_LEN as u8, 0];

/// Makes the protocol instance.
pub fn create() -> *mut Protocol {
    Box::leak(Box::new(Protocol {
        get_device_path_size,
        duplicate_device_path,
        append_device_path,
        append_device_node,
        append_device_path_instance,
        get_next_device_path_instance,
        is_device_path_multi_instance,
        create_device_node,
    }))
}

/// A caller's path; `None` when it is null or malformed.
///
/// # Safety
/// As [`path_bytes`].
unsafe fn parse<'a>(path: *const RawPath) -> Option<DevicePath<'a>> {
    // SAFETY: the caller's promise is the same.
    DevicePath::parse(unsafe { path_bytes(path) }?).ok()
}

fn hand_out_result(bytes: Result<Vec<u8>, Error>) -> *mut RawPath {
    bytes.map_or(ptr::null_mut(), |bytes| hand_out(&bytes).cast())
}

unsafe extern "efiapi" fn get_device_path_size(path: *const RawPath) -> usize {
    // SAFETY: null or a device path, by the protocol's contract.
    unsafe { parse(path) }.map_or(0, DevicePath::size)
}

unsafe extern "efiapi" fn duplicate_device_path(path: *const RawPath) -> *mut RawPath {
    // SAFETY: null or a device path, by the protocol's contract.
    unsafe { parse(path) }.map_or(ptr::null_mut(), |path| hand_out(path.as_bytes()).cast())
}

unsafe extern "efiapi" fn append_device_path(first: *const RawPath, second: *const RawPath) -> *mut RawPath {
    // SAFETY: each null or a device path, by the protocol's contract.
    let paths = unsafe { (parse(first), parse(second)) };
    match paths {
        (Some(first), Some(second)) => hand_out_result(first.append_path(second)),
        (Some(only), None) if second.is_null() => hand_out(only.as_bytes()).cast(),
        (None, Some(only)) if first.is_null() => hand_out(only.as_bytes()).cast(),
        (None, None) if first.is_null() && second.is_null() => hand_out(&EMPTY).cast(),
        _ => ptr::null_mut(),
    }
}

unsafe extern "efiapi" fn append_device_node(path: *const RawPath, node: *const RawPath) -> *mut RawPath {
    let base = if path.is_null() {
        DevicePath::parse(&EMPTY).ok()
    } else {
        // SAFETY: not null, so a device path by the protocol's contract.
        unsafe { parse(path) }
    };
    let Some(base) = base else { return ptr::null_mut() };
    if node.is_null() {
        return hand_out(base.as_bytes()).cast();
    }
    // SAFETY: not null, so a node by the protocol's contract: at least its header can be read.
    let header = unsafe { node.cast::<[u8; HEADER_LEN]>().read_unaligned() };
    let Some(header) = NodeHeader::parse(header) else { return ptr::null_mut() };
    // SAFETY: the node has the length that its header says, by the protocol's contract.
    let node = unsafe { core::slice::from_raw_parts(node.cast::<u8>(), header.len.into()) };
    hand_out_result(base.append_node(node))
}

unsafe extern "efiapi" fn append_device_path_instance(path: *const RawPath, instance: *const RawPath) -> *mut RawPath {
    // SAFETY: each null or a device path, by the protocol's contract.
    let paths = unsafe { (parse(path), parse(instance)) };
    match paths {
        (Some(path), Some(instance)) => hand_out_result(path.append_instance(instance)),
        (None, Some(instance)) if path.is_null() => hand_out(instance.as_bytes()).cast(),
        _ => ptr::null_mut(),
    }
}

unsafe extern "efiapi" fn get_next_device_path_instance(place: *mut *mut RawPath, size: *mut usize) -> *mut RawPath {
    if place.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: not null, so a pointer to read by the protocol's contract.
    let start = unsafe { place.read() };
    // SAFETY: null or a device path, by the protocol's contract.
    let Some(path) = (unsafe { parse(start) }) else {
        return ptr::null_mut();
    };
    let Some(instance) = path.instances().next() else {
        return ptr::null_mut();
    };
    let mut copy = Vec::new();
    // Both are at most the length of a path.
    let length = (instance.len() + HEADER_LEN).min(MAX_LEN);
    if copy.try_reserve_exact(length).is_err() {
        return ptr::null_mut();
    }
    copy.extend_from_slice(instance);
    copy.extend_from_slice(&EMPTY);
    let next = if path.is_multi_instance() { start.cast::<u8>().wrapping_add(length).cast() } else { ptr::null_mut() };
    let result: *mut RawPath = hand_out(&copy).cast();
    if !result.is_null() {
        // SAFETY: not null, so to be written by the protocol's contract.
        unsafe { place.write(next) };
        if !size.is_null() {
            // SAFETY: as above.
            unsafe { size.write(copy.len()) };
        }
    }
    result
}

unsafe extern "efiapi" fn is_device_path_multi_instance(path: *const RawPath) -> Boolean {
    // SAFETY: null or a device path, by the protocol's contract.
    unsafe { parse(path) }.is_some_and(DevicePath::is_multi_instance).into()
}

unsafe extern "efiapi" fn create_device_node(kind: u8, sub_kind: u8, length: u16) -> *mut RawPath {
    if usize::from(length) < HEADER_LEN {
        return ptr::null_mut();
    }
    let mut node = Vec::new();
    if node.try_reserve_exact(length.into()).is_err() {
        return ptr::null_mut();
    }
    let [low, high] = length.to_le_bytes();
    node.extend([kind, sub_kind, low, high]);
    node.resize(length.into(), 0);
    hand_out(&node).cast()
}
