//! EFI_CC_MEASUREMENT_PROTOCOL as its clients call it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test's helpers are the test")]

#[allow(dead_code, reason = "other tests use the rest")]
#[path = "../../formats/tests/support/image.rs"]
mod image;

use formats::pe::Image;
use measured::cc::{Error, FLAG_EXTEND_ONLY, FLAG_PE_COFF_IMAGE, capability};
use measured::event_log::{EventType, Log, replay};
use measured::expected::SoftwareRegisters;
use measured::measure::{Action, Measurer, Registers, Rem};
use measured::{Algorithm, CpuHash, Digest, authenticode};

const CPU: CpuHash = CpuHash::SOFTWARE;
const ALGORITHMS: [Algorithm; 3] = [Algorithm::Sha256, Algorithm::Sha384, Algorithm::Sha512];
const IPL: u32 = 0xd;

/// EFI_CC_EVENT.
fn event(index: u32, event_type: u32, data: &[u8]) -> Vec<u8> {
    let size = (4 + 14 + data.len()) as u32;
    let head = [&size.to_le_bytes()[..], &14_u32.to_le_bytes(), &1_u16.to_le_bytes(), &index.to_le_bytes()];
    [&head.concat()[..], &event_type.to_le_bytes(), data].concat()
}

fn measurer(algorithm: Algorithm, area: &mut [u8]) -> Measurer<'_, SoftwareRegisters> {
    Measurer::new(SoftwareRegisters::new(algorithm, CPU), area, algorithm, CPU).unwrap()
}

fn replays(measurer: &Measurer<'_, SoftwareRegisters>) -> bool {
    replay(&Log::parse(measurer.log().as_bytes()).unwrap(), CPU).unwrap() == measurer.registers().values()
}

#[test]
fn capabilities_name_the_one_hash() {
    for (algorithm, bit) in ALGORITHMS.into_iter().zip([2, 4, 8]) {
        // Size, StructureVersion, ProtocolVersion, padding, HashAlgorithmBitmap, SupportedEventLogs, CcType, padding.
        let expected = [20, 1, 0, 1, 0, 0, 0, 0, bit, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0];
        assert_eq!(capability(algorithm), expected);
    }
}

#[test]
fn events_are_extended_and_logged() {
    for algorithm in ALGORITHMS {
        let mut area = [0; 4096];
        let mut measurer = measurer(algorithm, &mut area);
        for (index, data, bytes) in [(1, &b"one"[..], &b""[..]), (2, b"", b"image"), (3, b"initrd", b"bytes")] {
            measurer.hash_log_extend_event(0, bytes, &event(index, IPL, data)).unwrap();
            let log = Log::parse(measurer.log().as_bytes()).unwrap();
            let record = log.records().last().unwrap().unwrap();
            assert_eq!((record.index, record.event_type, record.data), (index, EventType::IPL, data));
            assert_eq!(record.digest, measurer.digest(bytes));
        }
        assert!(replays(&measurer));
        assert!(measurer.registers().values()[..3].iter().all(|rem| *rem != Digest::zero(algorithm)));
        assert_eq!(measurer.registers().values()[3], Digest::zero(algorithm));
    }
}

#[test]
fn a_longer_header_is_skipped() {
    let mut area = [0; 4096];
    let mut measurer = measurer(Algorithm::Sha256, &mut area);
    let mut longer = event(1, IPL, b"..name");
    longer[4] = 16;
    measurer.hash_log_extend_event(0, b"", &longer).unwrap();
    let log = Log::parse(measurer.log().as_bytes()).unwrap();
    assert_eq!(log.records().last().unwrap().unwrap().data, b"name");
}

#[test]
fn what_the_protocol_does_not_have_is_refused() {
    let mut area = [0; 4096];
    let mut measurer = measurer(Algorithm::Sha256, &mut area);
    let good = event(1, IPL, b"name");
    let with = |at: usize, value: u8| {
        let mut event = good.clone();
        event[at] = value;
        event
    };
    let no_action = EventType::NO_ACTION.0;
    let bad = [
        good[..3].to_vec(),
        good[..17].to_vec(),
        with(0, good.len() as u8 - 1),
        with(0, good.len() as u8 + 1),
        with(4, 13),
        with(4, 19),
        with(7, 0xff),
        with(8, 0),
        with(8, 2),
        event(0, IPL, b"the RIM"),
        event(4, IPL, b"REM[3]"),
        event(5, IPL, b"none"),
        event(0x101, IPL, b"none"),
        event(1, no_action, b"nothing a replay sees"),
    ];
    for event in bad {
        assert_eq!(measurer.hash_log_extend_event(0, b"data", &event), Err(Error::Invalid), "{event:x?}");
    }
    for flags in [2, 4, 0x20, 1 << 63] {
        assert_eq!(measurer.hash_log_extend_event(flags, b"data", &good), Err(Error::Invalid), "{flags:#x}");
    }
    assert_eq!(measurer.registers().values(), [Digest::zero(Algorithm::Sha256); 4]);
    assert_eq!(Log::parse(measurer.log().as_bytes()).unwrap().records().count(), 0);
}

