//! fw_cfg between the realm and QEMU: DMA descriptors are translated, and refused when they name
//! memory that is not shared.

use alloc::vec;
use core::ops::Range;

use model_rmm::fw_cfg::{Descriptor, FILE_DIR, Tap, control};
use model_rmm::fw_cfg_setup::{Selection, Split};
use model_rmm::options::Options;
use rsi::rmm::Realm;
use rsi::{GRANULE, Ripas};

use super::host::Host;
use super::{mmio, phys};
use crate::log;

const SELECTOR: u64 = 8;
const DMA: u64 = 16;

/// The host's view of fw_cfg.
#[derive(Debug)]
pub struct FwCfg {
    /// Its registers.
    pub registers: Option<Range<u64>>,
    /// The page that holds translated descriptors.
    bounce: u64,
    high: u32,
    tap: Tap,
    split: Option<Split>,
    /// Where to write once more, and after how many exits.
    late: Option<(u64, u32)>,
}

impl FwCfg {
    /// fw_cfg at `registers`, with a page for descriptors; the directory is read when the host is
    /// to alter something.
    pub fn new(registers: Option<Range<u64>>, bounce: u64, options: &Options) -> Self {
        let host = &options.host;
        let mut tap = Tap::default();
        let lies = host.fw_cfg_change.is_some() || host.fw_cfg_size.is_some();
        if let (true, Some(registers)) = (lies, &registers) {
            let directory = read_directory(registers.start);
            tap = Tap::new(&directory, host.fw_cfg_change.as_deref(), host.fw_cfg_size.as_ref());
            if !tap.is_armed() {
                log!("host: no such fw_cfg item, so nothing is altered");
            }
        }
        let split = registers.as_ref().zip(options.fw_cfg_setup).and_then(|(registers, setup)| {
            let split = Split::new(setup, read_size(registers.start));
            match split {
                Some(_) => log!("host: the first {setup} bytes of the kernel are its setup part"),
                None => log!("host: the kernel is too small for a setup part"),
            }
            split
        });
        Self { registers, bounce, high: 0, tap, split, late: None }
    }

    /// Whether what is read is not always QEMU's.
    fn alters(&self) -> bool {
        self.tap.is_armed() || self.split.is_some()
    }

    /// Makes of what QEMU gave what the realm is to read.
    fn alter(&mut self, data: &mut [u8]) {
        if let Some(split) = &mut self.split {
            split.read(data);
        }
        for done in self.tap.read(data) {
            log!("host: {done}");
        }
    }

    /// Has QEMU carry out a descriptor; returns its control word in the bytes in which it is stored.
    fn transfer(&self, descriptor: Descriptor) -> [u8; 4] {
        let mut result = [0; 4];
        if let Some(registers) = &self.registers {
            phys::write(self.bounce, &descriptor.to_bytes());
            mmio::store(registers.start + DMA, 8, self.bounce.swap_bytes());
            phys::read(self.bounce, &mut result);
        }
        result
    }

    /// The device wrote once and should not again: called on every exit.
    pub fn tick(&mut self) {
        match &mut self.late {
            Some((at, 0)) => {
                phys::write(*at, &[0x5a]);
                log!("host: a device wrote {:#x} after its DMA was done", *at);
                self.late = None;
            }
            Some((_, exits)) => *exits -= 1,
            None => {}
        }
    }
}

fn read_directory(base: u64) -> alloc::vec::Vec<u8> {
    mmio::store(base + SELECTOR, 2, u64::from(FILE_DIR.swap_bytes()));
    let byte = || mmio::load(base, 1).unwrap_or(0) as u8;
    let mut directory: alloc::vec::Vec<u8> = (0..4).map(|_| byte()).collect();
    let count = directory.iter().fold(0, |n, byte| n << 8 | usize::from(*byte));
    directory.extend((0..count.min(4096) * 64).map(|_| byte()));
    directory
}

/// The size of the kernel.
fn read_size(base: u64) -> u32 {
    const KERNEL_SIZE: u16 = 0x08;
    mmio::store(base + SELECTOR, 2, u64::from(KERNEL_SIZE.swap_bytes()));
    u32::from_le_bytes([(); 4].map(|()| mmio::load(base, 1).unwrap_or(0) as u8))
}

