//! UEFI strings: NUL-terminated CHAR16, little-endian (UEFI Specification 2.11, section 2.3.1).
//!
//! UEFI calls the encoding UCS-2; what clients pass is UTF-16, and it is read as such. Code units
//! that are no character (single surrogates) become U+FFFD.

use alloc::collections::TryReserveError;
use alloc::string::String;
use alloc::vec::Vec;

/// The code units before the first NUL; `None` when there is none.
pub fn until_nul(units: &[u16]) -> Option<&[u16]> {
    let len = units.iter().position(|unit| *unit == 0)?;
    units.get(..len)
}

/// The code units before the first NUL in little-endian bytes of any alignment, and the length of
/// the string in bytes with its NUL; `None` when there is no NUL.
pub fn read_nul_terminated(bytes: &[u8]) -> Option<(Chars16<'_>, usize)> {
    let units = bytes.as_chunks::<2>().0;
    let len = units.iter().position(|unit| *unit == [0, 0])?;
    Some((Chars16(units.get(..len)?), (len + 1) * 2))
}

/// Code units in little-endian bytes of any alignment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chars16<'a>(&'a [[u8; 2]]);

impl<'a> Chars16<'a> {
    /// The code units.
    pub fn units(self) -> impl Iterator<Item = u16> + 'a {
        self.0.iter().map(|unit| u16::from_le_bytes(*unit))
    }

    /// The characters.
    pub fn chars(self) -> impl Iterator<Item = char> + 'a {
        decode(self.units())
    }
}

/// The characters of code units, which need not be terminated.
pub fn decode(units: impl IntoIterator<Item = u16>) -> impl Iterator<Item = char> {
    char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER))
}

/// The string before the first NUL, or all of it when there is none.
pub fn to_string(units: &[u16]) -> Result<String, TryReserveError> {
    let units = until_nul(units).unwrap_or(units);
    let mut string = String::new();
    // No code unit takes more than three bytes: those of a pair take two each.
    string.try_reserve(units.len().saturating_mul(3))?;
    string.extend(decode(units.iter().copied()));
    Ok(string)
}

/// The string's code units with a terminating NUL; a NUL within ends it.
pub fn from_str(string: &str) -> Result<Vec<u16>, TryReserveError> {
    let mut units = Vec::new();
    // No character has more code units than bytes.
    units.try_reserve_exact(string.len().saturating_add(1))?;
    units.extend(string.encode_utf16().take_while(|unit| *unit != 0));
    units.push(0);
    Ok(units)
}

/// The only code unit of a character; `None` for one beyond the Basic Multilingual Plane.
pub fn unit(c: char) -> Option<u16> {
    u16::try_from(u32::from(c)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for text in ["", "root=/dev/vda1", "grüße", "a\u{1f600}b"] {
            let units = from_str(text).unwrap();
            assert_eq!(units.last(), Some(&0));
            assert_eq!(to_string(&units).unwrap(), text);
        }
    }

    #[test]
    fn nul_ends_strings() {
        assert_eq!(from_str("a\0b").unwrap(), [0x61, 0]);
        assert_eq!(to_string(&[0x61, 0, 0x62]).unwrap(), "a");
        assert_eq!(to_string(&[0x61, 0x62]).unwrap(), "ab");
        assert_eq!(until_nul(&[0x61, 0, 0x62]), Some(&[0x61][..]));
        assert_eq!(until_nul(&[0x61]), None);
    }

    #[test]
    fn surrogates() {
        assert_eq!(to_string(&[0xd83d, 0x61]).unwrap(), "\u{fffd}a");
        assert_eq!(to_string(&[0xde00]).unwrap(), "\u{fffd}");
        assert_eq!(unit('\u{1f600}'), None);
        assert_eq!(unit('ä'), Some(0xe4));
    }

    #[test]
    fn unaligned_bytes() {
        let bytes = [b'a', 0, b'b', 0, 0, 0, b'c'];
        let (chars, len) = read_nul_terminated(&bytes).unwrap();
        assert_eq!(chars.chars().collect::<String>(), "ab");
        assert_eq!(len, 6);
        // Two zero bytes that are not one code unit do not end a string.
        assert_eq!(read_nul_terminated(&[0x61, 0, 0, 0x62]), None);
        assert_eq!(read_nul_terminated(&[0]), None);
    }
}
