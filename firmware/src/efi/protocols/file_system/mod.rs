//! EFI_SIMPLE_FILE_SYSTEM_PROTOCOL on FAT volumes (UEFI 2.11, 13.4).
#![expect(unsafe_code, reason = "the members are called by EFI images with raw pointers")]

mod file;
mod info;
mod path;

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::cell::{Cell, RefCell};

use r_efi::efi::{self, Handle, Status};
use r_efi::protocols::{block_io, disk_io, file as file_protocol, simple_file_system};
use storage::fat::{DateTime, Error, Timestamp, Volume};

use super::super::services;
use super::disk::{self, Driver, EfiDisk, to_status};

/// The driver of FAT volumes.
pub struct FileSystems;

/// A volume, which its open files share.
struct Shared {
    /// Nothing while it is worked on, and after the driver has let the disk go.
    volume: RefCell<Option<Volume<EfiDisk>>>,
    stopped: Cell<bool>,
}

impl Shared {
    /// Works on the volume. What the device calls meanwhile, and comes back here, is refused.
    fn with<T>(&self, work: impl FnOnce(&mut Volume<EfiDisk>) -> Result<T, Status>) -> Result<T, Status> {
        let Some(mut volume) = self.volume.borrow_mut().take() else {
            return Err(if self.stopped.get() { Status::NO_MEDIA } else { Status::ACCESS_DENIED });
        };
        // Notifications up to this level wait, so that they find the volume there.
        let tpl = services::raise_tpl(efi::TPL_CALLBACK);
        let result = work(&mut volume);
        if !self.stopped.get() {
            *self.volume.borrow_mut() = Some(volume);
        }
        services::restore_tpl(tpl);
        result
    }
}

#[repr(C)]
struct Instance {
    /// First, so that a pointer to it is one to the whole.
    protocol: simple_file_system::Protocol,
    shared: Rc<Shared>,
}

impl Driver for FileSystems {
    fn supported(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        disk::open(agent, controller, &disk_io::PROTOCOL_GUID)?;
        disk::close(agent, controller, &disk_io::PROTOCOL_GUID);
        services::interface(controller, &block_io::PROTOCOL_GUID).map(|_| ())
    }

    fn start(&self, agent: Handle, controller: Handle) -> Result<(), Status> {
        disk::open(agent, controller, &disk_io::PROTOCOL_GUID)?;
        let result = mount(controller);
        if result.is_err() {
            disk::close(agent, controller, &disk_io::PROTOCOL_GUID);
        }
        result
    }

    fn stop(&self, agent: Handle, controller: Handle, _children: &[Handle]) -> Result<(), Status> {
        let guid = simple_file_system::PROTOCOL_GUID;
        let instance = services::interface(controller, &guid)?.cast::<Instance>();
        services::uninstall_protocol(controller, &guid, instance.cast())?;
        disk::close(agent, controller, &disk_io::PROTOCOL_GUID);
        // SAFETY: `mount` made it for the controller that this driver manages, and nobody finds it any more.
        let instance = unsafe { Box::from_raw(instance) };
        // Files that are still open have no volume from now on.
        instance.shared.stopped.set(true);
        let volume = instance.shared.volume.borrow_mut().take();
        drop(volume);
        Ok(())
    }
}

fn mount(controller: Handle) -> Result<(), Status> {
    let block_io = services::interface(controller, &block_io::PROTOCOL_GUID)?;
    // SAFETY: the interface stays installed while this driver has EFI_DISK_IO_PROTOCOL of its handle open.
    let disk = unsafe { EfiDisk::new(block_io.cast()) }?;
    let volume = Volume::mount(disk).map_err(status)?;
    let shared = Rc::new(Shared { volume: RefCell::new(Some(volume)), stopped: Cell::new(false) });
    let protocol = simple_file_system::Protocol { revision: simple_file_system::REVISION, open_volume };
    let instance = Box::into_raw(Box::new(Instance { protocol, shared }));
    let installed = services::install_protocol(Some(controller), &simple_file_system::PROTOCOL_GUID, instance.cast());
    if let Err(status) = installed {
        // SAFETY: it was made above, and is installed nowhere.
        drop(unsafe { Box::from_raw(instance) });
        return Err(status);
    }
    Ok(())
}

unsafe extern "efiapi" fn open_volume(
    this: *mut simple_file_system::Protocol,
    root: *mut *mut file_protocol::Protocol,
) -> Status {
    if this.is_null() || root.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller passes the instance that it took the member from.
    let shared = unsafe { Rc::clone(&(*this.cast::<Instance>()).shared) };
    match shared.with(|volume| volume.root().map_err(status)).and_then(|node| file::create(&shared, node, true)) {
        Ok(file) => {
            // SAFETY: not null; the caller passes a pointer to write.
            unsafe { root.write_unaligned(file) };
            Status::SUCCESS
        }
        Err(status) => status,
    }
}

/// The status of an error of a volume.
fn status(error: Error) -> Status {
    match error {
        Error::Device(storage::DeviceError::OutOfRange) | Error::Corrupt => Status::VOLUME_CORRUPTED,
        Error::Device(error) => to_status(error),
        Error::NotFat => Status::UNSUPPORTED,
        Error::NotFound | Error::NotDirectory => Status::NOT_FOUND,
        Error::Exists | Error::NotEmpty | Error::Refused => Status::ACCESS_DENIED,
        Error::IsDirectory => Status::UNSUPPORTED,
        Error::Deleted => Status::DEVICE_ERROR,
        Error::InvalidName => Status::INVALID_PARAMETER,
        Error::NoSpace => Status::VOLUME_FULL,
        Error::OutOfMemory => Status::OUT_OF_RESOURCES,
    }
}

/// Now, or no time where there is no clock.
fn now() -> Timestamp {
    let table = services::system_table();
    if table.is_null() {
        return Timestamp::default();
    }
    // SAFETY: the system table and the runtime services outlive boot services.
    let get_time = unsafe { (*(*table).runtime_services).get_time };
    let mut time = efi::Time {
        year: 0,
        month: 0,
        day: 0,
        hour: 0,
        minute: 0,
        second: 0,
        pad1: 0,
        nanosecond: 0,
        timezone: 0,
        daylight: 0,
        pad2: 0,
    };
    // SAFETY: a time to write, and no capabilities.
    if unsafe { get_time(&raw mut time, core::ptr::null_mut()) }.is_error() {
        return Timestamp::default();
    }
    let (year, month, day) = (time.year, time.month, time.day);
    Timestamp::new(DateTime { year, month, day, hour: time.hour, minute: time.minute, second: time.second })
}
