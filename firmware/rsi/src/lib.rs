//! The Realm Services Interface (RSI) and the Realm Host Interface (RHI).
//!
//! What a realm guest needs to talk to the Realm Management Monitor: the definitions
//! ([`fid`], [`Status`], [`Ripas`], [`RealmConfig`], [`HostCall`]), the calls ([`Rsi`]) over a
//! [`Conduit`], and the loops over RIPAS changes that a partial answer asks for
//! ([`Rsi::set_range`]).
//!
//! It is for any realm guest: without the standard library, without allocation, without a feature. A realm makes its
//! calls by `SmcConduit`, a test by the fake:
//!
//! ```
//! use rsi::fake::FakeRmm;
//! use rsi::{ChangeDestroyed, HashAlgorithm, RealmConfig, Ripas, Rsi, Version};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In a realm: `Rsi::new(unsafe { SmcConduit::new() })`.
//! let mut rsi = Rsi::new(FakeRmm::new(41, HashAlgorithm::Sha512));
//! // An error other than `VersionError::NotARealm` is a realm whose RMM is too old or too new.
//! let (_, highest) = rsi.version(Version::V1_0)?;
//! assert_eq!(highest, Version::V1_1);
//!
//! // All of RAM becomes private memory, in as many calls as the host's answers make necessary, and is verified.
//! let ram = 0x4000_0000..0x8000_0000;
//! rsi.set_range(ram.start, ram.end, Ripas::Ram, ChangeDestroyed::No)?;
//!
//! // What is shared with the host is reached with the top bit of the IPA space.
//! rsi.realm_config(ram.start)?;
//! let granule = rsi.conduit().read(ram.start, RealmConfig::LEN).ok_or("no RAM")?;
//! let config = RealmConfig::from_bytes(&granule).ok_or("too short")?;
//! assert_eq!(config.shared_bit(), Some(1 << 40));
//!
//! // REM[0], which a verifier finds in the attestation token.
//! rsi.measurement_extend(1, &[0x17; 64])?;
//! assert_ne!(rsi.measurement_read(1)?, [0; 64]);
//! # Ok(())
//! # }
//! ```
//!
//! | Command | Call |
//! | --- | --- |
//! | RSI_VERSION | [`Rsi::version`] |
//! | RSI_FEATURES | [`Rsi::features`] |
//! | RSI_MEASUREMENT_READ, RSI_MEASUREMENT_EXTEND | [`Rsi::measurement_read`], [`Rsi::measurement_extend`] |
//! | RSI_ATTESTATION_TOKEN_INIT, RSI_ATTESTATION_TOKEN_CONTINUE | [`Rsi::attestation_token_init`], [`Rsi::attestation_token_continue`] |
//! | RSI_REALM_CONFIG | [`Rsi::realm_config`], [`RealmConfig::from_bytes`] |
//! | RSI_IPA_STATE_SET | [`Rsi::set_range`]; a single request is [`Rsi::ipa_state_set`] |
//! | RSI_IPA_STATE_GET | [`Rsi::verify_range`]; a single request is [`Rsi::ipa_state_get`] |
//! | RSI_HOST_CALL | [`Rsi::host_call`] with a [`HostCall`]; [`HostCall::rhi`] makes one of [`rhi`] |
//!
//! That is all of RSI 1.0. Of the commands that 1.1 adds (planes, devices) there are no calls.
//!
//! With the feature `rmm` the crate also holds the other side: the state machine that answers
//! these calls ([`rmm::Realm`]), shared by the model RMM at EL2 and by the fake that tests use
//! (feature `fake`).
//!
//! Sources: Realm Management Monitor specification (DEN0137) chapters B2, B5, A5 and A7; Realm
//! Host Interface (DEN0148); SMC Calling Convention (DEN0028).

#![no_std]

#[cfg(feature = "rmm")]
extern crate alloc;

mod definitions;
mod guest;
mod range;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
mod smc;

#[cfg(feature = "fake")]
pub mod fake;
#[cfg(feature = "rmm")]
pub mod ripas;
#[cfg(feature = "rmm")]
pub mod rmm;

pub use definitions::{
    ChangeDestroyed, GRANULE, HashAlgorithm, HostCall, MAX_IPA_WIDTH, MIN_IPA_WIDTH, REM_COUNT, RealmConfig, Ripas,
    Status, Version, fid, rhi,
};
pub use guest::{Conduit, Error, Registers, RipasChange, RipasRun, Rsi, TokenPart, VersionError};
pub use range::RangeError;
#[cfg(all(target_arch = "aarch64", target_os = "none"))]
pub use smc::SmcConduit;
