//! Device paths as bytes, as far as the handle database compares them (UEFI 2.10, section 10).

const END_TYPE: u8 = 0x7F;
const END_INSTANCE: u8 = 0x01;
const HEADER: usize = 4;

/// The most bytes of a device path that are looked at. Real ones have a few hundred; without a
/// bound a path that lost its end node would be followed through all memory.
pub const MAX_SIZE: usize = 64 * 1024;

/// The header of a node: type, subtype and length.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct NodeHeader {
    kind: u8,
    subtype: u8,
    length: usize,
}

impl NodeHeader {
    /// Reads a header. `None` when the length is shorter than the header itself.
    pub fn parse(bytes: [u8; HEADER]) -> Option<Self> {
        let [kind, subtype, low, high] = bytes;
        let length = usize::from(u16::from_le_bytes([low, high]));
        (length >= HEADER).then_some(Self { kind, subtype, length })
    }

    /// The length of the node in bytes, header included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Whether the node ends the whole path. An end node of any subtype but "end of instance"
    /// does, so that a damaged one stops the walk.
    pub fn ends_path(&self) -> bool {
        self.kind == END_TYPE && self.subtype != END_INSTANCE
    }

    /// Whether the node ends an instance or the whole path.
    pub fn ends_instance(&self) -> bool {
        self.kind == END_TYPE
    }
}

/// The bytes of the first instance of `path`, without its end node. `None` when a node breaks the
/// rules or the end is missing.
pub fn first_instance(path: &[u8]) -> Option<&[u8]> {
    let mut at = 0usize;
    loop {
        let header = path.get(at..)?.first_chunk()?;
        let node = NodeHeader::parse(*header)?;
        if node.ends_instance() {
            return path.get(..at);
        }
        at = at.checked_add(node.length())?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: [u8; 6] = [1, 4, 6, 0, 0xAA, 0xBB];
    const END: [u8; 4] = [0x7F, 0xFF, 4, 0];
    const NEXT_INSTANCE: [u8; 4] = [0x7F, 0x01, 4, 0];

    #[test]
    fn an_instance_ends_at_either_end_node() {
        let single = [&NODE[..], &END].concat();
        assert_eq!(first_instance(&single), Some(&NODE[..]));
        let double = [&NODE[..], &NEXT_INSTANCE, &NODE, &NODE, &END].concat();
        assert_eq!(first_instance(&double), Some(&NODE[..]));
        assert_eq!(first_instance(&END), Some(&[][..]));
    }

    #[test]
    fn broken_paths_are_refused() {
        assert_eq!(first_instance(&NODE), None, "no end");
        assert_eq!(first_instance(&[1, 1, 3, 0, 0x7F, 0xFF, 4, 0]), None, "short node");
        assert_eq!(first_instance(&[1, 1, 200, 0, 0x7F, 0xFF, 4, 0]), None, "long node");
        assert_eq!(first_instance(&[1, 1]), None, "half a header");
        assert_eq!(first_instance(&[]), None);
    }

    #[test]
    fn a_node_is_at_least_its_header() {
        assert_eq!(NodeHeader::parse([1, 1, 0, 0]), None);
        assert_eq!(NodeHeader::parse([1, 1, 3, 0]), None);
        assert_eq!(NodeHeader::parse([1, 1, 4, 1]).map(|node| node.length()), Some(260));
    }

    #[test]
    fn only_the_entire_end_ends_the_path() {
        let end = NodeHeader::parse(END).unwrap();
        assert!(end.ends_path() && end.ends_instance());
        let instance = NodeHeader::parse(NEXT_INSTANCE).unwrap();
        assert!(!instance.ends_path() && instance.ends_instance());
    }
}
