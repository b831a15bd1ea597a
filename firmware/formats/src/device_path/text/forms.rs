//! What the text of each type of node has between its parentheses (UEFI 2.11, table 10.67), in the order and with the
//! number bases that EDK2 gives it.

use super::super::{
    ACPI_DEVICE, HARDWARE_MEMORY_MAPPED, HARDWARE_VENDOR, MEDIA_HARD_DRIVE, MEDIA_VENDOR, MESSAGING_UART,
    MESSAGING_VENDOR, TYPE_ACPI, TYPE_HARDWARE, TYPE_MEDIA, TYPE_MESSAGING, VT_UTF8, guid,
};

/// One parameter; `at` counts from the end of the node's header.
#[derive(Clone, Copy, Debug)]
pub enum Field {
    /// A number of `width` bytes in base 16, with `digits` at least.
    Hex { at: u8, width: u8, digits: u8 },
    /// A number of `width` bytes in base 10.
    Decimal { at: u8, width: u8 },
    /// As [`Self::Decimal`]; zero is `DEFAULT`.
    OrDefault { at: u8, width: u8 },
    /// The byte as one of these.
    Choice { at: u8, names: &'static [&'static str] },
    /// A GUID.
    Guid { at: u8 },
    /// An EISA identifier in four bytes: `PNP` and four digits, or a number.
    EisaId { at: u8 },
    /// A word that always stands there.
    Word(&'static str),
    /// The node's bytes from here on, in hexadecimal; there may be none.
    Rest { at: u8 },
    /// What `displayOnly` ends the parameters before.
    Detail,
}

use Field::{Choice, Decimal, Detail, EisaId, Guid, Hex, OrDefault, Rest, Word};

