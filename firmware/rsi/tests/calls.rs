//! Guest calls against the RMM's state machine: each rule of DEN0137 B5.3 from both ends.

use rsi::fake::{FakeRmm, UNDEFINED};
use rsi::rmm::HostResponse;
use rsi::{
    ChangeDestroyed, Conduit, Error, GRANULE, HashAlgorithm, HostCall, RangeError, RealmConfig, Ripas, RipasChange,
    RipasRun, Rsi, TokenPart, Version, VersionError, fid, rhi,
};
use sha2::{Digest, Sha256, Sha384, Sha512};

const RAM: u64 = 0x4000_0000;

fn realm(hash: HashAlgorithm) -> Rsi<FakeRmm> {
    let mut rsi = Rsi::new(FakeRmm::new(33, hash));
    assert_eq!(rsi.set_range(RAM, RAM + 64 * GRANULE, Ripas::Ram, ChangeDestroyed::No), Ok(()));
    rsi
}

#[test]
fn version_follows_the_precedence_of_the_specification() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    assert_eq!(rsi.version(Version::V1_0), Ok((Version::V1_0, Version::V1_1)));
    assert_eq!(rsi.version(Version::V1_1), Ok((Version::V1_1, Version::V1_1)));
    let incompatible = Err(VersionError::Incompatible { lower: Version::V1_1, higher: Version::V1_1 });
    assert_eq!(rsi.version(Version { major: 2, minor: 0 }), incompatible);
    assert_eq!(rsi.version(Version { major: 0, minor: 9 }), incompatible);
}

#[test]
fn registers_that_are_no_output_are_zero() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    for (call, outputs) in [
        (fid::VERSION, 2),
        (fid::FEATURES, 1),
        (fid::MEASUREMENT_READ, 8),
        (fid::MEASUREMENT_EXTEND, 0),
        (fid::ATTESTATION_TOKEN_INIT, 1),
        (fid::ATTESTATION_TOKEN_CONTINUE, 1),
        (fid::REALM_CONFIG, 0),
        (fid::IPA_STATE_SET, 2),
        (fid::IPA_STATE_GET, 2),
        (fid::HOST_CALL, 0),
        (fid::PLANE_ENTER, 0),
    ] {
        // Once with arguments that some calls take, once with those that most refuse.
        for x1 in [RAM, 1] {
            let mut registers = [u64::MAX; 31];
            registers[..4].copy_from_slice(&[call, x1, RAM + GRANULE, 0]);
            let FakeRmm { realm, rec, host } = rsi.conduit();
            assert_eq!(realm.handle(call, rec, &mut registers, host), Ok(true));
            assert_eq!(registers[1 + outputs..17], [0; 16][outputs..], "{call:#x}({x1:#x})");
            assert_eq!(registers[17..], [u64::MAX; 14]);
        }
    }
}

#[test]
fn config_says_width_hash_and_rpv() {
    for (hash, raw) in [(HashAlgorithm::Sha256, 0), (HashAlgorithm::Sha512, 1), (HashAlgorithm::Sha384, 2)] {
        let mut rsi = realm(hash);
        rsi.realm_config(RAM).unwrap();
        let page = rsi.conduit().read(RAM, 4096).unwrap();
        let config = RealmConfig::from_bytes(&page).unwrap();
        assert_eq!((config.ipa_width, config.hash_algorithm), (33, raw));
        assert_eq!(config.rpv, [0x52; 64]);
        assert_eq!((config.num_aux_planes, config.gicv3_vtr), (0, 0x9003_0003));
        assert_eq!(page[9..0x10], [0; 7]);
        assert_eq!(page[0x1c..0x200], [0; 0x1e4]);
        assert_eq!(page[0x240..], [0; 0xdc0]);
        assert_eq!(rsi.realm_config(RAM + 8), Err(Error::Input));
        assert_eq!(rsi.realm_config(RAM + (1 << 32)), Err(Error::Input));
        assert_eq!(rsi.realm_config(0), Err(Error::Input));
    }
}

