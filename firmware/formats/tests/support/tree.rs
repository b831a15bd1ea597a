//! A writer of flattened device trees.

use std::collections::BTreeMap;

/// A tree in the making.
#[derive(Default)]
pub struct TreeBuilder {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// The offsets of the names in the strings block.
    names: BTreeMap<String, u32>,
    pub reservations: Vec<(u64, u64)>,
}

impl TreeBuilder {
    /// A tree whose root is filled by `root`.
    pub fn new(root: impl FnOnce(&mut Self)) -> Self {
        let mut tree = Self::default();
        tree.node("", root);
        tree
    }

    pub fn word(&mut self, word: u32) -> &mut Self {
        self.structure.extend(word.to_be_bytes());
        self
    }

    pub fn node(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.begin(name);
        fill(self);
        self.word(2)
    }

    pub fn begin(&mut self, name: &str) -> &mut Self {
        self.word(1);
        self.structure.extend(name.as_bytes());
        self.structure.push(0);
        self.align()
    }

    fn align(&mut self) -> &mut Self {
        let len = self.structure.len().next_multiple_of(4);
        self.structure.resize(len, 0);
        self
    }

    pub fn bytes(&mut self, name: &str, value: &[u8]) -> &mut Self {
        let name = self.name(name);
        self.word(3).word(value.len() as u32).word(name);
        self.structure.extend(value);
        self.align()
    }

    fn name(&mut self, name: &str) -> u32 {
        if let Some(offset) = self.names.get(name) {
            return *offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        self.names.insert(name.to_owned(), offset);
        offset
    }

    /// A property without a value.
    pub fn flag(&mut self, name: &str) -> &mut Self {
        self.bytes(name, &[])
    }

    pub fn text(&mut self, name: &str, value: &str) -> &mut Self {
        self.bytes(name, &[value.as_bytes(), b"\0"].concat())
    }

    pub fn cells(&mut self, name: &str, cells: &[u32]) -> &mut Self {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    /// Numbers of two cells each.
    pub fn wide(&mut self, name: &str, numbers: &[u64]) -> &mut Self {
        let value: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        self.bytes(name, &value)
    }

    /// The blob, with `padding` bytes behind its content counted into `totalsize`.
    pub fn finish(mut self, padding: usize) -> Vec<u8> {
        self.word(9);
        self.finish_without_end(padding)
    }

    pub fn finish_without_end(self, padding: usize) -> Vec<u8> {
        const HEADER_LEN: usize = 40;
        let reservations: Vec<u8> = self
            .reservations
            .iter()
            .chain(&[(0, 0)])
            .flat_map(|(address, size)| [address.to_be_bytes(), size.to_be_bytes()])
            .flatten()
            .collect();
        let structure_offset = HEADER_LEN + reservations.len();
        let strings_offset = structure_offset + self.structure.len();
        let total = strings_offset + self.strings.len() + padding;
        let header = [
            0xd00d_feed,
            total as u32,
            structure_offset as u32,
            strings_offset as u32,
            HEADER_LEN as u32,
            17,
            16,
            0,
            self.strings.len() as u32,
            self.structure.len() as u32,
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        blob.extend(reservations);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob.resize(total, 0);
        blob
    }
}
