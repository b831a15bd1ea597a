//! What the firmware changes in a tree before it hands it to an operating system.

use alloc::vec::Vec;
use core::fmt::{self, Write as _};
use core::ops::Range;

use super::header::set_block_sizes;
use super::walk::{BEGIN_NODE, END_NODE, NOP, Node, PROP, Tree};
use super::{Error, Header, adopt_copy};

/// What happens to the host's random seeds in `/chosen`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeds {
    /// They stay.
    Keep,
    /// `rng-seed` and `kaslr-seed` go: a realm does not trust what the host knows.
    Remove,
}

/// Properties of `/chosen` that speak to a kernel about an earlier stage's doings: an EFI kernel
/// gets all of this from the firmware, and must not take it from the host.
const BOOT_PROPERTIES: [&str; 9] = [
    "bootargs",
    "bootargs-append",
    "linux,initrd-start",
    "linux,initrd-end",
    "linux,usable-memory-range",
    "linux,elfcorehdr",
    "linux,booted-from-kexec",
    "linux,ima-kexec-buffer",
    "kexec-addr",
];
/// The EFI stub's hand-over to its kernel (Linux, Documentation/arch/arm/uefi.rst).
const EFI_STUB_PREFIX: &str = "linux,uefi-";
const XEN_EFI_PREFIX: &str = "xen,uefi-";
const SEED_PROPERTIES: [&str; 2] = ["rng-seed", "kaslr-seed"];

/// Removes from `/chosen`, in place, everything that would tell a kernel how it was booted:
/// command line, initrd, EFI tables, kexec's leavings; and the seeds when asked to.
///
/// The place of a removed property is filled with NOP tokens, its value is gone.
pub fn clean_chosen(blob: &mut [u8], seeds: Seeds) -> Result<(), Error> {
    let goes = |name: &str| {
        BOOT_PROPERTIES.contains(&name)
            || name.starts_with(EFI_STUB_PREFIX)
            || name.starts_with(XEN_EFI_PREFIX)
            || (seeds == Seeds::Remove && SEED_PROPERTIES.contains(&name))
    };
    let tree = Tree::parse(blob)?;
    let Some(chosen) = tree.root().child("chosen") else {
        return Ok(());
    };
    let mut removed = Vec::new();
    removed.try_reserve_exact(chosen.properties().len())?;
    let doomed = chosen.properties().iter().filter(|p| goes(p.name));
    removed.extend(doomed.map(|property| property.start..property.end));
    for range in removed {
        blank(blob, range)?;
    }
    Ok(())
}

fn blank(blob: &mut [u8], range: Range<usize>) -> Result<(), Error> {
    let end = range.end;
    let bytes = blob.get_mut(range).ok_or(Error::UnexpectedEnd(end))?;
    for word in bytes.as_chunks_mut::<4>().0 {
        *word = NOP.to_be_bytes();
    }
    Ok(())
}

/// A new tree for the arm64 boot protocol: `/chosen` cleaned as by [`clean_chosen`], then
/// given `bootargs` and the physical addresses of the initrd. `/chosen` is created when
/// the tree has none.
///
/// The result's length is its `totalsize`.
pub fn with_boot_arguments(
    blob: &[u8],
    bootargs: Option<&str>,
    initrd: Option<Range<u64>>,
    seeds: Seeds,
) -> Result<Vec<u8>, Error> {
    let len = Tree::parse(blob)?.header().used_len();
    let mut copy = Vec::new();
    copy.try_reserve_exact(len)?;
    copy.extend_from_slice(blob.get(..len).ok_or(Error::Truncated)?);
    clean_chosen(&mut copy, seeds)?;

    let tree = Tree::parse(&copy)?;
    let mut insertion = Insertion::into(&tree, Error::BadBootArguments);
    let chosen = tree.root().child("chosen");
    let at = match chosen {
        Some(chosen) => chosen.properties_end(),
        None => {
            insertion.begin_node(format_args!("chosen"))?;
            tree.root().properties_end()
        }
    };
    if let Some(bootargs) = bootargs {
        if bootargs.contains('\0') {
            return Err(Error::BadBootArguments);
        }
        insertion.property("bootargs", &[bootargs.as_bytes(), b"\0"])?;
    }
    if let Some(initrd) = initrd {
        insertion.property("linux,initrd-start", &[&initrd.start.to_be_bytes()])?;
        insertion.property("linux,initrd-end", &[&initrd.end.to_be_bytes()])?;
    }
    if chosen.is_none() {
        insertion.end_node()?;
    }
    insertion.rebuild(&copy, tree.header(), at)
}

