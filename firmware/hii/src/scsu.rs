//! The standard compression scheme for Unicode (Unicode Technical Standard 6), in which a string may be stored.

use crate::Error;
use crate::reader::Reader;

/// Where windows begin: the static ones, then the dynamic ones.
pub const WINDOWS: usize = 16;
const DYNAMIC: usize = 8;

/// The windows that the standard begins with.
pub const DEFAULT_WINDOWS: [u16; WINDOWS] = [
    0x0000, 0x0080, 0x0100, 0x0300, 0x2000, 0x2080, 0x2100, 0x3000, 0x0080, 0x00c0, 0x0400, 0x0600, 0x0900, 0x3040,
    0x30a0, 0xff00,
];

/// Windows that a byte from 0xf9 on defines.
const FIXED: [u32; 7] = [0x00c0, 0x0250, 0x0370, 0x0530, 0x3040, 0x30a0, 0xff60];

/// A window is half of the values of a byte long.
const HALF: u8 = 0x80;

/// Decodes a string.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    rest: Reader<'a>,
    windows: [u32; WINDOWS],
    active: usize,
    /// Whether the characters are in UTF-16, big-endian.
    unicode: bool,
    /// The second half of a surrogate pair.
    pending: Option<u16>,
}

impl<'a> Decoder<'a> {
    pub fn new(bytes: &'a [u8], windows: &[u16; WINDOWS]) -> Self {
        Self {
            rest: Reader::new(bytes),
            windows: windows.map(u32::from),
            active: DYNAMIC,
            unicode: false,
            pending: None,
        }
    }

    /// What follows the units read so far.
    pub fn rest(&self) -> &'a [u8] {
        self.rest.rest()
    }

    /// The next unit of UTF-16, NUL included.
    pub fn unit(&mut self) -> Result<u16, Error> {
        if let Some(low) = self.pending.take() {
            return Ok(low);
        }
        loop {
            let byte = self.rest.u8()?;
            let unit = if self.unicode { self.in_unicode(byte)? } else { self.in_bytes(byte)? };
            if let Some(unit) = unit {
                return Ok(unit);
            }
        }
    }

    fn in_bytes(&mut self, byte: u8) -> Result<Option<u16>, Error> {
        match byte {
            0x00 | 0x09 | 0x0a | 0x0d | 0x20..0x80 => return Ok(Some(byte.into())),
            // SQ0 to SQ7: one character of another window.
            0x01..=0x08 => {
                let window = usize::from(byte - 1);
                let byte = self.rest.u8()?;
                let window = if byte < HALF { window } else { window + DYNAMIC };
                return self.character(window, byte & !HALF).map(Some);
            }
            // SDX
            0x0b => self.define_extended()?,
            // SQU
            0x0e => return self.big_endian().map(Some),
            // SCU
            0x0f => self.unicode = true,
            // SC0 to SC7
            0x10..=0x17 => self.select(byte - 0x10),
            // SD0 to SD7
            0x18..=0x1f => self.define(byte - 0x18)?,
            HALF.. => return self.character(self.active, byte & !HALF).map(Some),
            0x0c => return Err(Error::Malformed),
        }
        Ok(None)
    }

    fn in_unicode(&mut self, byte: u8) -> Result<Option<u16>, Error> {
        match byte {
            // UC0 to UC7
            0xe0..=0xe7 => self.select(byte - 0xe0),
            // UD0 to UD7
            0xe8..=0xef => self.define(byte - 0xe8)?,
            // UQU
            0xf0 => return self.big_endian().map(Some),
            // UDX
            0xf1 => self.define_extended()?,
            0xf2 => return Err(Error::Malformed),
            _ => return Ok(Some(u16::from_be_bytes([byte, self.rest.u8()?]))),
        }
        Ok(None)
    }

    fn big_endian(&mut self) -> Result<u16, Error> {
        self.rest.u16().map(u16::swap_bytes)
    }

    fn select(&mut self, window: u8) {
        self.active = usize::from(window) + DYNAMIC;
        self.unicode = false;
    }

    fn define(&mut self, window: u8) -> Result<(), Error> {
        let index = self.rest.u8()?;
        let start = match index {
            0x01..=0x67 => u32::from(index) * 0x80,
            0x68..=0xa7 => u32::from(index) * 0x80 + 0xac00,
            0xf9.. => FIXED.get(usize::from(index - 0xf9)).copied().ok_or(Error::Malformed)?,
            _ => return Err(Error::Malformed),
        };
        self.select(window);
        self.set_active(start);
        Ok(())
    }

    /// A window above the first plane: three bits name it, thirteen say where it is.
    fn define_extended(&mut self) -> Result<(), Error> {
        let value = self.big_endian()?;
        // Three bits fit.
        self.select((value >> 13) as u8);
        self.set_active(0x1_0000 + u32::from(value & 0x1fff) * 0x80);
        Ok(())
    }

    fn set_active(&mut self, start: u32) {
        if let Some(window) = self.windows.get_mut(self.active) {
            *window = start;
        }
    }

    fn character(&mut self, window: usize, offset: u8) -> Result<u16, Error> {
        let start = self.windows.get(window).ok_or(Error::Malformed)?;
        let character = start + u32::from(offset);
        match u16::try_from(character) {
            Ok(unit) => Ok(unit),
            Err(_) => {
                let character = char::from_u32(character).ok_or(Error::Malformed)?;
                let mut pair = [0; 2];
                character.encode_utf16(&mut pair);
                self.pending = Some(pair[1]);
                Ok(pair[0])
            }
        }
    }
}
