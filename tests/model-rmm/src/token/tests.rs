use super::*;
use crate::verify::{VerifyError, verify};

fn attested(hash: HashAlgorithm) -> Attested {
    let mut measurements = [[0; 64]; 5];
    for (measurement, fill) in measurements.iter_mut().zip(1..) {
        measurement[..hash.digest_len()].fill(fill);
    }
    Attested { hash, rpv: [9; 64], measurements }
}

#[test]
fn a_verifier_reads_what_the_realm_is() {
    for hash in [HashAlgorithm::Sha256, HashAlgorithm::Sha384, HashAlgorithm::Sha512] {
        let token = token(&[7; 64], &attested(hash), 0);
        let claims = verify(&token).unwrap();
        assert_eq!(claims.challenge, [7; 64]);
        assert_eq!(claims.rpv, [9; 64]);
        assert_eq!(claims.hash, hash.name());
        assert_eq!(claims.rim, vec![1; hash.digest_len()]);
        let rems: Vec<_> = (2..6).map(|fill| vec![fill; hash.digest_len()]).collect();
        assert_eq!(claims.rems, rems);
        assert_eq!(claims.profile, "tag:arm.com,2023:realm#1.0.0");
    }
}

#[test]
fn a_token_is_as_long_as_it_is_asked_to_be() {
    for at_least in [0, 4096, 20_000] {
        let token = token(&[7; 64], &attested(HashAlgorithm::Sha512), at_least);
        let beyond = token.len().checked_sub(at_least);
        assert!(beyond.is_some_and(|beyond| beyond < 4096), "{} of {at_least}", token.len());
        assert!(verify(&token).is_ok());
    }
}

#[test]
fn no_byte_can_be_changed() {
    let token = token(&[7; 64], &attested(HashAlgorithm::Sha256), 0);
    let honest = verify(&token).unwrap();
    for at in (0..token.len()).step_by(97) {
        let mut changed = token.clone();
        changed[at] ^= 1;
        assert!(verify(&changed) != Ok(honest.clone()), "byte {at}");
    }
}

#[test]
fn a_realm_key_the_platform_does_not_know_is_refused() {
    let other = SigningKey::from_slice(&[3; 48]).unwrap();
    let public = cose_key(&other);
    let realm = sign1(&other, &realm_claims(&[7; 64], &attested(HashAlgorithm::Sha256), &public));
    let rak = cose_key(&test_key(REALM_KEY));
    let platform = sign1(&test_key(PLATFORM_KEY), &platform_claims(&rak, 0));
    let collection = Encoder::new().tag(TAG_COLLECTION).map(2);
    let collection = collection.int(PLATFORM_TOKEN).bytes(&platform);
    let token = collection.int(REALM_TOKEN).bytes(&realm).into_bytes();
    assert_eq!(verify(&token), Err(VerifyError::Binding));
}
