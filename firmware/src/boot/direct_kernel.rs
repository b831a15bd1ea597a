//! Direct kernel boot: kernel, initrd and command line from fw_cfg, as `-kernel`, `-initrd` and
//! `-append` give them (QEMU, docs/specs/fw_cfg.rst).
//!
//! The kernel is read to where it runs. The initrd is read when the kernel asks for it, to where
//! the kernel wants it; in a realm it is read before, so that it is measured before anything runs.
//! Each is the host's word: what is used has been copied to private memory first and is not read
//! again.
#![expect(unsafe_code, reason = "hands memory over to the kernel's image")]

use alloc::string::String;
use alloc::vec::Vec;
use core::ptr;

use formats::device_path::{Builder, Guid, guid};
use formats::fw_cfg::key;
use formats::{arm64_image, char16, pe};
use measured::measure::Blob;
use r_efi::efi::{self, Handle, Status};
use spin::Mutex;

use super::arm64;
use super::hand_over::{announce, install_device_tree};
use super::{Error, Item, Platform, manager};
use crate::devices::fw_cfg::FwCfg;
use crate::efi::image::{self, Buffer, LoadError};
use crate::efi::{protocols, services};
use crate::{log, measurement, realm};

/// The longest command line that is accepted, in bytes with its NUL. What a kernel takes is less
/// and its own to say (arm64 Linux: 2048); other EFI programs take more.
pub const COMMAND_LINE_LIMIT: usize = 64 * 1024;

/// QEMU_KERNEL_LOADER_FS_MEDIA_GUID, under which EDK2 has what QEMU's loader options name.
const KERNEL_MEDIA: Guid = guid(0x1428_f772, 0xb64a, 0x441e, [0xb8, 0xc3, 0x9e, 0xbd, 0xd7, 0xf8, 0x93, 0xc7]);

/// Where the initrd comes from when the kernel asks for it.
enum Initrd {
    /// A plain VM: from the device, to where the kernel wants it.
    Device(FwCfg),
    /// A realm: from the copy that has been measured.
    Measured(Buffer),
}

static INITRD: Mutex<Option<Initrd>> = Mutex::new(None);

/// Boots the kernel that the VMM gives. Gives the device back when there is no kernel.
///
/// # Errors
/// Why the boot failed, and for which item.
pub fn direct_kernel(mut fw_cfg: FwCfg, platform: &Platform<'_>) -> Result<FwCfg, Error> {
    let command_line = command_line(&mut fw_cfg)?;
    let initrd_size = size(&mut fw_cfg, Item::Initrd, key::INITRD_SIZE)?;
    let Some((kernel, length)) = kernel(&mut fw_cfg)? else {
        return Ok(fw_cfg);
    };
    let file = kernel.bytes().get(..length).unwrap_or_default();
    let image = match pe::Image::parse(file) {
        Ok(image) => image,
        Err(pe::Error::NoDosSignature | pe::Error::NoPeSignature) => {
            announce()?;
            measurement::blob(Blob::Kernel, file)?;
            let header = arm64_image::Header::parse(file)?;
            match arm64::boot(&header, kernel, length, &mut fw_cfg, initrd_size, &command_line, platform.tree)? {}
        }
        Err(error) => return Err(Error::Load(error.into())),
    };

    install_device_tree(platform.tree)?;
    offer_initrd(fw_cfg, initrd_size)?;
    // A kernel drives its disks itself; a shell or a loader has them from here.
    if !arm64_image::is_linux(file) {
        manager::find_disks(platform)?;
    }
    announce()?;
    let handle = load(&image, kernel, length).map_err(Error::Load)?;
    if !command_line.is_empty() {
        set_command_line(handle, &command_line)?;
    }
    services::signal_ready_to_boot();
    let outcome = super::start(handle).map_err(|status| Error::Service(Item::Kernel, status))?;
    Err(Error::Returned(outcome.status))
}

fn load(image: &pe::Image, kernel: Buffer, length: usize) -> Result<Handle, LoadError> {
    let media = || Builder::new().vendor_media(&KERNEL_MEDIA);
    // Programs take for granted that they come from a device with a path: iPXE ends without.
    protocols::install_device_path(media())?;
    let path = media().file_path("kernel").finish().map_err(|_| Status::OUT_OF_RESOURCES)?;
    let parent = image::firmware();
    // A runtime driver goes to memory of another type.
    let stays = image.laid_out_flat() && image.subsystem() != pe::Subsystem::RuntimeDriver;
    if stays && kernel.bytes().len() >= image.size_of_image() as usize {
        image::load_in_place(parent, Some(&path), kernel, length)
    } else {
        let file = kernel.bytes().get(..length).unwrap_or_default();
        image::load_from_buffer(parent, Some(&path), file)
    }
}

/// A size that fw_cfg gives.
fn size(fw_cfg: &mut FwCfg, item: Item, key: u16) -> Result<u32, Error> {
    fw_cfg.read_u32(key).map_err(|error| Error::Fetch(item, error))
}

