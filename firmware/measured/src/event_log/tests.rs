use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::hash::{CpuHash, Hasher};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
const CPU: CpuHash = CpuHash::SOFTWARE;

fn digest(algorithm: Algorithm, message: &[u8]) -> Digest {
    Hasher::digest(algorithm, CPU, message)
}

/// The layout, byte for byte, of the profile's structures.
#[test]
fn layout() {
    let mut area = [0; 160];
    let mut log = EventLog::new(&mut area, Algorithm::Sha256).unwrap();
    assert_eq!(log.last_entry(), 0);
    let digest = digest(Algorithm::Sha256, b"abc");
    log.append(2, EventType::SEPARATOR, &digest, &[&[1, 2], &[], &[3]]).unwrap();

    let mut expected = vec![0, 0, 0, 0, 3, 0, 0, 0];
    expected.extend([0; 20]);
    expected.extend([33, 0, 0, 0]);
    expected.extend(b"Spec ID Event03\0");
    expected.extend([0, 0, 0, 0, 0, 2, 105, 2, 1, 0, 0, 0, 0x0b, 0, 32, 0, 0]);
    assert_eq!(log.last_entry(), expected.len());
    expected.extend([2, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0x0b, 0]);
    expected.extend(digest.as_bytes());
    expected.extend([3, 0, 0, 0, 1, 2, 3]);
    assert_eq!(log.as_bytes(), expected);
    assert!(!log.truncated());
    let len = log.as_bytes().len();
    assert!(area[len..].iter().all(|&byte| byte == 0xff));
}

#[test]
fn full_keeps_a_prefix_and_says_so() {
    for algorithm in ALGORITHMS {
        let one = 4 + 4 + 4 + 2 + algorithm.digest_len() + 4;
        let digest = digest(algorithm, b"x");
        for size in 0..300 {
            let mut area = vec![0; size];
            let Ok(mut log) = EventLog::new(&mut area, algorithm) else {
                assert!(size < 65);
                continue;
            };
            assert!(size >= 65);
            let mut taken = 0;
            while log.append(1, EventType::IPL, &digest, &[&[7; 10]]).is_ok() {
                taken += 1;
            }
            assert_eq!(taken, (size - 65) / (one + 10));
            assert!(log.truncated());
            assert_eq!(log.append(1, EventType::IPL, &digest, &[]), Err(Full), "a smaller event leaves no hole");
            let len = log.as_bytes().len();
            assert_eq!(len, 65 + taken * (one + 10));
            assert_eq!(log.last_entry(), if taken == 0 { 0 } else { len - one - 10 });
            assert!(area[len..].iter().all(|&byte| byte == 0xff));
            let log = Log::parse(&area).unwrap();
            assert_eq!(log.records().map(Result::unwrap).count(), taken);
        }
    }
}

fn sample(algorithm: Algorithm) -> Vec<u8> {
    let mut area = vec![0; 1024];
    let mut log = EventLog::new(&mut area, algorithm).unwrap();
    log.append(1, EventType::PLATFORM_CONFIG_FLAGS, &digest(algorithm, b"tree"), &[b"device tree"]).unwrap();
    log.append(0, EventType::NO_ACTION, &Digest::zero(algorithm), &[b"note"]).unwrap();
    log.append(2, EventType::SEPARATOR, &digest(algorithm, &[0; 4]), &[&[0; 4]]).unwrap();
    log.append(2, EventType::IPL, &digest(algorithm, b"b"), &[]).unwrap();
    log.append(4, EventType::IPL, &digest(algorithm, b"c"), &[]).unwrap();
    log.as_bytes().to_vec()
}

#[test]
fn replays_what_was_extended() {
    for algorithm in ALGORITHMS {
        let bytes = sample(algorithm);
        let log = Log::parse(&bytes).unwrap();
        let zero = Digest::zero(algorithm);
        let extend = |register: Digest, message: &[u8]| register.extended(digest(algorithm, message).as_bytes(), CPU);
        let expected = [extend(zero, b"tree"), extend(extend(zero, &[0; 4]), b"b"), zero, extend(zero, b"c")];
        assert_eq!(replay(&log, CPU), Ok(expected));
        let first = log.records().next().unwrap().unwrap();
        assert_eq!((first.offset, first.index, first.data), (65, 1, &b"device tree"[..]));
    }
}

