//! The device tree: read from QEMU, changed to what a VMM would hand to a realm.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::options::DtbLie;

/// Why a device tree blob cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no valid flattened device tree")]
pub struct InvalidTree;

/// A node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Name with unit address.
    pub name: String,
    /// Properties in order.
    pub properties: Vec<(String, Vec<u8>)>,
    /// Children in order.
    pub children: Vec<Node>,
}

const MAGIC: u32 = 0xd00d_feed;
const BEGIN: u32 = 1;
const END: u32 = 2;
const PROPERTY: u32 = 3;
const NOP: u32 = 4;
const FINISH: u32 = 9;
const HEADER: usize = 40;
const DEPTH: usize = 16;

struct Reader<'a> {
    blob: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn word(&mut self) -> Result<u32, InvalidTree> {
        let bytes = self.blob.get(self.at..).and_then(|rest| rest.first_chunk());
        self.at = self.at.checked_add(4).ok_or(InvalidTree)?;
        bytes.map(|word| u32::from_be_bytes(*word)).ok_or(InvalidTree)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], InvalidTree> {
        let end = self.at.checked_add(len).ok_or(InvalidTree)?;
        let bytes = self.blob.get(self.at..end).ok_or(InvalidTree)?;
        self.at = end.next_multiple_of(4);
        Ok(bytes)
    }
}

fn string(bytes: &[u8]) -> Result<&str, InvalidTree> {
    let text = bytes.split(|byte| *byte == 0).next().ok_or(InvalidTree)?;
    core::str::from_utf8(text).map_err(|_| InvalidTree)
}

impl Node {
    /// Reads a blob; its root is returned.
    ///
    /// # Errors
    /// The blob is no device tree of version 17.
    pub fn parse(blob: &[u8]) -> Result<Self, InvalidTree> {
        let mut header = Reader { blob, at: 0 };
        if header.word()? != MAGIC {
            return Err(InvalidTree);
        }
        let mut fields = [0_usize; 3];
        for field in &mut fields {
            *field = usize::try_from(header.word()?).map_err(|_| InvalidTree)?;
        }
        let [total, structure, strings] = fields;
        let blob = blob.get(..total).ok_or(InvalidTree)?;
        let strings = blob.get(strings..).ok_or(InvalidTree)?;
        let mut reader = Reader { blob, at: structure };
        if reader.word()? != BEGIN {
            return Err(InvalidTree);
        }
        Self::read(&mut reader, strings, 0)
    }

    fn read(reader: &mut Reader<'_>, strings: &[u8], depth: usize) -> Result<Self, InvalidTree> {
        if depth > DEPTH {
            return Err(InvalidTree);
        }
        let name = string(reader.blob.get(reader.at..).ok_or(InvalidTree)?)?;
        reader.bytes(name.len().saturating_add(1))?;
        let mut node = Self { name: name.to_string(), ..Self::default() };
        loop {
            match reader.word()? {
                BEGIN => node.children.push(Self::read(reader, strings, depth + 1)?),
                PROPERTY => {
                    let len = reader.word()? as usize;
                    let name = reader.word()? as usize;
                    let name = string(strings.get(name..).ok_or(InvalidTree)?)?;
                    let value = reader.bytes(len)?;
                    node.properties.push((name.to_string(), value.to_vec()));
                }
                NOP => {}
                END => return Ok(node),
                _ => return Err(InvalidTree),
            }
        }
    }

    /// Writes a blob of version 17 with this node as root.
    pub fn to_blob(&self) -> Vec<u8> {
        let (mut structure, mut strings) = (Vec::new(), Vec::new());
        self.write(&mut structure, &mut strings);
        structure.extend(FINISH.to_be_bytes());
        let reservations = HEADER;
        let at_structure = reservations + 16;
        let at_strings = at_structure + structure.len();
        let total = (at_strings + strings.len()).next_multiple_of(8);
        let mut blob = Vec::with_capacity(total);
        for word in
            [MAGIC as usize, total, at_structure, at_strings, reservations, 17, 16, 0, strings.len(), structure.len()]
        {
            blob.extend((word as u32).to_be_bytes());
        }
        blob.resize(at_structure, 0);
        blob.extend(structure);
        blob.extend(strings);
        blob.resize(total, 0);
        blob
    }