/// Where a device finds `len` bytes of shared memory; none unless all of it is shared.
fn shared(host: &Host, realm: &Realm, canonical: u64, len: u64) -> Option<u64> {
    let end = canonical.checked_add(len)?;
    let mut page = canonical & !(GRANULE - 1);
    while page < end {
        if realm.ripas.get(page) != Ripas::Empty || !host.layout.is_memory(page) {
            return None;
        }
        host.device_address(page)?;
        page += GRANULE;
    }
    host.device_address(canonical & !(GRANULE - 1)).map(|page| page + canonical % GRANULE)
}

/// A realm's write to fw_cfg at `offset`; none when it goes to QEMU as it is.
pub fn write(host: &mut Host, realm: &Realm, offset: u64, size: u8, value: u64) -> Option<()> {
    match (offset, size) {
        (SELECTOR, 2) => {
            let key = (value as u16).swap_bytes();
            host.fw_cfg.tap.select(key);
            select_part(&mut host.fw_cfg, key)
        }
        (DMA, 8) => {
            dma(host, realm, value.swap_bytes());
            Some(())
        }
        (DMA, 4) => {
            host.fw_cfg.high = (value as u32).swap_bytes();
            Some(())
        }
        (0x14, 4) => {
            let low = (value as u32).swap_bytes();
            dma(host, realm, u64::from(host.fw_cfg.high) << 32 | u64::from(low));
            host.fw_cfg.high = 0;
            Some(())
        }
        _ => None,
    }
}

/// What the realm reads from fw_cfg at `offset`.
pub fn read(host: &mut Host, offset: u64, size: u8, value: u64) -> u64 {
    if offset >= SELECTOR || !host.fw_cfg.alters() {
        return value;
    }
    let mut bytes = value.to_le_bytes();
    let data = bytes.get_mut(..usize::from(size)).unwrap_or_default();
    host.fw_cfg.alter(data);
    u64::from_le_bytes(bytes)
}

/// Selects the item that has what the realm is to find under `key`; none when its selection can go to QEMU as it is.
fn select_part(fw_cfg: &mut FwCfg, key: u16) -> Option<()> {
    let Selection { key, skip } = fw_cfg.split.as_mut()?.select(key);
    let control = u32::from(key) << 16 | control::SELECT | control::SKIP;
    fw_cfg.transfer(Descriptor { control, length: skip, address: 0 });
    Some(())
}

fn dma(host: &mut Host, realm: &Realm, at: u64) {
    let Some(descriptor_pa) = shared(host, realm, at, 16) else {
        log!("host: fw_cfg DMA descriptor at {at:#x} refused: not shared memory");
        return;
    };
    let mut bytes = [0; 16];
    phys::read(descriptor_pa, &mut bytes);
    let descriptor = Descriptor::from_bytes(&bytes);
    let answer = |control: u32| phys::write(descriptor_pa, &control.to_be_bytes());
    let mut translated = descriptor;
    if let Some(range) = descriptor.memory() {
        let Some(pa) = shared(host, realm, range.start, range.end - range.start) else {
            log!("host: fw_cfg DMA to {range:#x?} refused: not shared memory");
            answer(control::ERROR);
            return;
        };
        translated.address = pa;
    } else if descriptor.control & (control::READ | control::WRITE) != 0 && descriptor.length > 0 {
        answer(control::ERROR);
        return;
    }
    let select = descriptor.control & control::SELECT != 0;
    if select && select_part(&mut host.fw_cfg, (descriptor.control >> 16) as u16).is_some() {
        // QEMU has the item selected; no more than the rest is left to do.
        translated.control &= control::READ | control::WRITE | control::SKIP;
    }
    let result = host.fw_cfg.transfer(translated);
    alter(host, &descriptor, translated.address);
    phys::write(descriptor_pa, &result);
}

/// What the host does to the data of a DMA that QEMU has done.
fn alter(host: &mut Host, descriptor: &Descriptor, pa: u64) {
    let len = descriptor.length as usize;
    let late = host.options.host.late_dma;
    let fw_cfg = &mut host.fw_cfg;
    if descriptor.control & control::SELECT != 0 {
        fw_cfg.tap.select((descriptor.control >> 16) as u16);
    }
    if descriptor.control & control::READ == 0 {
        fw_cfg.tap.skip(len);
        if let Some(split) = &mut fw_cfg.split {
            split.skip(len);
        }
        return;
    }
    if late && len > 0 {
        fw_cfg.late = Some((pa, 2));
    }
    if fw_cfg.alters() {
        let mut data = vec![0; len];
        phys::read(pa, &mut data);
        fw_cfg.alter(&mut data);
        phys::write(pa, &data);
    }
}