#[test]
fn images_are_measured_by_their_authenticode_digest() {
    for algorithm in ALGORITHMS {
        let mut area = [0; 4096];
        let mut measurer = measurer(algorithm, &mut area);
        let file = image::application().build();
        let load = event(2, EventType::EFI_BOOT_SERVICES_APPLICATION.0, b"load");
        measurer.hash_log_extend_event(FLAG_PE_COFF_IMAGE, &file, &load).unwrap();
        let digest = authenticode::digest(&Image::parse(&file).unwrap(), &file, algorithm, CPU).unwrap();
        assert_ne!(digest, measurer.digest(&file));
        assert_eq!(measurer.registers().values()[1], Digest::zero(algorithm).extended(digest.as_bytes(), CPU));
        assert!(replays(&measurer));

        let before = measurer.registers().values();
        for bytes in [&b"MZ"[..], b"", &file[..file.len() / 2]] {
            let refused = measurer.hash_log_extend_event(FLAG_PE_COFF_IMAGE, bytes, &load);
            assert!(matches!(refused, Err(Error::Image(_))), "{refused:?}");
        }
        assert_eq!(measurer.registers().values(), before);
    }
}

#[test]
fn extend_only_leaves_the_log_alone() {
    let mut area = [0; 4096];
    let mut measurer = measurer(Algorithm::Sha256, &mut area);
    let before = measurer.log().as_bytes().to_vec();
    measurer.hash_log_extend_event(FLAG_EXTEND_ONLY, b"data", &event(3, IPL, b"name")).unwrap();
    assert_eq!(measurer.log().as_bytes(), before);
    let digest = measurer.digest(b"data");
    let extended = Digest::zero(Algorithm::Sha256).extended(digest.as_bytes(), CPU);
    assert_eq!(measurer.registers().values()[2], extended);
}

#[test]
fn a_full_log_shows_and_does_not_stop_extending() {
    let mut area = [0; 200];
    let mut measurer = measurer(Algorithm::Sha256, &mut area);
    assert_eq!(measurer.hash_log_extend_event(0, b"a", &event(1, IPL, b"fits")), Ok(()));
    assert!(!measurer.log().truncated() && replays(&measurer));
    let long = [b'x'; 200];
    let (log, before) = (measurer.log().as_bytes().to_vec(), measurer.registers().values());
    assert_eq!(measurer.hash_log_extend_event(0, b"b", &event(1, IPL, &long)), Err(Error::LogFull));
    assert!(measurer.log().truncated());
    assert_eq!(measurer.log().as_bytes(), log);
    let digest = measurer.digest(b"b");
    assert_eq!(measurer.registers().values()[0], before[0].extended(digest.as_bytes(), CPU));
    // However small the next.
    assert_eq!(measurer.hash_log_extend_event(0, b"c", &event(1, IPL, b"")), Err(Error::LogFull));
}

/// Registers that the RMM does not extend.
struct Refusing;

impl Registers for Refusing {
    type Error = ();

    fn extend(&mut self, _register: Rem, _digest: &[u8]) -> Result<(), ()> {
        Err(())
    }
}

#[test]
fn a_register_that_is_not_extended_is_not_logged() {
    let mut area = [0; 4096];
    let mut measurer = Measurer::new(Refusing, &mut area, Algorithm::Sha256, CPU).unwrap();
    for flags in [0, FLAG_EXTEND_ONLY] {
        let refused = measurer.hash_log_extend_event(flags, b"", &event(1, IPL, b""));
        assert_eq!(refused, Err(Error::Register(())));
    }
    assert_eq!(Log::parse(measurer.log().as_bytes()).unwrap().records().count(), 0);
}

/// What comes after the log was read is in it and in the table of final events, in the same bytes.
#[test]
fn final_events_are_those_since_the_log_was_read() {
    let (mut early, mut area, mut table) = ([0; 300], [0; 4096], [0xff; 400]);
    let mut measurer = measurer(Algorithm::Sha256, &mut early);
    let final_events =
        |measurer: &Measurer<'_, SoftwareRegisters>| measurer.final_events().unwrap().as_bytes().to_vec();
    measurer.hash_log_extend_event(0, b"early", &event(1, IPL, b"early")).unwrap();
    let before = measurer.log().as_bytes().to_vec();
    measurer.move_log(&mut area, &mut table).unwrap();
    assert_eq!(measurer.log().as_bytes(), before);
    measurer.measure_action(Action::CallingApplication).unwrap();
    assert_eq!(final_events(&measurer), [1_u64, 0].map(u64::to_le_bytes).concat());

    let (read, last) = (measurer.read_log().as_bytes().to_vec(), measurer.log().last_entry());
    assert_eq!(last, before.len());
    measurer.hash_log_extend_event(0, b"late", &event(3, IPL, b"late")).unwrap();
    measurer.measure_action(Action::ExitBootServices).unwrap();
    let log = measurer.log().as_bytes().to_vec();
    assert!(log.starts_with(&read) && replays(&measurer));
    assert_eq!(final_events(&measurer), [&[1_u64, 2].map(u64::to_le_bytes).concat()[..], &log[read.len()..]].concat());

    // A table without room is told, as a log is; the log goes on.
    let (events, long) = (final_events(&measurer), [b'x'; 400]);
    assert_eq!(measurer.hash_log_extend_event(0, b"", &event(1, IPL, &long)), Err(Error::LogFull));
    assert_eq!(measurer.hash_log_extend_event(0, b"", &event(1, IPL, b"")), Err(Error::LogFull));
    assert_eq!(final_events(&measurer), events);
    assert!(!measurer.log().truncated() && replays(&measurer));
}
