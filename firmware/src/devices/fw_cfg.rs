//! QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg.rst).
//!
//! Whatever it holds is the host's word: each item is read once into private memory by the caller.

use core::sync::atomic::{Ordering, fence};

use aarch64_cpu::asm::barrier;
use alloc::vec::Vec;
use formats::fw_cfg::{self, Directory, DmaAccess, dma_control, feature, key, register};
use thiserror::Error;
use zerocopy::IntoBytes;

use crate::arch::mmio::Mmio;
use crate::arch::psci;
use crate::log;
use crate::memory::dma::{self, Window};
use crate::memory::{self, shared::SharedBuffer};

/// The largest single DMA transfer: the length has 32 bits.
const MAX_TRANSFER: usize = 1 << 30;
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
        let base = machine.region.base();
        // Its DMA register has 64 bits.
        if !base.is_multiple_of(8) {
            return Err(memory::Error::Misaligned(base).into());
        }
        let registers = memory::map_device(base, machine.region.size())?;
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
            let mut transfer = Transfer::new(buffer.len())?;
            for chunk in buffer.chunks_mut(transfer.capacity()) {
                self.transfer(&mut transfer, select.take(), chunk)?;
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

    /// Lets the device write to `buffer`.
    fn transfer(&mut self, transfer: &mut Transfer, select: Option<u16>, buffer: &mut [u8]) -> Result<(), Error> {
        let length = u32::try_from(buffer.len()).map_err(|_| Error::Dma)?;
        let mut data = transfer.window.receive(buffer);
        let access = DmaAccess::read(select, length, data.device_address(dma::PLATFORM));
        transfer.descriptor.write(0, access.as_bytes());
        self.start(transfer.descriptor.device_address(dma::PLATFORM));
        match wait(&transfer.descriptor) {
            Ok(()) => data.complete(),
            Err(Error::Timeout) => {
                // In a plain VM the device may still write to the buffer, so nothing may use that memory again.
                log::error!("fw_cfg: {}", Error::Timeout);
                psci::system_off();
            }
            Err(error) => return Err(error),
        }
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
fn wait(descriptor: &SharedBuffer) -> Result<(), Error> {
    for _ in 0..MAX_POLLS {
        barrier::dsb(barrier::SY);
        let mut access = DmaAccess::read(None, 0, 0);
        descriptor.read(0, access.as_mut_bytes());
        let control = access.control.get();
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

/// The memory of a transfer: the descriptor is apart from the data, which the device writes.
struct Transfer {
    descriptor: SharedBuffer,
    window: Window,
}

impl Transfer {
    fn new(wanted: usize) -> Result<Self, Error> {
        let descriptor = SharedBuffer::take(size_of::<DmaAccess>()).ok_or(Error::NoSharedMemory)?;
        let window = Window::new(wanted.min(dma::MAX_TRANSFER), false).ok_or(Error::NoSharedMemory)?;
        Ok(Self { descriptor, window })
    }

    fn capacity(&self) -> usize {
        self.window.size().min(MAX_TRANSFER)
    }
}
