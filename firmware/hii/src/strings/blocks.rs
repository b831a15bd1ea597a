//! String information blocks (UEFI 2.10, 33.3.6.2).

use alloc::vec::Vec;

use crate::reader::Reader;
use crate::scsu::{Decoder, WINDOWS};
use crate::{Error, append, copied};

pub const END: u8 = 0x00;
/// The first block of text; bits say what kind of text it is.
const STRING: u8 = 0x10;
const STRING_LAST: u8 = 0x17;
const WITH_FONT: u8 = 1;
const SEVERAL: u8 = 2;
const UCS2: u8 = 4;
const DUPLICATE: u8 = 0x20;
const SKIP2: u8 = 0x21;
const SKIP1: u8 = 0x22;
const EXT1: u8 = 0x30;
const EXT2: u8 = 0x31;
const EXT4: u8 = 0x32;
/// The kind of the EXT2 block that describes a font.
pub const FONT: u8 = 0x40;

/// Text with its NUL, as it is stored.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    Scsu(&'a [u8]),
    Ucs2(&'a [u8]),
}

impl Text<'_> {
    /// The text as UCS-2, little-endian, with the NUL.
    pub fn ucs2(self, windows: &[u16; WINDOWS]) -> Result<Vec<u8>, Error> {
        match self {
            Text::Ucs2(bytes) => copied(bytes),
            Text::Scsu(bytes) => {
                let mut text = Vec::new();
                let mut decoder = Decoder::new(bytes, windows);
                loop {
                    let unit = decoder.unit()?;
                    append(&mut text, &unit.to_le_bytes())?;
                    if unit == 0 {
                        return Ok(text);
                    }
                }
            }
        }
    }
}

/// One block, or one string of a block of several.
#[derive(Clone, Copy, Debug)]
pub enum Block<'a> {
    /// The string of the next number.
    String { font: Option<u8>, text: Text<'a> },
    /// The next number is another name for this one.
    Duplicate(u16),
    /// So many numbers have no string.
    Skip(u16),
    /// No string: the block whole, its kind, and what is behind its length.
    Extension { kind: u8, whole: &'a [u8], content: &'a [u8] },
}

impl Block<'_> {
    /// How many numbers it takes.
    pub fn ids(&self) -> u32 {
        match self {
            Block::String { .. } | Block::Duplicate(_) => 1,
            Block::Skip(count) => u32::from(*count),
            Block::Extension { .. } => 0,
        }
    }

    /// Writes it as a block of its own.
    pub fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        match *self {
            Block::String { font, text } => {
                let (bits, bytes) = match text {
                    Text::Scsu(bytes) => (STRING, bytes),
                    Text::Ucs2(bytes) => (STRING | UCS2, bytes),
                };
                match font {
                    Some(font) => append(to, &[bits | WITH_FONT, font])?,
                    None => append(to, &[bits])?,
                }
                append(to, bytes)
            }
            Block::Duplicate(id) => {
                let [low, high] = id.to_le_bytes();
                append(to, &[DUPLICATE, low, high])
            }
            Block::Skip(count) => write_skip(to, count.into()),
            Block::Extension { whole, .. } => append(to, whole),
        }
    }
}

/// Leaves numbers out; there are no more than 16 bits name.
pub fn write_skip(to: &mut Vec<u8>, count: u32) -> Result<(), Error> {
    if count == 0 {
        return Ok(());
    }
    let count = u16::try_from(count).map_err(|_| Error::OutOfResources)?;
    let [low, high] = count.to_le_bytes();
    append(to, &[SKIP2, low, high])
}

/// Describes a font for the strings behind.
pub fn write_font(to: &mut Vec<u8>, number: u8, font: &super::Font) -> Result<(), Error> {
    let length = u16::try_from(font.name.len() + 11).map_err(|_| Error::OutOfResources)?;
    let [low, high] = length.to_le_bytes();
    append(to, &[EXT2, FONT, low, high, number])?;
    append(to, &font.size.to_le_bytes())?;
    append(to, &font.style.to_le_bytes())?;
    append(to, font.name)
}

/// The blocks of a package up to the end block. A malformed one is the last.
#[derive(Clone, Debug)]
pub struct Blocks<'a, 'w> {
    rest: Reader<'a>,
    windows: &'w [u16; WINDOWS],
    /// How many strings of a block are still to come, its type and its font.
    run: (u16, u8, Option<u8>),
    ended: bool,
}

impl<'a, 'w> Blocks<'a, 'w> {
    pub fn new(bytes: &'a [u8], windows: &'w [u16; WINDOWS]) -> Self {
        Self { rest: Reader::new(bytes), windows, run: (0, 0, None), ended: false }
    }

    fn block(&mut self) -> Result<Option<Block<'a>>, Error> {
        loop {
            let (left, kind, font) = self.run;
            if let Some(left) = left.checked_sub(1) {
                self.run.0 = left;
                return Ok(Some(Block::String { font, text: self.text(kind)? }));
            }
            let start = self.rest;
            let kind = self.rest.u8()?;
            return Ok(Some(match kind {
                END => return Ok(None),
                STRING..=STRING_LAST => {
                    let font = if kind & WITH_FONT != 0 { Some(self.rest.u8()?) } else { None };
                    let count = if kind & SEVERAL != 0 { self.rest.u16()? } else { 1 };
                    self.run = (count, kind, font);
                    continue;
                }
                DUPLICATE => Block::Duplicate(self.rest.u16()?),
                SKIP2 => Block::Skip(self.rest.u16()?),
                SKIP1 => Block::Skip(self.rest.u8()?.into()),
                EXT1..=EXT4 => self.extension(kind, start)?,
                _ => return Err(Error::Malformed),
            }));
        }
    }

    /// A block that says its own length.
    fn extension(&mut self, kind: u8, start: Reader<'a>) -> Result<Block<'a>, Error> {
        let second = self.rest.u8()?;
        let length = match kind {
            EXT1 => self.rest.u8()?.into(),
            EXT2 => self.rest.u16()?.into(),
            _ => self.rest.u32()?,
        };
        let header = start.rest().len() - self.rest.rest().len();
        self.rest = start;
        let whole = self.rest.bytes(length as usize)?;
        let content = whole.get(header..).ok_or(Error::Malformed)?;
        // The kinds of each length are counted for themselves.
        let kind = if kind == EXT2 { second } else { 0 };
        Ok(Block::Extension { kind, whole, content })
    }

    fn text(&mut self, kind: u8) -> Result<Text<'a>, Error> {
        let bytes = self.rest.rest();
        if kind & UCS2 != 0 {
            let units = bytes.as_chunks().0.iter().position(|unit| *unit == [0; 2]).ok_or(Error::Malformed)?;
            return self.rest.bytes(2 * (units + 1)).map(Text::Ucs2);
        }
        let mut decoder = Decoder::new(bytes, self.windows);
        while decoder.unit()? != 0 {}
        self.rest.bytes(bytes.len() - decoder.rest().len()).map(Text::Scsu)
    }
}

impl<'a> Iterator for Blocks<'a, '_> {
    type Item = Result<Block<'a>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let block = self.block().transpose();
        self.ended = !matches!(block, Some(Ok(_)));
        block
    }
}
