//! The SCSI host and its units, well behaved and hostile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use support::Machine;
use support::device::{Device, Faults, Shared};
use support::disk::{FakeUnit, ScsiHost, Units, scsi_config};
use support::machine::TICKS_PER_SECOND;
use support::registers::{Fake, Kind};
use virtio::mmio::MmioTransport;
use virtio::scsi::{Address, Host, Unit};
use virtio::{Data, Direction, Error, Setup};

type FakeHost = Host<Machine, MmioTransport<Fake>>;

struct Bench {
    machine: Machine,
    device: Shared,
    units: Units,
    host: FakeHost,
}

fn bench(units: impl IntoIterator<Item = ((u8, u16), FakeUnit)>) -> Bench {
    bench_with(units, limits(), true, true)
}

fn limits() -> Vec<u8> {
    scsi_config(7, 16383, 0xffff)
}

fn bench_with(
    units: impl IntoIterator<Item = ((u8, u16), FakeUnit)>,
    config: Vec<u8>,
    autosense: bool,
    lists_luns: bool,
) -> Bench {
    let machine = Machine::default();
    let units: Units = std::rc::Rc::new(std::cell::RefCell::new(units.into_iter().collect()));
    let function = ScsiHost { units: units.clone(), autosense, pending_sense: (0, 0), lists_luns };
    let device = Device::new(&machine, 8, 0, config, Box::new(function)).shared();
    let transport = MmioTransport::new(Fake::new(&device, Kind::Mmio)).unwrap().unwrap();
    let host = Host::start(machine.clone(), transport, Setup { needs_access_platform: true }).unwrap();
    Bench { machine, device, units, host }
}

impl Bench {
    fn scan(&mut self) -> Vec<Unit> {
        let mut found = Vec::new();
        self.host.scan(|unit| found.push(unit)).unwrap();
        found
    }

    fn read(&mut self, unit: &Unit, block: u64, length: u32) -> Result<Vec<u8>, Error> {
        let buffer = self.machine.buffer(length as usize);
        unit.transfer(&mut self.host, Direction::Read, block, Data { address: buffer.address, length })?;
        Ok(buffer.bytes())
    }
}

fn disk() -> [((u8, u16), FakeUnit); 1] {
    [((0, 0), FakeUnit::new(0, 100, 512))]
}

#[test]
fn finds_disks_and_cds() {
    let mut protected = FakeUnit::new(0, 100, 4096);
    protected.protected = true;
    let mut bench = bench([
        ((0, 0), FakeUnit::new(0, 100, 512)),
        ((3, 0), FakeUnit::new(5, 300, 2048)),
        // A tape, and units behind one that is not there.
        ((4, 0), FakeUnit::new(1, 100, 512)),
        ((5, 2), FakeUnit::new(0, 1 << 33, 512)),
        ((5, 300), protected),
    ]);
    let found = bench.scan();
    let summary: Vec<_> = found
        .iter()
        .map(|unit| {
            let medium = unit.medium;
            (unit.address.target, unit.address.lun, unit.is_cd, medium.blocks, medium.block_size, medium.read_only)
        })
        .collect();
    assert_eq!(
        summary,
        [
            (0, 0, false, 100, 512, false),
            (3, 0, true, 300, 2048, true),
            (5, 2, false, 1 << 33, 512, false),
            (5, 300, false, 100, 4096, true),
        ]
    );
    assert_eq!(found[1].address, Address { target: 3, lun: 0 });
    assert!(found[1].removable && !found[0].removable);
}

#[test]
fn finds_unit_0_of_a_target_without_a_list() {
    let mut bench =
        bench_with([((0, 0), FakeUnit::new(0, 100, 512)), ((0, 1), FakeUnit::new(0, 9, 512))], limits(), true, false);
    assert_eq!(bench.scan().len(), 1);
}

#[test]
fn reads_and_writes_in_short_and_long_form() {
    let mut bench = bench([((0, 0), FakeUnit::new(0, 1 << 33, 512))]);
    let unit = bench.scan()[0];
    for block in [0, 99, u64::from(u32::MAX) + 5, (1 << 33) - 2] {
        let contents = bench.units.borrow()[&(0, 0)].contents.read(block, 512, 1024);
        assert_eq!(bench.read(&unit, block, 1024).unwrap(), contents);
        let buffer = bench.machine.buffer(512);
        buffer.fill(&[7; 512]);
        let data = Data { address: buffer.address, length: 512 };
        unit.transfer(&mut bench.host, Direction::Write, block, data).unwrap();
        assert_eq!(bench.read(&unit, block, 512).unwrap(), [7; 512]);
    }
    assert_eq!(bench.read(&unit, (1 << 33) - 1, 1024), Err(Error::Range));
    unit.flush(&mut bench.host).unwrap();
    assert_eq!(bench.units.borrow()[&(0, 0)].flushes, 1);
    assert_eq!(unit.max_transfer(&bench.host), 0xffff * 512);
    assert_eq!(bench.read(&unit, 0, 0x1_0000 * 512), Err(Error::Range));
}

