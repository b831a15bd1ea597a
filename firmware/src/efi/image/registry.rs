//! The images that are loaded: from load to unload, and who is running.
#![expect(unsafe_code, reason = "makes the protocols of an image and calls its entry point")]

use alloc::vec::Vec;
use core::ffi::c_void;
use core::ptr::{self, NonNull};

use formats::pe;
use r_efi::efi::{self, Guid, Handle, Status};
use r_efi::protocols::{device_path, hii_package_list, loaded_image, loaded_image_device_path};
use runtime_abi::{DRIVER_CAPACITY, Driver};
use spin::Mutex;

use super::super::services;
use super::file;
use super::fixups::Fixups;
use super::load::{Buffer, Kind, LoadError, Mapped};
use super::path::OwnedPath;
use super::switch;
use crate::memory::{self, Access, MapError};
use crate::{log, measurement};

/// Where an image is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Loaded,
    /// On the stack; `frame` is the address of the variable with its [`switch::enter`] frame.
    Running {
        frame: usize,
    },
    /// A driver whose entry point has returned with success.
    Resident,
}

struct Image {
    handle: Name,
    kind: Kind,
    entry: u64,
    state: State,
    /// What `Exit()` left: status and data.
    exit: Option<Outcome>,
    protocol: LoadedImage,
    /// Dropping these frees the memory, so they come last.
    device_path: Option<OwnedPath>,
    _file_path: Option<OwnedPath>,
    fixups: Option<Fixups>,
    package_list: Option<usize>,
    memory: Buffer,
    size: u64,
}

/// A handle as a name: compared and handed out, never followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Name(Handle);

// SAFETY: the value is not dereferenced.
unsafe impl Send for Name {}

/// How an image ended.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// What its entry point returned, or what it passed to `Exit()`.
    pub status: Status,
    /// Bytes of `data`.
    pub data_size: usize,
    /// What it passed to `Exit()`: a NUL-terminated string in pool memory and more, or null.
    pub data: *mut efi::Char16,
}

// SAFETY: the data is handed on to whoever frees it, not dereferenced.
unsafe impl Send for Outcome {}

impl Outcome {
    fn plain(status: Status) -> Self {
        Self { status, data_size: 0, data: ptr::null_mut() }
    }
}

/// An EFI_LOADED_IMAGE_PROTOCOL in pool memory, freed with the value. Images and loaders write to
/// it, so it is never read here but by the unload member.
struct LoadedImage(NonNull<loaded_image::Protocol>);

// SAFETY: the pool memory belongs to no thread.
unsafe impl Send for LoadedImage {}

impl LoadedImage {
    fn new(value: loaded_image::Protocol) -> Result<Self, Status> {
        let size = size_of::<loaded_image::Protocol>();
        let memory = services::allocate_pool(efi::BOOT_SERVICES_DATA, size)?.cast();
        // SAFETY: the allocation just made has the size, and pool memory is 8-byte aligned.
        unsafe { memory.write(value) };
        Ok(Self(memory))
    }

    fn interface(&self) -> *mut c_void {
        self.0.as_ptr().cast()
    }

    fn unload_member(&self) -> Option<loaded_image::ProtocolUnload> {
        // SAFETY: the allocation lives as long as the value, and has been initialised.
        unsafe { (*self.0.as_ptr()).unload }
    }
}

impl Drop for LoadedImage {
    fn drop(&mut self) {
        // A client that has freed it has freed it: nothing is left to do.
        let _ = services::free_pool(self.0.as_ptr().cast());
    }
}

struct Registry {
    images: Vec<Image>,
    /// Images on the stack, the innermost last.
    running: Vec<Name>,
    /// The handle of the firmware, parent of what it loads itself.
    firmware: Option<Name>,
}

/// Not locked while anything outside is called.
static REGISTRY: Mutex<Registry> = Mutex::new(Registry { images: Vec::new(), running: Vec::new(), firmware: None });

impl Registry {
    fn find(&mut self, handle: Handle) -> Option<&mut Image> {
        self.images.iter_mut().find(|image| image.handle.0 == handle)
    }
}

