//! What the text of each type of node has between its parentheses (UEFI 2.11, table 10.67), in the order and with the
//! number bases that EDK2 gives it.

use super::super::{
    ACPI_DEVICE, HARDWARE_MEMORY_MAPPED, HARDWARE_VENDOR, MEDIA_HARD_DRIVE, MEDIA_VENDOR, MESSAGING_NVME,
    MESSAGING_UART, MESSAGING_VENDOR, TYPE_ACPI, TYPE_HARDWARE, TYPE_MEDIA, TYPE_MESSAGING, VT_UTF8, guid,
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
    /// The byte as one of these names; a node with another byte is not of the form.
    Choice { at: u8, names: Names },
    /// As [`Self::Choice`], but another byte is `x`, EDK2's letter for what the specification has no name for.
    Setting { at: u8, names: Names },
    /// A GUID.
    Guid { at: u8 },
    /// An EUI-64: bytes with hyphens between them, the last one first.
    Eui64 { at: u8 },
    /// An EISA identifier in four bytes: `PNP` and four digits, or a number.
    EisaId { at: u8 },
    /// A word that always stands there: the only one of these names.
    Word(Names),
    /// The node's bytes from here on, in hexadecimal; there may be none.
    Rest { at: u8 },
    /// What `displayOnly` ends the parameters before.
    Detail,
}

use Field::{Choice, Decimal, Detail, EisaId, Eui64, Guid, Hex, OrDefault, Rest, Setting, Word};

/// The names that a parameter may have.
#[derive(Clone, Copy, Debug)]
#[repr(u8)]
pub enum Names {
    Parity,
    StopBits,
    AtaChannel,
    AtaDevice,
    FlowControl,
    Gpt,
    Mbr,
    Zero,
}

/// By [`Names`].
static NAMES: [&[&str]; 8] = [
    &["D", "N", "E", "O", "M", "S"],
    &["D", "1", "1.5", "2"],
    &["Primary", "Secondary"],
    &["Master", "Slave"],
    &["None", "Hardware", "XonXoff"],
    &["GPT"],
    &["MBR"],
    &["0"],
];

impl Names {
    /// In the order of their numbers.
    pub fn list(self) -> &'static [&'static str] {
        NAMES.get(self as usize).copied().unwrap_or_default()
    }

    /// The first, or only one.
    pub fn first(self) -> &'static str {
        self.list().first().copied().unwrap_or_default()
    }
}

/// The text of one type of node, or of one that has certain contents.
#[derive(Debug)]
pub struct Form {
    pub name: &'static str,
    pub kind: u8,
    pub sub_kind: u8,
    /// Bytes behind the header; with [`Field::Rest`] at least so many.
    pub len: u8,
    /// What the node has at this place, and which.
    pub fixed_at: u8,
    pub fixed: &'static [u8],
    /// Whether text is like this only if short forms are allowed.
    pub shortcut: bool,
    pub fields: &'static [Field],
}

const fn hex(at: u8, width: u8) -> Field {
    Hex { at, width, digits: 1 }
}

const fn form(name: &'static str, types: (u8, u8), len: u8, fields: &'static [Field]) -> Form {
    let (kind, sub_kind) = types;
    Form { name, kind, sub_kind, len, fixed_at: 0, fixed: &[], shortcut: false, fields }
}

