//! What can be booted: the options that variables hold (UEFI 2.11, 3.1 and 3.3), and every file system that has a
//! loader in the place for removable media (3.5.1.1).
#![expect(unsafe_code, reason = "reads the device paths that handles carry")]

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use formats::bootorder;
use formats::device_path::{Builder, DevicePath, ShortForm};
use formats::load_option::{self, LoadOption};
use r_efi::efi::Status;
use r_efi::protocols::{device_path, simple_file_system};

use crate::efi::{image, services, variables};
use crate::{log, measurement};

/// The loader of a removable medium on AArch64 (UEFI 2.11, table 3-5).
pub const REMOVABLE_LOADER: &str = "/EFI/BOOT/BOOTAA64.EFI";

/// More options than anybody keeps: the rest of a BootOrder without end is not looked at.
const MAX_OPTIONS: usize = 256;

/// Something that may be started.
#[derive(Debug)]
pub struct BootOption {
    /// The number of its Boot#### variable; none for a file system.
    pub number: Option<u16>,
    /// What a person knows it by.
    pub name: String,
    /// Whether it is tried without being chosen.
    pub automatic: bool,
    /// The whole path of the image, or one of its short forms, or the path of a device.
    path: Vec<u8>,
    /// The image's load options.
    pub load_options: Vec<u8>,
}

impl BootOption {
    /// The whole paths that its path stands for now, the likeliest first.
    ///
    /// # Errors
    /// `OUT_OF_RESOURCES`.
    pub fn whole_paths(&self) -> Result<Vec<Vec<u8>>, Status> {
        let path = DevicePath::parse(&self.path).map_err(|_| Status::LOAD_ERROR)?;
        let mut paths = Vec::new();
        let form = ShortForm::of(path);
        if form.is_none() && has_file(path) {
            push(&mut paths, path.duplicate().map_err(out_of_resources)?)?;
        }
        for volume in volumes()? {
            let Ok(volume) = DevicePath::parse(&volume) else { continue };
            let whole = match form {
                Some(form) => form.on(path, volume).map_err(out_of_resources)?,
                // The path of a device stands for the loader on its file systems.
                None if !has_file(path) && path.remainder_of(volume).is_some() => {
                    Some(volume.duplicate().map_err(out_of_resources)?)
                }
                None => None,
            };
            let Some(whole) = whole else { continue };
            let parsed = DevicePath::parse(&whole).map_err(out_of_resources)?;
            let whole = if has_file(parsed) { whole } else { with_loader(parsed)? };
            push(&mut paths, whole)?;
        }
        Ok(paths)
    }
}

/// Whether the last node is the path of a file, or of what serves files by itself.
fn has_file(path: DevicePath<'_>) -> bool {
    use formats::device_path::{MEDIA_FILE_PATH, TYPE_MEDIA};
    path.nodes().any(|node| node.header.kind == TYPE_MEDIA && node.header.sub_kind == MEDIA_FILE_PATH)
}

fn with_loader(volume: DevicePath<'_>) -> Result<Vec<u8>, Status> {
    let loader = Builder::new().file_path(REMOVABLE_LOADER).finish().map_err(out_of_resources)?;
    let loader = DevicePath::parse(&loader).map_err(out_of_resources)?;
    volume.append_path(loader).map_err(out_of_resources)
}

fn out_of_resources(_: formats::device_path::Error) -> Status {
    Status::OUT_OF_RESOURCES
}

fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), Status> {
    list.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    list.push(value);
    Ok(())
}

/// The paths of the file systems, in the order of their discovery.
fn volumes() -> Result<Vec<Vec<u8>>, Status> {
    let mut paths = Vec::new();
    for handle in services::locate_handles(&simple_file_system::PROTOCOL_GUID)? {
        let Ok(path) = services::interface(handle, &device_path::PROTOCOL_GUID) else { continue };
        // SAFETY: the interface was installed as a device path, and no client runs while it is copied.
        if let Some(path) = unsafe { image::path_bytes(path.cast()) } {
            let mut copy = Vec::new();
            copy.try_reserve_exact(path.len()).map_err(|_| Status::OUT_OF_RESOURCES)?;
            copy.extend_from_slice(path);
            push(&mut paths, copy)?;
        }
    }
    Ok(paths)
}

/// The options of BootNext, which is deleted, and of BootOrder, measured as they are read.
///
/// # Errors
/// A variable that cannot be read or measured.
pub fn from_variables() -> Result<Vec<BootOption>, super::Error> {
    let mut options = Vec::new();
    if let Some(number) = read("BootNext")? {
        // It counts once, whatever comes of it (UEFI 2.11, 3.1.1).
        variables::set_global("BootNext", 0, &[]).map_err(super::Error::Manager)?;
        let next = load_option::boot_order(&number).next().map(option).transpose()?.flatten();
        // Who names it has chosen it, active or not.
        options.extend(next.map(|next| BootOption { automatic: true, ..next }));
    }
    let order = read("BootOrder")?.unwrap_or_default();
    for number in load_option::boot_order(&order).take(MAX_OPTIONS) {
        if let Some(option) = option(number)? {
            push(&mut options, option).map_err(super::Error::Manager)?;
        }
    }
    Ok(options)
}

fn read(name: &str) -> Result<Option<Vec<u8>>, super::Error> {
    let content = variables::global(name).map_err(super::Error::Manager)?;
    if let Some(content) = &content {
        measurement::boot_variable(name, content)?;
    }
    Ok(content)
}

/// The option of Boot#### `number`; one that is missing or malformed is said and left out.
fn option(number: u16) -> Result<Option<BootOption>, super::Error> {
    let Some(content) = read(&format!("Boot{number:04X}"))? else {
        log::warn!("Boot{number:04X}: there is no such variable");
        return Ok(None);
    };
    let option = match LoadOption::parse(&content) {
        Ok(option) => option,
        Err(error) => {
            log::warn!("Boot{number:04X}: {error}");
            return Ok(None);
        }
    };
    let path = option.path.duplicate().map_err(|_| super::Error::Manager(Status::OUT_OF_RESOURCES))?;
    Ok(Some(BootOption {
        number: Some(number),
        name: format!("Boot{number:04X} {}", option.description()),
        automatic: option.is_for_boot(),
        path,
        load_options: option.optional_data.to_vec(),
    }))
}

/// The file systems, those first that QEMU's `bootorder` names.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn from_volumes(order: &[u8]) -> Result<Vec<BootOption>, Status> {
    let mut found = Vec::new();
    for path in volumes()? {
        let Ok(device) = DevicePath::parse(&path) else { continue };
        let rank = bootorder::rank(order, device);
        let path = with_loader(device)?;
        let number = found.len();
        push(&mut found, (rank, number, path))?;
    }
    heap_sort::sort_by_key(&mut found, |(rank, number, _)| (*rank, *number));
    let mut options = Vec::new();
    for (number, (_, _, path)) in (1..).zip(found) {
        let name = format!("file system {number}");
        push(&mut options, BootOption { number: None, name, automatic: true, path, load_options: Vec::new() })?;
    }
    Ok(options)
}
