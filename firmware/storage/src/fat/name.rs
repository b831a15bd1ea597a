//! Long and short names (Microsoft FAT specification, 6.1 and 7).

use super::Error;

/// The most units of a long name.
pub const MAX_UNITS: usize = 255;
/// The most slots of a long name.
const MAX_SLOTS: usize = 20;
/// Units in a slot of a long name.
pub const UNITS_PER_SLOT: usize = 13;

/// The name of a file: up to 255 UTF-16 units.
#[derive(Clone, Copy)]
pub struct Name {
    units: [u16; MAX_SLOTS * UNITS_PER_SLOT],
    length: usize,
}

impl core::fmt::Debug for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        char::decode_utf16(self.units().iter().copied())
            .try_for_each(|c| core::fmt::Write::write_char(f, c.unwrap_or(char::REPLACEMENT_CHARACTER)))
    }
}

impl Default for Name {
    fn default() -> Self {
        Self { units: [0; MAX_SLOTS * UNITS_PER_SLOT], length: 0 }
    }
}

impl Name {
    /// The name that a file can have, of the one that is asked for: dots and spaces at its end are not part of it.
    pub fn new(units: &[u16]) -> Result<Self, Error> {
        let is_end = |unit: &u16| *unit != u16::from(b'.') && *unit != u16::from(b' ');
        let length = units.iter().rposition(is_end).map_or(0, |last| last + 1);
        let units = units.get(..length).unwrap_or_default();
        let mut name = Self::default();
        if units.is_empty() || length > MAX_UNITS || !units.iter().all(|unit| allowed(*unit)) {
            return Err(Error::InvalidName);
        }
        units.iter().for_each(|unit| name.push(*unit));
        Ok(name)
    }

    /// The units.
    pub fn units(&self) -> &[u16] {
        self.units.get(..self.length).unwrap_or_default()
    }

    /// Adds a unit, if there is room for it.
    pub fn push(&mut self, unit: u16) {
        if let Some(place) = self.units.get_mut(self.length) {
            *place = unit;
            self.length += 1;
        }
    }

    /// Puts the units of a slot of a long name to their place; a NUL ends the name.
    pub fn place(&mut self, slot: usize, units: &[u16; UNITS_PER_SLOT]) {
        let start = slot * UNITS_PER_SLOT;
        let length = units.iter().position(|unit| *unit == 0).unwrap_or(units.len());
        if let Some(places) = self.units.get_mut(start..start + UNITS_PER_SLOT) {
            places.copy_from_slice(units);
            self.length = self.length.max(start + length);
        }
    }

    /// The units of a slot: the name, a NUL, and behind it all ones.
    pub fn slot(&self, slot: usize) -> [u16; UNITS_PER_SLOT] {
        let rest = self.units().get(slot * UNITS_PER_SLOT..).unwrap_or_default();
        let mut slot = [0xffff; UNITS_PER_SLOT];
        let mut units = rest.iter().copied().chain([0]);
        slot.iter_mut().zip(&mut units).for_each(|(place, unit)| *place = unit);
        slot
    }

    /// How many slots a long name takes.
    pub fn slots(&self) -> usize {
        self.length.div_ceil(UNITS_PER_SLOT)
    }

    /// Whether it is the same name but for the case of letters.
    pub fn matches(&self, other: &Self) -> bool {
        self.length == other.length && self.units().iter().zip(other.units()).all(|(a, b)| upper(*a) == upper(*b))
    }

    /// Whether it is the same name.
    pub fn equals(&self, other: &Self) -> bool {
        self.units() == other.units()
    }
}

fn allowed(unit: u16) -> bool {
    unit >= 0x20 && !matches!(u8::try_from(unit), Ok(b'"' | b'*' | b'/' | b':' | b'<' | b'>' | b'?' | b'\\' | b'|'))
}

/// The upper-case letter, of the letters of ASCII and Latin-1: what the volume of a boot loader is named in.
fn upper(unit: u16) -> u16 {
    match unit {
        0x61..=0x7a | 0xe0..=0xf6 | 0xf8..=0xfe => unit - 0x20,
        unit => unit,
    }
}

/// A short name: eight bytes and three, filled up with spaces.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ShortName(pub [u8; 11]);

