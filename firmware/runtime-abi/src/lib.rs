//! The layout shared by the firmware and its runtime services image.
//!
//! The image is one region of `EfiRuntimeServicesCode`, aligned to [`ALIGNMENT`]:
//!
//! ```text
//! 0          ImageHeader, code, read-only data     execute, read
//! code_size  Tables, then state of the image       read, write
//! code_size + data_size
//! ```
//!
//! Both parts are a multiple of [`ALIGNMENT`] long, so that an OS with 64 KiB pages can give them
//! different permissions. Code finds its data relative to the program counter; the distance survives
//! `SetVirtualAddressMap()` because the whole region is one memory descriptor.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

use core::ffi::c_void;
use core::mem::size_of;

use r_efi::efi;

/// Alignment, in bytes, of the region and of both of its parts: the largest page of an arm64 OS.
pub const ALIGNMENT: usize = 0x1_0000;

/// Room in [`Tables::address_change`], in entries.
pub const ADDRESS_CHANGE_CAPACITY: usize = 64;

/// Room in [`Tables::drivers`], in entries.
pub const DRIVER_CAPACITY: usize = 32;

/// The specification that all tables follow: UEFI 2.10, as `EFI_TABLE_HEADER.Revision` says it (4.2).
pub const UEFI_REVISION: u32 = (2 << 16) | 100;

/// What the system table gives as the firmware's vendor.
pub const VENDOR: &str = "realmfw";

/// The header at offset 0 of the image. All offsets and sizes are bytes; offsets count from the header.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// [`ImageHeader::MAGIC`].
    pub magic: u64,
    /// [`ImageHeader::VERSION`].
    pub version: u32,
    /// Length of the first part, a multiple of [`ALIGNMENT`]. The flat file may end earlier: the
    /// rest is zero.
    pub code_size: u32,
    /// Length of the second part, a multiple of [`ALIGNMENT`]; its [`Tables`] are zero at the start.
    pub data_size: u32,
    /// Offset of the entry point of type [`Initialize`].
    pub initialize: u32,
    /// Offset of the entry point of type [`ExitBootServices`].
    pub exit_boot_services: u32,
    /// Zero; keeps the header's size a multiple of eight.
    pub reserved: u32,
}

impl ImageHeader {
    /// The bytes `realm-rt`, read as a little-endian number.
    pub const MAGIC: u64 = u64::from_le_bytes(*b"realm-rt");
    /// Version of everything in this crate: the image and the firmware must agree.
    pub const VERSION: u32 = 6;

    /// Reads the header of the flat image `file` and checks all that the loader relies on; `None` if
    /// `file` is no image of this version, or names a place outside itself.
    #[must_use]
    pub fn parse(file: &[u8]) -> Option<Self> {
        let word = |offset: usize| -> Option<u32> {
            let bytes = file.get(offset..offset.checked_add(4)?)?;
            Some(u32::from_le_bytes(bytes.try_into().ok()?))
        };
        let header = Self {
            magic: u64::from(word(0)?) | u64::from(word(4)?) << 32,
            version: word(8)?,
            code_size: word(12)?,
            data_size: word(16)?,
            initialize: word(20)?,
            exit_boot_services: word(24)?,
            reserved: word(28)?,
        };
        let code_size = usize::try_from(header.code_size).ok()?;
        let data_size = usize::try_from(header.data_size).ok()?;
        let entry = |offset: u32| {
            usize::try_from(offset)
                .is_ok_and(|offset| offset >= size_of::<Self>() && offset < file.len() && offset.is_multiple_of(4))
        };
        let valid = header.magic == Self::MAGIC
            && header.version == Self::VERSION
            && code_size.is_multiple_of(ALIGNMENT)
            && data_size.is_multiple_of(ALIGNMENT)
            && file.len() <= code_size
            && size_of::<Tables>() <= data_size
            && entry(header.initialize)
            && entry(header.exit_boot_services);
        valid.then_some(header)
    }
}

