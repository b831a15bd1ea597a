//! Enumeration and assignment against configuration space that is right, and that is not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::collections::BTreeMap;

use pci::{Address, ConfigSpace, Function, VENDOR_SPECIFIC, Window, assign, capabilities, scan};

/// A function: its registers, and which bits of each can be written.
#[derive(Clone)]
struct Fake {
    registers: Vec<u32>,
    writable: Vec<u32>,
}

impl Fake {
    fn new(id: u32) -> Self {
        let mut fake = Self { registers: vec![0; 64], writable: vec![0; 64] };
        fake.registers[0] = id;
        fake.writable[1] = 0xffff;
        fake
    }

    /// A BAR of `size` bytes with the flags in its lowest bits.
    fn bar(mut self, index: usize, size: u64, flags: u32) -> Self {
        self.registers[4 + index] = flags;
        self.writable[4 + index] = !(size - 1) as u32 & !0xf;
        if flags & 7 == 4 {
            self.writable[5 + index] = (!(size - 1) >> 32) as u32;
        }
        self
    }

    fn at(mut self, index: usize, base: u64) -> Self {
        self.registers[4 + index] |= base as u32;
        if self.registers[4 + index] & 7 == 4 {
            self.registers[5 + index] = (base >> 32) as u32;
        }
        self.registers[1] |= 2;
        self
    }

    fn multi_function(mut self) -> Self {
        self.registers[3] |= 0x80 << 16;
        self
    }

    fn bridge() -> Self {
        let mut fake = Self::new(0x000c_1b36);
        fake.registers[3] |= 1 << 16;
        fake.writable[6] = !0;
        fake.writable[8] = 0xfff0_fff0;
        fake.writable[9] = 0xfff0_fff0;
        fake
    }
}

/// The bridge in front of a function (its device on the root bus), and its place behind it: device and function.
type Key = (Option<u8>, u8, u8);

#[derive(Default)]
struct Machine(RefCell<BTreeMap<Key, Fake>>);

impl Machine {
    fn add(&self, bridge: Option<u8>, device: u8, function: u8, fake: Fake) {
        self.0.borrow_mut().insert((bridge, device, function), fake);
    }

    /// Follows the bus number through the bridges of the root bus.
    fn key(&self, address: Address) -> Option<Key> {
        if address.bus == 0 {
            return Some((None, address.device, address.function));
        }
        let functions = self.0.borrow();
        let mut bridges = functions.iter().filter(|((behind, ..), fake)| behind.is_none() && fake.writable[6] == !0);
        let ((_, bridge, _), _) = bridges.find(|(_, fake)| fake.registers[6] >> 8 & 0xff == u32::from(address.bus))?;
        Some((Some(*bridge), address.device, address.function))
    }

    fn write(&self, address: Address, offset: u16, value: u32, mask: u32) {
        let Some(key) = self.key(address) else { return };
        if let Some(fake) = self.0.borrow_mut().get_mut(&key) {
            let index = usize::from(offset / 4);
            let mask = mask & fake.writable[index];
            fake.registers[index] = fake.registers[index] & !mask | value & mask;
        }
    }

    fn register(&self, bridge: Option<u8>, device: u8, index: usize) -> u32 {
        self.0.borrow()[&(bridge, device, 0)].registers[index]
    }
}

impl ConfigSpace for Machine {
    fn read32(&self, address: Address, offset: u16) -> u32 {
        let functions = || self.key(address).and_then(|key| self.0.borrow().get(&key).cloned());
        functions().map_or(!0, |fake| fake.registers[usize::from(offset / 4)])
    }

    fn write32(&self, address: Address, offset: u16, value: u32) {
        self.write(address, offset, value, !0);
    }

    fn write16(&self, address: Address, offset: u16, value: u16) {
        self.write(address, offset, value.into(), 0xffff);
    }
}

fn windows() -> [Window; 2] {
    [
        Window { range: 0x1000_0000..0x3eff_0000, is_64: false },
        Window { range: 0x80_0000_0000..0x100_0000_0000, is_64: true },
    ]
}

fn enumerate(machine: &Machine) -> Vec<Function> {
    let mut functions = scan(machine, 0, 255);
    assign(machine, &mut functions, &windows());
    functions
}

const VIRTIO: u32 = 0x1042_1af4;

#[test]
fn bars_are_sized_and_placed_in_the_windows() {
    let machine = Machine::default();
    machine.add(None, 1, 0, Fake::new(VIRTIO).bar(1, 0x1000, 0).bar(4, 0x4000, 0xc));
    machine.add(None, 2, 0, Fake::new(VIRTIO).multi_function().bar(0, 0x80, 1).bar(2, 1 << 33, 4));
    machine.add(None, 2, 3, Fake::new(VIRTIO).bar(0, 0x10, 0));
    // Not looked for: its device has one function only.
    machine.add(None, 1, 1, Fake::new(VIRTIO));
    let functions = enumerate(&machine);
    let places: Vec<_> = functions
        .iter()
        .flat_map(|function| function.bars.iter().map(|bar| (function.address.function, bar.index, bar.base, bar.size)))
        .collect();
    assert_eq!(functions.len(), 3);
    let expected = [
        (0, 1, Some(0x1000_0000), 0x1000),
        (0, 4, Some(0x82_0000_0000), 0x4000),
        // Too large for the 32-bit window, and no I/O BAR.
        (0, 2, Some(0x80_0000_0000), 1 << 33),
        (3, 0, Some(0x1000_1000), 0x10),
    ];
    assert_eq!(places, expected);
    assert_eq!(machine.register(None, 1, 5), 0x1000_0000);
    assert_eq!((machine.register(None, 1, 8), machine.register(None, 1, 9)), (0xc, 0x82));
    assert_eq!(machine.register(None, 1, 1) & 0xffff, 0);
}

