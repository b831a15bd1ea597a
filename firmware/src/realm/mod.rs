//! What the firmware runs in: a realm, or a plain VM. The only place that asks.
//!
//! The calls are those of the crate `rsi`; here they meet the one realm that this is.
#![expect(unsafe_code, reason = "the RMM reads and writes memory that it is given the address of")]

use core::cell::UnsafeCell;
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

use address_space::page_table::ADDRESS_END;
use boot_asm::StartInfo;
use rsi::{
    ChangeDestroyed, HashAlgorithm, HostCall, MIN_IPA_WIDTH, RangeError, RealmConfig, Ripas, Rsi, SmcConduit, Version,
    VersionError, rhi,
};
use thiserror::Error;

/// The widest IPA space that page tables of 48-bit addresses reach.
const MAX_IPA_WIDTH: u32 = ADDRESS_END.ilog2();
/// What the host converts between private and shared when it does not say: one granule.
const DEFAULT_ALIGNMENT: u64 = rsi::GRANULE;

/// Why a realm cannot be used.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// No common version of the interface.
    #[error("RSI: {0}; this firmware has 1.0 and 1.1")]
    Version(#[from] VersionError),
    /// A call failed that cannot fail.
    #[error("RSI_REALM_CONFIG: {0}")]
    Config(rsi::Error),
    /// Likewise.
    #[error("RSI_MEASUREMENT_READ: {0}")]
    MeasurementRead(rsi::Error),
    /// An IPA width without meaning, or beyond the page tables.
    #[error("IPA width of {0} bits: this firmware has page tables for {MIN_IPA_WIDTH} to {MAX_IPA_WIDTH}")]
    IpaWidth(u64),
    /// A hash algorithm that is not defined.
    #[error("hash algorithm {0} is not defined")]
    Hash(u8),
    /// The RIPAS of memory is not, or does not become, what it must be.
    #[error("RIPAS of {what} at {start:#x}..{end:#x}: {error}")]
    Ripas {
        /// Whose memory it is.
        what: &'static str,
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
        /// What is wrong.
        error: RangeError,
    },
    /// Memory that no realm of this width can have.
    #[error("{what} at {start:#x}..{end:#x} ends beyond the protected half of the IPA space, {half:#x}")]
    Unprotected {
        /// Whose memory it is.
        what: &'static str,
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
        /// End of the protected half.
        half: u64,
    },
    /// An address that has no shared alias.
    #[error("{0:#x} has no shared alias")]
    NoAlias(u64),
    /// RHI_HOSTCONF_GET_IPA_CHANGE_ALIGNMENT gives a value that no granule fits.
    #[error("the host converts memory in pieces of {0:#x} bytes, which is no multiple of 4 KiB")]
    Alignment(u64),
}

/// What the firmware runs in.
#[derive(Clone, Copy, Debug)]
pub enum World {
    /// No RMM answered.
    Plain,
    /// A realm.
    Realm(Realm),
}

/// The realm.
#[derive(Clone, Copy, Debug)]
pub struct Realm {
    /// The highest revision of RSI that the RMM and the firmware have in common.
    pub version: Version,
    /// Width of the IPA space in bits.
    pub ipa_width: u64,
    /// The algorithm of the measurement registers.
    pub hash: HashAlgorithm,
    /// Bytes that the host converts between private and shared at a time.
    pub alignment: u64,
}

/// Bit that names the shared alias of an address; zero in a plain VM, [`UNKNOWN`] in a realm that has not told.
static SHARED_BIT: AtomicU64 = AtomicU64::new(0);
const UNKNOWN: u64 = u64::MAX;

#[repr(C, align(4096))]
struct Granule(UnsafeCell<[u8; 4096]>);

// SAFETY: one CPU runs, without interrupts; `config` and `host_call` use it one after the other.
unsafe impl Sync for Granule {}

/// Where the RMM writes the realm's configuration and reads host calls.
static GRANULE: Granule = Granule(UnsafeCell::new([0; 4096]));

fn rsi() -> Rsi<SmcConduit> {
    // SAFETY: called in a realm only (`detect` has seen the RMM answer), where SMC goes to the RMM; the memory
    // named in calls is GRANULE or memory whose owner asks for the change.
    Rsi::new(unsafe { SmcConduit::new() })
}

/// Remembers whether this is a realm: the entry code has asked the RMM.
pub fn start(start: &StartInfo) {
    if start.realm != 0 {
        SHARED_BIT.store(UNKNOWN, Ordering::Relaxed);
    }
}

/// Finds out what this is.
///
/// # Errors
/// A realm that cannot be spoken to is an error, never a plain VM.
pub fn detect() -> Result<World, Error> {
    if !is_realm() {
        return Ok(World::Plain);
    }
    let version = negotiate(&mut rsi());
    // Even an RMM without a common version may say how wide addresses are, and so where to report that.
    let config = config();
    let (version, config) = (version?, config?);
    if SHARED_BIT.load(Ordering::Relaxed) >= ADDRESS_END {
        return Err(Error::IpaWidth(config.ipa_width));
    }
    let rim = rsi().measurement_read(0).map_err(Error::MeasurementRead)?;
    let hash = config.hash(&rim).ok_or(Error::Hash(config.hash_algorithm))?;
    Ok(World::Realm(Realm { version, ipa_width: config.ipa_width, hash, alignment: alignment()? }))
}

