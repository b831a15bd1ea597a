//! The block device over both transports, well behaved and hostile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use support::Machine;
use support::device::{ACCESS_PLATFORM, Device, Faults, Shared, VERSION_1};
use support::disk::{BlockDevice, block_config};
use support::registers::{Fake, Kind, MULTIPLIER};
use virtio::block::Block;
use virtio::mmio::MmioTransport;
use virtio::pci::{Layout, PciTransport, Place};
use virtio::transport::Transport;
use virtio::{Data, Direction, Error, REQUEST_TIMEOUT, Setup};

const RO: u64 = 1 << 5;
const BLK_SIZE: u64 = 1 << 6;
const FLUSH: u64 = 1 << 9;
const TOPOLOGY: u64 = 1 << 10;
const SIZE_MAX: u64 = 1 << 1;

const REALM: Setup = Setup { needs_access_platform: true };

type Disk = Block<Machine, MmioTransport<Fake>>;

fn device(machine: &Machine, features: u64, sectors: u64, block_size: u32) -> (Shared, BlockDevice) {
    let disk = BlockDevice::default();
    let config = block_config(sectors, block_size);
    (Device::new(machine, 2, features, config, Box::new(disk.clone())).shared(), disk)
}

fn mmio(device: &Shared) -> MmioTransport<Fake> {
    MmioTransport::new(Fake::new(device, Kind::Mmio)).unwrap().unwrap()
}

fn start(machine: &Machine, device: &Shared) -> Result<Disk, Error> {
    Block::start(machine.clone(), mmio(device), REALM)
}

/// A started disk of 64 sectors with every feature.
fn disk(faults: Faults) -> (Machine, Shared, Disk) {
    let machine = Machine::default();
    let (device, _) = device(&machine, BLK_SIZE | FLUSH, 64, 512);
    let disk = start(&machine, &device).unwrap();
    device.borrow_mut().faults = faults;
    (machine, device, disk)
}

fn read(
    machine: &Machine,
    disk: &mut Block<Machine, impl Transport>,
    block: u64,
    length: u32,
) -> Result<Vec<u8>, Error> {
    let buffer = machine.buffer(length as usize);
    disk.transfer(Direction::Read, block, Data { address: buffer.address, length })?;
    Ok(buffer.bytes())
}

fn exercise(machine: &Machine, disk: &mut Block<Machine, impl Transport>, contents: &BlockDevice) {
    for block in [0, 5, 63] {
        let bytes = read(machine, disk, block, 512).unwrap();
        assert_eq!(bytes, contents.contents.read(block, 512, 512));
    }
    let buffer = machine.buffer(1024);
    buffer.fill(&[0xa5; 1024]);
    disk.transfer(Direction::Write, 7, Data { address: buffer.address, length: 1024 }).unwrap();
    assert_eq!(read(machine, disk, 6, 2048).unwrap()[512..1536], [0xa5; 1024]);
    disk.flush().unwrap();
    assert_eq!(*contents.flushes.borrow(), 1);
    // The ring goes round more than once.
    for _ in 0..20 {
        read(machine, disk, 1, 512).unwrap();
    }
}

#[test]
fn reads_writes_and_flushes_over_mmio() {
    let machine = Machine::default();
    let (device, contents) = device(&machine, BLK_SIZE | FLUSH, 64, 512);
    let mut disk = start(&machine, &device).unwrap();
    exercise(&machine, &mut disk, &contents);
    assert_eq!(device.borrow().driver_features, VERSION_1 | ACCESS_PLATFORM | BLK_SIZE | FLUSH);
}

fn capability(kind: u8, bar: u8, offset: u32, length: u32, rest: u32) -> Vec<u8> {
    let mut bytes = vec![9, 0, 20, kind, bar, 0, 0, 0];
    bytes.extend([offset, length, rest].into_iter().flat_map(u32::to_le_bytes));
    bytes
}

fn layout() -> Layout {
    let capabilities = [
        capability(5, 0, 0, 0, 0),
        capability(4, 4, 0x2000, 0x1000, 0),
        capability(1, 4, 0, 0x1000, 0),
        capability(2, 4, 0x3000, 0x1000, MULTIPLIER),
    ];
    Layout::from_capabilities(capabilities.iter().map(Vec::as_slice)).unwrap()
}

