//! Building device paths node by node.

use alloc::vec::Vec;

use super::{
    ACPI_DEVICE, END_ENTIRE, END_INSTANCE, Error, Guid, HARDWARE_MEMORY_MAPPED, HARDWARE_VENDOR, HEADER_LEN, MAX_LEN,
    MEDIA_FILE_PATH, MEDIA_VENDOR, MESSAGING_UART, MESSAGING_VENDOR, TYPE_ACPI, TYPE_HARDWARE, TYPE_MEDIA,
    TYPE_MESSAGING, end_node,
};

/// EISA ID of "PNP0501", a UART: three letters of five bits in the upper bytes' order of EISA,
/// then the product number (UEFI Specification 2.11, section 10.3.3).
const PNP0501: u32 = 0x0501_41d0;

/// An EFI_MEMORY_TYPE value in a memory mapped node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryType(pub u32);

/// Builds a device path; the first error is kept until [`finish`](Self::finish).
#[derive(Debug, Default)]
pub struct Builder {
    bytes: Vec<u8>,
    error: Option<Error>,
}

impl Builder {
    /// A path without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// A node of any type, of the parts of its data.
    pub fn node(mut self, kind: u8, sub_kind: u8, data: &[&[u8]]) -> Self {
        let result = self.push(kind, sub_kind, data);
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
        self
    }

    fn push(&mut self, kind: u8, sub_kind: u8, data: &[&[u8]]) -> Result<(), Error> {
        let len = data.iter().map(|part| part.len()).sum::<usize>() + HEADER_LEN;
        let node_len = u16::try_from(len).map_err(|_| Error::NodeTooLong)?;
        if self.bytes.len() + len + HEADER_LEN > MAX_LEN {
            return Err(Error::TooLong);
        }
        self.bytes.try_reserve(len + HEADER_LEN)?;
        self.bytes.extend([kind, sub_kind]);
        self.bytes.extend(node_len.to_le_bytes());
        for part in data {
            self.bytes.extend_from_slice(part);
        }
        Ok(())
    }

    /// Hardware: memory mapped. `end` is the last address, as firmware in use has it.
    pub fn memory_mapped(self, memory_type: MemoryType, start: u64, end: u64) -> Self {
        self.node(
            TYPE_HARDWARE,
            HARDWARE_MEMORY_MAPPED,
            &[&memory_type.0.to_le_bytes(), &start.to_le_bytes(), &end.to_le_bytes()],
        )
    }

    /// Hardware: vendor-defined.
    pub fn vendor_hardware(self, guid: &Guid, data: &[u8]) -> Self {
        self.node(TYPE_HARDWARE, HARDWARE_VENDOR, &[guid, data])
    }

    /// ACPI: a device by its numeric _HID and _UID.
    pub fn acpi(self, hid: u32, uid: u32) -> Self {
        self.node(TYPE_ACPI, ACPI_DEVICE, &[&hid.to_le_bytes(), &uid.to_le_bytes()])
    }

    /// Messaging: a UART of 8 data bits, no parity, one stop bit; a baud rate of 0 is the default.
    pub fn uart_8n1(self, baud: u64) -> Self {
        const DATA_BITS: u8 = 8;
        const NO_PARITY: u8 = 1;
        const ONE_STOP_BIT: u8 = 1;
        self.node(
            TYPE_MESSAGING,
            MESSAGING_UART,
            &[&[0; 4], &baud.to_le_bytes(), &[DATA_BITS, NO_PARITY, ONE_STOP_BIT]],
        )
    }

    /// Messaging: vendor-defined, such as a terminal type.
    pub fn vendor_messaging(self, guid: &Guid) -> Self {
        self.node(TYPE_MESSAGING, MESSAGING_VENDOR, &[guid])
    }

    /// Media: vendor-defined.
    pub fn vendor_media(self, guid: &Guid) -> Self {
        self.node(TYPE_MEDIA, MEDIA_VENDOR, &[guid])
    }

    /// Media: the path of a file; "/" becomes "\".
    pub fn file_path(mut self, path: &str) -> Self {
        let units = path.encode_utf16().filter(|unit| *unit != 0);
        let units = units.map(|unit| if unit == u16::from(b'/') { 0x5c } else { unit });
        let mut bytes = Vec::new();
        // No character has more code units than bytes.
        if bytes.try_reserve_exact(path.len() * 2 + 2).is_err() {
            self.error.get_or_insert(Error::OutOfMemory);
            return self;
        }
        bytes.extend(units.chain([0]).flat_map(u16::to_le_bytes));
        self.node(TYPE_MEDIA, MEDIA_FILE_PATH, &[&bytes])
    }

    /// A serial line: an ACPI UART and its settings.
    pub fn serial_line(self, uid: u32, baud: u64) -> Self {
        self.acpi(PNP0501, uid).uart_8n1(baud)
    }

    /// A serial console: its line and the terminal type.
    pub fn console(self, uid: u32, baud: u64, terminal: &Guid) -> Self {
        self.serial_line(uid, baud).vendor_messaging(terminal)
    }

    /// Ends an instance; another follows.
    pub fn end_instance(mut self) -> Self {
        let [kind, sub_kind, ..] = end_node(END_INSTANCE);
        if let Err(error) = self.push(kind, sub_kind, &[]) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// The device path with its End Entire node, in bytes.
    pub fn finish(mut self) -> Result<Vec<u8>, Error> {
        if let Some(error) = self.error {
            return Err(error);
        }
        self.bytes.try_reserve(HEADER_LEN)?;
        self.bytes.extend(end_node(END_ENTIRE));
        Ok(self.bytes)
    }
}
