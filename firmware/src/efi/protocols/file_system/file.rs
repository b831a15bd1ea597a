//! EFI_FILE_PROTOCOL (UEFI 2.11, 13.5).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::ffi::c_void;
use core::slice;

use formats::char16::read_nul_terminated;
use r_efi::efi::{Char16, Guid, Status};
use r_efi::protocols::file::{self, IoToken, Protocol};
use storage::fat::{Cursor, DIRECTORY, Error, MAX_UNITS, NodeId, READ_ONLY, Volume};

use super::super::super::services;
use super::super::abi::Char16String;
use super::super::disk::EfiDisk;
use super::{Shared, info, now, path, status};

/// The position that stands for the file's end.
const END: u64 = u64::MAX;
/// The longest path that is followed, in units.
const MAX_PATH: usize = 16 * MAX_UNITS;

/// An open file.
#[repr(C)]
pub(super) struct File {
    /// First, so that a pointer to it is one to the whole.
    protocol: Protocol,
    pub shared: Rc<Shared>,
    pub node: NodeId,
    /// Where a file is read and written.
    position: u64,
    /// Where a directory is read.
    cursor: Cursor,
    pub writable: bool,
}

/// Makes the protocol of a node, which the file closes.
pub(super) fn create(shared: &Rc<Shared>, node: NodeId, writable: bool) -> Result<*mut Protocol, Status> {
    let cursor = shared.with(|volume| Ok(volume.rewind(node).unwrap_or_default()))?;
    let protocol = Protocol {
        revision: file::LATEST_REVISION,
        open,
        close,
        delete,
        read,
        write,
        get_position,
        set_position,
        get_info,
        set_info,
        flush,
        open_ex,
        read_ex,
        write_ex,
        flush_ex,
    };
    let shared = Rc::clone(shared);
    Ok(Box::into_raw(Box::new(File { protocol, shared, node, position: 0, cursor, writable })).cast())
}

/// The file behind a protocol.
///
/// # Safety
/// `this` is null or an open file of this driver, of which there is no other reference.
unsafe fn file<'a>(this: *mut Protocol) -> Result<&'a mut File, Status> {
    // SAFETY: the caller's promise: the protocol is the first member of a file.
    unsafe { this.cast::<File>().as_mut() }.ok_or(Status::INVALID_PARAMETER)
}

fn result(result: Result<(), Status>) -> Status {
    result.err().unwrap_or(Status::SUCCESS)
}

impl File {
    fn with<T>(&self, work: impl FnOnce(&mut Volume<EfiDisk>) -> Result<T, Error>) -> Result<T, Status> {
        self.shared.with(|volume| work(volume).map_err(status))
    }

    fn is_directory(&self) -> Result<bool, Status> {
        self.with(|volume| Ok(volume.entry(self.node)?.short.is_directory()))
    }

    fn size(&self) -> Result<u64, Status> {
        self.with(|volume| Ok(volume.entry(self.node)?.short.size.get().into()))
    }

    fn open(&self, units: &[u16], mode: u64, attributes: u64) -> Result<*mut Protocol, Status> {
        const READ_WRITE: u64 = file::MODE_READ | file::MODE_WRITE;
        const CREATE: u64 = READ_WRITE | file::MODE_CREATE;
        let (write, make) = match mode {
            file::MODE_READ => (false, false),
            READ_WRITE => (true, false),
            CREATE => (true, true),
            _ => return Err(Status::INVALID_PARAMETER),
        };
        // The attributes count for new files alone.
        if make && attributes & !file::VALID_ATTR != 0 {
            return Err(Status::INVALID_PARAMETER);
        }
        let attributes = (attributes & file::VALID_ATTR) as u8;
        let node = self.shared.with(|volume| {
            if write && volume.device().is_read_only() {
                return Err(Status::WRITE_PROTECTED);
            }
            // A path from the root may be opened by any file, as shim's fallback loader does.
            if units.first() != Some(&path::BACKSLASH) && !volume.entry(self.node).map_err(status)?.short.is_directory()
            {
                return Err(Status::NOT_FOUND);
            }
            let place = path::follow(volume, self.node, units)?;
            if place.name.is_empty() {
                return Ok(place.directory);
            }
            let found = match volume.open(place.directory, place.name) {
                Err(Error::NotFound) if make => {
                    volume.create(place.directory, place.name, attributes, now()).map_err(status)
                }
                found => found.map_err(status).and_then(|node| {
                    let short = volume.entry(node).map_err(status)?.short;
                    let wanted = make && attributes & DIRECTORY != 0;
                    let refused = (write && !short.is_directory() && short.attributes & READ_ONLY != 0)
                        || (make && short.is_directory() != wanted);
                    if refused || (place.is_directory && !short.is_directory()) {
                        volume.close(node);
                        return Err(if refused { Status::ACCESS_DENIED } else { Status::NOT_FOUND });
                    }
                    Ok(node)
                }),
            };
            volume.close(place.directory);
            found
        })?;
        create(&self.shared, node, write)
    }

