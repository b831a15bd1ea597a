//! Interrupts: QEMU's GICv3 belongs to the realm, but its CPU interface to EL2, which
//! acknowledges each interrupt and puts it into a list register of the virtual CPU interface.
//!
//! The realm's deactivation reaches the physical interrupt through the list register (HW = 1).
//! Two PPIs stay with EL2: maintenance and the hypervisor timer.

use core::sync::atomic::{AtomicU64, Ordering};

use model_rmm::dtb;

use super::{mmio, regs};

/// GICv3 maintenance interrupt of the `virt` machine.
const MAINTENANCE: u32 = 25;
/// Hypervisor timer.
const HYP_TIMER: u32 = 26;
const OWN: u64 = 1 << MAINTENANCE | 1 << HYP_TIMER;

const FRAME: u64 = 0x2_0000;
const SGI_BASE: u64 = 0x1_0000;
const IGROUPR0: u64 = 0x80;
const ISENABLER: u64 = 0x100;
const ICENABLER: u64 = 0x180;
const ISPENDR: u64 = 0x200;
const ICACTIVER_END: u64 = 0x400;
const IPRIORITYR: u64 = 0x400;

const HCR_EN: u64 = 1;
const HCR_UIE: u64 = 1 << 1;

const LR_PENDING: u64 = 1 << 62;
const LR_ACTIVE: u64 = 1 << 63;
const LR_HW: u64 = 1 << 61;
const LR_GROUP1: u64 = 1 << 60;
const LR_EOI: u64 = 1 << 41;

static DISTRIBUTOR: AtomicU64 = AtomicU64::new(0);
static REDISTRIBUTORS: AtomicU64 = AtomicU64::new(0);

/// Tells where the GIC is.
pub fn set_machine(machine: &dtb::Machine) {
    DISTRIBUTOR.store(machine.distributor.start, Ordering::Relaxed);
    REDISTRIBUTORS.store(machine.redistributors.start, Ordering::Relaxed);
}

/// Sets up this CPU's interfaces.
pub fn init_cpu(cpu: usize) {
    regs::set_icc_sre_el2(0xf);
    let sgi = REDISTRIBUTORS.load(Ordering::Relaxed) + cpu as u64 * FRAME + SGI_BASE;
    let groups = mmio::load(sgi + IGROUPR0, 4).unwrap_or(0);
    mmio::store(sgi + IGROUPR0, 4, groups | OWN);
    mmio::store(sgi + IPRIORITYR + u64::from(MAINTENANCE), 1, 0);
    mmio::store(sgi + IPRIORITYR + u64::from(HYP_TIMER), 1, 0);
    mmio::store(sgi + ISENABLER, 4, 1 << MAINTENANCE);
    regs::set_icc_pmr(0xff);
    const EOI_DROPS_PRIORITY_ONLY: u64 = 1 << 1;
    regs::set_icc_ctlr(EOI_DROPS_PRIORITY_ONLY);
    regs::set_icc_igrpen1(1);
    regs::set_ich_vmcr(0);
    regs::set_ich_ap1r0(0);
    for index in 0..LISTS {
        set_list(index, 0);
    }
    regs::set_ich_hcr(HCR_EN);
}

const LISTS: usize = 4;

fn list(index: usize) -> u64 {
    match index {
        0 => regs::ich_lr0(),
        1 => regs::ich_lr1(),
        2 => regs::ich_lr2(),
        _ => regs::ich_lr3(),
    }
}

fn set_list(index: usize, value: u64) {
    match index {
        0 => regs::set_ich_lr0(value),
        1 => regs::set_ich_lr1(value),
        2 => regs::set_ich_lr2(value),
        _ => regs::set_ich_lr3(value),
    }
}

fn free_list() -> Option<usize> {
    (0..LISTS).find(|index| list(*index) & (LR_PENDING | LR_ACTIVE) == 0)
}

fn list_of(intid: u32) -> Option<usize> {
    (0..LISTS).find(|index| {
        let value = list(*index);
        value & (LR_PENDING | LR_ACTIVE) != 0 && value as u32 == intid
    })
}

/// Whether an interrupt waits for the realm on this CPU.
pub fn is_pending() -> bool {
    (0..LISTS).any(|index| list(index) & LR_PENDING != 0) || regs::isr() != 0
}

