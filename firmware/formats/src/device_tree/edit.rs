//! What the firmware changes in a tree before it hands it to an operating system.

use alloc::vec::Vec;
use core::ops::Range;

use super::header::set_block_sizes;
use super::walk::{BEGIN_NODE, END_NODE, NOP, PROP, Tree};
use super::{Error, adopt_copy};

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
    let header = tree.header();
    let old_strings_len = header.strings.1 - header.strings.0;
    let mut insertion = Insertion { structure: Vec::new(), strings: Vec::new(), strings_base: old_strings_len };
    let chosen = tree.root().child("chosen");
    let at = match chosen {
        Some(chosen) => chosen.properties_end(),
        None => {
            insertion.push(&BEGIN_NODE.to_be_bytes())?;
            insertion.push(b"chosen\0\0")?;
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
        insertion.push(&END_NODE.to_be_bytes())?;
    }

    let structure = header.structure.0 as usize..header.structure.1 as usize;
    let strings = header.strings.0 as usize..header.strings.1 as usize;
    let parts = [
        copy.get(..at),
        Some(insertion.structure.as_slice()),
        copy.get(at..structure.end),
        copy.get(strings),
        Some(insertion.strings.as_slice()),
    ];
    let mut rebuilt = Vec::new();
    for part in parts {
        let part = part.ok_or(Error::Truncated)?;
        rebuilt.try_reserve(part.len())?;
        rebuilt.extend_from_slice(part);
    }

    let word = |value: usize| u32::try_from(value).map_err(|_| Error::BadBootArguments);
    let new_structure_len = structure.len() + insertion.structure.len();
    set_block_sizes(
        &mut rebuilt,
        word(new_structure_len)?,
        word(structure.start + new_structure_len)?,
        word(old_strings_len as usize + insertion.strings.len())?,
    )?;
    adopt_copy(&mut rebuilt).map_err(|_| Error::BadBootArguments)?;
    Ok(rebuilt)
}

/// Tokens to put into a structure block, and the names they add to the strings block.
struct Insertion {
    structure: Vec<u8>,
    strings: Vec<u8>,
    /// The length of the strings block before.
    strings_base: u32,
}

impl Insertion {
    fn push(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.structure.try_reserve(bytes.len())?;
        self.structure.extend_from_slice(bytes);
        Ok(())
    }

    fn property(&mut self, name: &str, value: &[&[u8]]) -> Result<(), Error> {
        let word = |value: usize| u32::try_from(value).map_err(|_| Error::BadBootArguments);
        let name_offset = word(self.strings.len())?.checked_add(self.strings_base).ok_or(Error::BadBootArguments)?;
        self.strings.try_reserve(name.len() + 1)?;
        self.strings.extend_from_slice(name.as_bytes());
        self.strings.push(0);

        let len: usize = value.iter().map(|part| part.len()).sum();
        self.push(&PROP.to_be_bytes())?;
        self.push(&word(len)?.to_be_bytes())?;
        self.push(&name_offset.to_be_bytes())?;
        for part in value {
            self.push(part)?;
        }
        let padding = len.next_multiple_of(4) - len;
        self.push([0; 4].get(..padding).unwrap_or_default())
    }
}
