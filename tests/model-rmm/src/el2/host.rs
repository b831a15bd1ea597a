//! The host: memory for the realm, answers to its requests.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use model_rmm::dtb;
use model_rmm::layout::Layout;
use model_rmm::options::{Options, RipasHabit};
use model_rmm::pci;
use model_rmm::token;
use model_rmm::virtio::{self, Forged, Rings};
use rsi::rmm::{Attested, HostResponse, Machine};
use rsi::{GRANULE, HostCall, Ripas, fid, rhi};

use super::fw_cfg::FwCfg;
use super::phys::{self, UNDEFINED};
use super::pool::Pool;
use super::stage2::{self, Half, Stage2};
use super::uart::Uart;
use crate::log;

/// How an event log begins (TCG PC Client Platform Firmware Profile 1.05, section 10.2.1): PCR 0, EV_NO_ACTION, no
/// digest, the length of the event, and its signature.
const EVENT_LOG_HEADER: [u8; 48] =
    *b"\0\0\0\0\x03\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x21\0\0\0Spec ID Event03\0";

/// No more of a log is looked at.
const EVENT_LOG_SIZE: usize = 128 * 1024;

/// The host.
#[derive(Debug)]
pub struct Host {
    /// Options, misbehaviour among them.
    pub options: Options,
    /// Where memory is.
    pub layout: Layout,
    /// QEMU's devices.
    pub machine: dtb::Machine,
    /// Stage 2.
    pub stage2: Stage2,
    /// Free pages.
    pub pool: Pool,
    /// fw_cfg.
    pub fw_cfg: FwCfg,
    /// The UART that is not QEMU's.
    pub uart: Option<Uart>,
    /// virtio-mmio devices that lie.
    pub virtio: Vec<virtio::Device>,
    /// PCI functions that lie.
    pub pci: Vec<pci::Function>,
    /// RSI calls so far.
    pub rsi_calls: u64,
    /// Pages made shared and private on request.
    pub conversions: (u64, u64),
    /// Shared pages that the realm made private again, and how many of them still held data.
    pub returned: (u64, u64),
    /// Where shared pages were that still hold what was last in them.
    pub stale: BTreeSet<u64>,
    /// Private pages given to the realm.
    pub populated: u64,
    /// Interrupts of the storm so far.
    pub storms: u64,
    /// RIPAS requests so far.
    pub requests: u64,
}

impl Host {
    /// The event log of a firmware in the realm: the longest that begins at a page of private memory. None when there
    /// is none; who reads the log judges it.
    pub fn event_log(&self) -> Option<Vec<u8>> {
        let pages = self.layout.ram.clone().step_by(GRANULE as usize);
        let starts = pages.filter(|ipa| {
            let mut start = [0; EVENT_LOG_HEADER.len()];
            self.read_private(*ipa, &mut start) && start == EVENT_LOG_HEADER
        });
        let logs = starts.map(|start| {
            let mut log = vec![0; EVENT_LOG_SIZE];
            for (page, bytes) in (start..).step_by(GRANULE as usize).zip(log.chunks_mut(GRANULE as usize)) {
                if !self.read_private(page, bytes) {
                    bytes.fill(0xff);
                }
            }
            // Ones follow the last record; a record that ends in ones keeps those of its length.
            let end = log.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
            log.truncate(end);
            log
        });
        logs.max_by_key(Vec::len)
    }

    /// Reads the private page at `ipa` if there is one.
    fn read_private(&self, ipa: u64, bytes: &mut [u8]) -> bool {
        let page = self.stage2.lookup(ipa);
        page.is_some_and(|page| {
            phys::read(page, bytes);
            true
        })
    }

