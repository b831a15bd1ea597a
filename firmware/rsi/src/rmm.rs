//! The RMM's side: what answers RSI calls (DEN0137 B5.3).
//!
//! [`Realm::handle`] is the dispatcher, over a [`Machine`] that stands for the realm's memory and
//! for the host behind the RMM.

use alloc::vec::Vec;

use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::definitions::{GRANULE, HashAlgorithm, HostCall, REM_COUNT, RealmConfig, Ripas, Status, Version, fid};
use crate::ripas::RipasMap;

/// A measurement register: a digest, zero padded.
pub type Measurement = [u8; 64];

/// What ends a call without a result: the REC goes to the host, which has to resolve the access
/// at this protected address before the call is made again (a REC exit due to Data Abort).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GranuleFault {
    /// The address.
    pub ipa: u64,
}

/// How the host takes a request to change RIPAS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostResponse {
    /// Change up to this address; less than the top is partial progress.
    Upto(u64),
    /// Change up to this address and refuse the rest. A host cannot refuse a change to EMPTY
    /// (DEN0137 A5.4, IDRPPK): that is partial progress.
    RejectFrom(u64),
}

/// What the RMM has under it and around it.
pub trait Machine {
    /// Reads private memory within one granule whose RIPAS is RAM.
    fn read(&mut self, ipa: u64, bytes: &mut [u8]);
    /// Writes private memory within one granule whose RIPAS is RAM.
    fn write(&mut self, ipa: u64, bytes: &[u8]);
    /// Asks the host what it makes of a request to change `[base, top)`.
    fn ripas_request(&mut self, base: u64, top: u64, ripas: Ripas) -> HostResponse;
    /// `[base, top)` changed from one state to another: its contents are gone.
    fn ripas_changed(&mut self, base: u64, top: u64, from: Ripas, to: Ripas);
    /// Has the host answer a host call.
    fn host_call(&mut self, call: &mut HostCall);
    /// Makes an attestation token.
    fn token(&mut self, challenge: &[u8; 64], realm: &Attested) -> Vec<u8>;
}

/// What an attestation token says of a realm.
#[derive(Clone, Debug)]
pub struct Attested {
    /// Hash algorithm of the measurements.
    pub hash: HashAlgorithm,
    /// Realm personalization value.
    pub rpv: [u8; 64],
    /// RIM and REMs.
    pub measurements: [Measurement; 1 + REM_COUNT],
}

/// A realm's attributes (RmiRealmParams, as far as RSI shows them).
#[derive(Clone, Debug)]
pub struct Attributes {
    /// IPA width in bits.
    pub ipa_width: u32,
    /// Hash algorithm.
    pub hash: HashAlgorithm,
    /// Personalization value.
    pub rpv: [u8; 64],
    /// Lowest and highest RSI revision offered.
    pub versions: (Version, Version),
    /// ICH_VTR_EL2, which RSI 1.1 shows.
    pub gicv3_vtr: u32,
    /// How often RSI_ATTESTATION_TOKEN_CONTINUE is INCOMPLETE with nothing written before the
    /// token is signed: an RMM that is interrupted while it signs returns so.
    pub signing_rounds: u32,
    /// RSI_IPA_STATE_GET ends a run at multiples of this, as an RMM does at the end of a translation
    /// table; none: only where the state changes.
    pub run_span: Option<u64>,
}

/// A realm as its RMM keeps it.
#[derive(Clone, Debug)]
pub struct Realm {
    /// Attributes.
    pub attributes: Attributes,
    /// State of every protected granule.
    pub ripas: RipasMap,
    /// RIM and REMs.
    pub measurements: [Measurement; 1 + REM_COUNT],
}

/// What the RMM keeps of a REC for RSI: the token under way.
#[derive(Clone, Debug, Default)]
pub struct Rec {
    attest: Option<Attest>,
}

#[derive(Clone, Debug)]
struct Attest {
    token: Vec<u8>,
    copied: usize,
    rounds_left: u32,
}

/// Registers x0 to x30 of a REC.
pub type RecRegisters = [u64; 31];

/// Outcome of a call.
pub type Handled = Result<(), GranuleFault>;

