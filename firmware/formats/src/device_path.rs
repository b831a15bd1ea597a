//! EFI device paths (UEFI Specification 2.11, chapter 10).
//!
//! A device path is one or more instances, each a run of nodes; an instance ends with an End This
//! Instance node, the last with an End Entire node.

mod build;
mod short_form;
pub mod text;

use alloc::vec::Vec;

pub use build::{Builder, MemoryType};
pub use short_form::{MEDIA_HARD_DRIVE, ShortForm};

/// The longest device path that is accepted, in bytes: far beyond real ones, and short enough
/// that one without an end is soon found out.
pub const MAX_LEN: usize = 64 << 10;
/// The length of a node's header.
pub const HEADER_LEN: usize = 4;

/// The type of end nodes.
pub const TYPE_END: u8 = 0x7f;
/// Sub-type of the node behind the last instance.
pub const END_ENTIRE: u8 = 0xff;
/// Sub-type of the node between instances.
pub const END_INSTANCE: u8 = 0x01;
/// Type of hardware nodes.
pub const TYPE_HARDWARE: u8 = 0x01;
/// Hardware sub-type: memory mapped.
pub const HARDWARE_MEMORY_MAPPED: u8 = 0x03;
/// Hardware sub-type: vendor-defined.
pub const HARDWARE_VENDOR: u8 = 0x04;
/// Type of ACPI nodes.
pub const TYPE_ACPI: u8 = 0x02;
/// ACPI sub-type: _HID and _UID.
pub const ACPI_DEVICE: u8 = 0x01;
/// Type of messaging nodes.
pub const TYPE_MESSAGING: u8 = 0x03;
/// Messaging sub-type: vendor-defined.
pub const MESSAGING_VENDOR: u8 = 0x0a;
/// Messaging sub-type: UART.
pub const MESSAGING_UART: u8 = 0x0e;
/// Messaging sub-type: NVM Express namespace.
pub const MESSAGING_NVME: u8 = 0x17;
/// Type of media nodes.
pub const TYPE_MEDIA: u8 = 0x04;
/// Media sub-type: vendor-defined.
pub const MEDIA_VENDOR: u8 = 0x03;
/// Media sub-type: file path.
pub const MEDIA_FILE_PATH: u8 = 0x04;

/// A GUID as it stands in memory: the first three fields little-endian.
pub type Guid = [u8; 16];

/// The GUID of these fields.
pub const fn guid(data1: u32, data2: u16, data3: u16, data4: [u8; 8]) -> Guid {
    let [a0, a1, a2, a3] = data1.to_le_bytes();
    let [b0, b1] = data2.to_le_bytes();
    let [c0, c1] = data3.to_le_bytes();
    let [d0, d1, d2, d3, d4, d5, d6, d7] = data4;
    [a0, a1, a2, a3, b0, b1, c0, c1, d0, d1, d2, d3, d4, d5, d6, d7]
}

/// LINUX_EFI_INITRD_MEDIA_GUID: where a Linux kernel looks for its initrd
/// (Linux, Documentation/admin-guide/efi-stub.rst).
pub const LINUX_EFI_INITRD_MEDIA: Guid =
    guid(0x5568_e427, 0x68fc, 0x4f3d, [0xac, 0x74, 0xca, 0x55, 0x52, 0x31, 0xcc, 0x68]);
/// EFI_VT_UTF8_GUID: the terminal type (UEFI Specification 2.11, section 10.3.4.15).
pub const VT_UTF8: Guid = guid(0xad15_a0d6, 0x8bec, 0x4acf, [0xa0, 0x73, 0xd0, 0x1d, 0xe7, 0x7e, 0x2d, 0x88]);

/// Why bytes are no device path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No End Entire node within the bytes.
    #[error("device path has no end")]
    NoEnd,
    /// A node shorter than its header, or an end node that is longer, at this offset.
    #[error("device path node at {0:#x} has no valid length")]
    NodeLength(usize),
    /// A node too long to be described by its length field.
    #[error("device path node is too long")]
    NodeTooLong,
    /// Longer than [`MAX_LEN`].
    #[error("device path is too long")]
    TooLong,
    /// The heap is exhausted.
    #[error("out of memory for the device path")]
    OutOfMemory,
}

impl From<alloc::collections::TryReserveError> for Error {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

/// The header of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeHeader {
    /// The type.
    pub kind: u8,
    /// The sub-type.
    pub sub_kind: u8,
    /// The node's length in bytes with its header, at least 4.
    pub len: u16,
}

impl NodeHeader {
    /// Reads a header: `None` when its length is shorter than the header is, or longer in an end
    /// node.
    pub fn parse(bytes: [u8; HEADER_LEN]) -> Option<Self> {
        let [kind, sub_kind, len0, len1] = bytes;
        let len = u16::from_le_bytes([len0, len1]);
        let header = Self { kind, sub_kind, len };
        let valid = match kind {
            TYPE_END => usize::from(len) == HEADER_LEN,
            _ => usize::from(len) >= HEADER_LEN,
        };
        valid.then_some(header)
    }

    /// Whether this is the end of the whole device path.
    pub fn is_end_entire(self) -> bool {
        // An end node of an unknown sub-type ends the path too: what follows is not known.
        self.kind == TYPE_END && self.sub_kind != END_INSTANCE
    }

    /// Whether this is the end of an instance that others follow.
    pub fn is_end_instance(self) -> bool {
        self.kind == TYPE_END && self.sub_kind == END_INSTANCE
    }
}

