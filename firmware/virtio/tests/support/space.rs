//! Configuration space that is the bytes of an input: whatever a fuzzer makes up, or functions that are as they should
//! be.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use pci::{Address, ConfigSpace, Function, VENDOR_SPECIFIC, Window, assign, capabilities, scan};
use virtio::pci::Layout;

/// Registers whose values are the input's, and of which the input says which bits can be written.
struct Space<'a> {
    data: &'a [u8],
    written: RefCell<BTreeMap<(Address, u16), u32>>,
}

/// Bytes from one function's registers to those of the next, and from the values to the bits that can be written.
const STRIDE: usize = 64;
const MASKS: usize = 17;

fn number(address: Address) -> usize {
    usize::from(address.bus) * 7 + usize::from(address.device) * 3 + usize::from(address.function)
}

impl Space<'_> {
    fn word(&self, address: Address, offset: u16, salt: usize) -> u32 {
        // A run is to be short: few devices.
        if address.device > 3 {
            return !0;
        }
        let at = (number(address) * STRIDE + usize::from(offset) + salt) % self.data.len().max(1);
        self.data.get(at..at + 4).map_or(!0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
    }

    fn write(&self, address: Address, offset: u16, value: u32, mask: u32) {
        let mask = mask & self.word(address, offset, MASKS);
        let value = self.read32(address, offset) & !mask | value & mask;
        self.written.borrow_mut().insert((address, offset), value);
    }
}

impl ConfigSpace for Space<'_> {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let written = self.written.borrow().get(&(address, offset)).copied();
        written.unwrap_or_else(|| self.word(address, offset, 0))
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.write(address, offset, value, !0);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.write(address, offset, value.into(), 0xffff);
    }
}

/// Buses are scanned, BARs sized and placed, capabilities followed. Returns what there is, and how many of the
/// functions are virtio devices.
pub fn exercise(data: &[u8]) -> (Vec<Function>, usize) {
    let space = Space { data, written: RefCell::default() };
    let windows = [
        Window { range: 0x1000_0000..0x3eff_0000, is_64: false },
        Window { range: 0x80_0000_0000..0x100_0000_0000, is_64: true },
    ];
    let mut functions = scan(&space, 0, 3);
    assign(&space, &mut functions, &windows);
    let mut layouts = 0;
    for function in &functions {
        // What is placed is within a window.
        for (base, size) in function.bars.iter().filter_map(|bar| Some((bar.base?, bar.size))) {
            let end = base.checked_add(size).unwrap();
            assert!(windows.iter().any(|window| window.range.start <= base && end <= window.range.end));
        }
        let found: Vec<_> = capabilities(&space, function.address, VENDOR_SPECIFIC).collect();
        layouts += usize::from(Layout::from_capabilities(found.iter().map(<[u8; 20]>::as_slice)).is_ok());
    }
    (functions, layouts)
}

/// A virtio device, a bridge with another behind it, and a device of several functions.
pub fn honest() -> Vec<u8> {
    let mut data = vec![0; 20 * STRIDE];
    let mut put = |device: u8, offset: usize, bytes: &[u8]| {
        let at = number(Address { bus: 0, device, function: 0 }) * STRIDE + offset;
        data[at..at + bytes.len()].copy_from_slice(bytes);
    };
    for device in [0, 2] {
        put(device, 0x00, &[0xf4, 0x1a, 0x42, 0x10]);
        // There are capabilities.
        put(device, 0x06, &[0x10, 0]);
        put(device, 0x0e, &[if device == 2 { 0x80 } else { 0 }]);
        // BAR 0 has 64 bits and is prefetchable.
        put(device, 0x10, &[0xc, 0, 0, 0]);
        put(device, 0x10 + MASKS, &[0, 0xc0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        put(device, 0x34, &[0x40]);
    }
    // Common configuration, notification and the device's own.
    put(0, 0x40, &[9, 0x54, 16, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0x38, 0, 0, 0]);
    put(0, 0x54, &[9, 0x68, 20, 2, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0x10, 0, 0, 4, 0, 0, 0]);
    put(0, 0x68, &[9, 0, 16, 4, 0, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 0, 0]);
    // A bridge whose bus numbers and windows can be written.
    put(1, 0x00, &[0x36, 0x1b, 0x0c, 0x00]);
    put(1, 0x0e, &[1]);
    put(1, 0x18 + MASKS, &[0xff; 16]);
    // What is behind it has a BAR of 32 bits, and is the second function of device 2, too.
    put(2, STRIDE, &[0xf4, 0x1a, 0x41, 0x10]);
    put(2, STRIDE + 0x10 + MASKS, &[0, 0xf0, 0xff, 0xff]);
    data
}
