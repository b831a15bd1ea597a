//! The calls as a realm makes them.

use crate::definitions::{ChangeDestroyed, HostCall, RealmConfig, Ripas, Status, Version, fid};

/// Registers x0 to x10 of a call: arguments in, results out.
pub type Registers = [u64; 11];

/// The way a call takes from the realm to the RMM: the SMC instruction, or a fake in tests.
pub trait Conduit {
    /// Makes the call whose arguments stand in `registers` and puts its results there.
    fn call(&mut self, registers: &mut Registers);
}

/// Why a call failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// RSI_ERROR_INPUT.
    #[error("RSI_ERROR_INPUT")]
    Input,
    /// RSI_ERROR_STATE.
    #[error("RSI_ERROR_STATE")]
    State,
    /// RSI_INCOMPLETE from a command that has no such result.
    #[error("RSI_INCOMPLETE")]
    Incomplete,
    /// RSI_ERROR_UNKNOWN.
    #[error("RSI_ERROR_UNKNOWN")]
    Unknown,
    /// RSI_ERROR_DEVICE.
    #[error("RSI_ERROR_DEVICE")]
    Device,
    /// Nobody answers this function identifier: not a realm, or an RMM without this command.
    #[error("SMCCC NOT_SUPPORTED")]
    NotSupported,
    /// A result outside the specification.
    #[error("result {0:#x}, which the specification does not define")]
    Undefined(u64),
}

/// Result of RSI_IPA_STATE_SET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RipasChange {
    /// First address that was not changed.
    pub new_base: u64,
    /// Whether the host agreed (RSI_ACCEPT).
    pub accepted: bool,
}

/// Result of RSI_IPA_STATE_GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RipasRun {
    /// End of the run of granules in the same state, at most the end asked for.
    pub top: u64,
    /// State of the run.
    pub ripas: Ripas,
}

/// Result of RSI_ATTESTATION_TOKEN_CONTINUE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPart {
    /// Bytes written to the buffer.
    pub len: u64,
    /// Whether the token is complete; if not, call again.
    pub complete: bool,
}

/// The RSI calls over a conduit.
#[derive(Debug)]
pub struct Rsi<C> {
    conduit: C,
}

impl<C: Conduit> Rsi<C> {
    /// Calls go through `conduit`.
    pub fn new(conduit: C) -> Self {
        Self { conduit }
    }

    /// The conduit, for calls that are not RSI.
    pub fn conduit(&mut self) -> &mut C {
        &mut self.conduit
    }

    fn raw(&mut self, arguments: &[u64]) -> Registers {
        let mut registers = [0; 11];
        for (register, argument) in registers.iter_mut().zip(arguments) {
            *register = *argument;
        }
        self.conduit.call(&mut registers);
        registers
    }

    fn call(&mut self, arguments: &[u64]) -> Result<Registers, Error> {
        let registers = self.raw(arguments);
        let [result, ..] = registers;
        check(result)?;
        Ok(registers)
    }

    /// RSI_VERSION: the revisions (lower, higher) the RMM has, asking for `requested`.
    ///
    /// `Ok` is RSI_SUCCESS with `lower == requested`. [`VersionError::Incompatible`] is a realm
    /// whose RMM lacks that revision; [`VersionError::NotARealm`] is no realm at all.
    pub fn version(&mut self, requested: Version) -> Result<(Version, Version), VersionError> {
        let [result, lower, higher, ..] = self.raw(&[fid::VERSION, requested.to_raw()]);
        let revisions = Version::from_raw(lower).zip(Version::from_raw(higher));
        match (Status::from_raw(result), revisions) {
            (Some(Status::Success), Some((lower, higher))) => Ok((lower, higher)),
            (Some(Status::ErrorInput), Some((lower, higher))) => Err(VersionError::Incompatible { lower, higher }),
            _ if result == fid::NOT_SUPPORTED => Err(VersionError::NotARealm),
            _ => Err(VersionError::Undefined(result)),
        }
    }

    /// RSI_FEATURES: the feature register `index`.
    pub fn features(&mut self, index: u64) -> Result<u64, Error> {
        let [_, value, ..] = self.call(&[fid::FEATURES, index])?;
        Ok(value)
    }

    /// RSI_MEASUREMENT_READ: register 0 (RIM) or 1 to 4 (REM), zero padded to 64 bytes.
    pub fn measurement_read(&mut self, index: u64) -> Result<[u8; 64], Error> {
        let [_, value @ .., _, _] = self.call(&[fid::MEASUREMENT_READ, index])?;
        let mut bytes = [0; 64];
        for (to, word) in bytes.chunks_exact_mut(8).zip(value) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        Ok(bytes)
    }

