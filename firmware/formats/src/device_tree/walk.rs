//! The one reader of the structure block: checks everything once and indexes what it saw.

use alloc::vec::Vec;
use core::ops::Range;

use super::{Error, Header};

pub(super) const BEGIN_NODE: u32 = 1;
pub(super) const END_NODE: u32 = 2;
pub(super) const PROP: u32 = 3;
pub(super) const NOP: u32 = 4;
pub(super) const END: u32 = 9;

// Generous for any virtual machine (QEMU with 512 CPUs has about 1100 nodes and 6000 properties),
// and small enough that a hostile tree costs neither much memory nor much time.
const MAX_DEPTH: usize = 16;
const MAX_NODES: usize = 4096;
const MAX_PROPERTIES: usize = 16384;
const MAX_PROPERTIES_OF_NODE: usize = 512;
const MAX_RESERVATIONS: usize = 64;
/// The specification ends names at 31 characters; trees in use have longer ones.
const MAX_NAME: usize = 255;

#[derive(Clone, Copy, Debug)]
struct NodeEntry<'a> {
    name: &'a str,
    parent: usize,
    /// Index behind the last descendant: nodes stand in the order of the structure block.
    end: usize,
    first_property: usize,
    last_property: usize,
    /// Offset of the token behind the properties.
    properties_end: usize,
}

/// A property of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Property<'a> {
    /// The name, printable ASCII.
    pub name: &'a str,
    /// The value as it stands in the tree.
    pub value: &'a [u8],
    /// Offset of the property's token.
    pub(super) start: usize,
    /// Offset of the next token.
    pub(super) end: usize,
}

/// A device tree whose form is right throughout: tokens balanced, names valid and unique among
/// siblings, values inside the structure block, depth and counts bounded.
#[derive(Debug)]
pub struct Tree<'a> {
    header: Header,
    nodes: Vec<NodeEntry<'a>>,
    properties: Vec<Property<'a>>,
    reservations: Vec<(u64, u64)>,
}

impl<'a> Tree<'a> {
    /// Checks and indexes `blob`, which may be longer than `totalsize` but not shorter than the
    /// content.
    pub fn parse(blob: &'a [u8]) -> Result<Self, Error> {
        let header = Header::parse(blob)?;
        let blob = blob.get(..header.used_len()).ok_or(Error::Truncated)?;
        let mut tree =
            Tree { header, nodes: Vec::new(), properties: Vec::new(), reservations: reservations(blob, &header)? };
        // Typical sizes, so that the vectors do not grow step by step: 24 bytes of structure to a
        // property, 4 properties to a node.
        let estimate = (header.structure.1 - header.structure.0) as usize / 24;
        tree.properties.try_reserve(estimate.min(MAX_PROPERTIES))?;
        tree.nodes.try_reserve((estimate / 4).min(MAX_NODES))?;
        tree.index(&Reader::new(blob, &header))?;
        tree.refuse_duplicate_nodes()?;
        Ok(tree)
    }

    fn index(&mut self, reader: &Reader<'a>) -> Result<(), Error> {
        let mut offset = reader.start;
        // Indices of the nodes that are open, outermost first.
        let mut open = [0usize; MAX_DEPTH];
        let mut depth = 0usize;
        // Whether the innermost open node may still have properties: they come before children.
        let mut in_properties = false;
        loop {
            let at = offset;
            let token = reader.word(&mut offset)?;
            let bad = Error::BadToken { offset: at, token };
            match token {
                NOP => {}
                BEGIN_NODE => {
                    if depth == 0 && !self.nodes.is_empty() {
                        return Err(bad);
                    }
                    let name = reader.node_name(&mut offset, depth == 0)?;
                    let parent = depth.checked_sub(1).and_then(|d| open.get(d).copied());
                    self.close_properties(parent, in_properties, at);
                    if self.nodes.len() == MAX_NODES {
                        return Err(Error::TooManyNodes);
                    }
                    *open.get_mut(depth).ok_or(Error::TooDeep(at))? = self.nodes.len();
                    depth += 1;
                    in_properties = true;
                    self.nodes.try_reserve(1)?;
                    self.nodes.push(NodeEntry {
                        name,
                        parent: parent.unwrap_or(0),
                        end: 0,
                        first_property: self.properties.len(),
                        last_property: self.properties.len(),
                        properties_end: offset,
                    });
                }
                PROP => {
                    if !in_properties {
                        return Err(bad);
                    }
                    let property = reader.property(at, &mut offset)?;
                    self.add_property(property)?;
                }
                END_NODE => {
                    depth = depth.checked_sub(1).ok_or(bad)?;
                    let node = open.get(depth).copied();
                    self.close_properties(node, in_properties, at);
                    in_properties = false;
                    let end = self.nodes.len();
                    if let Some(entry) = node.and_then(|node| self.nodes.get_mut(node)) {
                        entry.end = end;
                    }
                }
                END if depth == 0 && !self.nodes.is_empty() => return Ok(()),
                _ => return Err(bad),
            }
        }
    }

