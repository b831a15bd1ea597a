//! The machine a device tree describes, as typed values: the only reader of the tree's meaning.
//!
//! What the firmware relies on must be right or the tree is refused; devices that are disabled or
//! that no bus makes addressable are left out.

mod bus;
mod console;
mod cpu;
mod gic;
mod memory;
mod pcie;

use alloc::vec::Vec;

use crate::Region;
use crate::device_tree::{self, Node, Tree};
pub use console::{Console, Uart};
pub use cpu::{Conduit, Cpu, EnableMethod};
pub use gic::{Gic, REDISTRIBUTOR_FRAME, find_redistributor};
pub use memory::{Reservation, Reserved};
pub use pcie::{PcieHost, Window, WindowSpace};

/// More virtio-mmio transports than any VMM provides (QEMU: 32).
const MAX_VIRTIO_MMIO: usize = 256;
/// Data and selector registers; the DMA register behind them is optional (Linux,
/// Documentation/devicetree/bindings/firmware/qemu,fw-cfg-mmio.yaml).
const FW_CFG_MIN_SIZE: u64 = 0xa;
/// A PL031 is one page with its identification registers at the end (Arm DDI 0224).
const PL031_MIN_SIZE: u64 = 0x1000;
/// The virtio-mmio registers in front of the configuration space (Virtio 1.2, section 4.2.2).
const VIRTIO_MMIO_MIN_SIZE: u64 = 0x100;

/// Why a device tree does not describe a machine the firmware can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// The form of the tree is wrong.
    #[error(transparent)]
    Tree(#[from] device_tree::Error),
    /// A property that is missing where it is required, or whose value makes no sense.
    #[error("device tree: {node}: `{property}` is not valid")]
    Property {
        /// The node's path or compatible string.
        node: &'static str,
        /// The property.
        property: &'static str,
    },
    /// More of a kind than the firmware's limit.
    #[error("device tree: too many: {0}")]
    TooMany(&'static str),
    /// Two things that must not share an address do.
    #[error("device tree: {first} and {second} overlap at {region}")]
    Overlap {
        /// The path or compatible string of one.
        first: &'static str,
        /// And of the other.
        second: &'static str,
        /// The region of the first.
        region: Region,
    },
    /// There is no enabled memory node.
    #[error("device tree: no /memory")]
    NoMemory,
    /// The heap is exhausted.
    #[error("out of memory for the machine description")]
    OutOfMemory,
}

impl From<alloc::collections::TryReserveError> for MachineError {
    fn from(_: alloc::collections::TryReserveError) -> Self {
        Self::OutOfMemory
    }
}

fn bad(node: &'static str, property: &'static str) -> MachineError {
    MachineError::Property { node, property }
}

/// QEMU's firmware configuration device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FwCfg {
    /// Its registers: as many as the tree gives, at least data and selector.
    pub region: Region,
    /// Whether its DMA is coherent with the CPU's caches.
    pub dma_coherent: bool,
}

impl FwCfg {
    /// Whether there is room for the DMA register, and what DMA writes is what the CPU reads.
    pub fn may_have_dma(&self) -> bool {
        self.dma_coherent && self.region.size() >= 0x18
    }

    /// Whether the data register may be read eight bytes at a time: a region that ends with the
    /// selector leaves the width open, and single bytes are right at any.
    pub fn has_wide_data(&self) -> bool {
        self.region.size() >= 0x10
    }
}

/// A virtio device's MMIO transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VirtioMmio {
    /// Its registers.
    pub region: Region,
    /// The GIC's number (INTID) of its interrupt.
    pub interrupt: Option<u32>,
}

/// The machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// RAM: sorted, disjoint, neighbours merged, each a multiple of 4 KiB.
    pub memory: Vec<Region>,
    /// What the tree keeps from being used as RAM: sorted by base; may overlap, and may lie
    /// outside of RAM.
    pub reserved: Vec<Reserved>,
    /// The CPUs, in the tree's order; no two with one affinity.
    pub cpus: Vec<Cpu>,
    /// How PSCI is called; `None` without PSCI 0.2 or later.
    pub psci: Option<Conduit>,
    /// The console.
    pub console: Option<Console>,
    /// QEMU's firmware configuration device.
    pub fw_cfg: Option<FwCfg>,
    /// The PL031 real-time clock.
    pub rtc: Option<Region>,
    /// The PCIe host bridges with ECAM.
    pub pcie: Vec<PcieHost>,
    /// The virtio-mmio transports, in the tree's order.
    pub virtio_mmio: Vec<VirtioMmio>,
    /// The interrupt controller.
    pub gic: Option<Gic>,
}