#[test]
fn the_shared_bit_is_the_top_one_of_widths_that_there_are() {
    let config = |ipa_width| RealmConfig { ipa_width, ..RealmConfig::from_bytes(&[0; 4096]).unwrap() };
    for width in 32..=52 {
        assert_eq!(config(width).shared_bit(), Some(1 << (width - 1)));
    }
    for width in [0, 1, 31, 53, 63, 64, u64::MAX] {
        assert_eq!(config(width).shared_bit(), None);
    }
}

#[test]
fn the_rim_tells_sha_384_from_sha_512() {
    let config = |hash_algorithm| RealmConfig { hash_algorithm, ..RealmConfig::from_bytes(&[0; 4096]).unwrap() };
    let rim = |len| core::array::from_fn(|at| if at < len { 0x17 } else { 0 });
    for (raw, len, hash) in [
        (0, 32, HashAlgorithm::Sha256),
        (1, 64, HashAlgorithm::Sha512),
        (1, 49, HashAlgorithm::Sha512),
        (1, 48, HashAlgorithm::Sha384),
        (2, 48, HashAlgorithm::Sha384),
    ] {
        assert_eq!(config(raw).hash(&rim(len)), Some(hash), "{raw} {len}");
    }
    assert_eq!(config(3).hash(&rim(48)), None);
}

#[test]
fn extend_hashes_the_digest_and_exactly_the_data() {
    fn expect<D: Digest>(algorithm: HashAlgorithm, data: &[u8]) {
        let mut rsi = realm(algorithm);
        let len = algorithm.digest_len();
        let mut expected = vec![0; len];
        for _ in 0..2 {
            rsi.measurement_extend(4, data).unwrap();
            expected = D::digest([&expected, data].concat()).to_vec();
        }
        let read = rsi.measurement_read(4).unwrap();
        assert_eq!(read[..len], expected);
        assert_eq!(read[len..], vec![0; 64 - len]);
        assert_eq!(rsi.measurement_read(3).unwrap(), [0; 64]);
    }
    let lengths: &[u8] = if cfg!(miri) { &[0, 33] } else { &[0, 1, 7, 8, 33, 63, 64] };
    for &len in lengths {
        let data: Vec<u8> = (0..len).collect();
        expect::<Sha256>(HashAlgorithm::Sha256, &data);
        expect::<Sha384>(HashAlgorithm::Sha384, &data);
        expect::<Sha512>(HashAlgorithm::Sha512, &data);
    }
}

#[test]
fn measurements_refuse_rim_and_what_does_not_exist() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    assert_eq!(rsi.measurement_extend(0, &[1]), Err(Error::Input));
    assert_eq!(rsi.measurement_extend(5, &[1]), Err(Error::Input));
    assert_eq!(rsi.measurement_extend(1, &[1; 65]), Err(Error::Input));
    assert_eq!(rsi.measurement_read(5), Err(Error::Input));
    assert_eq!(rsi.measurement_read(u64::MAX), Err(Error::Input));
    for index in 0..5 {
        assert_eq!(rsi.measurement_read(index), Ok([0; 64]));
    }
}

#[test]
fn state_changes_lose_contents() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    assert!(rsi.conduit().write(RAM, b"secret"));
    rsi.set_range(RAM, RAM + GRANULE, Ripas::Empty, ChangeDestroyed::No).unwrap();
    assert_eq!(rsi.conduit().read(RAM, 6), None);
    rsi.set_range(RAM, RAM + GRANULE, Ripas::Ram, ChangeDestroyed::No).unwrap();
    assert_eq!(rsi.conduit().read(RAM, 6), Some(vec![UNDEFINED; 6]));
}

