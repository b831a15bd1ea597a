//! The interrupt controller: as much of it as lets the timer's interrupt end WFI (Arm IHI 0069 for GICv3, IHI 0048 for
//! GICv2).

use aarch64_cpu::registers::{MPIDR_EL1, Readable};
use formats::Region;
use formats::machine::{Gic, Machine, REDISTRIBUTOR_FRAME, find_redistributor};
use spin::Mutex;

use crate::arch::mmio::Mmio;
use crate::arch::tick;
use crate::memory::{self, Error};

/// The virtual timer's interrupt (DEN0094, Arm BSA, section 3.6).
const VIRTUAL_TIMER: u32 = 1 << 27;

/// GICD_CTLR: EnableGrp1 and ARE where there is one security state.
const GICD_CTLR: u64 = 0;
const GROUP_1: u32 = 0b10;
const AFFINITY_ROUTING: u32 = 1 << 4;

/// Of the frame with the registers of a CPU's own interrupts, or of a GICv2's distributor.
const IGROUPR0: u64 = 0x80;
const ISENABLER0: u64 = 0x100;
const ICENABLER0: u64 = 0x180;

const GICR_WAKER: u64 = 0x14;
const PROCESSOR_SLEEP: u32 = 1 << 1;
const CHILDREN_ASLEEP: u32 = 1 << 2;

/// Where a GICv2 has its CPU interface's control and priority mask.
const GICC_CTLR: u64 = 0;
const GICC_PMR: u64 = 4;

/// Enough looks at a redistributor that wakes up.
const LOOKS: u32 = 10_000;

/// What was enabled.
enum Enabled {
    /// The frame of the CPU's own interrupts.
    V3(Mmio),
    /// Distributor and CPU interface.
    V2(Mmio, Mmio),
}

static ENABLED: Mutex<Option<Enabled>> = Mutex::new(None);

/// Makes the tick end WFI. A machine whose interrupt controller is another or does not answer has none.
///
/// # Errors
/// When the registers cannot be mapped.
pub fn start_tick(machine: &Machine) -> Result<(), Error> {
    let enabled = match &machine.gic {
        Some(Gic::V3 { distributor, redistributors }) => {
            let distributor = memory::map_device(distributor.base(), distributor.size())?;
            let mut own = None;
            for region in redistributors {
                own = own.or(own_interrupts(region)?);
            }
            let Some(own) = own.filter(|_| tick::enable_cpu_interface()) else { return Ok(()) };
            distributor.write32(GICD_CTLR, distributor.read32(GICD_CTLR) | AFFINITY_ROUTING | GROUP_1);
            own.write32(IGROUPR0, own.read32(IGROUPR0) | VIRTUAL_TIMER);
            own.write32(ISENABLER0, VIRTUAL_TIMER);
            Enabled::V3(own)
        }
        Some(Gic::V2 { distributor, cpu_interface }) => {
            let distributor = memory::map_device(distributor.base(), distributor.size())?;
            let cpu_interface = memory::map_device(cpu_interface.base(), cpu_interface.size())?;
            distributor.write32(GICD_CTLR, 1);
            distributor.write32(ISENABLER0, VIRTUAL_TIMER);
            cpu_interface.write32(GICC_PMR, 0xff);
            cpu_interface.write32(GICC_CTLR, 1);
            Enabled::V2(distributor, cpu_interface)
        }
        None => return Ok(()),
    };
    *ENABLED.lock() = Some(enabled);
    tick::start();
    Ok(())
}

/// The frame of this CPU's own interrupts, when its redistributor is one of `region`.
fn own_interrupts(region: &Region) -> Result<Option<Mmio>, Error> {
    let registers = memory::map_device(region.base(), region.size())?;
    let found = find_redistributor(MPIDR_EL1.get(), region.size(), |offset| registers.read64(offset));
    let Some(at) = found else { return Ok(None) };
    registers.write32(at + GICR_WAKER, registers.read32(at + GICR_WAKER) & !PROCESSOR_SLEEP);
    let awake = (0..LOOKS).any(|_| registers.read32(at + GICR_WAKER) & CHILDREN_ASLEEP == 0);
    if !awake {
        return Ok(None);
    }
    memory::map_device(region.base() + at + REDISTRIBUTOR_FRAME, REDISTRIBUTOR_FRAME).map(Some)
}

/// Leaves the interrupt controller as it was found, as far as an operating system sees.
pub fn stop_tick() {
    if !tick::stop() {
        return;
    }
    match ENABLED.lock().take() {
        Some(Enabled::V3(own)) => {
            own.write32(ICENABLER0, VIRTUAL_TIMER);
            tick::disable_cpu_interface();
        }
        Some(Enabled::V2(distributor, cpu_interface)) => {
            cpu_interface.write32(GICC_CTLR, 0);
            distributor.write32(ICENABLER0, VIRTUAL_TIMER);
        }
        None => {}
    }
}
