//! Configuration space that says anything: buses are scanned, BARs sized and placed, capabilities followed.
#![no_main]

use std::cell::RefCell;
use std::collections::BTreeMap;

use pci::{Address, ConfigSpace, VENDOR_SPECIFIC, Window, assign, capabilities, scan};
use virtio::pci::Layout;

/// Registers whose values are the input's, and of which the input says which bits can be written.
struct Space<'a> {
    data: &'a [u8],
    written: RefCell<BTreeMap<(Address, u16), u32>>,
}

impl Space<'_> {
    fn word(&self, address: Address, offset: u16, salt: usize) -> u32 {
        // A run is to be short: few devices.
        if address.device > 3 {
            return !0;
        }
        let key = usize::from(address.bus) * 7 + usize::from(address.device) * 3 + usize::from(address.function);
        let at = (key * 64 + usize::from(offset) + salt) % self.data.len().max(1);
        self.data.get(at..at + 4).map_or(!0, |bytes| u32::from_le_bytes(bytes.try_into().unwrap()))
    }

    fn write(&self, address: Address, offset: u16, value: u32, mask: u32) {
        let mask = mask & self.word(address, offset, 17);
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

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let space = Space { data, written: RefCell::default() };
    let windows = [
        Window { range: 0x1000_0000..0x3eff_0000, is_64: false },
        Window { range: 0x80_0000_0000..0x100_0000_0000, is_64: true },
    ];
    let mut functions = scan(&space, 0, 3);
    assign(&space, &mut functions, &windows);
    for function in &functions {
        // What is placed is within a window.
        for (base, size) in function.bars.iter().filter_map(|bar| Some((bar.base?, bar.size))) {
            let end = base.checked_add(size).unwrap();
            assert!(windows.iter().any(|window| window.range.start <= base && end <= window.range.end));
        }
        let found: Vec<_> = capabilities(&space, function.address, VENDOR_SPECIFIC).collect();
        let _ = Layout::from_capabilities(found.iter().map(<[u8; 20]>::as_slice));
    }
});