/// Makes the handle of the firmware itself, which is the parent of the images it loads, and
/// returns it.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn init() -> Result<Handle, Status> {
    // The EFI shell looks there for the name of each image.
    let firmware = memory::image();
    let protocol = LoadedImage::new(loaded_image::Protocol {
        revision: loaded_image::REVISION,
        parent_handle: ptr::null_mut(),
        system_table: services::system_table(),
        device_handle: ptr::null_mut(),
        file_path: ptr::null_mut(),
        reserved: ptr::null_mut(),
        load_options_size: 0,
        load_options: ptr::null_mut(),
        image_base: ptr::with_exposed_provenance_mut(firmware.start as usize),
        image_size: firmware.end - firmware.start,
        image_code_type: efi::BOOT_SERVICES_CODE,
        image_data_type: efi::BOOT_SERVICES_DATA,
        unload: None,
    })?;
    let handle = services::install_protocol(None, &loaded_image::PROTOCOL_GUID, protocol.interface())?;
    // It lasts as long as boot services do.
    core::mem::forget(protocol);
    REGISTRY.lock().firmware = Some(Name(handle));
    Ok(handle)
}

/// The handle that [`init`] made; null before.
pub fn firmware() -> Handle {
    REGISTRY.lock().firmware.map_or(ptr::null_mut(), |name| name.0)
}

/// Loads an image from a copy of its file. `path` is its full device path with the end node.
///
/// # Errors
/// Why the file is no image that can be loaded.
pub fn load_from_buffer(parent: Handle, path: Option<&[u8]>, file: &[u8]) -> Result<Handle, LoadError> {
    measure(path, file)?;
    register(parent, path, Mapped::copy(file)?)
}

/// Loads the image that a boot option's whole device path names.
///
/// # Errors
/// Why it cannot be read, or is no image that can be loaded.
pub fn load_from_path(parent: Handle, path: &[u8]) -> Result<Handle, LoadError> {
    let file = file::read(true, path)?;
    load_from_buffer(parent, Some(path), file.bytes())
}

/// Loads an image whose file lies in the pages that it is to run from.
///
/// # Errors
/// Why the file is no image that can be loaded, or not in place.
pub fn load_in_place(parent: Handle, path: Option<&[u8]>, file: Buffer, length: usize) -> Result<Handle, LoadError> {
    measure(path, file.bytes().get(..length).ok_or(LoadError::NotFlat)?)?;
    register(parent, path, Mapped::in_place(file, length)?)
}

/// Measures the file before anything of it can run.
fn measure(path: Option<&[u8]>, file: &[u8]) -> Result<(), LoadError> {
    let image = pe::Image::parse(file)?;
    Ok(measurement::image(&image, file, path.unwrap_or_default())?)
}

fn register(parent: Handle, path: Option<&[u8]>, mapped: Mapped) -> Result<Handle, LoadError> {
    let image = Image::new(parent, path, mapped)?;
    {
        let mut registry = REGISTRY.lock();
        let drivers = registry.images.iter().filter(|image| image.kind == Kind::RuntimeDriver).count();
        if image.kind == Kind::RuntimeDriver && drivers >= DRIVER_CAPACITY {
            return Err(Status::OUT_OF_RESOURCES.into());
        }
        registry.images.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    }
    // From here on nothing of the registry is held: installing runs notifications.
    let handle = services::install_protocol(None, &loaded_image::PROTOCOL_GUID, image.protocol.interface())?;
    for (protocol, interface) in image.further_interfaces() {
        if let Err(status) = services::install_protocol(Some(handle), &protocol, interface) {
            uninstall(handle, &image);
            return Err(status.into());
        }
    }
    let mut registry = REGISTRY.lock();
    if registry.images.try_reserve(1).is_err() {
        drop(registry);
        uninstall(handle, &image);
        return Err(Status::OUT_OF_RESOURCES.into());
    }
    let address = image.memory.address();
    log::debug!("image at {address:#x}, entry at {:#x}", image.entry);
    registry.images.push(Image { handle: Name(handle), ..image });
    Ok(handle)
}

