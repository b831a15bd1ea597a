//! Measurements worked out apart from this code, by a script that follows DEN0137 A7.1.

use super::*;

fn hex(value: &Measurement) -> alloc::string::String {
    value.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

fn params(width: u32, hash: HashAlgorithm) -> RealmParams {
    RealmParams { flags: 0, s2sz: width, sve_vl: 0, num_bps: 1, num_wps: 2, pmu_num_ctrs: 0, hash }
}

fn page() -> alloc::vec::Vec<u8> {
    (0..4096).map(|i| i as u8).collect()
}

#[test]
fn sha256_of_2_mib_blocks() {
    let mut rim = Rim::new(&params(33, HashAlgorithm::Sha256));
    assert_eq!(rim.init_ripas(0x4000_0000, 0x6000_0000), 256);
    rim.data(0, &page());
    rim.rec(0, &[0; 8]);
    let expected = "daf696c68c9667507a97e4f971f421d452710c8b1a825f6c39f9a06213ff63ed";
    assert_eq!(hex(&rim.value()), alloc::format!("{expected:0<128}"));
}

#[test]
fn every_parameter_has_its_place() {
    let params = RealmParams {
        flags: RealmParams::FLAG_SVE | RealmParams::FLAG_PMU,
        s2sz: 40,
        sve_vl: 3,
        num_bps: 5,
        num_wps: 2,
        pmu_num_ctrs: 4,
        hash: HashAlgorithm::Sha256,
    };
    let expected = "4ec7fbba468d9c7f1997cc301e44e19cc1b9bb574e55fbfe07eca65986a18f1e";
    assert_eq!(hex(&Rim::new(&params).value()), alloc::format!("{expected:0<128}"));
}

#[test]
fn sha512_without_ripas_as_in_rmm_2() {
    let mut rim = Rim::new(&params(33, HashAlgorithm::Sha512));
    rim.data(0, &page());
    rim.data(0x4000_0000, &[0; 4096]);
    rim.rec(0x4000_0000, &[0x4fe0_0000, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(
        hex(&rim.value()),
        "d26bee0d294790ae80028fd207385b06668697481e2227e4d9940d86dc28002f\
         43b3d3eba10a7a90e628569ab21e4f3688f7a0e44e7dc8a00eea2e116dbab40e"
    );
}

#[test]
fn sha384_of_blocks_of_every_level() {
    let mut rim = Rim::new(&params(41, HashAlgorithm::Sha384));
    assert_eq!(rim.init_ripas(0x4000_0000, 0x8060_2000), 1 + 3 + 2);
    rim.data(0, &page());
    rim.rec(0, &[0; 8]);
    let expected = "0ad67c8ac8c5383a2cbf367571dc7c106acc4494c492c1d7c3c4ac012b6c9702\
                    c4e942adec656d440ea05bd2bd240b3e";
    assert_eq!(hex(&rim.value()), alloc::format!("{expected:0<128}"));
}

#[test]
fn tables_made_for_one_range_shorten_the_blocks_of_the_next() {
    let mut rim = Rim::new(&params(33, HashAlgorithm::Sha256));
    assert_eq!(rim.init_ripas(0x4000_0000, 0x4000_1000), 1);
    assert_eq!(rim.init_ripas(0x4000_1000, 0x4020_0000), 511);
    assert_eq!(rim.init_ripas(0x4020_0000, 0x4060_0000), 2);
}

#[test]
fn every_measured_attribute_counts() {
    let base = params(33, HashAlgorithm::Sha256);
    let value = |params: &RealmParams| Rim::new(params).value();
    for other in [
        RealmParams { flags: 2, ..base },
        RealmParams { s2sz: 34, ..base },
        RealmParams { sve_vl: 1, ..base },
        RealmParams { num_bps: 3, ..base },
        RealmParams { num_wps: 3, ..base },
        RealmParams { pmu_num_ctrs: 1, ..base },
    ] {
        assert_ne!(value(&base), value(&other));
    }
}
