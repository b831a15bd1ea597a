use alloc::vec;
use alloc::vec::Vec;
use core::cell::Cell;

use super::*;
use crate::event_log::{Log, replay};

const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
const CPU: CpuHash = CpuHash::SOFTWARE;

/// Registers that extend as an RMM does, by the sha2 crate's own hashing; and fail when told to.
struct Fake<'f> {
    algorithm: Algorithm,
    rem: [Vec<u8>; 4],
    fail: &'f Cell<bool>,
}

impl<'f> Fake<'f> {
    fn new(algorithm: Algorithm, fail: &'f Cell<bool>) -> Self {
        Self { algorithm, rem: [(); 4].map(|()| vec![0; algorithm.digest_len()]), fail }
    }

    fn replayed_by(&self, log: &[u8]) -> bool {
        let registers = replay(&Log::parse(log).unwrap(), CPU).unwrap();
        registers.iter().zip(&self.rem).all(|(replayed, rem)| replayed.as_bytes() == rem)
    }
}

impl Registers for Fake<'_> {
    type Error = &'static str;

    fn extend(&mut self, register: Rem, digest: &[u8]) -> Result<(), Self::Error> {
        use sha2::Digest as _;
        if self.fail.get() {
            return Err("refused");
        }
        let value = &mut self.rem[register.mr_index() as usize - 1];
        let message = [value, digest].concat();
        *value = match self.algorithm {
            Algorithm::Sha256 => sha2::Sha256::digest(message).to_vec(),
            Algorithm::Sha384 => sha2::Sha384::digest(message).to_vec(),
            Algorithm::Sha512 => sha2::Sha512::digest(message).to_vec(),
        };
        Ok(())
    }
}

#[test]
fn registers_of_pcrs() {
    let rem: Vec<_> = (0..18).map(Rem::from_pcr).collect();
    assert_eq!(rem[0], None);
    assert_eq!((rem[1], rem[7]), (Some(Rem::Rem0), Some(Rem::Rem0)));
    assert!(rem[2..=6].iter().all(|&rem| rem == Some(Rem::Rem1)));
    assert!(rem[8..=15].iter().all(|&rem| rem == Some(Rem::Rem2)));
    assert_eq!(rem[16..], [None, None]);
    assert_eq!((mr_index_of_pcr(0), mr_index_of_pcr(16)), (Some(0), None));
    for index in 0..6 {
        assert_eq!(Rem::from_mr_index(index).map(Rem::mr_index), (1..=3).contains(&index).then_some(index));
    }
}

