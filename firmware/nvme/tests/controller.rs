//! The driver with a controller as the specification has it, and with hostile ones.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use driver::{Data, Direction, Error, REQUEST_TIMEOUT};
use nvme::{Controller, MAX_NAMESPACES, Namespace};
use support::{CAP, Disk, Fake, Faults, Machine};

type Nvme = Controller<Machine, Fake>;

fn start(machine: &Machine, fake: &Fake) -> Result<Nvme, Error> {
    Controller::start(machine.clone(), fake.clone(), REQUEST_TIMEOUT)
}

fn scan(controller: &mut Nvme) -> (Vec<Namespace>, Result<(), Error>) {
    let mut found = Vec::new();
    let result = controller.scan(|namespace| found.push(namespace));
    (found, result)
}

/// A started controller with one namespace of 64 blocks of 512 bytes.
fn disk(faults: Faults) -> (Machine, Fake, Nvme, Namespace) {
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(64, 9))]);
    let mut controller = start(&machine, &fake).unwrap();
    let (found, result) = scan(&mut controller);
    result.unwrap();
    let [namespace] = found[..] else { panic!("{found:?}") };
    let mut device = fake.0.borrow_mut();
    device.faults = faults;
    device.commands.clear();
    drop(device);
    (machine, fake, controller, namespace)
}

/// Reads to an address that is `offset` behind the start of a page.
fn read(
    machine: &Machine,
    (controller, namespace): (&mut Nvme, &Namespace),
    block: u64,
    length: u32,
    offset: u64,
) -> Result<Vec<u8>, Error> {
    let buffer = machine.buffer(offset as usize + length as usize);
    let data = Data { address: buffer.address + offset, length };
    controller.transfer(namespace, Direction::Read, block, data)?;
    Ok(buffer.bytes()[offset as usize..].to_vec())
}

fn expected(fake: &Fake, id: u32, start: u64, length: usize) -> Vec<u8> {
    let device = fake.0.borrow();
    let blocks: Vec<_> = (start..).map(|block| device.disks[&id].block(block)).take(length / 512).collect();
    blocks.concat()
}

#[test]
fn reads_writes_and_flushes() {
    let (machine, fake, mut controller, namespace) = disk(Faults::default());
    assert_eq!(fake.0.borrow().interrupt_mask, u32::MAX);
    let disk = (&mut controller, &namespace);
    assert_eq!(read(&machine, disk, 63, 512, 0), Ok(expected(&fake, 1, 63, 512)));
    let buffer = machine.buffer(1024);
    buffer.fill(&[0xa5; 1024]);
    let data = Data { address: buffer.address, length: 1024 };
    controller.transfer(&namespace, Direction::Write, 7, data).unwrap();
    let bytes = read(&machine, (&mut controller, &namespace), 6, 2048, 0).unwrap();
    assert_eq!(bytes[512..1536], [0xa5; 1024]);
    assert_eq!(bytes, expected(&fake, 1, 6, 2048));
    controller.flush(&namespace).unwrap();
    assert_eq!(fake.0.borrow().commands, [2, 1, 2, 0]);
    // The queues go round, and so does the number of commands.
    let rounds = if cfg!(miri) { 5 } else { 0x1_0010 };
    for block in (0..64).cycle().take(rounds) {
        assert_eq!(read(&machine, (&mut controller, &namespace), block, 512, 0), Ok(expected(&fake, 1, block, 512)));
    }
}

/// One page, two, a list of them, from anywhere in a page.
#[test]
fn transfers_of_all_shapes() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(1 << 20, 9))]);
    let mut controller = start(&machine, &fake).unwrap();
    let (found, _) = scan(&mut controller);
    let most = 2 << 20;
    assert_eq!(controller.max_transfer(), most);
    let lengths: &[u32] = if cfg!(miri) { &[512, 12288] } else { &[512, 4096, 4608, 8192, 12288, 65536, most] };
    for length in lengths {
        for offset in [0, 4, 512, 4092] {
            let bytes = read(&machine, (&mut controller, &found[0]), 3, *length, offset).unwrap();
            assert!(bytes == expected(&fake, 1, 3, bytes.len()), "{length} at {offset}");
        }
    }
    let disk = (&mut controller, &found[0]);
    assert_eq!(read(&machine, disk, 0, most + 512, 0), Err(Error::Range));
    for offset in 1..4 {
        let disk = (&mut controller, &found[0]);
        assert_eq!(read(&machine, disk, 0, 512, offset), Err(Error::Range), "no dword");
    }
}

