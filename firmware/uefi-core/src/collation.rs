//! Strings as EFI_UNICODE_COLLATION_PROTOCOL compares, folds and matches them, in English (section 21.1).
//!
//! Letters are those of ISO 8859-1: what an 8-bit FAT name can hold. Strings are iterators over code units, so that
//! a caller's string is walked where it is.

use core::cmp::Ordering;

/// Latin letters and their other case are so far apart.
const CASE: u16 = 0x20;

/// What is no name in FAT, besides control characters and what is beyond 8 bits.
const NOT_IN_FAT: &[u8] = b"\"*+,/:;<=>?[\\]|\x7f";

/// The lower-case letter of an upper-case one; anything else as it is.
pub fn lower(unit: u16) -> u16 {
    match unit {
        0x41..=0x5a | 0xc0..=0xd6 | 0xd8..=0xde => unit + CASE,
        _ => unit,
    }
}

/// The upper-case letter of a lower-case one; anything else as it is.
pub fn upper(unit: u16) -> u16 {
    match unit {
        0x61..=0x7a | 0xe0..=0xf6 | 0xf8..=0xfe => unit - CASE,
        _ => unit,
    }
}

/// `StriColl()`: the order of two strings, without regard to case.
pub fn compare(first: impl Iterator<Item = u16>, second: impl Iterator<Item = u16>) -> Ordering {
    first.map(upper).cmp(second.map(upper))
}

/// `MetaiMatch()`: whether the whole of `text` is what `pattern` describes, without regard to case. `*` stands for
/// any string, `?` for any unit, `[abc]` and `[a-c]` for one of a set.
pub fn matches<T, P>(mut text: T, mut pattern: P) -> bool
where
    T: Iterator<Item = u16> + Clone,
    P: Iterator<Item = u16> + Clone,
{
    // What the last star has not taken yet, and the pattern behind it. Earlier stars need not take more than they
    // have: this one can.
    let mut star: Option<(T, P)> = None;
    loop {
        match pattern.next() {
            Some(wanted) if wanted == u16::from(b'*') => {
                star = Some((text.clone(), pattern.clone()));
                continue;
            }
            Some(wanted) => {
                if let Some(unit) = text.next()
                    && is_one(unit, wanted, &mut pattern)
                {
                    continue;
                }
            }
            None if text.next().is_none() => return true,
            None => {}
        }
        let Some((mut rest, behind)) = star else { return false };
        if rest.next().is_none() {
            return false;
        }
        text = rest.clone();
        pattern = behind.clone();
        star = Some((rest, behind));
    }
}

/// Whether a unit is what the pattern has next, of which `wanted` is the first.
fn is_one<P: Iterator<Item = u16> + Clone>(unit: u16, wanted: u16, pattern: &mut P) -> bool {
    match u8::try_from(wanted) {
        Ok(b'?') => true,
        Ok(b'[') => is_in_set(upper(unit), pattern),
        _ => upper(unit) == upper(wanted),
    }
}

/// Reads a set to its end. One that does not end has nothing in it.
fn is_in_set<P: Iterator<Item = u16> + Clone>(unit: u16, pattern: &mut P) -> bool {
    let end = u16::from(b']');
    let mut found = false;
    let mut low = None;
    while let Some(next) = pattern.next() {
        if next == end {
            return found;
        }
        let mut ahead = pattern.clone();
        match (low, ahead.next()) {
            (Some(from), Some(to)) if next == u16::from(b'-') && to != end => {
                found |= (from..=upper(to)).contains(&unit);
                low = None;
                *pattern = ahead;
            }
            _ => {
                found |= upper(next) == unit;
                low = Some(upper(next));
            }
        }
    }
    false
}

/// `StrToFat()` for one unit: `None` for what is left out; else the byte, and whether it is the unit's own and no
/// substitute.
pub fn to_fat(unit: u16) -> Option<(u8, bool)> {
    match u8::try_from(upper(unit)) {
        Ok(b'.' | b' ') => None,
        Ok(byte) if byte > b' ' && !NOT_IN_FAT.contains(&byte) => Some((byte, true)),
        _ => Some((b'_', false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_match(text: &str, pattern: &str) -> bool {
        matches(text.encode_utf16(), pattern.encode_utf16())
    }

    #[test]
    fn order() {
        let compare = |a: &str, b: &str| compare(a.encode_utf16(), b.encode_utf16());
        assert_eq!(compare("Shell", "sHELL"), Ordering::Equal);
        assert_eq!(compare("ÄÖÜ", "äöü"), Ordering::Equal);
        assert_eq!(compare("a", "B"), Ordering::Less);
        assert_eq!(compare("ab", "A"), Ordering::Greater);
        assert_eq!(compare("", "a"), Ordering::Less);
        // Signs that differ by the same bit as letters do.
        assert_eq!(compare("[", "{"), Ordering::Less);
        assert_eq!(compare("×", "÷"), Ordering::Less);
    }

    #[test]
    fn folding() {
        for unit in (0..=u16::MAX).step_by(if cfg!(miri) { 97 } else { 1 }) {
            assert!(lower(upper(unit)) == lower(unit) && upper(lower(unit)) == upper(unit));
        }
        assert_eq!("aZ1ß÷ÿ".encode_utf16().map(upper).collect::<Vec<_>>(), "AZ1ß÷ÿ".encode_utf16().collect::<Vec<_>>());
        assert_eq!("AzÉ×".encode_utf16().map(lower).collect::<Vec<_>>(), "azé×".encode_utf16().collect::<Vec<_>>());
    }

    #[test]
    fn patterns() {
        for (text, pattern) in [
            ("", ""),
            ("", "*"),
            ("startup.NSH", "*.nsh"),
            ("a.b.nsh", "*.NSH"),
            ("aab", "*ab"),
            ("abcabd", "a*b?"),
            ("abc", "***c"),
            ("fs0", "FS[0-9]"),
            ("x", "[A-CX-Z]"),
            ("-", "[a-]"),
            ("b", "[ab]"),
            ("mississippi", "m*is*p*"),
        ] {
            assert!(is_match(text, pattern), "{text} {pattern}");
        }
        for (text, pattern) in [
            ("", "?"),
            ("a", ""),
            ("ab", "a"),
            ("a", "ab"),
            ("startup.nsh", "*.efi"),
            ("fsa", "fs[0-9]"),
            ("fs", "fs[0-9]"),
            ("a", "[]"),
            ("a", "[a"),
            ("a", "*[a"),
            ("b", "[a-]"),
            ("mississippi", "m*is*q*"),
        ] {
            assert!(!is_match(text, pattern), "{text} {pattern}");
        }
    }

    #[test]
    fn fat_names() {
        assert_eq!(to_fat(u16::from(b'.')), None);
        assert_eq!(to_fat(u16::from(b' ')), None);
        assert_eq!(to_fat(u16::from(b'a')), Some((b'A', true)));
        assert_eq!(to_fat(u16::from(b'~')), Some((b'~', true)));
        assert_eq!(to_fat(0xe9), Some((0xc9, true)));
        for unit in [0x0a, 0x22, 0x2a, 0x2b, 0x3a, 0x5c, 0x7c, 0x7f, 0x100, 0x3042] {
            assert_eq!(to_fat(unit), Some((b'_', false)), "{unit:x}");
        }
    }
}
