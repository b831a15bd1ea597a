//! QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg.rst).
//!
//! Whatever it holds is the host's word: each item is read once into private memory by the caller.
#![expect(unsafe_code, reason = "the device writes to memory by DMA")]

use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering, fence};

use aarch64_cpu::asm::barrier;
use alloc::vec::Vec;
use formats::fw_cfg::{self, Directory, DmaAccess, dma_control, feature, key, register};
use thiserror::Error;
use zerocopy::IntoBytes;

use crate::arch::mmio::Mmio;
use crate::arch::psci;
use crate::log;
use crate::memory::{self, shared::SharedBuffer};
use crate::realm;

/// The largest single DMA transfer: the length has 32 bits.
const MAX_TRANSFER: usize = 1 << 30;
/// The largest transfer through shared memory.
const MAX_BOUNCE: usize = 1 << 20;
/// How often the device is asked whether a transfer is done. QEMU is done before the write returns.
const MAX_POLLS: u32 = 1 << 24;

/// Why an item cannot be read.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The registers cannot be mapped.
    #[error("{0}")]
    Registers(#[from] memory::Error),
    /// No fw_cfg at the address.
    #[error("the device does not answer as fw_cfg")]
    Signature,
    /// The device reports an error for a DMA transfer.
    #[error("DMA transfer failed")]
    Dma,
    /// The device never finishes a DMA transfer.
    #[error("DMA transfer never ended")]
    Timeout,
    /// The pool of shared memory has no room for a transfer.
    #[error("no shared memory left")]
    NoSharedMemory,
    /// The file directory makes no sense.
    #[error("{0}")]
    Directory(#[from] fw_cfg::Error),
}

/// The device.
#[derive(Debug)]
pub struct FwCfg {
    registers: Mmio,
    dma: bool,
    wide_data: bool,
}

impl FwCfg {
    /// Finds the device at the place that the device tree names.
    ///
    /// # Errors
    /// [`Error::Registers`], [`Error::Signature`].
    pub fn new(machine: &formats::machine::FwCfg) -> Result<Self, Error> {
        let registers = memory::map_device(machine.region.base(), machine.region.size())?;
        let mut device = Self { registers, dma: false, wide_data: machine.has_wide_data() };
        let mut signature = [0; 4];
        device.read(key::SIGNATURE, &mut signature)?;
        if signature != fw_cfg::SIGNATURE {
            return Err(Error::Signature);
        }
        // The register is looked at only where there is one, and written to only if it is this device's.
        device.dma = machine.may_have_dma()
            && device.read_u32(key::ID)? & feature::DMA != 0
            && u64::from_be(device.registers.read64(register::DMA)) == fw_cfg::DMA_SIGNATURE;
        Ok(device)
    }

    /// Whether transfers go by DMA.
    pub fn has_dma(&self) -> bool {
        self.dma
    }

    /// Fills `buffer` from the start of item `key`. What the item does not have reads as zero.
    ///
    /// # Errors
    /// [`Error::Dma`], [`Error::Timeout`].
    pub fn read(&mut self, key: u16, buffer: &mut [u8]) -> Result<(), Error> {
        if self.dma {
            let mut select = Some(key);
            if realm::is_realm() {
                let mut bounce = Bounce::new(buffer.len())?;
                for chunk in buffer.chunks_mut(bounce.capacity()) {
                    self.bounce(&mut bounce, select.take(), chunk)?;
                }
            } else {
                for chunk in buffer.chunks_mut(MAX_TRANSFER) {
                    self.transfer(select.take(), chunk)?;
                }
            }
        } else {
            self.registers.write16(register::SELECTOR, key.to_be());
            let wide = if self.wide_data { buffer.len() & !7 } else { 0 };
            let (words, bytes) = buffer.split_at_mut_checked(wide).unwrap_or_default();
            for word in words.as_chunks_mut().0 {
                *word = self.registers.read64(register::DATA).to_ne_bytes();
            }
            for byte in bytes {
                *byte = self.registers.read8(register::DATA);
            }
        }
        Ok(())
    }

    /// Reads a little-endian number: the form of the sizes.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_u32(&mut self, key: u16) -> Result<u32, Error> {
        let mut bytes = [0; 4];
        self.read(key, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    /// Reads the file directory.
    ///
    /// # Errors
    /// [`Error::Directory`], or as [`Self::read`].
    pub fn directory(&mut self) -> Result<Directory, Error> {
        let mut count = [0; Directory::COUNT_LEN];
        self.read(key::FILE_DIR, &mut count)?;
        let length = Directory::len_from_count(count)?;
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(fw_cfg::Error::from)?;
        bytes.resize(length, 0);
        self.read(key::FILE_DIR, &mut bytes)?;
        Ok(Directory::parse(&bytes)?)
    }

    /// Lets the device write straight to `buffer`.
    fn transfer(&mut self, select: Option<u16>, buffer: &mut [u8]) -> Result<(), Error> {
        let address = buffer.as_mut_ptr().expose_provenance() as u64;
        let length = u32::try_from(buffer.len()).map_err(|_| Error::Dma)?;
        let access = UnsafeCell::new(DmaAccess::read(select, length, address));
        self.start(access.get().expose_provenance() as u64);
        // SAFETY: the cell is alive and aligned; the device may write it at any time, hence the volatile read.
        let result = wait(|| unsafe { access.get().read_volatile() });
        if result == Err(Error::Timeout) {
            // The device may still write to the descriptor and the buffer, so nothing may use that memory again.
            log::error!("fw_cfg: {}", Error::Timeout);
            psci::system_off();
        }
        result
    }

    /// Lets the device write to shared memory, and takes a copy of that.
    fn bounce(&mut self, bounce: &mut Bounce, select: Option<u16>, buffer: &mut [u8]) -> Result<(), Error> {
        let length = u32::try_from(buffer.len()).map_err(|_| Error::Dma)?;
        let access = DmaAccess::read(select, length, bounce.data.device_address());
        bounce.descriptor.write(0, access.as_bytes());
        self.start(bounce.descriptor.device_address());
        wait(|| {
            let mut access = DmaAccess::read(None, 0, 0);
            bounce.descriptor.read(0, access.as_mut_bytes());
            access
        })?;
        bounce.data.read(0, buffer);
        Ok(())
    }

    fn start(&mut self, descriptor: u64) {
        // The device must find the descriptor in memory.
        fence(Ordering::SeqCst);
        barrier::dsb(barrier::SY);
        self.registers.write64(register::DMA, descriptor.to_be());
    }
}

/// Waits until the device has cleared the descriptor's control word.
fn wait(read: impl Fn() -> DmaAccess) -> Result<(), Error> {
    for _ in 0..MAX_POLLS {
        barrier::dsb(barrier::SY);
        let control = read().control.get();
        if control & dma_control::ERROR != 0 {
            return Err(Error::Dma);
        }
        if control == 0 {
            fence(Ordering::SeqCst);
            return Ok(());
        }
    }
    Err(Error::Timeout)
}

/// The shared memory of a transfer in a realm: the descriptor is apart from the data, which the device writes.
struct Bounce {
    descriptor: SharedBuffer,
    data: SharedBuffer,
}

impl Bounce {
    fn new(wanted: usize) -> Result<Self, Error> {
        let take = |size| SharedBuffer::take(size).ok_or(Error::NoSharedMemory);
        Ok(Self { descriptor: take(size_of::<DmaAccess>())?, data: take(wanted.clamp(1, MAX_BOUNCE))? })
    }

    fn capacity(&self) -> usize {
        self.data.size()
    }
}
