//! What is expected from the files is what a realm's registers hold that measured them.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers are the test")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../formats/tests/support/image.rs"]
mod image;

use formats::pe::Image;
use measured::event_log::{EventType, Log, replay};
use measured::expected::{DirectBoot, Error, Expected, Stub, direct_boot};
use measured::measure::{Action, Blob, ImageLoad, Measurer, Registers, Rem};
use measured::{Algorithm, CpuHash, Digest, authenticode};
use rsi::fake::FakeRmm;
use rsi::{HashAlgorithm, Rsi};

const ALGORITHMS: [(Algorithm, HashAlgorithm); 3] = [
    (Algorithm::Sha256, HashAlgorithm::Sha256),
    (Algorithm::Sha384, HashAlgorithm::Sha384),
    (Algorithm::Sha512, HashAlgorithm::Sha512),
];

const LOAD_OPTIONS: &[u8] = b"q\0u\0i\0e\0t\0\0\0";

/// The registers of a realm, behind RSI.
struct Realm(std::cell::RefCell<Rsi<FakeRmm>>);

impl Realm {
    fn new(algorithm: HashAlgorithm) -> Self {
        Self(Rsi::new(FakeRmm::new(40, algorithm)).into())
    }

    fn rem(&self, algorithm: Algorithm) -> [Digest; 4] {
        [1, 2, 3, 4].map(|index| {
            let value = self.0.borrow_mut().measurement_read(index).unwrap();
            Digest::new(algorithm, &value[..algorithm.digest_len()]).unwrap()
        })
    }
}

impl Registers for &Realm {
    type Error = rsi::Error;

    fn extend(&mut self, register: Rem, digest: &[u8]) -> Result<(), rsi::Error> {
        self.0.borrow_mut().measurement_extend(register.mr_index().into(), digest)
    }
}

fn boot<'a>(kernel: &'a [u8]) -> DirectBoot<'a> {
    DirectBoot {
        device_tree: b"tree",
        fw_cfg: &[("etc/acpi/tables", b"tables")],
        kernel,
        kernel_device_path: &[0x7f, 0xff, 4, 0],
        command_line: b"quiet\0",
        initrd: b"initrd",
        stub: Some(Stub { load_options: LOAD_OPTIONS, initrd: true }),
    }
}

#[test]
fn as_a_realm_measures_it() {
    let kernel = image::application().build();
    let cpu = CpuHash::detect();
    for (algorithm, hash) in ALGORITHMS {
        let realm = Realm::new(hash);
        let mut area = vec![0; 8192];
        let mut measurer = Measurer::new(&realm, &mut area, algorithm, cpu).unwrap();
        measurer.measure_blob(Blob::DeviceTree, b"tree").unwrap();
        measurer.measure_blob(Blob::CommandLine, b"quiet\0").unwrap();
        measurer.measure_blob(Blob::Initrd, b"initrd").unwrap();
        measurer.measure_action(Action::CallingApplication).unwrap();
        measurer.measure_blob(Blob::FwCfg("etc/acpi/tables"), b"tables").unwrap();
        measurer.measure_separators().unwrap();
        let parsed = Image::parse(&kernel).unwrap();
        let load = ImageLoad {
            event_type: EventType::EFI_BOOT_SERVICES_APPLICATION,
            len: kernel.len() as u64,
            link_time_address: 0x1_4000_0000,
            device_path: &[],
        };
        let digest = authenticode::digest(&parsed, &kernel, algorithm, cpu).unwrap();
        measurer.measure_image(&load, &digest).unwrap();
        for message in [LOAD_OPTIONS, b"initrd"] {
            let digest = measurer.digest(message);
            measurer.measure(Rem::from_pcr(9).unwrap(), EventType::EVENT_TAG, &[b"tag"], &digest).unwrap();
        }
        measurer.measure_action(Action::ExitBootServices).unwrap();
        measurer.measure_action(Action::ExitBootServicesSucceeded).unwrap();

        let Expected { registers, log } = direct_boot(algorithm, cpu, &boot(&kernel)).unwrap();
        assert_eq!(registers, realm.rem(algorithm));
        assert_eq!(replay(&Log::parse(&log).unwrap(), cpu), Ok(registers));
        assert_eq!(replay(&Log::parse(measurer.log().as_bytes()).unwrap(), cpu), Ok(registers));
        assert_eq!(registers[3], Digest::zero(algorithm));
    }
}

