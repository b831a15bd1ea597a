//! Device paths as text: what EDK2 writes for each type of node, and the way back.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::device_path::text::{Style, of_node, of_path, to_node, to_path};
use formats::device_path::{Builder, DevicePath, Node, NodeHeader, VT_UTF8};

const LONG: Style = Style { display_only: false, allow_shortcuts: false };
const SHORT: Style = Style { display_only: true, allow_shortcuts: true };

fn units(text: &str) -> Vec<u16> {
    text.encode_utf16().collect()
}

fn string(units: &[u16]) -> String {
    let (last, text) = units.split_last().unwrap();
    assert_eq!(*last, 0);
    String::from_utf16(text).unwrap()
}

fn path_text(path: Builder, style: Style) -> String {
    let path = path.finish().unwrap();
    string(&of_path(DevicePath::parse(&path).unwrap(), style).unwrap())
}

fn node_text(kind: u8, sub_kind: u8, data: &[u8], style: Style) -> String {
    let len = (data.len() + 4) as u16;
    let bytes = [&[kind, sub_kind][..], &len.to_le_bytes(), data].concat();
    let header = NodeHeader::parse(*bytes.first_chunk().unwrap()).unwrap();
    string(&of_node(Node { header, bytes: &bytes }, style).unwrap())
}

/// The text of a node, and the node of that text.
#[track_caller]
fn both_ways(kind: u8, sub_kind: u8, data: &[u8], text: &str) {
    assert_eq!(node_text(kind, sub_kind, data, LONG), text);
    let len = (data.len() + 4) as u16;
    let bytes = [&[kind, sub_kind][..], &len.to_le_bytes(), data].concat();
    assert_eq!(to_node(&units(text)).unwrap(), bytes, "{text}");
}

#[test]
fn nodes_with_forms_of_their_own() {
    both_ways(1, 1, &[2, 0x1f], "Pci(0x1F,0x2)");
    both_ways(1, 2, &[3], "PcCard(0x3)");
    let memory = [&[11, 0, 0, 0][..], &0x4000_0000u64.to_le_bytes(), &0xffff_ffffu64.to_le_bytes()].concat();
    both_ways(1, 3, &memory, "MemoryMapped(0xB,0x40000000,0xFFFFFFFF)");
    both_ways(1, 4, &VT_UTF8, "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88)");
    let with_data = [&VT_UTF8[..], &[0, 0xab]].concat();
    both_ways(1, 4, &with_data, "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,00AB)");
    both_ways(1, 5, &[1, 2, 0, 0], "Ctrl(0x201)");
    both_ways(2, 1, &[0xd0, 0x41, 0x03, 0x0a, 0, 0, 0, 0], "PciRoot(0x0)");
    both_ways(2, 1, &[0xd0, 0x41, 0x08, 0x0a, 1, 0, 0, 0], "PcieRoot(0x1)");
    both_ways(2, 1, &[0xd0, 0x41, 0x01, 0x05, 0, 0, 0, 1], "Serial(0x1000000)");
    both_ways(2, 1, &[0xd0, 0x41, 0x0c, 0x0c, 2, 0, 0, 0], "Acpi(PNP0C0C,0x2)");
    both_ways(2, 1, &[0xd1, 0x41, 0x0c, 0x0c, 2, 0, 0, 0], "Acpi(0x0C0C41D1,0x2)");
    both_ways(3, 2, &[3, 0, 2, 0], "Scsi(0x3,0x2)");
    both_ways(3, 5, &[1, 0], "USB(0x1,0x0)");
    both_ways(3, 18, &[0, 0, 0xff, 0xff, 0, 0], "Sata(0x0,0xFFFF,0x0)");
    both_ways(4, 3, &VT_UTF8, "VenMedia(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88)");
    both_ways(4, 4, &[b'\\', 0, b'a', 0, 0, 0], "\\a");
}

