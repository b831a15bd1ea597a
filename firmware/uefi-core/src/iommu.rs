//! The bookkeeping behind EDKII_IOMMU_PROTOCOL (EDK2, MdeModulePkg/Include/Protocol/IoMmu.h) and the transfers of
//! EFI_PCI_IO_PROTOCOL (UEFI 2.11, 14.4), where devices reach one pool of memory only, or all: what is mapped, and what
//! was allocated.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use crate::slots::SlotTable;

const PAGE_SIZE: u64 = 4096;
/// End of what a bus master without dual address cycles reaches.
const LIMIT_32: u64 = 1 << 32;

/// EDKII_IOMMU_ACCESS_READ, EDKII_IOMMU_ACCESS_WRITE.
const ACCESS: u64 = 0b11;
/// EDKII_IOMMU_ATTRIBUTE_DUAL_ADDRESS_CYCLE.
const DUAL_ADDRESS_CYCLE: u64 = 0x8000;
/// EDKII_IOMMU_ATTRIBUTE_MEMORY_WRITE_COMBINE, _MEMORY_CACHED and _DUAL_ADDRESS_CYCLE.
const ATTRIBUTES: u64 = 0x80 | 0x800 | DUAL_ADDRESS_CYCLE;

/// What is wrong with a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum IommuError {
    /// No operation, mapping, buffer or access that there is.
    Invalid,
    /// A buffer that devices do not reach, or attributes that there are not.
    Unsupported,
    /// The pool has no room, or none that the device reaches.
    OutOfResources,
}

/// Whether the attributes of an allocation say that the device reaches 64-bit addresses.
///
/// # Errors
/// [`IommuError::Unsupported`] when there are others.
pub fn is_wide(attributes: u64) -> Result<bool, IommuError> {
    if attributes & !ATTRIBUTES != 0 {
        return Err(IommuError::Unsupported);
    }
    Ok(attributes & DUAL_ADDRESS_CYCLE != 0)
}

/// The memory that devices reach.
pub trait DeviceMemory {
    /// A part of it, cleared when it is taken and when it is dropped.
    type Piece;
    /// Whether devices reach the callers' memory, too.
    fn is_all(&self) -> bool;
    /// Takes `size` bytes, rounded up to pages.
    fn take(&mut self, size: usize) -> Option<Self::Piece>;
    /// Where the CPU has the piece, and how many bytes there are.
    fn cpu_range(&self, piece: &Self::Piece) -> (u64, u64);
    /// Where the device has what the CPU has at `address` in this memory.
    fn device_address(&self, address: u64) -> u64;
    /// Copies `size` bytes of the caller's at `from` to the start of the piece.
    fn copy_in(&mut self, piece: &mut Self::Piece, from: u64, size: usize);
    /// Copies `size` bytes from the start of the piece to the caller's at `to`.
    fn copy_out(&mut self, piece: &Self::Piece, to: u64, size: usize);
}

#[derive(Debug)]
struct Mapping<P> {
    /// None where the device works on the buffer itself.
    bounce: Option<P>,
    /// What the device writes goes back to the caller.
    written: bool,
    host: u64,
    size: usize,
}

/// What is mapped, and what was allocated for common buffers.
#[derive(Debug)]
pub struct Iommu<M: DeviceMemory> {
    memory: M,
    mappings: SlotTable<Mapping<M::Piece>, 0x4d4d>,
    buffers: Vec<M::Piece>,
}

impl<M: DeviceMemory> Iommu<M> {
    /// Nothing is mapped or allocated in `memory`.
    pub const fn new(memory: M) -> Self {
        Self { memory, mappings: SlotTable::new(), buffers: Vec::new() }
    }

