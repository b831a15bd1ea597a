//! Makes the realm: reads options and payload, populates and measures memory, as a VMM and RMM do
//! between RMI_REALM_CREATE and RMI_REALM_ACTIVATE.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use model_rmm::dtb::{self, Edit, Node};
use model_rmm::launch::{self, Plan};
use model_rmm::layout::Layout;
use model_rmm::ns16550;
use model_rmm::options::{self, Launch, Options, RmmVersion};
use model_rmm::psci::Recs;
use model_rmm::rim::{RealmParams, Rim};
use model_rmm::{pci, virtio};
use rsi::rmm::{Attributes, Machine, Realm, Rec};
use rsi::{GRANULE, Ripas};

use super::fw_cfg::FwCfg;
use super::host::Host;
use super::log::{self, stop};
use super::pool::Pool;
use super::semihosting::{self, File};
use super::stage2::{self, Stage2};
use super::state::{self, Counts, Start, State};
use super::uart::Uart;
use super::{cpu, gic, phys, regs};
use crate::log;

/// Makes the realm; its first REC can be entered afterwards.
pub fn boot() {
    log::init_heap();
    let options = Options::parse(&semihosting::command_line()).unwrap_or_else(|error| {
        stop(format!("{error}; options are: {}", options::NAMES));
    });
    if !(options.rsi.0..=options.rsi.1).contains(&rsi::Version::V1_0) {
        log!("host: its RMM offers RSI {} to {} only", options.rsi.0, options.rsi.1);
    }
    if let Some(why) = cpu::lacks(&options) {
        stop(format!("RMI_REALM_CREATE fails: {why}"));
    }
    let mut tree = qemu_tree();
    let uart = match options.launch {
        Launch::Kvmtool => {
            let base = options.uart.unwrap_or(ns16550::BASE);
            let pl011 = ns16550::replace_pl011(&mut tree, base);
            pl011.map(|pl011| Uart::new(base, pl011))
        }
        Launch::Bios | Launch::Kernel => None,
    };
    let Some(mut machine) = dtb::Machine::from_tree(&tree, 1 << (options.width - 1)) else {
        stop("QEMU's device tree has no GICv3: -M virt,gic-version=3".into());
    };
    if let (None, Some(base)) = (&uart, options.uart) {
        machine.move_pl011(&mut tree, base);
    }
    if machine.cpus > cpu::MAX {
        stop(format!("at most {} CPUs", cpu::MAX));
    }
    phys::set_ram_end(machine.ram_end);
    gic::set_machine(&machine);
    let layout = Layout::new(options.launch, options.ram, options.width, options.dma, machine.ram_end);
    let layout = layout.unwrap_or_else(|error| stop(format!("{error}")));
    let mut image = Payload::open(options.image.as_deref(), "firmware=, kvmtool= or kernel=");
    if options.host.tamper.is_some_and(|offset| offset >= image.file.len) {
        stop("tamper= names no byte of the payload".into());
    }
    let mut initrd = options.initrd.as_deref().map(|path| Payload::open(Some(path), "initrd="));
    let initrd_len = initrd.as_ref().map(|initrd| initrd.file.len);
    let plan = Plan::new(options.launch, &layout, image.file.len, &image.head(), initrd_len);
    let plan = plan.unwrap_or_else(|error| stop(format!("{error}")));
    let mut blob = dtb::realm_tree(
        &mut tree,
        &Edit {
            ram: layout.ram.clone(),
            half: layout.shared_bit(),
            fw_cfg: options.launch == Launch::Bios,
            pmu: options.pmu.is_some(),
            bootargs: options.append.as_deref(),
            initrd: plan.initrd.clone(),
            lie: options.host.dtb,
        },
    );
    blob.resize(launch::dtb_len(options.launch, blob.len()), 0);
    if let Some(lie) = options.host.dtb {
        log!("host: the device tree lies: {lie:?}");
    }
    let cpus = machine.cpus;
    let mut realm = Realm::new(Attributes {
        ipa_width: options.width,
        hash: options.hash,
        rpv: options.rpv,
        versions: options.rsi,
        gicv3_vtr: regs::ich_vtr() as u32,
        signing_rounds: options.signing,
        run_span: options.runs,
    });
    let mut host = make_host(options, layout, machine, uart);
    let mut rim = init_ripas(&mut realm, &host, &image, &plan);
    populate(&mut realm, &mut host, &mut rim, &mut image, plan.image, true);
    if let (Some(initrd), Some(range)) = (&mut initrd, &plan.initrd) {
        populate(&mut realm, &mut host, &mut rim, initrd, range.start, false);
    }
    for (page, ipa) in blob.chunks(GRANULE as usize).zip((plan.dtb..).step_by(GRANULE as usize)) {
        populate_page(&mut realm, &mut host, &mut rim, ipa, page);
    }
    rim.rec(plan.pc, &[plan.x0, 0, 0, 0, 0, 0, 0, 0]);
    if let Some(first) = realm.measurements.first_mut() {
        *first = rim.value();
    }
    log!("realm: {:?} launch, IPA width {}", host.options.launch, host.layout.width);
    log!("realm: RAM {:#x?}, devices use {:?} addresses", host.layout.ram, host.layout.dma);
    log!("realm: RIM {} {}", host.options.hash.name(), hex(&rim.value()));
    let mut starts = vec![Start::default(); cpus];
    if let Some(first) = starts.first_mut() {
        *first = Start { pc: plan.pc, x0: plan.x0, big_endian: false };
    }
    let mut psci = Recs::new(cpus, cpu::smccc());
    psci.deny_cpu_on = host.options.host.deny_cpu_on;
    host.conversions = (0, 0);
    host.returned = (0, 0);
    state::set(State { realm, recs: vec![Rec::default(); cpus], psci, starts, host, counts: Counts::default() });
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// QEMU's device tree, which is at the start of RAM when no kernel is given to QEMU.
fn qemu_tree() -> Node {
    const ROOM: usize = 2 << 20;
    let base = model_rmm::layout::QEMU_RAM;
    phys::set_ram_end(base + ROOM as u64);
    let mut blob = vec![0; ROOM];
    phys::read(base, &mut blob);
    Node::parse(&blob).unwrap_or_else(|error| stop(format!("at {base:#x}: {error}")))
}

fn make_host(options: Options, layout: Layout, machine: dtb::Machine, uart: Option<Uart>) -> Host {
    let mut pool = Pool::new(layout.pool.clone());
    let stage2 = Stage2::new(layout.width, &mut pool);
    let (Some(stage2), Some(bounce)) = (stage2, pool.take()) else {
        stop("QEMU has no memory for the realm (-m)".into());
    };
    for lie in &options.host.virtio {
        log!("host: {lie:?}");
    }
    for lie in &options.host.pci {
        log!("host: {lie:?}");
    }
    let fw_cfg = FwCfg::new(machine.fw_cfg.clone(), bounce, &options);
    Host {
        fw_cfg,
        uart,
        virtio: options.host.virtio.iter().copied().map(virtio::Device::new).collect(),
        pci: options.host.pci.iter().copied().map(pci::Function::new).collect(),
        options,
        layout,
        machine,
        stage2,
        pool,
        rsi_calls: 0,
        conversions: (0, 0),
        returned: (0, 0),
        stale: BTreeSet::new(),
        populated: 0,
        storms: 0,
        requests: 0,
    }
}

/// RMI_REALM_CREATE and RMI_RTT_INIT_RIPAS.
fn init_ripas(realm: &mut Realm, host: &Host, image: &Payload, plan: &Plan) -> Rim {
    let options = &host.options;
    let flag = |set: bool, flag: u64| if set { flag } else { 0 };
    let mut rim = Rim::new(&RealmParams {
        flags: flag(options.width > stage2::MAX_WIDTH, RealmParams::FLAG_LPA2)
            | flag(options.sve.is_some(), RealmParams::FLAG_SVE)
            | flag(options.pmu.is_some(), RealmParams::FLAG_PMU),
        s2sz: options.width,
        sve_vl: u32::from(options.sve.unwrap_or(0)),
        num_bps: u32::from(options.bps),
        num_wps: u32::from(options.wps),
        pmu_num_ctrs: u32::from(options.pmu.unwrap_or(0)),
        hash: options.hash,
    });
    log!("rim: parameters {}", hex(&rim.value()));
    // Beyond the pages of its file, memory in place of flash stays EMPTY.
    let file = plan.image..plan.image + image.file.len.next_multiple_of(GRANULE);
    let mut ranges: Vec<Range<u64>> = vec![host.layout.ram.clone()];
    if options.launch == Launch::Bios {
        ranges.insert(0, file);
    }
    if let Some(empty) = &options.host.empty {
        log!("host: left {:#x}..{:#x} EMPTY", empty.start, empty.end);
        let outside = |range: Range<u64>| {
            let before = range.start..range.end.min(empty.start);
            let after = range.start.max(empty.end)..range.end;
            [before, after].into_iter().filter(|part| !part.is_empty())
        };
        ranges = ranges.into_iter().flat_map(outside).collect();
    }
    for range in ranges {
        realm.ripas.set(range.start, range.end, Ripas::Ram);
        if options.rmm == RmmVersion::V1 {
            rim.init_ripas(range.start, range.end);
        }
    }
    if let Some(device) = &options.host.device {
        realm.ripas.set(device.start, device.end, Ripas::Dev);
        log!("host: made {:#x}..{:#x} a device", device.start, device.end);
    }
    rim
}

/// RMI_DATA_CREATE of a whole payload.
fn populate(realm: &mut Realm, host: &mut Host, rim: &mut Rim, payload: &mut Payload, base: u64, tampered: bool) {
    let tamper = host.options.host.tamper.filter(|_| tampered);
    let mut buffer = vec![0; GRANULE as usize];
    let mut offset = 0;
    while offset < payload.file.len {
        let len = GRANULE.min(payload.file.len - offset);
        payload.read(&mut buffer, len as usize);
        let at = tamper.and_then(|at| at.checked_sub(offset));
        if let Some(byte) = at.and_then(|at| buffer.get_mut(usize::try_from(at).ok()?)) {
            *byte ^= 0xff;
            log!("host: tampered with the payload at offset {:#x}", tamper.unwrap_or(0));
        }
        populate_page(realm, host, rim, base + offset, &buffer);
        offset += GRANULE;
    }
}

/// RMI_DATA_CREATE of one granule, zero padded.
fn populate_page(realm: &mut Realm, host: &mut Host, rim: &mut Rim, ipa: u64, contents: &[u8]) {
    if realm.ripas.get(ipa) != Ripas::Ram {
        return;
    }
    let mut page = contents.to_vec();
    page.resize(GRANULE as usize, 0);
    host.write(ipa, &page);
    rim.data(ipa, &page);
}

/// A payload file: the head is looked at before the rest is read.
struct Payload {
    file: File,
    first: Vec<u8>,
    taken: usize,
}

impl Payload {
    fn open(path: Option<&str>, option: &str) -> Self {
        let Some(path) = path else {
            stop(format!("no payload: {option}"));
        };
        let Some(mut file) = File::open(path) else {
            stop(format!("cannot open {path}"));
        };
        let mut first = vec![0; file.len.min(GRANULE) as usize];
        if !file.read(&mut first) {
            stop(format!("cannot read {path}"));
        }
        Self { file, first, taken: 0 }
    }

    fn head(&self) -> [u8; 64] {
        self.first.first_chunk().copied().unwrap_or([0; 64])
    }

    /// The next `len` bytes, of which the first granule is already here, zero padded.
    fn read(&mut self, page: &mut [u8], len: usize) {
        page.fill(0);
        let Some(part) = page.get_mut(..len) else {
            return;
        };
        if self.taken == 0 {
            part.copy_from_slice(self.first.get(..len).unwrap_or_default());
        } else if !self.file.read(part) {
            stop("the payload file ended early".into());
        }
        self.taken += len;
    }
}