#[test]
fn state_calls_refuse_bad_ranges() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    let half = 1 << 32;
    for (base, top) in [
        (RAM + 1, RAM + GRANULE),
        (RAM, RAM + 1),
        (RAM, RAM),
        (RAM + GRANULE, RAM),
        (half - GRANULE, half + GRANULE),
        (half, half + GRANULE),
        (u64::MAX - GRANULE + 1, 0),
    ] {
        let set = rsi.ipa_state_set(base, top, Ripas::Ram, ChangeDestroyed::No);
        assert_eq!(set, Err(Error::Input), "{base:#x} {top:#x}");
        assert_eq!(rsi.ipa_state_get(base, top), Err(Error::Input));
    }
    for ripas in [Ripas::Destroyed, Ripas::Dev] {
        let set = rsi.ipa_state_set(RAM, RAM + GRANULE, ripas, ChangeDestroyed::No);
        assert_eq!(set, Err(Error::Input));
    }
    // Bits that should be zero: of the state, of the flags.
    for (ripas, flags) in [(1 << 8, 0), (1 << 32 | 1, 0), (1, 2), (1, 1 << 63 | 1)] {
        let mut registers = [fid::IPA_STATE_SET, RAM, RAM + GRANULE, ripas, flags, 0, 0, 0, 0, 0, 0];
        rsi.conduit().call(&mut registers);
        assert_eq!(registers[0], 1, "{ripas:#x} {flags:#x}");
    }
    let whole = rsi.ipa_state_get(0, half).unwrap();
    assert_eq!((whole.top, whole.ripas), (RAM, Ripas::Empty));
}

/// What an RMM tells in pieces, table by table, is put together.
#[test]
fn runs_end_at_tables_too() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    rsi.conduit().realm.attributes.run_span = Some(16 * GRANULE);
    let run = |top| Ok(RipasRun { top, ripas: Ripas::Ram });
    assert_eq!(rsi.ipa_state_get(RAM + GRANULE, RAM + 64 * GRANULE), run(RAM + 16 * GRANULE));
    assert_eq!(rsi.ipa_state_get(RAM + 16 * GRANULE, RAM + 20 * GRANULE), run(RAM + 20 * GRANULE));
    assert_eq!(rsi.verify_range(RAM, RAM + 64 * GRANULE, Ripas::Ram), Ok(()));
    let found = RangeError::Found { at: RAM + 64 * GRANULE, found: Ripas::Empty };
    assert_eq!(rsi.verify_range(RAM, RAM + 65 * GRANULE, Ripas::Ram), Err(found));
}

#[test]
fn destroyed_granules_stop_a_change_unless_it_is_asked_for() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    let at = RAM + 3 * GRANULE;
    rsi.conduit().destroy(at, at + GRANULE);
    let accept = |rsi: &mut Rsi<FakeRmm>, destroyed| rsi.set_range(RAM, RAM + 8 * GRANULE, Ripas::Ram, destroyed);
    assert_eq!(accept(&mut rsi, ChangeDestroyed::No), Err(RangeError::NoProgress { at }));
    for to in [Ripas::Ram, Ripas::Empty] {
        let stopped = rsi.ipa_state_set(RAM, RAM + 8 * GRANULE, to, ChangeDestroyed::No);
        assert_eq!(stopped, Ok(RipasChange { new_base: at, accepted: true }), "{to:?}");
    }
    assert_eq!(accept(&mut rsi, ChangeDestroyed::Yes), Ok(()));
}

#[test]
fn only_ram_is_destroyed() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    let realm = &mut rsi.conduit().realm;
    let (empty, device) = (RAM - GRANULE, RAM);
    realm.ripas.set(device, device + GRANULE, Ripas::Dev);
    assert_eq!([empty, device, RAM + GRANULE].map(|ipa| realm.destroy(ipa + 8)), [false, false, true]);
    assert_eq!([empty, device].map(|ipa| realm.ripas.get(ipa)), [Ripas::Empty, Ripas::Dev]);
    assert_eq!(realm.ripas.run(RAM + GRANULE, u64::MAX), (Ripas::Destroyed, RAM + 2 * GRANULE));
}

