//! An image that is named by its device path, read through whichever protocol serves the path
//! (UEFI 2.10, 7.4.1): a file system, EFI_LOAD_FILE2_PROTOCOL or EFI_LOAD_FILE_PROTOCOL.
#![expect(unsafe_code, reason = "calls protocols of drivers with raw pointers")]

use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::{self, NonNull};
use core::slice;

use r_efi::efi::{self, Boolean, Char16, Guid, Status};
use r_efi::protocols::{device_path, file, load_file, load_file2, simple_file_system};

use super::super::protocols::disk;
use super::super::services;
use super::path;
use crate::log;

/// Bytes of an EFI_FILE_INFO before its file name.
const FILE_INFO_SIZE: usize = size_of::<file::Info>();

/// A file in pool memory, freed with the value.
pub struct File {
    start: NonNull<u8>,
    length: usize,
}

impl File {
    fn allocate(length: usize) -> Result<Self, Status> {
        let start = services::allocate_pool(efi::BOOT_SERVICES_DATA, length)?;
        // SAFETY: the allocation just made is `length` bytes long and nobody else's.
        unsafe { ptr::write_bytes(start.as_ptr(), 0, length) };
        Ok(Self { start, length })
    }

    /// What was read.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the allocation has been initialised in full and is only this value's.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }

    fn as_mut_ptr(&mut self) -> *mut c_void {
        self.start.as_ptr().cast()
    }
}

impl Drop for File {
    fn drop(&mut self) {
        // It was allocated here and freed nowhere else.
        let _ = services::free_pool(self.start.as_ptr().cast());
    }
}

/// Reads the file that `path` names.
///
/// # Errors
/// `NOT_FOUND` when nothing serves the path, else what the protocol that does returns.
pub fn read(boot_policy: bool, path: &[u8]) -> Result<File, Status> {
    if let Some(result) = read_from_file_system(path) {
        return result;
    }
    // A boot option is for EFI_LOAD_FILE_PROTOCOL alone; anything else is for the second first.
    if !boot_policy && let Some(result) = load(&load_file2::PROTOCOL_GUID, false, path) {
        return result;
    }
    load(&load_file::PROTOCOL_GUID, boot_policy, path).unwrap_or(Err(Status::NOT_FOUND))
}

/// The interface of the handle that has `protocol` nearest to the end of the path, and the rest.
fn locate<T>(protocol: &Guid, path: &[u8]) -> Option<(NonNull<T>, *const device_path::Protocol)> {
    // SAFETY: `path` is a device path with its end node, borrowed for the call.
    let (handle, rest) = unsafe { services::locate_device_path(protocol, path.as_ptr().cast()) }.ok()?;
    let interface = services::interface(handle, protocol).ok()?;
    Some((NonNull::new(interface.cast())?, rest))
}

fn load(protocol: &Guid, boot_policy: bool, path: &[u8]) -> Option<Result<File, Status>> {
    let (interface, rest) = locate::<load_file::Protocol>(protocol, path)?;
    Some(load_through(interface, boot_policy, rest))
}

fn load_through(
    interface: NonNull<load_file::Protocol>,
    boot_policy: bool,
    rest: *const device_path::Protocol,
) -> Result<File, Status> {
    let this = interface.as_ptr();
    // SAFETY: an interface of this protocol has this layout and stays installed for the call.
    let load_file = unsafe { (*this).load_file };
    let policy = Boolean::from(boot_policy);
    let mut size = 0;
    // SAFETY: the member takes its own instance, a path, and a size that says that there is no
    // buffer yet.
    let status = unsafe { load_file(this, rest.cast_mut(), policy, &raw mut size, ptr::null_mut()) };
    if status != Status::BUFFER_TOO_SMALL {
        return Err(if status.is_error() { status } else { Status::NOT_FOUND });
    }
    let mut read = File::allocate(size)?;
    // SAFETY: as above, with a buffer of the size that is passed.
    let status = unsafe { load_file(this, rest.cast_mut(), policy, &raw mut size, read.as_mut_ptr()) };
    if status.is_error() {
        return Err(status);
    }
    // The length stays the allocation's if the driver claims to have written more.
    read.length = read.length.min(size);
    Ok(read)
}

/// An open file, closed with the value.
struct OpenFile(NonNull<file::Protocol>);

impl OpenFile {
    fn new(raw: *mut file::Protocol) -> Result<Self, Status> {
        NonNull::new(raw).map(Self).ok_or(Status::DEVICE_ERROR)
    }

    /// Opens the file that the units, which end with a NUL, name.
    fn open(&self, name: &mut [Char16]) -> Result<Self, Status> {
        let this = self.0.as_ptr();
        let mut opened = ptr::null_mut();
        // SAFETY: `this` is an open file; the name is NUL-terminated and outlives the call.
        let status = unsafe { ((*this).open)(this, &raw mut opened, name.as_mut_ptr(), file::MODE_READ, 0) };
        if status.is_error() { Err(status) } else { Self::new(opened) }
    }

