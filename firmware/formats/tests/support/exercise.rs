//! What the firmware does with each kind of input, with the promises of the interface checked:
//! called by the mutation tests and by the fuzzers.

use std::ops::Range;

use formats::Region;
use formats::arm64_image;
use formats::char16;
use formats::compressed::Compressed;
use formats::device_path::text::{Style, of_node, of_path, to_node, to_path};
use formats::device_path::{DevicePath, Node, NodeHeader};
use formats::device_tree::{Error, Header, Seeds, Tree, adopt_copy, clean_chosen, with_boot_arguments, with_event_log};
use formats::fw_cfg::Directory;
use formats::machine::{Machine, MachineError, Reservation, Reserved};
use formats::pe::Image;

/// Header, copy, machine, edits. Whether the tree described a machine.
pub fn device_tree(blob: &[u8]) -> bool {
    let Ok(header) = Header::parse(blob) else {
        assert!(Tree::parse(blob).is_err());
        return false;
    };
    assert!(header.used_len() <= header.total_size());
    let Some(used) = blob.get(..header.used_len()) else {
        assert!(Tree::parse(blob).is_err());
        return false;
    };
    let mut copy = used.to_vec();
    let copied = adopt_copy(&mut copy).unwrap();
    assert_eq!(copied.total_size(), copy.len());
    let machine = Machine::from_device_tree(&copy);
    assert_eq!(machine, Machine::from_device_tree(blob));
    if let Ok(machine) = &machine {
        check_machine(machine);
    }
    if Tree::parse(&copy).is_ok() {
        event_log(&copy);
        check_edits(&mut copy);
    } else {
        assert!(clean_chosen(&mut copy, Seeds::Remove).is_err());
        assert!(with_boot_arguments(&copy, None, None, Seeds::Keep).is_err());
        assert!(!event_log(&copy));
    }
    machine.is_ok()
}

fn check_machine(machine: &Machine) {
    assert!(!machine.memory.is_empty());
    for bank in &machine.memory {
        assert!(bank.is_page_aligned());
    }
    for pair in machine.memory.windows(2) {
        assert!(pair[0].end() < pair[1].base(), "sorted, disjoint, merged");
    }
    let registers = machine.console.map(|console| console.region);
    let registers = registers.into_iter().chain(machine.rtc);
    let registers = registers.chain(machine.fw_cfg.map(|fw_cfg| fw_cfg.region));
    let registers = registers.chain(machine.pcie.iter().map(|host| host.ecam));
    let registers: Vec<Region> =
        registers.chain(machine.virtio_mmio.iter().map(|transport| transport.region)).collect();
    for (index, region) in registers.iter().enumerate() {
        assert!(!machine.memory.iter().any(|bank| bank.overlaps(*region)));
        assert!(!registers[..index].iter().any(|other| other.overlaps(*region)));
    }
    for host in &machine.pcie {
        let buses = u64::from(host.last_bus - host.first_bus) + 1;
        assert!(buses << 20 <= host.ecam.size());
    }
}

fn check_edits(copy: &mut [u8]) {
    let before = names(copy);
    let edited = with_boot_arguments(copy, Some("quiet"), Some(1..2), Seeds::Keep).unwrap();
    let tree = Tree::parse(&edited).unwrap();
    let chosen = tree.root().child("chosen").unwrap();
    assert_eq!(chosen.property("bootargs"), Some(&b"quiet\0"[..]));
    assert_eq!(chosen.property("linux,initrd-end"), Some(&2u64.to_be_bytes()[..]));
    assert_eq!(tree.header().total_size(), edited.len());

    clean_chosen(copy, Seeds::Remove).unwrap();
    let after = names(copy);
    let gone: Vec<_> = before.iter().filter(|name| !after.contains(name)).collect();
    for (node, property) in gone {
        assert!(node.starts_with("chosen"), "{node} lost {property}");
    }
    let tree = Tree::parse(copy).unwrap();
    if let Some(chosen) = tree.root().child("chosen") {
        assert!(!chosen.has("bootargs") && !chosen.has("rng-seed"));
    }
}