/// Bits of the NTRes byte: the base or the extension is in lower case.
const LOWER_BASE: u8 = 0x08;
const LOWER_EXTENSION: u8 = 0x10;

impl ShortName {
    /// The entry of a directory for itself.
    pub const DOT: Self = Self(*b".          ");
    /// The entry of a directory for its parent.
    pub const DOT_DOT: Self = Self(*b"..         ");

    /// As a name: `BASE.EXT`. Bytes beyond ASCII are taken as Latin-1, for the code page is not known.
    pub fn name(&self, case: u8) -> Name {
        let mut name = Name::default();
        let (base, extension) = self.0.split_at(8);
        push_part(&mut name, base, case & LOWER_BASE != 0);
        if extension.iter().any(|byte| *byte != b' ') {
            name.push(b'.'.into());
            push_part(&mut name, extension, case & LOWER_EXTENSION != 0);
        }
        name
    }

    /// The sum that slots of a long name carry.
    pub fn checksum(&self) -> u8 {
        self.0.iter().fold(0u8, |sum, byte| sum.rotate_right(1).wrapping_add(*byte))
    }

    /// The short name that says all that the name does, if there is one.
    pub fn exact(name: &Name) -> Option<Self> {
        let (short, lossy) = Self::basis(name);
        (!lossy && short.name(0).equals(name)).then_some(short)
    }

    /// The short name nearest to a name, and whether something was lost.
    pub fn basis(name: &Name) -> (Self, bool) {
        let units = name.units();
        let dot = units.iter().rposition(|unit| *unit == u16::from(b'.')).filter(|dot| *dot > 0);
        let (base, extension) = units.split_at_checked(dot.unwrap_or(units.len())).unwrap_or_default();
        let mut short = [b' '; 11];
        let (to_base, to_extension) = short.split_at_mut(8);
        let lossy = [put_part(to_base, base), put_part(to_extension, extension.get(1..).unwrap_or_default())];
        (Self(short), lossy.contains(&true))
    }

    /// With a number behind the base: `BASE~1`. A number that takes the place of more of the base than it has room for
    /// shortens that.
    pub fn numbered(&self, number: u32, hash: Option<u16>) -> Self {
        let mut short = self.0;
        let (base, _) = short.split_at_mut(8);
        let used = base.iter().position(|byte| *byte == b' ').unwrap_or(base.len());
        let mut tail = [0u8; 6];
        let mut length = 0;
        if let Some(hash) = hash {
            for shift in [12, 8, 4, 0] {
                let digit = (hash >> shift & 0xf) as u8;
                put(&mut tail, &mut length, if digit < 10 { b'0' + digit } else { b'A' + digit - 10 });
            }
        }
        put(&mut tail, &mut length, b'~');
        put(&mut tail, &mut length, b'0' + (number % 10) as u8);
        let kept = if hash.is_some() { 2 } else { 6 }.min(used);
        let places = base.iter_mut().skip(kept);
        places.zip(tail.iter().take(length).chain(core::iter::repeat(&b' '))).for_each(|(place, byte)| *place = *byte);
        Self(short)
    }
}

fn put(tail: &mut [u8; 6], length: &mut usize, byte: u8) {
    if let Some(place) = tail.get_mut(*length) {
        *place = byte;
        *length += 1;
    }
}

fn push_part(name: &mut Name, part: &[u8], lower: bool) {
    let length = part.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
    for byte in part.iter().take(length) {
        name.push(if lower { byte.to_ascii_lowercase() } else { *byte }.into());
    }
}

/// Puts what fits of a part of a name; whether something was lost.
fn put_part(places: &mut [u8], units: &[u16]) -> bool {
    let mut places = places.iter_mut();
    let mut lossy = false;
    for unit in units {
        let byte = match u8::try_from(upper(*unit)) {
            Ok(b' ' | b'.') => {
                lossy = true;
                continue;
            }
            Ok(byte) if byte.is_ascii() && !b"+,;=[]".contains(&byte) => byte,
            _ => {
                lossy = true;
                b'_'
            }
        };
        match places.next() {
            Some(place) => *place = byte,
            None => return true,
        }
    }
    lossy
}