#[test]
fn nodes_of_other_machines() {
    both_ways(1, 6, &[1, 0, 0, 0, 0xd0, 0, 0, 0, 0xc0], "BMC(0x1,0xC0000000D0000000)");
    both_ways(2, 3, &[0, 1, 1, 0x80], "AcpiAdr(0x80010100)");
    both_ways(3, 1, &[1, 0, 2, 0], "Ata(Secondary,Master,0x2)");
    both_ways(3, 1, &[0, 1, 0, 0], "Ata(Primary,Slave,0x0)");
    both_ways(3, 1, &[2, 0, 0, 0], "Msg(1,02000000)");
    let port = [&[10, 0, 0, 0], &VT_UTF8[..], &[1; 8], &[2; 8], &[0xcd, 0xab, 0, 0, 0, 0, 0, 0]].concat();
    let text = "Infiniband(0xA,AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0x101010101010101,0x202020202020202,0xABCD)";
    both_ways(3, 9, &port, text);
    let debug_port = to_node(&units("DebugPort()")).unwrap();
    both_ways(3, 10, &debug_port[4..], "DebugPort()");
    assert_eq!((debug_port.len(), debug_port[4], debug_port[19]), (20, 0xd2, 0xd0));
    for (name, value) in [("None", 0), ("Hardware", 1), ("XonXoff", 2)] {
        let text = format!("UartFlowCtrl({name})");
        let node = to_node(&units(&text)).unwrap();
        assert_eq!((node.len(), node[4], &node[20..]), (24, 0x9d, &[value, 0, 0, 0][..]));
        both_ways(3, 10, &node[4..], &text);
    }
    both_ways(3, 15, &[0xd2, 4, 0x2e, 0x16, 8, 6, 80], "UsbClass(0x4D2,0x162E,0x8,0x6,0x50)");
    both_ways(3, 15, &[1, 0, 2, 0, 14, 1, 0], "UsbVideo(0x1,0x2,0x1,0x0)");
    both_ways(3, 15, &[1, 0, 2, 0, 254, 3, 1], "UsbTestAndMeasurement(0x1,0x2,0x1)");
    both_ways(3, 17, &[0xab], "Unit(0xAB)");
    both_ways(3, 20, &[0x12, 0], "Vlan(18)");
    both_ways(3, 23, &[1, 2, 0, 0, 1, 2, 3, 4, 5, 6, 7, 0xab], "NVMe(0x201,AB-07-06-05-04-03-02-01)");
    both_ways(3, 25, &[0, 3], "UFS(0x0,0x3)");
    both_ways(3, 26, &[1], "SD(0x1)");
    both_ways(3, 29, &[0], "eMMC(0x0)");
    let disk = |guid: &[u8]| [&[1; 8][..], &[2; 8], guid, &[7, 0]].concat();
    both_ways(
        4,
        9,
        &disk(&VT_UTF8),
        "RamDisk(0x101010101010101,0x202020202020202,7,AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88)",
    );
    for (name, first) in
        [("VirtualDisk", 0x5a), ("VirtualCD", 0x30), ("PersistentVirtualDisk", 0xc9), ("PersistentVirtualCD", 0x88)]
    {
        let text = format!("{name}(0x101010101010101,0x202020202020202,7)");
        let node = to_node(&units(&text)).unwrap();
        assert_eq!((node.len(), node[20]), (38, first), "{name}");
        both_ways(4, 9, &node[4..], &text);
    }
}