#[test]
fn protected_units_are_not_written() {
    let mut protected = FakeUnit::new(0, 100, 512);
    protected.protected = true;
    let mut bench = bench([((0, 0), protected), ((1, 0), FakeUnit::new(5, 10, 2048))]);
    for unit in bench.scan() {
        let data = Data { address: 0, length: unit.medium.block_size };
        assert_eq!(unit.transfer(&mut bench.host, Direction::Write, 0, data), Err(Error::WriteProtected));
    }
}

/// With the sense data in the answer, and by REQUEST SENSE.
#[test]
fn conditions_are_told_apart() {
    for autosense in [true, false] {
        let mut bench = bench_with(disk(), limits(), autosense, true);
        let unit = bench.scan()[0];
        for (conditions, result) in [
            (vec![(6, 0x29)], Ok(())),
            (vec![(6, 0x29), (6, 0x2a), (6, 0x3f)], Ok(())),
            (vec![(6, 0x29); 4], Err(Error::Io)),
            (vec![(6, 0x28)], Err(Error::MediumChanged)),
            (vec![(2, 0x3a)], Err(Error::NoMedium)),
            (vec![(2, 0x04)], Err(Error::Io)),
            (vec![(7, 0x27)], Err(Error::WriteProtected)),
            (vec![(5, 0x20)], Err(Error::Unsupported)),
            (vec![(3, 0x11)], Err(Error::Io)),
        ] {
            bench.units.borrow_mut().get_mut(&(0, 0)).unwrap().conditions = conditions.clone();
            assert_eq!(bench.read(&unit, 0, 512).map(|_| ()), result, "{conditions:?}");
            bench.units.borrow_mut().get_mut(&(0, 0)).unwrap().conditions.clear();
        }
    }
}

#[test]
fn a_drive_without_a_medium_is_found_and_gets_one() {
    let mut cd = FakeUnit::new(5, 10, 2048);
    cd.conditions = vec![(2, 0x3a)];
    let mut bench = bench([((0, 0), cd)]);
    let mut unit = bench.scan()[0];
    assert_eq!((unit.medium.blocks, unit.medium.block_size), (0, 2048));
    assert_eq!(bench.read(&unit, 0, 2048), Err(Error::NoMedium));
    bench.units.borrow_mut().get_mut(&(0, 0)).unwrap().conditions = vec![(6, 0x28)];
    assert_eq!(unit.check(&mut bench.host), Err(Error::MediumChanged));
    unit.refresh(&mut bench.host).unwrap();
    assert_eq!(unit.medium.blocks, 10);
    assert!(bench.read(&unit, 9, 2048).is_ok());
}