/// Whatever is measured, refused and cut off: as long as the log is not truncated, it gives the registers;
/// when it is, it gives what they were.
#[test]
fn log_and_registers_agree() {
    let mut state = 0x0bad_5eed_0bad_5eed_u64;
    let mut random = move |bound: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % bound
    };
    let (mut refusals, mut fulls) = (0, 0);
    for round in 0..if cfg!(miri) { 3 } else { 600 } {
        let algorithm = ALGORITHMS[round % 3];
        let fail = Cell::new(false);
        let mut area = vec![0; 65 + random(4096) as usize];
        let mut measurer = Measurer::new(Fake::new(algorithm, &fail), &mut area, algorithm, CPU).unwrap();
        for _ in 0..random(if cfg!(miri) { 8 } else { 40 }) {
            fail.set(random(5) == 0);
            let bytes = vec![random(256) as u8; random(200) as usize];
            let (records, rem) = (measurer.log().as_bytes().to_vec(), measurer.registers().rem.clone());
            let was_truncated = measurer.log().truncated();
            let result = match random(6) {
                0 => measurer.measure_blob(Blob::Initrd, &bytes),
                1 => measurer.measure_blob(Blob::FwCfg("etc/x"), &bytes),
                2 => measurer.measure_action(Action::CallingApplication),
                3 => {
                    let event_type = EventType::EFI_BOOT_SERVICES_APPLICATION;
                    let load = ImageLoad { event_type, len: 7, link_time_address: 0, device_path: &bytes };
                    let digest = measurer.digest(&bytes);
                    measurer.measure_image(&load, &digest)
                }
                4 => measurer.measure_blob(Blob::Kernel, &[]),
                _ => {
                    let index = 1 + random(3) as u32;
                    let (register, digest) = (Rem::from_mr_index(index).unwrap(), measurer.digest(&bytes));
                    measurer.measure(register, EventType(random(20) as u32), &[&bytes], &digest)
                }
            };
            match result {
                Ok(()) => assert!(!fail.get() && measurer.log().as_bytes().len() > records.len()),
                Err(Error::LogFull) => {
                    assert!(!fail.get() && measurer.log().truncated());
                    assert_ne!(measurer.registers().rem, rem, "extended all the same");
                    assert_eq!(measurer.log().as_bytes(), records);
                    fulls += 1;
                }
                Err(Error::Register("refused") | Error::NoAction) => {
                    assert_eq!(measurer.registers().rem, rem);
                    assert_eq!(measurer.log().as_bytes(), records);
                    assert_eq!(measurer.log().truncated(), was_truncated);
                    refusals += 1;
                }
                Err(other) => panic!("{other:?}"),
            }
            assert_eq!(measurer.registers().replayed_by(measurer.log().as_bytes()), !measurer.log().truncated());
        }
    }
    assert!(cfg!(miri) || refusals > 100 && fulls > 100, "{refusals} {fulls}");
}

#[test]
fn refuses_what_a_replay_would_not_see() {
    let fail = Cell::new(false);
    let mut area = [0; 512];
    let mut measurer = Measurer::new(Fake::new(Algorithm::Sha256, &fail), &mut area, Algorithm::Sha256, CPU).unwrap();
    let digest = measurer.digest(b"");
    assert_eq!(measurer.measure(Rem::Rem0, EventType::NO_ACTION, &[], &digest), Err(Error::NoAction));
    let other = Hasher::digest(Algorithm::Sha512, CPU, b"");
    assert_eq!(measurer.measure(Rem::Rem0, EventType::IPL, &[], &other), Err(Error::Algorithm));
    assert!(measurer.registers().rem.iter().all(|rem| rem == &[0; 32]));
}

/// Each event: register, type, data and what its digest is of.
#[test]
fn events() {
    let fail = Cell::new(false);
    let mut area = [0; 4096];
    let mut measurer = Measurer::new(Fake::new(Algorithm::Sha384, &fail), &mut area, Algorithm::Sha384, CPU).unwrap();
    measurer.measure_blob(Blob::DeviceTree, b"tree").unwrap();
    measurer.measure_blob(Blob::FwCfg("etc/acpi/tables"), b"tables").unwrap();
    measurer.measure_blob(Blob::CommandLine, b"quiet").unwrap();
    measurer.measure_blob(Blob::Initrd, b"").unwrap();
    measurer.measure_blob(Blob::Kernel, b"raw").unwrap();
    measurer.measure_action(Action::CallingApplication).unwrap();
    measurer.measure_separators().unwrap();
    let authenticode = measurer.digest(b"image");
    let load = ImageLoad {
        event_type: EventType::EFI_BOOT_SERVICES_APPLICATION,
        len: 0x1234,
        link_time_address: 0x1_0000_0000,
        device_path: &[0x7f, 0xff, 4, 0],
    };
    measurer.measure_image(&load, &authenticode).unwrap();
    measurer.measure_action(Action::ExitBootServices).unwrap();
    measurer.measure_action(Action::ExitBootServicesSucceeded).unwrap();

    let image_event =
        [0_u64, 0x1234, 0x1_0000_0000, 4].map(u64::to_le_bytes).concat().into_iter().chain([0x7f, 0xff, 4, 0]);
    let image_event: Vec<u8> = image_event.collect();
    let calling = &b"Calling EFI Application from Boot Option"[..];
    let expected: [(u32, u32, &[u8], &[u8]); 11] = [
        (1, 0xa, b"device tree", b"tree"),
        (1, 0xa, b"fw_cfg:etc/acpi/tables", b"tables"),
        (3, 0xd, b"command line", b"quiet"),
        (3, 0xd, b"initrd (absent)", b""),
        (2, 0xd, b"kernel", b"raw"),
        (2, 0x8000_0007, calling, calling),
        (1, 4, &[0; 4], &[0; 4]),
        (2, 4, &[0; 4], &[0; 4]),
        (2, 0x8000_0003, &image_event, b"image"),
        (2, 0x8000_0007, b"Exit Boot Services Invocation", b"Exit Boot Services Invocation"),
        (2, 0x8000_0007, b"Exit Boot Services Returned with Success", b"Exit Boot Services Returned with Success"),
    ];
    let log = Log::parse(measurer.log().as_bytes()).unwrap();
    let records: Vec<_> = log.records().map(Result::unwrap).collect();
    assert_eq!(records.len(), expected.len());
    for (record, (index, event_type, data, message)) in records.iter().zip(expected) {
        assert_eq!((record.index, record.event_type.0, record.data), (index, event_type, data));
        assert_eq!(record.digest, Hasher::digest(Algorithm::Sha384, CPU, message));
    }
    assert!(measurer.registers().replayed_by(measurer.log().as_bytes()));
    assert_eq!(measurer.registers().rem[3], [0; 48]);
}

