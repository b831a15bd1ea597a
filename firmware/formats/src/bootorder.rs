//! QEMU's `bootorder`: the devices with a `bootindex`, best first, as Open Firmware names them, and which EFI device
//! path each name means.
//!
//! Sources: QEMU, `hw/core/qdev-fw.c`, `hw/core/sysbus.c`, `hw/pci/pci.c`, `hw/scsi/scsi-bus.c`, `hw/nvme/ctrl.c`: what
//! the names are made of; UEFI Specification 2.11, section 10.3: the nodes of device paths.

use alloc::vec::Vec;

use crate::device_path::{
    DevicePath, Guid, HARDWARE_VENDOR, MESSAGING_NVME, Node, TYPE_HARDWARE, TYPE_MESSAGING, guid,
};

/// The fw_cfg file.
pub const FILE: &str = "bootorder";

/// The longest file that is read, in bytes: some hundred devices.
pub const MAX_LEN: usize = 16 << 10;

/// Hardware sub-type: PCI.
const HARDWARE_PCI: u8 = 0x01;
/// Messaging sub-type: SCSI.
const MESSAGING_SCSI: u8 = 0x02;

/// A namespace that is a device of its own, which one of its controller's QEMU does not tell: behind the type it has
/// whatever is in memory that it has freed (`hw/nvme/ns.c`).
const NVME_NS: &str = "nvme-ns";

/// The vendor hardware node that stands for a virtio-mmio device, with its address behind it, as in EDK2.
pub const VIRTIO_MMIO: Guid = guid(0x837d_ca9e, 0xe874, 0x4d82, [0xb2, 0x9a, 0x23, 0xfe, 0x0e, 0x23, 0xd1, 0xe2]);

/// The names in the file, in its order.
///
/// A name ends where its line is no text any more.
pub fn entries(file: &[u8]) -> impl Iterator<Item = Entry<'_>> {
    let end = file.iter().position(|&byte| byte == 0).unwrap_or(file.len());
    let lines = file.get(..end).unwrap_or_default().split(|&byte| byte == b'\n');
    lines.map(text).filter(|line| !line.is_empty()).map(Entry)
}

/// The beginning of a line that is text.
fn text(line: &[u8]) -> &str {
    let text = core::str::from_utf8;
    text(line).or_else(|error| text(line.get(..error.valid_up_to()).unwrap_or_default())).unwrap_or_default()
}

/// The place of a device in the file: smaller is better, and a device that is not in it comes behind all that are.
pub fn rank(file: &[u8], path: DevicePath<'_>) -> usize {
    entries(file).position(|entry| entry.names(path)).unwrap_or(usize::MAX)
}

/// The name of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a>(&'a str);

/// `name@unit`, the unit as up to two hexadecimal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct OfwNode<'a> {
    name: &'a str,
    unit: [u64; 2],
}

impl<'a> OfwNode<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        if text.starts_with(NVME_NS) {
            return Some(Self { name: NVME_NS, unit: [0; 2] });
        }
        let (name, unit) = text.split_once('@')?;
        let (first, second) = unit.split_once(',').unwrap_or((unit, "0"));
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self { name, unit: [number(first)?, number(second)?] })
    }
}

impl Entry<'_> {
    /// Whether `path` is that of the device, or of something on it such as a partition.
    pub fn names(self, path: DevicePath<'_>) -> bool {
        let nodes: Option<Vec<_>> = self.0.split('/').filter(|part| !part.is_empty()).map(OfwNode::parse).collect();
        let Some(nodes) = nodes else { return false };
        let Some((host, below)) = nodes.split_first() else { return false };
        let path: Vec<_> = path.nodes().collect();
        match host.name {
            "virtio-mmio" => {
                path.first().and_then(virtio_mmio_address) == Some(host.unit[0])
                    && below_controller(below, path.get(1..))
            }
            // There is one host bridge, whatever its address is called.
            "pci" | "pcie" => {
                let functions: Vec<_> = path.iter().skip(1).map_while(pci_function).collect();
                let named = below.get(..functions.len()).unwrap_or_default();
                !functions.is_empty()
                    && functions.len() == named.len()
                    && functions.iter().zip(named).all(|(function, node)| *function == node.unit)
                    && below_controller(below.get(named.len()..).unwrap_or_default(), path.get(1 + functions.len()..))
            }
            _ => false,
        }
    }
}

