//! What the UEFI protocols of PCI are asked for: widths and places of accesses (UEFI 2.11, 14.2 and 14.4).

use alloc::vec::Vec;

use crate::Address;

/// Bytes of configuration space that a function has.
pub const CONFIG_LENGTH: u64 = 4096;

/// EFI_PCI_IO_PROTOCOL_WIDTH: how much an access moves, and what goes on between one and the next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Width {
    value: u32,
}

impl Width {
    /// Widths from here on write to or read from one register.
    const FIFO: u32 = 4;
    /// Widths from here on have one value in the buffer.
    const FILL: u32 = 8;
    const MAXIMUM: u32 = 12;

    /// A width; `None` when there is none such.
    pub fn new(value: u32) -> Option<Self> {
        (value < Self::MAXIMUM).then_some(Self { value })
    }

    /// A width that is neither FIFO nor FILL.
    pub fn plain(value: u32) -> Option<Self> {
        (value < Self::FIFO).then_some(Self { value })
    }

    /// Bytes of one access: 1, 2, 4 or 8.
    pub fn size(self) -> u64 {
        1 << (self.value & 3)
    }

    /// Bytes of registers that `count` accesses touch; `None` when these are more than there can be.
    pub fn span(self, count: usize) -> Option<u64> {
        if self.is_fifo() && count != 0 {
            return Some(self.size());
        }
        self.size().checked_mul(count as u64)
    }

    /// How far the register of the access `index` is behind the first.
    pub fn register_offset(self, index: usize) -> u64 {
        if self.is_fifo() { 0 } else { self.size().wrapping_mul(index as u64) }
    }

    /// How far the value of the access `index` is behind the first.
    pub fn buffer_offset(self, index: usize) -> usize {
        if self.value >= Self::FILL { 0 } else { (self.size() as usize).wrapping_mul(index) }
    }

    fn is_fifo(self) -> bool {
        (Self::FIFO..Self::FILL).contains(&self.value)
    }
}

/// The function and the register of an EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL_PCI_ADDRESS.
pub fn from_efi_address(value: u64) -> (Address, u64) {
    let [register, function, device, bus, ..] = value.to_le_bytes();
    let extended = value >> 32;
    let register = if extended == 0 { register.into() } else { extended };
    (Address { bus, device, function }, register)
}

/// The EFI_PCI_ROOT_BRIDGE_IO_PROTOCOL_PCI_ADDRESS of a register.
pub fn to_efi_address(address: Address, register: u32) -> u64 {
    let low = u32::from_le_bytes([0, address.function, address.device, address.bus]);
    u64::from(register) << 32 | u64::from(low)
}

/// What a QWORD address space descriptor is about (ACPI 6.5, 6.4.3.5.1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Resource {
    kind: u8,
    flags: u8,
    granularity: u64,
}

impl Resource {
    /// I/O ports.
    pub const IO: Self = Self { kind: 1, flags: 0, granularity: 0 };
    /// Bus numbers.
    pub const BUS: Self = Self { kind: 2, flags: 0, granularity: 0 };

    /// Memory with addresses of 32 bits, or of 64.
    pub fn memory(is_64: bool, prefetchable: bool) -> Self {
        const PREFETCHABLE: u8 = 3 << 1;
        let flags = if prefetchable { PREFETCHABLE } else { 0 };
        Self { kind: 0, flags, granularity: if is_64 { 64 } else { 32 } }
    }
}

/// The end of a list of descriptors (ACPI 6.5, 6.4.2.9); a checksum of zero counts as right.
pub const END_TAG: [u8; 2] = [0x79, 0];

/// Appends the QWORD address space descriptor of `length` addresses from `start` of the CPU on, which are `bus_start` on
/// the bus.
pub fn describe(list: &mut Vec<u8>, resource: Resource, start: u64, bus_start: u64, length: u64) {
    // Two bytes in front make whole numbers of all the fields.
    let head = u64::from_le_bytes([0, 0, 0x8a, 43, 0, resource.kind, 0, resource.flags]);
    let last = start.wrapping_add(length).wrapping_sub(1);
    let numbers = [head, resource.granularity, start, last, bus_start.wrapping_sub(start), length];
    let bytes = numbers.map(u64::to_le_bytes);
    list.extend_from_slice(bytes.as_flattened().get(2..).unwrap_or_default());
}
