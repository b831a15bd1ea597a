//! `EFI_VARIABLE_AUTHENTICATION_2` (UEFI 2.11, section 8.2.6): what a write that begins with one is told.
//!
//! There is no key here that a signature could be made by, so every write is refused. The structure decides about the
//! status alone.

use super::Error;

/// Offset in the descriptor of `AuthInfo`, behind `TimeStamp`.
const AUTH_INFO: usize = 16;
/// What `AuthInfo` has before `CertData`.
const AUTH_INFO_SIZE: usize = 24;
/// Offset in `EFI_TIME` of `Pad1`, `Nanosecond`, `TimeZone`, `Daylight` and `Pad2`, which are zero in a `TimeStamp`.
const UNUSED_OF_TIME: usize = 7;

/// `wRevision` 0x200, `wCertificateType` `WIN_CERT_TYPE_EFI_GUID`, `CertType` `EFI_CERT_TYPE_PKCS7_GUID`.
const PKCS7: [u8; 20] = [
    0x00, 0x02, 0xf1, 0x0e, 0x9d, 0xd2, 0xaf, 0x4a, 0xdf, 0x68, 0xee, 0x49, 0x8a, 0xa9, 0x34, 0x7d, 0x37, 0x56, 0x65,
    0xa7,
];

const INTEGER: u8 = 0x02;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const CONTEXT_0: u8 = 0xa0;

/// 1.2.840.113549.1.7.2, signedData of PKCS #7.
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// 2.16.840.1.101.3.4.2, below which are SHA-256 (1), SHA-384 (2) and SHA-512 (3).
const HASHES: [u8; 8] = [0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// Why a write of `data` is refused: [`Error::InvalidParameter`] for a type of signature that no firmware takes
/// (section 8.2.2), and [`Error::SecurityViolation`] for all that is malformed or cannot be verified.
pub fn refusal(data: &[u8]) -> Error {
    match certificate(data).and_then(digest_algorithm) {
        Some(algorithm) if !is_accepted(algorithm) => Error::InvalidParameter,
        _ => Error::SecurityViolation,
    }
}

fn is_accepted(algorithm: &[u8]) -> bool {
    matches!(algorithm.split_last(), Some((1..=3, below)) if below == HASHES)
}

/// `CertData` of the descriptor that `data` begins with.
fn certificate(data: &[u8]) -> Option<&[u8]> {
    let (time, auth_info) = data.split_at_checked(AUTH_INFO)?;
    let (length, _) = auth_info.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (header, certificate) = auth_info.get(..length)?.split_at_checked(AUTH_INFO_SIZE)?;
    let holds = time.get(UNUSED_OF_TIME..)?.iter().all(|byte| *byte == 0) && header.ends_with(&PKCS7);
    holds.then_some(certificate)
}

/// The first of `digestAlgorithms` of a `SignedData` (RFC 2315, section 9.1), which may be in a `ContentInfo`.
fn digest_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    let (mut signed, _) = element(certificate, SEQUENCE)?;
    if let Some((kind, content)) = element(signed, OBJECT_IDENTIFIER) {
        let (content, _) = element(content, CONTEXT_0).filter(|_| kind == SIGNED_DATA)?;
        (signed, _) = element(content, SEQUENCE)?;
    }
    let (_, rest) = element(signed, INTEGER).filter(|(version, _)| *version == [1])?;
    let (algorithms, _) = element(rest, SET)?;
    let (algorithm, _) = element(algorithms, SEQUENCE)?;
    element(algorithm, OBJECT_IDENTIFIER).map(|(identifier, _)| identifier)
}

/// The content of the DER element that `der` begins with, if it has this tag, and what follows it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, short], rest) = der.split_first_chunk()?;
    let (length, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // One to four bytes that give the length; DER has no other form.
        0x81..=0x84 => {
            let (long, rest) = rest.split_at_checked(usize::from(short & 0x7f))?;
            (long.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length).filter(|_| found == tag)
}
