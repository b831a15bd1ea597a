//! CPUs and PSCI (Devicetree Specification 0.4, section 3.8; Linux bindings arm/cpus and arm/psci).

use alloc::vec::Vec;

use super::bus::{self, Cells};
use super::{MachineError, bad};
use crate::device_tree::{Node, Tree};

const MAX_CPUS: usize = 1024;
/// Aff3, Aff2, Aff1 and Aff0 of MPIDR_EL1, the bits a CPU node's `reg` may have.
const AFFINITY_MASK: u64 = 0xff_00ff_ffff;

/// How an operating system starts a CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnableMethod {
    /// By PSCI CPU_ON.
    Psci,
    /// By the spin table, or another way the firmware does not know, or none at all.
    Other,
}

/// A CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// The affinity fields of its MPIDR_EL1, in their places.
    pub mpidr: u64,
    /// How it is started.
    pub enable_method: EnableMethod,
    /// Whether its `status` is okay.
    pub enabled: bool,
}

/// The instruction that calls PSCI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conduit {
    /// SMC.
    Smc,
    /// HVC.
    Hvc,
}

/// The children of `/cpus`.
pub fn cpus(tree: &Tree<'_>) -> Result<Vec<Cpu>, MachineError> {
    const NODE: &str = "/cpus";
    let mut cpus = Vec::new();
    let Some(parent) = tree.root().child("cpus") else {
        return Ok(cpus);
    };
    let cells = Cells::of(NODE, parent)?;
    let nodes = parent.children().filter(|node| node.property("device_type") == Some(b"cpu\0"));
    for node in nodes {
        if cpus.len() == MAX_CPUS {
            return Err(MachineError::TooMany(NODE));
        }
        let mut reg = node.property("reg").unwrap_or_default();
        let mpidr = bus::take(&mut reg, cells.address)
            .filter(|mpidr| mpidr & !AFFINITY_MASK == 0 && reg.is_empty() && cells.address != 0)
            .ok_or(bad(NODE, "reg"))?;
        let enable_method = match node.property("enable-method") {
            Some(b"psci\0") => EnableMethod::Psci,
            _ => EnableMethod::Other,
        };
        cpus.try_reserve(1)?;
        cpus.push(Cpu { mpidr, enable_method, enabled: node.is_enabled() });
    }
    let mut affinities = Vec::new();
    affinities.try_reserve_exact(cpus.len())?;
    affinities.extend(cpus.iter().map(|cpu| cpu.mpidr));
    heap_sort::sort(&mut affinities);
    affinities.dedup();
    if affinities.len() != cpus.len() {
        return Err(bad(NODE, "reg"));
    }
    Ok(cpus)
}

/// The conduit, when the node is PSCI of version 0.2 or later: earlier ones have no fixed function
/// identifiers.
pub fn psci(node: Node<'_, '_>) -> Result<Option<Conduit>, MachineError> {
    if !node.is_compatible("arm,psci-1.0") && !node.is_compatible("arm,psci-0.2") {
        return Ok(None);
    }
    match node.property("method") {
        Some(b"smc\0") => Ok(Some(Conduit::Smc)),
        Some(b"hvc\0") => Ok(Some(Conduit::Hvc)),
        _ => Err(bad("/psci", "method")),
    }
}