    /// Map(): gives the device `size` bytes at `host`, for an EDKII_IOMMU_OPERATION. Returns the device's address and
    /// what to pass to [`Self::unmap`].
    pub fn map(&mut self, operation: u32, host: u64, size: usize) -> Result<(u64, u64), IommuError> {
        let end = host.checked_add(size as u64).ok_or(IommuError::Invalid)?;
        // BusMasterRead, BusMasterWrite and BusMasterCommonBuffer; behind them the same with dual address cycles.
        let (kind, limit) = match operation {
            0..=2 => (operation, LIMIT_32),
            3..=5 => (operation - 3, u64::MAX),
            _ => return Err(IommuError::Invalid),
        };
        if size == 0 {
            return Err(IommuError::Invalid);
        }
        let reaches = |memory: &M, at| {
            let end = memory.device_address(at).checked_add(size as u64);
            end.is_some_and(|end| end <= limit)
        };
        let (bounce, at) = if self.memory.is_all() && (kind == 2 || reaches(&self.memory, host)) {
            (None, host)
        } else if kind == 2 {
            let inside = |piece: &M::Piece| {
                let (start, length) = self.memory.cpu_range(piece);
                start <= host && end <= start.saturating_add(length)
            };
            if !self.buffers.iter().any(inside) {
                return Err(IommuError::Unsupported);
            }
            (None, host)
        } else {
            let mut piece = self.memory.take(size).ok_or(IommuError::OutOfResources)?;
            if kind == 0 {
                self.memory.copy_in(&mut piece, host, size);
            }
            let (at, _) = self.memory.cpu_range(&piece);
            (Some(piece), at)
        };
        if !reaches(&self.memory, at) {
            return Err(if bounce.is_some() { IommuError::OutOfResources } else { IommuError::Unsupported });
        }
        let device = self.memory.device_address(at);
        let mapping = Mapping { bounce, written: kind == 1, host, size };
        let name = self.mappings.insert(mapping).map_err(|_| IommuError::OutOfResources)?;
        Ok((device, name))
    }

    /// Unmap(): ends what [`Self::map`] began. What a device was to write is the caller's from now on.
    pub fn unmap(&mut self, name: u64) -> Result<(), IommuError> {
        let mapping = self.mappings.remove(name).ok_or(IommuError::Invalid)?;
        if let (Some(bounce), true) = (&mapping.bounce, mapping.written) {
            self.memory.copy_out(bounce, mapping.host, mapping.size);
        }
        Ok(())
    }

    /// SetAttribute(): there is no translation that could differ by device, so that access is what [`Self::map`] gave.
    pub fn set_attribute(&self, name: u64, access: u64) -> Result<(), IommuError> {
        if access & !ACCESS != 0 || self.mappings.get(name).is_none() {
            return Err(IommuError::Invalid);
        }
        Err(IommuError::Unsupported)
    }

    /// AllocateBuffer(): `pages` for common buffers, and where the CPU has them.
    pub fn allocate(&mut self, pages: usize, attributes: u64) -> Result<u64, IommuError> {
        let limit = if is_wide(attributes)? { u64::MAX } else { LIMIT_32 };
        if pages == 0 {
            return Err(IommuError::Invalid);
        }
        let size = pages.checked_mul(PAGE_SIZE as usize).ok_or(IommuError::OutOfResources)?;
        self.buffers.try_reserve(1).map_err(|_| IommuError::OutOfResources)?;
        let piece = self.memory.take(size).ok_or(IommuError::OutOfResources)?;
        let (start, length) = self.memory.cpu_range(&piece);
        if self.memory.device_address(start).checked_add(length).is_none_or(|end| end > limit) {
            return Err(IommuError::OutOfResources);
        }
        self.buffers.push(piece);
        Ok(start)
    }

    /// FreeBuffer(): gives back what [`Self::allocate`] returned, as a whole. Mappings of it must have ended.
    pub fn free(&mut self, pages: usize, start: u64) -> Result<(), IommuError> {
        let size = (pages as u64).checked_mul(PAGE_SIZE).ok_or(IommuError::Invalid)?;
        let found = self.buffers.iter().position(|piece| self.memory.cpu_range(piece) == (start, size));
        self.buffers.swap_remove(found.ok_or(IommuError::Invalid)?);
        Ok(())
    }
}