/// What an operating system finds the log of measurements by.
const EVENT_LOG: &str = "cc-event-log";
const RESERVED_MEMORY: &str = "reserved-memory";

/// A new tree that tells an operating system where the log of a confidential VM's measurements
/// lies: `/reserved-memory` gets a child `event-log@<address>` that is compatible with
/// "cc-event-log". `log` is in bytes of physical address, neither empty nor backwards.
///
/// The log stays mapped (no `no-map`), for the operating system reads it as ordinary memory.
/// `/reserved-memory` is created when the tree has none. One that is there must be as the
/// specification wants it, for an operating system may pass over all of any other: cells like the
/// root's, `ranges` empty (Devicetree Specification 0.4, section 3.5).
///
/// A tree that speaks of such a log anywhere already is refused with [`Error::EventLogExists`],
/// whether that node is enabled or not: readers take the first they find, and the host would
/// choose what they read.
///
/// The result's length is its `totalsize`.
pub fn with_event_log(blob: &[u8], log: Range<u64>) -> Result<Vec<u8>, Error> {
    let size = log.end.checked_sub(log.start).filter(|size| *size != 0).ok_or(Error::BadEventLog)?;
    let tree = Tree::parse(blob)?;
    if tree.nodes().any(names_event_log) {
        return Err(Error::EventLogExists);
    }
    let parent = reserved_memory(&tree)?;
    let cells = Cells::of(tree.root())?;

    let mut insertion = Insertion::into(&tree, Error::BadEventLog);
    if parent.is_none() {
        insertion.begin_node(format_args!("{RESERVED_MEMORY}"))?;
        insertion.property("#address-cells", &[&cells.address.to_be_bytes()])?;
        insertion.property("#size-cells", &[&cells.size.to_be_bytes()])?;
        insertion.property("ranges", &[])?;
    }
    insertion.begin_node(format_args!("event-log@{:x}", log.start))?;
    insertion.property("compatible", &[EVENT_LOG.as_bytes(), b"\0"])?;
    let (address, size) = (log.start.to_be_bytes(), size.to_be_bytes());
    let reg = [last_cells(&address, cells.address)?, last_cells(&size, cells.size)?];
    insertion.property("reg", &reg)?;
    insertion.end_node()?;
    if parent.is_none() {
        insertion.end_node()?;
    }
    let rebuilt = insertion.rebuild(blob, tree.header(), parent.unwrap_or(tree.root()).properties_end())?;
    // One more node may be one too many.
    Tree::parse(&rebuilt)?;
    Ok(rebuilt)
}

/// Whether a reader could take the node for the log's: by its compatible string, which Linux
/// compares without regard to case, or by its name.
fn names_event_log(node: Node<'_, '_>) -> bool {
    let strings = node.property("compatible").unwrap_or_default().split(|byte| *byte == 0);
    let in_reserved_memory = node.parent().is_some_and(|parent| parent.name() == RESERVED_MEMORY);
    strings.into_iter().any(|string| string.eq_ignore_ascii_case(EVENT_LOG.as_bytes()))
        || (in_reserved_memory && node.base_name() == "event-log")
}

/// `/reserved-memory`, if the tree has one. It must be the only node that goes by this name.
fn reserved_memory<'t, 'a>(tree: &'t Tree<'a>) -> Result<Option<Node<'t, 'a>>, Error> {
    let mut nodes = tree.root().children().filter(|node| node.base_name() == RESERVED_MEMORY);
    let Some(node) = nodes.next() else {
        return Ok(None);
    };
    let is_plain = node.name() == RESERVED_MEMORY
        && nodes.next().is_none()
        && node.is_enabled()
        && node.property("ranges") == Some(&[])
        && Cells::of(node)? == Cells::of(tree.root())?;
    if is_plain { Ok(Some(node)) } else { Err(Error::BadReservedMemory) }
}