/// UEFI_GPT_DATA, byte for byte, and the register that PCR 5 stands for.
#[test]
fn gpt() {
    let (header, entries) = ([0x11; 92], [[0x22; 128], [0x33; 128]]);
    let data = gpt_data(&header, entries.iter().map(|entry| &entry[..])).unwrap();
    assert_eq!(data, [&header[..], &2_u64.to_le_bytes(), &entries[0], &entries[1]].concat());
    let fail = Cell::new(false);
    let mut area = vec![0; 4096];
    let algorithm = Algorithm::Sha256;
    let mut measurer = Measurer::new(Fake::new(algorithm, &fail), &mut area, algorithm, CPU).unwrap();
    measurer.measure_gpt(&data).unwrap();
    let log = Log::parse(measurer.log().as_bytes()).unwrap();
    let event = log.records().last().unwrap().unwrap();
    assert_eq!((event.event_type, event.data), (EventType::EFI_GPT_EVENT, &data[..]));
    assert_eq!(event.digest.as_bytes(), measurer.digest(&data).as_bytes());
    assert_ne!(measurer.registers().rem[1], vec![0; 32]);
    assert!(measurer.registers().replayed_by(measurer.log().as_bytes()));
}

/// UEFI_VARIABLE_DATA, written out by hand: the digest is over all of it, and so is the event.
#[test]
fn boot_variables_are_measured_with_their_names() {
    let fail = Cell::new(false);
    let mut area = vec![0; 1024];
    let mut measurer = Measurer::new(Fake::new(Algorithm::Sha256, &fail), &mut area, Algorithm::Sha256, CPU).unwrap();
    measurer.measure_boot_variable("Boot0001", &[1, 2, 3]).unwrap();
    let mut data = vec![0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0, 0xe0, 0x98, 3, 0x2b, 0x8c];
    data.extend([8, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    data.extend(b"B\0o\0o\0t\x000\x000\x000\x001\0\x01\x02\x03");
    let log = measurer.log().as_bytes().to_vec();
    let record = Log::parse(&log).unwrap().records().next().unwrap().unwrap();
    assert_eq!((record.index, record.event_type), (1, EventType::EFI_VARIABLE_BOOT2));
    assert_eq!(record.data, data);
    assert_eq!(record.digest, Hasher::digest(Algorithm::Sha256, CPU, &data));
    assert!(measurer.registers().replayed_by(&log));
}
