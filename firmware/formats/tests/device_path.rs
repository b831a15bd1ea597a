//! Device paths: what is refused, the bytes that are built, and the utilities.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::device_path::{
    Builder, DevicePath, Error, LINUX_EFI_INITRD_MEDIA, MAX_LEN, MemoryType, NodeHeader, VT_UTF8, guid,
};

const END: [u8; 4] = [0x7f, 0xff, 4, 0];
const END_INSTANCE: [u8; 4] = [0x7f, 0x01, 4, 0];

fn file(name: &str) -> Vec<u8> {
    Builder::new().file_path(name).finish().unwrap()
}

#[test]
fn guids_stand_in_memory_as_uefi_has_them() {
    assert_eq!(
        guid(0x0011_2233, 0x4455, 0x6677, [0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]),
        [0x33, 0x22, 0x11, 0, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff]
    );
    assert_eq!(LINUX_EFI_INITRD_MEDIA[..4], [0x27, 0xe4, 0x68, 0x55]);
}

#[test]
fn nodes_are_built() {
    let initrd = Builder::new().vendor_media(&LINUX_EFI_INITRD_MEDIA);
    let expected = [&[4, 3, 20, 0][..], &LINUX_EFI_INITRD_MEDIA, &END].concat();
    assert_eq!(initrd.finish().unwrap(), expected);

    let memory = Builder::new().memory_mapped(MemoryType(1), 0x4000_0000, 0x4000_ffff);
    let mut expected = vec![1, 3, 24, 0, 1, 0, 0, 0];
    expected.extend(0x4000_0000u64.to_le_bytes());
    expected.extend(0x4000_ffffu64.to_le_bytes());
    expected.extend(END);
    assert_eq!(memory.finish().unwrap(), expected);

    assert_eq!(file("/a\0b"), [4, 4, 12, 0, b'\\', 0, b'a', 0, b'b', 0, 0, 0, 0x7f, 0xff, 4, 0]);

    let console = Builder::new().console(2, 115_200, &VT_UTF8);
    let expected = [
        // _HID PNP0501, _UID 2.
        &[2, 1, 12, 0, 0xd0, 0x41, 0x01, 0x05, 2, 0, 0, 0][..],
        // UART: reserved, baud rate, 8 data bits, no parity, 1 stop bit.
        &[3, 14, 19, 0, 0, 0, 0, 0, 0, 0xc2, 1, 0, 0, 0, 0, 0, 8, 1, 1],
        &[3, 10, 20, 0],
        &VT_UTF8,
        &END,
    ];
    assert_eq!(console.finish().unwrap(), expected.concat());

    let vendor = Builder::new().vendor_hardware(&VT_UTF8, &[7]).end_instance();
    let expected = [&[1, 4, 21, 0][..], &VT_UTF8, &[7], &END_INSTANCE, &END];
    assert_eq!(vendor.finish().unwrap(), expected.concat());
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn what_is_too_long_is_not_built() {
    let node = |len: usize| Builder::new().node(4, 3, &[&vec![0; len]]);
    assert_eq!(node(0xfffc).finish(), Err(Error::NodeTooLong));
    assert_eq!(node(0xfffb).finish(), Err(Error::TooLong));
    assert_eq!(node(0xfff8).finish().unwrap().len(), MAX_LEN);
    assert_eq!(node(0xfff8).node(4, 3, &[]).finish(), Err(Error::TooLong));
    assert_eq!(Builder::new().file_path(&"x".repeat(0x1_0000)).finish(), Err(Error::NodeTooLong));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn lengths_are_checked() {
    let parse = |bytes: &[u8]| DevicePath::parse(bytes).map(DevicePath::size);
    assert_eq!(parse(&END), Ok(4));
    assert_eq!(parse(&[&END[..], &[1, 2, 3]].concat()), Ok(4));
    assert_eq!(parse(&[]), Err(Error::NoEnd));
    assert_eq!(parse(&END[..3]), Err(Error::NoEnd));
    assert_eq!(parse(&[4, 3, 3, 0, 0x7f, 0xff, 4, 0]), Err(Error::NodeLength(0)));
    assert_eq!(parse(&[4, 3, 0, 0]), Err(Error::NodeLength(0)));
    assert_eq!(parse(&[4, 3, 4, 0]), Err(Error::NoEnd));
    assert_eq!(parse(&[4, 3, 5, 0, 0x7f, 0xff, 4]), Err(Error::NoEnd));
    assert_eq!(parse(&[4, 3, 0xff, 0xff, 0x7f, 0xff, 4, 0]), Err(Error::NoEnd));
    assert_eq!(parse(&[4, 3, 4, 0, 0x7f, 0xff, 5, 0, 0]), Err(Error::NodeLength(4)));
    // The end of an instance is not the end.
    assert_eq!(parse(&END_INSTANCE), Err(Error::NoEnd));
    let nodes = |count: usize| [[4, 3, 4, 0].repeat(count), END.to_vec()].concat();
    assert_eq!(parse(&nodes(MAX_LEN / 4 - 1)), Ok(MAX_LEN));
    assert_eq!(parse(&nodes(MAX_LEN / 4)), Err(Error::TooLong));
    let endless = [4, 3, 4, 0].repeat(MAX_LEN);
    assert_eq!(parse(&endless), Err(Error::TooLong));
}

#[test]
fn headers_alone() {
    let header = NodeHeader::parse([4, 3, 20, 0]).unwrap();
    assert_eq!((header.kind, header.sub_kind, header.len), (4, 3, 20));
    assert!(NodeHeader::parse(END).unwrap().is_end_entire());
    assert!(NodeHeader::parse(END_INSTANCE).unwrap().is_end_instance());
    assert!(NodeHeader::parse([0x7f, 0x55, 4, 0]).unwrap().is_end_entire());
    assert_eq!(NodeHeader::parse([4, 3, 3, 0]), None);
    assert_eq!(NodeHeader::parse([0x7f, 0xff, 8, 0]), None);
}

#[test]
fn prefixes() {
    let disk = Builder::new().acpi(1, 0).vendor_media(&VT_UTF8);
    let disk = disk.finish().unwrap();
    let disk = DevicePath::parse(&disk).unwrap();
    let loader = disk.append_path(DevicePath::parse(&file("x")).unwrap());
    let loader = loader.unwrap();
    let loader = DevicePath::parse(&loader).unwrap();
    let rest = disk.remainder_of(loader).unwrap();
    assert_eq!(rest.as_bytes(), file("x"));
    assert_eq!(disk.remainder_of(disk).unwrap().as_bytes(), END);
    assert_eq!(loader.remainder_of(disk), None);
    let other = Builder::new().acpi(1, 1).finish().unwrap();
    let other = DevicePath::parse(&other).unwrap();
    assert_eq!(other.remainder_of(loader), None);
    let empty = DevicePath::parse(&END).unwrap();
    assert_eq!(empty.remainder_of(loader), Some(loader));
}

#[test]
fn instances() {
    let first = file("first");
    let second = file("second");
    let two = DevicePath::parse(&first).unwrap().append_instance(DevicePath::parse(&second).unwrap()).unwrap();
    let two = DevicePath::parse(&two).unwrap();
    assert!(two.is_multi_instance());
    assert!(!DevicePath::parse(&first).unwrap().is_multi_instance());
    let instances: Vec<_> = two.instances().collect();
    assert_eq!(instances, [&first[..first.len() - 4], &second[..second.len() - 4]]);
    let empties = [END_INSTANCE, END_INSTANCE, END].concat();
    let empties = DevicePath::parse(&empties).unwrap();
    assert_eq!(empties.instances().collect::<Vec<_>>(), [&[][..]; 3]);
}

#[test]
fn appending() {
    let path = file("a");
    let path = DevicePath::parse(&path).unwrap();
    let node = [4, 3, 5, 0, 9];
    let longer = path.append_node(&node).unwrap();
    assert_eq!(longer, [&file("a")[..path.size() - 4], &node, &END].concat());
    assert_eq!(path.append_node(&END), Err(Error::NodeLength(0)));
    assert_eq!(path.append_node(&node[..4]), Err(Error::NoEnd));
    let two = [node, node].concat();
    assert_eq!(path.append_node(&two), Err(Error::NodeLength(0)));
    let large = Builder::new().node(4, 3, &[&[0; 0x9000]]).finish().unwrap();
    let large = DevicePath::parse(&large).unwrap();
    assert_eq!(large.append_path(large), Err(Error::TooLong));
}
