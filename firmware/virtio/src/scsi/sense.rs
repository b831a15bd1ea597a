//! Sense data (SPC-4, section 4.5).

use crate::Error;

/// Bytes of the fixed form that are asked for.
pub const LEN: u8 = 18;

mod key {
    pub const NOT_READY: u8 = 2;
    pub const ILLEGAL_REQUEST: u8 = 5;
    pub const UNIT_ATTENTION: u8 = 6;
    pub const DATA_PROTECT: u8 = 7;
}

const MEDIUM_NOT_PRESENT: u8 = 0x3a;
const MEDIUM_MAY_HAVE_CHANGED: u8 = 0x28;

/// What a unit reports.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Sense {
    key: u8,
    /// Additional sense code.
    code: u8,
}

impl Sense {
    /// Reads the fixed (0x70, 0x71) or the descriptor form (0x72, 0x73).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [0x70 | 0x71 | 0xf0 | 0xf1, _, key, rest @ ..] => {
                Some(Self { key: key & 0xf, code: rest.get(9).copied().unwrap_or(0) })
            }
            [0x72 | 0x73, key, code, ..] => Some(Self { key: key & 0xf, code: *code }),
            _ => None,
        }
    }

    pub fn is_attention(self) -> bool {
        self.key == key::UNIT_ATTENTION
    }

    pub fn is_medium_changed(self) -> bool {
        self.is_attention() && self.code == MEDIUM_MAY_HAVE_CHANGED
    }

    pub fn error(self) -> Error {
        match self.key {
            key::NOT_READY if self.code == MEDIUM_NOT_PRESENT => Error::NoMedium,
            key::UNIT_ATTENTION if self.is_medium_changed() => Error::MediumChanged,
            key::ILLEGAL_REQUEST => Error::Unsupported,
            key::DATA_PROTECT => Error::WriteProtected,
            _ => Error::Io,
        }
    }
}
