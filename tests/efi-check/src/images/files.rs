//! Images that are named by their device path, from a file system and from load file protocols
//! that this program offers.

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use r_efi::efi::{self, Boolean, Char16, Guid, Handle, Status};
use r_efi::protocols::{device_path, file, load_file, load_file2, simple_file_system};

use super::{PLAIN_STATUS, information, returns, start, unload};
use crate::env::{self, bs};
use crate::pe::{self, APPLICATION, FILE_SIZE};
use crate::report::{check, equal, one_of, status};

const VENDOR: [u8; 16] = *b"efi-check device";
const INFO_SIZE: usize = 80 + 2;

static OPEN_FILES: AtomicUsize = AtomicUsize::new(0);

/// VenHw(...)/\dir/child.efi, or a part of it.
struct Path([u8; 128]);

impl Path {
    fn new(names: &[&str]) -> Self {
        let mut bytes = [0u8; 128];
        bytes[..4].copy_from_slice(&[1, 4, 20, 0]);
        bytes[4..20].copy_from_slice(&VENDOR);
        let mut at = 20;
        for name in names {
            let length = 4 + (name.len() + 1) * 2;
            bytes[at..at + 4].copy_from_slice(&[4, 4, length as u8, 0]);
            for (index, byte) in name.bytes().enumerate() {
                bytes[at + 4 + index * 2] = byte;
            }
            at += length;
        }
        bytes[at..at + 4].copy_from_slice(&[0x7f, 0xff, 4, 0]);
        Self(bytes)
    }

    fn as_mut_ptr(&mut self) -> *mut device_path::Protocol {
        self.0.as_mut_ptr().cast()
    }
}

fn load(boot_policy: bool, path: &mut Path) -> Result<Handle, Status> {
    let mut handle = ptr::null_mut();
    let (path, null) = (path.as_mut_ptr(), ptr::null_mut());
    let status = unsafe { (bs().load_image)(boot_policy.into(), env::image(), path, null, 0, &mut handle) };
    if status == Status::SUCCESS { Ok(handle) } else { Err(status) }
}