/// `#address-cells` and `#size-cells`, one or two of each. There are no defaults here: the root
/// and `/reserved-memory` are required to have both.
#[derive(PartialEq, Eq)]
struct Cells {
    address: u32,
    size: u32,
}

impl Cells {
    fn of(node: Node<'_, '_>) -> Result<Self, Error> {
        let count = |name| match node.property(name) {
            Some([0, 0, 0, count @ 1..=2]) => Ok(u32::from(*count)),
            _ => Err(Error::BadReservedMemory),
        };
        Ok(Self { address: count("#address-cells")?, size: count("#size-cells")? })
    }
}

/// A number of two cells in the last `cells` of them; an error when it needs more.
fn last_cells(number: &[u8; 8], cells: u32) -> Result<&[u8], Error> {
    match (cells, number) {
        (1, [0, 0, 0, 0, low @ ..]) => Ok(low),
        (2, number) => Ok(number),
        _ => Err(Error::BadEventLog),
    }
}

/// Tokens to put into a structure block, and the names they add to the strings block.
struct Insertion {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// The length of the strings block before.
    strings_base: u32,
    /// What is wrong with the caller's argument when no tree can hold it.
    misfit: Error,
}

impl fmt::Write for Insertion {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.push(text.as_bytes()).map_err(|_| fmt::Error)
    }
}

impl Insertion {
    fn into(tree: &Tree<'_>, misfit: Error) -> Self {
        let (start, end) = tree.header().strings;
        Self { structure: Vec::new(), strings: Vec::new(), strings_base: end - start, misfit }
    }

    fn word(&self, value: usize) -> Result<u32, Error> {
        u32::try_from(value).map_err(|_| self.misfit)
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.structure.try_reserve(bytes.len())?;
        self.structure.extend_from_slice(bytes);
        Ok(())
    }

    /// Zeros up to the next token: `least` or more.
    fn align(&mut self, least: usize) -> Result<(), Error> {
        let len = self.structure.len();
        let padding = (len + least).next_multiple_of(4) - len;
        self.push([0; 4].get(..padding).unwrap_or_default())
    }

    fn begin_node(&mut self, name: fmt::Arguments<'_>) -> Result<(), Error> {
        self.push(&BEGIN_NODE.to_be_bytes())?;
        // Nothing but `push` can fail in this.
        self.write_fmt(name).map_err(|_| Error::OutOfMemory)?;
        self.align(1)
    }

    fn end_node(&mut self) -> Result<(), Error> {
        self.push(&END_NODE.to_be_bytes())
    }

    fn property(&mut self, name: &str, value: &[&[u8]]) -> Result<(), Error> {
        let name_offset = self.word(self.strings.len())?.checked_add(self.strings_base).ok_or(self.misfit)?;
        self.strings.try_reserve(name.len() + 1)?;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);

        let len = self.word(value.iter().map(|part| part.len()).sum())?;
        self.push(&PROP.to_be_bytes())?;
        self.push(&len.to_be_bytes())?;
        self.push(&name_offset.to_be_bytes())?;
        for part in value {
            self.push(part)?;
        }
        self.align(0)
    }

    /// The tree of this blob with the tokens at offset `at`, without padding.
    fn rebuild(self, blob: &[u8], header: &Header, at: usize) -> Result<Vec<u8>, Error> {
        let structure = header.structure.0 as usize..header.structure.1 as usize;
        let strings = header.strings.0 as usize..header.strings.1 as usize;
        let parts = [
            blob.get(..at),
            Some(self.structure.as_slice()),
            blob.get(at..structure.end),
            blob.get(strings),
            Some(self.strings.as_slice()),
        ];
        let mut rebuilt = Vec::new();
        for part in parts {
            let part = part.ok_or(Error::Truncated)?;
            rebuilt.try_reserve(part.len())?;
            rebuilt.extend_from_slice(part);
        }

        let structure_len = structure.len() + self.structure.len();
        set_block_sizes(
            &mut rebuilt,
            self.word(structure_len)?,
            self.word(structure.start + structure_len)?,
            self.word(self.strings_base as usize + self.strings.len())?,
        )?;
        adopt_copy(&mut rebuilt).map_err(|_| self.misfit)?;
        Ok(rebuilt)
    }
}