/// The text of one type of node, or of one that has certain contents.
#[derive(Debug)]
pub struct Form {
    pub name: &'static str,
    pub kind: u8,
    pub sub_kind: u8,
    /// Bytes behind the header; with [`Field::Rest`] at least so many.
    pub len: u8,
    /// What the node has at this place.
    pub fixed: (u8, &'static [u8]),
    /// Whether text is like this only if short forms are allowed.
    pub shortcut: bool,
    pub fields: &'static [Field],
}

const fn hex(at: u8, width: u8) -> Field {
    Hex { at, width, digits: 1 }
}

const fn form(name: &'static str, types: (u8, u8), len: u8, fields: &'static [Field]) -> Form {
    let (kind, sub_kind) = types;
    Form { name, kind, sub_kind, len, fixed: (0, &[]), shortcut: false, fields }
}

const fn fixed(form: Form, at: u8, bytes: &'static [u8]) -> Form {
    Form { fixed: (at, bytes), ..form }
}

/// A device with an EISA identifier of its own name.
const fn device(name: &'static str, id: &'static [u8; 4]) -> Form {
    fixed(form(name, (TYPE_ACPI, ACPI_DEVICE), 8, UNIQUE_ID), 0, id)
}

/// A terminal type.
const fn terminal(name: &'static str, guid: &'static [u8; 16]) -> Form {
    Form { shortcut: true, ..fixed(form(name, (TYPE_MESSAGING, MESSAGING_VENDOR), 16, &[]), 0, guid) }
}

const UNIQUE_ID: &[Field] = &[hex(4, 4)];
const VENDOR: &[Field] = &[Guid { at: 0 }, Rest { at: 16 }];
const HARD_DRIVE: (u8, u8) = (TYPE_MEDIA, MEDIA_HARD_DRIVE);
const NUMBER: Field = Decimal { at: 0, width: 4 };
const PARITY: Field = Choice { at: 13, names: &["D", "N", "E", "O", "M", "S"] };
const STOP_BITS: Field = Choice { at: 14, names: &["D", "1", "1.5", "2"] };

/// The forms. Of those that a node or a text has, the first counts.
pub static FORMS: [Form; 33] = [
    form("Pci", (TYPE_HARDWARE, 1), 2, &[hex(1, 1), hex(0, 1)]),
    form("PcCard", (TYPE_HARDWARE, 2), 1, &[hex(0, 1)]),
    form("MemoryMapped", (TYPE_HARDWARE, HARDWARE_MEMORY_MAPPED), 20, &[hex(0, 4), hex(4, 8), hex(12, 8)]),
    form("VenHw", (TYPE_HARDWARE, HARDWARE_VENDOR), 16, VENDOR),
    form("Ctrl", (TYPE_HARDWARE, 5), 4, &[hex(0, 4)]),
    form("BMC", (TYPE_HARDWARE, 6), 9, &[hex(0, 1), hex(1, 8)]),
    device("PciRoot", &[0xd0, 0x41, 0x03, 0x0a]),
    device("PcieRoot", &[0xd0, 0x41, 0x08, 0x0a]),
    device("Floppy", &[0xd0, 0x41, 0x04, 0x06]),
    device("Keyboard", &[0xd0, 0x41, 0x01, 0x03]),
    device("Serial", &[0xd0, 0x41, 0x01, 0x05]),
    device("ParallelPort", &[0xd0, 0x41, 0x01, 0x04]),
    form("Acpi", (TYPE_ACPI, ACPI_DEVICE), 8, &[EisaId { at: 0 }, hex(4, 4)]),
    form("Scsi", (TYPE_MESSAGING, 2), 4, &[hex(0, 2), hex(2, 2)]),
    form("Fibre", (TYPE_MESSAGING, 3), 20, &[hex(4, 8), hex(12, 8)]),
    form("USB", (TYPE_MESSAGING, 5), 2, &[hex(0, 1), hex(1, 1)]),
    form("I2O", (TYPE_MESSAGING, 6), 4, &[hex(0, 4)]),
    terminal("VenPcAnsi", &guid(0xe0c1_4753, 0xf9be, 0x11d2, [0x9a, 0x0c, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d])),
    terminal("VenVt100", &guid(0xdfa6_6065, 0xb419, 0x11d3, [0x9a, 0x2d, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d])),
    terminal("VenVt100Plus", &guid(0x7bae_c70b, 0x57e0, 0x4c76, [0x8e, 0x87, 0x2f, 0x9e, 0x28, 0x08, 0x83, 0x43])),
    terminal("VenUtf8", &VT_UTF8),
    form("VenMsg", (TYPE_MESSAGING, MESSAGING_VENDOR), 16, VENDOR),
    form(
        "Uart",
        (TYPE_MESSAGING, MESSAGING_UART),
        15,
        &[OrDefault { at: 4, width: 8 }, OrDefault { at: 12, width: 1 }, PARITY, STOP_BITS],
    ),
    form("Sata", (TYPE_MESSAGING, 18), 6, &[hex(0, 2), hex(2, 2), hex(4, 2)]),
    fixed(form("HD", HARD_DRIVE, 38, &[NUMBER, Word("GPT"), Guid { at: 20 }, hex(4, 8), hex(12, 8)]), 36, &[2, 2]),
    fixed(
        form("HD", HARD_DRIVE, 38, &[NUMBER, Word("MBR"), Hex { at: 20, width: 4, digits: 8 }, hex(4, 8), hex(12, 8)]),
        36,
        &[1, 1],
    ),
    form("HD", HARD_DRIVE, 38, &[NUMBER, Decimal { at: 37, width: 1 }, Word("0"), hex(4, 8), hex(12, 8)]),
    form("CDROM", (TYPE_MEDIA, 2), 20, &[hex(0, 4), Detail, hex(4, 8), hex(12, 8)]),
    form("VenMedia", (TYPE_MEDIA, MEDIA_VENDOR), 16, VENDOR),
    form("Media", (TYPE_MEDIA, 5), 16, &[Guid { at: 0 }]),
    form("FvFile", (TYPE_MEDIA, 6), 16, &[Guid { at: 0 }]),
    form("Fv", (TYPE_MEDIA, 7), 16, &[Guid { at: 0 }]),
    form("Offset", (TYPE_MEDIA, 8), 20, &[hex(4, 8), hex(12, 8)]),
];