    fn write(&self, structure: &mut Vec<u8>, strings: &mut Vec<u8>) {
        structure.extend(BEGIN.to_be_bytes());
        structure.extend(self.name.as_bytes());
        structure.push(0);
        structure.resize(structure.len().next_multiple_of(4), 0);
        for (name, value) in &self.properties {
            structure.extend(PROPERTY.to_be_bytes());
            structure.extend((value.len() as u32).to_be_bytes());
            let mut text = name.as_bytes().to_vec();
            text.push(0);
            let found = strings.windows(text.len()).position(|window| window == text);
            let at = found.unwrap_or_else(|| {
                strings.extend(&text);
                strings.len() - text.len()
            });
            structure.extend((at as u32).to_be_bytes());
            structure.extend(value);
            structure.resize(structure.len().next_multiple_of(4), 0);
        }
        for child in &self.children {
            child.write(structure, strings);
        }
        structure.extend(END.to_be_bytes());
    }

    /// Value of a property.
    pub fn property(&self, name: &str) -> Option<&[u8]> {
        let found = self.properties.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_slice())
    }

    /// Sets a property.
    pub fn set(&mut self, name: &str, value: Vec<u8>) {
        match self.properties.iter_mut().find(|(key, _)| key == name) {
            Some((_, old)) => *old = value,
            None => self.properties.push((name.to_string(), value)),
        }
    }

    /// Removes a property.
    pub fn remove(&mut self, name: &str) {
        self.properties.retain(|(key, _)| key != name);
    }

    pub(crate) fn is_compatible(&self, with: &str) -> bool {
        let value = self.property("compatible").unwrap_or_default();
        value.split(|byte| *byte == 0).any(|text| text == with.as_bytes())
    }

    fn is_type(&self, kind: &str) -> bool {
        let value = self.property("device_type").unwrap_or_default();
        value.strip_suffix(&[0]).unwrap_or(value) == kind.as_bytes()
    }

    /// Big-endian cells of a property.
    fn cells(&self, name: &str) -> Vec<u64> {
        let bytes = self.property(name).unwrap_or_default();
        let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
        words.map(|word| u64::from(u32::from_be_bytes(word))).collect()
    }

    /// `reg` with two address and two size cells.
    pub(crate) fn regions(&self) -> Vec<Range<u64>> {
        let cells = self.cells("reg");
        cells.chunks_exact(4).filter_map(region).collect()
    }

    pub(crate) fn child(&mut self, name: &str) -> &mut Node {
        let index = self.children.iter().position(|child| child.name == name);
        let index = index.unwrap_or_else(|| {
            self.children.push(Node { name: name.to_string(), ..Node::default() });
            self.children.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "the index was found or just made")]
        &mut self.children[index]
    }
}

fn region(cells: &[u64]) -> Option<Range<u64>> {
    let [base_high, base, size_high, size] = cells else {
        return None;
    };
    let base = base_high << 32 | base;
    Some(base..base.checked_add(size_high << 32 | size)?)
}

fn reg(range: &Range<u64>) -> Vec<u8> {
    let size = range.end.saturating_sub(range.start);
    [range.start.to_be_bytes(), size.to_be_bytes()].concat()
}

/// Where QEMU has the PCIe configuration space when addresses are short of bits (16 buses).
const LOW_ECAM: Range<u64> = 0x3f00_0000..0x4000_0000;

/// A device's registers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Where the realm has them: canonical IPA.
    pub ipa: Range<u64>,
    /// Where QEMU has the first of them.
    pub pa: u64,
}

