//! The variables that the specification defines and that the firmware treats by their names
//! (UEFI 2.10, section 3.3).
//!
//! Lists of names are single strings: a table of slices would hold pointers, which the image cannot.

use r_efi::efi::{self, Guid};

use super::{BOOT_AND_RUNTIME, PERSISTENT};

/// `EFI_IMAGE_SECURITY_DATABASE_GUID` (UEFI 2.10, section 32.6.1).
const IMAGE_SECURITY_DATABASE: Guid =
    Guid::from_fields(0xd719_b2cb, 0x3d3a, 0x4596, 0xa3, 0xbc, &[0xda, 0xd0, 0x0e, 0x67, 0x65, 0x6f]);

/// Global variables that only the firmware writes.
///
/// AuditMode and DeployedMode can be written where images are verified, which the firmware does not do.
const READ_ONLY: &[u8] = b"SetupMode SecureBoot AuditMode DeployedMode VendorKeys SignatureSupport \
    PKDefault KEKDefault dbDefault dbxDefault dbtDefault dbrDefault \
    OsIndicationsSupported BootOptionSupport HwErrRecSupport CryptoIndicationsSupported \
    LangCodes PlatformLangCodes";

/// Global variables that the specification lets change only with a signature.
const POLICY_GLOBAL: &[u8] = b"PK KEK OsRecoveryOrder";

/// Signature databases, which also change only with a signature.
const POLICY_DATABASE: &[u8] = b"db dbx dbt dbr";

/// The name of numbered variables that do, too, whoever their vendor is.
const POLICY_NUMBERED: &[u8] = b"OsRecovery";

/// Global variables that others write too and that outlive a reset, where there is storage that does.
const PERSISTENT_GLOBAL: &[u8] =
    b"BootOrder BootNext DriverOrder SysPrepOrder Timeout OsIndications CryptoIndications \
    PlatformLang Lang ConIn ConOut ErrOut";

/// The names of numbered global variables of that kind, in front of four upper-case hexadecimal digits.
const NUMBERED: &[u8] = b"Boot Driver SysPrep Key";

/// Global variables that say what is so on this boot.
const PRESENT_GLOBAL: &[u8] = b"BootCurrent ConInDev ConOutDev ErrOutDev";

/// Whether a variable may be made with these attributes. What has a vendor that the specification defines must be a
/// variable that it defines, with the attributes that it gives (UEFI 2.10, section 3.3 and table 3.1).
pub fn may_create(name: &[u8], guid: &Guid, attributes: u32) -> bool {
    if is_secure_boot_policy(name, guid) {
        return attributes == PERSISTENT | efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS;
    }
    if *guid == efi::GLOBAL_VARIABLE {
        let wanted = if is_among(name, PERSISTENT_GLOBAL) || is_numbered(name, NUMBERED) {
            PERSISTENT
        } else if is_among(name, PRESENT_GLOBAL) {
            BOOT_AND_RUNTIME
        } else {
            return false;
        };
        return attributes == wanted;
    }
    // Those that these vendors have are never made here, or are error records.
    *guid != IMAGE_SECURITY_DATABASE
        && (*guid != efi::HARDWARE_ERROR_VARIABLE_GUID || attributes & efi::VARIABLE_HARDWARE_ERROR_RECORD != 0)
}

/// Whether only the firmware may write this variable.
pub fn is_read_only(name: &[u8], guid: &Guid) -> bool {
    *guid == efi::GLOBAL_VARIABLE && (is_among(name, READ_ONLY) || is_numbered(name, b"PlatformRecovery"))
}

/// Whether this is a secure boot policy variable, which must not change without a verified signature (UEFI 2.11,
/// section 8.2.6).
fn is_secure_boot_policy(name: &[u8], guid: &Guid) -> bool {
    *guid == efi::GLOBAL_VARIABLE && is_among(name, POLICY_GLOBAL)
        || *guid == IMAGE_SECURITY_DATABASE && is_among(name, POLICY_DATABASE)
        || is_numbered(name, POLICY_NUMBERED)
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

/// `EFI_OS_INDICATIONS_BOOT_TO_FW_UI` (UEFI 2.10, section 8.5.4), as OsIndications has it.
const BOOT_TO_FW_UI: [u8; 8] = 1u64.to_le_bytes();

/// Calls `create` with the name, the attributes and the data of each global variable that exists
/// from the start. What OsIndications asks for can be done where it `outlives_reset`.
pub fn defaults(outlives_reset: bool, mut create: impl FnMut(&[u8], u32, &[u8])) {
    let indications = if outlives_reset { BOOT_TO_FW_UI } else { [0; 8] };
    create(ucs2(b"SetupMode").as_flattened(), BOOT_AND_RUNTIME, &[1]);
    create(ucs2(b"SecureBoot").as_flattened(), BOOT_AND_RUNTIME, &[0]);
    create(ucs2(b"AuditMode").as_flattened(), BOOT_AND_RUNTIME, &[0]);
    create(ucs2(b"DeployedMode").as_flattened(), BOOT_AND_RUNTIME, &[0]);
    create(ucs2(b"BootOptionSupport").as_flattened(), BOOT_AND_RUNTIME, &[0; 4]);
    create(ucs2(b"Timeout").as_flattened(), PERSISTENT, &[0; 2]);
    create(ucs2(b"OsIndicationsSupported").as_flattened(), BOOT_AND_RUNTIME, &indications);
    create(ucs2(b"PlatformLangCodes").as_flattened(), BOOT_AND_RUNTIME, b"en\0");
    create(ucs2(b"PlatformLang").as_flattened(), PERSISTENT, b"en\0");
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

/// Whether the name is one of the list with four digits behind it.
fn is_numbered(name: &[u8], list: &[u8]) -> bool {
    let Some((stem, digits)) = name.split_last_chunk::<8>() else { return false };
    is_among(stem, list) && ascii(digits).all(|digit| matches!(digit, b'0'..=b'9' | b'A'..=b'F'))
}