#[test]
fn what_the_vmm_placed_stays_where_it_is_valid() {
    let machine = Machine::default();
    let bar = |base| Fake::new(VIRTIO).bar(0, 0x4000, 4).at(0, base);
    for (device, base) in
        [(1, 0x1000_0000), (2, 0x90_0000_0000), (3, 0x1000_0000), (4, 0x4000_0000), (5, u64::MAX - 0x3fff)]
    {
        machine.add(None, device, 0, bar(base));
    }
    machine.add(None, 6, 0, Fake::new(VIRTIO).bar(0, 0x4000, 0).at(0, 0x1000_2000));
    let functions = enumerate(&machine);
    let bases: Vec<_> = functions.iter().map(|function| function.bars.first().and_then(|bar| bar.base)).collect();
    let placed = [0x1000_4000, 0x1000_8000, 0x1000_c000, 0x1001_0000].map(Some);
    assert_eq!(bases[..2], [Some(0x1000_0000), Some(0x90_0000_0000)]);
    assert_eq!(bases[2..], placed);
    // Decoding goes on for what stayed, and is off for what has moved.
    assert_eq!([1, 2, 3, 4].map(|device| machine.register(None, device, 1) & 2), [2, 2, 0, 0]);
}

#[test]
fn bridges_get_buses_and_a_window_around_what_is_behind() {
    let machine = Machine::default();
    machine.add(None, 1, 0, Fake::bridge());
    machine.add(None, 2, 0, Fake::bridge());
    machine.add(None, 3, 0, Fake::new(VIRTIO).bar(1, 0x1000, 0));
    machine.add(Some(1), 0, 0, Fake::new(VIRTIO).bar(1, 0x1000, 0).bar(4, 0x20_0000, 0xc));
    let functions = enumerate(&machine);
    let behind = functions.iter().find(|function| function.parent.is_some()).unwrap();
    assert_eq!(behind.address, Address { bus: 1, device: 0, function: 0 });
    assert_eq!(behind.bars[1].base, Some(0x1000_0000));
    assert_eq!(behind.bars[0].base, Some(0x1020_0000));
    assert_eq!(machine.register(None, 1, 6), 0x0001_0100);
    assert_eq!(machine.register(None, 2, 6), 0x0002_0200);
    // 0x1000_0000 to 0x102f_ffff, and closed.
    assert_eq!(machine.register(None, 1, 8), 0x1020_1000);
    assert_eq!(machine.register(None, 2, 8), 0x0000_fff0);
    assert_eq!([1, 2].map(|device| machine.register(None, device, 9)), [0xfff0; 2]);
    assert_eq!(machine.register(None, 1, 1) & 6, 6);
    // The window of the bridge is nobody else's.
    let other = functions.iter().find(|function| function.address.device == 3).unwrap();
    assert_eq!(other.bars[0].base, Some(0x1030_0000));
}

#[test]
fn bars_that_make_no_sense_are_not_used() {
    let machine = Machine::default();
    let mut holes = Fake::new(VIRTIO).bar(0, 0x1000, 0);
    holes.writable[4] = 0xf0f0_f000;
    machine.add(None, 1, 0, holes);
    let mut ones = Fake::new(VIRTIO);
    ones.registers[4..10].fill(!0);
    machine.add(None, 2, 0, ones);
    // Larger than every window.
    machine.add(None, 3, 0, Fake::new(VIRTIO).bar(0, 1 << 31, 0).bar(2, 1 << 45, 4));
    for function in enumerate(&machine) {
        assert!(function.bars.iter().all(|bar| bar.base.is_none()), "{function:x?}");
    }
}

#[test]
fn bridges_without_end_are_not_followed() {
    /// Every device of every bus is a bridge of eight functions.
    struct Endless;
    impl ConfigSpace for Endless {
        fn read32(&self, _: Address, offset: u16) -> u32 {
            match offset {
                0 => 0x000c_1b36,
                0xc => 0x0081_0000,
                _ => 0,
            }
        }
        fn write32(&self, _: Address, _: u16, _: u32) {}
        fn write16(&self, _: Address, _: u16, _: u16) {}
    }
    // As deep as there are buses takes long under Miri.
    let mut functions = scan(&Endless, 0, if cfg!(miri) { 3 } else { 255 });
    assert_eq!(functions.len(), 256);
    assign(&Endless, &mut functions, &windows());
}

#[test]
fn capabilities_are_followed_and_circles_end() {
    let machine = Machine::default();
    let mut fake = Fake::new(VIRTIO);
    fake.registers[1] = 1 << 20;
    fake.registers[0x34 / 4] = 0x40;
    fake.registers[0x40 / 4] = 0x0114_5009;
    fake.registers[0x50 / 4] = 0x0000_fc05;
    fake.registers[0xfc / 4] = 0x0000_4009;
    machine.add(None, 1, 0, fake.clone());
    let address = Address { bus: 0, device: 1, function: 0 };
    let found: Vec<_> = capabilities(&machine, address, VENDOR_SPECIFIC).collect();
    assert_eq!(found[0][..4], [9, 0x50, 0x14, 1]);
    assert_eq!(found[1], [9, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(found.len(), 32, "two of each round of three, of 48");
    fake.registers[1] = 0;
    machine.add(None, 1, 0, fake);
    assert_eq!(capabilities(&machine, address, VENDOR_SPECIFIC).count(), 0);
}
