//! What is done once before anything is booted: the device tree handed on, the line drawn in the registers.

use core::ffi::c_void;
use core::ptr;

use formats::device_tree::{Seeds, clean_chosen, with_event_log};
use measured::measure::Action;
use r_efi::efi;

use super::{Error, Item};
use crate::efi::image::Buffer;
use crate::efi::{event_log, services};
use crate::{measurement, realm};

/// Hands the device tree on as a configuration table (EFI_DTB_TABLE_GUID; UEFI 2.10, 4.6.1),
/// without what would speak to a kernel past the firmware.
///
/// # Errors
/// [`Error::Service`], [`Error::TooLarge`], [`Error::Edit`].
pub fn install_device_tree(tree: &[u8]) -> Result<(), Error> {
    let failed = |status| Error::Service(Item::DeviceTree, status);
    let with_log;
    let tree = match event_log::place() {
        Some(log) => {
            with_log = with_event_log(tree, log)?;
            &with_log
        }
        None => tree,
    };
    let mut table = Buffer::allocate(efi::ACPI_RECLAIM_MEMORY, tree.len() as u64, 1)
        .map_err(|_| Error::TooLarge(Item::DeviceTree, tree.len() as u64))?;
    table.bytes_mut().copy_from_slice(tree);
    let seeds = if realm::is_realm() { Seeds::Remove } else { Seeds::Keep };
    clean_chosen(table.bytes_mut(), seeds)?;
    let table = table.into_pages();
    let table: *mut c_void = ptr::with_exposed_provenance_mut(table as usize);
    services::install_configuration_table(&efi::DTB_TABLE_GUID, table).map_err(failed)
}

/// Draws the line between the firmware and what it boots.
///
/// # Errors
/// [`Error::Measurement`].
pub fn announce() -> Result<(), Error> {
    measurement::action(Action::CallingApplication)?;
    Ok(measurement::separators()?)
}
