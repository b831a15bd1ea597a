//! What the firmware says that it conforms to: EFI_CONFORMANCE_PROFILES_TABLE (UEFI 2.11, 4.6.5) and
//! EFI_DRIVER_SUPPORTED_EFI_VERSION_PROTOCOL (UEFI 2.11, 11.13).

use alloc::boxed::Box;
use core::ffi::c_void;

use r_efi::efi::Guid;

/// EFI_CONFORMANCE_PROFILES_TABLE_GUID
pub const PROFILES_TABLE_GUID: Guid =
    Guid::from_fields(0x3612_2546, 0xf7e7, 0x4c8f, 0xbd, 0x9b, &[0xeb, 0x85, 0x25, 0xb5, 0x0c, 0x0b]);

/// EFI_DRIVER_SUPPORTED_EFI_VERSION_PROTOCOL_GUID
pub const SUPPORTED_VERSION_GUID: Guid =
    Guid::from_fields(0x5c19_8761, 0x16a8, 0x4e69, 0x97, 0x2c, &[0x89, 0xd6, 0x79, 0x54, 0xf8, 0x1d]);

/// EFI_CONFORMANCE_PROFILE_EBBR_2_1_GUID (EBBR 2.1, 2.2.1)
const EBBR_2_1: Guid =
    Guid::from_fields(0xcce3_3c35, 0x74ac, 0x4087, 0xbc, 0xe7, &[0x8b, 0x29, 0xb0, 0x2e, 0xeb, 0x27]);

/// EFI_CONFORMANCE_PROFILES_TABLE_VERSION
const PROFILES_VERSION: u16 = 1;

/// EFI_CONFORMANCE_PROFILES_TABLE with its profile.
#[repr(C)]
struct Profiles {
    version: u16,
    count: u16,
    profile: Guid,
}

/// The interface: data only.
#[repr(C)]
struct SupportedVersion {
    length: u32,
    firmware_version: u32,
}

/// Makes the table. Without it the whole of UEFI 2.11, section 2.6, would be claimed.
pub fn profiles() -> *mut c_void {
    let table = Profiles { version: PROFILES_VERSION, count: 1, profile: EBBR_2_1 };
    (&raw mut *Box::leak(Box::new(table))).cast()
}

/// Makes the protocol instance.
pub fn supported_version() -> *mut c_void {
    /// The length of the structure in bytes.
    const LENGTH: u32 = 8;
    let version = SupportedVersion { length: LENGTH, firmware_version: runtime_abi::UEFI_REVISION };
    (&raw mut *Box::leak(Box::new(version))).cast()
}
