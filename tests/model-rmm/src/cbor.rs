//! The little of CBOR (RFC 8949) that an attestation token needs: deterministic encoding.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

/// An encoder that appends.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What was encoded.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    fn head(mut self, major: u8, argument: u64) -> Self {
        let major = major << 5;
        let be = argument.to_be_bytes();
        let [.., b4, b5, b6, b7] = be;
        match argument {
            0..=23 => self.bytes.push(major | b7),
            24..=0xff => self.bytes.extend([major | 24, b7]),
            0x100..=0xffff => self.bytes.extend([major | 25, b6, b7]),
            0x1_0000..=0xffff_ffff => self.bytes.extend([major | 26, b4, b5, b6, b7]),
            _ => {
                self.bytes.push(major | 27);
                self.bytes.extend(be);
            }
        }
        self
    }

    /// An integer.
    pub fn int(self, value: i64) -> Self {
        if value < 0 { self.head(1, !value as u64) } else { self.head(0, value as u64) }
    }

    /// A byte string.
    pub fn bytes(self, value: &[u8]) -> Self {
        let mut this = self.head(2, value.len() as u64);
        this.bytes.extend_from_slice(value);
        this
    }

    /// A text string.
    pub fn text(self, value: &str) -> Self {
        let mut this = self.head(3, value.len() as u64);
        this.bytes.extend_from_slice(value.as_bytes());
        this
    }

    /// The head of an array of `len` items.
    pub fn array(self, len: u64) -> Self {
        self.head(4, len)
    }

    /// The head of a map of `len` pairs.
    pub fn map(self, len: u64) -> Self {
        self.head(5, len)
    }

    /// A tag for the item that follows.
    pub fn tag(self, tag: u64) -> Self {
        self.head(6, tag)
    }
}

/// A decoded item, of the kinds that tokens hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An integer.
    Int(i64),
    /// A byte string.
    Bytes(Vec<u8>),
    /// A text string.
    Text(String),
    /// An array.
    Array(Vec<Item>),
    /// A map.
    Map(Vec<(Item, Item)>),
    /// A tagged item.
    Tag(u64, Box<Item>),
}

impl Item {
    /// The byte string, if it is one.
    pub fn into_bytes(self) -> Option<Vec<u8>> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The map, if it is one with integer keys.
    pub fn into_map(self) -> Option<Vec<(i64, Item)>> {
        let Self::Map(pairs) = self else { return None };
        let pairs = pairs.into_iter().map(|(key, value)| match key {
            Self::Int(key) => Some((key, value)),
            _ => None,
        });
        pairs.collect()
    }
}

/// A decoder of definite-length items.
#[derive(Debug)]
pub struct Decoder<'a> {
    rest: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// Decodes one item; none when `bytes` is anything but exactly one.
    pub fn decode(bytes: &'a [u8]) -> Option<Item> {
        let mut decoder = Self { rest: bytes };
        let item = decoder.item(0)?;
        decoder.rest.is_empty().then_some(item)
    }

    fn take(&mut self, len: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    fn item(&mut self, depth: u32) -> Option<Item> {
        if depth > 8 {
            return None;
        }
        let head = *self.take(1)?.first()?;
        let argument = match head & 31 {
            small @ 0..=23 => u64::from(small),
            size @ 24..=27 => {
                let bytes = self.take(1 << (size - 24))?;
                bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
            }
            _ => return None,
        };
        Some(match head >> 5 {
            0 => Item::Int(i64::try_from(argument).ok()?),
            1 => Item::Int(!i64::try_from(argument).ok()?),
            2 => Item::Bytes(self.take(argument)?.to_vec()),
            3 => Item::Text(core::str::from_utf8(self.take(argument)?).ok()?.into()),
            4 => {
                let mut items = Vec::new();
                for _ in 0..argument {
                    items.push(self.item(depth + 1)?);
                }
                Item::Array(items)
            }
            5 => {
                let mut pairs = Vec::new();
                for _ in 0..argument {
                    pairs.push((self.item(depth + 1)?, self.item(depth + 1)?));
                }
                Item::Map(pairs)
            }
            6 => Item::Tag(argument, Box::new(self.item(depth + 1)?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_rfc_8949_appendix_a() {
        for (value, hex) in [
            (0, &[0x00][..]),
            (23, &[0x17]),
            (24, &[0x18, 0x18]),
            (1000, &[0x19, 0x03, 0xe8]),
            (1_000_000, &[0x1a, 0x00, 0x0f, 0x42, 0x40]),
            (1_000_000_000_000, &[0x1b, 0, 0, 0, 0xe8, 0xd4, 0xa5, 0x10, 0]),
            (-1, &[0x20]),
            (-100, &[0x38, 0x63]),
            (-1000, &[0x39, 0x03, 0xe7]),
        ] {
            assert_eq!(Encoder::new().int(value).into_bytes(), hex);
        }
        let encoded = Encoder::new().map(1).text("a").array(2).bytes(&[1]).tag(1).int(1);
        let bytes = encoded.into_bytes();
        assert_eq!(bytes, [0xa1, 0x61, b'a', 0x82, 0x41, 0x01, 0xc1, 0x01]);
        let tagged = Item::Tag(1, Box::new(Item::Int(1)));
        let array = Item::Array(alloc::vec![Item::Bytes(alloc::vec![1]), tagged]);
        let map = Item::Map(alloc::vec![(Item::Text("a".into()), array)]);
        assert_eq!(Decoder::decode(&bytes), Some(map));
        for end in 0..bytes.len() {
            assert_eq!(Decoder::decode(&bytes[..end]), None);
        }
    }

    #[test]
    fn integers_come_back() {
        for value in [0, 23, 24, 255, 256, 65536, 1 << 40, i64::MAX, -1, -25, i64::MIN] {
            let bytes = Encoder::new().int(value).into_bytes();
            assert_eq!(Decoder::decode(&bytes), Some(Item::Int(value)));
        }
    }
}
