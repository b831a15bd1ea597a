//! Numbers and structures of RSI (DEN0137 chapter B5) and RHI (DEN0148).

/// Size in bytes of the granule in which realm memory changes state (DEN0137 A2.2.1).
pub const GRANULE: u64 = 4096;

/// The narrowest IPA space that is of use: no machine's devices and RAM fit half of less.
pub const MIN_IPA_WIDTH: u64 = 32;

/// The widest IPA space that there can be (FEAT_LPA2).
pub const MAX_IPA_WIDTH: u64 = 52;

/// Number of realm extensible measurements (DEN0137 A2.1.3).
pub const REM_COUNT: usize = 4;

/// Function identifiers (DEN0137 B5.3), passed in x0.
pub mod fid {
    /// RSI_VERSION.
    pub const VERSION: u64 = 0xC400_0190;
    /// RSI_FEATURES.
    pub const FEATURES: u64 = 0xC400_0191;
    /// RSI_MEASUREMENT_READ.
    pub const MEASUREMENT_READ: u64 = 0xC400_0192;
    /// RSI_MEASUREMENT_EXTEND.
    pub const MEASUREMENT_EXTEND: u64 = 0xC400_0193;
    /// RSI_ATTESTATION_TOKEN_INIT.
    pub const ATTESTATION_TOKEN_INIT: u64 = 0xC400_0194;
    /// RSI_ATTESTATION_TOKEN_CONTINUE.
    pub const ATTESTATION_TOKEN_CONTINUE: u64 = 0xC400_0195;
    /// RSI_REALM_CONFIG.
    pub const REALM_CONFIG: u64 = 0xC400_0196;
    /// RSI_IPA_STATE_SET.
    pub const IPA_STATE_SET: u64 = 0xC400_0197;
    /// RSI_IPA_STATE_GET.
    pub const IPA_STATE_GET: u64 = 0xC400_0198;
    /// RSI_HOST_CALL.
    pub const HOST_CALL: u64 = 0xC400_0199;
    /// RSI_MEM_GET_PERM_VALUE (RSI 1.1, as all that follow).
    pub const MEM_GET_PERM_VALUE: u64 = 0xC400_01A0;
    /// RSI_MEM_SET_PERM_INDEX.
    pub const MEM_SET_PERM_INDEX: u64 = 0xC400_01A1;
    /// RSI_MEM_SET_PERM_VALUE.
    pub const MEM_SET_PERM_VALUE: u64 = 0xC400_01A2;
    /// RSI_PLANE_ENTER.
    pub const PLANE_ENTER: u64 = 0xC400_01A3;
    /// RSI_PLANE_SYSREG_READ.
    pub const PLANE_SYSREG_READ: u64 = 0xC400_01AE;
    /// RSI_PLANE_SYSREG_WRITE.
    pub const PLANE_SYSREG_WRITE: u64 = 0xC400_01AF;
    /// The answer in x0 to an identifier nobody implements (DEN0028 5.2).
    pub const NOT_SUPPORTED: u64 = u64::MAX;

    /// The specification's name of `fid`, if it is an RSI call.
    pub fn name(fid: u64) -> Option<&'static str> {
        Some(match fid {
            VERSION => "RSI_VERSION",
            FEATURES => "RSI_FEATURES",
            MEASUREMENT_READ => "RSI_MEASUREMENT_READ",
            MEASUREMENT_EXTEND => "RSI_MEASUREMENT_EXTEND",
            ATTESTATION_TOKEN_INIT => "RSI_ATTESTATION_TOKEN_INIT",
            ATTESTATION_TOKEN_CONTINUE => "RSI_ATTESTATION_TOKEN_CONTINUE",
            REALM_CONFIG => "RSI_REALM_CONFIG",
            IPA_STATE_SET => "RSI_IPA_STATE_SET",
            IPA_STATE_GET => "RSI_IPA_STATE_GET",
            HOST_CALL => "RSI_HOST_CALL",
            MEM_GET_PERM_VALUE => "RSI_MEM_GET_PERM_VALUE",
            MEM_SET_PERM_INDEX => "RSI_MEM_SET_PERM_INDEX",
            MEM_SET_PERM_VALUE => "RSI_MEM_SET_PERM_VALUE",
            PLANE_ENTER => "RSI_PLANE_ENTER",
            PLANE_SYSREG_READ => "RSI_PLANE_SYSREG_READ",
            PLANE_SYSREG_WRITE => "RSI_PLANE_SYSREG_WRITE",
            _ => return None,
        })
    }
}

