//! The host behind the RMM: host calls, devices.

use rsi::{HostCall, Ripas, fid, rhi};

use super::{Checks, changing_page, page};
use crate::console;
use crate::start::{self, Probe};

const SUCCESS: u64 = 0;
const INPUT: u64 = 1;

impl Checks {
    pub(super) fn host(&mut self) {
        let call = fid::HOST_CALL;
        self.result("RSI_HOST_CALL wants 256-byte alignment", &[call, page() + 0x80], INPUT);
        let shared = self.shared(page());
        self.result("RSI_HOST_CALL wants a protected IPA", &[call, shared], INPUT);
        let empty = changing_page();
        self.set(empty, empty + self.unit, Ripas::Empty);
        self.result("RSI_HOST_CALL refuses an EMPTY page", &[call, empty], INPUT);
        self.set(empty, empty + self.unit, Ripas::Ram);
        let (result, version) = super::rhi(self, rhi::HOSTCONF_VERSION);
        let (_, alignment) = super::rhi(self, rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT);
        self.check("RSI_HOST_CALL succeeds", result == SUCCESS, format_args!("{result:#x}"));
        console::line(format_args!("INFO RHI version {version:#x} alignment {alignment:#x}"));
        let (result, answer) = super::rhi(self, 0xC500_FFFF);
        self.check(
            "an unknown RHI call is not supported (DEN0148)",
            result == SUCCESS && answer == u64::MAX,
            format_args!("{result:#x} {answer:#x}"),
        );
        self.untouched();
        self.devices();
        if self.machine.fw_cfg != 0 {
            self.fw_cfg();
        }
    }

    /// A host call writes the registers of its structure, and nothing else (DEN0137 RYSNYQ).
    fn untouched(&mut self) {
        let at = page() + 0x100;
        start::write(page(), &[0xff; 0x300]);
        let call = HostCall { imm: 0xfff, gprs: [0xfeed; 31] };
        start::write(at, &call.to_bytes());
        let [result, ..] = self.raw(&[fid::HOST_CALL, at]);
        let mut bytes = [0; 0x300];
        start::read(page(), &mut bytes);
        let (before, rest) = bytes.split_at(0x100);
        let (structure, after) = rest.split_at(0x100);
        let same =
            before.iter().chain(after).all(|byte| *byte == 0xff) && structure.starts_with(&0xfff_u64.to_le_bytes());
        self.check(
            "RSI_HOST_CALL leaves the immediate and what is around alone",
            result == SUCCESS && same,
            format_args!("{result:#x}"),
        );
    }

    fn devices(&mut self) {
        let register = self.shared(self.machine.uart + self.machine.uart_register);
        let load = start::probe(Probe::Load, register);
        self.check("a plain load reaches a device", load.is_ok(), format_args!("{load:x?}"));
        for (rule, kind) in [
            ("a load pair from a device is an external abort", Probe::LoadPair),
            ("a load with write-back from a device is an external abort", Probe::LoadWriteBack),
        ] {
            let outcome = start::probe(kind, register);
            let external = outcome.is_err_and(|esr| esr >> 26 == 0x25 && esr & 0x3f == 0x10);
            self.check(rule, external, format_args!("{outcome:x?}"));
        }
        // Between the last virtio-mmio slot and the platform bus of QEMU's machine.
        const NOTHING: u64 = 0x0b00_0000;
        let access = match start::probe(Probe::Load, self.shared(NOTHING)) {
            Ok(_) => "is answered",
            Err(_) => "is an abort",
        };
        console::line(format_args!("INFO a load from where there is no device {access}"));
        let protected = start::probe(Probe::Load, self.machine.uart);
        self.check(
            "a device is not in the protected half",
            protected.is_err_and(|esr| esr >> 26 == 0x25 && esr & 0x3f == 0x10),
            format_args!("{protected:x?}"),
        );
    }
}
