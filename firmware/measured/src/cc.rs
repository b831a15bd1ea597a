//! EFI_CC_MEASUREMENT_PROTOCOL (UEFI 2.11, section 38.2) for Arm CCA, apart from its ABI: what loaders and kernels
//! measure goes through the firmware's own [`Measurer`], into its registers and its log.

use formats::pe;

use crate::authenticode;
use crate::event_log::EventType;
use crate::hash::Algorithm;
use crate::measure::{Error as MeasureError, Measurer, Registers, Rem};

/// EFI_CC_EVENT_LOG_FORMAT_TCG_2: the one format.
pub const EVENT_LOG_FORMAT_TCG_2: u32 = 2;
/// EFI_CC_FLAG_EXTEND_ONLY: the event is not logged.
pub const FLAG_EXTEND_ONLY: u64 = 1;
/// EFI_CC_FLAG_PE_COFF_IMAGE: the data is a PE image, of which the Authenticode digest is taken.
pub const FLAG_PE_COFF_IMAGE: u64 = 0x10;

/// EFI_CC_TYPE_ARMCCA (UEFI code first, tianocore/edk2 issue 11383).
const TYPE_ARM_CCA: u8 = 4;
/// EFI_CC_EVENT_HEADER_VERSION.
const HEADER_VERSION: u16 = 1;
/// Length of EFI_CC_EVENT.Size.
const SIZE_LEN: usize = 4;
/// Length of EFI_CC_EVENT_HEADER: HeaderSize u32, HeaderVersion u16, MrIndex u32, EventType u32, packed.
const HEADER_LEN: usize = 14;

/// Length of EFI_CC_BOOT_SERVICE_CAPABILITY.
pub const CAPABILITY_LEN: usize = 20;

/// EFI_CC_BOOT_SERVICE_CAPABILITY of a realm that hashes by `algorithm`: structure and protocol 1.0.
pub fn capability(algorithm: Algorithm) -> [u8; CAPABILITY_LEN] {
    // EFI_CC_BOOT_HASH_ALG_SHA256, _SHA384, _SHA512.
    let hash: u8 = match algorithm {
        Algorithm::Sha256 => 0x2,
        Algorithm::Sha384 => 0x4,
        Algorithm::Sha512 => 0x8,
    };
    let log = EVENT_LOG_FORMAT_TCG_2 as u8;
    let size = CAPABILITY_LEN as u8;
    [size, 1, 0, 1, 0, 0, 0, 0, hash, 0, 0, 0, log, 0, 0, 0, TYPE_ARM_CCA, 0, 0, 0]
}

/// Why HashLogExtendEvent() did not do all that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error<E> {
    /// EFI_INVALID_PARAMETER: a flag, a length, a version, an index or an event type that the protocol does not have,
    /// or that would extend what a replay of the log does not see. Nothing was done.
    #[error("the event or the flags are invalid")]
    Invalid,
    /// EFI_UNSUPPORTED: the data is no PE image with an Authenticode digest. Nothing was done.
    #[error("the image has no Authenticode digest")]
    Image(#[from] pe::Error),
    /// EFI_DEVICE_ERROR: the register was not extended. Nothing was done.
    #[error("the measurement register was not extended: {0}")]
    Register(E),
    /// EFI_VOLUME_FULL: the register was extended, but a log is truncated from this event on.
    #[error("the measurement register was extended, but the event log is full")]
    LogFull,
}

/// EFI_CC_EVENT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Event<'a> {
    register: Rem,
    event_type: EventType,
    data: &'a [u8],
}

impl<'a> Event<'a> {
    /// `bytes` are as many as its Size says.
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (size, rest) = bytes.split_first_chunk::<SIZE_LEN>()?;
        let (header, _) = rest.split_first_chunk::<HEADER_LEN>()?;
        let &[l0, l1, l2, l3, v0, v1, i0, i1, i2, i3, t0, t1, t2, t3] = header;
        let header_len = usize::try_from(u32::from_le_bytes([l0, l1, l2, l3])).ok()?;
        let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
        if size != bytes.len() || header_len < HEADER_LEN || u16::from_le_bytes([v0, v1]) != HEADER_VERSION {
            return None;
        }
        Some(Self {
            register: Rem::from_mr_index(u32::from_le_bytes([i0, i1, i2, i3]))?,
            event_type: EventType(u32::from_le_bytes([t0, t1, t2, t3])),
            data: rest.get(header_len..)?,
        })
    }
}

impl<R: Registers> Measurer<'_, R> {
    /// HashLogExtendEvent(): extends the register that `event` (an EFI_CC_EVENT of as many bytes as its Size says)
    /// names with the digest of `data`, and logs the event.
    ///
    /// REM\[3\] and the RIM cannot be extended by it.
    pub fn hash_log_extend_event(&mut self, flags: u64, data: &[u8], event: &[u8]) -> Result<(), Error<R::Error>> {
        let event = Event::parse(event).ok_or(Error::Invalid)?;
        if flags & !(FLAG_EXTEND_ONLY | FLAG_PE_COFF_IMAGE) != 0 {
            return Err(Error::Invalid);
        }
        let digest = if flags & FLAG_PE_COFF_IMAGE == 0 {
            self.digest(data)
        } else {
            authenticode::digest(&pe::Image::parse(data)?, data, self.algorithm(), self.cpu())?
        };
        let result = if flags & FLAG_EXTEND_ONLY == 0 {
            self.measure(event.register, event.event_type, &[event.data], &digest)
        } else {
            self.extend_only(event.register, &digest)
        };
        result.map_err(|error| match error {
            MeasureError::NoAction | MeasureError::Algorithm => Error::Invalid,
            MeasureError::Register(error) => Error::Register(error),
            MeasureError::LogFull => Error::LogFull,
        })
    }
}
