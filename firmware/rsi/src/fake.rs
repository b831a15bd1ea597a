//! A realm and its RMM in host memory: the same state machine the model RMM runs at EL2, over a
//! map of pages that really lose their contents, and a host whose answers a test chooses.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;

use crate::definitions::{GRANULE, HashAlgorithm, HostCall, Ripas, Version, fid, rhi};
use crate::guest::{Conduit, Registers};
use crate::rmm::{Attested, Attributes, HostResponse, Machine, Realm, Rec};

/// What fills a page whose contents are undefined, so that nobody relies on zeros.
pub const UNDEFINED: u8 = 0xA5;

/// The fake. It is a [`Conduit`]: `Rsi::new(FakeRmm::new(..))`.
#[derive(Debug)]
pub struct FakeRmm {
    /// The realm.
    pub realm: Realm,
    /// Its only REC.
    pub rec: Rec,
    /// Memory and host.
    pub host: FakeHost,
}

/// Memory and host of the fake.
#[derive(Debug)]
pub struct FakeHost {
    pages: BTreeMap<u64, Vec<u8>>,
    /// Answers to the coming RIPAS requests; full acceptance when there is none left.
    pub responses: VecDeque<HostResponse>,
    /// What RHI_HOSTCONF_GET_IPA_CHANGE_ALIGNMENT answers; none: RHI is not supported.
    pub ipa_change_alignment: Option<u64>,
    /// Number of calls made.
    pub calls: u64,
}

impl FakeRmm {
    /// A realm of RSI 1.0 and 1.1 with everything EMPTY.
    pub fn new(ipa_width: u32, hash: HashAlgorithm) -> Self {
        Self {
            realm: Realm::new(Attributes {
                ipa_width,
                hash,
                rpv: [0x52; 64],
                versions: (Version::V1_0, Version::V1_1),
                gicv3_vtr: 0x9003_0003,
                signing_rounds: 1,
                run_span: None,
            }),
            rec: Rec::default(),
            host: FakeHost {
                pages: BTreeMap::new(),
                responses: VecDeque::new(),
                ipa_change_alignment: Some(GRANULE),
                calls: 0,
            },
        }
    }

    /// Reads private memory of one granule as the guest would; none where the RIPAS is not RAM.
    pub fn read(&mut self, ipa: u64, len: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; len];
        (self.realm.ripas.get(ipa) == Ripas::Ram).then(|| self.host.read(ipa, &mut bytes))?;
        Some(bytes)
    }

    /// Writes private memory of one granule as the guest would; false where the RIPAS is not RAM.
    pub fn write(&mut self, ipa: u64, bytes: &[u8]) -> bool {
        let ram = self.realm.ripas.get(ipa) == Ripas::Ram;
        if ram {
            self.host.write(ipa, bytes);
        }
        ram
    }

    /// The host takes the granules of `[base, top)` away (RMI_DATA_DESTROY).
    pub fn destroy(&mut self, base: u64, top: u64) {
        for ipa in (base..top).step_by(GRANULE as usize) {
            self.realm.destroy(ipa);
        }
        self.host.ripas_changed(base, top, Ripas::Ram, Ripas::Destroyed);
    }
}

impl FakeHost {
    fn page(&mut self, ipa: u64) -> &mut Vec<u8> {
        self.pages.entry(ipa & !(GRANULE - 1)).or_insert_with(|| vec![UNDEFINED; GRANULE as usize])
    }
}

impl Machine for FakeHost {
    fn read(&mut self, ipa: u64, bytes: &mut [u8]) {
        let page = self.page(ipa).iter().skip((ipa % GRANULE) as usize);
        for (to, from) in bytes.iter_mut().zip(page) {
            *to = *from;
        }
    }

    fn write(&mut self, ipa: u64, bytes: &[u8]) {
        let page = self.page(ipa).iter_mut().skip((ipa % GRANULE) as usize);
        for (to, from) in page.zip(bytes) {
            *to = *from;
        }
    }

    fn ripas_request(&mut self, _base: u64, top: u64, _ripas: Ripas) -> HostResponse {
        self.responses.pop_front().unwrap_or(HostResponse::Upto(top))
    }

    fn ripas_changed(&mut self, base: u64, top: u64, _from: Ripas, _to: Ripas) {
        let gone: Vec<u64> = self.pages.range(base..top).map(|(key, _)| *key).collect();
        for key in gone {
            self.pages.remove(&key);
        }
    }

    fn host_call(&mut self, call: &mut HostCall) {
        let answer = match (call.imm, call.first(), self.ipa_change_alignment) {
            (0, rhi::HOSTCONF_VERSION, Some(_)) => rhi::HOSTCONF_VERSION_1_0,
            (0, rhi::HOSTCONF_FEATURES, Some(_)) => rhi::FEATURE_IPA_CHANGE_ALIGNMENT,
            (0, rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT, Some(alignment)) => alignment,
            _ => fid::NOT_SUPPORTED,
        };
        if let Some(first) = call.gprs.first_mut() {
            *first = answer;
        }
    }

    fn token(&mut self, challenge: &[u8; 64], realm: &Attested) -> Vec<u8> {
        let mut token = challenge.to_vec();
        for measurement in &realm.measurements {
            token.extend_from_slice(measurement);
        }
        token
    }
}

impl Conduit for FakeRmm {
    fn call(&mut self, registers: &mut Registers) {
        self.host.calls = self.host.calls.saturating_add(1);
        let mut all = [0; 31];
        for (to, from) in all.iter_mut().zip(registers.iter()) {
            *to = *from;
        }
        // The identifier is in w0 (DEN0028 2.6).
        let call = registers.first().map_or(0, |x0| x0 & 0xffff_ffff);
        match self.realm.handle(call, &mut self.rec, &mut all, &mut self.host) {
            Ok(true) => {}
            Ok(false) => {
                if let Some(result) = all.first_mut() {
                    *result = fid::NOT_SUPPORTED;
                }
            }
            // What a real REC would do is wait for a host that cannot help.
            Err(fault) => panic!("REC waits for the host at {:#x}", fault.ipa),
        }
        for (to, from) in registers.iter_mut().zip(all) {
            *to = from;
        }
    }
}