#[test]
fn transfers_are_as_large_as_the_controller_takes() {
    for (mdts, most) in [(1, 8192), (7, 512 << 10), (9, 2 << 20), (10, 2 << 20), (255, 2 << 20)] {
        let machine = Machine::default();
        let fake = Fake::new(&machine, [(1, Disk::new(64, 9))]);
        fake.0.borrow_mut().mdts = mdts;
        assert_eq!(start(&machine, &fake).unwrap().max_transfer(), most, "{mdts}");
    }
}

#[test]
fn namespaces_are_what_identify_says() {
    let machine = Machine::default();
    let large = Disk { flbas: 0x25, eui64: [1, 2, 3, 4, 5, 6, 7, 8], ..Disk::new(5 << 28, 12) };
    let protected = Disk { attributes: 1, ..Disk::new(8, 9) };
    let metadata = Disk { metadata: 8, ..Disk::new(8, 9) };
    let disks = [(1, Disk::new(3 << 31, 9)), (2, metadata), (5, Disk::new(0, 9)), (7, large), (300, protected)];
    let fake = Fake::new(&machine, disks);
    let mut controller = start(&machine, &fake).unwrap();
    let (found, result) = scan(&mut controller);
    assert_eq!(result, Err(Error::Config("namespace with metadata")));
    let said: Vec<_> = found.iter().map(|n| (n.id, n.medium.block_size, n.medium.blocks, n.medium.read_only)).collect();
    assert_eq!(said, [(1, 512, 3 << 31, false), (7, 4096, 5 << 28, false), (300, 512, 8, true)]);
    assert_eq!((found[0].eui64, found[1].eui64), ([0; 8], [1, 2, 3, 4, 5, 6, 7, 8]));
    let last = (5 << 28) - 1;
    assert_eq!(read(&machine, (&mut controller, &found[1]), last, 4096, 0), Ok(last.to_le_bytes().repeat(512)));
    let far = (3 << 31) - 1;
    assert_eq!(read(&machine, (&mut controller, &found[0]), far, 512, 0), Ok(far.to_le_bytes().repeat(64)));
    fake.0.borrow_mut().commands.clear();
    for (block, length) in [(last, 8192), (u64::MAX, 4096), (0, 512), (0, 0)] {
        assert_eq!(read(&machine, (&mut controller, &found[1]), block, length, 0), Err(Error::Range));
    }
    let data = Data { address: 0, length: 512 };
    assert_eq!(controller.transfer(&found[2], Direction::Write, 0, data), Err(Error::WriteProtected));
    assert!(fake.0.borrow().commands.is_empty());
}

#[test]
fn sizes_of_blocks_that_make_no_sense_are_refused() {
    for exponent in [0, 8, 13, 31, 32, 32 + 9, 255] {
        let machine = Machine::default();
        let fake = Fake::new(&machine, [(1, Disk { exponent, ..Disk::new(8, 9) }), (2, Disk::new(8, 9))]);
        let (found, result) = scan(&mut start(&machine, &fake).unwrap());
        assert_eq!((found.len(), result), (1, Err(Error::Config("block size"))), "{exponent}");
    }
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(u64::MAX, 9))]);
    assert_eq!(scan(&mut start(&machine, &fake).unwrap()).1, Err(Error::Config("capacity")));
}