    fn size(&self) -> Result<u64, Status> {
        let this = self.0.as_ptr();
        let mut id = file::INFO_ID;
        let mut length = 0;
        // SAFETY: `this` is an open file; a length of zero asks for the length.
        let status = unsafe { ((*this).get_info)(this, &raw mut id, &raw mut length, ptr::null_mut()) };
        if status != Status::BUFFER_TOO_SMALL || length < FILE_INFO_SIZE {
            return Err(if status.is_error() && status != Status::BUFFER_TOO_SMALL {
                status
            } else {
                Status::DEVICE_ERROR
            });
        }
        let mut info = File::allocate(length)?;
        // SAFETY: as above, with a buffer of the length that is passed.
        let status = unsafe { ((*this).get_info)(this, &raw mut id, &raw mut length, info.as_mut_ptr()) };
        if status.is_error() {
            return Err(status);
        }
        // EFI_FILE_INFO: Size, then FileSize (UEFI 2.10, 13.5.16).
        let size = info.bytes().get(8..16).and_then(|bytes| bytes.try_into().ok());
        size.map(u64::from_le_bytes).ok_or(Status::DEVICE_ERROR)
    }

    fn read(&self) -> Result<File, Status> {
        let size = usize::try_from(self.size()?).map_err(|_| Status::OUT_OF_RESOURCES)?;
        let mut whole = File::allocate(size)?;
        let this = self.0.as_ptr();
        let mut length = size;
        // SAFETY: `this` is an open file; the buffer has `length` bytes.
        let status = unsafe { ((*this).read)(this, &raw mut length, whole.as_mut_ptr()) };
        if status.is_error() {
            return Err(status);
        }
        if length != size {
            return Err(Status::DEVICE_ERROR);
        }
        Ok(whole)
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        let this = self.0.as_ptr();
        // SAFETY: the file is open and not used again. Closing cannot fail.
        let _ = unsafe { ((*this).close)(this) };
    }
}

fn read_from_file_system(path: &[u8]) -> Option<Result<File, Status>> {
    let guid = simple_file_system::PROTOCOL_GUID;
    let (volume, rest) = locate::<simple_file_system::Protocol>(&guid, path)?;
    // SAFETY: `path` is a device path with its end node, borrowed for the call.
    let (handle, _) = unsafe { services::locate_device_path(&guid, path.as_ptr().cast()) }.ok()?;
    // SAFETY: the rest is the end of `path`, which has an end node and is borrowed.
    let rest = unsafe { path::bytes(rest) }?;
    // A file system serves only paths of file names.
    let names = file_names(rest)?;
    Some(names.and_then(|names| {
        // How the disk is divided decides which file it is.
        disk::measure(handle).map_err(|error| {
            log::error!("{error}");
            Status::DEVICE_ERROR
        })?;
        read_file(volume, names)
    }))
}

/// The NUL-terminated names of the file path nodes; `None` when there are other nodes.
fn file_names(mut rest: &[u8]) -> Option<Result<Vec<Vec<Char16>>, Status>> {
    let mut names = Vec::new();
    loop {
        let (&[kind, sub_type, low, high], behind) = rest.split_first_chunk()?;
        if kind == device_path::TYPE_END {
            return (!names.is_empty()).then_some(Ok(names));
        }
        if [kind, sub_type] != [device_path::TYPE_MEDIA, device_path::Media::SUBTYPE_FILE_PATH] {
            return None;
        }
        let length = usize::from(u16::from_le_bytes([low, high])).checked_sub(4)?;
        let (name, next) = behind.split_at_checked(length)?;
        let mut units = Vec::new();
        if units.try_reserve_exact(length / 2 + 1).is_err() || names.try_reserve(1).is_err() {
            return Some(Err(Status::OUT_OF_RESOURCES));
        }
        let (pairs, _) = name.as_chunks();
        units.extend(pairs.iter().map(|pair| u16::from_le_bytes(*pair)).take_while(|&u| u != 0));
        units.push(0);
        names.push(units);
        rest = next;
    }
}

fn read_file(volume: NonNull<simple_file_system::Protocol>, names: Vec<Vec<Char16>>) -> Result<File, Status> {
    let this = volume.as_ptr();
    let mut root = ptr::null_mut();
    // SAFETY: an interface of this protocol has this layout and stays installed for the call.
    let status = unsafe { ((*this).open_volume)(this, &raw mut root) };
    if status.is_error() {
        return Err(status);
    }
    let mut open = OpenFile::new(root)?;
    for mut name in names {
        open = open.open(&mut name)?;
    }
    open.read()
}
