//! The verifier's side of an attestation token: checks both signatures and reads the claims.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use p384::ecdsa::signature::hazmat::PrehashVerifier;
use p384::ecdsa::{Signature, VerifyingKey};
use rsi::HashAlgorithm;
use rsi::rmm::hash;

use crate::cbor::{Decoder, Encoder, Item};
use crate::token::{PLATFORM_KEY, PLATFORM_TOKEN, REALM_TOKEN, TAG_COLLECTION, TAG_SIGN1, test_key};

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Not the structure of a CCA token.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// A signature does not verify.
    #[error("the signature of the {0} token does not verify")]
    Signature(&'static str),
    /// The platform token does not vouch for the realm's key.
    #[error("the platform token is bound to another realm attestation key")]
    Binding,
    /// A claim is not there or has another type.
    #[error("claim {0} is missing")]
    Claim(i64),
}

/// What a realm token claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmClaims {
    /// Challenge (10).
    pub challenge: Vec<u8>,
    /// Realm personalization value (44235).
    pub rpv: Vec<u8>,
    /// Name of the hash algorithm (44236).
    pub hash: String,
    /// Realm initial measurement (44238).
    pub rim: Vec<u8>,
    /// Realm extensible measurements (44239).
    pub rems: Vec<Vec<u8>>,
    /// Profile (265).
    pub profile: String,
}

type Claims = Vec<(i64, Item)>;

/// Verifies a token of this model: the platform token with the published platform test key, the
/// realm token with the key it carries, whose hash the platform token has as its challenge.
///
/// # Errors
/// Why the token is not believed.
pub fn verify(token: &[u8]) -> Result<RealmClaims, VerifyError> {
    let malformed = VerifyError::Malformed;
    let Some(Item::Tag(TAG_COLLECTION, collection)) = Decoder::decode(token) else {
        return Err(malformed("no collection"));
    };
    let tokens = collection.into_map().ok_or(malformed("no map of tokens"))?;
    let part = |key| bytes(&tokens, key);
    let platform = sign1_payload(&part(PLATFORM_TOKEN)?)?;
    platform.verify(test_key(PLATFORM_KEY).verifying_key(), "platform")?;
    let realm = sign1_payload(&part(REALM_TOKEN)?)?;
    let claims = realm.claims()?;
    let rak = bytes(&claims, 44237)?;
    realm.verify(&key(&rak).ok_or(malformed("realm key"))?, "realm")?;
    if text(&claims, 44240)? != HashAlgorithm::Sha256.name() {
        return Err(malformed("hash of the realm key"));
    }
    let bound = bytes(&platform.claims()?, 10)?;
    if hash(HashAlgorithm::Sha256, &[&rak]).get(..32) != Some(&bound) {
        return Err(VerifyError::Binding);
    }
    let rems = match claim(&claims, 44239)? {
        Item::Array(items) => items.into_iter().map(Item::into_bytes).collect(),
        _ => None,
    };
    Ok(RealmClaims {
        challenge: bytes(&claims, 10)?,
        rpv: bytes(&claims, 44235)?,
        hash: text(&claims, 44236)?,
        rim: bytes(&claims, 44238)?,
        rems: rems.ok_or(VerifyError::Claim(44239))?,
        profile: text(&claims, 265)?,
    })
}

struct Sign1 {
    protected: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

fn sign1_payload(token: &[u8]) -> Result<Sign1, VerifyError> {
    let malformed = VerifyError::Malformed("no COSE_Sign1");
    let Some(Item::Tag(TAG_SIGN1, message)) = Decoder::decode(token) else {
        return Err(malformed);
    };
    let Item::Array(parts) = *message else {
        return Err(malformed);
    };
    let parts: [Item; 4] = parts.try_into().map_err(|_| malformed)?;
    let [protected, _, payload, signature] = parts;
    let parts = (protected.into_bytes(), payload.into_bytes(), signature.into_bytes());
    let (Some(protected), Some(payload), Some(signature)) = parts else {
        return Err(malformed);
    };
    Ok(Sign1 { protected, payload, signature })
}

impl Sign1 {
    fn verify(&self, key: &VerifyingKey, which: &'static str) -> Result<(), VerifyError> {
        let structure = Encoder::new()
            .array(4)
            .text("Signature1")
            .bytes(&self.protected)
            .bytes(&[])
            .bytes(&self.payload)
            .into_bytes();
        let digest = hash(HashAlgorithm::Sha384, &[&structure]);
        let signature = Signature::from_slice(&self.signature);
        let signature = signature.map_err(|_| VerifyError::Signature(which))?;
        key.verify_prehash(digest.get(..48).unwrap_or_default(), &signature).map_err(|_| VerifyError::Signature(which))
    }

    fn claims(&self) -> Result<Claims, VerifyError> {
        let item = Decoder::decode(&self.payload).and_then(|item| item.into_map());
        item.ok_or(VerifyError::Malformed("no map of claims"))
    }
}

/// The public key in a COSE_Key of type EC2 on P-384.
fn key(cose: &[u8]) -> Option<VerifyingKey> {
    let map = Decoder::decode(cose)?.into_map()?;
    let kind = claim(&map, 1).ok()? == Item::Int(2) && claim(&map, -1).ok()? == Item::Int(2);
    let (x, y) = (bytes(&map, -2).ok()?, bytes(&map, -3).ok()?);
    let point = [&[4], x.as_slice(), &y].concat();
    kind.then(|| VerifyingKey::from_sec1_bytes(&point).ok())?
}

fn claim(claims: &Claims, key: i64) -> Result<Item, VerifyError> {
    let found = claims.iter().find(|(name, _)| *name == key);
    found.map(|(_, item)| item.clone()).ok_or(VerifyError::Claim(key))
}

fn bytes(claims: &Claims, key: i64) -> Result<Vec<u8>, VerifyError> {
    claim(claims, key)?.into_bytes().ok_or(VerifyError::Claim(key))
}

fn text(claims: &Claims, key: i64) -> Result<String, VerifyError> {
    match claim(claims, key)? {
        Item::Text(text) => Ok(text.to_string()),
        _ => Err(VerifyError::Claim(key)),
    }
}