    /// RSI_MEASUREMENT_EXTEND: REM `index` (1 to 4) with at most 64 bytes.
    pub fn measurement_extend(&mut self, index: u64, data: &[u8]) -> Result<(), Error> {
        let mut arguments = [0; 11];
        let [call, register, size, words @ ..] = &mut arguments;
        (*call, *register, *size) = (fid::MEASUREMENT_EXTEND, index, data.len() as u64);
        for (word, bytes) in words.iter_mut().zip(data.chunks(8)) {
            let mut padded = [0; 8];
            for (to, from) in padded.iter_mut().zip(bytes) {
                *to = *from;
            }
            *word = u64::from_le_bytes(padded);
        }
        self.call(&arguments).map(drop)
    }

    /// RSI_ATTESTATION_TOKEN_INIT: upper bound of the token's size in bytes.
    pub fn attestation_token_init(&mut self, challenge: &[u8; 64]) -> Result<u64, Error> {
        let mut arguments = [0; 11];
        let [call, words @ ..] = &mut arguments;
        *call = fid::ATTESTATION_TOKEN_INIT;
        for (word, bytes) in words.iter_mut().zip(challenge.chunks_exact(8)) {
            *word = bytes.try_into().map_or(0, u64::from_le_bytes);
        }
        let [_, bound, ..] = self.call(&arguments)?;
        Ok(bound)
    }

    /// RSI_ATTESTATION_TOKEN_CONTINUE: the next part of the token into `size` bytes at `offset`
    /// of the protected granule at `granule`.
    pub fn attestation_token_continue(&mut self, granule: u64, offset: u64, size: u64) -> Result<TokenPart, Error> {
        let [result, len, ..] = self.raw(&[fid::ATTESTATION_TOKEN_CONTINUE, granule, offset, size]);
        let complete = match check(result) {
            Ok(()) => true,
            Err(Error::Incomplete) => false,
            Err(error) => return Err(error),
        };
        Ok(TokenPart { len, complete })
    }

    /// RSI_REALM_CONFIG: has the [`RealmConfig`] written to the protected granule at `granule`.
    pub fn realm_config(&mut self, granule: u64) -> Result<(), Error> {
        self.call(&[fid::REALM_CONFIG, granule]).map(drop)
    }

    /// RSI_IPA_STATE_SET: one request; see [`Self::set_range`] for the whole range.
    pub fn ipa_state_set(
        &mut self,
        base: u64,
        top: u64,
        ripas: Ripas,
        destroyed: ChangeDestroyed,
    ) -> Result<RipasChange, Error> {
        let [_, new_base, response, ..] =
            self.call(&[fid::IPA_STATE_SET, base, top, ripas as u64, destroyed as u64])?;
        Ok(RipasChange { new_base, accepted: response == 0 })
    }

    /// RSI_IPA_STATE_GET: the state of the run of granules that starts at `base`.
    pub fn ipa_state_get(&mut self, base: u64, end: u64) -> Result<RipasRun, Error> {
        let [_, top, ripas, ..] = self.call(&[fid::IPA_STATE_GET, base, end])?;
        let ripas = Ripas::from_raw(ripas).ok_or(Error::Undefined(ripas))?;
        Ok(RipasRun { top, ripas })
    }

    /// RSI_HOST_CALL with the [`HostCall`] at the protected address `ipa`.
    pub fn host_call(&mut self, ipa: u64) -> Result<(), Error> {
        self.call(&[fid::HOST_CALL, ipa]).map(drop)
    }
}

const _: () = assert!(HostCall::LEN == 256 && RealmConfig::LEN <= 4096);

/// Why RSI_VERSION found no revision to use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// A realm whose RMM lacks the requested revision (RSI_ERROR_INPUT).
    #[error("the RMM has RSI {lower} to {higher} only")]
    Incompatible {
        /// Nearest revision below the requested one, or the higher one.
        lower: Version,
        /// Highest revision.
        higher: Version,
    },
    /// The call is not supported: not a realm.
    #[error("not a realm")]
    NotARealm,
    /// A result outside the specification.
    #[error("result {0:#x}, which the specification does not define")]
    Undefined(u64),
}

fn check(result: u64) -> Result<(), Error> {
    match Status::from_raw(result) {
        Some(Status::Success) => Ok(()),
        Some(Status::ErrorInput) => Err(Error::Input),
        Some(Status::ErrorState) => Err(Error::State),
        Some(Status::Incomplete) => Err(Error::Incomplete),
        Some(Status::ErrorUnknown) => Err(Error::Unknown),
        Some(Status::ErrorDevice) => Err(Error::Device),
        None if result == fid::NOT_SUPPORTED => Err(Error::NotSupported),
        None => Err(Error::Undefined(result)),
    }
}
