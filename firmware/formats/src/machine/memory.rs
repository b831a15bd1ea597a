//! RAM and what is kept out of it (Devicetree Specification 0.4, sections 3.4, 3.5 and 5.3).

use alloc::vec::Vec;

use super::{MachineError, bad, bus};
use crate::Region;
use crate::device_tree::Tree;

const MAX_MEMORY: usize = 64;
const MAX_RESERVED: usize = 128;

/// How a region is reserved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reservation {
    /// By an entry of the memory reservation block: nobody may use it.
    Block,
    /// By a child of `/reserved-memory`: the operating system uses it as that node says.
    Node,
    /// By a child of `/reserved-memory` with `no-map`: it must not even be mapped.
    NoMap,
}

/// A region the tree keeps from being used as RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reserved {
    /// The region, of any alignment.
    pub region: Region,
    /// How it is reserved.
    pub by: Reservation,
}

/// The memory banks. `hotpluggable` ones are RAM like any other, as Linux takes them.
pub fn ram(tree: &Tree<'_>) -> Result<Vec<Region>, MachineError> {
    const NODE: &str = "/memory";
    let mut banks = Vec::new();
    let nodes =
        tree.root().children().filter(|node| node.property("device_type") == Some(b"memory\0") && node.is_enabled());
    for node in nodes {
        for region in bus::regions(NODE, node, "reg")? {
            let region = region?.ok_or(bad(NODE, "reg"))?;
            if !region.is_page_aligned() {
                return Err(bad(NODE, "reg"));
            }
            if banks.len() == MAX_MEMORY {
                return Err(MachineError::TooMany(NODE));
            }
            banks.try_reserve(1)?;
            banks.push(region);
        }
    }
    if banks.is_empty() {
        return Err(MachineError::NoMemory);
    }
    heap_sort::sort(&mut banks);
    merge(banks)
}

/// Joins neighbours in a sorted list; an overlap is an error.
fn merge(banks: Vec<Region>) -> Result<Vec<Region>, MachineError> {
    let mut merged: Vec<Region> = Vec::new();
    merged.try_reserve_exact(banks.len())?;
    for bank in banks {
        match merged.last_mut() {
            Some(last) if last.overlaps(bank) => {
                return Err(MachineError::Overlap { first: "/memory", second: "/memory", region: bank });
            }
            Some(last) if last.end() == bank.base() => {
                // Both lie within 52 bits, so the sum does.
                if let Some(joined) = Region::new(last.base(), last.size() + bank.size()) {
                    *last = joined;
                }
            }
            _ => merged.push(bank),
        }
    }
    Ok(merged)
}

/// The memory reservation block and the children of `/reserved-memory` that have a `reg`. Those
/// without one are for the operating system to place.
pub fn reserved(tree: &Tree<'_>) -> Result<Vec<Reserved>, MachineError> {
    const NODE: &str = "/reserved-memory";
    let mut list = Vec::new();
    for (base, size) in tree.memory_reservations() {
        if *size == 0 {
            continue;
        }
        let region = Region::new(*base, *size).ok_or(bad("/memreserve/", "address, size"))?;
        push(&mut list, region, Reservation::Block)?;
    }
    let parent = tree.root().child("reserved-memory");
    let children = parent.into_iter().flat_map(|parent| parent.children());
    for node in children.filter(|node| node.has("reg") && node.is_enabled()) {
        let by = if node.has("no-map") { Reservation::NoMap } else { Reservation::Node };
        for region in bus::regions(NODE, node, "reg")? {
            let region = region?.ok_or(bad(NODE, "ranges"))?;
            push(&mut list, region, by)?;
        }
    }
    heap_sort::sort(&mut list);
    Ok(list)
}

fn push(list: &mut Vec<Reserved>, region: Region, by: Reservation) -> Result<(), MachineError> {
    if list.len() == MAX_RESERVED {
        return Err(MachineError::TooMany("/reserved-memory"));
    }
    list.try_reserve(1)?;
    list.push(Reserved { region, by });
    Ok(())
}