impl Window {
    /// The physical address of a canonical IPA in the window.
    pub fn translate(&self, ipa: u64) -> Option<u64> {
        let offset = ipa.checked_sub(self.ipa.start)?;
        self.ipa.contains(&ipa).then(|| self.pa.saturating_add(offset))
    }
}

/// Registers at `range` as a realm has them whose protected half ends at `half`: those beyond it
/// can only be the PCIe configuration space, for which there is a low place as well.
fn window(range: Range<u64>, half: u64) -> Window {
    let pa = range.start;
    let ipa = if range.end > half { LOW_ECAM } else { range };
    Window { ipa, pa }
}

/// What QEMU's tree says of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// End of RAM.
    pub ram_end: u64,
    /// Number of CPUs.
    pub cpus: usize,
    /// Where devices answer.
    pub mmio: Vec<Window>,
    /// PCIe configuration space where QEMU has it.
    pub ecam: Range<u64>,
    /// Registers of fw_cfg.
    pub fw_cfg: Option<Range<u64>>,
    /// GICv3 distributor.
    pub distributor: Range<u64>,
    /// GICv3 redistributors.
    pub redistributors: Range<u64>,
}

impl Machine {
    /// Reads it for a realm whose protected half ends at `half`; none when something the model
    /// needs is not there.
    pub fn from_tree(root: &Node, half: u64) -> Option<Self> {
        let mut machine = Self {
            ram_end: 0,
            cpus: 0,
            mmio: vec![],
            ecam: 0..0,
            fw_cfg: None,
            distributor: 0..0,
            redistributors: 0..0,
        };
        for node in &root.children {
            let regions = node.regions();
            if node.is_type("memory") {
                let end = regions.iter().map(|range| range.end).max();
                machine.ram_end = machine.ram_end.max(end.unwrap_or(0));
                continue;
            }
            if node.name == "cpus" {
                machine.cpus = node.children.iter().filter(|cpu| cpu.is_type("cpu")).count();
                continue;
            }
            if node.is_compatible("arm,gic-v3") {
                let mut regions = regions.iter();
                machine.distributor = regions.next()?.clone();
                machine.redistributors = regions.next()?.clone();
            }
            if node.is_compatible("qemu,fw-cfg-mmio") {
                machine.fw_cfg = regions.first().cloned();
            }
            if node.is_compatible("pci-host-ecam-generic") {
                machine.ecam = regions.first().cloned().unwrap_or_default();
                let ranges = node.cells("ranges");
                let windows = ranges.chunks_exact(PCI_RANGE).filter_map(pci_window);
                let windows = windows.filter(|range| range.end <= half);
                machine.mmio.extend(windows.map(|range| window(range, half)));
            }
            if !node.is_compatible("cfi-flash") {
                machine.mmio.extend(regions.into_iter().map(|range| window(range, half)));
            }
        }
        (machine.cpus > 0 && !machine.distributor.is_empty()).then_some(machine)
    }

    /// Has the realm find the PL011 at `base`, in the tree as well.
    pub fn move_pl011(&mut self, root: &mut Node, base: u64) {
        let Some(node) = root.children.iter_mut().find(|node| node.is_compatible("arm,pl011")) else { return };
        let regions = node.regions();
        let Some(window) = self.mmio.iter_mut().find(|window| regions.contains(&window.ipa)) else { return };
        window.ipa = base..base.saturating_add(window.ipa.end.saturating_sub(window.ipa.start));
        node.name = alloc::format!("pl011@{base:x}");
        node.set("reg", reg(&window.ipa));
        let path = alloc::format!("/{}\0", node.name);
        root.child("chosen").set("stdout-path", path.into_bytes());
    }
}

/// Cells of an entry of a PCI host's `ranges`: three of the bus, two of the parent, two of size.
const PCI_RANGE: usize = 7;

fn pci_window(entry: &[u64]) -> Option<Range<u64>> {
    region(entry.get(3..)?)
}