unsafe extern "efiapi" fn serve(
    _this: *mut load_file::Protocol,
    path: *mut device_path::Protocol,
    _boot_policy: Boolean,
    size: *mut usize,
    buffer: *mut c_void,
) -> Status {
    unsafe {
        if (*path).r#type == device_path::TYPE_MEDIA {
            return Status::NO_MEDIA;
        }
        let room = size.replace(FILE_SIZE);
        if buffer.is_null() || room < FILE_SIZE {
            return Status::BUFFER_TOO_SMALL;
        }
        ptr::copy_nonoverlapping(pe::build(returns, APPLICATION).as_ptr(), buffer.cast(), FILE_SIZE);
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn open_volume(
    _this: *mut simple_file_system::Protocol,
    root: *mut *mut file::Protocol,
) -> Status {
    unsafe { root.write(make_file(0)) };
    Status::SUCCESS
}

/// A file of this program: its protocol, then how deep it is.
#[repr(C)]
struct OpenFile {
    protocol: file::Protocol,
    depth: usize,
}

fn make_file(depth: usize) -> *mut file::Protocol {
    OPEN_FILES.fetch_add(1, Ordering::Relaxed);
    let file: *mut OpenFile = env::pool(size_of::<OpenFile>()).cast();
    let protocol = file::Protocol {
        revision: file::REVISION,
        open,
        close,
        delete: close,
        read,
        write: read,
        get_position,
        set_position,
        get_info,
        set_info,
        flush: close,
        open_ex,
        read_ex,
        write_ex: read_ex,
        flush_ex: read_ex,
    };
    unsafe { file.write(OpenFile { protocol, depth }) };
    file.cast()
}

unsafe extern "efiapi" fn open(
    this: *mut file::Protocol,
    new: *mut *mut file::Protocol,
    name: *mut Char16,
    _mode: u64,
    _attributes: u64,
) -> Status {
    let depth = unsafe { (*this.cast::<OpenFile>()).depth };
    let wanted: &[u8] = [b"\\dir\0".as_slice(), b"child.efi\0"].get(depth).copied().unwrap_or_default();
    let same = wanted
        .iter()
        .enumerate()
        .all(|(index, &byte)| u16::from(byte) == unsafe { name.wrapping_add(index).read_unaligned() });
    if wanted.is_empty() || !same {
        return Status::NOT_FOUND;
    }
    unsafe { new.write(make_file(depth + 1)) };
    Status::SUCCESS
}

unsafe extern "efiapi" fn close(this: *mut file::Protocol) -> Status {
    OPEN_FILES.fetch_sub(1, Ordering::Relaxed);
    env::free(this.cast());
    Status::SUCCESS
}

unsafe extern "efiapi" fn read(_this: *mut file::Protocol, size: *mut usize, buffer: *mut c_void) -> Status {
    unsafe {
        let length = size.read().min(FILE_SIZE);
        size.write(length);
        ptr::copy_nonoverlapping(pe::build(returns, APPLICATION).as_ptr(), buffer.cast(), length);
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn get_position(_this: *mut file::Protocol, _position: *mut u64) -> Status {
    Status::UNSUPPORTED
}

unsafe extern "efiapi" fn set_position(_this: *mut file::Protocol, _position: u64) -> Status {
    Status::SUCCESS
}

unsafe extern "efiapi" fn get_info(
    this: *mut file::Protocol,
    _kind: *mut Guid,
    size: *mut usize,
    buffer: *mut c_void,
) -> Status {
    unsafe {
        let room = size.replace(INFO_SIZE);
        if buffer.is_null() || room < INFO_SIZE {
            return Status::BUFFER_TOO_SMALL;
        }
        let mut info = [0u8; INFO_SIZE];
        info[..8].copy_from_slice(&(INFO_SIZE as u64).to_le_bytes());
        info[8..16].copy_from_slice(&(FILE_SIZE as u64).to_le_bytes());
        info[16..24].copy_from_slice(&(FILE_SIZE as u64).to_le_bytes());
        if (*this.cast::<OpenFile>()).depth < 2 {
            info[72] = 0x10;
        }
        ptr::copy_nonoverlapping(info.as_ptr(), buffer.cast(), INFO_SIZE);
    }
    Status::SUCCESS
}

unsafe extern "efiapi" fn set_info(_: *mut file::Protocol, _: *mut Guid, _: usize, _: *mut c_void) -> Status {
    Status::WRITE_PROTECTED
}

unsafe extern "efiapi" fn open_ex(
    _: *mut file::Protocol,
    _: *mut *mut file::Protocol,
    _: *mut Char16,
    _: u64,
    _: u64,
    _: *mut file::IoToken,
) -> Status {
    Status::UNSUPPORTED
}

unsafe extern "efiapi" fn read_ex(_: *mut file::Protocol, _: *mut file::IoToken) -> Status {
    Status::UNSUPPORTED
}

pub fn run() {
    let mut device = Path::new(&[]);
    let mut path_guid = device_path::PROTOCOL_GUID;
    let mut handle = ptr::null_mut();
    equal("LoadImage: path that nobody serves", load(false, &mut Path::new(&[])), Err(Status::NOT_FOUND));
    let install = |handle: &mut Handle, guid: &mut Guid, interface: *mut c_void| unsafe {
        (bs().install_protocol_interface)(handle, guid, efi::NATIVE_INTERFACE, interface)
    };
    let uninstall = |handle: Handle, guid: &mut Guid, interface: *mut c_void| unsafe {
        (bs().uninstall_protocol_interface)(handle, guid, interface)
    };
    install(&mut handle, &mut path_guid, device.as_mut_ptr().cast());
    equal("LoadImage: device that serves nothing", load(false, &mut Path::new(&[])), Err(Status::NOT_FOUND));

    let mut server = load_file::Protocol { load_file: serve };
    let server: *mut c_void = (&raw mut server).cast();
    let mut guid = load_file2::PROTOCOL_GUID;
    install(&mut handle, &mut guid, server);
    match load(false, &mut Path::new(&[])) {
        Ok(image) => {
            let i = unsafe { &*information(image) };
            equal("LoadFile2: device handle", i.device_handle, handle);
            let end = !i.file_path.is_null() && unsafe { (*i.file_path).r#type } == device_path::TYPE_END;
            check("LoadFile2: file path", end);
            status("LoadFile2: runs", start(image), PLAIN_STATUS);
        }
        Err(is) => status("LoadFile2: loads", is, Status::SUCCESS),
    }
    let is = load(false, &mut Path::new(&["x"])).err().unwrap_or(Status::SUCCESS);
    one_of("LoadFile2: its error", is, &[Status::NO_MEDIA, Status::NOT_FOUND]);
    equal("LoadFile2: not for boot options", load(true, &mut Path::new(&[])).map(|_| ()), Err(Status::NOT_FOUND));
    uninstall(handle, &mut guid, server);
    let mut guid = load_file::PROTOCOL_GUID;
    install(&mut handle, &mut guid, server);
    match load(true, &mut Path::new(&[])) {
        Ok(image) => {
            status("LoadFile: loads and unloads", unload(image), Status::SUCCESS);
        }
        Err(is) => status("LoadFile: loads and unloads", is, Status::SUCCESS),
    }
    uninstall(handle, &mut guid, server);
    file_system(handle);
    uninstall(handle, &mut path_guid, device.as_mut_ptr().cast());
}

fn file_system(mut handle: Handle) {
    let mut volume = simple_file_system::Protocol { revision: simple_file_system::REVISION, open_volume };
    let volume: *mut c_void = (&raw mut volume).cast();
    let mut guid = simple_file_system::PROTOCOL_GUID;
    unsafe { (bs().install_protocol_interface)(&mut handle, &mut guid, efi::NATIVE_INTERFACE, volume) };
    match load(false, &mut Path::new(&["\\dir", "child.efi"])) {
        Ok(image) => {
            let i = unsafe { &*information(image) };
            equal("file system: device handle", i.device_handle, handle);
            let named = !i.file_path.is_null() && unsafe { (*i.file_path).r#type } == device_path::TYPE_MEDIA;
            check("file system: file path", named);
            status("file system: runs", start(image), PLAIN_STATUS);
        }
        Err(is) => status("file system: loads", is, Status::SUCCESS),
    }
    let absent = load(false, &mut Path::new(&["\\dir", "other.efi"])).map(|_| ());
    equal("file system: no such file", absent, Err(Status::NOT_FOUND));
    equal("file system: all files are closed", OPEN_FILES.load(Ordering::Relaxed), 0);
    unsafe { (bs().uninstall_protocol_interface)(handle, &mut guid, volume) };
}