const fn fixed(form: Form, at: u8, bytes: &'static [u8]) -> Form {
    Form { fixed_at: at, fixed: bytes, ..form }
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
const PARITY: Field = Setting { at: 13, names: Names::Parity };
const STOP_BITS: Field = Setting { at: 14, names: Names::StopBits };
const ATA: &[Field] =
    &[Choice { at: 0, names: Names::AtaChannel }, Choice { at: 1, names: Names::AtaDevice }, hex(2, 2)];
/// Ports of USB are named by the class of what is behind them.
const USB_CLASS: (u8, u8) = (TYPE_MESSAGING, 15);
const RAM_DISK: (u8, u8) = (TYPE_MEDIA, 9);
const RAM_DISK_INSTANCE: Field = Decimal { at: 32, width: 2 };
const NAMED_RAM_DISK: &[Field] = &[hex(0, 8), hex(8, 8), RAM_DISK_INSTANCE];

/// A RAM disk of a type that has a name.
const fn ram_disk(name: &'static str, guid: &'static [u8; 16]) -> Form {
    fixed(form(name, RAM_DISK, 34, NAMED_RAM_DISK), 16, guid)
}

/// The forms. Of those that a node or a text has, the first counts.
pub static FORMS: [Form; 52] = [
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
    form("AcpiAdr", (TYPE_ACPI, 3), 4, &[hex(0, 4)]),
    form("Ata", (TYPE_MESSAGING, 1), 4, ATA),
    form("Scsi", (TYPE_MESSAGING, 2), 4, &[hex(0, 2), hex(2, 2)]),
    form("Fibre", (TYPE_MESSAGING, 3), 20, &[hex(4, 8), hex(12, 8)]),
    form("USB", (TYPE_MESSAGING, 5), 2, &[hex(0, 1), hex(1, 1)]),
    form("I2O", (TYPE_MESSAGING, 6), 4, &[hex(0, 4)]),
    terminal("VenPcAnsi", &guid(0xe0c1_4753, 0xf9be, 0x11d2, [0x9a, 0x0c, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d])),
    terminal("VenVt100", &guid(0xdfa6_6065, 0xb419, 0x11d3, [0x9a, 0x2d, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d])),
    terminal("VenVt100Plus", &guid(0x7bae_c70b, 0x57e0, 0x4c76, [0x8e, 0x87, 0x2f, 0x9e, 0x28, 0x08, 0x83, 0x43])),
    terminal("VenUtf8", &VT_UTF8),
    fixed(
        form("DebugPort", (TYPE_MESSAGING, MESSAGING_VENDOR), 16, &[]),
        0,
        &guid(0xeba4_e8d2, 0x3858, 0x41ec, [0xa2, 0x81, 0x26, 0x47, 0xba, 0x96, 0x60, 0xd0]),
    ),
    fixed(
        form("UartFlowCtrl", (TYPE_MESSAGING, MESSAGING_VENDOR), 20, &[Choice { at: 16, names: Names::FlowControl }]),
        0,
        &guid(0x3749_9a9d, 0x542f, 0x4c89, [0xa0, 0x26, 0x35, 0xda, 0x14, 0x20, 0x94, 0xe4]),
    ),
    form("VenMsg", (TYPE_MESSAGING, MESSAGING_VENDOR), 16, VENDOR),
    form("Infiniband", (TYPE_MESSAGING, 9), 44, &[hex(0, 4), Guid { at: 4 }, hex(20, 8), hex(28, 8), hex(36, 8)]),
    form(
        "Uart",
        (TYPE_MESSAGING, MESSAGING_UART),
        15,
        &[OrDefault { at: 4, width: 8 }, OrDefault { at: 12, width: 1 }, PARITY, STOP_BITS],
    ),
    fixed(form("UsbVideo", USB_CLASS, 7, &[hex(0, 2), hex(2, 2), hex(5, 1), hex(6, 1)]), 4, &[14]),
    fixed(form("UsbTestAndMeasurement", USB_CLASS, 7, &[hex(0, 2), hex(2, 2), hex(6, 1)]), 4, &[254, 3]),
    form("UsbClass", USB_CLASS, 7, &[hex(0, 2), hex(2, 2), hex(4, 1), hex(5, 1), hex(6, 1)]),
    form("Unit", (TYPE_MESSAGING, 17), 1, &[hex(0, 1)]),
    form("Sata", (TYPE_MESSAGING, 18), 6, &[hex(0, 2), hex(2, 2), hex(4, 2)]),
    form("Vlan", (TYPE_MESSAGING, 20), 2, &[Decimal { at: 0, width: 2 }]),
    form("NVMe", (TYPE_MESSAGING, MESSAGING_NVME), 12, &[hex(0, 4), Eui64 { at: 4 }]),
    form("UFS", (TYPE_MESSAGING, 25), 2, &[hex(0, 1), hex(1, 1)]),
    form("SD", (TYPE_MESSAGING, 26), 1, &[hex(0, 1)]),
    form("eMMC", (TYPE_MESSAGING, 29), 1, &[hex(0, 1)]),
    fixed(form("HD", HARD_DRIVE, 38, &[NUMBER, Word(Names::Gpt), Guid { at: 20 }, hex(4, 8), hex(12, 8)]), 36, &[2, 2]),
    fixed(
        form(
            "HD",
            HARD_DRIVE,
            38,
            &[NUMBER, Word(Names::Mbr), Hex { at: 20, width: 4, digits: 8 }, hex(4, 8), hex(12, 8)],
        ),
        36,
        &[1, 1],
    ),
    form("HD", HARD_DRIVE, 38, &[NUMBER, Decimal { at: 37, width: 1 }, Word(Names::Zero), hex(4, 8), hex(12, 8)]),
    form("CDROM", (TYPE_MEDIA, 2), 20, &[hex(0, 4), Detail, hex(4, 8), hex(12, 8)]),
    form("VenMedia", (TYPE_MEDIA, MEDIA_VENDOR), 16, VENDOR),
    form("Media", (TYPE_MEDIA, 5), 16, &[Guid { at: 0 }]),
    form("FvFile", (TYPE_MEDIA, 6), 16, &[Guid { at: 0 }]),
    form("Fv", (TYPE_MEDIA, 7), 16, &[Guid { at: 0 }]),
    form("Offset", (TYPE_MEDIA, 8), 20, &[hex(4, 8), hex(12, 8)]),
    ram_disk("VirtualDisk", &guid(0x77ab_535a, 0x45fc, 0x624b, [0x55, 0x60, 0xf7, 0xb2, 0x81, 0xd1, 0xf9, 0x6e])),
    ram_disk("VirtualCD", &guid(0x3d5a_bd30, 0x4175, 0x87ce, [0x6d, 0x64, 0xd2, 0xad, 0xe5, 0x23, 0xc4, 0xbb])),
    ram_disk(
        "PersistentVirtualDisk",
        &guid(0x5cea_02c9, 0x4d07, 0x69d3, [0x26, 0x9f, 0x44, 0x96, 0xfb, 0xe0, 0x96, 0xf9]),
    ),
    ram_disk(
        "PersistentVirtualCD",
        &guid(0x0801_8188, 0x42cd, 0xbb48, [0x10, 0x0f, 0x53, 0x87, 0xd5, 0x3d, 0xed, 0x3d]),
    ),
    form("RamDisk", RAM_DISK, 34, &[hex(0, 8), hex(8, 8), RAM_DISK_INSTANCE, Guid { at: 16 }]),
];
