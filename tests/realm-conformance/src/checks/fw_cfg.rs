//! fw_cfg in a realm (QEMU docs/specs/fw_cfg): by its registers, and by DMA whose descriptor and data are in shared
//! memory and addressed without the shared bit.

use rsi::Ripas;

use super::{Checks, changing_page, page};
use crate::{console, start};

const SIGNATURE: u16 = 0;
const FILE_DIR: u16 = 0x19;
/// Control word of a descriptor, without the selector in its upper half: select and read.
const SELECT_READ: u32 = 8 | 2;
const FAILED: u32 = 1;

/// fw_cfg, and one unit of shared memory for its DMA.
#[derive(Clone, Copy)]
struct FwCfg {
    /// Its data register in the unprotected half.
    base: u64,
    /// The canonical address of the shared memory.
    at: u64,
    /// What sets the two apart for the CPU.
    bit: u64,
}

impl FwCfg {
    /// Reads an item from its start, one access a byte.
    fn registers(&self, key: u16, bytes: &mut [u8]) {
        start::store16(self.base + 8, key.swap_bytes());
        bytes.fill_with(|| start::load8(self.base));
    }

    /// Puts a descriptor at `descriptor`, an address of the CPU.
    fn describe(&self, descriptor: u64, key: u16, len: usize, data: u64) {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&(u32::from(key) << 16 | SELECT_READ).to_be_bytes());
        bytes[4..8].copy_from_slice(&(len as u32).to_be_bytes());
        bytes[8..].copy_from_slice(&data.to_be_bytes());
        start::write(descriptor, &bytes);
    }

    /// Has fw_cfg carry out the descriptor at a device's address.
    fn start(&self, descriptor: u64) {
        start::store64(self.base + 16, descriptor.swap_bytes());
    }

    /// The control word of the descriptor in shared memory: 0 when all is done.
    fn control(&self) -> u32 {
        let mut bytes = [0; 4];
        start::read(self.at | self.bit, &mut bytes);
        u32::from_be_bytes(bytes)
    }

    /// Reads `len` bytes of an item to the device's address `data`; returns the control word.
    fn dma(&self, key: u16, len: usize, data: u64) -> u32 {
        self.describe(self.at | self.bit, key, len, data);
        self.start(self.at);
        self.control()
    }

    /// Reads an item from its start by DMA.
    fn item(&self, key: u16, bytes: &mut [u8]) -> u32 {
        let control = self.dma(key, bytes.len(), self.at + 64);
        start::read((self.at + 64) | self.bit, bytes);
        control
    }
}

/// A file that the directory names.
struct File<'a> {
    size: u32,
    key: u16,
    name: &'a str,
}

const ENTRIES: usize = 32;
/// The directory as far as it is looked at: a count and entries of 64 bytes.
type Directory = [u8; 4 + ENTRIES * 64];

/// The file in the entry `index`, if there is one.
fn file(directory: &Directory, index: usize) -> Option<File<'_>> {
    let count = u32::from_be_bytes(*directory.first_chunk()?);
    let entry = directory.get(4 + index * 64..)?.first_chunk::<64>().filter(|_| index < count as usize)?;
    let name = entry.get(8..)?.split(|byte| *byte == 0).next()?;
    Some(File {
        size: u32::from_be_bytes(*entry.first_chunk()?),
        key: u16::from_be_bytes(*entry.get(4..)?.first_chunk()?),
        name: core::str::from_utf8(name).ok()?,
    })
}

impl Checks {
    pub(super) fn fw_cfg(&mut self) {
        let at = changing_page();
        self.set(at, at + self.unit, Ripas::Empty);
        let fw_cfg = FwCfg { base: self.shared(self.machine.fw_cfg), at, bit: self.shared_bit() };
        self.transfers(fw_cfg);
        self.private_addresses(fw_cfg);
        self.files(fw_cfg);
        self.set(at, at + self.unit, Ripas::Ram);
    }

