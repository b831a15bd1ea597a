//! The crypto-agile event log (TCG PC Client Platform Firmware Profile 1.05, section 10; "TCG_2" of
//! EFI_CC_MEASUREMENT_PROTOCOL, UEFI 2.11, section 38.2), with one digest for each event: the realm's.
//!
//! Where the profile has a PCR index, a realm's log has the index of a measurement register (UEFI 2.11,
//! 38.1). For Arm CCA that is RSI's: 0 is the RIM, 1 to 4 are REM\[0\] to REM\[3\].
//!
//! The area behind the records is filled with ones: a consumer that knows only the area, as one that takes
//! it from the CCEL table does, ends at the index 0xFFFFFFFF, which no register has.

mod final_events;
mod parse;
#[cfg(test)]
mod tests;

use crate::hash::{Algorithm, Digest};

pub use final_events::FinalEvents;
pub use parse::{Error, Log, Record, Records, replay};

/// TCG_PCR_EVENT.eventType, TCG_PCR_EVENT2.eventType (profile, section 10.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventType(pub u32);

impl EventType {
    /// Says something and is extended nowhere.
    pub const NO_ACTION: Self = Self(0x0000_0003);
    /// The line between what came before booting and what is booted.
    pub const SEPARATOR: Self = Self(0x0000_0004);
    /// A TCG_PCClientTaggedEvent of an operating system.
    pub const EVENT_TAG: Self = Self(0x0000_0006);
    /// Configuration of the platform.
    pub const PLATFORM_CONFIG_FLAGS: Self = Self(0x0000_000a);
    /// What a boot loader loads.
    pub const IPL: Self = Self(0x0000_000d);
    /// A UEFI variable that boots.
    pub const EFI_VARIABLE_BOOT: Self = Self(0x8000_0002);
    /// An application loaded: UEFI_IMAGE_LOAD_EVENT.
    pub const EFI_BOOT_SERVICES_APPLICATION: Self = Self(0x8000_0003);
    /// A boot service driver loaded: UEFI_IMAGE_LOAD_EVENT.
    pub const EFI_BOOT_SERVICES_DRIVER: Self = Self(0x8000_0004);
    /// A runtime driver loaded: UEFI_IMAGE_LOAD_EVENT.
    pub const EFI_RUNTIME_SERVICES_DRIVER: Self = Self(0x8000_0005);
    /// A GUID partition table.
    pub const EFI_GPT_EVENT: Self = Self(0x8000_0006);
    /// One of the profile's action strings.
    pub const EFI_ACTION: Self = Self(0x8000_0007);
    /// EV_EFI_VARIABLE_BOOT2.
    pub const EFI_VARIABLE_BOOT2: Self = Self(0x8000_000c);

    /// The profile's name without "EV_", for a table that people read; none for one not listed here.
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::NO_ACTION => "NO_ACTION",
            Self::SEPARATOR => "SEPARATOR",
            Self::EVENT_TAG => "EVENT_TAG",
            Self::PLATFORM_CONFIG_FLAGS => "PLATFORM_CONFIG_FLAGS",
            Self::IPL => "IPL",
            Self::EFI_VARIABLE_BOOT => "EFI_VARIABLE_BOOT",
            Self::EFI_BOOT_SERVICES_APPLICATION => "EFI_BOOT_SERVICES_APPLICATION",
            Self::EFI_BOOT_SERVICES_DRIVER => "EFI_BOOT_SERVICES_DRIVER",
            Self::EFI_RUNTIME_SERVICES_DRIVER => "EFI_RUNTIME_SERVICES_DRIVER",
            Self::EFI_GPT_EVENT => "EFI_GPT_EVENT",
            Self::EFI_ACTION => "EFI_ACTION",
            Self::EFI_VARIABLE_BOOT2 => "EFI_VARIABLE_BOOT2",
            _ => return None,
        })
    }
}

/// TCG_EfiSpecIDEvent.signature.
const SPEC_ID_SIGNATURE: [u8; 16] = *b"Spec ID Event03\0";
/// TCG_EfiSpecIDEvent.platformClass: client.
const PLATFORM_CLASS: u32 = 0;
/// TCG_EfiSpecIDEvent: specVersionMinor, specVersionMajor, specErrata (profile 1.05 writes 2.00, errata 105).
const SPEC_VERSION: [u8; 3] = [0, 2, 105];
/// TCG_EfiSpecIDEvent.uintnSize: 64-bit UINTN, in units of 32 bits.
const UINTN_SIZE: u8 = 2;
/// Length of TCG_EfiSpecIDEvent with one algorithm and no vendor information.
const SPEC_ID_LEN: u32 = 16 + 4 + 3 + 1 + 4 + 4 + 1;
/// Length of the digest field of TCG_PCR_EVENT: SHA-1's.
const SHA1_LEN: usize = 20;
/// What fills the area behind the records.
pub const FILL: u8 = 0xff;