/// As the conformance suite writes some.
#[test]
fn spaces_before_numbers_and_what_follows_count_for_nothing() {
    let same = |text: &str, plain: &str| assert_eq!(to_node(&units(text)), to_node(&units(plain)), "{text}");
    assert!(to_node(&units("BMC(0x0,0x12345678FFFFFFFF)")).is_some());
    same("BMC(0x00,0x12345678FFFFFFFF))", "BMC(0x0,0x12345678FFFFFFFF)");
    same("Pci(1, 2)", "Pci(1,2)");
    same("Pci( 0x1,  2)", "Pci(1,2)");
    same("Offset(0xFF, 0xFFFF)", "Offset(255,65535)");
    assert_eq!(to_node(&units("Pci(1 ,2)")), None);
    assert_eq!(to_node(&units("Pci((1),2)")), None);
    let path = to_path(&units("Ctrl(1))/Pci(1,2)")).unwrap();
    assert_eq!(path, to_path(&units("Ctrl(1)/Pci(1,2)")).unwrap());
}

#[test]
fn serial_lines() {
    let line = |baud: u64, settings: [u8; 3]| [&[0; 4][..], &baud.to_le_bytes(), &settings].concat();
    both_ways(3, 14, &line(115_200, [8, 1, 1]), "Uart(115200,8,N,1)");
    both_ways(3, 14, &line(0, [0, 0, 0]), "Uart(DEFAULT,DEFAULT,D,D)");
    both_ways(3, 14, &line(1, [7, 5, 2]), "Uart(1,7,S,1.5)");
    assert_eq!(node_text(3, 14, &line(1, [7, 6, 4]), LONG), "Uart(1,7,x,x)");
    assert_eq!(to_node(&units("Uart(1,7,x,x)")), None);
}

#[test]
fn partitions() {
    let drive = |signature: &[u8; 16], format: u8, kind: u8| {
        let data: [&[u8]; 6] =
            [&2u32.to_le_bytes(), &2048u64.to_le_bytes(), &0x1000u64.to_le_bytes(), signature, &[format], &[kind]];
        data.concat()
    };
    both_ways(4, 1, &drive(&VT_UTF8, 2, 2), "HD(2,GPT,AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0x800,0x1000)");
    let mut short = [0; 16];
    short[..4].copy_from_slice(&0xabcdu32.to_le_bytes());
    both_ways(4, 1, &drive(&short, 1, 1), "HD(2,MBR,0x0000ABCD,0x800,0x1000)");
    both_ways(4, 1, &drive(&[0; 16], 0, 0), "HD(2,0,0,0x800,0x1000)");
    let disc = [&1u32.to_le_bytes()[..], &64u64.to_le_bytes(), &8u64.to_le_bytes()].concat();
    both_ways(4, 2, &disc, "CDROM(0x1,0x40,0x8)");
    assert_eq!(node_text(4, 2, &disc, SHORT), "CDROM(0x1)");
    let longer = to_node(&units("CDROM(0x1)")).unwrap();
    assert_eq!((longer.len(), longer[4]), (24, 1), "what is left out is zero");
}

#[test]
fn terminal_types_have_shortcuts() {
    assert_eq!(node_text(3, 10, &VT_UTF8, SHORT), "VenUtf8()");
    assert_eq!(node_text(3, 10, &VT_UTF8, LONG), "VenMsg(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88)");
    for (name, first) in [("VenUtf8()", 0xd6), ("VenPcAnsi()", 0x53), ("VenVt100()", 0x65), ("VenVt100Plus()", 0x0b)] {
        let node = to_node(&units(name)).unwrap();
        assert_eq!((node.len(), node[4]), (20, first), "{name}");
        assert_eq!(node_text(3, 10, &node[4..], SHORT), name);
    }
}

#[test]
fn what_has_no_form_is_written_by_its_type() {
    both_ways(1, 9, &[], "HardwarePath(9)");
    both_ways(2, 3, &[1, 0xff], "AcpiPath(3,01FF)");
    both_ways(3, 200, &[7], "Msg(200,07)");
    both_ways(4, 12, &[7], "MediaPath(12,07)");
    both_ways(5, 1, &[7], "BbsPath(1,07)");
    both_ways(6, 1, &[7], "Path(6,1,07)");
    both_ways(0, 0, &[], "Path(0,0)");
    // The right type and the wrong length.
    both_ways(1, 1, &[2], "HardwarePath(1,02)");
    both_ways(1, 1, &[2, 0, 0], "HardwarePath(1,020000)");
    both_ways(4, 3, &[2, 0, 0], "MediaPath(3,020000)");
    assert_eq!(to_node(&units("Path(0x1,0x1,0203)")).unwrap(), [1, 1, 6, 0, 2, 3], "any node can be written so");
}