/// The highest common revision.
fn negotiate(rsi: &mut Rsi<SmcConduit>) -> Result<Version, Error> {
    if rsi.version(Version::V1_1).is_ok() {
        return Ok(Version::V1_1);
    }
    rsi.version(Version::V1_0)?;
    Ok(Version::V1_0)
}

/// Asks for the shared bit of a realm that has not told it: for a fault that comes before [`detect`] is through.
pub fn find_shared_bit() {
    if shared_bit() == UNKNOWN {
        // Without it there is no address to tell the reason at.
        let _ = config();
    }
}

/// Asks for the realm's configuration, and keeps its shared bit.
fn config() -> Result<RealmConfig, Error> {
    let granule = GRANULE.0.get();
    rsi().realm_config(granule.expose_provenance() as u64).map_err(Error::Config)?;
    // SAFETY: the RMM has written the granule and is done with it; nobody else has a reference.
    let config = RealmConfig::from_bytes(unsafe { &*granule }).ok_or(Error::Config(rsi::Error::Unknown))?;
    if let Some(bit) = config.shared_bit() {
        SHARED_BIT.store(bit, Ordering::Relaxed);
    }
    Ok(config)
}

/// RHI_HOSTCONF_GET_IPA_CHANGE_ALIGNMENT (DEN0148).
fn alignment() -> Result<u64, Error> {
    let granule = GRANULE.0.get().cast::<[u8; HostCall::LEN]>();
    let request = HostCall::rhi(rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT).to_bytes();
    // SAFETY: the granule is larger than the structure, and the RMM reads it only during the call.
    unsafe { granule.write(request) };
    if rsi().host_call(granule.expose_provenance() as u64).is_err() {
        return Ok(DEFAULT_ALIGNMENT);
    }
    // SAFETY: the RMM has written the structure and is done with it.
    let answer = HostCall::from_bytes(&unsafe { granule.read() }).first();
    match answer {
        // Not supported, in the two forms that hosts give.
        0 | u64::MAX => Ok(DEFAULT_ALIGNMENT),
        alignment if alignment.is_power_of_two() && alignment >= rsi::GRANULE => Ok(alignment),
        alignment => Err(Error::Alignment(alignment)),
    }
}

/// Bit that names the shared alias of an address; zero in a plain VM.
pub fn shared_bit() -> u64 {
    SHARED_BIT.load(Ordering::Relaxed)
}

/// The shared bit of a realm whose aliases are beyond what the page tables reach.
pub fn shared_bit_beyond_tables() -> Option<u64> {
    Some(shared_bit()).filter(|bit| (ADDRESS_END..UNKNOWN).contains(bit))
}

/// Whether this is a realm.
pub fn is_realm() -> bool {
    shared_bit() != 0
}

/// Makes `range` private RAM and verifies that it is. Does nothing in a plain VM.
///
/// # Errors
/// [`Error::Ripas`] for memory that the host refuses or has destroyed.
pub fn accept(what: &'static str, range: &Range<u64>) -> Result<(), Error> {
    set(what, range, Ripas::Ram)
}

/// Gives `range` up: its private contents are lost, and its shared alias is the host's. Does nothing in a plain VM.
///
/// # Errors
/// [`Error::Ripas`].
pub fn release(what: &'static str, range: &Range<u64>) -> Result<(), Error> {
    set(what, range, Ripas::Empty)
}

fn set(what: &'static str, range: &Range<u64>, ripas: Ripas) -> Result<(), Error> {
    if !is_realm() {
        return Ok(());
    }
    if range.end > shared_bit() {
        return Err(Error::Unprotected { what, start: range.start, end: range.end, half: shared_bit() });
    }
    let named = |error| Error::Ripas { what, start: range.start, end: range.end, error };
    rsi().set_range(range.start, range.end, ripas, ChangeDestroyed::No).map_err(named)
}

/// Checks that `range` is private RAM. Does nothing in a plain VM.
///
/// # Errors
/// [`Error::Ripas`].
pub fn verify(what: &'static str, range: &Range<u64>) -> Result<(), Error> {
    if !is_realm() {
        return Ok(());
    }
    let named = |error| Error::Ripas { what, start: range.start, end: range.end, error };
    rsi().verify_range(range.start, range.end, Ripas::Ram).map_err(named)
}

/// What is added to the address of a device's registers to reach them: nothing for a device that the RMM vouches
/// for (RIPAS DEV) and in a plain VM, the shared bit for one of the host's.
///
/// # Errors
/// [`Error::NoAlias`] for registers that are not in the protected half, or while that is not known.
pub fn device_offset(range: &Range<u64>) -> Result<u64, Error> {
    let bit = shared_bit();
    if bit == 0 {
        return Ok(0);
    }
    if bit >= ADDRESS_END || range.end > bit {
        return Err(Error::NoAlias(range.start));
    }
    if rsi().verify_range(range.start, range.end, Ripas::Dev).is_ok() {
        return Ok(0);
    }
    // Memory, or a device of which only a part is vouched for, is not the host's to answer for.
    let named = |error| Error::Ripas { what: "device registers", start: range.start, end: range.end, error };
    rsi().verify_range(range.start, range.end, Ripas::Empty).map_err(named)?;
    Ok(bit)
}

/// Extends REM `index` (1 to 4).
///
/// # Errors
/// The RMM's.
pub fn extend(index: u64, digest: &[u8]) -> Result<(), rsi::Error> {
    rsi().measurement_extend(index, digest)
}