/// Which of the registers differ from those of the kernel and files of `boot`.
fn changed_with<'a>(kernel: &'a [u8], change: impl FnOnce(&mut DirectBoot<'a>)) -> [bool; 4] {
    let registers = |boot| direct_boot(Algorithm::Sha256, CpuHash::SOFTWARE, &boot).unwrap().registers;
    let mut other = boot(kernel);
    change(&mut other);
    let (before, after) = (registers(boot(kernel)), registers(other));
    [0, 1, 2, 3].map(|index| before[index] != after[index])
}

#[test]
fn each_file_changes_its_register_only() {
    let mut builder = image::application();
    let kernel = builder.build();
    builder.sections[0].raw[0x20] ^= 1;
    let other_kernel = builder.build();
    let changed = |change: fn(&mut DirectBoot<'_>)| changed_with(&kernel, change);
    assert_eq!(changed(|_| ()), [false; 4]);
    assert_eq!(changed(|boot| boot.device_tree = b"tref"), [true, false, false, false]);
    assert_eq!(changed(|boot| boot.fw_cfg = &[("etc/acpi/tables", b"table")]), [true, false, false, false]);
    assert_eq!(changed(|boot| boot.fw_cfg = &[]), [true, false, false, false]);
    assert_eq!(changed(|boot| boot.command_line = b"quieu\0"), [false, false, true, false]);
    assert_eq!(changed(|boot| boot.command_line = b""), [false, false, true, false]);
    assert_eq!(changed(|boot| boot.initrd = b"initre"), [false, false, true, false]);
    assert_eq!(changed(|boot| boot.initrd = b""), [false, false, true, false]);
    assert_eq!(changed(|boot| boot.stub = None), [false, false, true, false]);
    assert_eq!(changed(|boot| boot.kernel_device_path = &[]), [false; 4], "the log alone");
    assert_eq!(changed_with(&kernel, |boot| boot.kernel = &other_kernel), [false, true, false, false]);
    // A kernel that is no PE image has no stub that measures.
    assert_eq!(changed(|boot| boot.kernel = b"raw"), [false, true, true, false]);
    assert_eq!(changed(|boot| boot.kernel = b""), [true, true, true, false]);
}

#[test]
fn refuses_a_kernel_that_the_firmware_refuses() {
    let mut kernel = image::application().build();
    kernel[image::PE_OFFSET + 4] = 0;
    let result = direct_boot(Algorithm::Sha256, CpuHash::SOFTWARE, &boot(&kernel));
    assert!(matches!(result, Err(Error::Kernel(_))), "{result:?}");
}

#[test]
fn authenticode_covers_all_but_checksum_and_certificates() {
    let file = image::application().build();
    let digest = |file: &[u8], algorithm| {
        authenticode::digest(&Image::parse(file).unwrap(), file, algorithm, CpuHash::detect()).unwrap()
    };
    let certificate_entry = image::DIRECTORIES_OFFSET + 4 * 8;
    for (algorithm, hash) in ALGORITHMS {
        let parts = [
            &file[..image::CHECKSUM_OFFSET],
            &file[image::CHECKSUM_OFFSET + 4..certificate_entry],
            &file[certificate_entry + 8..0xa00],
        ];
        let expected = rsi::rmm::hash(hash, &parts);
        assert_eq!(digest(&file, algorithm).as_bytes(), &expected[..algorithm.digest_len()]);
    }
    let reference = digest(&file, Algorithm::Sha256);
    let uncovered = |at: usize| (image::CHECKSUM_OFFSET..image::CHECKSUM_OFFSET + 4).contains(&at) || at >= 0xa00;
    let step = if cfg!(miri) { 499 } else { 1 };
    for at in (0..file.len()).step_by(step) {
        let mut other = file.clone();
        other[at] ^= 0x20;
        let Ok(image) = Image::parse(&other) else { continue };
        let Ok(digest) = authenticode::digest(&image, &other, Algorithm::Sha256, CpuHash::SOFTWARE) else { continue };
        assert_eq!(digest == reference, uncovered(at), "{at:#x}");
    }
}
