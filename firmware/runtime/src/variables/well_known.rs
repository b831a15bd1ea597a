//! The variables that the specification defines and that the firmware treats by their names
//! (UEFI 2.10, section 3.3).
//!
//! Lists of names are single strings: a table of slices would hold pointers, which the image cannot.

use r_efi::efi::{self, Guid};

use super::BOOT_AND_RUNTIME;

/// `EFI_IMAGE_SECURITY_DATABASE_GUID` (UEFI 2.10, section 32.6.1).
const IMAGE_SECURITY_DATABASE: Guid =
    Guid::from_fields(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, &[0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);

/// Global variables that only the firmware writes.
const READ_ONLY: &[u8] = b"SetupMode SecureBoot AuditMode DeployedMode VendorKeys SignatureSupport \
    PKDefault KEKDefault dbDefault dbxDefault dbtDefault dbrDefault \
    OsIndicationsSupported BootOptionSupport HwErrRecSupport CryptoIndicationsSupported \
    LangCodes PlatformLangCodes";

/// Global variables that the specification lets change only with a signature.
const AUTHENTICATED_GLOBAL: &[u8] = b"PK KEK OsRecoveryOrder";

/// Signature databases, which also change only with a signature.
const AUTHENTICATED_DATABASE: &[u8] = b"db dbx dbt dbr";

/// Whether only the firmware may write this variable.
pub fn is_read_only(name: &[u8], guid: &Guid) -> bool {
    *guid == efi::GLOBAL_VARIABLE && is_among(name, READ_ONLY)
}

/// Whether this variable must not change without a verified signature, whatever the attributes.
pub fn is_authenticated(name: &[u8], guid: &Guid) -> bool {
    *guid == efi::GLOBAL_VARIABLE && is_among(name, AUTHENTICATED_GLOBAL)
        || *guid == IMAGE_SECURITY_DATABASE && is_among(name, AUTHENTICATED_DATABASE)
}

/// Whether this is a name for a hardware error record: `HwErrRec` and four hexadecimal digits
/// (UEFI 2.10, table 3.1 and appendix P).
pub fn is_hardware_error_record(name: &[u8], guid: &Guid) -> bool {
    let mut characters = ascii(name);
    *guid == efi::HARDWARE_ERROR_VARIABLE_GUID
        && b"HwErrRec".iter().all(|letter| characters.next() == Some(*letter))
        && (0..4).all(|_| characters.next().is_some_and(|digit| digit.is_ascii_hexdigit()))
        && characters.next().is_none()
}

/// Calls `create` with the name, the attributes and the data of each global variable that exists
/// from the start.
pub fn defaults(mut create: impl FnMut(&[u8], u32, &[u8])) {
    let persistent = BOOT_AND_RUNTIME | efi::VARIABLE_NON_VOLATILE;
    create(ucs2(b"SetupMode").as_flattened(), BOOT_AND_RUNTIME, &[1]);
    create(ucs2(b"SecureBoot").as_flattened(), BOOT_AND_RUNTIME, &[0]);
    create(ucs2(b"OsIndicationsSupported").as_flattened(), BOOT_AND_RUNTIME, &[0; 8]);
    create(ucs2(b"PlatformLangCodes").as_flattened(), BOOT_AND_RUNTIME, b"en\0");
    create(ucs2(b"PlatformLang").as_flattened(), persistent, b"en\0");
}

fn ucs2<const LENGTH: usize>(ascii: &[u8; LENGTH]) -> [[u8; 2]; LENGTH] {
    ascii.map(|letter| [letter, 0])
}

/// The characters of a UCS-2 name, 0xFF for those beyond 8 bits.
fn ascii(name: &[u8]) -> impl Iterator<Item = u8> {
    let (characters, _) = name.as_chunks();
    characters.iter().map(|character| match character {
        [letter, 0] => *letter,
        _ => 0xff,
    })
}

fn is_among(name: &[u8], list: &[u8]) -> bool {
    list.split(|byte| *byte == b' ').any(|entry| ascii(name).eq(entry.iter().copied()))
}
