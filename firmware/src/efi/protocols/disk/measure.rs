//! The GPT of each disk, as it was read when the disk was divided, and measured once when something on it is used to
//! boot (TCG PC Client Platform Firmware Profile 1.05, 3.3.4.6: PCR 5).

use alloc::vec::Vec;

use r_efi::efi::{Handle, Status};
use spin::Mutex;
use storage::partitions::Gpt;
use uefi_core::handles::Handle as Name;

use super::super::super::services::handle_from;
use crate::measurement;

struct Disk {
    handle: Name,
    /// What its partitions were made from: measured is what was used, not what the disk says by then.
    gpt: Gpt,
    partitions: Vec<Name>,
    measured: bool,
}

static DISKS: Mutex<Vec<Disk>> = Mutex::new(Vec::new());

/// Keeps the GPT of a disk.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn keep(handle: Handle, gpt: Gpt) -> Result<(), Status> {
    let mut disks = DISKS.lock();
    disks.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    disks.push(Disk { handle: handle_from(handle), gpt, partitions: Vec::new(), measured: false });
    Ok(())
}

/// Says which handle a partition of a disk has.
///
/// # Errors
/// `OUT_OF_RESOURCES`.
pub fn add_partition(disk: Handle, partition: Handle) -> Result<(), Status> {
    let mut disks = DISKS.lock();
    let Some(disk) = disks.iter_mut().find(|known| known.handle == handle_from(disk)) else { return Ok(()) };
    disk.partitions.try_reserve(1).map_err(|_| Status::OUT_OF_RESOURCES)?;
    disk.partitions.push(handle_from(partition));
    Ok(())
}

/// Forgets a disk. When it is divided again, it is measured again.
pub fn forget(handle: Handle) {
    DISKS.lock().retain(|disk| disk.handle != handle_from(handle));
}

/// Measures the GPT that `handle` is a partition of, or the disk of, once. Without one there is nothing to measure.
///
/// # Errors
/// [`measurement::Error`]: nothing on the disk may be used then.
pub fn measure(handle: Handle) -> Result<(), measurement::Error> {
    let name = handle_from(handle);
    let mut disks = DISKS.lock();
    let disk = disks.iter_mut().find(|disk| disk.handle == name || disk.partitions.contains(&name));
    if let Some(disk) = disk
        && !disk.measured
    {
        measurement::gpt(&disk.gpt)?;
        disk.measured = true;
    }
    Ok(())
}
