//! The Realm Services Interface (RSI) and the Realm Host Interface (RHI).
//!
//! What a realm guest needs to talk to the Realm Management Monitor: the definitions
//! ([`fid`], [`Status`], [`Ripas`], [`RealmConfig`], [`HostCall`]), the calls ([`Rsi`]) over a
//! [`Conduit`], and the loops over RIPAS changes that a partial answer asks for
//! ([`Rsi::set_range`]).
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