    fn close_properties(&mut self, node: Option<usize>, in_properties: bool, at: usize) {
        if !in_properties {
            return;
        }
        if let Some(entry) = node.and_then(|node| self.nodes.get_mut(node)) {
            entry.last_property = self.properties.len();
            entry.properties_end = at;
        }
    }

    fn add_property(&mut self, property: Property<'a>) -> Result<(), Error> {
        let first = self.nodes.last().map_or(0, |node| node.first_property);
        let siblings = self.properties.get(first..).unwrap_or_default();
        if siblings.len() == MAX_PROPERTIES_OF_NODE || self.properties.len() == MAX_PROPERTIES {
            return Err(Error::TooManyProperties);
        }
        if siblings.iter().any(|other| other.name == property.name) {
            return Err(Error::DuplicateProperty(property.start));
        }
        self.properties.try_reserve(1)?;
        self.properties.push(property);
        Ok(())
    }

    fn refuse_duplicate_nodes(&self) -> Result<(), Error> {
        let mut names = Vec::new();
        names.try_reserve_exact(self.nodes.len())?;
        names.extend(self.nodes.iter().skip(1).map(|node| {
            // Readers look /chosen up by its name without a unit address, and not all would take
            // the same one of two.
            let name = match base_name(node.name) {
                "chosen" if node.parent == 0 => "chosen",
                _ => node.name,
            };
            (node.parent, name)
        }));
        heap_sort::sort(&mut names);
        let duplicate = names.iter().zip(names.iter().skip(1)).any(|(first, second)| first == second);
        if duplicate {
            return Err(Error::DuplicateNode);
        }
        Ok(())
    }

    /// The checked header.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The entries of the memory reservation block: address and size in bytes, not checked for
    /// wrapping.
    pub fn memory_reservations(&self) -> &[(u64, u64)] {
        &self.reservations
    }

    /// The root node.
    pub fn root(&self) -> Node<'_, 'a> {
        Node { tree: self, index: 0 }
    }

    /// All nodes, each before its children.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'_, 'a>> {
        (0..self.nodes.len()).map(|index| Node { tree: self, index })
    }

    /// The node at an absolute path such as `/soc/uart@9000000`. A component without a unit
    /// address takes the first node of that name with any unit address.
    pub fn find(&self, path: &str) -> Option<Node<'_, 'a>> {
        let mut components = path.split('/');
        if components.next() != Some("") {
            return None;
        }
        components.filter(|component| !component.is_empty()).try_fold(self.root(), Node::child)
    }
}

/// A node of a [`Tree`].
#[derive(Clone, Copy, Debug)]
pub struct Node<'t, 'a> {
    tree: &'t Tree<'a>,
    index: usize,
}

impl PartialEq for Node<'_, '_> {
    fn eq(&self, other: &Self) -> bool {
        core::ptr::eq(self.tree, other.tree) && self.index == other.index
    }
}

impl<'t, 'a> Node<'t, 'a> {
    fn entry(self) -> Option<&'t NodeEntry<'a>> {
        self.tree.nodes.get(self.index)
    }