/// What becomes of the tree.
#[derive(Clone, Debug)]
pub struct Edit<'a> {
    /// The realm's RAM.
    pub ram: Range<u64>,
    /// End of its protected half.
    pub half: u64,
    /// Whether fw_cfg stays.
    pub fw_cfg: bool,
    /// Whether the PMU stays.
    pub pmu: bool,
    /// Kernel command line.
    pub bootargs: Option<&'a str>,
    /// Initial RAM disk.
    pub initrd: Option<Range<u64>>,
    /// What the host lies about.
    pub lie: Option<DtbLie>,
}

/// Keeps of a PCI host what is in the protected half.
fn narrow_pci(node: &mut Node, half: u64) {
    if node.regions().iter().any(|range| range.end > half) {
        node.set("reg", reg(&LOW_ECAM));
        node.set("bus-range", [0_u32, 15].map(u32::to_be_bytes).concat());
    }
    let ranges = node.cells("ranges");
    let kept = ranges.chunks_exact(PCI_RANGE);
    let kept = kept.filter(|entry| pci_window(entry).is_some_and(|range| range.end <= half));
    let cells = kept.flatten().map(|cell| (*cell as u32).to_be_bytes());
    node.set("ranges", cells.flatten().collect());
}

/// Makes the realm's tree of QEMU's.
pub fn realm_tree(root: &mut Node, edit: &Edit<'_>) -> Vec<u8> {
    root.children.retain(|node| {
        let gone = node.is_type("memory")
            || node.is_compatible("cfi-flash")
            || (node.is_compatible("qemu,fw-cfg-mmio") && !edit.fw_cfg)
            || (node.is_compatible("arm,armv8-pmuv3") && !edit.pmu);
        !gone
    });
    for node in &mut root.children {
        if node.is_compatible("arm,gic-v3") {
            // The maintenance interrupt is the hypervisor's, and an ITS needs tables that the
            // model does not translate.
            node.remove("interrupts");
            node.children.clear();
        }
        let uart = node.is_compatible("arm,pl011") || node.is_compatible("ns16550a");
        if uart && edit.lie == Some(DtbLie::Uart) {
            let base = edit.ram.start.saturating_add(0x100_0000);
            node.set("reg", reg(&(base..base.saturating_add(0x1000))));
        }
        if node.is_compatible("pci-host-ecam-generic") {
            // Without ITS there are no message interrupts to map.
            node.remove("msi-map");
            node.remove("msi-parent");
            narrow_pci(node, edit.half);
        }
    }
    let size = edit.ram.end.saturating_sub(edit.ram.start);
    let mut told = edit.ram.clone();
    if edit.lie == Some(DtbLie::Memory) {
        told.end = told.end.saturating_add(size);
    }
    let mut memories = vec![told];
    if edit.lie == Some(DtbLie::Overlap) {
        let middle = edit.ram.start.saturating_add(size / 2);
        memories.push(middle..middle.saturating_add(size / 2));
    }
    for memory in memories {
        let node = root.child(&alloc::format!("memory@{:x}", memory.start));
        node.set("device_type", b"memory\0".to_vec());
        node.set("reg", reg(&memory));
    }
    let chosen = root.child("chosen");
    // A random value would make two launches of one realm measure differently.
    chosen.remove("rng-seed");
    chosen.remove("kaslr-seed");
    if let Some(arguments) = edit.bootargs {
        chosen.set("bootargs", [arguments.as_bytes(), &[0]].concat());
    }
    if let Some(initrd) = &edit.initrd {
        chosen.set("linux,initrd-start", initrd.start.to_be_bytes().to_vec());
        chosen.set("linux,initrd-end", initrd.end.to_be_bytes().to_vec());
    }
    let mut blob = root.to_blob();
    if edit.lie == Some(DtbLie::Size) {
        let lie = 0x7fff_ffff_u32.to_be_bytes();
        for (to, from) in blob.iter_mut().skip(4).zip(lie) {
            *to = from;
        }
    }
    blob
}

#[cfg(test)]
mod tests;
