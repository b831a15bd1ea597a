//! String packages (UEFI 2.10, 33.3.6): the strings of one language, numbered from 1 by their order.

mod blocks;

use alloc::vec::Vec;

use self::blocks::{Block, Blocks, FONT, Text};
use crate::package::{HEADER_LEN, TYPE_STRINGS, header};
use crate::reader::Reader;
use crate::scsu::{DEFAULT_WINDOWS, WINDOWS};
use crate::{Error, append, copied};

/// EFI_HII_STRING_PACKAGE_HDR up to the language.
const FIXED_LEN: usize = HEADER_LEN + 42;

/// Where the header has the number of the string that is the language's name, or zero.
const LANGUAGE_NAME: usize = FIXED_LEN - 2;

/// A circle of duplicates is longer than this; so is no chain that anybody makes.
const DUPLICATES: usize = 32;

/// EFI_FONT_INFO
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Font<'a> {
    /// EFI_HII_FONT_STYLE
    pub style: u32,
    /// In pixels.
    pub size: u16,
    /// UCS-2, little-endian, with its NUL.
    pub name: &'a [u8],
}

/// A string package, its header taken apart.
#[derive(Clone, Copy, Debug)]
pub struct StringPackage<'a> {
    bytes: &'a [u8],
    /// Where header and language end and the blocks begin.
    blocks: usize,
    windows: [u16; WINDOWS],
    /// The languages, the primary one first, separated by semicolons.
    languages: &'a [u8],
}