/// The Realm Host Interface (DEN0148): calls carried by RSI_HOST_CALL with immediate 0, the
/// identifier in `gprs[0]` and the result in `gprs[0]`.
pub mod rhi {
    /// RHI_HOSTCONF_VERSION: the version of the host configuration interface.
    pub const HOSTCONF_VERSION: u64 = 0xC500_004E;
    /// RHI_HOSTCONF_FEATURES: bit 0 says GET_IPA_CHANGE_ALIGNMENT is there.
    pub const HOSTCONF_FEATURES: u64 = 0xC500_004F;
    /// RHI_HOSTCONF_GET_IPA_CHANGE_ALIGNMENT: bytes to which RIPAS changes must be aligned.
    pub const HOSTCONF_GET_IPA_CHANGE_ALIGNMENT: u64 = 0xC500_0050;
    /// Version 1.0 of the host configuration interface.
    pub const HOSTCONF_VERSION_1_0: u64 = 0x1_0000;
    /// Feature bit of GET_IPA_CHANGE_ALIGNMENT.
    pub const FEATURE_IPA_CHANGE_ALIGNMENT: u64 = 1;
}

/// RsiCommandReturnCode (DEN0137 B5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Status {
    /// The command did what was asked.
    Success = 0,
    /// An argument has a value the command refuses.
    ErrorInput = 1,
    /// The state of the realm or REC does not allow the command.
    ErrorState = 2,
    /// The operation goes on: call again.
    Incomplete = 3,
    /// The operation failed for a reason that is not told.
    ErrorUnknown = 4,
    /// The state of a device does not allow the command (RSI 1.1).
    ErrorDevice = 5,
}

impl Status {
    /// The value's name, or none for a value outside the specification.
    pub fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            0 => Self::Success,
            1 => Self::ErrorInput,
            2 => Self::ErrorState,
            3 => Self::Incomplete,
            4 => Self::ErrorUnknown,
            5 => Self::ErrorDevice,
            _ => return None,
        })
    }
}

/// RsiRipas: what a realm may expect of a protected granule (DEN0137 A5.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Ripas {
    /// No memory: an access is a synchronous external abort.
    Empty = 0,
    /// Private memory.
    Ram = 1,
    /// The host took the memory away: an access does not come back.
    Destroyed = 2,
    /// An assigned device (RSI 1.1).
    Dev = 3,
}

impl Ripas {
    /// The value's name, or none for a value outside the specification.
    pub fn from_raw(raw: u64) -> Option<Self> {
        Some(match raw {
            0 => Self::Empty,
            1 => Self::Ram,
            2 => Self::Destroyed,
            3 => Self::Dev,
            _ => return None,
        })
    }
}

/// RsiRipasChangeFlags bit 0: whether DESTROYED granules may be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ChangeDestroyed {
    /// Stop at a granule that is DESTROYED: what was there is not to be replaced unnoticed.
    No = 0,
    /// Change DESTROYED granules as well.
    Yes = 1,
}

/// RsiHashAlgorithm: the algorithm of the realm's measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum HashAlgorithm {
    /// SHA-256, 32 bytes.
    Sha256 = 0,
    /// SHA-512, 64 bytes.
    Sha512 = 1,
    /// SHA-384, 48 bytes (RMM 2.0).
    Sha384 = 2,
}

impl HashAlgorithm {
    /// The value's name, or none for a value outside the specification.
    pub fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            0 => Self::Sha256,
            1 => Self::Sha512,
            2 => Self::Sha384,
            _ => return None,
        })
    }

    /// Length of a digest in bytes.
    pub fn digest_len(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The name in the IANA registry of named information hashes, as attestation tokens use it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha-256",
            Self::Sha384 => "sha-384",
            Self::Sha512 => "sha-512",
        }
    }
}

/// RsiInterfaceVersion: bits 30:16 major, bits 15:0 minor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Incompatible revisions differ here.
    pub major: u16,
    /// Compatible revisions differ here.
    pub minor: u16,
}

impl Version {
    /// RSI 1.0.
    pub const V1_0: Self = Self { major: 1, minor: 0 };
    /// RSI 1.1.
    pub const V1_1: Self = Self { major: 1, minor: 1 };

    /// The value as registers carry it.
    pub fn to_raw(self) -> u64 {
        u64::from(self.major) << 16 | u64::from(self.minor)
    }

    /// The version in a register; none when reserved bits are set.
    pub fn from_raw(raw: u64) -> Option<Self> {
        if raw >> 31 != 0 {
            return None;
        }
        Some(Self { major: (raw >> 16) as u16, minor: raw as u16 })
    }
}