    /// Reads what a guest gave to a device by its address; none where that is no shared memory.
    fn read_shared<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        phys::read(self.layout.shared_pa(address & !self.layout.shared_bit())?, &mut bytes);
        Some(bytes)
    }

    /// The type of the last request that a guest has put into a queue, which its first four bytes are.
    pub fn request_type(&self, rings: Rings) -> Option<u32> {
        let index = u16::from_le_bytes(self.read_shared(rings.driver + 2)?).wrapping_sub(1);
        let head = u16::from_le_bytes(self.read_shared(rings.driver + 4 + 2 * u64::from(index % rings.size))?);
        let header = u64::from_le_bytes(self.read_shared(rings.descriptors + 16 * u64::from(head))?);
        self.read_shared(header).map(u32::from_le_bytes)
    }

    /// Writes an answer that no device gave to the used ring of a guest.
    pub fn forge(&self, forged: Forged) {
        let canonical = forged.ring & !self.layout.shared_bit();
        let Some(ring) = self.layout.shared_pa(canonical) else { return };
        let mut index = [0; 2];
        phys::read(ring + 2, &mut index);
        let index = u16::from_le_bytes(index);
        let element = ring + 4 + 8 * u64::from(index % forged.size);
        phys::write(element, &forged.id.to_le_bytes());
        phys::write(element + 4, &forged.length.to_le_bytes());
        phys::write(ring + 2, &index.wrapping_add(forged.step).to_le_bytes());
    }

    /// A free page with undefined contents.
    fn page(&mut self) -> u64 {
        let Some(page) = self.pool.take() else {
            super::log::stop("QEMU has no more memory for the realm (-m)".into());
        };
        phys::fill_page(page, UNDEFINED);
        page
    }

    fn map(&mut self, ipa: u64, pa: u64, half: Half) {
        if self.stage2.map(ipa, pa, half, &mut self.pool).is_none() {
            super::log::stop("QEMU has no more memory for tables (-m)".into());
        }
    }

    /// The private page at `ipa`, populated if it is not (RMI_DATA_CREATE_UNKNOWN).
    pub fn private_page(&mut self, ipa: u64) -> u64 {
        let ipa = ipa & !(GRANULE - 1);
        if let Some(page) = self.stage2.lookup(ipa) {
            return page;
        }
        let page = self.page();
        self.map(ipa, page, Half::Protected);
        self.populated = self.populated.saturating_add(1);
        page
    }

    /// Maps the shared alias of the page at the canonical address `ipa`.
    pub fn share(&mut self, ipa: u64) {
        let canonical = ipa & !(GRANULE - 1);
        let alias = canonical | self.layout.shared_bit();
        if self.layout.width > stage2::MAX_WIDTH {
            super::log::stop(alloc::format!("no shared memory beyond {} bits", stage2::MAX_WIDTH));
        }
        if self.stage2.lookup(alias).is_some() {
            return;
        }
        if let Some(page) = self.layout.shared_pa(canonical) {
            if self.stale.remove(&page) {
                phys::fill_page(page, UNDEFINED);
            }
            self.map(alias, page, Half::Unprotected);
        }
    }

    /// The backing of shared memory at a canonical address, for a device.
    pub fn device_address(&self, canonical: u64) -> Option<u64> {
        self.layout.shared_pa(canonical)
    }

    fn unmap_private(&mut self, base: u64, top: u64) {
        let Self { stage2, pool, .. } = self;
        stage2.unmap(base, top, |_, page| pool.give(page));
    }

    fn unmap_shared(&mut self, base: u64, top: u64) {
        if self.layout.width > stage2::MAX_WIDTH {
            return;
        }
        let bit = self.layout.shared_bit();
        let Self { stage2, returned: (pages, dirty), stale, .. } = self;
        // What the realm left in it is there for whoever looks, and gone when the page is shared again.
        stage2.unmap(base | bit, top | bit, |_, page| {
            *pages = pages.saturating_add(1);
            if (0..GRANULE / 8).any(|word| phys::read_word(page + word * 8) != 0) {
                *dirty = dirty.saturating_add(1);
            }
            stale.insert(page);
        });
    }

    /// Makes what was left in shared pages undefined, now that they are shared again.
    fn scrub_shared(&mut self, base: u64, top: u64) {
        let pages = self.layout.shared_pa(base).map(|start| start..start + (top - base));
        let stale = pages.map(|pages| self.stale.extract_if(pages, |_| true).collect::<Vec<_>>());
        stale.unwrap_or_default().into_iter().for_each(|page| phys::fill_page(page, UNDEFINED));
    }

    /// Takes the memory of a page away, private (RMI_DATA_DESTROY) or shared
    /// (RMI_RTT_UNMAP_UNPROTECTED): its alias is there only while it is EMPTY.
    pub fn destroy(&mut self, ipa: u64) {
        self.unmap_private(ipa, ipa + GRANULE);
        self.unmap_shared(ipa, ipa + GRANULE);
    }
}

