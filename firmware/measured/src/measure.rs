//! The one way into the measurement registers: extend and log, together.
//!
//! A plain VM has no registers, and firmware in one makes no [`Measurer`] and offers no
//! EFI_CC_MEASUREMENT_PROTOCOL: a log that no register vouches for would only look like a measurement.

mod events;
#[cfg(test)]
mod tests;

use crate::event_log::{EventLog, EventType, FinalEvents, Full};
use crate::hash::{Algorithm, CpuHash, Digest, Hasher};

pub use events::{Action, Blob, ImageLoad, gpt_data};

/// A measurement register that the firmware and what it boots extend.
///
/// REM\[3\] is not among them: it stays as it is for who hands secrets to the realm during its boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rem {
    /// The platform's configuration: PCR 1 and 7.
    Rem0,
    /// What the firmware loads and runs: PCR 2 to 6.
    Rem1,
    /// What the operating system and its loaders take: PCR 8 to 15.
    Rem2,
}

impl Rem {
    /// The register for what a TPM would take in this PCR; none for PCR 0, which is the RIM and cannot be
    /// extended, and for those above 15.
    pub fn from_pcr(pcr: u32) -> Option<Self> {
        Self::from_mr_index(mr_index_of_pcr(pcr)?)
    }

    /// The register with this index; none for the RIM, for REM\[3\], and for what is no register.
    pub fn from_mr_index(index: u32) -> Option<Self> {
        match index {
            1 => Some(Self::Rem0),
            2 => Some(Self::Rem1),
            3 => Some(Self::Rem2),
            _ => None,
        }
    }

    /// Its EFI_CC_MR_INDEX, which is its index in RSI_MEASUREMENT_EXTEND too.
    pub fn mr_index(self) -> u32 {
        match self {
            Self::Rem0 => 1,
            Self::Rem1 => 2,
            Self::Rem2 => 3,
        }
    }
}

/// The EFI_CC_MR_INDEX for a PCR in a realm, as MapPcrToMrIndex() answers (UEFI code first proposal "Add
/// supporting details of Arm Confidential Compute Architecture", tianocore/edk2 issue 11383); none for PCRs
/// above 15.
pub fn mr_index_of_pcr(pcr: u32) -> Option<u32> {
    match pcr {
        0 => Some(0),
        1 | 7 => Some(1),
        2..=6 => Some(2),
        8..=15 => Some(3),
        _ => None,
    }
}

/// The realm's measurement registers.
pub trait Registers {
    /// Why a register was not extended.
    type Error;

    /// Extends a register: `register = H(register || digest)` by the realm's algorithm, or an error and
    /// nothing done.
    fn extend(&mut self, register: Rem, digest: &[u8]) -> Result<(), Self::Error>;
}

/// Why something was not measured, or not entirely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// EV_NO_ACTION extends nothing, and a replay skips it. Nothing was done.
    #[error("EV_NO_ACTION cannot be measured")]
    NoAction,
    /// The digest is not by the realm's algorithm. Nothing was done.
    #[error("the digest is not by the realm's hash algorithm")]
    Algorithm,
    /// The register was not extended. Nothing was done.
    #[error("the measurement register was not extended: {0}")]
    Register(E),
    /// The register was extended, and the log is truncated from this event on: EFI_VOLUME_FULL of
    /// HashLogExtendEvent() (UEFI 2.11, 38.2.5).
    #[error("the measurement register was extended, but the event log is full")]
    LogFull,
}

/// The registers and their log.
#[derive(Debug)]
pub struct Measurer<'a, R> {
    registers: R,
    log: EventLog<'a>,
    final_events: Option<FinalEvents<'a>>,
    log_was_read: bool,
    cpu: CpuHash,
}

impl<'a, R: Registers> Measurer<'a, R> {
    /// From registers that nothing was extended into, and memory for the log. `algorithm` is the realm's.
    pub fn new(registers: R, area: &'a mut [u8], algorithm: Algorithm, cpu: CpuHash) -> Result<Self, Full> {
        let log = EventLog::new(area, algorithm)?;
        Ok(Self { registers, log, final_events: None, log_was_read: false, cpu })
    }

    /// Goes on with the log in `area`, and with what follows once it was read in `final_events`; all of both is
    /// overwritten.
    pub fn move_log(&mut self, area: &'a mut [u8], final_events: &'a mut [u8]) -> Result<(), Full> {
        self.log.move_to(area)?;
        self.final_events = Some(FinalEvents::new(final_events)?);
        Ok(())
    }

    /// The log as GetEventLog() tells of it: events from now on are in the table of final events, too.
    pub fn read_log(&mut self) -> &EventLog<'a> {
        self.log_was_read = true;
        &self.log
    }

    /// Extends `register` with `digest` and appends the event, whose data is the parts of `data`, one after
    /// the other.
    ///
    /// The register comes first. A log that is full keeps nothing from being measured, as UEFI has it: what
    /// is not measured could be used unseen, while a log that is truncated shows. Firmware that measures for
    /// itself treats [`Error::LogFull`] as it does the others, and stops.
    pub fn measure(
        &mut self,
        register: Rem,
        event_type: EventType,
        data: &[&[u8]],
        digest: &Digest,
    ) -> Result<(), Error<R::Error>> {
        if event_type == EventType::NO_ACTION {
            return Err(Error::NoAction);
        }
        if digest.algorithm() != self.algorithm() {
            return Err(Error::Algorithm);
        }
        self.registers.extend(register, digest.as_bytes()).map_err(Error::Register)?;
        let logged = self.log.append(register.mr_index(), event_type, digest, data);
        let also = match &mut self.final_events {
            Some(events) if self.log_was_read => events.append(register.mr_index(), event_type, digest, data),
            _ => Ok(()),
        };
        logged.and(also).map_err(|Full| Error::LogFull)
    }

    /// Extends `register` and logs nothing: only for who asks for just that, since no replay gives the register then.
    pub(crate) fn extend_only(&mut self, register: Rem, digest: &Digest) -> Result<(), Error<R::Error>> {
        self.registers.extend(register, digest.as_bytes()).map_err(Error::Register)
    }

    /// How this CPU hashes.
    pub(crate) fn cpu(&self) -> CpuHash {
        self.cpu
    }

    /// The realm's hash algorithm.
    pub fn algorithm(&self) -> Algorithm {
        self.log.algorithm()
    }

    /// A message to hash by the realm's algorithm.
    pub fn hasher(&self) -> Hasher {
        Hasher::new(self.algorithm(), self.cpu)
    }

    /// Digest by the realm's algorithm.
    pub fn digest(&self, message: &[u8]) -> Digest {
        Hasher::digest(self.algorithm(), self.cpu, message)
    }

    /// The log so far.
    pub fn log(&self) -> &EventLog<'a> {
        &self.log
    }

    /// The table of final events, if there is one.
    pub fn final_events(&self) -> Option<&FinalEvents<'a>> {
        self.final_events.as_ref()
    }

    /// The registers.
    pub fn registers(&self) -> &R {
        &self.registers
    }
}