/// The event log's node put into a tree: in vain, or so that it is the only one, reserves what it
/// says, and all else is as it was. Whether it was put in.
pub fn event_log(blob: &[u8]) -> bool {
    const LOG: Range<u64> = 0x4_8000_0000..0x4_8001_0000;
    let new = match with_event_log(blob, LOG) {
        Ok(new) => new,
        Err(error) => {
            let is_fault = !matches!(error, Error::EventLogExists | Error::BadReservedMemory | Error::BadEventLog);
            assert!(!is_fault || Tree::parse(blob).is_err() || is_near_limits(blob), "{error}");
            return false;
        }
    };
    let tree = Tree::parse(&new).unwrap();
    assert_eq!(tree.header().total_size(), new.len());
    let log = tree.find("/reserved-memory/event-log@480000000").unwrap();
    let logs = tree.nodes().filter(|node| node.is_compatible("cc-event-log"));
    assert_eq!(logs.collect::<Vec<_>>(), [log]);

    let mut added = vec![("event-log@480000000", "compatible"), ("event-log@480000000", "reg")];
    if Tree::parse(blob).unwrap().find("/reserved-memory").is_none() {
        added.extend(["#address-cells", "#size-cells", "ranges"].map(|property| ("reserved-memory", property)));
    }
    let mut expected = names(blob);
    expected.extend(added.into_iter().map(|(node, property)| (node.to_owned(), property.to_owned())));
    expected.sort();
    let mut after = names(&new);
    after.sort();
    assert_eq!(after, expected);

    if let Ok(mut expected) = Machine::from_device_tree(blob) {
        let region = Region::new(LOG.start, LOG.end - LOG.start).unwrap();
        expected.reserved.push(Reserved { region, by: Reservation::Node });
        expected.reserved.sort();
        match Machine::from_device_tree(&new) {
            Ok(machine) => assert_eq!(machine, expected),
            Err(error) => assert_eq!(error, MachineError::TooMany("/reserved-memory")),
        }
    }
    true
}

/// Whether the tree is as large as may be, but for the event log's nodes.
fn is_near_limits(blob: &[u8]) -> bool {
    let tree = Tree::parse(blob).unwrap();
    tree.nodes().count() > 4096 - 2 || names(blob).len() > 16384 - 5
}

/// Every property with the name of its node.
fn names(blob: &[u8]) -> Vec<(String, String)> {
    let tree = Tree::parse(blob).unwrap();
    let of_node = |node: formats::device_tree::Node<'_, '_>| {
        node.properties()
            .iter()
            .map(move |property| (node.name().to_owned(), property.name.to_owned()))
            .collect::<Vec<_>>()
    };
    tree.nodes().flat_map(of_node).collect()
}

/// Larger images are only parsed: a fuzzer need not clear gigabytes.
const MAX_LOADED: u32 = 1 << 20;

/// Text in UCS-2. Whether it was that of a device path.
pub fn device_path_text(bytes: &[u8]) -> bool {
    let units: Vec<u16> = bytes.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit)).collect();
    text_path(&units)
}

/// A path of a text is whole, and the text of each node reads back, but for names of files and for lines with settings
/// that have no name.
fn text_path(text: &[u16]) -> bool {
    const STYLE: Style = Style { display_only: false, allow_shortcuts: true };
    let Some(path) = to_path(text) else { return false };
    let path = DevicePath::parse(&path).unwrap();
    for node in path.nodes().filter(|node| !matches!(node.bytes, [4, 4, ..] | [0x7f, ..])) {
        let text = of_node(node, STYLE).unwrap();
        let Some(bytes) = to_node(&text[..text.len() - 1]) else {
            assert_eq!(node.bytes[..2], [3, 14]);
            continue;
        };
        let header = NodeHeader::parse(*bytes.first_chunk().unwrap()).unwrap();
        assert_eq!(of_node(Node { header, bytes: &bytes }, STYLE).unwrap(), text);
    }
    true
}

/// Parse, load, relocate, permissions, digest ranges. Whether it was an image.
pub fn pe(file: &[u8]) -> bool {
    let Ok(image) = Image::parse(file) else {
        return false;
    };
    for pair in image.sections().windows(2) {
        assert!(pair[0].virtual_range.end <= pair[1].virtual_range.start);
    }
    for section in image.sections() {
        assert!(section.virtual_range.end <= image.size_of_image());
        assert!(section.raw_range.end as usize <= file.len());
    }
    if let Some(permissions) = image.permissions() {
        let mut position = 0;
        for (range, _) in permissions {
            assert_eq!(range.start, position);
            assert!(range.start < range.end && range.end.is_multiple_of(4096));
            position = range.end;
        }
        assert_eq!(position, u64::from(image.size_of_image()).next_multiple_of(4096));
    }
    if let Ok(ranges) = image.authenticode_ranges() {
        assert!(ranges.iter().all(|range| range.start < range.end));
        assert!(ranges.iter().all(|range| file.get(range.clone()).is_some()));
    }
    if image.size_of_image() <= MAX_LOADED {
        load(&image, file);
    }
    true
}

