//! Devices, one access at a time by its syndrome (DEN0137 A5.2): what has ISV = 1 is emulated by the host, everything
//! else is an external abort.

use super::Checks;
use crate::access::{self, Form, access};
use crate::{console, start};

/// What is in a register beside the value to store.
const GARBAGE: u64 = 0xdead_beef_dead_0000;

/// In the unprotected half: fw_cfg's data register, its selector, and what its DMA register reads as: "QEMU CFG".
struct FwCfg {
    data: u64,
    selector: u64,
    signature: u64,
}

impl FwCfg {
    /// Selects the item that holds "QEMU", from its first byte on.
    fn select_signature(&self) {
        start::store16(self.selector, 0);
    }
}

impl Checks {
    pub(super) fn mmio(&mut self) {
        self.ones();
        if self.machine.distributor != 0 {
            self.stores();
        }
        if self.machine.fw_cfg != 0 {
            let base = self.shared(self.machine.fw_cfg);
            let fw_cfg = FwCfg { data: base, selector: base + 8, signature: base + 16 };
            self.loads(&fw_cfg);
            self.zero_register(&fw_cfg);
            self.without_syndrome(&fw_cfg);
            self.stores_halfword(&fw_cfg);
            self.nothing(&fw_cfg);
        }
    }

    /// Checks what a load leaves in its register.
    fn loads_as(&mut self, what: &str, form: Form, address: u64, expected: u64) {
        let found = access(form, address, 0);
        let holds = found.as_ref().is_ok_and(|value| *value == expected);
        self.check(format_args!("{form} {what}"), holds, format_args!("{found:x?}, expected {expected:#x}"));
    }

    /// Loads of all sizes from one register: what is positive stays what it is, and no old bit of the register stays.
    fn loads(&mut self, fw_cfg: &FwCfg) {
        let at = fw_cfg.signature;
        let whole = u64::from_le_bytes(*b"QEMU CFG");
        for (form, bytes) in [
            (access::LDRB, 1),
            (access::LDRH, 2),
            (access::LDR_W, 4),
            (access::LDR_X, 8),
            (access::LDRSB_W, 1),
            (access::LDRSB_X, 1),
            (access::LDRSH_W, 2),
            (access::LDRSH_X, 2),
            (access::LDRSW, 4),
            (access::LDUR, 4),
            (access::LDAR, 4),
        ] {
            let mask = u64::MAX >> (64 - bytes * 8);
            self.loads_as("loads what a device has", form, at, whole & mask);
        }
        self.loads_as("loads what is in the middle of a register", access::LDRH, at + 2, 0x554d);
        self.loads_as("loads the upper half of a register", access::LDR_W, at + 4, whole >> 32);
    }

    /// The configuration space of a PCIe function that is not there reads as ones (PCIe 6.0, 2.3.2).
    fn ones(&mut self) {
        if self.machine.ecam == 0 {
            return;
        }
        const LAST_FUNCTION_OF_BUS_0: u64 = 0xff << 12;
        let at = self.shared(self.machine.ecam + LAST_FUNCTION_OF_BUS_0);
        for (form, expected) in [
            (access::LDRB, 0xff),
            (access::LDRH, 0xffff),
            (access::LDR_W, 0xffff_ffff),
            (access::LDRSB_W, 0xffff_ffff),
            (access::LDRSB_X, u64::MAX),
            (access::LDRSH_W, 0xffff_ffff),
            (access::LDRSH_X, u64::MAX),
            (access::LDRSW, u64::MAX),
        ] {
            self.loads_as("extends ones by its kind", form, at, expected);
        }
    }

    /// A load to the zero register is made, once, and changes no register.
    fn zero_register(&mut self, fw_cfg: &FwCfg) {
        for (form, bytes) in [(access::LDRB_WZR, 1), (access::LDR_WZR, 4), (access::LDR_XZR, 8)] {
            fw_cfg.select_signature();
            let x0 = access(form, fw_cfg.data, 0);
            // Behind its four bytes the item reads as zeros.
            let expected = if bytes < 4 { b'E' } else { 0 };
            let next = start::load8(fw_cfg.data);
            let holds = x0.as_ref().is_ok_and(|x0| *x0 == u64::MAX) && next == expected;
            self.check(
                format_args!("{form} is made and forgotten"),
                holds,
                format_args!("x0 {x0:x?}, next byte {next:#x}"),
            );
        }
    }