fn priority(intid: u32, cpu: usize) -> u64 {
    let base = if intid < 32 {
        REDISTRIBUTORS.load(Ordering::Relaxed) + cpu as u64 * FRAME + SGI_BASE
    } else {
        DISTRIBUTOR.load(Ordering::Relaxed)
    };
    mmio::load(base + IPRIORITYR + u64::from(intid), 1).unwrap_or(0xa0)
}

/// Makes `intid` pending for the realm on this CPU, without a physical interrupt behind it.
/// Returns false when it already is or when there is no room.
pub fn inject(intid: u32, cpu: usize, tell_end: bool) -> bool {
    let eoi = if tell_end { LR_EOI } else { 0 };
    let value = LR_PENDING | LR_GROUP1 | priority(intid, cpu) << 48 | u64::from(intid) | eoi;
    match (list_of(intid), free_list()) {
        (Some(index), _) if list(index) & LR_PENDING == 0 => {
            set_list(index, list(index) | LR_PENDING);
            true
        }
        (None, Some(index)) => {
            set_list(index, value);
            true
        }
        _ => false,
    }
}

/// Takes the physical interrupts that are pending on this CPU. Returns how many went to the
/// realm.
pub fn take(cpu: usize) -> u64 {
    let mut count = 0;
    loop {
        if free_list().is_none() {
            // Nothing more fits. The maintenance interrupt has the highest priority and comes
            // through when the realm is done with all list registers but one.
            regs::set_icc_pmr(0x08);
            regs::set_ich_hcr(regs::ich_hcr() | HCR_UIE);
        }
        let intid = regs::icc_iar1() as u32;
        match intid {
            1020.. => return count,
            MAINTENANCE => {
                regs::set_ich_hcr(regs::ich_hcr() & !HCR_UIE);
                regs::set_icc_pmr(0xff);
                done(intid);
                // A list register that told its end and is free again.
                for index in 0..LISTS {
                    let value = list(index);
                    if value & (LR_PENDING | LR_ACTIVE) == 0 && value & LR_EOI != 0 {
                        set_list(index, 0);
                    }
                }
            }
            HYP_TIMER => done(intid),
            0..16 => {
                // An SGI has no line to keep it active: it is over for the physical GIC.
                done(intid);
                inject(intid, cpu, false);
                count += 1;
            }
            _ => {
                regs::icc_eoir1(u64::from(intid));
                let physical = u64::from(intid) << 32;
                let value = LR_PENDING | LR_HW | LR_GROUP1 | priority(intid, cpu) << 48 | physical | u64::from(intid);
                if let Some(index) = free_list() {
                    set_list(index, value);
                }
                count += 1;
            }
        }
    }
}

fn done(intid: u32) {
    regs::icc_eoir1(u64::from(intid));
    regs::icc_dir(u64::from(intid));
}

/// What becomes of a realm's write to a redistributor: EL2's own PPIs stay as they are. None: it
/// is dropped.
pub fn filter_write(offset: u64, size: u8, value: u64) -> Option<u64> {
    let own = |register: u64| -> u64 { if register == 0 { OWN } else { 0 } };
    match (offset % FRAME).checked_sub(SGI_BASE) {
        Some(IGROUPR0) => Some(value | OWN),
        Some(register @ ISENABLER..ICACTIVER_END) => Some(value & !own(register % 0x80)),
        Some(register @ IPRIORITYR..0x420) => {
            let first = register - IPRIORITYR;
            let mut value = value;
            for intid in [MAINTENANCE, HYP_TIMER].map(u64::from) {
                if (first..first + u64::from(size)).contains(&intid) {
                    value &= !(0xff << ((intid - first) * 8));
                }
            }
            Some(value)
        }
        _ => Some(value),
    }
}

/// What a realm sees of a redistributor's register.
pub fn filter_read(offset: u64, value: u64) -> u64 {
    match (offset % FRAME).checked_sub(SGI_BASE) {
        Some(ISENABLER | ICENABLER | ISPENDR) => value & !OWN,
        _ => value,
    }
}

/// Whether an SPI is enabled, so that a device could wake a REC.
pub fn any_spi_enabled() -> bool {
    let distributor = DISTRIBUTOR.load(Ordering::Relaxed);
    let lines = mmio::load(distributor + 4, 4).unwrap_or(0) & 0x1f;
    (1..=lines).any(|word| mmio::load(distributor + ISENABLER + word * 4, 4).unwrap_or(0) != 0)
}
