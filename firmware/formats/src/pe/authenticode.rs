//! The parts of a file that its Authenticode digest covers (Microsoft, Windows Authenticode
//! Portable Executable Signature Format, "Calculating the PE Image Hash").

use alloc::vec::Vec;
use core::ops::Range;

use super::{Error, Image};

/// The CheckSum field.
const CHECKSUM_LEN: usize = 4;
/// A data directory entry.
const DIRECTORY_ENTRY_LEN: usize = 8;

impl Image {
    /// Zeroes, in a loaded image, the header bytes that are in no digest, so that what runs can read nothing there that
    /// was not measured.
    pub fn clear_unmeasured(&self, memory: &mut [u8]) {
        let checksum = (self.checksum_offset, CHECKSUM_LEN);
        let entry = self.certificate_entry_offset.map(|entry| (entry, DIRECTORY_ENTRY_LEN));
        for (start, len) in core::iter::once(checksum).chain(entry) {
            if let Some(bytes) = memory.get_mut(start..).and_then(|bytes| bytes.get_mut(..len)) {
                bytes.fill(0);
            }
        }
    }

    /// The ranges of the file to hash, in this order: the headers without the checksum and the
    /// certificate table's directory entry, the sections by file offset, then what follows them
    /// except the certificate table.
    ///
    /// Everything [`load_into`](Self::load_into) copies is covered, with those two exceptions, which
    /// [`clear_unmeasured`](Self::clear_unmeasured) takes away.
    pub fn authenticode_ranges(&self) -> Result<Vec<Range<usize>>, Error> {
        let mut ranges = Vec::new();
        ranges.try_reserve_exact(self.sections.len() + 4)?;
        let mut push = |range: Range<usize>| {
            if !range.is_empty() {
                ranges.push(range);
            }
        };

        let headers_end = self.size_of_headers as usize;
        push(0..self.checksum_offset);
        let after_checksum = self.checksum_offset + CHECKSUM_LEN;
        match self.certificate_entry_offset {
            Some(entry) => {
                push(after_checksum..entry);
                push(entry + DIRECTORY_ENTRY_LEN..headers_end);
            }
            None => push(after_checksum..headers_end),
        }

        let mut raw = Vec::new();
        raw.try_reserve_exact(self.sections.len())?;
        raw.extend(self.sections.iter().map(|section| {
            let range = &section.raw_range;
            (range.start as usize, range.end as usize)
        }));
        heap_sort::sort(&mut raw);
        // The format counts the bytes hashed and takes them for the offset of what follows.
        let mut hashed = headers_end;
        for (start, end) in raw {
            push(start..end);
            hashed += end - start;
        }

        let trailing_end = self.certificate_table_start()?;
        match trailing_end.checked_sub(hashed) {
            Some(_) => push(hashed..trailing_end),
            // Sections that share bytes, or reach into the certificates.
            None => return Err(Error::Field("PointerToRawData")),
        }
        Ok(ranges)
    }

    /// The part of the file that holds its certificates (WIN_CERTIFICATE structures).
    pub fn certificate_table(&self) -> Result<Option<Range<usize>>, Error> {
        let start = self.certificate_table_start()?;
        Ok(self.certificate_table.as_ref().map(|_| start..self.file_len))
    }

    /// Where the certificates begin; the end of the file without any.
    fn certificate_table_start(&self) -> Result<usize, Error> {
        let Some(table) = &self.certificate_table else {
            return Ok(self.file_len);
        };
        if table.end != self.file_len as u64 || table.start < u64::from(self.size_of_headers) {
            return Err(Error::CertificateTable);
        }
        usize::try_from(table.start).map_err(|_| Error::CertificateTable)
    }
}