#[test]
fn paths_and_instances() {
    let console = || Builder::new().console(0, 115_200, &VT_UTF8);
    let two = console().end_instance().acpi(0x0a03_41d0, 0).node(1, 1, &[&[0, 2]]).file_path("/EFI/x.efi");
    assert_eq!(
        path_text(two, SHORT),
        "Serial(0x0)/Uart(115200,8,N,1)/VenUtf8(),PciRoot(0x0)/Pci(0x2,0x0)/\\EFI\\x.efi"
    );
    assert_eq!(path_text(Builder::new(), SHORT), "");
    let whole = to_path(&units("Serial(0)/Uart(115200,8,N,1)/VenUtf8(),PciRoot()/Pci(2,0)/\\EFI\\x.efi")).unwrap();
    let two = console().end_instance().acpi(0x0a03_41d0, 0).node(1, 1, &[&[0, 2]]).file_path("/EFI/x.efi");
    assert_eq!(whole, two.finish().unwrap());
    assert_eq!(to_path(&[]).unwrap(), [0x7f, 0xff, 4, 0]);
    assert_eq!(to_path(&units("/Ctrl(1)/")).unwrap(), to_path(&units("Ctrl(0x1)")).unwrap());
}

#[test]
fn text_that_is_no_node() {
    for text in [
        "Pci(0x100,0)",
        "Pci(-1)",
        "Pci(x)",
        "Pci(0x)",
        "Pci(1,2,3)",
        "Pci(0xfffffffffffffffff,0)",
        "MemoryMapped(0,0x10000000000000000,0)",
        "VenHw()",
        "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D8)",
        "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D888)",
        "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0)",
        "VenHw(AD15A0D6-8BEC-4ACF-A073-D01DE77E2D88,0g)",
        "VenUtf8(1)",
        "HD(1,XYZ,0,0,0)",
        "Acpi(PNP10000,0)",
        "Path(256,0)",
        "Path(1,1,0)",
        "Path(127,255)",
        "Path(127,1)",
    ] {
        assert_eq!(to_node(&units(text)), None, "{text}");
        assert_eq!(to_path(&units(&format!("Ctrl(1)/{text}"))), None, "{text}");
    }
    assert_eq!(to_path(&units("Pci(1")), None);
    // Not the name of a form: a file's.
    assert_eq!(to_node(&units("pci(1)")).unwrap()[..2], [4, 4]);
    assert_eq!(to_node(&units("a (1)")).unwrap()[..2], [4, 4]);
    assert_eq!(to_node(&units("Pci")).unwrap()[..2], [4, 4]);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn text_longer_than_a_node() {
    assert_eq!(to_path(&[b'a'.into(); 0x8000]), None);
}

/// Text of text is the same again, whatever bytes a node has.
#[test]
fn text_of_any_node_reads_back() {
    let mut random = support::Xorshift::new(5);
    for _ in 0..if cfg!(miri) { 20 } else { 200_000 } {
        // Names of files are any units.
        let (kind, sub_kind) = ((random.next() % 8) as u8, (random.next() % 32) as u8);
        let data: Vec<u8> = (0..random.next() % 44).map(|_| (random.next() >> 7) as u8).collect();
        if (kind, sub_kind) == (4, 4) {
            continue;
        }
        let text = node_text(kind, sub_kind, &data, LONG);
        if text.contains('x') && text.starts_with("Uart") {
            continue;
        }
        let again = to_node(&units(&text)).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(node_text(kind, sub_kind, &again[4..], LONG), text);
    }
}
