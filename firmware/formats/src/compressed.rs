//! Data in the EFI compression format (UEFI 2.11, 19), which drivers in option ROMs and firmware volumes come in: two
//! sizes before what LHA calls `-lh5-`, a sequence of blocks with their own Huffman codes for bytes and lengths of
//! matches, and for distances.

use zerocopy::FromBytes;
use zerocopy::little_endian::U32;

/// The longest code word.
const MAX_LENGTH: usize = 16;
/// Bytes, then lengths of matches from [`MIN_MATCH`] to 256.
const CHARACTERS: usize = 510;
const MIN_MATCH: usize = 3;
/// How many bits a distance has, less those of the first one bit on.
const POSITIONS: usize = 14;
/// Lengths of code words, after three that stand for runs of zeros.
const EXTRAS: usize = 19;

/// Not in the format: sizes or codes that cannot be, or an end amid the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("compressed data is corrupted")]
pub struct Corrupted;

/// Compressed data, whose sizes fit what there is.
pub struct Compressed<'a> {
    data: &'a [u8],
    original_size: u32,
}

impl<'a> Compressed<'a> {
    /// Reads the header at the start of `source`, behind which there may be more than the data.
    ///
    /// # Errors
    /// [`Corrupted`], if it ends before the header or the data does.
    pub fn parse(source: &'a [u8]) -> Result<Self, Corrupted> {
        // The compressed size, then the original one.
        let (&[size, original_size], rest) = <[U32; 2]>::ref_from_prefix(source).map_err(|_| Corrupted)?;
        let size = usize::try_from(size.get()).map_err(|_| Corrupted)?;
        Ok(Self { data: rest.get(..size).ok_or(Corrupted)?, original_size: original_size.get() })
    }

    /// How many bytes were compressed, as the header tells.
    pub fn original_size(&self) -> u32 {
        self.original_size
    }

    /// Expands the data until `original` is full.
    ///
    /// # Errors
    /// [`Corrupted`]; what `original` holds then is undefined.
    pub fn expand(&self, original: &mut [u8]) -> Result<(), Corrupted> {
        let mut bits = Bits { data: self.data, next: 0 };
        let mut done = 0;
        while done < original.len() {
            let symbols = bits.take(16)?;
            let extras = Code::with_short_lengths(&mut bits, EXTRAS, 5, Some(3))?;
            let characters = Code::new(&mut bits, CHARACTERS, 9, &|bits, lengths, at| {
                Ok(match extras.read(bits)? {
                    0 => 1,
                    1 => 3 + bits.take(4)?,
                    2 => 20 + bits.take(9)?,
                    length => {
                        *lengths.get_mut(at).ok_or(Corrupted)? = length as u8 - 2;
                        1
                    }
                })
            })?;
            let positions = Code::with_short_lengths(&mut bits, POSITIONS, 4, None)?;
            for _ in 0..symbols {
                let symbol = characters.read(&mut bits)?;
                let Some(length) = symbol.checked_sub(256) else {
                    // The last block may hold more than was compressed; what is left of it is not looked at.
                    let Some(place) = original.get_mut(done) else { break };
                    *place = symbol as u8;
                    done += 1;
                    continue;
                };
                let distance = 1 + positions.distance(&mut bits)?;
                let end = original.len().min(done + length + MIN_MATCH);
                let mut from = done.checked_sub(distance).ok_or(Corrupted)?;
                while done < end {
                    original.copy_within(from..=from, done);
                    (from, done) = (from + 1, done + 1);
                }
            }
        }
        Ok(())
    }
}

/// Bits, from the highest one of each byte on.
struct Bits<'a> {
    data: &'a [u8],
    next: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: u32) -> Result<usize, Corrupted> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.data.get(self.next / 8).ok_or(Corrupted)?;
            value = value << 1 | usize::from(byte >> (7 - self.next % 8) & 1);
            self.next += 1;
        }
        Ok(value)
    }
}

/// The lengths of a code's words, by symbol. Symbols of the length zero do not occur.
type Lengths = [u8; CHARACTERS];

/// A canonical Huffman code.
struct Code {
    /// How many code words there are of each length. One of no length is the only one.
    counts: [u16; MAX_LENGTH + 1],
    /// By length, then by value.
    symbols: [u16; CHARACTERS],
}

impl Code {
    /// Reads the code of `alphabet` symbols: how many of them have a length, in `width` bits, and those lengths, as
    /// `read` does. Where none has, the only symbol is in that many bits.
    fn new<'a>(
        bits: &mut Bits<'a>,
        alphabet: usize,
        width: u32,
        read: &dyn Fn(&mut Bits<'a>, &mut Lengths, usize) -> Result<usize, Corrupted>,
    ) -> Result<Self, Corrupted> {
        let mut code = Self { counts: [0; MAX_LENGTH + 1], symbols: [0; CHARACTERS] };
        let count = bits.take(width)?;
        if count == 0 {
            let only = bits.take(width)?;
            (code.counts[0], code.symbols[0]) = (1, only as u16);
            return if only < alphabet { Ok(code) } else { Err(Corrupted) };
        }
        if count > alphabet {
            return Err(Corrupted);
        }
        let mut lengths = [0; CHARACTERS];
        let mut at = 0;
        while at < count {
            at += read(bits, &mut lengths, at)?;
        }
        let (mut at, mut words) = (0, 1_usize);
        for (length, count) in code.counts.iter_mut().enumerate().skip(1) {
            words *= 2;
            for symbol in 0..alphabet {
                if lengths.get(symbol).is_some_and(|of| usize::from(*of) == length) {
                    *code.symbols.get_mut(at).ok_or(Corrupted)? = symbol as u16;
                    *count += 1;
                    at += 1;
                    words = words.checked_sub(1).ok_or(Corrupted)?;
                }
            }
        }
        // What is no code word would have no meaning.
        if words == 0 { Ok(code) } else { Err(Corrupted) }
    }

    /// With lengths in three bits, or in unary from seven on; before the symbol `skip_at`, two bits tell how many have none.
    fn with_short_lengths(
        bits: &mut Bits<'_>,
        alphabet: usize,
        width: u32,
        skip_at: Option<usize>,
    ) -> Result<Self, Corrupted> {
        Self::new(bits, alphabet, width, &|bits, lengths, at| {
            let mut length = bits.take(3)?;
            while length >= 7 && bits.take(1)? == 1 {
                length += 1;
            }
            if length > MAX_LENGTH {
                return Err(Corrupted);
            }
            *lengths.get_mut(at).ok_or(Corrupted)? = length as u8;
            Ok(if Some(at + 1) == skip_at { 1 + bits.take(2)? } else { 1 })
        })
    }

    fn read(&self, bits: &mut Bits<'_>) -> Result<usize, Corrupted> {
        // What the code word is beyond the first one of its length, and where that one's symbol is.
        let (mut beyond, mut at) = (0, 0);
        for (length, count) in self.counts.iter().enumerate() {
            let count = usize::from(*count);
            if length > 0 {
                beyond = beyond << 1 | bits.take(1)?;
            }
            if beyond < count {
                return self.symbols.get(at + beyond).map(|symbol| (*symbol).into()).ok_or(Corrupted);
            }
            (beyond, at) = (beyond - count, at + count);
        }
        Err(Corrupted)
    }

    /// A number that is told by its length, with the bits that follow its first one bit.
    fn distance(&self, bits: &mut Bits<'_>) -> Result<usize, Corrupted> {
        match self.read(bits)? {
            0 => Ok(0),
            length => Ok(1 << (length - 1) | bits.take(length as u32 - 1)?),
        }
    }
}
