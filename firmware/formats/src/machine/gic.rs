//! The interrupt controller (Linux bindings interrupt-controller/arm,gic and arm,gic-v3).

use alloc::vec::Vec;

use super::bus::{cell, regions, take};
use super::{MachineError, bad};
use crate::Region;
use crate::device_tree::Node;

const MAX_REDISTRIBUTOR_REGIONS: u32 = 64;
const GIC_V2: [&str; 3] = ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a7-gic"];

/// The interrupt controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gic {
    /// GICv2.
    V2 {
        /// GICD.
        distributor: Region,
        /// GICC.
        cpu_interface: Region,
    },
    /// GICv3 or GICv4.
    V3 {
        /// GICD.
        distributor: Region,
        /// GICR, in regions.
        redistributors: Vec<Region>,
    },
}

impl Gic {
    /// All its registers.
    pub fn regions(&self) -> impl Iterator<Item = Region> {
        let (distributor, others) = match self {
            Self::V2 { distributor, cpu_interface } => (distributor, core::slice::from_ref(cpu_interface)),
            Self::V3 { distributor, redistributors } => (distributor, redistributors.as_slice()),
        };
        core::iter::once(*distributor).chain(others.iter().copied())
    }
}

/// GICR_TYPER of a redistributor (IHI 0069, 12.11.35): the CPU's affinity is the upper half.
const GICR_TYPER: u64 = 8;
const TYPER_VLPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;

/// The frames of a redistributor: two, or four with virtual LPIs.
pub const REDISTRIBUTOR_FRAME: u64 = 0x1_0000;

/// Where the redistributor of the CPU with this MPIDR_EL1 is in a region of `size` bytes, whose 64-bit registers `read`
/// gives by their offsets; `None` when it is another region's.
pub fn find_redistributor(mpidr: u64, size: u64, read: impl Fn(u64) -> u64) -> Option<u64> {
    let affinity = mpidr & 0xff_ffff | mpidr >> 32 << 24 & 0xff00_0000;
    let mut at = 0;
    // GICR_TYPER of the first of several CPUs may be zero (KVM without an ITS): the region's end is the bound.
    while at + 2 * REDISTRIBUTOR_FRAME <= size {
        let kind = read(at + GICR_TYPER);
        if kind >> 32 == affinity {
            return Some(at);
        }
        if kind & TYPER_LAST != 0 {
            break;
        }
        at += if kind & TYPER_VLPIS == 0 { 2 } else { 4 } * REDISTRIBUTOR_FRAME;
    }
    None
}

/// The interrupt controller, when the node is one and addressable.
pub fn gic(node: Node<'_, '_>) -> Result<Option<Gic>, MachineError> {
    if node.is_compatible("arm,gic-v3") {
        return v3(node);
    }
    if !GIC_V2.iter().any(|name| node.is_compatible(name)) {
        return Ok(None);
    }
    const NODE: &str = "arm,cortex-a15-gic";
    let mut reg = regions(NODE, node, "reg")?;
    let mut next = || reg.next().ok_or(bad(NODE, "reg"))?;
    let (distributor, cpu_interface) = (next()?, next()?);
    Ok(distributor.zip(cpu_interface).map(|(distributor, cpu_interface)| Gic::V2 { distributor, cpu_interface }))
}

fn v3(node: Node<'_, '_>) -> Result<Option<Gic>, MachineError> {
    const NODE: &str = "arm,gic-v3";
    const COUNT: &str = "#redistributor-regions";
    let count = match node.property(COUNT) {
        None => 1,
        Some(value) => cell(value).ok_or(bad(NODE, COUNT))?,
    };
    if count == 0 || count > MAX_REDISTRIBUTOR_REGIONS {
        return Err(bad(NODE, COUNT));
    }
    let mut reg = regions(NODE, node, "reg")?;
    let mut next = || reg.next().ok_or(bad(NODE, "reg"))?;
    let Some(distributor) = next()? else {
        return Ok(None);
    };
    let mut redistributors = Vec::new();
    redistributors.try_reserve_exact(count as usize)?;
    for _ in 0..count {
        let Some(region) = next()? else {
            return Ok(None);
        };
        redistributors.push(region);
    }
    Ok(Some(Gic::V3 { distributor, redistributors }))
}

/// The INTID of the first of a node's `interrupts`, read as the GIC's three cells: kind (0 SPI,
/// 1 PPI), number within the kind, flags.
pub fn first_interrupt(node: Node<'_, '_>) -> Option<u32> {
    let mut value = node.property("interrupts")?;
    let kind = take(&mut value, 1)?;
    let number = u32::try_from(take(&mut value, 1)?).ok()?;
    take(&mut value, 1)?;
    match kind {
        0 if number < 988 => Some(number + 32),
        1 if number < 16 => Some(number + 16),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the redistributor is among those with these GICR_TYPERs, each behind the last. Nothing beyond is read.
    fn find(mpidr: u64, typers: &[u64]) -> Option<u64> {
        let frames = |typer: &u64| if typer & TYPER_VLPIS == 0 { 2 } else { 4 } * REDISTRIBUTOR_FRAME;
        let size = typers.iter().map(frames).sum();
        find_redistributor(mpidr, size, |offset| {
            let mut at = GICR_TYPER;
            for typer in typers {
                if at == offset {
                    return *typer;
                }
                at += frames(typer);
            }
            panic!("a read at {offset:#x}");
        })
    }

    #[test]
    fn a_cpu_has_the_redistributor_of_its_affinity() {
        let typers = [0, 1 << 32, 0x0100 << 32, 0x0302_0100 << 32 | TYPER_LAST];
        // Bits 24, 30 and 31 of MPIDR_EL1 are no part of the affinity.
        for (mpidr, at) in [(0x8000_0000, 0), (0xc100_0001, 2), (0x100, 4), (3 << 32 | 0x8102_0100, 6)] {
            assert_eq!(find(mpidr, &typers), Some(at * REDISTRIBUTOR_FRAME), "{mpidr:#x}");
        }
        assert_eq!(find(2, &typers), None);
        assert_eq!(find(0x0002_0100, &typers), None);
    }

    #[test]
    fn redistributors_have_two_frames_or_four() {
        let typers = [TYPER_VLPIS, 1 << 32, 2 << 32 | TYPER_VLPIS, 3 << 32];
        for (mpidr, at) in [(0, 0), (1, 4), (2, 6), (3, 10)] {
            assert_eq!(find(mpidr, &typers), Some(at * REDISTRIBUTOR_FRAME), "{mpidr}");
        }
    }

    #[test]
    fn the_search_ends_at_the_last_and_at_the_end_of_the_region() {
        assert_eq!(find(2, &[0, TYPER_LAST | 1 << 32, 2 << 32]), None);
        // Without an ITS, KVM's is zero for the first of several, and none of them need be marked.
        assert_eq!(find(2, &[0, 1 << 32, 2 << 32]), Some(4 * REDISTRIBUTOR_FRAME));
        assert_eq!(find(3, &[0, 1 << 32, 2 << 32]), None);
        let unread = |_| -> u64 { panic!("not within the region") };
        assert_eq!(find_redistributor(0, 2 * REDISTRIBUTOR_FRAME - 1, unread), None);
        assert_eq!(find_redistributor(1, 3 * REDISTRIBUTOR_FRAME, |_| 0), None);
    }
}