/// An RMM answers the commands of the revisions it has, whichever the realm asked for.
#[test]
fn commands_of_rsi_1_1_are_there_with_rsi_1_1() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    for (highest, result) in [(Version::V1_1, 1), (Version::V1_0, u64::MAX)] {
        rsi.conduit().realm.attributes.versions.1 = highest;
        assert!(rsi.version(Version::V1_0).is_ok());
        for call in [0xC400_01A0, 0xC400_01A1, 0xC400_01A2, 0xC400_01A3, 0xC400_01AE, 0xC400_01AF] {
            let mut registers = [call, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            rsi.conduit().call(&mut registers);
            assert_eq!(registers[0], result, "{call:#x}");
        }
        rsi.realm_config(RAM).unwrap();
        let page = rsi.conduit().read(RAM, 4096).unwrap();
        let shown = page[0x18..0x1c] != [0; 4];
        assert_eq!(shown, highest == Version::V1_1);
    }
}

#[test]
fn partial_progress_is_continued_and_refusal_is_told() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    let top = RAM + 16 * GRANULE;
    let host = &mut rsi.conduit().host;
    for part in [1, 1, 5, 5, 9] {
        host.responses.push_back(HostResponse::Upto(RAM + part * GRANULE));
    }
    rsi.set_range(RAM, top, Ripas::Empty, ChangeDestroyed::No).unwrap();
    for answer in [HostResponse::Upto(RAM + GRANULE), HostResponse::RejectFrom(0)] {
        rsi.conduit().host.responses.push_back(answer);
    }
    assert_eq!(
        rsi.set_range(RAM, top, Ripas::Ram, ChangeDestroyed::No),
        Err(RangeError::Rejected { at: RAM + GRANULE })
    );
    // As far as it is done and no further, and not at all when all of it is (A5.4, IDRPPK).
    let host = &mut rsi.conduit().host;
    host.responses.push_back(HostResponse::RejectFrom(RAM + 4 * GRANULE));
    host.responses.push_back(HostResponse::RejectFrom(top));
    let at = RAM + GRANULE;
    let first = rsi.ipa_state_set(at, top, Ripas::Ram, ChangeDestroyed::No);
    assert_eq!(first, Ok(RipasChange { new_base: RAM + 4 * GRANULE, accepted: false }));
    assert_eq!(rsi.ipa_state_get(RAM, top).unwrap().top, RAM + 4 * GRANULE);
    let rest = rsi.ipa_state_set(RAM + 4 * GRANULE, top, Ripas::Ram, ChangeDestroyed::No);
    assert_eq!(rest, Ok(RipasChange { new_base: top, accepted: true }));
    // A host that refuses to take memory back merely makes no progress.
    for _ in 0..8 {
        rsi.conduit().host.responses.push_back(HostResponse::RejectFrom(0));
    }
    assert_eq!(rsi.set_range(RAM, top, Ripas::Empty, ChangeDestroyed::No), Err(RangeError::NoProgress { at: RAM }));
}

/// An RMM and a host that answer in runs are asked once, however much memory there is.
#[test]
fn calls_do_not_grow_with_pages() {
    let calls = |size: u64, parts: u64| {
        let mut rsi = Rsi::new(FakeRmm::new(48, HashAlgorithm::Sha256));
        for part in 1..parts {
            rsi.conduit().host.responses.push_back(HostResponse::Upto(RAM + size / parts * part));
        }
        rsi.set_range(RAM, RAM + size, Ripas::Ram, ChangeDestroyed::No).unwrap();
        rsi.conduit().host.calls
    };
    // One request, one look at what became of it.
    assert_eq!((calls(1 << 20, 1), calls(1 << 30, 1), calls(1 << 40, 1)), (2, 2, 2));
    // One more for each answer that is a part.
    assert_eq!((calls(1 << 30, 8), calls(1 << 40, 8)), (9, 9));
}

