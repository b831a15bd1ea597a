//! The volume's label: an entry of the root directory that is no file.

use zerocopy::IntoBytes;

use super::Error;
use super::directory::Cursor;
use super::entry::{Entry, FREE, ShortEntry, VOLUME_ID};
use super::name::Name;
use super::time::Timestamp;
use super::volume::Volume;
use crate::block::BlockDevice;

/// Bytes of a label.
const LENGTH: usize = 11;

impl<D: BlockDevice> Volume<D> {
    fn label_entry(&mut self) -> Result<Option<Entry>, Error> {
        let mut cursor = Cursor::start(self.geometry.root_cluster);
        while let Some(entry) = self.next_slot(&mut cursor)? {
            if entry.short.attributes & VOLUME_ID != 0 {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }

    /// The label; empty when there is none.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Device`].
    pub fn label(&mut self) -> Result<Name, Error> {
        let mut label = Name::default();
        if let Some(entry) = self.label_entry()? {
            let length = entry.short.name.iter().rposition(|byte| *byte != b' ').map_or(0, |last| last + 1);
            entry.short.name.iter().take(length).for_each(|byte| label.push((*byte).into()));
        }
        Ok(label)
    }

    /// Sets the label, or removes it when it is empty. Letters become capitals.
    ///
    /// # Errors
    /// [`Error::InvalidName`] for what no label can be, [`Error::NoSpace`] when the root directory is full.
    pub fn set_label(&mut self, units: &[u16], now: Timestamp) -> Result<(), Error> {
        let mut name = [b' '; LENGTH];
        if units.len() > LENGTH {
            return Err(Error::InvalidName);
        }
        for (place, unit) in name.iter_mut().zip(units) {
            let byte = u8::try_from(*unit).map_err(|_| Error::InvalidName)?;
            if !(0x20..0x7f).contains(&byte) || b"\"*+,./:;<=>?[\\]|".contains(&byte) {
                return Err(Error::InvalidName);
            }
            *place = byte.to_ascii_uppercase();
        }
        self.writable()?;
        let empty = name == [b' '; LENGTH];
        match self.label_entry()? {
            Some(entry) if empty => self.put_at(entry.offset, &[FREE])?,
            Some(mut entry) => {
                entry.short.name = name;
                self.put_at(entry.offset, entry.short.as_bytes())?;
            }
            None if empty => {}
            None => {
                let mut short = ShortEntry::new(VOLUME_ID, 0, now);
                short.name = name;
                self.add_slot(self.geometry.root_cluster, &short)?;
            }
        }
        self.sync()
    }
}
