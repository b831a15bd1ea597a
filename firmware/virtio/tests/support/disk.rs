//! What is behind the queue: a virtio block device, and a SCSI host with units.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::device::Function;

/// A disk of any size, of which only what was written is kept: a sector begins with its number.
#[derive(Clone, Debug, Default)]
pub struct Contents(pub Rc<RefCell<BTreeMap<u64, Vec<u8>>>>);

impl Contents {
    pub fn read(&self, block: u64, size: usize, length: usize) -> Vec<u8> {
        let written = self.0.borrow();
        let blocks = (0..length.div_ceil(size) as u64).flat_map(|index| {
            let number = block + index;
            written.get(&number).cloned().unwrap_or_else(|| {
                let mut bytes = vec![number as u8; size];
                bytes[..8].copy_from_slice(&number.to_le_bytes());
                bytes
            })
        });
        blocks.take(length).collect()
    }

    pub fn write(&self, block: u64, size: usize, bytes: &[u8]) {
        for (number, bytes) in (block..).zip(bytes.chunks(size)) {
            self.0.borrow_mut().insert(number, bytes.to_vec());
        }
    }
}

/// A virtio block device; sectors have 512 bytes.
#[derive(Clone, Debug, Default)]
pub struct BlockDevice {
    pub contents: Contents,
    pub flushes: Rc<RefCell<usize>>,
    pub fails: bool,
}

impl Function for BlockDevice {
    fn answer(&mut self, read: &[Vec<u8>], write: &[usize]) -> Vec<Vec<u8>> {
        let header = &read[0];
        assert_eq!(header.len(), 16);
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(header[8..].try_into().unwrap());
        let status = vec![u8::from(self.fails)];
        match (kind, write) {
            (0, [length, 1]) => vec![self.contents.read(sector, 512, *length), status],
            (1, [1]) => {
                self.contents.write(sector, 512, &read[1]);
                vec![status]
            }
            (4, [1]) => {
                *self.flushes.borrow_mut() += 1;
                vec![status]
            }
            (8, [20, 1]) => vec![b"a disk's own name\0\0\0".to_vec(), status],
            _ => panic!("request {kind} with {write:?}"),
        }
    }
}

pub fn block_config(sectors: u64, block_size: u32) -> Vec<u8> {
    let mut config = vec![0; 60];
    config[..8].copy_from_slice(&sectors.to_le_bytes());
    config[8..12].copy_from_slice(&0x2_0000u32.to_le_bytes());
    config[20..24].copy_from_slice(&block_size.to_le_bytes());
    config[24] = 3;
    config[25] = 7;
    config
}

/// A unit of a SCSI host.
#[derive(Clone, Debug)]
pub struct FakeUnit {
    pub kind: u8,
    pub blocks: u64,
    pub block_size: u32,
    pub protected: bool,
    pub removable: bool,
    pub contents: Contents,
    /// Sense keys and codes that the next commands meet.
    pub conditions: Vec<(u8, u8)>,
    pub flushes: usize,
}

impl FakeUnit {
    pub fn new(kind: u8, blocks: u64, block_size: u32) -> Self {
        // What a unit reports after its start: power on.
        let conditions = vec![(6, 0x29)];
        let contents = Contents::default();
        Self { kind, blocks, block_size, protected: false, removable: kind == 5, contents, conditions, flushes: 0 }
    }
}

pub type Units = Rc<RefCell<BTreeMap<(u8, u16), FakeUnit>>>;

pub struct ScsiHost {
    pub units: Units,
    /// Whether sense data comes with the answer.
    pub autosense: bool,
    pub pending_sense: (u8, u8),
    pub lists_luns: bool,
}

pub fn scsi_config(max_target: u16, max_lun: u32, max_sectors: u32) -> Vec<u8> {
    let mut config = vec![0; 36];
    config[8..12].copy_from_slice(&max_sectors.to_le_bytes());
    config[30..32].copy_from_slice(&max_target.to_le_bytes());
    config[32..36].copy_from_slice(&max_lun.to_le_bytes());
    config
}

const ANSWER_LEN: usize = 108;

fn answer(status: u8, response: u8, residual: u32, sense: &[u8]) -> Vec<u8> {
    let mut answer = vec![0; ANSWER_LEN];
    answer[..4].copy_from_slice(&(sense.len() as u32).to_le_bytes());
    answer[4..8].copy_from_slice(&residual.to_le_bytes());
    answer[10] = status;
    answer[11] = response;
    answer[12..12 + sense.len()].copy_from_slice(sense);
    answer
}