/// How PSCI is called (SMC Calling Convention, DEN0028, section 2).
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// There is no PSCI: `ResetSystem()` can only stop the CPU.
    None = 0,
    /// `smc #0`.
    Smc = 1,
    /// `hvc #0`.
    Hvc = 2,
}

/// What the firmware tells the image at the start.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// Address at which the PL031's registers are mapped, with a realm's shared bit where there is
    /// one; zero if there is no clock. The page it lies in must be a descriptor of
    /// `EfiMemoryMappedIO` with `EFI_MEMORY_RUNTIME` in the memory map.
    pub rtc_base: u64,
    /// Conduit of PSCI.
    pub conduit: Conduit,
    /// `FirmwareRevision` of the system table.
    pub firmware_revision: u32,
    /// Whether the memory behind [`Tables`] may be what the image had there before the machine was reset. Non-volatile
    /// variables are then taken over from it, if they are found whole.
    pub memory_outlives_reset: bool,
}

/// Entry point: makes the tables (with their CRCs) and the variables that the specification wants
/// to exist. Called once, after the image has been placed and its tables zeroed; the pointer is
/// needed only during the call. The result is the data part's address.
pub type Initialize = extern "C" fn(*const Parameters) -> *mut Tables;

/// Entry point: enters the runtime phase. Clears what the system table has of boot services, updates
/// its CRC, hides the variables without runtime access. The last act of `ExitBootServices()`, after
/// [`Tables::address_change`] has been filled.
pub type ExitBootServices = extern "C" fn();

/// What calls those who registered with EFI_RESET_NOTIFICATION_PROTOCOL.
pub type ResetNotification = unsafe extern "efiapi" fn(efi::ResetType, efi::Status, usize, *mut c_void);

/// A notification for `SetVirtualAddressMap()`: an event of type or group `VIRTUAL_ADDRESS_CHANGE`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct AddressChange {
    /// Physical address of the `EFI_EVENT_NOTIFY` function, which lies in runtime memory.
    pub notify: u64,
    /// The event, handed to `notify` as it stands.
    pub event: efi::Event,
    /// The context, handed to `notify` as it stands.
    pub context: *mut c_void,
}

/// A 64-bit address in a runtime driver's image.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fixup {
    /// Physical address of the eight bytes, of any alignment.
    pub place: u64,
    /// What the loader left there. A driver that has changed it since keeps its change.
    pub value: u64,
}

/// A runtime driver that `SetVirtualAddressMap()` has to relocate.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    /// Physical address of the image.
    pub base: u64,
    /// SizeOfImage, in bytes.
    pub size: u64,
    /// The addresses in it, in runtime memory, where it stands before the change.
    pub fixups: *const Fixup,
    /// How many there are.
    pub fixup_count: usize,
}

/// The start of the data part. After [`Initialize`] all of it is valid; before, all of it is zero, so
/// no reference to `runtime_services` may be made before.
#[repr(C)]
pub struct Tables {
    /// `EFI_SYSTEM_TABLE`. The firmware fills in the consoles, `BootServices`, `NumberOfTableEntries` and
    /// `ConfigurationTable`, and then the CRC.
    pub system_table: efi::SystemTable,
    /// `EFI_RUNTIME_SERVICES`, complete.
    pub runtime_services: efi::RuntimeServices,
    /// What `FirmwareVendor` of the system table points at: [`VENDOR`] in UCS-2, with its NUL.
    pub vendor: [u16; VENDOR.len() + 1],
    /// Notifications that `SetVirtualAddressMap()` makes, in this order. The firmware fills the list
    /// when boot services end.
    pub address_change: [AddressChange; ADDRESS_CHANGE_CAPACITY],
    /// How many entries of `address_change` are valid.
    pub address_change_count: usize,
    /// The runtime drivers that stay. The firmware fills the list when boot services end.
    pub drivers: [Driver; DRIVER_CAPACITY],
    /// How many entries of `drivers` are valid.
    pub driver_count: usize,
    /// High half of the monotonic counter, shared by `GetNextMonotonicCount()` and
    /// `GetNextHighMonotonicCount()`.
    pub monotonic_high: u32,
    /// What `ResetSystem()` calls first, with its own arguments, until boot services end.
    pub reset_notification: Option<ResetNotification>,
}