    /// The name with its unit address; empty for the root.
    pub fn name(self) -> &'a str {
        self.entry().map_or("", |entry| entry.name)
    }

    /// The name without its unit address.
    pub fn base_name(self) -> &'a str {
        base_name(self.name())
    }

    /// The parent; `None` for the root.
    pub fn parent(self) -> Option<Self> {
        let entry = self.entry().filter(|_| self.index != 0)?;
        Some(Node { index: entry.parent, ..self })
    }

    /// The children in their order.
    pub fn children(self) -> impl Iterator<Item = Self> {
        let end = self.entry().map_or(0, |entry| entry.end);
        let mut next = self.index + 1;
        core::iter::from_fn(move || {
            if next >= end {
                return None;
            }
            let child = Node { index: next, ..self };
            next = child.entry()?.end;
            Some(child)
        })
    }

    /// The child of this name; without a unit address, the first with any.
    pub fn child(self, name: &str) -> Option<Self> {
        let with_address = name.contains('@');
        self.children().find(|child| {
            let candidate = if with_address { child.name() } else { child.base_name() };
            candidate == name
        })
    }

    /// The properties in their order.
    pub fn properties(self) -> &'t [Property<'a>] {
        self.entry()
            .and_then(|entry| {
                let range = entry.first_property..entry.last_property;
                self.tree.properties.get(range)
            })
            .unwrap_or_default()
    }

    /// The value of a property.
    pub fn property(self, name: &str) -> Option<&'a [u8]> {
        self.properties().iter().find(|property| property.name == name).map(|property| property.value)
    }

    /// Whether the property is there, whatever its value.
    pub fn has(self, name: &str) -> bool {
        self.property(name).is_some()
    }

    /// Whether `compatible` lists this string.
    pub fn is_compatible(self, with: &str) -> bool {
        self.property("compatible")
            .is_some_and(|value| value.split(|byte| *byte == 0).any(|entry| entry == with.as_bytes()))
    }

    /// Whether `status` is absent, "okay" or "ok": the device is there to be used.
    pub fn is_enabled(self) -> bool {
        matches!(self.property("status"), None | Some(b"okay\0") | Some(b"ok\0"))
    }

    /// Offset of the token behind the node's properties.
    pub(super) fn properties_end(self) -> usize {
        self.entry().map_or(0, |entry| entry.properties_end)
    }
}

fn base_name(name: &str) -> &str {
    name.split_once('@').map_or(name, |(base, _)| base)
}

fn reservations(blob: &[u8], header: &Header) -> Result<Vec<(u64, u64)>, Error> {
    let (start, end) = header.reservations;
    let block = blob.get(start as usize..end as usize).ok_or(Error::Truncated)?;
    let mut reservations = Vec::new();
    for entry in block.as_chunks::<16>().0 {
        let (address, size) = entry.split_at(8);
        match (be_u64(address), be_u64(size)) {
            (0, 0) => return Ok(reservations),
            _ if reservations.len() == MAX_RESERVATIONS => return Err(Error::TooManyReservations),
            entry => {
                reservations.try_reserve(1)?;
                reservations.push(entry);
            }
        }
    }
    Err(Error::UnterminatedReservations)
}

/// The bytes as a big-endian number; more than eight lose the upper ones.
fn be_u64(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Bounds-checked access to the structure and strings blocks.
struct Reader<'a> {
    /// The blob up to the end of the structure block.
    structure: &'a [u8],
    start: usize,
    strings: &'a [u8],
    strings_start: usize,
}

impl<'a> Reader<'a> {
    fn new(blob: &'a [u8], header: &Header) -> Self {
        let slice = |range: Range<u32>| blob.get(range.start as usize..range.end as usize);
        Self {
            structure: slice(0..header.structure.1).unwrap_or_default(),
            start: header.structure.0 as usize,
            strings: slice(header.strings.0..header.strings.1).unwrap_or_default(),
            strings_start: header.strings.0 as usize,
        }
    }

    fn word(&self, offset: &mut usize) -> Result<u32, Error> {
        let word =
            self.structure.get(*offset..).and_then(|rest| rest.first_chunk()).ok_or(Error::UnexpectedEnd(*offset))?;
        *offset += 4;
        Ok(u32::from_be_bytes(*word))
    }

    fn node_name(&self, offset: &mut usize, is_root: bool) -> Result<&'a str, Error> {
        let at = *offset;
        let name = nul_terminated(self.structure.get(at..).unwrap_or_default())
            .filter(|name| name.is_empty() == is_root && !name.contains('/'))
            .ok_or(Error::BadName(at))?;
        // The name lies inside the slice, so neither sum can wrap.
        *offset = (at + name.len() + 1).next_multiple_of(4);
        Ok(name)
    }

    fn property(&self, start: usize, offset: &mut usize) -> Result<Property<'a>, Error> {
        let len = self.word(offset)? as usize;
        let name_offset = self.word(offset)? as usize;
        let name = self
            .strings
            .get(name_offset..)
            .and_then(nul_terminated)
            .filter(|name| !name.is_empty())
            .ok_or(Error::BadName(self.strings_start.saturating_add(name_offset)))?;
        let value =
            self.structure.get(*offset..).and_then(|rest| rest.get(..len)).ok_or(Error::UnexpectedEnd(*offset))?;
        *offset = (*offset + len).next_multiple_of(4);
        Ok(Property { name, value, start, end: *offset })
    }
}

/// The printable ASCII string before the first NUL, if there is one within reach.
fn nul_terminated(bytes: &[u8]) -> Option<&str> {
    let window = bytes.get(..=MAX_NAME).unwrap_or(bytes);
    let len = window.iter().position(|byte| *byte == 0)?;
    let name = window.get(..len)?;
    if !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    core::str::from_utf8(name).ok()
}