fn fixed_sense((key, code): (u8, u8)) -> Vec<u8> {
    let mut sense = vec![0; 18];
    sense[0] = 0x70;
    sense[2] = key;
    sense[12] = code;
    sense
}

impl ScsiHost {
    fn check(&mut self, condition: (u8, u8), room: &[usize]) -> Vec<Vec<u8>> {
        self.pending_sense = condition;
        let sense = if self.autosense { fixed_sense(condition) } else { Vec::new() };
        let mut parts = vec![answer(2, 0, 0, &sense)];
        parts.extend(room.get(1).map(|_| Vec::new()));
        parts
    }
}

impl Function for ScsiHost {
    fn answer(&mut self, read: &[Vec<u8>], room: &[usize]) -> Vec<Vec<u8>> {
        let header = &read[0];
        assert_eq!(header.len(), 51);
        assert_eq!(room[0], ANSWER_LEN);
        assert_eq!(header[0], 1);
        let (target, lun) = (header[1], u16::from_be_bytes([header[2] & 0x3f, header[3]]));
        let cdb = &header[19..];
        let units = self.units.clone();
        let mut units = units.borrow_mut();
        if !units.keys().any(|(at, _)| *at == target) {
            return vec![answer(0, 3, 0, &[])];
        }
        let good = |data: Vec<u8>| {
            let mut data = data;
            let full = room.get(1).copied().unwrap_or(0);
            data.truncate(full);
            vec![answer(0, 0, (full - data.len()) as u32, &[]), data]
        };
        match cdb[0] {
            0xa0 if self.lists_luns => {
                let luns: Vec<_> = units.keys().filter(|(at, _)| *at == target).map(|(_, lun)| *lun).collect();
                let mut data = (luns.len() as u32 * 8).to_be_bytes().to_vec();
                data.extend([0; 4]);
                for lun in luns {
                    let [high, low] = lun.to_be_bytes();
                    data.extend([if lun > 255 { 0x40 | high } else { 0 }, low, 0, 0, 0, 0, 0, 0]);
                }
                return good(data);
            }
            0x03 => return good(fixed_sense(self.pending_sense)),
            _ => {}
        }
        let Some(unit) = units.get_mut(&(target, lun)) else {
            // INQUIRY answers for units that are not there, too.
            return if cdb[0] == 0x12 { good(vec![0x7f; 36]) } else { self.check((5, 0x25), room) };
        };
        if !matches!(cdb[0], 0x12 | 0xa0) && !unit.conditions.is_empty() {
            let condition = unit.conditions.remove(0);
            return self.check(condition, room);
        }
        let (block, count) = match cdb[0] {
            0x28 | 0x2a => {
                (u32::from_be_bytes(cdb[2..6].try_into().unwrap()).into(), u16::from_be_bytes([cdb[7], cdb[8]]).into())
            }
            _ => (
                u64::from_be_bytes(cdb[2..10].try_into().unwrap()),
                u32::from_be_bytes(cdb[10..14].try_into().unwrap()),
            ),
        };
        let size = unit.block_size as usize;
        match cdb[0] {
            0x00 => vec![answer(0, 0, 0, &[])],
            0x12 => {
                let mut data = vec![0; 36];
                data[0] = unit.kind;
                data[1] = if unit.removable { 0x80 } else { 0 };
                good(data)
            }
            0x1a => good(vec![3, 0, if unit.protected { 0x80 } else { 0 }, 0]),
            0x25 => {
                let last = u32::try_from(unit.blocks - 1).unwrap_or(u32::MAX);
                good([last.to_be_bytes(), unit.block_size.to_be_bytes()].concat())
            }
            0x9e => {
                let mut data = (unit.blocks - 1).to_be_bytes().to_vec();
                data.extend(unit.block_size.to_be_bytes());
                data.resize(32, 0);
                good(data)
            }
            0x28 | 0x88 => {
                assert_eq!(room[1], count as usize * size);
                good(unit.contents.read(block, size, room[1]))
            }
            0x2a | 0x8a => {
                assert_eq!(read[1].len(), count as usize * size);
                unit.contents.write(block, size, &read[1]);
                vec![answer(0, 0, 0, &[])]
            }
            0x35 => {
                unit.flushes += 1;
                vec![answer(0, 0, 0, &[])]
            }
            _ => self.check((5, 0x20), room),
        }
    }
}