/// A node: its header and what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node<'a> {
    /// The header.
    pub header: NodeHeader,
    /// All of the node's bytes, header included.
    pub bytes: &'a [u8],
}

impl<'a> Node<'a> {
    /// The bytes behind the header.
    pub fn data(&self) -> &'a [u8] {
        self.bytes.get(HEADER_LEN..).unwrap_or_default()
    }
}

/// Splits the first node off; `offset` is where it stands, for the error.
fn split_node(bytes: &[u8], offset: usize) -> Result<(Node<'_>, &[u8]), Error> {
    let header = *bytes.first_chunk().ok_or(Error::NoEnd)?;
    let header = NodeHeader::parse(header).ok_or(Error::NodeLength(offset))?;
    let (bytes, rest) = bytes.split_at_checked(header.len.into()).ok_or(Error::NoEnd)?;
    Ok((Node { header, bytes }, rest))
}

/// A whole device path that was checked: every node's length is right and the last is End Entire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DevicePath<'a> {
    bytes: &'a [u8],
}

impl<'a> DevicePath<'a> {
    /// Checks the device path at the start of `bytes`; what follows it is ignored.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut rest = bytes.get(..MAX_LEN).unwrap_or(bytes);
        let mut len = 0;
        loop {
            let (node, behind) = split_node(rest, len).map_err(|error| match error {
                Error::NoEnd if bytes.len() > MAX_LEN => Error::TooLong,
                error => error,
            })?;
            len += node.bytes.len();
            rest = behind;
            if node.header.is_end_entire() {
                let bytes = bytes.get(..len).ok_or(Error::NoEnd)?;
                return Ok(Self { bytes });
            }
        }
    }

    /// The bytes, End Entire included.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// The size in bytes, End Entire included (EFI_DEVICE_PATH_UTILITIES_PROTOCOL.GetDevicePathSize).
    pub fn size(self) -> usize {
        self.bytes.len()
    }

    /// The nodes of all instances with the ends of instances between them, without the End Entire.
    pub fn nodes(self) -> impl Iterator<Item = Node<'a>> {
        let mut rest = self.bytes;
        core::iter::from_fn(move || {
            let (node, behind) = split_node(rest, 0).ok()?;
            rest = behind;
            (!node.header.is_end_entire()).then_some(node)
        })
    }

    /// The instances, each the bytes of its nodes without an end.
    pub fn instances(self) -> impl Iterator<Item = &'a [u8]> {
        let mut rest = Some(self.bytes);
        core::iter::from_fn(move || {
            let bytes = rest?;
            let mut len = 0;
            loop {
                let (node, behind) = split_node(bytes.get(len..)?, len).ok()?;
                if node.header.kind == TYPE_END {
                    rest = node.header.is_end_instance().then_some(behind);
                    return bytes.get(..len);
                }
                len += node.bytes.len();
            }
        })
    }

    /// Whether there is more than one instance.
    pub fn is_multi_instance(self) -> bool {
        self.nodes().any(|node| node.header.is_end_instance())
    }

    /// What is left of `other` behind this path's nodes, when `other` begins with all of them: the
    /// test of LocateDevicePath. Only first instances are compared.
    pub fn remainder_of(self, other: DevicePath<'a>) -> Option<DevicePath<'a>> {
        let prefix = self.instances().next()?;
        // Nodes have their length in front: equal bytes mean equal nodes.
        let bytes = other.bytes.strip_prefix(prefix)?;
        // `other` goes on with a whole node, since the prefix was whole nodes.
        DevicePath::parse(bytes).ok()
    }

    /// A copy (DuplicateDevicePath).
    pub fn duplicate(self) -> Result<Vec<u8>, Error> {
        concat(&[self.bytes])
    }

    /// A copy with the nodes of `other` behind this path's, in its last instance
    /// (AppendDevicePath).
    pub fn append_path(self, other: DevicePath<'_>) -> Result<Vec<u8>, Error> {
        concat(&[self.without_end(), other.bytes])
    }

    /// A copy with one more node at the end (AppendDeviceNode). `node` must be one whole node and
    /// no end.
    pub fn append_node(self, node: &[u8]) -> Result<Vec<u8>, Error> {
        let (checked, behind) = split_node(node, 0)?;
        if !behind.is_empty() || checked.header.kind == TYPE_END {
            return Err(Error::NodeLength(0));
        }
        concat(&[self.without_end(), node, &end_node(END_ENTIRE)])
    }

    /// A copy with the instances of `other` behind this path's (AppendDevicePathInstance).
    pub fn append_instance(self, other: DevicePath<'_>) -> Result<Vec<u8>, Error> {
        concat(&[self.without_end(), &end_node(END_INSTANCE), other.bytes])
    }

    fn without_end(self) -> &'a [u8] {
        let len = self.bytes.len().saturating_sub(HEADER_LEN);
        self.bytes.get(..len).unwrap_or_default()
    }
}

const fn end_node(sub_kind: u8) -> [u8; HEADER_LEN] {
    [TYPE_END, sub_kind, HEADER_LEN as u8, 0]
}

fn concat(parts: &[&[u8]]) -> Result<Vec<u8>, Error> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    if len > MAX_LEN {
        return Err(Error::TooLong);
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len)?;
    for part in parts {
        bytes.extend_from_slice(part);
    }
    Ok(bytes)
}