impl Realm {
    /// A new realm with everything EMPTY and all measurements zero.
    pub fn new(attributes: Attributes) -> Self {
        let top = 1_u64 << attributes.ipa_width.saturating_sub(1);
        Self { attributes, ripas: RipasMap::new(top), measurements: [[0; 64]; 1 + REM_COUNT] }
    }

    /// Whether `ipa` lies in the protected half.
    pub fn is_protected(&self, ipa: u64) -> bool {
        ipa < self.ripas.top()
    }

    /// The host takes the granule at `ipa` away (RMI_DATA_DESTROY): what was RAM is DESTROYED,
    /// any other state stays (DEN0137 B4.3.3.3). Whether it was RAM.
    pub fn destroy(&mut self, ipa: u64) -> bool {
        let base = ipa & !(GRANULE - 1);
        let ram = self.ripas.get(base) == Ripas::Ram;
        if ram {
            self.ripas.set(base, base.saturating_add(GRANULE), Ripas::Destroyed);
        }
        ram
    }

    /// Answers the RSI call `call` with the arguments in `registers`; false when `call` is no
    /// command of the revisions that this RMM has.
    ///
    /// # Errors
    /// The host must resolve an access first. The registers are as they were, so the call can be
    /// made again.
    pub fn handle(
        &mut self,
        call: u64,
        rec: &mut Rec,
        registers: &mut RecRegisters,
        machine: &mut impl Machine,
    ) -> Result<bool, GranuleFault> {
        let [_, x1, x2, x3, x4, x5, x6, x7, x8, x9, x10, ..] = *registers;
        let results = match call {
            fid::VERSION => self.version(x1),
            fid::FEATURES => Results::with(Status::Success, &[0]),
            fid::MEASUREMENT_READ => self.measurement_read(x1),
            fid::MEASUREMENT_EXTEND => self.measurement_extend(x1, x2, &[x3, x4, x5, x6, x7, x8, x9, x10]),
            fid::ATTESTATION_TOKEN_INIT => self.token_init(rec, &[x1, x2, x3, x4, x5, x6, x7, x8], machine),
            fid::ATTESTATION_TOKEN_CONTINUE => self.token_continue(rec, x1, x2, x3, machine)?,
            fid::REALM_CONFIG => self.realm_config(x1, machine)?,
            fid::IPA_STATE_SET => self.ipa_state_set(x1, x2, x3, x4, machine),
            fid::IPA_STATE_GET => self.ipa_state_get(x1, x2),
            fid::HOST_CALL => self.host_call(x1, machine)?,
            // Whatever plane they name, the realm has no such plane.
            fid::MEM_GET_PERM_VALUE
            | fid::MEM_SET_PERM_INDEX
            | fid::MEM_SET_PERM_VALUE
            | fid::PLANE_ENTER
            | fid::PLANE_SYSREG_READ
            | fid::PLANE_SYSREG_WRITE
                if self.has_1_1() =>
            {
                Results::error(Status::ErrorInput)
            }
            _ => return Ok(false),
        };
        for (register, value) in registers.iter_mut().zip(results.0) {
            *register = value;
        }
        Ok(true)
    }

    /// Whether this RMM has RSI 1.1, whatever the realm asked for: RSI_VERSION chooses nothing
    /// (it has no footprint, DEN0137 B5.3.10.4).
    fn has_1_1(&self) -> bool {
        self.attributes.versions.1 >= Version::V1_1
    }

    fn version(&self, requested: u64) -> Results {
        let (lowest, highest) = self.attributes.versions;
        let (status, lower) = match Version::from_raw(requested) {
            Some(version) if (lowest..=highest).contains(&version) => (Status::Success, version),
            // Cases b and c of the specification: the highest one below the request, or for a
            // request below all of them again the highest.
            _ => (Status::ErrorInput, highest),
        };
        Results::with(status, &[lower.to_raw(), highest.to_raw()])
    }