/// Reads the kernel to pages where it can run, and returns its length.
/// There is none when it has no bytes.
fn kernel(fw_cfg: &mut FwCfg) -> Result<Option<(Buffer, usize)>, Error> {
    let setup_size = size(fw_cfg, Item::Kernel, key::SETUP_SIZE)? as usize;
    let data_size = size(fw_cfg, Item::Kernel, key::KERNEL_SIZE)? as usize;
    if data_size == 0 {
        measurement::blob(Blob::Kernel, &[])?;
        return Ok(None);
    }
    // Two lengths of 32 bits: the sum fits 64.
    let length = setup_size + data_size;
    let wanted = if setup_size == 0 { memory_size(fw_cfg, data_size)? } else { 0 };
    let too_large = |_| Error::TooLarge(Item::Kernel, (length as u64).max(wanted));
    let mut kernel = Buffer::for_kernel((length as u64).max(wanted)).map_err(too_large)?;
    let (setup, rest) = kernel.bytes_mut().split_at_mut_checked(setup_size).unwrap_or_default();
    let data = rest.get_mut(..data_size).unwrap_or_default();
    for (key, bytes) in [(key::SETUP_DATA, setup), (key::KERNEL_DATA, data)] {
        if !bytes.is_empty() {
            fw_cfg.read(key, bytes).map_err(|error| Error::Fetch(Item::Kernel, error))?;
        }
    }
    Ok(Some((kernel, length)))
}

/// The memory that an arm64 Image says it needs; zero for another file. A first look at the
/// header, only to choose the pages: everything is checked on the copy that is used.
fn memory_size(fw_cfg: &mut FwCfg, data_size: usize) -> Result<u64, Error> {
    let mut start = [0; arm64_image::Header::LEN];
    if data_size < start.len() {
        return Ok(0);
    }
    fw_cfg.read(key::KERNEL_DATA, &mut start).map_err(|error| Error::Fetch(Item::Kernel, error))?;
    Ok(arm64_image::Header::parse(&start).map_or(0, |header| header.image_size.saturating_add(header.text_offset)))
}

/// The command line without its NUL.
fn command_line(fw_cfg: &mut FwCfg) -> Result<String, Error> {
    let size = size(fw_cfg, Item::CommandLine, key::CMDLINE_SIZE)?;
    let length = usize::try_from(size).ok().filter(|&length| length <= COMMAND_LINE_LIMIT);
    let Some(length) = length else {
        return Err(Error::CommandLineTooLong(size.into(), COMMAND_LINE_LIMIT));
    };
    let mut bytes = Vec::new();
    if bytes.try_reserve_exact(length).is_err() {
        return Err(Error::TooLarge(Item::CommandLine, size.into()));
    }
    bytes.resize(length, 0);
    if length > 0 {
        let fetch = |error| Error::Fetch(Item::CommandLine, error);
        fw_cfg.read(key::CMDLINE_DATA, &mut bytes).map_err(fetch)?;
    }
    measurement::blob(Blob::CommandLine, &bytes)?;
    if bytes.last() == Some(&0) {
        bytes.pop();
    }
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err(Error::CommandLineNul(at, bytes.len()));
    }
    String::from_utf8(bytes).map_err(|error| Error::CommandLineEncoding(error.utf8_error().valid_up_to()))
}

/// Gives the image its command line as load options: UCS-2 with a NUL.
fn set_command_line(handle: Handle, command_line: &str) -> Result<(), Error> {
    let failed = |status| Error::Service(Item::CommandLine, status);
    let units = char16::from_str(command_line).map_err(|_| failed(Status::OUT_OF_RESOURCES))?;
    // At most 64 Ki units of two bytes.
    let size = (units.len() * 2) as u32;
    let memory = services::allocate_pool(efi::LOADER_DATA, units.len() * 2).map_err(failed)?.cast::<u16>();
    // SAFETY: the allocation just made has room for the units, is 8-byte aligned, and is given to
    // the image for good.
    unsafe {
        ptr::copy_nonoverlapping(units.as_ptr(), memory.as_ptr(), units.len());
        image::set_load_options(handle, memory.as_ptr().cast(), size).map_err(failed)
    }
}

/// Offers the initrd to whoever asks.
fn offer_initrd(mut fw_cfg: FwCfg, size: u32) -> Result<(), Error> {
    if size == 0 {
        return Ok(measurement::blob(Blob::Initrd, &[])?);
    }
    // A size that no memory can hold is told now, by name, and not by a kernel's panic later.
    let mut buffer = Buffer::allocate(efi::BOOT_SERVICES_DATA, size.into(), 1)
        .map_err(|_| Error::TooLarge(Item::Initrd, size.into()))?;
    let source = if realm::is_realm() {
        fw_cfg.read(key::INITRD_DATA, buffer.bytes_mut()).map_err(|error| Error::Fetch(Item::Initrd, error))?;
        measurement::blob(Blob::Initrd, buffer.bytes())?;
        Initrd::Measured(buffer)
    } else {
        drop(buffer);
        Initrd::Device(fw_cfg)
    };
    *INITRD.lock() = Some(source);
    protocols::install_initrd(size as usize, read_initrd).map_err(|status| Error::Service(Item::Initrd, status))
}

fn read_initrd(buffer: &mut [u8]) -> Result<(), Status> {
    match INITRD.lock().as_mut().ok_or(Status::NOT_FOUND)? {
        Initrd::Device(fw_cfg) => fw_cfg.read(key::INITRD_DATA, buffer).map_err(|error| {
            log::error!("initrd: fw_cfg: {error}");
            Status::DEVICE_ERROR
        }),
        Initrd::Measured(copy) => {
            buffer.copy_from_slice(copy.bytes().get(..buffer.len()).ok_or(Status::DEVICE_ERROR)?);
            Ok(())
        }
    }
}