/// The `EFI_RT_SUPPORTED_*` bits (UEFI 2.10, 4.6.2) that hold for this image with a clock
/// (`clock`) or without.
#[must_use]
pub const fn supported_at_runtime(clock: bool) -> u32 {
    let supported = efi::RT_SUPPORTED_GET_VARIABLE
        | efi::RT_SUPPORTED_GET_NEXT_VARIABLE_NAME
        | efi::RT_SUPPORTED_SET_VARIABLE
        | efi::RT_SUPPORTED_QUERY_VARIABLE_INFO
        | efi::RT_SUPPORTED_SET_VIRTUAL_ADDRESS_MAP
        | efi::RT_SUPPORTED_CONVERT_POINTER
        | efi::RT_SUPPORTED_GET_NEXT_HIGH_MONOTONIC_COUNT
        | efi::RT_SUPPORTED_RESET_SYSTEM;
    if clock { supported | efi::RT_SUPPORTED_GET_TIME | efi::RT_SUPPORTED_SET_TIME } else { supported }
}

/// The CRC-32 of EFI table headers (ISO 3309, reflected polynomial 0xEDB8_8320), as
/// `CalculateCrc32()` gives it; to be computed with the table's CRC field zero.
#[must_use]
pub fn crc32(bytes: impl IntoIterator<Item = u8>) -> u32 {
    // Half a byte at a time.
    let step = |crc: u32, _| (crc >> 4) ^ REMAINDERS.get((crc & 0xf) as usize).copied().unwrap_or_default();
    !bytes.into_iter().fold(!0, |crc, byte| (0..2).fold(crc ^ u32::from(byte), step))
}

/// What is left of each half byte.
#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler, which would refuse it")]
const REMAINDERS: [u32; 16] = {
    let mut remainders = [0; 16];
    let mut at = 0;
    while at < remainders.len() {
        let mut remainder = at as u32;
        let mut bit = 0;
        while bit < 4 {
            remainder = (remainder >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(remainder & 1));
            bit += 1;
        }
        remainders[at] = remainder;
        at += 1;
    }
    remainders
};

#[cfg(test)]
mod tests {
    use super::*;

    fn image(change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
        let mut file = Vec::new();
        file.extend(ImageHeader::MAGIC.to_le_bytes());
        for word in [ImageHeader::VERSION, 0x1_0000, 0x2_0000, 0x40, 0x44, 0] {
            file.extend(word.to_le_bytes());
        }
        file.resize(0x80, 0);
        change(&mut file);
        file
    }

    #[test]
    fn header_is_read_and_checked() {
        let header = ImageHeader::parse(&image(|_| {})).unwrap();
        assert_eq!(header.data_size, 0x2_0000);
        assert_eq!(header.exit_boot_services, 0x44);
        let refused = |change: &dyn Fn(&mut Vec<u8>)| ImageHeader::parse(&image(change)).is_none();
        assert!(refused(&|file| file[0] ^= 1));
        assert!(refused(&|file| file[8] ^= 1));
        assert!(refused(&|file| file[13] = 1));
        assert!(refused(&|file| file[17] = 1));
        assert!(refused(&|file| file[18] = 0));
        assert!(refused(&|file| file[20] = 0x10));
        assert!(refused(&|file| file[20] = 0x80));
        assert!(refused(&|file| file[24] = 0x46));
        assert!(refused(&|file| file.truncate(31)));
        assert!(refused(&|file| file.resize(0x1_0001, 0)));
    }

    #[test]
    fn crc_has_the_published_check_value() {
        assert_eq!(crc32(*b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32([]), 0);
    }

    #[test]
    fn time_is_supported_only_with_a_clock() {
        assert_eq!(supported_at_runtime(false), 0x27F0);
        assert_eq!(supported_at_runtime(true) ^ supported_at_runtime(false), 3);
    }
}