fn pci(device: &Shared) -> PciTransport<Fake> {
    let common = Fake::new(device, Kind::PciCommon);
    PciTransport::new(&layout(), |place| {
        let kind = match place.offset {
            0 => return Ok(common.clone()),
            0x2000 => Kind::PciDevice,
            _ => Kind::PciNotify,
        };
        Ok::<_, Error>(Fake::new(device, kind))
    })
    .unwrap()
}

#[test]
fn reads_writes_and_flushes_over_pci() {
    let machine = Machine::default();
    let (device, contents) = device(&machine, BLK_SIZE | FLUSH, 64, 512);
    let mut disk = Block::start(machine.clone(), pci(&device), REALM).unwrap();
    exercise(&machine, &mut disk, &contents);
}

#[test]
fn sizes_are_what_the_configuration_says() {
    let machine = Machine::default();
    // Over 2 TiB, in blocks of 4 KiB.
    let sectors = 5 << 40 >> 9;
    let (device, contents) = device(&machine, RO | BLK_SIZE | TOPOLOGY | SIZE_MAX, sectors, 4096);
    let mut disk = start(&machine, &device).unwrap();
    let medium = disk.medium();
    assert_eq!((medium.block_size, medium.blocks, medium.read_only), (4096, sectors / 8, true));
    assert_eq!((medium.blocks_per_physical, medium.lowest_aligned), (8, 7));
    assert_eq!(disk.max_transfer(), 0x2_0000);
    let last = medium.blocks - 1;
    assert_eq!(read(&machine, &mut disk, last, 4096).unwrap(), contents.contents.read(last * 8, 512, 4096));
    assert_eq!(read(&machine, &mut disk, last, 8192), Err(Error::Range));
    assert_eq!(read(&machine, &mut disk, u64::MAX, 8192), Err(Error::Range));
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Range));
    assert_eq!(read(&machine, &mut disk, 0, 4096 + 512), Err(Error::Range));
    assert_eq!(read(&machine, &mut disk, 0, 0), Err(Error::Range));
    assert_eq!(read(&machine, &mut disk, 0, 0x2_1000), Err(Error::Range));
    let data = Data { address: 0, length: 4096 };
    assert_eq!(disk.transfer(Direction::Write, 0, data), Err(Error::WriteProtected));
    // Nothing was asked of the device but the one read; without the feature a flush is none either.
    assert_eq!(disk.flush(), Ok(()));
    assert_eq!(device.borrow().requests, 1);
}

#[test]
fn configurations_that_make_no_sense_are_refused() {
    let machine = Machine::default();
    for (features, sectors, block_size) in
        [(BLK_SIZE, 8, 0), (BLK_SIZE, 8, 513), (BLK_SIZE, 8, 8192), (BLK_SIZE, 8, 256), (0, u64::MAX, 512)]
    {
        let (device, _) = device(&machine, features, sectors, block_size);
        assert!(matches!(start(&machine, &device), Err(Error::Config(_))), "{sectors} {block_size}");
    }
    let (device, _) = device(&machine, SIZE_MAX, 8, 512);
    device.borrow_mut().config[8..12].copy_from_slice(&511u32.to_le_bytes());
    assert_eq!(start(&machine, &device).err(), Some(Error::Config("size_max")));
    device.borrow_mut().faults.restless = true;
    assert_eq!(start(&machine, &device).err(), Some(Error::Config("changes all the time")));
}

#[test]
fn a_block_size_that_was_not_agreed_is_not_used() {
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 8, 4096);
    let disk = start(&machine, &device).unwrap();
    assert_eq!((disk.medium().block_size, disk.medium().blocks_per_physical), (512, 1));
    assert_eq!(disk.max_transfer(), u32::MAX - 511);
}

