//! EFI_FILE_INFO, EFI_FILE_SYSTEM_INFO and EFI_FILE_SYSTEM_VOLUME_LABEL (UEFI 2.11, 13.5.15 to 13.5.18).
#![expect(unsafe_code, reason = "writes through the pointers of EFI clients")]

use alloc::vec::Vec;
use core::ffi::c_void;

use formats::char16::read_nul_terminated;
use r_efi::efi::{Guid, Status};
use r_efi::protocols::file as protocol;
use storage::fat::{Changes, DateTime, ShortEntry, Timestamp};

use super::file::File;
use super::{now, path, status};

/// Bytes before the name in EFI_FILE_INFO and before the label in EFI_FILE_SYSTEM_INFO.
pub(super) const FILE_NAME: usize = 80;
const LABEL: usize = 36;
/// EFI_UNSPECIFIED_TIMEZONE: what stands on a FAT volume is local time.
const NO_TIME_ZONE: u16 = 0x7ff;

/// Writes an answer to the caller's memory, if it has room.
///
/// # Safety
/// `size` points to the size of `buffer`, which is null or has so many bytes.
pub(super) unsafe fn hand_out(bytes: &[u8], size: *mut usize, buffer: *mut c_void) -> Result<(), Status> {
    // SAFETY: the caller's promise.
    let room = unsafe { size.read_unaligned() };
    // SAFETY: likewise.
    unsafe { size.write_unaligned(bytes.len()) };
    if room < bytes.len() {
        return Err(Status::BUFFER_TOO_SMALL);
    }
    if buffer.is_null() && !bytes.is_empty() {
        return Err(Status::INVALID_PARAMETER);
    }
    // SAFETY: the buffer has room for the bytes, which are the firmware's own.
    unsafe { buffer.cast::<u8>().copy_from(bytes.as_ptr(), bytes.len()) };
    Ok(())
}

