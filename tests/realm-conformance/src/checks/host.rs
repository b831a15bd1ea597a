//! The host behind the RMM: host calls, devices, fw_cfg.

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
            self.fw_cfg_files();
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

    /// fw_cfg by DMA: the descriptor and the data in shared memory, addressed without the shared
    /// bit.
    fn fw_cfg(&mut self) {
        let at = changing_page();
        self.set(at, at + self.unit, Ripas::Empty);
        let shared = self.shared(at);
        let dma = self.shared(self.machine.fw_cfg + 16);
        const SIGNATURE_SELECT_READ: u32 = 8 | 2;
        let transfer = |descriptor: u64, data: u64| {
            let mut bytes = [0; 16];
            bytes[..4].copy_from_slice(&SIGNATURE_SELECT_READ.to_be_bytes());
            bytes[4..8].copy_from_slice(&4_u32.to_be_bytes());
            bytes[8..].copy_from_slice(&data.to_be_bytes());
            start::write(descriptor, &bytes);
        };
        let control = |descriptor: u64| {
            let mut bytes = [0; 4];
            start::read(descriptor, &mut bytes);
            u32::from_be_bytes(bytes)
        };
        transfer(shared, at + 64);
        start::store64(dma, at.swap_bytes());
        let mut data = [0; 4];
        start::read(shared + 64, &mut data);
        self.check(
            "fw_cfg DMA reaches shared memory",
            control(shared) == 0 && data == *b"QEMU",
            format_args!("control {:#x} data {data:x?}", control(shared)),
        );
        // Whatever the host does next, the data is there to stay.
        for _ in 0..8 {
            let _ = self.rsi.features(0);
        }
        start::read(shared + 64, &mut data);
        self.check("fw_cfg DMA is over when it says so", data == *b"QEMU", format_args!("data {data:x?}"));
        start::write(page(), b"mine");
        transfer(shared, page());
        start::store64(dma, at.swap_bytes());
        start::read(page(), &mut data);
        self.check(
            "fw_cfg DMA does not reach private memory",
            data == *b"mine",
            format_args!("control {:#x} data {data:x?}", control(shared)),
        );
        console::line(format_args!("INFO fw_cfg DMA to private memory: control {:#x}", control(shared)));
        transfer(page() + 64, at + 64);
        start::write(shared + 64, b"none");
        start::store64(dma, (page() + 64).swap_bytes());
        start::read(shared + 64, &mut data);
        self.check(
            "fw_cfg DMA does not read a private descriptor",
            control(page() + 64) == SIGNATURE_SELECT_READ && data == *b"none",
            format_args!("control {:#x} data {data:x?}", control(page() + 64)),
        );
        self.set(at, at + self.unit, Ripas::Ram);
    }

    /// Reads the first file of the directory twice, one access a byte.
    fn fw_cfg_files(&mut self) {
        const FILE_DIR: u16 = 0x19;
        let base = self.shared(self.machine.fw_cfg);
        let read = |key: u16, bytes: &mut [u8]| {
            start::store16(base + 8, key.swap_bytes());
            bytes.fill_with(|| start::load8(base));
        };
        let mut directory = [0; 68];
        read(FILE_DIR, &mut directory);
        let mut words = directory.as_chunks::<4>().0.iter().map(|word| u32::from_be_bytes(*word));
        let (count, size) = (words.next().unwrap_or(0), words.next().unwrap_or(0));
        let key = (words.next().unwrap_or(0) >> 16) as u16;
        let name = directory.get(12..).unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = core::str::from_utf8(name).unwrap_or("?");
        if count == 0 {
            return;
        }
        console::line(format_args!("INFO fw_cfg file {name}"));
        console::line(format_args!("INFO fw_cfg size {size:#x}"));
        let (mut first, mut second) = ([0; 4], [0; 4]);
        read(key, &mut first);
        read(key, &mut second);
        self.check("fw_cfg reads the same twice", first == second, format_args!("{first:x?} {second:x?}"));
    }
}