impl Image {
    fn new(parent: Handle, path: Option<&[u8]>, mapped: Mapped) -> Result<Self, Status> {
        let device_path = path.map(OwnedPath::copy).transpose()?;
        let mut device_handle = ptr::null_mut();
        let mut file_path = None;
        if let Some(full) = &device_path {
            let located = locate_device(full);
            let rest = located.map_or(full.as_ptr().cast_const(), |(handle, rest)| {
                device_handle = handle;
                rest
            });
            // SAFETY: `rest` points into the copy of a path that had its end node, at a node.
            let rest = unsafe { super::path::bytes(rest) };
            file_path = rest.map(OwnedPath::copy).transpose()?;
        }
        let (code, data) = mapped.kind.memory_types();
        let protocol = LoadedImage::new(loaded_image::Protocol {
            revision: loaded_image::REVISION,
            parent_handle: parent,
            system_table: services::system_table(),
            device_handle,
            file_path: file_path.as_ref().map_or(ptr::null_mut(), OwnedPath::as_ptr),
            reserved: ptr::null_mut(),
            load_options_size: 0,
            load_options: ptr::null_mut(),
            image_base: ptr::with_exposed_provenance_mut(mapped.base()),
            image_size: mapped.size,
            image_code_type: code,
            image_data_type: data,
            unload: None,
        })?;
        Ok(Self {
            handle: Name(ptr::null_mut()),
            kind: mapped.kind,
            entry: mapped.entry,
            state: State::Loaded,
            exit: None,
            protocol,
            device_path,
            _file_path: file_path,
            fixups: mapped.fixups,
            package_list: mapped.package_list,
            size: mapped.size,
            memory: mapped.memory,
        })
    }

    /// The protocols on its handle besides LoadedImage (UEFI 2.11, section 7.4.1).
    fn further_interfaces(&self) -> impl Iterator<Item = (Guid, *mut c_void)> {
        let path = self.device_path.as_ref().map_or(ptr::null_mut(), |path| path.as_ptr().cast());
        let list = self.package_list.map(ptr::with_exposed_provenance_mut);
        core::iter::once((loaded_image_device_path::PROTOCOL_GUID, path))
            .chain(list.map(|list| (hii_package_list::PROTOCOL_GUID, list)))
    }
}

/// The device whose path the image's path begins with, and the rest.
fn locate_device(path: &OwnedPath) -> Option<(Handle, *const device_path::Protocol)> {
    let start = path.as_ptr().cast_const();
    // SAFETY: the copy has an end node and lives until after the call.
    unsafe { services::locate_device_path(&device_path::PROTOCOL_GUID, start) }.ok()
}

/// Gives a loaded image its load options, which stay the caller's.
///
/// # Errors
/// `INVALID_PARAMETER` when the handle is no loaded image.
///
/// # Safety
/// `options` can be read and written as long as the image is loaded.
pub unsafe fn set_load_options(handle: Handle, options: *mut c_void, size: u32) -> Result<(), Status> {
    let mut registry = REGISTRY.lock();
    let image = registry.find(handle).ok_or(Status::INVALID_PARAMETER)?;
    let protocol = image.protocol.0.as_ptr();
    // SAFETY: the allocation lives as long as the image.
    unsafe {
        (*protocol).load_options = options;
        (*protocol).load_options_size = size;
    }
    Ok(())
}

/// Calls the entry point of a loaded image, and returns when it has returned or exited. An
/// application, and a driver that failed, is unloaded then.
///
/// # Errors
/// `INVALID_PARAMETER` when the handle is no image, or one that has been started.
pub fn start(handle: Handle) -> Result<Outcome, Status> {
    let mut frame = 0usize;
    let tpl = services::current_tpl();
    let entry = {
        let mut registry = REGISTRY.lock();
        registry.running.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
        let image = registry.find(handle).ok_or(Status::INVALID_PARAMETER)?;
        if image.state != State::Loaded {
            return Err(Status::INVALID_PARAMETER);
        }
        image.state = State::Running { frame: (&raw mut frame).expose_provenance() };
        let entry = image.entry;
        registry.running.push(Name(handle));
        entry
    };
    // SAFETY: the address is the entry point of an image whose instructions have been made
    // visible and executable, and that no one can free while it is running.
    let entry =
        unsafe { core::mem::transmute::<*const (), switch::EntryPoint>(ptr::with_exposed_provenance(address(entry))) };
    // SAFETY: `entry` as above; `frame` outlives the call.
    let status = unsafe { switch::enter(handle, services::system_table(), entry, &raw mut frame) };

    // An image may leave at a level that it has raised.
    if services::current_tpl() > tpl {
        services::restore_tpl(tpl);
    }
    let (outcome, stays) = {
        let mut registry = REGISTRY.lock();
        registry.running.pop();
        let image = registry.find(handle).ok_or(Status::INVALID_PARAMETER)?;
        let outcome = image.exit.take().unwrap_or(Outcome::plain(status));
        let stays = image.kind != Kind::Application && !outcome.status.is_error();
        image.state = if stays { State::Resident } else { State::Loaded };
        (outcome, stays)
    };
    if !stays {
        remove(handle);
    }
    Ok(outcome)
}

