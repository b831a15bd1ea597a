//! A kernel without an EFI stub, by the arm64 boot protocol (Linux,
//! Documentation/arch/arm64/booting.rst).

use core::convert::Infallible;
use core::ops::Range;

use formats::arm64_image::Header;
use formats::device_tree::{Seeds, with_boot_arguments, with_event_log};
use formats::fw_cfg::key;
use formats::machine::Machine;
use measured::measure::{Action, Blob};
use r_efi::efi;

use super::{Error, Item};
use crate::arch::{self, cache};
use crate::devices::fw_cfg::FwCfg;
use crate::efi::event_log;
use crate::efi::image::Buffer;
use crate::{log, measurement, memory, realm};

/// What the base of a kernel is aligned to.
const BASE_ALIGNMENT: u64 = 2 << 20;

/// The most that a device tree may have, and its alignment so that it crosses no boundary of
/// that size.
const TREE_LIMIT: u64 = 2 << 20;

/// Places in RAM that are tried for a kernel that wants its start.
const ATTEMPTS: u64 = 256;

/// Kernel and initrd lie in one window of this size that is aligned to [`WINDOW_ALIGNMENT`].
const WINDOW: u64 = 32 << 30;
const WINDOW_ALIGNMENT: u64 = 1 << 30;

/// Starts the kernel whose file is the first `length` bytes of `file`, with the initrd of
/// `initrd_size` bytes that `fw_cfg` has.
pub fn boot(
    header: &Header,
    file: Buffer,
    length: usize,
    fw_cfg: &mut FwCfg,
    initrd_size: u32,
    command_line: &str,
    tree: &[u8],
) -> Result<Infallible, Error> {
    let kernel = place(header, file, length, tree)?;
    let initrd = initrd(fw_cfg, initrd_size, &range(&kernel))?;
    let initrd_range = initrd.as_ref().map(range);
    let arguments = (!command_line.is_empty()).then_some(command_line);
    let seeds = if realm::is_realm() { Seeds::Remove } else { Seeds::Keep };
    let mut tree = with_boot_arguments(tree, arguments, initrd_range.clone(), seeds)?;
    if let Some(log) = event_log::place() {
        tree = with_event_log(&tree, log)?;
    }
    let tree_size = tree.len() as u64;
    if tree_size > TREE_LIMIT {
        return Err(Error::TooLarge(Item::DeviceTree, tree_size));
    }
    let mut table = Buffer::allocate(efi::LOADER_DATA, tree_size, TREE_LIMIT)
        .map_err(|_| Error::TooLarge(Item::DeviceTree, tree_size))?;
    table.bytes_mut().copy_from_slice(&tree);

    let (kernel_range, initrd_range) = (range(&kernel), initrd_range.unwrap_or_default());
    log::debug!(
        "kernel: {:#x}..{:#x}, initrd: {:#x}..{:#x}",
        kernel_range.start,
        kernel_range.end,
        initrd_range.start,
        initrd_range.end
    );
    // The kernel begins with its caches off, and reads what is in memory.
    cache::clean_invalidate(range(&kernel));
    cache::clean_invalidate(range(&table));
    if let Some(initrd) = &initrd {
        cache::clean_invalidate(range(initrd));
    }
    measurement::action(Action::ExitBootServices)?;
    measurement::action(Action::ExitBootServicesSucceeded)?;
    memory::shared::close().map_err(memory::Error::from)?;
    // Both alignments are below the address space's end by far.
    let entry = kernel.address().saturating_add(header.text_offset);
    arch::enter_kernel(entry, table.address())
}

fn range(buffer: &Buffer) -> Range<u64> {
    buffer.address()..buffer.address().saturating_add(buffer.bytes().len() as u64)
}

/// Reads the initrd now, as the kernel cannot ask for it, to where it can map it.
fn initrd(fw_cfg: &mut FwCfg, size: u32, kernel: &Range<u64>) -> Result<Option<Buffer>, Error> {
    if size == 0 {
        measurement::blob(Blob::Initrd, &[])?;
        return Ok(None);
    }
    let too_large = || Error::TooLarge(Item::Initrd, size.into());
    let window_end = (kernel.start & !(WINDOW_ALIGNMENT - 1)).saturating_add(WINDOW);
    let mut buffer = Buffer::below(window_end, size.into()).map_err(|_| too_large())?;
    // Free memory may begin far below the kernel.
    let window = (buffer.address().min(kernel.start) & !(WINDOW_ALIGNMENT - 1)).saturating_add(WINDOW);
    if range(&buffer).end.max(kernel.end) > window {
        return Err(too_large());
    }
    fw_cfg.read(key::INITRD_DATA, buffer.bytes_mut()).map_err(|error| Error::Fetch(Item::Initrd, error))?;
    measurement::blob(Blob::Initrd, buffer.bytes())?;
    Ok(Some(buffer))
}

/// Puts the kernel where its header wants it: a buffer whose start is the kernel's base.
fn place(header: &Header, mut file: Buffer, length: usize, tree: &[u8]) -> Result<Buffer, Error> {
    let offset = header.text_offset;
    let size = offset.saturating_add(header.image_size.max(length as u64));
    if offset == 0 && header.place_anywhere && size <= file.bytes().len() as u64 {
        file.bytes_mut().get_mut(length..).unwrap_or_default().fill(0);
        return Ok(file);
    }
    let mut kernel = if header.place_anywhere {
        Buffer::for_kernel(size).map_err(|_| Error::TooLarge(Item::Kernel, size))?
    } else {
        at_start_of_ram(size, tree)?
    };
    let bytes = kernel.bytes_mut().get_mut(offset as usize..).unwrap_or_default();
    let source = file.bytes().get(..length).unwrap_or_default();
    let (image, rest) = bytes.split_at_mut_checked(source.len()).unwrap_or_default();
    image.copy_from_slice(source);
    rest.fill(0);
    Ok(kernel)
}

/// The lowest free place of the first RAM: a kernel of this kind uses no memory below itself.
fn at_start_of_ram(size: u64, tree: &[u8]) -> Result<Buffer, Error> {
    let machine = Machine::from_device_tree(tree)?;
    let start = machine.memory.first().map_or(0, |region| region.base());
    let start = start.next_multiple_of(BASE_ALIGNMENT);
    (0..ATTEMPTS)
        .map(|attempt| start.saturating_add(attempt.saturating_mul(BASE_ALIGNMENT)))
        .find_map(|base| Buffer::at(base, size).ok())
        .ok_or(Error::NoRoomAtStart(size))
}
