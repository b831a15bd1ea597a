//! EFI_UNICODE_COLLATION_PROTOCOL (UEFI 2.11, 21.1).

use core::ffi::c_char;
use core::slice;

use r_efi::efi::{Boolean, Guid};

use crate::env;
use crate::report::{check, equal};

const PROTOCOL_GUID: Guid =
    Guid::from_fields(0xa4c7_51fc, 0x23ae, 0x4c3e, 0x92, 0xe9, &[0x49, 0x64, 0xcf, 0x63, 0xf3, 0x49]);

#[repr(C)]
struct Protocol {
    stri_coll: unsafe extern "efiapi" fn(*mut Protocol, *const u16, *const u16) -> isize,
    metai_match: unsafe extern "efiapi" fn(*mut Protocol, *const u16, *const u16) -> Boolean,
    str_lwr: unsafe extern "efiapi" fn(*mut Protocol, *mut u16),
    str_upr: unsafe extern "efiapi" fn(*mut Protocol, *mut u16),
    fat_to_str: unsafe extern "efiapi" fn(*mut Protocol, usize, *const u8, *mut u16),
    str_to_fat: unsafe extern "efiapi" fn(*mut Protocol, *const u16, usize, *mut u8) -> Boolean,
    supported_languages: *const c_char,
}

/// A string of up to 15 units.
fn text(from: &str) -> [u16; 16] {
    let mut units = [0; 16];
    for (unit, from) in units[..15].iter_mut().zip(from.encode_utf16()) {
        *unit = from;
    }
    units
}

pub fn run() {
    let protocol: *mut Protocol = env::locate(&PROTOCOL_GUID);
    check("UnicodeCollation: there", !protocol.is_null());
    if protocol.is_null() {
        return;
    }
    let p = unsafe { &*protocol };
    let languages = unsafe { slice::from_raw_parts(p.supported_languages.cast::<u8>(), 3) };
    check("UnicodeCollation: SupportedLanguages", languages == b"en\0" || languages == b"en;" || languages == b"en-");

    let collate = |a: &str, b: &str| unsafe { (p.stri_coll)(protocol, text(a).as_ptr(), text(b).as_ptr()) }.signum();
    equal("StriColl: case", collate("Shell", "sHELL"), 0);
    equal("StriColl: before", collate("a", "B"), -1);
    equal("StriColl: after", collate("b", "A"), 1);
    equal("StriColl: longer", collate("ab", "A"), 1);
    equal("StriColl: nothing", collate("", ""), 0);

    let matches = |a: &str, pattern: &str| {
        bool::from(unsafe { (p.metai_match)(protocol, text(a).as_ptr(), text(pattern).as_ptr()) })
    };
    check("MetaiMatch: *", matches("startup.nsh", "*.NSH") && !matches("startup.nsh", "*.efi"));
    check("MetaiMatch: * goes back", matches("a.b.nsh", "*.nsh") && matches("aab", "*ab"));
    check("MetaiMatch: ?", matches("fs0", "FS?") && !matches("fs", "fs?"));
    check("MetaiMatch: set", matches("b", "[abc]") && !matches("d", "[abc]"));
    check("MetaiMatch: range", matches("fs7", "fs[0-9]") && !matches("fsx", "fs[0-9]"));
    check("MetaiMatch: the whole string", !matches("ab", "a") && !matches("a", "ab"));

    let mut name = text("aZ-1");
    unsafe { (p.str_upr)(protocol, name.as_mut_ptr()) };
    equal("StrUpr", name, text("AZ-1"));
    unsafe { (p.str_lwr)(protocol, name.as_mut_ptr()) };
    equal("StrLwr", name, text("az-1"));

    let mut wide = [0x2a; 16];
    unsafe { (p.fat_to_str)(protocol, 3, b"KERNEL".as_ptr(), wide.as_mut_ptr()) };
    equal("FatToStr: its size", wide.first_chunk(), Some(&[0x4b, 0x45, 0x52, 0, 0x2a]));
    wide.fill(0x2a);
    unsafe { (p.fat_to_str)(protocol, 6, b"AB\0CDE".as_ptr(), wide.as_mut_ptr()) };
    equal("FatToStr: ends at NUL", wide.first_chunk(), Some(&[0x41, 0x42, 0, 0x2a]));

    let mut fat = [0x2a; 8];
    let mut convert = |name: &str, size| {
        fat = [0x2a; 8];
        let substituted = unsafe { (p.str_to_fat)(protocol, text(name).as_ptr(), size, fat.as_mut_ptr()) };
        (bool::from(substituted), fat)
    };
    equal("StrToFat: leaves dots and spaces out", convert("a. b", 8), (false, *b"AB******"));
    equal("StrToFat: its size", convert("abcdef", 3), (false, *b"ABC*****"));
    equal("StrToFat: substitutes", convert("a:\u{3042}", 8), (true, *b"A__*****"));
}
