//! Both ways of hashing, against the vectors of NIST, against the sha2 crate's own, and so against each other.
//!
//! On a machine without AArch64's instructions the CPU's way is the sha2 crate's block functions as well.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::*;

extern crate std;

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];

/// Miri looks at some lengths only: it takes its time.
const STEP: usize = if cfg!(miri) { 29 } else { 1 };

fn reference(algorithm: Algorithm, message: &[u8]) -> Vec<u8> {
    use sha2::Digest as _;
    match algorithm {
        Algorithm::Sha256 => sha2::Sha256::digest(message).to_vec(),
        Algorithm::Sha384 => sha2::Sha384::digest(message).to_vec(),
        Algorithm::Sha512 => sha2::Sha512::digest(message).to_vec(),
    }
}

fn message(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..len)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect()
}

/// NIST, "Descriptions of SHA-256, SHA-384, and SHA-512" and its examples: "abc", and the message of two blocks.
#[test]
fn nist_vectors() {
    let long_256 = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
    let long_512 = "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrs\
                    mnopqrstnopqrstu";
    let vectors = [
        (Algorithm::Sha256, "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (Algorithm::Sha256, long_256, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (Algorithm::Sha256, "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (
            Algorithm::Sha384,
            "abc",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        ),
        (
            Algorithm::Sha384,
            long_512,
            "09330c33f71147e83d192fc782cd1b4753111b173b3b05d22fa08086e3b0f712fcc7c71a557e2db966c3e9fa91746039",
        ),
        (
            Algorithm::Sha512,
            "abc",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a\
             2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ),
        (
            Algorithm::Sha512,
            long_512,
            "8e959b75dae313da8cf4f72814fc143f8f7779c6eb9f7fa17299aeadb6889018\
             501d289e4900f7e4331b99dec4b5433ac7d329eeb6dd26545e96e55b874be909",
        ),
    ];
    for (algorithm, message, digest) in vectors {
        for cpu in [CpuHash::SOFTWARE, CpuHash::detect()] {
            assert_eq!(Hasher::digest(algorithm, cpu, message.as_bytes()).to_string(), digest, "{algorithm:?} {cpu:?}");
        }
    }
}

#[test]
fn every_length_and_every_cut() {
    let message = message(if cfg!(miri) { 140 } else { 600 });
    for algorithm in ALGORITHMS {
        for cpu in [CpuHash::SOFTWARE, CpuHash::detect()] {
            for len in (0..message.len()).step_by(STEP) {
                let expected = reference(algorithm, &message[..len]);
                assert_eq!(Hasher::digest(algorithm, cpu, &message[..len]).as_bytes(), expected);
            }
            let expected = reference(algorithm, &message);
            for first in (0..message.len()).step_by(STEP) {
                let mut hasher = Hasher::new(algorithm, cpu);
                hasher.update(&message[..first]);
                hasher.update(&[]);
                let second = first + (message.len() - first) / 3;
                hasher.update(&message[first..second]);
                hasher.update(&message[second..]);
                assert_eq!(hasher.finish().as_bytes(), expected, "{algorithm:?} {cpu:?} cut at {first}");
            }
        }
    }
}

#[test]
fn many_blocks_unaligned() {
    let message = message(if cfg!(miri) { 300 } else { 300_000 });
    for algorithm in ALGORITHMS {
        for offset in (0..17).step_by(STEP) {
            let part = &message[offset..];
            let expected = reference(algorithm, part);
            assert_eq!(Hasher::digest(algorithm, CpuHash::detect(), part).as_bytes(), expected);
        }
    }
}

/// `MEASURED_CPU_HASH` says what the CPU, or the emulator of one, is known to have.
#[test]
fn detects_what_the_cpu_is_known_to_have() {
    let cpu = CpuHash::detect();
    match std::env::var("MEASURED_CPU_HASH").as_deref() {
        Ok("sha512") => assert_eq!((cpu.sha256(), cpu.sha512()), (true, true)),
        Ok("sha256") => assert_eq!((cpu.sha256(), cpu.sha512()), (true, false)),
        Ok("none") => assert_eq!((cpu.sha256(), cpu.sha512()), (false, false)),
        Ok(other) => panic!("MEASURED_CPU_HASH={other}"),
        Err(_) => {}
    }
    assert!(!CpuHash::SOFTWARE.sha256() && !CpuHash::SOFTWARE.sha512());
}

#[test]
fn digests_know_their_length_and_ids() {
    for algorithm in ALGORITHMS {
        let bytes = reference(algorithm, b"x");
        let digest = Digest::new(algorithm, &bytes).unwrap();
        assert_eq!(digest.as_bytes(), bytes);
        assert_eq!(digest.algorithm(), algorithm);
        assert_eq!(Digest::new(algorithm, &bytes[1..]), None);
        assert_eq!(Digest::new(algorithm, &[0; 65]), None);
        assert_eq!(Algorithm::from_tcg_id(algorithm.tcg_id()), Some(algorithm));
        let value = Digest::zero(algorithm).extended(b"ab", CpuHash::detect());
        let mut message = alloc::vec![0; algorithm.digest_len()];
        message.extend(b"ab");
        assert_eq!(value.as_bytes(), reference(algorithm, &message));
    }
    assert_eq!(Algorithm::from_tcg_id(4), None);
}