#[test]
fn token_comes_in_parts_and_only_after_init() {
    let mut rsi = realm(HashAlgorithm::Sha512);
    let part = rsi.attestation_token_continue(RAM, 0, 4096);
    assert_eq!(part, Err(Error::State));
    assert!(rsi.attestation_token_init(&[7; 64]).unwrap() >= 384);
    for (granule, offset, size) in
        [(RAM + 8, 0, 8), (RAM, 4096, 0), (RAM, 8, 4089), (RAM, 8, u64::MAX), (RAM + (1 << 32), 0, 8)]
    {
        let part = rsi.attestation_token_continue(granule, offset, size);
        assert_eq!(part, Err(Error::Input));
    }
    let mut token = Vec::new();
    loop {
        let part = rsi.attestation_token_continue(RAM, 16, 100).unwrap();
        let bytes = rsi.conduit().read(RAM + 16, part.len as usize).unwrap();
        token.extend_from_slice(&bytes);
        if part.complete {
            break;
        }
    }
    assert_eq!(token.len(), 64 * 6);
    assert_eq!(token[..64], [7; 64]);
    let part = rsi.attestation_token_continue(RAM, 0, 4096);
    assert_eq!(part, Err(Error::State));
}

#[test]
fn a_token_is_of_one_rec_and_starts_anew() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    rsi.conduit().realm.attributes.signing_rounds = 3;
    rsi.attestation_token_init(&[7; 64]).unwrap();
    let mut other = rsi::rmm::Rec::default();
    core::mem::swap(&mut rsi.conduit().rec, &mut other);
    assert_eq!(rsi.attestation_token_continue(RAM, 0, 4096), Err(Error::State));
    core::mem::swap(&mut rsi.conduit().rec, &mut other);
    let incomplete = |len| Ok(TokenPart { len, complete: false });
    for _ in 0..3 {
        assert_eq!(rsi.attestation_token_continue(RAM, 0, 100), incomplete(0));
    }
    assert_eq!(rsi.attestation_token_continue(RAM, 0, 100), incomplete(100));
    assert_eq!(rsi.attestation_token_continue(RAM, 0, 0), incomplete(0));
    // Refused in each phase, without an effect on it.
    assert_eq!(rsi.attestation_token_continue(0, 0, 100), Err(Error::Input));
    rsi.attestation_token_init(&[8; 64]).unwrap();
    assert_eq!(rsi.attestation_token_continue(0, 0, 100), Err(Error::Input));
    for _ in 0..3 {
        assert_eq!(rsi.attestation_token_continue(RAM, 0, 4096), incomplete(0));
    }
    assert_eq!(rsi.attestation_token_continue(RAM, 0, 4096), Ok(TokenPart { len: 384, complete: true }));
    assert_eq!(rsi.conduit().read(RAM, 64), Some(vec![8; 64]));
}

#[test]
fn host_call_carries_rhi() {
    let mut rsi = realm(HashAlgorithm::Sha256);
    rsi.conduit().host.ipa_change_alignment = Some(0x1_0000);
    for (fid, expected) in [
        (rhi::HOSTCONF_VERSION, 0x1_0000),
        (rhi::HOSTCONF_FEATURES, 1),
        (rhi::HOSTCONF_GET_IPA_CHANGE_ALIGNMENT, 0x1_0000),
        (0xC500_0040, u64::MAX),
    ] {
        let at = RAM + 0x300;
        rsi.conduit().write(at, &HostCall::rhi(fid).to_bytes());
        rsi.host_call(at).unwrap();
        let bytes = rsi.conduit().read(at, 256).unwrap();
        let answered = HostCall::from_bytes(bytes.first_chunk().unwrap());
        assert_eq!(answered.first(), expected);
    }
    assert_eq!(rsi.host_call(RAM + 0x80), Err(Error::Input));
    assert_eq!(rsi.host_call(0), Err(Error::Input));
    assert_eq!(rsi.host_call(RAM + (1 << 32)), Err(Error::Input));
}