    fn measurement_read(&self, index: u64) -> Results {
        let slot = usize::try_from(index).ok().and_then(|i| self.measurements.get(i));
        let Some(value) = slot else {
            return Results::error(Status::ErrorInput);
        };
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(value.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        Results::with(Status::Success, &words)
    }

    fn measurement_extend(&mut self, index: u64, size: u64, words: &[u64; 8]) -> Results {
        let algorithm = self.attributes.hash;
        let data: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        let data = usize::try_from(size).ok().and_then(|size| data.get(..size));
        let slot = match usize::try_from(index) {
            Ok(0) | Err(_) => None,
            Ok(index) => self.measurements.get_mut(index),
        };
        let (Some(data), Some(slot)) = (data, slot) else {
            return Results::error(Status::ErrorInput);
        };
        let current = slot.get(..algorithm.digest_len()).unwrap_or_default();
        *slot = hash(algorithm, &[current, data]);
        Results::with(Status::Success, &[])
    }

    fn token_init(&mut self, rec: &mut Rec, words: &[u64; 8], machine: &mut impl Machine) -> Results {
        let mut challenge = [0; 64];
        for (bytes, word) in challenge.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        let token = machine.token(&challenge, &self.attested());
        let bound = (token.len() as u64).next_multiple_of(GRANULE);
        rec.attest = Some(Attest { token, copied: 0, rounds_left: self.attributes.signing_rounds });
        Results::with(Status::Success, &[bound])
    }

    /// What a token made now says.
    pub fn attested(&self) -> Attested {
        Attested { hash: self.attributes.hash, rpv: self.attributes.rpv, measurements: self.measurements }
    }

    fn token_continue(
        &mut self,
        rec: &mut Rec,
        granule: u64,
        offset: u64,
        size: u64,
        machine: &mut impl Machine,
    ) -> Result<Results, GranuleFault> {
        let fits = offset < GRANULE && offset.checked_add(size).is_some_and(|end| end <= GRANULE);
        if !fits || !granule.is_multiple_of(GRANULE) || !self.is_protected(granule) {
            return Ok(Results::error(Status::ErrorInput));
        }
        let Some(attest) = &mut rec.attest else {
            return Ok(Results::error(Status::ErrorState));
        };
        match self.ripas.get(granule) {
            Ripas::Ram => {}
            Ripas::Empty => return Ok(Results::error(Status::ErrorInput)),
            Ripas::Destroyed | Ripas::Dev => return Err(GranuleFault { ipa: granule }),
        }
        if let Some(left) = attest.rounds_left.checked_sub(1) {
            attest.rounds_left = left;
            return Ok(Results::with(Status::Incomplete, &[0]));
        }
        let rest = attest.token.get(attest.copied..).unwrap_or_default();
        let len = usize::try_from(size).unwrap_or(usize::MAX).min(rest.len());
        let (part, rest) = rest.split_at_checked(len).unwrap_or_default();
        machine.write(granule.wrapping_add(offset), part);
        let status = if rest.is_empty() { Status::Success } else { Status::Incomplete };
        attest.copied = attest.copied.saturating_add(len);
        if status == Status::Success {
            rec.attest = None;
        }
        Ok(Results::with(status, &[len as u64]))
    }

    fn realm_config(&mut self, granule: u64, machine: &mut impl Machine) -> Result<Results, GranuleFault> {
        if !granule.is_multiple_of(GRANULE) || !self.is_protected(granule) {
            return Ok(Results::error(Status::ErrorInput));
        }
        match self.ripas.get(granule) {
            Ripas::Ram => {}
            Ripas::Empty => return Ok(Results::error(Status::ErrorInput)),
            Ripas::Destroyed | Ripas::Dev => return Err(GranuleFault { ipa: granule }),
        }
        let config = RealmConfig {
            ipa_width: u64::from(self.attributes.ipa_width),
            hash_algorithm: self.attributes.hash as u8,
            num_aux_planes: 0,
            gicv3_vtr: if self.has_1_1() { self.attributes.gicv3_vtr } else { 0 },
            rpv: self.attributes.rpv,
        };
        machine.write(granule, &[0; GRANULE as usize]);
        machine.write(granule, &config.to_bytes());
        Ok(Results::with(Status::Success, &[]))
    }

    fn range_is_valid(&self, base: u64, top: u64) -> bool {
        base.is_multiple_of(GRANULE) && top.is_multiple_of(GRANULE) && base < top && top <= self.ripas.top()
    }

    fn ipa_state_set(&mut self, base: u64, top: u64, ripas: u64, flags: u64, machine: &mut impl Machine) -> Results {
        // Bits that should be zero are refused where they are not: what RMMs make of them differs.
        const FLAGS: u64 = 1;
        let to = match Ripas::from_raw(ripas) {
            Some(to @ (Ripas::Empty | Ripas::Ram)) if self.range_is_valid(base, top) && flags & !FLAGS == 0 => to,
            _ => return Results::error(Status::ErrorInput),
        };
        let change_destroyed = flags & FLAGS != 0;
        let (limit, refuses) = match machine.ripas_request(base, top, to) {
            HostResponse::Upto(limit) => (limit, false),
            HostResponse::RejectFrom(limit) => (limit, true),
        };
        let limit = limit.clamp(base, top) & !(GRANULE - 1);
        let mut at = base;
        while at < limit {
            let (from, end) = self.ripas.run(at, limit);
            match from {
                Ripas::Dev => break,
                Ripas::Destroyed if !change_destroyed => break,
                from if from != to => {
                    self.ripas.set(at, end, to);
                    machine.ripas_changed(at, end, from, to);
                }
                _ => {}
            }
            at = end;
        }
        let rejected = refuses && to == Ripas::Ram && at != top;
        Results::with(Status::Success, &[at, u64::from(rejected)])
    }

    fn ipa_state_get(&self, base: u64, end: u64) -> Results {
        if !self.range_is_valid(base, end) {
            return Results::error(Status::ErrorInput);
        }
        let table_end = self.attributes.run_span.map_or(end, |span| base.saturating_add(1).next_multiple_of(span));
        let (ripas, top) = self.ripas.run(base, end.min(table_end));
        Results::with(Status::Success, &[top, ripas as u64])
    }

    fn host_call(&mut self, ipa: u64, machine: &mut impl Machine) -> Result<Results, GranuleFault> {
        if !ipa.is_multiple_of(HostCall::LEN as u64) || !self.is_protected(ipa) {
            return Ok(Results::error(Status::ErrorInput));
        }
        match self.ripas.get(ipa) {
            Ripas::Ram => {}
            Ripas::Empty => return Ok(Results::error(Status::ErrorInput)),
            Ripas::Destroyed | Ripas::Dev => return Err(GranuleFault { ipa }),
        }
        let mut bytes = [0; HostCall::LEN];
        machine.read(ipa, &mut bytes);
        let mut call = HostCall::from_bytes(&bytes);
        machine.host_call(&mut call);
        // Only the registers go back; the immediate is the realm's.
        let answered = call.to_bytes();
        let registers = answered.get(8..).unwrap_or_default();
        machine.write(ipa.wrapping_add(8), registers);
        Ok(Results::with(Status::Success, &[]))
    }
}

/// Result registers x0 to x16: all that a command does not define as an output are zero
/// (DEN0137 B1.2, RKBWJD).
struct Results([u64; 17]);

impl Results {
    fn with(status: Status, outputs: &[u64]) -> Self {
        let mut values = [0; 17];
        for (value, from) in values.iter_mut().zip(core::iter::once(&(status as u64)).chain(outputs)) {
            *value = *from;
        }
        Self(values)
    }

    fn error(status: Status) -> Self {
        Self::with(status, &[])
    }
}

/// Digest of the concatenation of `parts`, zero padded to 64 bytes.
pub fn hash(algorithm: HashAlgorithm, parts: &[&[u8]]) -> Measurement {
    fn digest<D: Digest>(parts: &[&[u8]]) -> Measurement {
        let mut state = D::new();
        for part in parts {
            state.update(part);
        }
        let mut out = [0; 64];
        for (to, from) in out.iter_mut().zip(state.finalize().iter()) {
            *to = *from;
        }
        out
    }
    match algorithm {
        HashAlgorithm::Sha256 => digest::<Sha256>(parts),
        HashAlgorithm::Sha384 => digest::<Sha384>(parts),
        HashAlgorithm::Sha512 => digest::<Sha512>(parts),
    }
}