impl<'a> StringPackage<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(bytes);
        fields.bytes(HEADER_LEN)?;
        let header_len = fields.u32()? as usize;
        let blocks = fields.u32()? as usize;
        let mut windows = [0; WINDOWS];
        for window in &mut windows {
            *window = fields.u16()?;
        }
        let language = bytes.get(FIXED_LEN..header_len).ok_or(Error::Malformed)?;
        let end = language.iter().position(|&byte| byte == 0).ok_or(Error::Malformed)?;
        if blocks < header_len || blocks > bytes.len() {
            return Err(Error::Malformed);
        }
        let (languages, _) = language.split_at_checked(end).ok_or(Error::Malformed)?;
        Ok(Self { bytes, blocks, windows, languages })
    }

    /// A package without strings.
    pub fn empty(language: &[u8]) -> Result<Vec<u8>, Error> {
        let header_len = FIXED_LEN + language.len() + 1;
        let mut bytes = copied(&header(header_len + 1, TYPE_STRINGS)?)?;
        // The package's length has just been found to fit.
        let offsets = [header_len as u32; 2];
        append(&mut bytes, offsets.map(u32::to_le_bytes).as_flattened())?;
        append(&mut bytes, DEFAULT_WINDOWS.map(u16::to_le_bytes).as_flattened())?;
        append(&mut bytes, &[0; 2])?;
        append(&mut bytes, language)?;
        append(&mut bytes, &[0, blocks::END])?;
        Ok(bytes)
    }

    /// Walks all blocks.
    pub fn check(&self) -> Result<(), Error> {
        self.end_id().map(drop)
    }

    /// The language that the strings are in.
    pub fn language(&self) -> &'a [u8] {
        self.languages.split(|&byte| byte == b';').next().unwrap_or_default()
    }

    /// The language and those that it also serves, separated by semicolons.
    pub fn languages(&self) -> &'a [u8] {
        self.languages
    }

    /// The number of the string that is the language's name, or zero.
    pub fn language_name(&self) -> u16 {
        let bytes = self.bytes.get(LANGUAGE_NAME..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0, u16::from_le_bytes)
    }

    /// The package with a string that is the language's name. `name` is as for [`Self::with`].
    pub fn with_language_name(&self, id: u16, name: &[u8]) -> Result<Vec<u8>, Error> {
        let mut bytes = self.with(id, name, None)?;
        if let Some(place) = bytes.get_mut(LANGUAGE_NAME..FIXED_LEN) {
            place.copy_from_slice(&id.to_le_bytes());
        }
        Ok(bytes)
    }

    /// The languages that it also serves, separated by semicolons.
    pub fn secondary_languages(&self) -> &'a [u8] {
        self.languages.get(self.language().len() + 1..).unwrap_or_default()
    }

    fn blocks(&self) -> Blocks<'a, '_> {
        Blocks::new(self.bytes.get(self.blocks..).unwrap_or_default(), &self.windows)
    }

    /// The first number that no string of the package has.
    pub fn end_id(&self) -> Result<u32, Error> {
        self.blocks().try_fold(1, |next, block| {
            let next = next + block?.ids();
            // A string has a number of 16 bits.
            if next > 1 << 16 { Err(Error::Malformed) } else { Ok(next) }
        })
    }

    /// The text of a string as UCS-2, little-endian, with its NUL, and the number of its font.
    pub fn get(&self, id: u16) -> Result<(Vec<u8>, Option<u8>), Error> {
        let mut id = id;
        for _ in 0..DUPLICATES {
            match self.block(id)? {
                Block::String { font, text } => return Ok((text.ucs2(&self.windows)?, font)),
                Block::Duplicate(other) => id = other,
                Block::Skip(_) | Block::Extension { .. } => return Err(Error::NotFound),
            }
        }
        Err(Error::NotFound)
    }

    /// Whether there is a string of this number.
    pub fn has(&self, id: u16) -> bool {
        matches!(self.block(id), Ok(Block::String { .. } | Block::Duplicate(_)))
    }

    fn block(&self, id: u16) -> Result<Block<'a>, Error> {
        let mut next = 1_u32;
        for block in self.blocks() {
            let block = block?;
            let end = next + block.ids();
            if (next..end).contains(&id.into()) {
                return Ok(block);
            }
            next = end;
        }
        Err(Error::NotFound)
    }

    /// The font of a number.
    pub fn font(&self, id: u8) -> Option<Font<'a>> {
        self.fonts().find(|(own, _)| *own == id).map(|(_, font)| font)
    }

    fn fonts(&self) -> impl Iterator<Item = (u8, Font<'a>)> {
        self.blocks().filter_map(|block| match block {
            Ok(Block::Extension { kind: FONT, content, .. }) => {
                let mut fields = Reader::new(content);
                let id = fields.u8().ok()?;
                let size = fields.u16().ok()?;
                let style = fields.u32().ok()?;
                Some((id, Font { style, size, name: fields.rest() }))
            }
            _ => None,
        })
    }

    /// The package with another text for a string, in another font if there is one. `text` is UCS-2, little-endian,
    /// with its NUL. Where the package has no string of this number, it gets one.
    pub fn with(&self, id: u16, text: &[u8], font: Option<&Font>) -> Result<Vec<u8>, Error> {
        let mut to = copied(self.bytes.get(..self.blocks).unwrap_or_default())?;
        let mut new_font = None;
        if let Some(font) = font {
            let known = self.fonts().find(|(_, own)| own == font).map(|(number, _)| number);
            new_font = Some(match known {
                Some(number) => number,
                None => {
                    let last = self.fonts().map(|(number, _)| number).max();
                    let number = last.map_or(Some(0), |last| last.checked_add(1)).ok_or(Error::OutOfResources)?;
                    blocks::write_font(&mut to, number, font)?;
                    number
                }
            });
        }
        let id = u32::from(id);
        let mut next = 1_u32;
        let mut placed = false;
        for block in self.blocks() {
            let block = block?;
            let end = next + block.ids();
            if (next..end).contains(&id) {
                placed = true;
                let old_font = match block {
                    Block::String { font, .. } => font,
                    _ => None,
                };
                blocks::write_skip(&mut to, id - next)?;
                Block::String { font: new_font.or(old_font), text: Text::Ucs2(text) }.write(&mut to)?;
                blocks::write_skip(&mut to, end - id - 1)?;
            } else {
                block.write(&mut to)?;
            }
            next = end;
        }
        if !placed {
            blocks::write_skip(&mut to, id.saturating_sub(next))?;
            Block::String { font: new_font, text: Text::Ucs2(text) }.write(&mut to)?;
        }
        append(&mut to, &[blocks::END])?;
        let header = header(to.len(), TYPE_STRINGS)?;
        if let Some(place) = to.first_chunk_mut() {
            *place = header;
        }
        Ok(to)
    }
}