impl Machine for Host {
    fn read(&mut self, ipa: u64, bytes: &mut [u8]) {
        let page = self.private_page(ipa);
        phys::read(page + ipa % GRANULE, bytes);
    }

    fn write(&mut self, ipa: u64, bytes: &[u8]) {
        let page = self.private_page(ipa);
        phys::write(page + ipa % GRANULE, bytes);
    }

    fn ripas_request(&mut self, base: u64, top: u64, _ripas: Ripas) -> HostResponse {
        self.requests = self.requests.saturating_add(1);
        let number = self.requests;
        match self.options.host.ripas {
            RipasHabit::RejectAfter(good, granules) if number > good => {
                let from = base.saturating_add(granules.saturating_mul(GRANULE)).min(top);
                let after = if from > base { format!(" from {from:#x} on") } else { String::new() };
                log!("host: rejected RIPAS request {number} for {base:#x}..{top:#x}{after}");
                return HostResponse::RejectFrom(from);
            }
            RipasHabit::StallAfter(good) if number > good => {
                log!("host: made no progress on RIPAS request {number} for {base:#x}..{top:#x}");
                return HostResponse::Upto(base);
            }
            RipasHabit::Partial(granules) => {
                let end = base.saturating_add(granules.saturating_mul(GRANULE)).min(top);
                if end < top {
                    log!("host: changed {base:#x}..{end:#x} of {base:#x}..{top:#x} only");
                }
                return HostResponse::Upto(end);
            }
            _ => {}
        }
        // A host with larger pages changes whole ones.
        let claimed = self.options.align;
        let align = if claimed > 0 && claimed.is_multiple_of(GRANULE) { claimed } else { GRANULE };
        if !base.is_multiple_of(align) || !top.is_multiple_of(align) {
            let end = if base.is_multiple_of(align) { top - top % align } else { base };
            log!("host: changed {base:#x}..{end:#x} only: not aligned to {align:#x}");
            return HostResponse::Upto(end);
        }
        HostResponse::Upto(top)
    }

    fn ripas_changed(&mut self, base: u64, top: u64, from: Ripas, to: Ripas) {
        let pages = (top - base) / GRANULE;
        match to {
            Ripas::Ram => {
                self.conversions.1 = self.conversions.1.saturating_add(pages);
                if from == Ripas::Empty {
                    self.unmap_shared(base, top);
                }
            }
            _ => {
                self.conversions.0 = self.conversions.0.saturating_add(pages);
                self.unmap_private(base, top);
                self.scrub_shared(base, top);
            }
        }
    }

    fn host_call(&mut self, call: &mut HostCall) {
        let answer = match (call.imm, call.first()) {
            (0, rhi::HOSTCONF_VERSION) => rhi::HOSTCONF_VERSION_1_0,
            (0, rhi::HOSTCONF_FEATURES) => rhi::FEATURE_IPA_CHANGE_ALIGNMENT,
            (0, rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT) => {
                if !self.options.align.is_multiple_of(GRANULE) {
                    log!("host: claims an IPA change alignment of {:#x}", self.options.align);
                }
                self.options.align
            }
            _ => fid::NOT_SUPPORTED,
        };
        if self.options.log {
            log!("rhi: {:#x} (imm {}) = {answer:#x}", call.first(), call.imm);
        }
        if let Some(first) = call.gprs.first_mut() {
            *first = answer;
        }
    }

    fn token(&mut self, challenge: &[u8; 64], realm: &Attested) -> Vec<u8> {
        token::token(challenge, realm, self.options.token as usize)
    }
}