    /// What the syndrome does not describe is not made.
    fn without_syndrome(&mut self, fw_cfg: &FwCfg) {
        access::allow_simd();
        let at = fw_cfg.data;
        for (forms, write) in [
            ([access::LDP, access::LDR_PRE, access::LDR_POST, access::LDR_Q, access::LDXR].as_slice(), Some(false)),
            (&[access::STP, access::STR_PRE, access::STR_POST, access::STR_Q], Some(true)),
            (&[access::LDADD, access::SWP, access::CAS], None),
        ] {
            for form in forms {
                fw_cfg.select_signature();
                let outcome = access(*form, at, 0);
                let external = outcome
                    .as_ref()
                    .is_err_and(|abort| abort.is_external(at) && write.is_none_or(|write| write == abort.is_write()));
                let next = start::load8(at);
                let found = format_args!("{outcome:x?}, next byte {next:#x}");
                self.check(format_args!("{form} at a device is an external abort"), external && next == b'Q', found);
            }
        }
    }

    /// Stores of all sizes: the distributor has registers of bytes and of 64 bits, fw_cfg one of 16.
    fn stores(&mut self) {
        const IPRIORITYR: u64 = 0x400;
        const IROUTER: u64 = 0x6000;
        const FIRST_SPI: u64 = 32;
        let distributor = self.shared(self.machine.distributor);
        let priorities = distributor + IPRIORITYR + FIRST_SPI;
        let router = distributor + IROUTER + FIRST_SPI * 8;
        let mut stored = |form: Form, at: u64, value: u64, seen: u64, expected: u64| {
            let outcome = access(form, at, value);
            let found = start::load32(seen);
            let holds = outcome.is_ok() && u64::from(found) == expected;
            self.check(format_args!("{form} stores what it holds"), holds, format_args!("{outcome:x?}, {found:#x}"));
        };
        stored(access::STR_W, priorities, 0xa0b0_c0d0, priorities, 0xa0b0_c0d0);
        stored(access::STRB, priorities + 1, GARBAGE | 0xff40, priorities, 0xa0b0_40d0);
        stored(access::STRB_WZR, priorities + 3, 0, priorities, 0x00b0_40d0);
        stored(access::STLR, priorities, 0x1020_3040, priorities, 0x1020_3040);
        stored(access::STR_WZR, priorities, 0, priorities, 0);
        stored(access::STR_X, router, 1 << 31, router, 1 << 31);
        stored(access::STR_XZR, router, 0, router, 0);
        start::store32(priorities, 0xf0);
        let signed = access(access::LDRSB_W, priorities, 0);
        let holds = signed.as_ref().is_ok_and(|value| *value == 0xffff_fff0);
        self.check(format_args!("{} extends what is negative", access::LDRSB_W), holds, format_args!("{signed:x?}"));
        start::store32(priorities, 0);
    }

    /// What is above the sixteen bits of a store stays where it is.
    fn stores_halfword(&mut self, fw_cfg: &FwCfg) {
        // The item that says which ways of access there are: registers and DMA.
        const ID: u16 = 1;
        let outcome = access(access::STRH, fw_cfg.selector, GARBAGE | u64::from(ID.swap_bytes()));
        let found = start::load8(fw_cfg.data);
        let holds = outcome.is_ok() && found == 3;
        self.check(
            format_args!("{} stores what it holds", access::STRH),
            holds,
            format_args!("{outcome:x?}, {found:#x}"),
        );
    }

    /// What a host makes of an access to nothing, or of one that a device refuses, is its own affair: it is only told.
    fn nothing(&mut self, fw_cfg: &FwCfg) {
        // Between the last virtio-mmio slot and the platform bus of QEMU's machine.
        let nothing = self.shared(0x0b00_0000);
        const LOADS: [Form; 4] = [access::LDRB, access::LDRH, access::LDR_W, access::LDR_X];
        const STORES: [Form; 4] = [access::STRB, access::STRH, access::STR_W, access::STR_X];
        let aborts = |forms: &[Form], address: u64, write: bool| {
            let aborted = |form: &&Form| {
                let outcome = access(**form, address, 0);
                outcome.is_err_and(|abort| abort.is_external(address) && abort.is_write() == write)
            };
            forms.iter().filter(aborted).count()
        };
        let (loads, stores) = (aborts(&LOADS, nothing, false), aborts(&STORES, nothing, true));
        console::line(format_args!("INFO at nothing {loads} of 4 loads and {stores} of 4 stores are external aborts"));
        // Its DMA register takes 32 bits and 64.
        let refused = aborts(&[access::STRB, access::STRH], fw_cfg.signature, true);
        console::line(format_args!("INFO {refused} of 2 stores of a size that fw_cfg refuses are external aborts"));
    }
}