/// An answer in place of the host's own.
fn answer(status: u8, response: u8, residual: u32) -> Vec<u8> {
    let mut answer = vec![0; 108];
    answer[4..8].copy_from_slice(&residual.to_le_bytes());
    answer[10] = status;
    answer[11] = response;
    answer
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn wrong_answers_give_the_host_up() {
    for (answer, error, broken) in [
        (answer(0, 10, 0), Error::Protocol("response"), true),
        (vec![0xff; 108], Error::Protocol("response"), true),
        (answer(0, 0, 513), Error::Protocol("residual"), true),
        (answer(0, 0, 1), Error::Io, false),
        (answer(8, 0, 0), Error::Io, false),
        (answer(0, 3, 0), Error::Io, false),
        (answer(0, 9, 0), Error::Io, false),
        (answer(2, 0, 0), Error::Io, false),
    ] {
        let mut bench = bench(disk());
        let unit = bench.scan()[0];
        bench.device.borrow_mut().faults = Faults { answer: Some(answer.clone()), ..Faults::default() };
        assert_eq!(bench.read(&unit, 0, 512), Err(error), "{answer:?}");
        bench.device.borrow_mut().faults = Faults::default();
        assert_eq!(bench.read(&unit, 0, 512).err(), broken.then_some(Error::Broken));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_scan_of_a_silent_host_ends() {
    let mut bench = bench(disk());
    bench.device.borrow_mut().faults.silent = true;
    let mut found = 0;
    assert_eq!(bench.host.scan(|_| found += 1), Err(Error::Timeout));
    assert_eq!(found, 0);
    assert!(bench.machine.seconds() < 13);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn targets_and_units_beyond_the_limits_are_not_asked_for() {
    let units = [((0, 0), FakeUnit::new(0, 8, 512)), ((0, 1), FakeUnit::new(0, 8, 512))];
    let mut bench = bench_with(units, scsi_config(u16::MAX, 0, 0xffff), true, true);
    bench.machine.0.borrow_mut().stopped = true;
    let found = bench.scan();
    assert_eq!(found.iter().map(|unit| unit.address.lun).collect::<Vec<_>>(), [0]);
    assert!(bench.device.borrow().requests < 256 + 10);
}

#[test]
fn a_unit_whose_bytes_do_not_fit_64_bits_is_none() {
    let mut bench = bench([((0, 0), FakeUnit::new(0, u64::MAX, 512)), ((1, 0), FakeUnit::new(0, 8, 512))]);
    assert_eq!(bench.scan().len(), 1);
}

/// The time of a probe is its own; any answer will do.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_probe_has_a_time_out_of_its_own() {
    let mut silent = bench(disk());
    silent.device.borrow_mut().faults.silent = true;
    assert_eq!(silent.host.probe(Duration::from_secs(2)), Err(Error::Timeout));
    assert!((2..=3).contains(&silent.machine.seconds()));
    let mut bench = bench([]);
    assert_eq!(bench.host.probe(Duration::from_secs(2)), Ok(()));
    bench.device.borrow_mut().faults.silent = true;
    let before = bench.machine.seconds();
    assert_eq!(bench.host.scan(drop), Err(Error::Timeout));
    assert!((10..=12).contains(&(bench.machine.seconds() - before)));
}

/// The error is what the host did, and not that it was given up.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_host_that_breaks_off_amid_a_scan_is_given_up() {
    for after in 0..5 {
        let mut bench = bench(disk());
        bench.device.borrow_mut().faults = Faults { silent: true, after, ..Faults::default() };
        assert_eq!(bench.host.scan(drop), Err(Error::Timeout), "{after}");
        assert!(bench.machine.seconds() <= 12);
    }
}

#[test]
fn an_answer_that_was_not_written_is_not_the_one_before() {
    let mut bench = bench(disk());
    let unit = bench.scan()[0];
    bench.device.borrow_mut().faults.unwritten = true;
    assert_eq!(bench.read(&unit, 0, 512), Err(Error::Protocol("response")));
}

/// What a unit was to say of itself, and did not write though it says so, is nothing.
#[test]
fn data_that_was_not_written_is_not_that_of_the_command_before() {
    // The capacity, read as a mode parameter header, would protect the unit.
    let mut bench = bench([((0, 0), FakeUnit::new(0, 0x8001, 512))]);
    let mut unit = bench.scan()[0];
    // After TEST UNIT READY and READ CAPACITY.
    let after = bench.device.borrow().requests + 2;
    bench.device.borrow_mut().faults = Faults { first_part_only: true, after, ..Faults::default() };
    unit.refresh(&mut bench.host).unwrap();
    assert_eq!(bench.device.borrow().requests, after + 1);
    assert_eq!((unit.medium.blocks, unit.medium.read_only), (0x8001, false));
}

/// Each answer comes in time, and all together would take long.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_scan_of_a_slow_host_ends() {
    for units in [Vec::new(), (0..=7).map(|target| ((target, 0), FakeUnit::new(0, 100, 512))).collect()] {
        let mut bench = bench(units);
        bench.device.borrow_mut().faults.slow = 3 * TICKS_PER_SECOND;
        assert_eq!(bench.host.scan(drop), Err(Error::Timeout));
        // What was under way at the end is finished: five commands for a unit.
        let waited = bench.machine.seconds();
        assert!((20..=20 + 5 * 3).contains(&waited), "{waited} s");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_host_of_too_many_units_is_not_followed_for_ever() {
    let units = (0..=7).flat_map(|target| (0..30).map(move |lun| ((target, lun), FakeUnit::new(0, 8, 512))));
    let mut bench = bench(units);
    let mut found = 0;
    bench.machine.0.borrow_mut().stopped = true;
    assert_eq!(bench.host.scan(|_| found += 1), Err(Error::Timeout));
    assert_eq!(found, 64);
}

#[test]
fn a_host_without_sense_in_its_limits_is_refused() {
    let machine = Machine::default();
    let function = ScsiHost { units: Units::default(), autosense: true, pending_sense: (0, 0), lists_luns: true };
    let device = Device::new(&machine, 8, 0, scsi_config(0, 0, 7), Box::new(function)).shared();
    let transport = MmioTransport::new(Fake::new(&device, Kind::Mmio)).unwrap().unwrap();
    let host = Host::start(machine, transport, Setup::default());
    assert_eq!(host.err(), Some(Error::Config("max_sectors")));
}