/// One structure: the fields of a fixed size, then a string.
fn structure(fields: &[&[u8]], string: &[u16]) -> Result<Vec<u8>, Status> {
    let fixed: usize = fields.iter().map(|field| field.len()).sum();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(fixed + (string.len() + 1) * 2).map_err(|_| Status::OUT_OF_RESOURCES)?;
    fields.iter().for_each(|field| bytes.extend_from_slice(field));
    bytes.extend(string.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
    Ok(bytes)
}

/// EFI_TIME.
fn time(at: Timestamp) -> [u8; 16] {
    let Some(at) = at.date_time() else { return [0; 16] };
    let [y0, y1] = at.year.to_le_bytes();
    let [z0, z1] = NO_TIME_ZONE.to_le_bytes();
    [y0, y1, at.month, at.day, at.hour, at.minute, at.second, 0, 0, 0, 0, 0, z0, z1, 0, 0]
}

/// The EFI_TIME that a file is given; `None` for one of zeroes, which changes nothing.
fn new_time(bytes: &[u8]) -> Result<Option<Timestamp>, Status> {
    let Some(&[y0, y1, month, day, hour, minute, second, ..]) = bytes.first_chunk::<16>() else {
        return Err(Status::BAD_BUFFER_SIZE);
    };
    if bytes.iter().take(8).all(|byte| *byte == 0) {
        return Ok(None);
    }
    let year = u16::from_le_bytes([y0, y1]);
    let valid = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    if !valid {
        return Err(Status::INVALID_PARAMETER);
    }
    Ok(Some(Timestamp::new(DateTime { year, month, day, hour, minute, second })))
}

/// EFI_FILE_INFO.
pub(super) fn of_file(name: &[u16], short: &ShortEntry, cluster_size: u32) -> Result<Vec<u8>, Status> {
    let size = u64::from(short.size.get());
    let length = (FILE_NAME + (name.len() + 1) * 2) as u64;
    let physical = size.next_multiple_of(cluster_size.into());
    let attributes = u64::from(short.attributes) & protocol::VALID_ATTR;
    let times = [short.created(), short.accessed(), short.written()].map(time);
    let [created, accessed, written] = &times;
    structure(
        &[
            &length.to_le_bytes(),
            &size.to_le_bytes(),
            &physical.to_le_bytes(),
            created,
            accessed,
            written,
            &attributes.to_le_bytes(),
        ],
        name,
    )
}

/// What `GetInfo()` answers.
pub(super) fn get(file: &File, kind: &Guid) -> Result<Vec<u8>, Status> {
    file.shared.with(|volume| {
        let entry = *volume.entry(file.node).map_err(status)?;
        match *kind {
            protocol::INFO_ID => of_file(entry.name.units(), &entry.short, volume.cluster_size()),
            protocol::SYSTEM_INFO_ID => {
                let (space, label) = (volume.space().map_err(status)?, volume.label().map_err(status)?);
                let length = (LABEL + (label.units().len() + 1) * 2) as u64;
                let read_only = u64::from(volume.device().is_read_only());
                let (total, free) = (space.total.to_le_bytes(), space.free.to_le_bytes());
                let block = space.cluster_size.to_le_bytes();
                structure(&[&length.to_le_bytes(), &read_only.to_le_bytes(), &total, &free, &block], label.units())
            }
            protocol::SYSTEM_VOLUME_LABEL_ID => structure(&[], volume.label().map_err(status)?.units()),
            _ => Err(Status::UNSUPPORTED),
        }
    })
}

/// The string behind the first `fixed` bytes.
fn string(bytes: &[u8], fixed: usize) -> Result<Vec<u16>, Status> {
    let rest = bytes.get(fixed..).ok_or(Status::BAD_BUFFER_SIZE)?;
    let (chars, _) = read_nul_terminated(rest).ok_or(Status::BAD_BUFFER_SIZE)?;
    Ok(chars.units().collect())
}

/// `SetInfo()`.
pub(super) fn set(file: &File, kind: &Guid, bytes: &[u8]) -> Result<(), Status> {
    let label_at = match *kind {
        protocol::INFO_ID => None,
        protocol::SYSTEM_INFO_ID => Some(LABEL),
        protocol::SYSTEM_VOLUME_LABEL_ID => Some(0),
        _ => return Err(Status::UNSUPPORTED),
    };
    file.not_read_only()?;
    match label_at {
        Some(at) => {
            let (label, now) = (string(bytes, at)?, now());
            file.shared.with(|volume| volume.set_label(&label, now).map_err(status))
        }
        None => set_file(file, bytes),
    }
}

fn field(bytes: &[u8], at: usize) -> Result<u64, Status> {
    let field = bytes.get(at..).and_then(|bytes| bytes.first_chunk()).ok_or(Status::BAD_BUFFER_SIZE)?;
    Ok(u64::from_le_bytes(*field))
}

/// Changes what differs from what is: attributes, times, name and size, in this order; all is checked before.
fn set_file(file: &File, bytes: &[u8]) -> Result<(), Status> {
    let name = string(bytes, FILE_NAME)?;
    let (size, attributes) = (field(bytes, 8)?, field(bytes, 72)?);
    let times = |at: usize| new_time(bytes.get(at..at + 16).unwrap_or_default());
    let changes = Changes {
        attributes: Some((attributes & protocol::VALID_ATTR) as u8),
        created: times(24)?,
        accessed: times(40)?,
        written: times(56)?,
    };
    if attributes & !protocol::VALID_ATTR != 0 {
        return Err(Status::INVALID_PARAMETER);
    }
    let now = now();
    file.shared.with(|volume| {
        let entry = *volume.entry(file.node).map_err(status)?;
        let is_directory = entry.short.is_directory();
        let resized = size != u64::from(entry.short.size.get()) && !is_directory;
        let renamed = !name.is_empty() && name != entry.name.units();
        let differs = |new: Option<Timestamp>, old: Timestamp| new.is_some_and(|new| new != old);
        let retimed = differs(changes.created, entry.short.created())
            || changes.accessed.is_some_and(|new| new.date != entry.short.accessed().date)
            || differs(changes.written, entry.short.written());
        let retyped = (attributes & protocol::DIRECTORY != 0) != is_directory;
        let read_only_handle = !file.writable && (resized || renamed || retimed);
        if retyped || read_only_handle || (is_directory && size != 0 && size != u64::from(entry.short.size.get())) {
            return Err(Status::ACCESS_DENIED);
        }
        let reattributed = attributes != u64::from(entry.short.attributes) & protocol::VALID_ATTR;
        if volume.is_root(file.node) {
            let unchanged = !reattributed && !renamed && !retimed;
            return if unchanged { Ok(()) } else { Err(Status::ACCESS_DENIED) };
        }
        if renamed {
            // A path leads from the directory that the file is in.
            let parent = volume.open_parent(file.node).map_err(status)?;
            let place = path::follow(volume, parent, &name);
            volume.close(parent);
            let place = place?;
            let outcome = volume.rename(file.node, place.directory, place.name).map_err(status);
            volume.close(place.directory);
            outcome?;
        }
        if resized {
            volume.set_size(file.node, size, now).map_err(status)?;
        }
        if reattributed || retimed {
            volume.change(file.node, changes).map_err(status)?;
        }
        Ok(())
    })
}