/// The log could not take an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the event log is full")]
pub struct Full;

/// A log being written to memory that the caller gives.
///
/// Its records are always a prefix of the events that were to be appended: once one did not fit, no later
/// one is taken, however small. So a log either replays to its registers or says that it is truncated.
#[derive(Debug)]
pub struct EventLog<'a> {
    area: &'a mut [u8],
    algorithm: Algorithm,
    len: usize,
    last: usize,
    truncated: bool,
}

impl<'a> EventLog<'a> {
    /// An empty log in `area`: TCG_PCR_EVENT with the TCG_EfiSpecIDEvent. Everything in `area` is overwritten.
    pub fn new(area: &'a mut [u8], algorithm: Algorithm) -> Result<Self, Full> {
        area.fill(FILL);
        let len = put(
            area,
            0,
            &[
                &0_u32.to_le_bytes(),
                &EventType::NO_ACTION.0.to_le_bytes(),
                &[0; SHA1_LEN],
                &SPEC_ID_LEN.to_le_bytes(),
                &SPEC_ID_SIGNATURE,
                &PLATFORM_CLASS.to_le_bytes(),
                &SPEC_VERSION,
                &[UINTN_SIZE],
                &1_u32.to_le_bytes(),
                &algorithm.tcg_id().to_le_bytes(),
                &(algorithm.digest_len() as u16).to_le_bytes(),
                &[0],
            ],
        )?;
        Ok(Self { area, algorithm, len, last: 0, truncated: false })
    }

    /// Appends a TCG_PCR_EVENT2. The event data is the parts of `data`, one after the other.
    ///
    /// Fails if the event does not fit or an earlier one did not, and leaves the records as they are.
    pub fn append(&mut self, index: u32, event_type: EventType, digest: &Digest, data: &[&[u8]]) -> Result<(), Full> {
        let record =
            if self.truncated { Err(Full) } else { put_record(self.area, self.len, index, event_type, digest, data) };
        match record {
            Ok(end) => {
                self.last = self.len;
                self.len = end;
                Ok(())
            }
            Err(Full) => {
                if let Some(unwritten) = self.area.get_mut(self.len..) {
                    unwritten.fill(FILL);
                }
                self.truncated = true;
                Err(Full)
            }
        }
    }

    /// Goes on in `area`, all of which is overwritten.
    pub fn move_to(&mut self, area: &'a mut [u8]) -> Result<(), Full> {
        area.fill(FILL);
        put(area, 0, &[self.as_bytes()])?;
        self.area = area;
        Ok(())
    }

    /// The algorithm of its digests.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The header and the records.
    pub fn as_bytes(&self) -> &[u8] {
        self.area.get(..self.len).unwrap_or_default()
    }

    /// Where the last record begins, or the header if there is none: EventLogLastEntry of
    /// EFI_CC_MEASUREMENT_PROTOCOL.GetEventLog(), as an offset.
    pub fn last_entry(&self) -> usize {
        self.last
    }

    /// Whether an event is missing: EventLogTruncated of GetEventLog().
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}

/// Writes parts one after the other from `at` on, and returns where they end.
fn put(area: &mut [u8], at: usize, parts: &[&[u8]]) -> Result<usize, Full> {
    parts.iter().try_fold(at, |at, part| {
        let end = at.checked_add(part.len()).ok_or(Full)?;
        area.get_mut(at..end).ok_or(Full)?.copy_from_slice(part);
        Ok(end)
    })
}

/// Writes a TCG_PCR_EVENT2 at `at`, and returns where it ends.
fn put_record(
    area: &mut [u8],
    at: usize,
    index: u32,
    event_type: EventType,
    digest: &Digest,
    data: &[&[u8]],
) -> Result<usize, Full> {
    let data_len = data.iter().try_fold(0_usize, |sum, part| sum.checked_add(part.len())).ok_or(Full)?;
    let data_len = u32::try_from(data_len).map_err(|_| Full)?;
    let head = put(
        area,
        at,
        &[
            &index.to_le_bytes(),
            &event_type.0.to_le_bytes(),
            &1_u32.to_le_bytes(),
            &digest.algorithm().tcg_id().to_le_bytes(),
            digest.as_bytes(),
            &data_len.to_le_bytes(),
        ],
    )?;
    put(area, head, data)
}