    fn delete(&self) -> Result<(), Status> {
        self.may_write()?;
        self.with(|volume| volume.delete(self.node))
    }

    pub fn not_read_only(&self) -> Result<(), Status> {
        let read_only = self.with(|volume| Ok(volume.device().is_read_only()))?;
        if read_only { Err(Status::WRITE_PROTECTED) } else { Ok(()) }
    }

    fn may_write(&self) -> Result<(), Status> {
        self.not_read_only()?;
        if self.writable { Ok(()) } else { Err(Status::ACCESS_DENIED) }
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Status> {
        if self.position > self.size()? {
            return Err(Status::DEVICE_ERROR);
        }
        let count = self.with(|volume| volume.read(self.node, self.position, buffer))?;
        self.position += count as u64;
        Ok(count)
    }

    /// The next entry of a directory, as EFI_FILE_INFO; empty behind the last.
    fn next_entry(&self) -> Result<(Vec<u8>, Cursor), Status> {
        self.shared.with(|volume| {
            volume.entry(self.node).map_err(status)?;
            let mut cursor = self.cursor;
            let entry = volume.read_directory(&mut cursor).map_err(status)?;
            let size = volume.cluster_size();
            let bytes = entry.map_or(Ok(Vec::new()), |entry| info::of_file(entry.name.units(), &entry.short, size))?;
            Ok((bytes, cursor))
        })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Status> {
        if self.is_directory()? {
            return Err(Status::UNSUPPORTED);
        }
        self.may_write()?;
        let now = now();
        self.with(|volume| volume.write(self.node, self.position, bytes, now))?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn set_position(&mut self, position: u64) -> Result<(), Status> {
        if self.is_directory()? {
            if position != 0 {
                return Err(Status::UNSUPPORTED);
            }
            self.cursor = self.with(|volume| volume.rewind(self.node))?;
        }
        self.position = if position == END { self.size()? } else { position };
        Ok(())
    }

    fn flush(&self) -> Result<(), Status> {
        self.may_write()?;
        self.with(|volume| volume.flush())
    }
}

unsafe extern "efiapi" fn open(
    this: *mut Protocol,
    new: *mut *mut Protocol,
    name: *mut Char16,
    mode: u64,
    attributes: u64,
) -> Status {
    // SAFETY: the caller passes an open file and a string.
    let (file, name) = unsafe { (file(this), Char16String::new(name)) };
    let (Ok(file), Some(name), false) = (file, name, new.is_null()) else { return Status::INVALID_PARAMETER };
    let mut units = Vec::new();
    for unit in name.units() {
        if units.len() == MAX_PATH || units.try_reserve(1).is_err() {
            return Status::INVALID_PARAMETER;
        }
        units.push(unit);
    }
    match file.open(&units, mode, attributes) {
        Ok(opened) => {
            // SAFETY: not null; the caller passes a pointer to write.
            unsafe { new.write_unaligned(opened) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "efiapi" fn close(this: *mut Protocol) -> Status {
    if this.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes an open file, which `create` made, and does not use it again.
    let file = unsafe { Box::from_raw(this.cast::<File>()) };
    // A volume that is gone has forgotten its nodes, and Close() has no error for what cannot be flushed.
    let _ = file.with(|volume| {
        volume.close(file.node);
        volume.flush_written()
    });
    Status::SUCCESS
}

unsafe extern "efiapi" fn delete(this: *mut Protocol) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    let deleted = file.delete();
    // SAFETY: as above; it is closed whatever became of it.
    unsafe { close(this) };
    if deleted.is_ok() { Status::SUCCESS } else { Status::WARN_DELETE_FAILURE }
}

unsafe extern "efiapi" fn read(this: *mut Protocol, size: *mut usize, buffer: *mut c_void) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a UINTN.
    let room = unsafe { size.read_unaligned() };
    let outcome = file.is_directory().and_then(|is_directory| {
        if is_directory {
            let (bytes, cursor) = file.next_entry()?;
            // SAFETY: the caller's pointers.
            unsafe { info::hand_out(&bytes, size, buffer) }?;
            file.cursor = cursor;
            return Ok(());
        }
        if room != 0 && (buffer.is_null() || isize::try_from(room).is_err()) {
            return Err(Status::INVALID_PARAMETER);
        }
        let mut none = [];
        let buffer = match room {
            0 => &mut none[..],
            // SAFETY: the caller gives away `room` bytes for the call, and bytes can hold anything.
            _ => unsafe { slice::from_raw_parts_mut(buffer.cast(), room) },
        };
        let count = file.read(buffer)?;
        // SAFETY: not null.
        unsafe { size.write_unaligned(count) };
        Ok(())
    });
    result(outcome)
}

unsafe extern "efiapi" fn write(this: *mut Protocol, size: *mut usize, buffer: *mut c_void) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    if size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a UINTN.
    let length = unsafe { size.read_unaligned() };
    if length != 0 && (buffer.is_null() || isize::try_from(length).is_err()) {
        return Status::INVALID_PARAMETER;
    }
    let bytes = match length {
        0 => &[],
        // SAFETY: the caller has `length` bytes there, which nothing changes during the call.
        _ => unsafe { slice::from_raw_parts(buffer.cast(), length) },
    };
    let written = file.write(bytes);
    if written.is_err() {
        // SAFETY: not null.
        unsafe { size.write_unaligned(0) };
    }
    result(written)
}

unsafe extern "efiapi" fn get_position(this: *mut Protocol, position: *mut u64) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    if position.is_null() {
        return Status::INVALID_PARAMETER;
    }
    match file.is_directory() {
        Ok(true) => Status::UNSUPPORTED,
        Ok(false) => {
            // SAFETY: not null; the caller passes a UINT64 to write.
            unsafe { position.write_unaligned(file.position) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

unsafe extern "efiapi" fn set_position(this: *mut Protocol, position: u64) -> Status {
    // SAFETY: the caller passes an open file.
    result(unsafe { file(this) }.and_then(|file| file.set_position(position)))
}

unsafe extern "efiapi" fn get_info(
    this: *mut Protocol,
    kind: *mut Guid,
    size: *mut usize,
    buffer: *mut c_void,
) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    if kind.is_null() || size.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a GUID.
    let kind = unsafe { kind.read_unaligned() };
    // SAFETY: the caller's pointers.
    result(info::get(file, &kind).and_then(|bytes| unsafe { info::hand_out(&bytes, size, buffer) }))
}

unsafe extern "efiapi" fn set_info(this: *mut Protocol, kind: *mut Guid, size: usize, buffer: *mut c_void) -> Status {
    // SAFETY: the caller passes an open file.
    let Ok(file) = (unsafe { file(this) }) else { return Status::INVALID_PARAMETER };
    if kind.is_null() || buffer.is_null() || isize::try_from(size).is_err() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: not null; the caller passes a GUID, and `size` bytes that nothing changes during the call.
    let (kind, bytes) = unsafe { (kind.read_unaligned(), slice::from_raw_parts(buffer.cast::<u8>(), size)) };
    let whole = match bytes.get(info::FILE_NAME..) {
        // Who renames a file to a longer name writes it over the old one and leaves the size as GetInfo() gave it, as
        // systemd-boot does: a name that the size cuts goes on up to its NUL, as far as a name can.
        Some(name) if kind == file::INFO_ID && read_nul_terminated(name).is_none() => {
            // SAFETY: FileName of the structure is a string with a NUL (UEFI 2.11, 13.5.16), which is not within `size`.
            let units = unsafe { Char16String::new(buffer.cast::<u8>().add(info::FILE_NAME).cast()) };
            let length = units.map_or(0, |units| units.units().take(MAX_PATH + 1).count());
            if length > MAX_PATH {
                return Status::BAD_BUFFER_SIZE;
            }
            // SAFETY: the units that were just read, and their NUL.
            unsafe { slice::from_raw_parts(buffer.cast(), info::FILE_NAME + 2 * (length + 1)) }
        }
        _ => bytes,
    };
    result(info::set(file, &kind, whole))
}

unsafe extern "efiapi" fn flush(this: *mut Protocol) -> Status {
    // SAFETY: the caller passes an open file.
    result(unsafe { file(this) }.and_then(|file| file.flush()))
}

/// Ends a request that was made with a token: all of them are done at once. What fails is returned, and signals nothing.
///
/// # Safety
/// `token` is null or a token of the caller.
unsafe fn complete(token: *mut IoToken, request: impl FnOnce(*mut IoToken) -> Status) -> Status {
    if token.is_null() {
        return Status::INVALID_PARAMETER;
    }
    let done = request(token);
    // SAFETY: not null; the caller's promise.
    let event = unsafe {
        (&raw mut (*token).status).write_unaligned(done);
        (&raw const (*token).event).read_unaligned()
    };
    if done.is_error() || event.is_null() {
        return done;
    }
    services::signal_event(event).err().unwrap_or(Status::SUCCESS)
}

unsafe extern "efiapi" fn open_ex(
    this: *mut Protocol,
    new: *mut *mut Protocol,
    name: *mut Char16,
    mode: u64,
    attributes: u64,
    token: *mut IoToken,
) -> Status {
    // SAFETY: the caller's arguments, passed on.
    unsafe { complete(token, |_| open(this, new, name, mode, attributes)) }
}

unsafe extern "efiapi" fn read_ex(this: *mut Protocol, token: *mut IoToken) -> Status {
    // SAFETY: the caller's arguments, passed on; the token is not null.
    unsafe { complete(token, |token| read(this, &raw mut (*token).buffer_size, (*token).buffer)) }
}

unsafe extern "efiapi" fn write_ex(this: *mut Protocol, token: *mut IoToken) -> Status {
    // SAFETY: as in `read_ex`.
    unsafe { complete(token, |token| write(this, &raw mut (*token).buffer_size, (*token).buffer)) }
}

unsafe extern "efiapi" fn flush_ex(this: *mut Protocol, token: *mut IoToken) -> Status {
    // SAFETY: as in `read_ex`.
    unsafe { complete(token, |_| flush(this)) }
}
