//! System registers of EL2 and those of EL1 that the RMM sets.

#![expect(unsafe_code, reason = "MRS, MSR and barriers")]

use core::arch::asm;

macro_rules! readable {
    ($($(#[$doc:meta])* $name:ident = $read:ident;)*) => {$(
        $(#[$doc])*
        pub fn $read() -> u64 {
            let value: u64;
            // SAFETY: reading this register at EL2 changes no memory.
            unsafe {
                asm!(concat!("mrs {}, ", stringify!($name)), out(reg) value,
                     options(nomem, nostack));
            }
            value
        }
    )*};
}

macro_rules! writable {
    ($($(#[$doc:meta])* $name:ident = $write:ident;)*) => {$(
        $(#[$doc])*
        pub fn $write(value: u64) {
            // SAFETY: EL2 runs with its MMU off and interrupts masked, so the register changes
            // the realm or the interrupt controller, never the memory of this program.
            unsafe {
                asm!(concat!("msr ", stringify!($name), ", {}"), "isb", in(reg) value,
                     options(nostack));
            }
        }
    )*};
}

readable! {
    /// ESR_EL2.
    esr_el2 = esr_el2;
    /// FAR_EL2.
    far_el2 = far_el2;
    /// HPFAR_EL2.
    hpfar_el2 = hpfar_el2;
    /// MPIDR_EL1.
    mpidr_el1 = mpidr;
    /// MIDR_EL1.
    midr_el1 = midr;
    /// ISR_EL1.
    isr_el1 = isr;
    /// ICC_IAR1_EL1: acknowledges the interrupt it returns.
    S3_0_C12_C12_0 = icc_iar1;
    /// CNTV_CTL_EL0.
    cntv_ctl_el0 = cntv_ctl;
    /// CNTP_CTL_EL0.
    cntp_ctl_el0 = cntp_ctl;
    /// SCTLR_EL1.
    sctlr_el1 = sctlr_el1;
    /// VBAR_EL1.
    vbar_el1 = vbar_el1;
    /// TCR_EL1.
    tcr_el1 = tcr_el1;
    /// TTBR0_EL1.
    ttbr0_el1 = ttbr0_el1;
    /// TTBR1_EL1.
    ttbr1_el1 = ttbr1_el1;
    /// PMCR_EL0.
    pmcr_el0 = pmcr;
    /// ICH_VTR_EL2.
    S3_4_C12_C11_1 = ich_vtr;
    /// ICH_HCR_EL2.
    S3_4_C12_C11_0 = ich_hcr;
    /// ICH_LR0_EL2.
    S3_4_C12_C12_0 = ich_lr0;
    /// ICH_LR1_EL2.
    S3_4_C12_C12_1 = ich_lr1;
    /// ICH_LR2_EL2.
    S3_4_C12_C12_2 = ich_lr2;
    /// ICH_LR3_EL2.
    S3_4_C12_C12_3 = ich_lr3;
}

writable! {
    /// HCR_EL2.
    hcr_el2 = set_hcr;
    /// HCRX_EL2.
    S3_4_C1_C2_2 = set_hcrx;
    /// HFGRTR_EL2.
    S3_4_C1_C1_4 = set_hfgrtr;
    /// HFGWTR_EL2.
    S3_4_C1_C1_5 = set_hfgwtr;
    /// VTCR_EL2.
    vtcr_el2 = set_vtcr;
    /// VTTBR_EL2.
    vttbr_el2 = set_vttbr;
    /// CPTR_EL2.
    cptr_el2 = set_cptr;
    /// MDCR_EL2.
    mdcr_el2 = set_mdcr;
    /// CNTHCTL_EL2.
    cnthctl_el2 = set_cnthctl;
    /// CNTVOFF_EL2.
    cntvoff_el2 = set_cntvoff;
    /// CNTV_CTL_EL0.
    cntv_ctl_el0 = set_cntv_ctl;
    /// CNTP_CTL_EL0.
    cntp_ctl_el0 = set_cntp_ctl;
    /// ZCR_EL2.
    S3_4_C1_C2_0 = set_zcr;
    /// VPIDR_EL2.
    vpidr_el2 = set_vpidr;
    /// VMPIDR_EL2.
    vmpidr_el2 = set_vmpidr;
    /// SCTLR_EL1.
    sctlr_el1 = set_sctlr_el1;
    /// ELR_EL1.
    elr_el1 = set_elr_el1;
    /// SPSR_EL1.
    spsr_el1 = set_spsr_el1;
    /// ESR_EL1.
    esr_el1 = set_esr_el1;
    /// FAR_EL1.
    far_el1 = set_far_el1;
    /// FAR_EL2.
    far_el2 = set_far_el2;
    /// ICC_SRE_EL2.
    S3_4_C12_C9_5 = set_icc_sre_el2;
    /// ICC_PMR_EL1.
    S3_0_C4_C6_0 = set_icc_pmr;
    /// ICC_CTLR_EL1.
    S3_0_C12_C12_4 = set_icc_ctlr;
    /// ICC_IGRPEN1_EL1.
    S3_0_C12_C12_7 = set_icc_igrpen1;
    /// ICH_HCR_EL2.
    S3_4_C12_C11_0 = set_ich_hcr;
    /// ICH_VMCR_EL2.
    S3_4_C12_C11_7 = set_ich_vmcr;
    /// ICH_AP1R0_EL2.
    S3_4_C12_C9_0 = set_ich_ap1r0;
    /// ICH_LR0_EL2.
    S3_4_C12_C12_0 = set_ich_lr0;
    /// ICH_LR1_EL2.
    S3_4_C12_C12_1 = set_ich_lr1;
    /// ICH_LR2_EL2.
    S3_4_C12_C12_2 = set_ich_lr2;
    /// ICH_LR3_EL2.
    S3_4_C12_C12_3 = set_ich_lr3;
    /// ICC_EOIR1_EL1: priority drop.
    S3_0_C12_C12_1 = icc_eoir1;
    /// ICC_DIR_EL1: deactivation.
    S3_0_C12_C11_1 = icc_dir;
    /// ICC_SGI1R_EL1.
    S3_0_C12_C11_5 = icc_sgi1r;
    /// ICC_ASGI1R_EL1.
    S3_0_C12_C11_6 = icc_asgi1r;
    /// ICC_SGI0R_EL1.
    S3_0_C12_C11_7 = icc_sgi0r;
}

macro_rules! id_registers {
    ($crm:expr, $op2:expr, $(($m:literal, $o:literal, $name:ident)),* $(,)?) => {
        match ($crm, $op2) {
            $(($m, $o) => {
                let value: u64;
                // SAFETY: the ID space reads as an ID register or as zero.
                unsafe {
                    asm!(concat!("mrs {}, ", stringify!($name)), out(reg) value,
                         options(nomem, nostack));
                }
                value
            })*
            _ => 0,
        }
    };
}

/// The ID register S3_0_C0_C`crm`_`op2`; zero where none is defined.
#[rustfmt::skip]
pub fn id_register(crm: u64, op2: u64) -> u64 {
    id_registers!(crm, op2,
        (1, 0, S3_0_C0_C1_0), (1, 1, S3_0_C0_C1_1), (1, 2, S3_0_C0_C1_2), (1, 3, S3_0_C0_C1_3),
        (1, 4, S3_0_C0_C1_4), (1, 5, S3_0_C0_C1_5), (1, 6, S3_0_C0_C1_6), (1, 7, S3_0_C0_C1_7),
        (2, 0, S3_0_C0_C2_0), (2, 1, S3_0_C0_C2_1), (2, 2, S3_0_C0_C2_2), (2, 3, S3_0_C0_C2_3),
        (2, 4, S3_0_C0_C2_4), (2, 5, S3_0_C0_C2_5), (2, 6, S3_0_C0_C2_6), (2, 7, S3_0_C0_C2_7),
        (3, 0, S3_0_C0_C3_0), (3, 1, S3_0_C0_C3_1), (3, 2, S3_0_C0_C3_2), (3, 4, S3_0_C0_C3_4),
        (3, 5, S3_0_C0_C3_5), (3, 6, S3_0_C0_C3_6),
        (4, 0, S3_0_C0_C4_0), (4, 1, S3_0_C0_C4_1), (4, 4, S3_0_C0_C4_4), (4, 5, S3_0_C0_C4_5),
        (5, 0, S3_0_C0_C5_0), (5, 1, S3_0_C0_C5_1), (5, 4, S3_0_C0_C5_4), (5, 5, S3_0_C0_C5_5),
        (6, 0, S3_0_C0_C6_0), (6, 1, S3_0_C0_C6_1), (6, 2, S3_0_C0_C6_2),
        (7, 0, S3_0_C0_C7_0), (7, 1, S3_0_C0_C7_1), (7, 2, S3_0_C0_C7_2), (7, 3, S3_0_C0_C7_3),
        (7, 4, S3_0_C0_C7_4),
    )
}

/// The SVE vector length in force, in quadwords; CPTR_EL2 must let SVE pass.
pub fn vector_quadwords() -> u64 {
    let bytes: u64;
    // SAFETY: `rdvl x0, #1` by its encoding, as the target has no SVE; it only reads the length.
    unsafe { asm!(".inst 0x04bf5020", out("x0") bytes, options(nomem, nostack)) };
    bytes / 16
}

/// Forgets all stage 1 and stage 2 translations of the realm on all CPUs.
pub fn invalidate_translations() {
    // SAFETY: the TLB maintenance concerns the realm's VMID; EL2 has no translations.
    unsafe {
        asm!("dsb ish", "tlbi vmalls12e1is", "dsb ish", "isb", options(nostack));
    }
}

/// Waits for an interrupt, which is left pending.
pub fn wfi() {
    // SAFETY: waits; memory may change meanwhile, which the missing `nomem` says.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) }
}

/// An SMC to what is above EL2, which is QEMU's PSCI.
pub fn smc(call: u64, x1: u64, x2: u64, x3: u64) -> u64 {
    let result: u64;
    // SAFETY: QEMU answers PSCI calls in x0 and keeps to the calling convention.
    unsafe {
        asm!(
            "smc #0",
            inlateout("x0") call => result,
            inlateout("x1") x1 => _, inlateout("x2") x2 => _, inlateout("x3") x3 => _,
            lateout("x4") _, lateout("x5") _, lateout("x6") _, lateout("x7") _,
            lateout("x8") _, lateout("x9") _, lateout("x10") _, lateout("x11") _,
            lateout("x12") _, lateout("x13") _, lateout("x14") _, lateout("x15") _,
            lateout("x16") _, lateout("x17") _,
            options(nostack),
        );
    }
    result
}