/// Device and function.
fn pci_function(node: &Node<'_>) -> Option<[u64; 2]> {
    let [function, device] = node.data().first_chunk()?;
    let is_pci = node.header.kind == TYPE_HARDWARE && node.header.sub_kind == HARDWARE_PCI;
    is_pci.then_some([u64::from(*device), u64::from(*function)])
}

fn virtio_mmio_address(node: &Node<'_>) -> Option<u64> {
    let is_vendor = node.header.kind == TYPE_HARDWARE && node.header.sub_kind == HARDWARE_VENDOR;
    let address = node.data().strip_prefix(&VIRTIO_MMIO)?.first_chunk()?;
    is_vendor.then(|| u64::from_le_bytes(*address))
}

/// Whether what is below a controller agrees: a SCSI controller (`channel@C/disk@T,L`) and one of NVMe (`namespace@N`)
/// have several devices; another has one, which needs no comparison.
fn below_controller(nodes: &[OfwNode<'_>], path: Option<&[Node<'_>]>) -> bool {
    let unit = path.and_then(|path| path.first()).and_then(|node| {
        let [u0, u1, u2, u3] = *node.data().first_chunk()?;
        match (node.header.kind, node.header.sub_kind) {
            (TYPE_MESSAGING, MESSAGING_SCSI) => {
                Some([u16::from_le_bytes([u0, u1]), u16::from_le_bytes([u2, u3])].map(u64::from))
            }
            (TYPE_MESSAGING, MESSAGING_NVME) => Some([u32::from_le_bytes([u0, u1, u2, u3]).into(), 0]),
            _ => None,
        }
    });
    match nodes {
        [channel, disk, ..] if channel.name == "channel" => unit == Some(disk.unit),
        // QEMU has no identifier behind the number.
        [namespace, ..] if namespace.name == "namespace" => unit == Some(namespace.unit),
        [namespace, ..] if namespace.name == NVME_NS => unit.is_some(),
        _ => unit.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_path::{Builder, MEDIA_FILE_PATH, TYPE_MEDIA};

    fn pci(builder: Builder, device: u8, function: u8) -> Builder {
        builder.node(TYPE_HARDWARE, HARDWARE_PCI, &[&[function, device]])
    }

    fn root() -> Builder {
        Builder::new().acpi(0x0a03_41d0, 0)
    }

    fn scsi(builder: Builder, target: u16, lun: u16) -> Builder {
        builder.node(TYPE_MESSAGING, MESSAGING_SCSI, &[&target.to_le_bytes(), &lun.to_le_bytes()])
    }

    fn names(entry: &str, path: Builder) -> bool {
        let path = path.node(TYPE_MEDIA, MEDIA_FILE_PATH, &[&[0, 0]]).finish().unwrap();
        Entry(entry).names(DevicePath::parse(&path).unwrap())
    }

    #[test]
    fn pci_devices_by_device_and_function() {
        assert!(names("/pcie@4010000000/scsi@2/disk@0,0", pci(root(), 2, 0)));
        assert!(names("/pci@10000000/scsi@1f,7/disk@0,0", pci(root(), 0x1f, 7)));
        assert!(!names("/pcie@4010000000/scsi@2/disk@0,0", pci(root(), 3, 0)));
        assert!(!names("/pcie@4010000000/scsi@2,1/disk@0,0", pci(root(), 2, 0)));
    }

    #[test]
    fn devices_behind_bridges_need_every_step() {
        let path = || pci(pci(root(), 1, 0), 3, 0);
        assert!(names("/pcie@0/pci-bridge@1/scsi@3/disk@0,0", path()));
        assert!(!names("/pcie@0/pci-bridge@2/scsi@3/disk@0,0", path()));
        assert!(!names("/pcie@0/scsi@3/disk@0,0", path()));
        assert!(!names("/pcie@0/pci-bridge@1", path()));
    }

    #[test]
    fn scsi_devices_by_target_and_lun() {
        let path = |target, lun| scsi(pci(root(), 4, 0), target, lun);
        assert!(names("/pcie@0/scsi@4/channel@0/disk@1,2", path(1, 2)));
        assert!(!names("/pcie@0/scsi@4/channel@0/disk@1,2", path(1, 0)));
        assert!(!names("/pcie@0/scsi@4/channel@0/disk@1,2", pci(root(), 4, 0)));
        assert!(!names("/pcie@0/scsi@4/disk@0,0", path(0, 0)));
    }

    #[test]
    fn namespaces_by_number() {
        let path = |id: u32| pci(root(), 2, 0).node(TYPE_MESSAGING, MESSAGING_NVME, &[&id.to_le_bytes(), &[7; 8]]);
        assert!(names("/pcie@4010000000/pci1b36,10@2/namespace@1,0", path(1)));
        assert!(!names("/pcie@4010000000/pci1b36,10@2/namespace@1,0", path(0x10001)));
        assert!(!names("/pcie@4010000000/pci1b36,10@3/namespace@1,0", path(1)));
        assert!(!names("/pcie@4010000000/pci1b36,10@2/namespace@1,0", pci(root(), 2, 0)));
        for behind in ["bootindex", "", "/namespace@0,0"] {
            let name = |device| format!("/pci@ffffffffffffffff/pci1b36,0010@{device}/nvme-ns{behind}");
            assert!(names(&name(2), path(3)), "{behind}");
            assert!(!names(&name(3), path(3)), "{behind}");
            assert!(!names(&name(2), pci(root(), 2, 0)), "{behind}");
        }
        assert!(!names("/pcie@4010000000/scsi@2/disk@0,0", path(1)));
    }

    #[test]
    fn virtio_mmio_by_address() {
        let path = |address: u64| Builder::new().vendor_hardware(&VIRTIO_MMIO, &address.to_le_bytes());
        assert!(names("/virtio-mmio@000000000a003e00/disk@0,0", path(0x0a00_3e00)));
        assert!(!names("/virtio-mmio@000000000a003e00/disk@0,0", path(0x0a00_3c00)));
    }

    #[test]
    fn the_first_line_that_names_a_device_ranks_it() {
        let file = b"/pcie@0/ethernet@1\n/pcie@0/scsi@2/disk@0,0\nHALT\n/pcie@0/scsi@2/disk@0,0\0/pcie@0/scsi@3";
        let ranked = |device| {
            let path = pci(root(), device, 0).finish().unwrap();
            rank(file, DevicePath::parse(&path).unwrap())
        };
        assert_eq!([ranked(1), ranked(2), ranked(3)], [0, 1, usize::MAX]);
    }

    #[test]
    fn bytes_that_are_no_text_end_their_line_alone() {
        let file = b"\n/pci@0/pci1b36,0010@5/nvme-ns\xf3\xff@\n/pci@0/scsi@2/disk@0,0";
        let namespace = pci(root(), 5, 0).node(TYPE_MESSAGING, MESSAGING_NVME, &[&[1, 0, 0, 0], &[0; 8]]);
        let ranked = [namespace, pci(root(), 2, 0)].map(|path| {
            let path = path.finish().unwrap();
            rank(file, DevicePath::parse(&path).unwrap())
        });
        assert_eq!(ranked, [0, 1]);
    }

    #[test]
    fn odd_files_rank_nothing() {
        let path = pci(root(), 2, 0).finish().unwrap();
        let path = DevicePath::parse(&path).unwrap();
        for file in
            [&b""[..], b"\0", b"\xff\xfe", b"/", b"@", b"/pcie", b"/pcie@/scsi@", b"/pcie@0/scsi@fffffffffffffffff"]
        {
            assert_eq!(rank(file, path), usize::MAX, "{file:?}");
        }
    }
}
