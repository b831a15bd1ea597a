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
