//! Device paths as text (UEFI 2.11, section 10.6). What holds here holds under EDK2.

use core::{ptr, slice};

use r_efi::efi::{Boolean, Char16};
use r_efi::protocols::device_path::Protocol as Path;
use r_efi::protocols::{device_path_from_text, device_path_to_text};

use crate::env::{self, free};
use crate::report::{check, failed, passed};

/// Each node with its text.
const NODES: [(&[u8], &str); 20] = [
    (&[1, 1, 6, 0, 2, 0x1f], "Pci(0x1F,0x2)"),
    (&[1, 3, 24, 0, 11, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0xff, 0xff, 0, 0x40, 0, 0, 0, 0], MEMORY),
    (b"\x01\x04\x15\0efi-check's disk\xab", "VenHw(2D696665-6863-6365-6B27-73206469736B,AB)"),
    (&[1, 5, 8, 0, 1, 2, 0, 0], "Ctrl(0x201)"),
    (&[1, 9, 5, 0, 0xab], "HardwarePath(9,AB)"),
    (&[2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0], "PciRoot(0x0)"),
    (&[2, 1, 12, 0, 0xd0, 0x41, 1, 5, 10, 0, 0, 0], "Serial(0xA)"),
    (&[2, 1, 12, 0, 0xd0, 0x41, 0x0c, 0x0c, 0, 0, 0, 0], "Acpi(PNP0C0C,0x0)"),
    (&[3, 2, 8, 0, 3, 0, 2, 0], "Scsi(0x3,0x2)"),
    (&[3, 5, 6, 0, 1, 0], "USB(0x1,0x0)"),
    (&[3, 14, 19, 0, 0, 0, 0, 0, 0, 0xc2, 1, 0, 0, 0, 0, 0, 8, 1, 1], "Uart(115200,8,N,1)"),
    (&[3, 14, 19, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "Uart(DEFAULT,DEFAULT,D,D)"),
    (&[3, 23, 16, 0, 1, 2, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0xab], "NVMe(0x201,AB-07-06-05-04-03-02-01)"),
    (b"\x03\x0a\x14\0efi-check's disk", "VenMsg(2D696665-6863-6365-6B27-73206469736B)"),
    (b"\x04\x01\x2a\0\x02\0\0\0\0\x08\0\0\0\0\0\0\0\x10\0\0\0\0\0\0efi-check's disk\x02\x02", GPT),
    (b"\x04\x01\x2a\0\x02\0\0\0\0\x08\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\xcd\xab\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x01", MBR),
    (b"\x04\x02\x18\0\x01\0\0\0\x40\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0", "CDROM(0x1,0x40,0x8)"),
    (b"\x04\x03\x14\0efi-check's disk", "VenMedia(2D696665-6863-6365-6B27-73206469736B)"),
    (b"\x04\x04\x0a\0\\\0a\0\0\0", "\\a"),
    (&[6, 1, 5, 0, 0x0f], "Path(6,1,0F)"),
];
const MEMORY: &str = "MemoryMapped(0xB,0x40000000,0x4000FFFF)";
const GPT: &str = "HD(2,GPT,2D696665-6863-6365-6B27-73206469736B,0x800,0x1000)";
const MBR: &str = "HD(2,MBR,0x0000ABCD,0x800,0x1000)";

const DISC: [u8; 24] = *b"\x04\x02\x18\0\x01\0\0\0\x40\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0";
const VT_UTF8: [u8; 20] =
    [3, 10, 20, 0, 0xd6, 0xa0, 0x15, 0xad, 0xec, 0x8b, 0xcf, 0x4a, 0xa0, 0x73, 0xd0, 0x1d, 0xe7, 0x7e, 0x2d, 0x88];

/// A path with a console's and a disk's nodes, end included.
const PATH: &[u8] = &[
    2, 1, 12, 0, 0xd0, 0x41, 3, 0x0a, 0, 0, 0, 0, 1, 1, 6, 0, 0, 1, 4, 4, 10, 0, b'\\', 0, b'a', 0, 0, 0, 0x7f, 0xff,
    4, 0,
];
const PATH_TEXT: &str = "PciRoot(0x0)/Pci(0x1,0x0)/\\a";

/// What a member returned, compared and freed.
fn text_is(text: *mut Char16, wanted: &str) -> bool {
    if text.is_null() {
        return false;
    }
    let is = (0..).map(|at| unsafe { text.add(at).read() }).take_while(|unit| *unit != 0);
    let same = is.eq(wanted.bytes().map(u16::from));
    free(text.cast());
    same
}

fn path_is(path: *mut Path, wanted: &[u8]) -> bool {
    if path.is_null() {
        return false;
    }
    let same = unsafe { slice::from_raw_parts(path.cast::<u8>(), wanted.len()) } == wanted;
    free(path.cast());
    same
}

/// A text for a member to read.
struct Units([u16; 128]);

impl Units {
    fn new(text: &str) -> Self {
        let mut units = [0; 128];
        text.bytes().zip(&mut units).for_each(|(byte, unit)| *unit = byte.into());
        Self(units)
    }
}

pub fn run() {
    let to: *mut device_path_to_text::Protocol = env::locate(&device_path_to_text::PROTOCOL_GUID);
    let from: *mut device_path_from_text::Protocol = env::locate(&device_path_from_text::PROTOCOL_GUID);
    if to.is_null() || from.is_null() {
        return failed("DevicePathToText, DevicePathFromText", format_args!("not there"));
    }
    let (to, from) = unsafe { (&*to, &*from) };
    let raw = |bytes: &[u8]| bytes.as_ptr().cast_mut().cast::<Path>();
    let node_to_text = |bytes: &[u8], display: bool, shortcuts: bool| unsafe {
        (to.convert_device_node_to_text)(raw(bytes), display.into(), shortcuts.into())
    };
    let text_to_node = |text: &str| unsafe { (from.convert_text_to_device_node)(Units::new(text).0.as_ptr()) };
    let text_to_path = |text: &str| unsafe { (from.convert_text_to_device_path)(Units::new(text).0.as_ptr()) };
    for (node, text) in NODES {
        match (text_is(node_to_text(node, false, false), text), path_is(text_to_node(text), node)) {
            (true, true) => passed("ConvertDeviceNodeToText, ConvertTextToDeviceNode: a type of node"),
            (false, _) => failed("ConvertDeviceNodeToText", format_args!("not {text}")),
            (true, false) => failed("ConvertTextToDeviceNode", format_args!("{text}")),
        }
    }
    check("ConvertDeviceNodeToText: only to be read", text_is(node_to_text(&DISC, true, false), "CDROM(0x1)"));
    let long = "VenMsg(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88)";
    check("ConvertDeviceNodeToText: shortcuts", text_is(node_to_text(&VT_UTF8, false, true), "VenUtf8()"));
    check("ConvertDeviceNodeToText: no shortcuts", text_is(node_to_text(&VT_UTF8, false, false), long));
    check("ConvertTextToDeviceNode: shortcut", path_is(text_to_node("VenUtf8()"), &VT_UTF8));
    let none = unsafe { (to.convert_device_node_to_text)(ptr::null_mut(), Boolean::FALSE, Boolean::FALSE) };
    check("ConvertDeviceNodeToText: null", none.is_null());
    let text = unsafe { (to.convert_device_path_to_text)(raw(PATH), Boolean::FALSE, Boolean::FALSE) };
    check("ConvertDevicePathToText", text_is(text, PATH_TEXT));
    let none = unsafe { (to.convert_device_path_to_text)(ptr::null_mut(), Boolean::FALSE, Boolean::FALSE) };
    check("ConvertDevicePathToText: null", none.is_null());
    let end = [0x7f, 0xff, 4, 0];
    let text = unsafe { (to.convert_device_path_to_text)(raw(&end), Boolean::FALSE, Boolean::FALSE) };
    check("ConvertDevicePathToText: no nodes", text_is(text, ""));
    check("ConvertTextToDevicePath", path_is(text_to_path(PATH_TEXT), PATH));
    check("ConvertTextToDevicePath: decimal, what is left out", path_is(text_to_path("PciRoot()/Pci(1,0)/\\a"), PATH));
    let two = [&VT_UTF8[..], &[0x7f, 1, 4, 0, 1, 5, 8, 0, 1, 0, 0, 0], &end];
    let mut bytes = [0; 36];
    two.iter().copied().flatten().zip(&mut bytes).for_each(|(from, to)| *to = *from);
    check("ConvertTextToDevicePath: instances", path_is(text_to_path("VenUtf8(),Ctrl(0x1)"), &bytes));
    check("ConvertTextToDevicePath: no end of the parameters", text_to_path("Pci(0x1").is_null());
    let none = unsafe { (from.convert_text_to_device_node)(ptr::null()) };
    check("ConvertTextToDeviceNode: null", none.is_null());
    let none = unsafe { (from.convert_text_to_device_path)(ptr::null()) };
    check("ConvertTextToDevicePath: null", none.is_null());
}