/// The console of a machine of which nothing else needs to be right; `None` where the tree has none that can be used.
#[must_use]
pub fn find_console(blob: &[u8]) -> Option<Console> {
    console::console(&Tree::parse(blob).ok()?).ok()?
}

impl Machine {
    /// Reads a flattened device tree.
    pub fn from_device_tree(blob: &[u8]) -> Result<Self, MachineError> {
        Self::from_tree(&Tree::parse(blob)?)
    }

    /// Reads a device tree whose form has been checked.
    pub fn from_tree(tree: &Tree<'_>) -> Result<Self, MachineError> {
        let mut machine = Self {
            memory: memory::ram(tree)?,
            reserved: memory::reserved(tree)?,
            cpus: cpu::cpus(tree)?,
            psci: None,
            console: console::console(tree)?,
            fw_cfg: None,
            rtc: None,
            pcie: Vec::new(),
            virtio_mmio: Vec::new(),
            gic: None,
        };
        let devices = tree.nodes().filter(|node| node.has("compatible") && node.is_enabled());
        for node in devices {
            machine.add_device(node)?;
        }
        machine.refuse_overlaps()?;
        Ok(machine)
    }

    /// The first fw_cfg, RTC, PSCI and GIC count; further ones are left to the operating system.
    fn add_device(&mut self, node: Node<'_, '_>) -> Result<(), MachineError> {
        if self.psci.is_none() {
            self.psci = cpu::psci(node)?;
        }
        if self.gic.is_none() {
            self.gic = gic::gic(node)?;
        }
        if self.fw_cfg.is_none() && node.is_compatible("qemu,fw-cfg-mmio") {
            let region = bus::first_reg("qemu,fw-cfg-mmio", node, FW_CFG_MIN_SIZE)?;
            self.fw_cfg = region.map(|region| FwCfg { region, dma_coherent: node.has("dma-coherent") });
        } else if self.rtc.is_none() && node.is_compatible("arm,pl031") {
            self.rtc = bus::first_reg("arm,pl031", node, PL031_MIN_SIZE)?;
        } else if node.is_compatible("virtio,mmio") {
            self.add_virtio_mmio(node)?;
        } else if node.is_compatible("pci-host-ecam-generic") {
            pcie::add_host(&mut self.pcie, node)?;
        }
        Ok(())
    }

    fn add_virtio_mmio(&mut self, node: Node<'_, '_>) -> Result<(), MachineError> {
        let Some(region) = bus::first_reg("virtio,mmio", node, VIRTIO_MMIO_MIN_SIZE)? else {
            return Ok(());
        };
        if self.virtio_mmio.len() == MAX_VIRTIO_MMIO {
            return Err(MachineError::TooMany("virtio,mmio"));
        }
        self.virtio_mmio.try_reserve(1)?;
        self.virtio_mmio.push(VirtioMmio { region, interrupt: gic::first_interrupt(node) });
        Ok(())
    }

    /// Registers the firmware accesses must be apart from RAM and from each other, and no window
    /// into which it places BARs may cover any of them.
    fn refuse_overlaps(&self) -> Result<(), MachineError> {
        let mut claims: Vec<(Region, &'static str)> = Vec::new();
        let windows = self.pcie.iter().map(|host| host.windows.len()).sum::<usize>();
        let most = self.memory.len() + self.virtio_mmio.len() + 2 * self.pcie.len() + windows + 16;
        claims.try_reserve_exact(most)?;
        claims.extend(self.memory.iter().map(|region| (*region, "/memory")));
        claims.extend(self.console.map(|console| (console.region, "stdout-path")));
        claims.extend(self.fw_cfg.map(|fw_cfg| (fw_cfg.region, "qemu,fw-cfg-mmio")));
        claims.extend(self.rtc.map(|region| (region, "arm,pl031")));
        let transports = self.virtio_mmio.iter();
        claims.extend(transports.map(|transport| (transport.region, "virtio,mmio")));
        for host in &self.pcie {
            claims.push((host.ecam, "pci-host-ecam-generic"));
            // The firmware uses no I/O BARs, and a UART may well have its old place in I/O space.
            let windows = host.windows.iter().filter(|window| window.space != WindowSpace::Io);
            claims.extend(windows.map(|window| (window.cpu, "pci-host-ecam-generic ranges")));
        }
        for region in self.gic.iter().flat_map(Gic::regions) {
            claims.try_reserve(1)?;
            claims.push((region, "interrupt-controller"));
        }

        heap_sort::sort(&mut claims);
        for (first, second) in claims.iter().zip(claims.iter().skip(1)) {
            if first.0.overlaps(second.0) {
                return Err(MachineError::Overlap { first: first.1, second: second.1, region: first.0 });
            }
        }
        Ok(())
    }
}