/// A list that does not increase ends; without one the first namespaces are asked for.
#[test]
fn lists_of_namespaces() {
    let ids = |list: Option<Vec<u32>>, namespaces: u32, has_list: bool| {
        let machine = Machine::default();
        let fake = Fake::new(&machine, (1..=30).map(|id| (id, Disk::new(8, 9))));
        let mut device = fake.0.borrow_mut();
        (device.list, device.namespaces, device.has_list) = (list, namespaces, has_list);
        drop(device);
        let (found, result) = scan(&mut start(&machine, &fake).unwrap());
        result.unwrap();
        found.iter().map(|namespace| namespace.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(Some(vec![3, 3]), 1000, true), [3]);
    assert_eq!(ids(Some(vec![2, 9, 4, 10]), 1000, true), [2, 9]);
    assert_eq!(ids(Some(vec![1, 20, u32::MAX]), 20, true), [1, 20]);
    assert_eq!(ids(Some(vec![1, 21]), 20, true), [1]);
    assert_eq!(ids(Some(vec![0, 1]), 20, true), []);
    let first: Vec<_> = (1..=MAX_NAMESPACES as u32).collect();
    assert_eq!(ids(Some((1..=30).collect()), 1000, true), first);
    assert_eq!(ids(None, 1000, false), first);
    assert_eq!(ids(None, 3, false), [1, 2, 3]);
}

#[test]
fn capabilities_that_do_not_do_are_refused() {
    let refused = |cap: u64| {
        let machine = Machine::default();
        let fake = Fake::new(&machine, []);
        fake.0.borrow_mut().cap = cap;
        let error = start(&machine, &fake).err();
        assert!(matches!(error, Some(Error::Config(_))), "{cap:#x}: {error:?}");
    };
    [0, u64::MAX, CAP & !0xffff, CAP & !(1 << 37), CAP | 1 << 48].into_iter().for_each(refused);
    let machine = Machine::default();
    let fake = Fake::new(&machine, []);
    fake.0.borrow_mut().cap = CAP & !0xffff | 1;
    assert!(start(&machine, &fake).is_ok());
    machine.0.borrow_mut().allocations_left = Some(0);
    assert_eq!(start(&machine, &fake).err(), Some(Error::NoMemory));
}

/// What is left running is stopped first.
#[test]
fn controllers_start_anew() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(8, 9))]);
    let mut device = fake.0.borrow_mut();
    (device.cc, device.ready, device.fatal) = (0x46_0001, true, true);
    drop(device);
    let mut controller = start(&machine, &fake).unwrap();
    assert_eq!(scan(&mut controller).0.len(), 1);
    assert_eq!(fake.0.borrow().resets, 1);
    controller.quiesce();
    assert!(!fake.0.borrow().ready);
    assert_eq!(scan(&mut controller).1, Err(Error::Broken));
    drop(controller);
    assert_eq!((fake.0.borrow().resets, machine.shared_blocks()), (2, 0));
}

#[test]
fn controllers_that_do_not_come_up_are_refused() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, []);
    fake.0.borrow_mut().faults = Faults { never_ready: true, ..Faults::default() };
    let before = machine.seconds();
    assert_eq!(start(&machine, &fake).err(), Some(Error::Protocol("never ready")));
    let mut device = fake.0.borrow_mut();
    (device.ready, device.faults) = (true, Faults { never_stops: true, ..Faults::default() });
    drop(device);
    assert_eq!(start(&machine, &fake).err(), Some(Error::Reset));
    let waited = machine.seconds() - before;
    assert!((20..=23).contains(&waited), "{waited} s");
    fake.0.borrow_mut().ready = false;
    let before = machine.seconds();
    fake.0.borrow_mut().faults = Faults { never_starts: true, ..Faults::default() };
    assert_eq!(start(&machine, &fake).err(), Some(Error::ControllerFatal));
    assert!(machine.seconds() - before <= 1);
    fake.0.borrow_mut().faults = Faults::default();
    for opcode in [0x106, 0x109, 0x105, 0x101] {
        fake.0.borrow_mut().faults.status = Some((6, opcode));
        assert_eq!(start(&machine, &fake).err(), Some(Error::Io), "{opcode:#x}");
        assert!(!fake.0.borrow().ready);
    }
    assert_eq!(machine.shared_blocks(), 0);
}

/// The controller is disabled by the error and never used again.
fn gives_up(faults: Faults, error: Error) {
    let (machine, fake, mut controller, namespace) = disk(faults);
    assert_eq!(read(&machine, (&mut controller, &namespace), 0, 512, 0), Err(error));
    assert_eq!((fake.0.borrow().resets, fake.0.borrow().ready), (1, false), "{error}: disabled");
    fake.0.borrow_mut().faults = Faults::default();
    assert_eq!(read(&machine, (&mut controller, &namespace), 0, 512, 0), Err(Error::Broken));
    assert_eq!(controller.flush(&namespace), Err(Error::Broken));
    assert_eq!(scan(&mut controller).1, Err(Error::Broken));
    assert_eq!(fake.0.borrow().commands.len(), 1);
    drop(controller);
    assert_eq!(fake.0.borrow().resets, 1);
}