fn load(image: &Image, file: &[u8]) {
    let mut memory = vec![0xee; image.size_of_image() as usize];
    image.load_into(file, &mut memory).unwrap();
    if let Some(len) = image.flat_len() {
        let (flat, zeros) = memory.split_at(len as usize);
        assert_eq!(flat, &file[..flat.len()]);
        assert!(zeros.iter().all(|byte| *byte == 0));
    }
    let before = memory.clone();
    image.relocate(&mut memory, image.image_base()).unwrap();
    assert_eq!(memory, before);
    let _ = image.relocate(&mut memory, image.image_base().wrapping_add(0x1234_5000));
}

/// Parse, walk, append, prefix. Whether it was a device path.
pub fn device_path(bytes: &[u8]) -> bool {
    let Ok(path) = DevicePath::parse(bytes) else {
        return false;
    };
    assert!(path.size() <= bytes.len());
    let nodes_len: usize = path.nodes().map(|node| node.bytes.len()).sum();
    assert_eq!(nodes_len + 4, path.size());
    let instances = path.instances().collect::<Vec<_>>();
    assert_eq!(instances.len() > 1, path.is_multi_instance());
    let instances_len: usize = instances.iter().map(|instance| instance.len() + 4).sum();
    assert_eq!(instances_len, path.size());

    for flag in [false, true] {
        let text = of_path(path, Style { display_only: flag, allow_shortcuts: flag }).unwrap();
        assert_eq!(text.iter().filter(|unit| **unit == 0).count(), 1);
        text_path(&text[..text.len() - 1]);
    }

    assert_eq!(path.duplicate().unwrap(), path.as_bytes());
    let rest = path.remainder_of(path).unwrap();
    assert!(rest.instances().next().unwrap().is_empty());
    if let Some(node) = path.nodes().find(|node| node.header.kind != 0x7f)
        && let Ok(longer) = path.append_node(node.bytes)
    {
        let longer = DevicePath::parse(&longer).unwrap();
        assert_eq!(longer.size(), path.size() + node.bytes.len());
        if !path.is_multi_instance() {
            let rest = path.remainder_of(longer).unwrap();
            assert_eq!(rest.size(), node.bytes.len() + 4);
            assert!(longer.remainder_of(path).is_none());
        }
    }
    if let Ok(doubled) = path.append_instance(path) {
        let doubled = DevicePath::parse(&doubled).unwrap();
        assert_eq!(doubled.instances().count(), 2 * instances.len());
    }
    true
}

/// Parse and find. Whether it was a directory.
pub fn fw_cfg(bytes: &[u8]) -> bool {
    let Ok(directory) = Directory::parse(bytes) else {
        return false;
    };
    for file in directory.files() {
        assert_eq!(directory.find(file.name()), Some(file));
    }
    true
}

/// The small ones: kernel header and strings. Whether it was a kernel.
pub fn kernel_and_strings(bytes: &[u8]) -> bool {
    if let Some((chars, len)) = char16::read_nul_terminated(bytes) {
        assert!(len <= bytes.len());
        assert_eq!(chars.units().count() * 2 + 2, len);
        let units: Vec<u16> = chars.units().collect();
        let text = char16::to_string(&units).unwrap();
        let back = char16::from_str(&text).unwrap();
        assert_eq!(char16::to_string(&back).unwrap(), text);
    }
    arm64_image::Header::parse(bytes).is_ok()
}

/// Header and blocks, to a buffer of the size that the header tells, if that is not for the sake of its size only.
pub fn compressed(source: &[u8]) -> bool {
    let Ok(compressed) = Compressed::parse(source) else { return false };
    let Ok(size) = u16::try_from(compressed.original_size()) else { return false };
    compressed.expand(&mut vec![0; size.into()]).is_ok()
}
