//! CCA attestation tokens (DEN0137 A7.2; draft-ffm-rats-cca-token): a collection of a platform
//! token and a realm token, each a COSE_Sign1 (RFC 9052) signed with ES384.
//!
//! The keys are test keys made from public sentences: anybody can sign with them, and a verifier
//! that accepts them accepts this model.

use alloc::vec;
use alloc::vec::Vec;

use p384::ecdsa::SigningKey;
use p384::ecdsa::signature::hazmat::PrehashSigner;
use rsi::HashAlgorithm;
use rsi::rmm::{Attested, hash};

use crate::cbor::Encoder;

/// CBOR tag of the collection.
pub const TAG_COLLECTION: u64 = 399;
/// CBOR tag of a COSE_Sign1.
pub const TAG_SIGN1: u64 = 18;
/// Key of the platform token in the collection.
pub const PLATFORM_TOKEN: i64 = 44234;
/// Key of the realm token in the collection.
pub const REALM_TOKEN: i64 = 44241;

/// Sentence whose SHA-384 is the private key of the platform (CPAK).
pub const PLATFORM_KEY: &str = "model RMM of realmfw: CCA platform attestation test key";
/// Sentence whose SHA-384 is the private key of the realm (RAK).
pub const REALM_KEY: &str = "model RMM of realmfw: realm attestation test key";

/// COSE algorithm ES384 (RFC 9053 2.1).
const ES384: i64 = -35;

/// The test key of a sentence.
///
/// # Panics
/// Never with the two sentences of this module: a test proves that they give valid scalars.
#[expect(clippy::expect_used, reason = "constant input, covered by a test")]
pub fn test_key(sentence: &str) -> SigningKey {
    let digest = hash(HashAlgorithm::Sha384, &[sentence.as_bytes()]);
    let scalar: &[u8] = digest.get(..48).unwrap_or_default();
    SigningKey::from_slice(scalar).expect("digest is below the group order")
}

/// COSE_Key (RFC 9053 7.1) of the public half: EC2, P-384.
pub fn cose_key(key: &SigningKey) -> Vec<u8> {
    let point = key.verifying_key().to_sec1_point(false);
    let bytes = point.as_bytes();
    let x = bytes.get(1..49).unwrap_or_default();
    let y = bytes.get(49..97).unwrap_or_default();
    let encoder = Encoder::new().map(4).int(1).int(2).int(-1).int(2);
    encoder.int(-2).bytes(x).int(-3).bytes(y).into_bytes()
}

fn sign1(key: &SigningKey, payload: &[u8]) -> Vec<u8> {
    let protected = Encoder::new().map(1).int(1).int(ES384).into_bytes();
    let to_be_signed =
        Encoder::new().array(4).text("Signature1").bytes(&protected).bytes(&[]).bytes(payload).into_bytes();
    let digest = hash(HashAlgorithm::Sha384, &[&to_be_signed]);
    let signed: Result<p384::ecdsa::Signature, _> = key.sign_prehash(digest.get(..48).unwrap_or_default());
    let signature = signed.map_or(vec![], |signature| signature.to_bytes().to_vec());
    let encoder = Encoder::new().tag(TAG_SIGN1).array(4).bytes(&protected).map(0);
    encoder.bytes(payload).bytes(&signature).into_bytes()
}

fn realm_claims(challenge: &[u8; 64], realm: &Attested, rak: &[u8]) -> Vec<u8> {
    let len = realm.hash.digest_len();
    let [rim, rems @ ..] = &realm.measurements;
    let mut encoder = Encoder::new()
        .map(8)
        .int(10)
        .bytes(challenge)
        .int(265)
        .text("tag:arm.com,2023:realm#1.0.0")
        .int(44235)
        .bytes(&realm.rpv)
        .int(44236)
        .text(realm.hash.name())
        .int(44237)
        .bytes(rak)
        .int(44238)
        .bytes(rim.get(..len).unwrap_or_default())
        .int(44239)
        .array(rems.len() as u64);
    for rem in rems {
        encoder = encoder.bytes(rem.get(..len).unwrap_or_default());
    }
    encoder.int(44240).text(HashAlgorithm::Sha256.name()).into_bytes()
}

/// Bytes of one component in the platform token at least.
const COMPONENT: usize = 75;

/// Claims of the platform; its software has so many components that they alone take `at_least`
/// bytes.
fn platform_claims(rak: &[u8], at_least: usize) -> Vec<u8> {
    let components = at_least.div_ceil(COMPONENT).max(1);
    let challenge = hash(HashAlgorithm::Sha256, &[rak]);
    let implementation = hash(HashAlgorithm::Sha256, &[b"model RMM of realmfw"]);
    let digest = |value: &[u8; 64]| -> Vec<u8> { value.get(..32).unwrap_or_default().to_vec() };
    let implementation = digest(&implementation);
    let mut instance = vec![1];
    instance.extend_from_slice(&implementation);
    let mut encoder = Encoder::new()
        .map(8)
        .int(10)
        .bytes(&digest(&challenge))
        .int(256)
        .bytes(&instance)
        .int(265)
        .text("tag:arm.com,2023:cca_platform#1.0.0")
        .int(2395)
        .int(0x3000)
        .int(2396)
        .bytes(&implementation)
        .int(2399)
        .array(components as u64);
    for _ in 0..components {
        encoder = encoder.map(3).int(1).text("RMM").int(2).bytes(&implementation).int(5).bytes(&implementation);
    }
    encoder.int(2401).bytes(&[]).int(2402).text(HashAlgorithm::Sha256.name()).into_bytes()
}

/// Makes a token of `at_least` so many bytes.
pub fn token(challenge: &[u8; 64], realm: &Attested, at_least: usize) -> Vec<u8> {
    let rak = test_key(REALM_KEY);
    let rak_public = cose_key(&rak);
    let platform = sign1(&test_key(PLATFORM_KEY), &platform_claims(&rak_public, at_least));
    let realm = sign1(&rak, &realm_claims(challenge, realm, &rak_public));
    Encoder::new()
        .tag(TAG_COLLECTION)
        .map(2)
        .int(PLATFORM_TOKEN)
        .bytes(&platform)
        .int(REALM_TOKEN)
        .bytes(&realm)
        .into_bytes()
}

#[cfg(test)]
mod tests;