#[test]
fn a_topology_that_makes_no_sense_is_none() {
    let machine = Machine::default();
    for (exponent, offset, expected) in [(3, 7, (8, 7)), (3, 8, (1, 0)), (15, 0, (1 << 15, 0)), (16, 0, (1, 0))] {
        let (device, _) = device(&machine, TOPOLOGY, 8, 512);
        device.borrow_mut().config[24..26].copy_from_slice(&[exponent, offset]);
        let medium = start(&machine, &device).unwrap().medium();
        assert_eq!((medium.blocks_per_physical, medium.lowest_aligned), expected);
    }
}

#[test]
fn legacy_devices_are_refused() {
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 8, 512);
    device.borrow_mut().features = ACCESS_PLATFORM;
    assert_eq!(start(&machine, &device).err(), Some(Error::Legacy));
    let registers = Fake { version: 1, ..Fake::new(&device, Kind::Mmio) };
    assert_eq!(MmioTransport::new(registers).err(), Some(Error::Legacy));
    let registers = Fake { magic: 0, ..Fake::new(&device, Kind::Mmio) };
    assert_eq!(MmioTransport::new(registers).err(), Some(Error::Registers("magic value")));
    device.borrow_mut().kind = 0;
    assert!(MmioTransport::new(Fake::new(&device, Kind::Mmio)).unwrap().is_none());
}

#[test]
fn access_platform_is_needed_in_a_realm_and_taken_elsewhere() {
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 8, 512);
    let elsewhere = Setup::default();
    drop(Block::start(machine.clone(), mmio(&device), elsewhere).unwrap());
    device.borrow_mut().features = VERSION_1;
    assert_eq!(start(&machine, &device).err(), Some(Error::NoAccessPlatform));
    assert_eq!(device.borrow().status, 128);
    assert!(Block::start(machine.clone(), mmio(&device), elsewhere).is_ok());
}

#[test]
fn devices_that_do_not_come_up_are_refused() {
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 8, 512);
    device.borrow_mut().faults.refuses_features = true;
    assert_eq!(start(&machine, &device).err(), Some(Error::Features));
    device.borrow_mut().faults = Faults::default();
    for size in [0, 3] {
        device.borrow_mut().max_queue = size;
        assert_eq!(start(&machine, &device).err(), Some(Error::Queue(0)));
    }
    device.borrow_mut().max_queue = 4;
    assert!(start(&machine, &device).is_ok());
    device.borrow_mut().queues.clear();
    assert_eq!(start(&machine, &device).err(), Some(Error::Queue(0)));
    machine.0.borrow_mut().allocations_left = Some(0);
    assert_eq!(start(&machine, &device).err(), Some(Error::NoMemory));
    device.borrow_mut().status = 1;
    device.borrow_mut().faults.never_resets = true;
    let before = machine.seconds();
    assert_eq!(start(&machine, &device).err(), Some(Error::Reset));
    assert!((1..=2).contains(&(machine.seconds() - before)));
    assert_eq!(machine.shared_blocks(), 0);
}

/// The device is reset by the error and never used again.
fn gives_up(faults: Faults, error: Error) {
    let (machine, device, mut disk) = disk(faults);
    let resets = device.borrow().resets;
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(error));
    assert_eq!(device.borrow().resets, resets + 1, "{error}: reset");
    assert_eq!(device.borrow().status, 0);
    device.borrow_mut().faults = Faults::default();
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Broken));
    assert_eq!(disk.transfer(Direction::Write, 0, Data { address: 0, length: 512 }), Err(Error::Broken));
    assert_eq!(disk.probe(REQUEST_TIMEOUT), Err(Error::Broken));
    assert_eq!(disk.flush(), Err(Error::Broken));
    assert_eq!(device.borrow().requests, 1);
}

#[test]
fn a_wrong_used_id_gives_the_device_up() {
    for id in [1, 3, 8, u32::MAX, 1 << 16] {
        gives_up(Faults { used_id: Some(id), ..Faults::default() }, Error::Protocol("used id"));
    }
}

#[test]
fn a_wrong_used_index_gives_the_device_up() {
    for step in [2, 8, 0x8000, u16::MAX] {
        gives_up(Faults { used_step: Some(step), ..Faults::default() }, Error::Protocol("used index"));
    }
}