impl core::fmt::Display for Version {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// RsiRealmConfig (DEN0137 B5.4): what RSI_REALM_CONFIG writes into a granule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RealmConfig {
    /// Width of the realm's IPA space in bits; the top bit separates protected from unprotected.
    pub ipa_width: u64,
    /// Hash algorithm of the measurements, as stored (see [`HashAlgorithm::from_raw`]).
    pub hash_algorithm: u8,
    /// Number of auxiliary planes (RSI 1.1).
    pub num_aux_planes: u64,
    /// Value of ICH_VTR_EL2: what the virtual CPU interface has (RSI 1.1).
    pub gicv3_vtr: u32,
    /// Realm personalization value.
    pub rpv: [u8; 64],
}

impl RealmConfig {
    /// Bytes of a granule up to the end of the last field.
    pub const LEN: usize = RPV_OFFSET + 64;

    /// The bit of an address that tells the unprotected half from the protected one; none for a width that no realm
    /// has.
    pub fn shared_bit(&self) -> Option<u64> {
        (MIN_IPA_WIDTH..=MAX_IPA_WIDTH).contains(&self.ipa_width).then(|| 1 << (self.ipa_width - 1))
    }

    /// The algorithm of the measurements; none for a value outside the specification.
    ///
    /// One RMM calls SHA-384 what others call SHA-512, so the length of the RIM, as RSI_MEASUREMENT_READ gives it,
    /// decides between the two.
    pub fn hash(&self, rim: &[u8; 64]) -> Option<HashAlgorithm> {
        let named = HashAlgorithm::from_raw(self.hash_algorithm)?;
        let tail = rim.get(HashAlgorithm::Sha384.digest_len()..).unwrap_or_default();
        match named {
            HashAlgorithm::Sha512 if tail.iter().all(|byte| *byte == 0) => Some(HashAlgorithm::Sha384),
            named => Some(named),
        }
    }

    /// Reads the structure; none when `granule` is shorter than [`Self::LEN`].
    pub fn from_bytes(granule: &[u8]) -> Option<Self> {
        Some(Self {
            ipa_width: u64::from_le_bytes(*granule.first_chunk()?),
            hash_algorithm: *granule.get(8)?,
            num_aux_planes: u64::from_le_bytes(*granule.get(0x10..)?.first_chunk()?),
            gicv3_vtr: u32::from_le_bytes(*granule.get(0x18..)?.first_chunk()?),
            rpv: *granule.get(RPV_OFFSET..)?.first_chunk()?,
        })
    }

    /// Writes the structure over the first [`Self::LEN`] bytes of a granule; everything that is
    /// not a field is zero.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let (head, rpv) = bytes.split_at_mut(RPV_OFFSET);
        for (to, from) in head.iter_mut().zip(self.ipa_width.to_le_bytes()) {
            *to = from;
        }
        if let Some(to) = head.get_mut(8) {
            *to = self.hash_algorithm;
        }
        for (to, from) in head.iter_mut().skip(0x10).zip(self.num_aux_planes.to_le_bytes()) {
            *to = from;
        }
        for (to, from) in head.iter_mut().skip(0x18).zip(self.gicv3_vtr.to_le_bytes()) {
            *to = from;
        }
        rpv.copy_from_slice(&self.rpv);
        bytes
    }
}

const RPV_OFFSET: usize = 0x200;

/// RsiHostCall (DEN0137 B5.4): 256 bytes in protected memory, aligned to 256 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCall {
    /// Immediate value; 0 for RHI.
    pub imm: u16,
    /// Registers handed to the host and back.
    pub gprs: [u64; 31],
}

impl HostCall {
    /// Size and alignment of the structure in bytes.
    pub const LEN: usize = 256;

    /// A call of the Realm Host Interface: immediate 0, identifier in `gprs[0]`.
    pub fn rhi(fid: u64) -> Self {
        let mut gprs = [0; 31];
        if let Some(first) = gprs.first_mut() {
            *first = fid;
        }
        Self { imm: 0, gprs }
    }

    /// Result or identifier: `gprs[0]`.
    pub fn first(&self) -> u64 {
        self.gprs.first().copied().unwrap_or(0)
    }

    /// Reads the structure.
    pub fn from_bytes(bytes: &[u8; Self::LEN]) -> Self {
        let mut gprs = [0; 31];
        let words = bytes.get(8..).unwrap_or_default().chunks_exact(8);
        for (gpr, word) in gprs.iter_mut().zip(words) {
            if let Ok(word) = word.try_into() {
                *gpr = u64::from_le_bytes(word);
            }
        }
        let [low, high, ..] = *bytes;
        Self { imm: u16::from_le_bytes([low, high]), gprs }
    }

    /// Writes the structure.
    pub fn to_bytes(&self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        let fields = core::iter::once(u64::from(self.imm)).chain(self.gprs);
        for (to, from) in bytes.chunks_exact_mut(8).zip(fields) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        bytes
    }
}
