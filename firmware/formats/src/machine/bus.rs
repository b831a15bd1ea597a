//! `reg` and `ranges`: from a node's addresses to those the CPU uses
//! (Devicetree Specification 0.4, sections 2.3.5, 2.3.6 and 2.3.8).

use super::{MachineError, bad};
use crate::Region;
use crate::device_tree::Node;

/// The specification's values where a parent has no such property.
const DEFAULT_ADDRESS_CELLS: usize = 2;
const DEFAULT_SIZE_CELLS: usize = 1;
/// PCI's address cells are the longest there are.
const MAX_ADDRESS_CELLS: usize = 3;
const MAX_SIZE_CELLS: usize = 2;

/// The value of a property of exactly one cell.
pub fn cell(value: &[u8]) -> Option<u32> {
    value.try_into().ok().map(u32::from_be_bytes)
}

/// A property of one string: what stands before its only NUL, at the end.
pub fn string(value: &[u8]) -> Option<&str> {
    let (nul, text) = value.split_last()?;
    if *nul != 0 || text.contains(&0) {
        return None;
    }
    core::str::from_utf8(text).ok()
}

/// Takes `cells` cells from the front of a property as one number: `Err` when it exceeds 64 bits,
/// `Ok(None)` when there are not enough.
pub fn take(value: &mut &[u8], cells: usize) -> Option<u64> {
    let (number, rest) = value.split_at_checked(cells * 4)?;
    *value = rest;
    // Whatever is in front of the last two cells does not fit, unless it is zero.
    let (high, low) = number.split_at(number.len().saturating_sub(8));
    if high.iter().any(|byte| *byte != 0) {
        return None;
    }
    Some(low.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)))
}

/// `#address-cells` and `#size-cells` of a bus, for its children.
#[derive(Clone, Copy)]
pub struct Cells {
    pub address: usize,
    pub size: usize,
}

impl Cells {
    pub fn of(owner: &'static str, bus: Node<'_, '_>) -> Result<Self, MachineError> {
        let count = |name, default, max| match bus.property(name) {
            None => Ok(default),
            Some(value) => cell(value)
                .and_then(|count| usize::try_from(count).ok())
                .filter(|count| *count <= max)
                .ok_or(bad(owner, name)),
        };
        Ok(Self {
            address: count("#address-cells", DEFAULT_ADDRESS_CELLS, MAX_ADDRESS_CELLS)?,
            size: count("#size-cells", DEFAULT_SIZE_CELLS, MAX_SIZE_CELLS)?,
        })
    }
}

/// The entries of `reg`, or of a property of the same form, as the CPU's addresses.
///
/// An entry of size zero is skipped; one that no bus makes addressable is `None`.
pub fn regions<'t, 'a>(
    owner: &'static str,
    node: Node<'t, 'a>,
    property: &'static str,
) -> Result<impl Iterator<Item = Result<Option<Region>, MachineError>>, MachineError> {
    let bus = node.parent().ok_or(bad(owner, property))?;
    let cells = Cells::of(owner, bus)?;
    let mut rest = node.property(property).unwrap_or_default();
    let entry = (cells.address + cells.size) * 4;
    // Without size cells an entry is an address alone, which is no region.
    if cells.size == 0 || !rest.len().is_multiple_of(entry) {
        return Err(bad(owner, property));
    }
    Ok(core::iter::from_fn(move || {
        while !rest.is_empty() {
            let address = take(&mut rest, cells.address);
            let size = take(&mut rest, cells.size);
            let (Some(address), Some(size)) = (address, size) else {
                rest = &[];
                return Some(Err(bad(owner, property)));
            };
            if size != 0 {
                return Some(translate(owner, bus, address, size));
            }
        }
        None
    }))
}

/// The first entry of `reg`: `None` when no bus makes it addressable, an error when there is none
/// or it is shorter than the registers are.
pub fn first_reg(owner: &'static str, node: Node<'_, '_>, min_size: u64) -> Result<Option<Region>, MachineError> {
    let region = regions(owner, node, "reg")?.next().ok_or(bad(owner, "reg"))??;
    match region {
        Some(region) if region.size() < min_size => Err(bad(owner, "reg")),
        region => Ok(region),
    }
}

/// Follows `ranges` from the children of `bus` up to the root.
pub fn translate(
    owner: &'static str,
    bus: Node<'_, '_>,
    address: u64,
    size: u64,
) -> Result<Option<Region>, MachineError> {
    let mut bus = bus;
    let mut address = address;
    while let Some(parent) = bus.parent() {
        match bus.property("ranges") {
            None => return Ok(None),
            Some([]) => {}
            Some(ranges) => match map(owner, bus, parent, ranges, address, size)? {
                Some(mapped) => address = mapped,
                None => return Ok(None),
            },
        }
        bus = parent;
    }
    Region::new(address, size).map(Some).ok_or(bad(owner, "reg"))
}

fn map(
    owner: &'static str,
    bus: Node<'_, '_>,
    parent: Node<'_, '_>,
    ranges: &[u8],
    address: u64,
    size: u64,
) -> Result<Option<u64>, MachineError> {
    let child = Cells::of(owner, bus)?;
    // A PCI address is a space and an address, and not translated as a number.
    if child.address > 2 {
        return Ok(None);
    }
    let parent = Cells::of(owner, parent)?;
    let entry = (child.address + parent.address + child.size) * 4;
    if entry == 0 || !ranges.len().is_multiple_of(entry) {
        return Err(bad(owner, "ranges"));
    }
    let mut rest = ranges;
    while !rest.is_empty() {
        let child_base = take(&mut rest, child.address).ok_or(bad(owner, "ranges"))?;
        let parent_base = take(&mut rest, parent.address).ok_or(bad(owner, "ranges"))?;
        let length = take(&mut rest, child.size).ok_or(bad(owner, "ranges"))?;
        let Some(offset) = address.checked_sub(child_base) else {
            continue;
        };
        if offset.checked_add(size).is_some_and(|end| end <= length) {
            let mapped = parent_base.checked_add(offset);
            return mapped.map(Some).ok_or(bad(owner, "ranges"));
        }
    }
    Ok(None)
}