#[test]
fn ends_at_the_filling_only() {
    let mut bytes = sample(Algorithm::Sha256);
    let count = |bytes: &[u8]| Log::parse(bytes).unwrap().records().filter(Result::is_ok).count();
    assert_eq!(count(&bytes), 5);
    bytes.extend([0xff; 70]);
    assert_eq!(count(&bytes), 5);
    assert!(Log::parse(&bytes).unwrap().records().all(|record| record.is_ok()));
    *bytes.last_mut().unwrap() = 0;
    assert!(Log::parse(&bytes).unwrap().records().any(|record| record.is_err()));
}

#[test]
fn every_cut_is_noticed_or_falls_between_records() {
    let bytes = sample(Algorithm::Sha384);
    let ends: Vec<usize> =
        Log::parse(&bytes).unwrap().records().map(|record| record.unwrap().offset).chain([bytes.len()]).collect();
    for len in (0..bytes.len()).step_by(if cfg!(miri) { 41 } else { 1 }) {
        let whole = Log::parse(&bytes[..len]).is_ok_and(|log| replay(&log, CPU).is_ok());
        assert_eq!(whole, ends.contains(&len), "{len}");
    }
}

#[test]
fn refuses_registers_that_cannot_be_extended() {
    for index in [0, 5, u32::MAX] {
        let mut area = [0; 200];
        let mut log = EventLog::new(&mut area, Algorithm::Sha256).unwrap();
        log.append(index, EventType::IPL, &digest(Algorithm::Sha256, b""), &[]).unwrap();
        let log = Log::parse(log.as_bytes()).unwrap();
        assert_eq!(replay(&log, CPU), Err(Error::Register(65, index)));
    }
}

#[test]
fn refuses_other_headers() {
    let good = sample(Algorithm::Sha256);
    let changes: [(usize, u8, Error); 11] = [
        (0, 1, Error::Header),
        (4, 4, Error::Header),
        (8, 1, Error::Header),
        (28, 32, Error::Header),
        (28, 34, Error::Header),
        (32, b's', Error::Header),
        (53, 1, Error::Header),
        (56, 2, Error::Algorithm),
        (60, 4, Error::Algorithm),
        (62, 31, Error::Algorithm),
        (64, 1, Error::Header),
    ];
    for (offset, value, error) in changes {
        let mut bytes = good.clone();
        bytes[offset] = value;
        assert_eq!(Log::parse(&bytes).map(|_| ()), Err(error), "{offset}");
    }
}

#[test]
fn refuses_other_digests() {
    let good = sample(Algorithm::Sha256);
    for (offset, value) in [(8, 0), (8, 2), (12, 0x0c)] {
        let mut bytes = good.clone();
        bytes[65 + offset] = value;
        let log = Log::parse(&bytes).unwrap();
        assert_eq!(log.records().last(), Some(Err(Error::Digests(65))));
        assert_eq!(log.records().count(), 1, "a record cannot be found behind a malformed one");
    }
}

/// Hostile bytes: no panic, no record outside of the log, no endless iteration.
#[test]
fn mutations() {
    let mut state = 0x1234_5678_9abc_def1_u64;
    let mut random = move |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let rounds = if cfg!(miri) { 150 } else { 40_000 };
    let samples = ALGORITHMS.map(sample);
    let mut accepted = 0;
    for round in 0..rounds {
        let mut bytes = samples[round % 3].clone();
        for _ in 0..=random(3) {
            let at = random(bytes.len());
            match random(4) {
                0 => bytes[at] ^= 1 << random(8),
                1 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][random(5)],
                2 => bytes.truncate(at.max(1)),
                _ => drop(bytes.splice(at..at, [0xff; 4])),
            }
        }
        let Ok(log) = Log::parse(&bytes) else { continue };
        let mut end = 65;
        for record in log.records().flatten() {
            assert!(record.offset >= end);
            end = record.offset + 18 + record.digest.as_bytes().len() + record.data.len();
            assert!(end <= bytes.len());
        }
        if !cfg!(miri) && round % 10 == 0 {
            accepted += usize::from(replay(&log, CPU).is_ok());
        }
    }
    assert!(cfg!(miri) || accepted > 0);
}
