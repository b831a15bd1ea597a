//! EFI_CC_FINAL_EVENTS_TABLE (UEFI 2.11, section 38.2.3): the events since the log was first read.

use crate::hash::Digest;

use super::{EventType, Full, put, put_record};

/// The table's version.
const VERSION: u64 = 1;
/// Version and NumberOfEvents.
const HEAD_LEN: usize = 16;

/// A table being written to memory that the caller gives. As in the log, nothing follows what did not fit.
#[derive(Debug)]
pub struct FinalEvents<'a> {
    area: &'a mut [u8],
    len: usize,
    count: u64,
    full: bool,
}

impl<'a> FinalEvents<'a> {
    /// An empty table in `area`, all of which is overwritten.
    pub fn new(area: &'a mut [u8]) -> Result<Self, Full> {
        area.fill(0);
        let len = put(area, 0, &[&VERSION.to_le_bytes(), &0_u64.to_le_bytes()])?;
        Ok(Self { area, len, count: 0, full: false })
    }

    /// Appends a TCG_PCR_EVENT2.
    pub fn append(&mut self, index: u32, event_type: EventType, digest: &Digest, data: &[&[u8]]) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        match put_record(self.area, self.len, index, event_type, digest, data) {
            Ok(end) => {
                self.len = end;
                self.count = self.count.saturating_add(1);
                put(self.area, size_of_val(&VERSION), &[&self.count.to_le_bytes()]).map(drop)
            }
            Err(Full) => {
                if let Some(unwritten) = self.area.get_mut(self.len..) {
                    unwritten.fill(0);
                }
                self.full = true;
                Err(Full)
            }
        }
    }

    /// Head and events.
    pub fn as_bytes(&self) -> &[u8] {
        self.area.get(..self.len.max(HEAD_LEN)).unwrap_or_default()
    }
}