#[test]
fn a_used_length_beyond_the_request_gives_the_device_up() {
    for length in [512 + 16 + 2, u32::MAX] {
        gives_up(Faults { used_length: Some(length), ..Faults::default() }, Error::Protocol("used length"));
    }
    gives_up(Faults { used_length: Some(511), ..Faults::default() }, Error::Protocol("short read"));
    // Without the status, as kvmtool counts.
    let (machine, _, mut disk) = disk(Faults { used_length: Some(512), ..Faults::default() });
    assert!(read(&machine, &mut disk, 0, 512).is_ok());
}

#[test]
fn an_unknown_status_gives_the_device_up() {
    for status in [3, 0xff] {
        gives_up(Faults { answer: Some(vec![status]), ..Faults::default() }, Error::Protocol("status"));
    }
    // That of the request before does not count.
    let (machine, _, mut disk) = disk(Faults { unwritten: true, after: 1, ..Faults::default() });
    assert!(read(&machine, &mut disk, 0, 512).is_ok());
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Protocol("status")));
}

#[test]
fn a_failed_request_is_one_request() {
    for (status, error) in [(1, Error::Io), (2, Error::Unsupported)] {
        let (machine, device, mut disk) = disk(Faults { answer: Some(vec![status]), ..Faults::default() });
        assert_eq!(read(&machine, &mut disk, 0, 512), Err(error));
        device.borrow_mut().faults = Faults::default();
        assert!(read(&machine, &mut disk, 0, 512).is_ok());
    }
}

/// Whatever it is.
#[test]
fn a_probe_wants_an_answer() {
    let unsupported = Faults { answer: Some(vec![2]), ..Faults::default() };
    for faults in [unsupported, Faults { used_length: Some(1), ..Faults::default() }] {
        let (machine, device, mut disk) = disk(faults);
        assert_eq!(disk.probe(REQUEST_TIMEOUT), Ok(()));
        device.borrow_mut().faults = Faults::default();
        assert!(read(&machine, &mut disk, 0, 512).is_ok());
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_device_without_a_cache_is_not_flushed_when_it_was_given_up() {
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 64, 512);
    let mut disk = start(&machine, &device).unwrap();
    device.borrow_mut().faults.silent = true;
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Timeout));
    assert_eq!(disk.flush(), Err(Error::Broken));
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_device_that_never_answers_is_given_up_in_time() {
    let (machine, _, _) = disk(Faults::default());
    let before = machine.seconds();
    gives_up(Faults { silent: true, ..Faults::default() }, Error::Timeout);
    let (machine, device, mut disk) = disk(Faults { silent: true, ..Faults::default() });
    device.borrow_mut().status_reads = 0;
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Timeout));
    let waited = machine.seconds() - before;
    assert!((10..=12).contains(&waited), "{waited} s");
    // Each is an exit to the host.
    assert!(device.borrow().status_reads < 12);
}

/// The time of a probe is its own, and that of requests is what it was before.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_probe_has_a_time_out_of_its_own() {
    let (machine, _, mut silent) = disk(Faults { silent: true, ..Faults::default() });
    let before = machine.seconds();
    assert_eq!(silent.probe(Duration::from_secs(2)), Err(Error::Timeout));
    let waited = machine.seconds() - before;
    assert!((2..=3).contains(&waited), "{waited} s");
    let (machine, device, mut disk) = disk(Faults::default());
    disk.probe(Duration::from_secs(2)).unwrap();
    device.borrow_mut().faults.silent = true;
    let before = machine.seconds();
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::Timeout));
    let waited = machine.seconds() - before;
    assert!((10..=12).contains(&waited), "{waited} s");
}

/// What was agreed when the device was started holds, whatever its configuration says from then on.
#[test]
fn a_configuration_that_changes_later_changes_nothing() {
    let (machine, device, mut disk) = disk(Faults { restless: true, ..Faults::default() });
    device.borrow_mut().config.fill(0);
    let medium = disk.medium();
    assert_eq!(read(&machine, &mut disk, 63, 512).map(|bytes| bytes.len()), Ok(512));
    assert_eq!(read(&machine, &mut disk, 64, 512), Err(Error::Range));
    assert_eq!(disk.medium(), medium);
}

