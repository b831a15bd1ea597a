//! Measurement: what the host supplies goes into the realm's registers, and into the log, before it is used.
//!
//! In a plain VM there are no registers, and every function here does nothing.

use alloc::vec::Vec;

use formats::pe;
use measured::cc;
use measured::event_log::EventType;
use measured::measure::{Action, Blob, Error as MeasureError, ImageLoad, Measurer, Registers, Rem, gpt_data};
use measured::{Algorithm, CpuHash, authenticode};
use rsi::HashAlgorithm;
use spin::Mutex;
use storage::partitions::Gpt;
use thiserror::Error;

use crate::realm::{self, World};

/// Bytes of the log before there is RAM for it: the device tree and a file or two.
const FIRST_LOG_SIZE: usize = 4096;

/// Why something could not be measured. There is no going on without.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
pub enum Error {
    /// The register was not extended, or the log is full.
    #[error("measurement: {0}")]
    Measure(#[from] MeasureError<rsi::Error>),
    /// The image has no Authenticode digest.
    #[error("measurement: {0}")]
    Image(#[from] pe::Error),
    /// No memory for the log.
    #[error("measurement: no memory for the event log")]
    NoMemory,
    /// A realm measures from its first step on.
    #[error("measurement: not started")]
    NotStarted,
}

/// The realm's registers.
struct Rems;

impl Registers for Rems {
    type Error = rsi::Error;

    fn extend(&mut self, register: Rem, digest: &[u8]) -> Result<(), rsi::Error> {
        realm::extend(register.mr_index().into(), digest)
    }
}

static MEASURER: Mutex<Option<Measurer<'static, Rems>>> = Mutex::new(None);

/// Begins the log of a realm.
///
/// # Errors
/// [`Error::NoMemory`].
pub fn start(world: &World) -> Result<(), Error> {
    let World::Realm(realm) = world else { return Ok(()) };
    let algorithm = match realm.hash {
        HashAlgorithm::Sha256 => Algorithm::Sha256,
        HashAlgorithm::Sha384 => Algorithm::Sha384,
        HashAlgorithm::Sha512 => Algorithm::Sha512,
    };
    let mut area = Vec::new();
    area.try_reserve_exact(FIRST_LOG_SIZE).map_err(|_| Error::NoMemory)?;
    area.resize(FIRST_LOG_SIZE, 0);
    let measurer = Measurer::new(Rems, area.leak(), algorithm, CpuHash::detect()).map_err(|_| Error::NoMemory)?;
    *MEASURER.lock() = Some(measurer);
    Ok(())
}

/// Does `work` with the measurer of a realm.
fn with(work: impl FnOnce(&mut Measurer<'static, Rems>) -> Result<(), Error>) -> Result<(), Error> {
    match MEASURER.lock().as_mut() {
        Some(measurer) => work(measurer),
        None if realm::is_realm() => Err(Error::NotStarted),
        None => Ok(()),
    }
}

/// Measures the private copy of a blob. An empty one leaves its absence behind.
///
/// # Errors
/// [`Error::Measure`].
pub fn blob(blob: Blob<'_>, bytes: &[u8]) -> Result<(), Error> {
    with(|measurer| Ok(measurer.measure_blob(blob, bytes)?))
}

/// Measures an image that is about to be loaded by its Authenticode digest. `file` is what `image` was parsed from.
///
/// # Errors
/// [`Error::Measure`], [`Error::Image`].
pub fn image(image: &pe::Image, file: &[u8], device_path: &[u8]) -> Result<(), Error> {
    with(|measurer| {
        let digest = authenticode::digest(image, file, measurer.algorithm(), CpuHash::detect())?;
        let event_type = match image.subsystem() {
            pe::Subsystem::Application => EventType::EFI_BOOT_SERVICES_APPLICATION,
            pe::Subsystem::BootServiceDriver => EventType::EFI_BOOT_SERVICES_DRIVER,
            pe::Subsystem::RuntimeDriver => EventType::EFI_RUNTIME_SERVICES_DRIVER,
        };
        let load = ImageLoad { event_type, len: file.len() as u64, link_time_address: image.image_base(), device_path };
        Ok(measurer.measure_image(&load, &digest)?)
    })
}

/// Measures the GPT of a disk, before anything on the disk is used to boot.
///
/// # Errors
/// [`Error::Measure`], [`Error::NoMemory`].
pub fn gpt(gpt: &Gpt) -> Result<(), Error> {
    with(|measurer| {
        let data = gpt_data(gpt.header(), gpt.used_entries()).ok_or(Error::NoMemory)?;
        Ok(measurer.measure_gpt(&data)?)
    })
}

/// Measures what the firmware does next.
///
/// # Errors
/// [`Error::Measure`].
pub fn action(action: Action) -> Result<(), Error> {
    with(|measurer| Ok(measurer.measure_action(action)?))
}

/// Measures a variable that takes part in booting, before it is used.
///
/// # Errors
/// [`Error::Measure`].
pub fn boot_variable(name: &str, content: &[u8]) -> Result<(), Error> {
    with(|measurer| Ok(measurer.measure_boot_variable(name, content)?))
}

/// Shows the log so far to `look`; whether there is one.
pub fn with_log(look: impl FnOnce(&[u8])) -> bool {
    MEASURER.lock().as_ref().map(|measurer| look(measurer.log().as_bytes())).is_some()
}

/// Draws the line before the first boot attempt.
///
/// # Errors
/// [`Error::Measure`].
pub fn separators() -> Result<(), Error> {
    with(|measurer| Ok(measurer.measure_separators()?))
}

/// Goes on with the log in `log`, and with the events since it was first read in `final_events`. A realm's only.
///
/// # Errors
/// [`Error::NoMemory`] when there is less room than was used so far.
pub fn move_log(log: &'static mut [u8], final_events: &'static mut [u8]) -> Result<(), Error> {
    with(|measurer| measurer.move_log(log, final_events).map_err(|_| Error::NoMemory))
}

/// The realm's algorithm; none in a plain VM, which measures nothing.
pub fn algorithm() -> Option<Algorithm> {
    MEASURER.lock().as_ref().map(Measurer::algorithm)
}

/// GetEventLog(): offset of the last event in the log, and whether an event is missing.
pub fn read_log() -> Option<(usize, bool)> {
    MEASURER.lock().as_mut().map(|measurer| {
        let log = measurer.read_log();
        (log.last_entry(), log.truncated())
    })
}

/// HashLogExtendEvent(), for what runs on the firmware; none in a plain VM.
pub fn hash_log_extend_event(flags: u64, data: &[u8], event: &[u8]) -> Option<Result<(), cc::Error<rsi::Error>>> {
    MEASURER.lock().as_mut().map(|measurer| measurer.hash_log_extend_event(flags, data, event))
}
