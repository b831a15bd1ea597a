//! Memory for the transfers of devices that master the bus: the same calls in a realm, where a transfer is bounced
//! through shared memory, and in a plain VM, where the device is given the memory itself.
//!
//! A driver takes what it works on together with the device (rings, descriptors) as [`SharedBuffer`]s, and one
//! [`Window`] for each transfer that it has under way at a time. No transfer makes an RSI call.
//!
//! A device keeps the address of a transfer until it is done. A driver that gives up waiting resets the device before
//! it ends the transfer.

use core::sync::atomic::{AtomicBool, Ordering};

use super::shared::SharedBuffer;
use crate::realm;

/// The largest transfer that needs to be asked for: more at a time gains nothing.
pub const MAX_TRANSFER: usize = 1 << 20;

/// How a device names shared memory. In a plain VM there is one form only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressForm {
    /// The address without the shared bit.
    Canonical,
    /// The shared alias: with the bit.
    Alias,
}

/// What a device is attached to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Bus {
    /// virtio-mmio.
    VirtioMmio,
    /// PCI Express.
    Pci,
}

/// Whether the VMM has fw_cfg, by which QEMU and those that follow it are known.
static HAS_FW_CFG: AtomicBool = AtomicBool::new(false);

/// Tells the policy of [`address_forms`] what VMM this is.
pub fn set_has_fw_cfg(has_fw_cfg: bool) {
    HAS_FW_CFG.store(has_fw_cfg, Ordering::Relaxed);
}

/// The form that a device of the VMM's own on the system bus takes, which is fw_cfg: the only one that any VMM has there.
pub const PLATFORM: AddressForm = AddressForm::Canonical;

/// The policy: the forms that a device on `bus` may take, the likeliest first. A driver whose device makes nothing of
/// the first resets it and tries the next.
///
/// In a realm, what the VMM itself plays takes canonical addresses, as QEMU's fw_cfg and virtio-mmio and all of kvmtool
/// do. QEMU's PCI devices take both, and one that is passed through sees the alias alone. Linux hands out canonical
/// addresses up to 6.15 and the alias since, so a VMM may have either.
pub fn address_forms(bus: Bus) -> &'static [AddressForm] {
    if !realm::is_realm() {
        return &[AddressForm::Canonical];
    }
    match bus {
        Bus::Pci if HAS_FW_CFG.load(Ordering::Relaxed) => &[AddressForm::Alias, AddressForm::Canonical],
        Bus::VirtioMmio | Bus::Pci => &[AddressForm::Canonical, AddressForm::Alias],
    }
}

/// The device's address of memory that devices reach, at the CPU's `address`.
pub fn device_address(address: u64, form: AddressForm) -> u64 {
    match form {
        AddressForm::Canonical => address,
        AddressForm::Alias => address | realm::shared_bit(),
    }
}

/// What transfers go through, one at a time. It lives as long as its driver likes, which saves clearing it for each.
#[derive(Debug)]
pub struct Window {
    /// None where the device is given the memory itself.
    bounce: Option<SharedBuffer>,
}

impl Window {
    /// A window for transfers of up to `size` bytes; `None` when the pool has no room. With `always` transfers are bounced
    /// in a plain VM, too.
    pub fn new(size: usize, always: bool) -> Option<Self> {
        let bounces = always || realm::is_realm();
        let bounce = if bounces { Some(SharedBuffer::take(size.max(1))?) } else { None };
        Some(Self { bounce })
    }

    /// The most bytes of one transfer.
    pub fn size(&self) -> usize {
        self.bounce.as_ref().map_or(usize::MAX, SharedBuffer::size)
    }

    /// Begins a transfer that the device reads `bytes` in (EfiPciIoOperationBusMasterRead).
    ///
    /// # Panics
    /// When it is larger than the window.
    pub fn send<'a>(&'a mut self, bytes: &'a [u8]) -> ToDevice<'a> {
        if let Some(bounce) = &mut self.bounce {
            bounce.write(0, bytes);
        }
        ToDevice { bounce: self.bounce.as_ref(), bytes }
    }

    /// Begins a transfer that the device writes to `bytes` in (EfiPciIoOperationBusMasterWrite).
    ///
    /// # Panics
    /// When it is larger than the window.
    pub fn receive<'a>(&'a mut self, bytes: &'a mut [u8]) -> FromDevice<'a> {
        assert!(bytes.len() <= self.size(), "larger than the window");
        FromDevice { bounce: self.bounce.as_ref(), bytes }
    }
}

/// A transfer to the device.
#[derive(Debug)]
pub struct ToDevice<'a> {
    bounce: Option<&'a SharedBuffer>,
    bytes: &'a [u8],
}

impl ToDevice<'_> {
    /// The address that the device is given, in the form that it takes.
    pub fn device_address(&self, form: AddressForm) -> u64 {
        match self.bounce {
            Some(bounce) => bounce.device_address(form),
            None => self.bytes.as_ptr().expose_provenance() as u64,
        }
    }
}

/// A transfer from the device. What the device wrote is the caller's once [`Self::complete`] was called; without, the
/// memory is as undefined as a device's failure leaves it.
#[derive(Debug)]
pub struct FromDevice<'a> {
    bounce: Option<&'a SharedBuffer>,
    bytes: &'a mut [u8],
}

impl FromDevice<'_> {
    /// The address that the device is given, in the form that it takes.
    pub fn device_address(&mut self, form: AddressForm) -> u64 {
        match self.bounce {
            Some(bounce) => bounce.device_address(form),
            None => self.bytes.as_mut_ptr().expose_provenance() as u64,
        }
    }

    /// Ends the transfer, which the device has said is done.
    pub fn complete(self) {
        if let Some(bounce) = self.bounce {
            bounce.read(0, self.bytes);
        }
    }
}