fn address(value: u64) -> usize {
    // Addresses of this machine: both are 64 bits.
    value as usize
}

/// `Exit()`: ends the image that runs. Returns only when there is nothing to end, with the status
/// that says so.
///
/// # Safety
/// Called by the image on behalf of itself: the frames it has built are not needed any more.
pub unsafe fn exit(handle: Handle, outcome: Outcome) -> Status {
    let frame = {
        let mut registry = REGISTRY.lock();
        let current = registry.running.last().copied();
        let Some(image) = registry.find(handle) else { return Status::INVALID_PARAMETER };
        match image.state {
            State::Loaded => None,
            State::Running { frame } if current == Some(Name(handle)) => {
                image.exit = Some(outcome);
                Some(frame)
            }
            _ => return Status::INVALID_PARAMETER,
        }
    };
    let Some(frame) = frame else {
        // An image that has not been started is simply unloaded.
        remove(handle);
        return Status::SUCCESS;
    };
    // SAFETY: the image runs, so `start` waits for it with this variable in its frame.
    let frame = unsafe { ptr::with_exposed_provenance::<usize>(frame).read() };
    // SAFETY: `enter` stored the frame before it called the image, which has not ended. The
    // frames since are the image's; this one and its callers' hold nothing to drop.
    unsafe { switch::leave(outcome.status, frame) }
}

/// `UnloadImage()`.
///
/// # Errors
/// `INVALID_PARAMETER` when the handle is no image; `UNSUPPORTED` when it has been started and
/// cannot be unloaded; what its unload member returns.
pub fn unload(handle: Handle) -> Result<(), Status> {
    let (state, member) = {
        let mut registry = REGISTRY.lock();
        let image = registry.find(handle).ok_or(Status::INVALID_PARAMETER)?;
        (image.state, image.protocol.unload_member())
    };
    match state {
        State::Loaded => {}
        State::Running { .. } => return Err(Status::UNSUPPORTED),
        State::Resident => {
            let member = member.ok_or(Status::UNSUPPORTED)?;
            // SAFETY: the image is resident, and has set the member for this purpose.
            let status = unsafe { member(handle) };
            if status.is_error() {
                return Err(status);
            }
        }
    }
    remove(handle);
    Ok(())
}

/// Takes an image that does not run out of the handle database and frees its memory.
fn remove(handle: Handle) {
    services::close_protocols_of_agent(handle);
    let image = {
        let mut registry = REGISTRY.lock();
        let Some(at) = registry.images.iter().position(|image| image.handle.0 == handle) else {
            return;
        };
        registry.images.swap_remove(at)
    };
    uninstall(handle, &image);
}

fn uninstall(handle: Handle, image: &Image) {
    // A client may have taken them away already; then there is nothing to do.
    for (protocol, interface) in image.further_interfaces() {
        let _ = services::uninstall_protocol(handle, &protocol, interface);
    }
    let _ = services::uninstall_protocol(handle, &loaded_image::PROTOCOL_GUID, image.protocol.interface());
}

/// Tells `keep` of each runtime driver that stays with the operating system, and makes all of it writable, as its
/// relocation by `SetVirtualAddressMap()` needs: loaders call that while they still run in the firmware's tables.
///
/// # Errors
/// The page table's refusal.
pub fn hand_over_drivers(mut keep: impl FnMut(Driver)) -> Result<(), MapError> {
    let registry = REGISTRY.lock();
    let stay = registry.images.iter().filter(|image| image.state != State::Loaded);
    for (image, fixups) in stay.filter_map(|image| Some((image, image.fixups.as_ref()?))) {
        memory::set_attributes(image.memory.range(), Access::ReadWriteExecute)?;
        let (fixups, fixup_count) = fixups.list();
        keep(Driver { base: image.memory.address(), size: image.size, fixups, fixup_count });
    }
    Ok(())
}

/// Whether a handle can be the parent of an image: one that has been loaded itself.
pub fn is_image(handle: Handle) -> bool {
    const LOADED_IMAGE: Guid = loaded_image::PROTOCOL_GUID;
    services::interface(handle, &LOADED_IMAGE).is_ok()
}
