//! Command descriptor blocks (SPC-4, SBC-3).

use super::CDB_LEN;
use crate::Direction;

mod code {
    pub const TEST_UNIT_READY: u8 = 0x00;
    pub const REQUEST_SENSE: u8 = 0x03;
    pub const INQUIRY: u8 = 0x12;
    pub const MODE_SENSE_6: u8 = 0x1a;
    pub const READ_CAPACITY_10: u8 = 0x25;
    pub const READ_10: u8 = 0x28;
    pub const WRITE_10: u8 = 0x2a;
    pub const SYNCHRONIZE_CACHE_10: u8 = 0x35;
    pub const READ_16: u8 = 0x88;
    pub const WRITE_16: u8 = 0x8a;
    pub const SERVICE_ACTION_IN_16: u8 = 0x9e;
    pub const REPORT_LUNS: u8 = 0xa0;
}

const READ_CAPACITY_16: u8 = 0x10;
const ALL_PAGES: u8 = 0x3f;

/// A command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cdb([u8; CDB_LEN]);

impl Cdb {
    fn new<const N: usize>(command: [u8; N]) -> Self {
        let mut bytes = [0; CDB_LEN];
        for (to, from) in bytes.iter_mut().zip(command) {
            *to = from;
        }
        Self(bytes)
    }

    pub fn bytes(&self) -> &[u8; CDB_LEN] {
        &self.0
    }

    /// Whether its data is blocks of the medium.
    pub fn moves_blocks(&self) -> bool {
        let [code, ..] = self.0;
        matches!(code, code::READ_10 | code::READ_16 | code::WRITE_10 | code::WRITE_16)
    }

    pub fn test_unit_ready() -> Self {
        Self::new([code::TEST_UNIT_READY])
    }

    pub fn request_sense(length: u8) -> Self {
        Self::new([code::REQUEST_SENSE, 0, 0, 0, length])
    }

    pub fn inquiry(length: u8) -> Self {
        Self::new([code::INQUIRY, 0, 0, 0, length])
    }

    pub fn mode_sense(length: u8) -> Self {
        Self::new([code::MODE_SENSE_6, 0, ALL_PAGES, 0, length])
    }

    pub fn read_capacity_10() -> Self {
        Self::new([code::READ_CAPACITY_10])
    }

    pub fn read_capacity_16(length: u8) -> Self {
        Self::new([code::SERVICE_ACTION_IN_16, READ_CAPACITY_16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, length])
    }

    pub fn report_luns(length: u32) -> Self {
        let [l0, l1, l2, l3] = length.to_be_bytes();
        Self::new([code::REPORT_LUNS, 0, 0, 0, 0, 0, l0, l1, l2, l3])
    }

    pub fn synchronize_cache() -> Self {
        Self::new([code::SYNCHRONIZE_CACHE_10])
    }

    /// The short form where the numbers fit: older units, and CDs, have no other.
    pub fn transfer(direction: Direction, block: u64, count: u32) -> Self {
        if let (Ok(block), Ok(count)) = (u32::try_from(block), u16::try_from(count)) {
            let code = if direction == Direction::Read { code::READ_10 } else { code::WRITE_10 };
            let ([b0, b1, b2, b3], [c0, c1]) = (block.to_be_bytes(), count.to_be_bytes());
            return Self::new([code, 0, b0, b1, b2, b3, 0, c0, c1]);
        }
        let code = if direction == Direction::Read { code::READ_16 } else { code::WRITE_16 };
        let ([b0, b1, b2, b3, b4, b5, b6, b7], [c0, c1, c2, c3]) = (block.to_be_bytes(), count.to_be_bytes());
        Self::new([code, 0, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3])
    }
}

/// The number of a unit in the list of REPORT LUNS: peripheral or flat addressing (SAM-5, section 4.7).
pub fn lun_from_list(entry: &[u8; 8]) -> Option<u16> {
    match entry {
        [0, lun, 0, 0, 0, 0, 0, 0] => Some((*lun).into()),
        [high @ 0x40..=0x7f, low, 0, 0, 0, 0, 0, 0] => Some(u16::from_be_bytes([high & 0x3f, *low])),
        _ => None,
    }
}