#[test]
fn a_device_that_needs_a_reset_is_given_up_at_once() {
    gives_up(Faults { needs_reset: true, ..Faults::default() }, Error::NeedsReset);
    let (machine, _, mut disk) = disk(Faults { needs_reset: true, ..Faults::default() });
    let before = machine.seconds();
    assert_eq!(read(&machine, &mut disk, 0, 512), Err(Error::NeedsReset));
    assert!(machine.seconds() - before <= 1);
}

#[test]
fn a_dropped_device_is_reset_before_its_memory_goes_back() {
    let (machine, device, disk) = disk(Faults::default());
    assert_eq!(machine.shared_blocks(), 1);
    drop(disk);
    assert_eq!(device.borrow().status, 0);
    assert_eq!(machine.shared_blocks(), 0);
}

#[test]
fn pci_capabilities_are_checked() {
    let none = |capabilities: &[Vec<u8>]| Layout::from_capabilities(capabilities.iter().map(Vec::as_slice));
    let notify = capability(2, 4, 0x3000, 0x1000, 4);
    let common = capability(1, 4, 0, 0x38, 0);
    let whole = none(&[common.clone(), notify.clone()]).unwrap();
    assert_eq!(whole.common, Place { bar: 4, offset: 0, length: 0x38 });
    assert_eq!((whole.notify_multiplier, whole.device), (4, None));
    for bad in [
        capability(1, 6, 0, 0x38, 0),
        capability(1, 4, 0, 0x37, 0),
        capability(1, 4, 2, 0x38, 0),
        capability(1, 4, u32::MAX - 3, 0x38, 0),
        common[..15].to_vec(),
        vec![],
    ] {
        assert_eq!(none(&[bad.clone(), notify.clone()]), Err(Error::Legacy), "{bad:?}");
        // A later one that is right counts.
        assert!(none(&[bad, common.clone(), notify.clone()]).is_ok());
    }
    for bad in [notify[..19].to_vec(), capability(2, 4, 0x3000, 1, 4)] {
        assert_eq!(none(&[common.clone(), bad]), Err(Error::Legacy));
    }
    // Of several the first counts.
    let configuration = capability(4, 4, 0x2000, 0x1000, 0);
    let others = [1, 2, 4].map(|kind| capability(kind, 5, 0, 0x1000, 8));
    let first = [&[common, notify, configuration][..], &others].concat();
    let found = none(&first).unwrap();
    assert_eq!((found.common.bar, found.notify.bar, found.device.unwrap().bar), (4, 4, 4));
    assert_eq!(found.notify_multiplier, 4);
    // A queue's place in the notification structure is in it.
    let machine = Machine::default();
    let (device, _) = device(&machine, 0, 8, 512);
    let layout = Layout { notify_multiplier: 3, ..layout() };
    let mut transport = PciTransport::new(&layout, |_| Ok::<_, Error>(Fake::new(&device, Kind::PciCommon))).unwrap();
    let addresses = virtio::transport::QueueAddresses { descriptors: 0, driver: 0, device: 0 };
    assert_eq!(transport.enable_queue(1, 8, addresses), Err(Error::Registers("queue_notify_off")));
    let layout = Layout { notify: Place { length: 4, ..layout.notify }, notify_multiplier: 4, ..layout };
    let mut transport = PciTransport::new(&layout, |_| Ok::<_, Error>(Fake::new(&device, Kind::PciCommon))).unwrap();
    assert_eq!(transport.enable_queue(1, 8, addresses), Err(Error::Registers("queue_notify_off")));
}

#[test]
fn device_numbers_are_told_apart() {
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1042), Some(2));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1001), Some(2));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1048), Some(8));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1004), Some(8));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1044), Some(4));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1005), Some(4));
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1000), None);
    assert_eq!(virtio::pci::device_type(0x1af4, 0x1110), None);
    assert_eq!(virtio::pci::device_type(0x1b36, 0x1042), None);
}