    fn transfers(&mut self, fw_cfg: FwCfg) {
        let mut data = [0; 4];
        let control = fw_cfg.item(SIGNATURE, &mut data);
        self.check(
            "fw_cfg DMA reaches shared memory",
            control == 0 && data == *b"QEMU",
            format_args!("control {control:#x} data {data:x?}"),
        );
        // Whatever the host does next, the data is there to stay.
        for _ in 0..8 {
            let _ = self.rsi.features(0);
        }
        start::read((fw_cfg.at + 64) | fw_cfg.bit, &mut data);
        self.check("fw_cfg DMA is over when it says so", data == *b"QEMU", format_args!("data {data:x?}"));
        start::write((fw_cfg.at + 64) | fw_cfg.bit, b"none");
        fw_cfg.describe(fw_cfg.at | fw_cfg.bit, SIGNATURE, 4, fw_cfg.at + 64);
        start::store32(fw_cfg.base + 16, 0);
        start::store32(fw_cfg.base + 20, (fw_cfg.at as u32).swap_bytes());
        start::read((fw_cfg.at + 64) | fw_cfg.bit, &mut data);
        let control = fw_cfg.control();
        self.check(
            "fw_cfg DMA takes its address in two halves",
            control == 0 && data == *b"QEMU",
            format_args!("control {control:#x} data {data:x?}"),
        );
    }

    fn private_addresses(&mut self, fw_cfg: FwCfg) {
        let mut data = [0; 4];
        start::write(page(), b"mine");
        let control = fw_cfg.dma(SIGNATURE, 4, page());
        start::read(page(), &mut data);
        self.check(
            "fw_cfg DMA does not reach private memory",
            data == *b"mine",
            format_args!("control {control:#x} data {data:x?}"),
        );
        console::line(format_args!("INFO fw_cfg DMA to private memory: control {control:#x}"));
        // The next unit is private: the first half of the data would be in shared memory.
        let next = fw_cfg.at + self.unit;
        start::write(next, b"mine");
        let control = fw_cfg.dma(FILE_DIR, 8, next - 4);
        start::read(next, &mut data);
        self.check(
            "fw_cfg DMA does not go on into private memory",
            data == *b"mine",
            format_args!("control {control:#x} data {data:x?}"),
        );
        console::line(format_args!("INFO fw_cfg DMA on into private memory: control {control:#x}"));
        let control = fw_cfg.dma(SIGNATURE, 4, u64::MAX - 1);
        self.check(
            "fw_cfg DMA does not go on at address 0",
            control & FAILED != 0,
            format_args!("control {control:#x}"),
        );
        let descriptor = page() + 64;
        fw_cfg.describe(descriptor, SIGNATURE, 4, fw_cfg.at + 64);
        start::write((fw_cfg.at + 64) | fw_cfg.bit, b"none");
        fw_cfg.start(descriptor);
        start::read((fw_cfg.at + 64) | fw_cfg.bit, &mut data);
        let mut control = [0; 4];
        start::read(descriptor, &mut control);
        self.check(
            "fw_cfg DMA does not read a private descriptor",
            u32::from_be_bytes(control) == SELECT_READ && data == *b"none",
            format_args!("control {control:x?} data {data:x?}"),
        );
    }

    /// The first file that holds something, twice by registers and once by DMA.
    fn files(&mut self, fw_cfg: FwCfg) {
        let (mut directory, mut again) = ([0; 4 + ENTRIES * 64], [0; 4 + ENTRIES * 64]);
        fw_cfg.registers(FILE_DIR, &mut directory);
        let Some((index, found)) =
            (0..ENTRIES).filter_map(|index| Some((index, file(&directory, index)?))).find(|(_, file)| file.size >= 4)
        else {
            return;
        };
        let control = fw_cfg.item(FILE_DIR, &mut again);
        let size = file(&again, index).map_or(0, |file| file.size);
        console::line(format_args!("INFO fw_cfg file {}", found.name));
        console::line(format_args!("INFO fw_cfg size {:#x}, by DMA {size:#x}", found.size));
        self.check("fw_cfg DMA reads the directory", control == 0 && directory == again, format_args!("{control:#x}"));
        let (mut first, mut second, mut by_dma) = ([0; 4], [0; 4], [0; 4]);
        fw_cfg.registers(found.key, &mut first);
        fw_cfg.registers(found.key, &mut second);
        self.check("fw_cfg reads the same twice", first == second, format_args!("{first:x?} {second:x?}"));
        let control = fw_cfg.item(found.key, &mut by_dma);
        self.check(
            "fw_cfg DMA reads what its registers read",
            control == 0 && first == by_dma,
            format_args!("control {control:#x}, {first:x?} {by_dma:x?}"),
        );
    }
}