#[test]
fn a_completion_of_another_command_gives_the_controller_up() {
    for command in [1, 2, 0x8000, u16::MAX] {
        gives_up(Faults { command, ..Faults::default() }, Error::Protocol("completion: command"));
    }
    for queue in [1, u16::MAX - 1] {
        gives_up(Faults { queue, ..Faults::default() }, Error::Protocol("completion: queue"));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_controller_that_never_answers_is_given_up_in_time() {
    for faults in [Faults { silent: true, ..Faults::default() }, Faults { stale: true, ..Faults::default() }] {
        gives_up(faults.clone(), Error::Timeout);
        let (machine, fake, mut controller, namespace) = disk(faults);
        fake.0.borrow_mut().status_reads = 0;
        let before = machine.seconds();
        assert_eq!(controller.flush(&namespace), Err(Error::Timeout));
        let waited = machine.seconds() - before;
        assert!((10..=12).contains(&waited), "{waited} s");
        // Each is an exit to the host.
        assert!(fake.0.borrow().status_reads < 12);
    }
}

/// It is waited for once.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_controller_that_does_not_stop_is_left_alone() {
    let (machine, _, mut controller, namespace) = disk(Faults { command: 1, never_stops: true, ..Faults::default() });
    let before = machine.seconds();
    assert_eq!(controller.flush(&namespace), Err(Error::Protocol("completion: command")));
    controller.quiesce();
    drop(controller);
    let waited = machine.seconds() - before;
    assert!((10..=12).contains(&waited), "{waited} s");
}

/// The first answer has a time-out of its own.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn the_first_answer_has_a_time_out_of_its_own() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(8, 9))]);
    fake.0.borrow_mut().faults.silent = true;
    let before = machine.seconds();
    let controller = Controller::start(machine.clone(), fake.clone(), Duration::from_secs(2));
    assert_eq!(controller.err(), Some(Error::Timeout));
    let waited = machine.seconds() - before;
    assert!((2..=3).contains(&waited), "{waited} s");
    fake.0.borrow_mut().faults.silent = false;
    let mut controller = Controller::start(machine.clone(), fake.clone(), Duration::from_secs(2)).unwrap();
    fake.0.borrow_mut().faults.silent = true;
    let before = machine.seconds();
    assert_eq!(scan(&mut controller).1, Err(Error::Timeout));
    let waited = machine.seconds() - before;
    assert!((10..=12).contains(&waited), "{waited} s");
}

#[test]
fn a_controller_that_fails_is_given_up_at_once() {
    gives_up(Faults { fatal: true, ..Faults::default() }, Error::ControllerFatal);
    let (machine, _, mut controller, namespace) = disk(Faults { fatal: true, ..Faults::default() });
    let before = machine.seconds();
    assert_eq!(controller.flush(&namespace), Err(Error::ControllerFatal));
    assert!(machine.seconds() - before <= 1);
}

/// What is in the bits above type and code is how to go on.
#[test]
fn a_failed_command_is_one_command() {
    for (status, error) in [
        (0x04, Error::Io),
        (0x281, Error::Io),
        (0x4002, Error::Io),
        (0x20, Error::WriteProtected),
        (0x4182, Error::WriteProtected),
    ] {
        let (machine, fake, mut controller, namespace) =
            disk(Faults { status: Some((status, 2)), ..Faults::default() });
        assert_eq!(read(&machine, (&mut controller, &namespace), 0, 512, 0), Err(error));
        fake.0.borrow_mut().faults = Faults { status: Some((0x7800, 2)), ..Faults::default() };
        assert!(read(&machine, (&mut controller, &namespace), 0, 512, 0).is_ok());
    }
}

#[test]
fn a_controller_without_a_cache_is_not_flushed() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, [(1, Disk::new(8, 9))]);
    fake.0.borrow_mut().vwc = 0;
    let mut controller = start(&machine, &fake).unwrap();
    let (found, _) = scan(&mut controller);
    assert_eq!(controller.flush(&found[0]), Ok(()));
    assert!(!fake.0.borrow().commands.contains(&0));
    controller.quiesce();
    assert_eq!(controller.flush(&found[0]), Err(Error::Broken));
}

/// One that is lost while its namespaces are looked for.
#[test]
fn a_scan_ends_with_the_controller() {
    let machine = Machine::default();
    let fake = Fake::new(&machine, (1..4).map(|id| (id, Disk::new(8, 9))));
    let mut controller = start(&machine, &fake).unwrap();
    let mut found = 0;
    let result = controller.scan(|_| {
        found += 1;
        fake.0.borrow_mut().faults.command = 1;
    });
    assert_eq!((found, result), (1, Err(Error::Protocol("completion: command"))));
}

/// Each identifier comes again; one of them never comes.
#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn more_commands_than_identifiers() {
    let (_, fake, mut controller, namespace) = disk(Faults::default());
    for _ in 0..70_000 {
        controller.flush(&namespace).unwrap();
        fake.0.borrow_mut().commands.clear();
    }
}
