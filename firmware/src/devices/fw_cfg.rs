//! QEMU's firmware configuration device (QEMU, docs/specs/fw_cfg.rst).
//!
//! Whatever it holds is the host's word: each item is read once into private memory by the caller.
#![expect(unsafe_code, reason = "the device writes to memory by DMA")]

use core::cell::UnsafeCell;
use core::sync::atomic::{Ordering, fence};

use alloc::vec::Vec;
use formats::fw_cfg::{self, Directory, DmaAccess, dma_control, feature, key, register};
use thiserror::Error;

use crate::arch::mmio::Mmio;
use crate::memory;

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
    /// The file directory makes no sense.
    #[error("{0}")]
    Directory(#[from] fw_cfg::Error),
}

/// The device.
#[derive(Debug)]
pub struct FwCfg {
    registers: Mmio,
    dma: bool,
}

impl FwCfg {
    /// Finds the device at the place that the device tree names.
    ///
    /// # Errors
    /// [`Error::Registers`], [`Error::Signature`].
    pub fn new(machine: &formats::machine::FwCfg) -> Result<Self, Error> {
        let registers = memory::map_device(machine.region.base(), machine.region.size())?;
        let mut device = Self { registers, dma: false };
        let mut signature = [0; 4];
        device.read(key::SIGNATURE, &mut signature)?;
        if signature != fw_cfg::SIGNATURE {
            return Err(Error::Signature);
        }
        device.dma = device.read_u32(key::ID)? & feature::DMA != 0;
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
            for chunk in buffer.chunks_mut(MAX_TRANSFER) {
                self.transfer(select.take(), chunk)?;
            }
        } else {
            self.registers.write16(register::SELECTOR, key.to_be());
            let mut words = buffer.chunks_exact_mut(8);
            for word in &mut words {
                word.copy_from_slice(&self.registers.read64(register::DATA).to_ne_bytes());
            }
            for byte in words.into_remainder() {
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
        let mut bytes: Vec<u8> = alloc::vec![0; Directory::len_from_count(count)?];
        self.read(key::FILE_DIR, &mut bytes)?;
        Ok(Directory::parse(&bytes)?)
    }

    fn transfer(&mut self, select: Option<u16>, buffer: &mut [u8]) -> Result<(), Error> {
        let address = buffer.as_mut_ptr().expose_provenance() as u64;
        let length = u32::try_from(buffer.len()).map_err(|_| Error::Dma)?;
        let access = UnsafeCell::new(DmaAccess::read(select, length, address));
        // The device must find the descriptor in memory, and the CPU the data that the device wrote.
        fence(Ordering::SeqCst);
        aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
        let descriptor = access.get().expose_provenance() as u64;
        self.registers.write64(register::DMA, descriptor.to_be());
        for _ in 0..MAX_POLLS {
            aarch64_cpu::asm::barrier::dsb(aarch64_cpu::asm::barrier::SY);
            // SAFETY: the cell is alive and aligned; the device may write it at any time, hence the volatile read.
            let control = unsafe { access.get().read_volatile() }.control.get();
            if control & dma_control::ERROR != 0 {
                return Err(Error::Dma);
            }
            if control == 0 {
                fence(Ordering::SeqCst);
                return Ok(());
            }
        }
        // The device may still write to the buffer and the descriptor, so neither may be used again.
        Err(Error::Timeout)
    }
}
