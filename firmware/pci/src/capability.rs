//! The list of capabilities (PCI Local Bus 3.0, section 6.7).

use crate::{Address, ConfigSpace, register};

/// Vendor-specific capabilities, which virtio's are.
pub const VENDOR_SPECIFIC: u8 = 0x09;

/// More than fit between the header and the end of the first 256 bytes.
const MAX_CAPABILITIES: usize = 48;
const HEADER_END: u16 = 0x40;
const CAPABILITY_LIST: u32 = 1 << 20;
/// Bytes that are read of one: as many as virtio's longest that is needed has.
pub const LENGTH: usize = 20;

/// The capabilities of `id`, as far as they are within the first 256 bytes. A list in a circle ends.
pub fn capabilities<C: ConfigSpace>(config: &C, address: Address, id: u8) -> impl Iterator<Item = [u8; LENGTH]> {
    let listed = config.read32(address, register::COMMAND) & CAPABILITY_LIST != 0;
    let mut next = if listed { config.read32(address, register::CAPABILITIES) as u8 } else { 0 };
    let all = core::iter::from_fn(move || {
        let offset = u16::from(next & !3);
        if offset < HEADER_END {
            return None;
        }
        let [_, following, ..] = config.read32(address, offset).to_le_bytes();
        next = following;
        Some(offset)
    });
    all.take(MAX_CAPABILITIES).filter_map(move |offset| {
        let mut bytes = [0; LENGTH];
        for (word, at) in bytes.as_chunks_mut().0.iter_mut().zip((offset..0x100).step_by(4)) {
            *word = config.read32(address, at).to_le_bytes();
        }
        let [found, ..] = bytes;
        (found == id).then_some(bytes)
    })
}
