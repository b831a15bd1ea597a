//! The console device, well behaved and hostile.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use support::Machine;
use support::device::{ACCESS_PLATFORM, Device, Faults, Function, Shared, VERSION_1};
use support::machine::TICKS_PER_SECOND;
use support::registers::{Fake, Kind, MULTIPLIER};
use virtio::console::{Console, TIMEOUT};
use virtio::mmio::MmioTransport;
use virtio::pci::{Layout, PciTransport, Place};
use virtio::transport::Transport;
use virtio::{Error, REQUEST_TIMEOUT, Setup};

/// Each piece of what was sent, and what is to be typed.
#[derive(Default)]
struct Line {
    sent: Vec<Vec<u8>>,
    typed: Vec<u8>,
}

struct Port(Rc<RefCell<Line>>);

impl Function for Port {
    fn answer(&mut self, read: &[Vec<u8>], write: &[usize]) -> Vec<Vec<u8>> {
        let mut line = self.0.borrow_mut();
        match (read, write) {
            ([text], []) => {
                line.sent.push(text.clone());
                Vec::new()
            }
            ([], [room]) => {
                let count = line.typed.len().min(*room);
                vec![line.typed.drain(..count).collect()]
            }
            _ => panic!("{read:?} {write:?}"),
        }
    }

    fn has_answer(&self, write: &[usize]) -> bool {
        write.is_empty() || !self.0.borrow().typed.is_empty()
    }
}

struct Rig {
    machine: Machine,
    device: Shared,
    line: Rc<RefCell<Line>>,
}

impl Rig {
    fn new(faults: Faults) -> Self {
        let machine = Machine::default();
        let line = Rc::<RefCell<Line>>::default();
        let device = Device::new(&machine, 3, u64::MAX, Vec::new(), Box::new(Port(line.clone()))).shared();
        device.borrow_mut().faults = faults;
        Self { machine, device, line }
    }

    fn mmio(&self) -> Result<Console<Machine, MmioTransport<Fake>>, Error> {
        let transport = MmioTransport::new(Fake::new(&self.device, Kind::Mmio)).unwrap().unwrap();
        self.start(transport, REQUEST_TIMEOUT)
    }

    fn start<T: Transport>(&self, transport: T, timeout: Duration) -> Result<Console<Machine, T>, Error> {
        Console::start(self.machine.clone(), transport, Setup { needs_access_platform: true }, timeout)
    }

    fn types(&self, text: &[u8]) {
        self.line.borrow_mut().typed.extend_from_slice(text);
        self.device.borrow_mut().serve_what_waits(0);
    }
}

fn read<T: Transport>(console: &mut Console<Machine, T>) -> Vec<u8> {
    std::iter::from_fn(|| console.read().unwrap()).collect()
}

#[test]
fn text_is_sent_in_pieces_and_typed_bytes_are_received() {
    let rig = Rig::new(Faults::default());
    let mut console = rig.mmio().unwrap();
    assert_eq!(rig.device.borrow().driver_features, VERSION_1 | ACCESS_PLATFORM, "no second port");
    console.write(b"text").unwrap();
    console.write(&[]).unwrap();
    console.write(&[7; 2500]).unwrap();
    let lengths: Vec<_> = rig.line.borrow().sent.iter().map(Vec::len).collect();
    assert_eq!(lengths, [1, 4, 1024, 1024, 452]);
    assert_eq!(rig.line.borrow().sent[1], b"text");

    assert_eq!(console.read(), Ok(None));
    rig.types(b"ab");
    assert_eq!(read(&mut console), b"ab");
    // More than the device has room for at a time.
    let long: Vec<u8> = (0..200).collect();
    rig.types(&long);
    let mut all = Vec::new();
    while all.len() < long.len() {
        all.extend(read(&mut console));
        rig.types(&[]);
    }
    assert_eq!(all, long);
    assert_eq!(console.read(), Ok(None));
    drop(console);
    assert_eq!((rig.device.borrow().status, rig.machine.shared_blocks()), (0, 0), "reset, and nothing kept");
}

#[test]
fn each_queue_is_notified_at_its_own_place() {
    let rig = Rig::new(Faults::default());
    let place = |length| Place { bar: 0, offset: 0, length };
    let layout =
        Layout { common: place(0x38), notify: place(64), notify_multiplier: MULTIPLIER, device: Some(place(16)) };
    let mut kinds = [Kind::PciCommon, Kind::PciNotify, Kind::PciDevice].into_iter();
    let common = Fake::new(&rig.device, Kind::PciCommon);
    let transport =
        PciTransport::new(&layout, |_| Ok::<_, Error>(Fake { kind: kinds.next().unwrap(), ..common.clone() }));
    let mut console = rig.start(transport.unwrap(), REQUEST_TIMEOUT).unwrap();
    console.write(b"text").unwrap();
    rig.types(b"x");
    assert_eq!(console.read(), Ok(Some(b'x')));
    assert_eq!(rig.line.borrow().sent, [b"\r".to_vec(), b"text".to_vec()]);
}

#[test]
fn a_device_that_lies_about_its_output_is_not_used() {
    let faults = Faults::default;
    for (faults, error) in [
        (Faults { used_length: Some(2), ..faults() }, Error::Protocol("used length")),
        (Faults { used_id: Some(1), ..faults() }, Error::Protocol("used id")),
        (Faults { used_step: Some(2), ..faults() }, Error::Protocol("used index")),
        (Faults { needs_reset: true, ..faults() }, Error::NeedsReset),
        (Faults { refuses_features: true, ..faults() }, Error::Features),
    ] {
        let rig = Rig::new(faults);
        assert_eq!(rig.mmio().err(), Some(error));
        assert!(rig.device.borrow().resets >= 2 || error == Error::Features, "{error}");
        assert_eq!(rig.machine.shared_blocks(), 0, "{error}");
    }
}

#[test]
fn a_device_that_lies_about_its_input_is_not_used_again() {
    let faults = Faults { after: 1, ..Faults::default() };
    for (faults, error) in [
        (Faults { used_length: Some(65), ..faults.clone() }, Error::Protocol("used length")),
        (Faults { used_length: Some(u32::MAX), ..faults.clone() }, Error::Protocol("used length")),
        (Faults { used_id: Some(1), ..faults.clone() }, Error::Protocol("used id")),
        (Faults { used_step: Some(2), ..faults.clone() }, Error::Protocol("used index")),
        (Faults { used_step: Some(u16::MAX), ..faults.clone() }, Error::Protocol("used index")),
    ] {
        let rig = Rig::new(faults);
        let mut console = rig.mmio().unwrap();
        rig.types(b"x");
        assert_eq!(console.read(), Err(error));
        assert_eq!(rig.device.borrow().status, 0, "reset: {error}");
        assert_eq!(console.read(), Err(Error::Broken));
        assert_eq!(console.write(b"text"), Err(Error::Broken));
        drop(console);
        // Each may take as long as a reset has at most: one at the start, one when it lied.
        assert_eq!(rig.device.borrow().resets, 2, "{error}");
    }
}

/// Nothing typed is one byte at a time at most, however often the device says so.
#[test]
fn a_device_that_types_nothing_holds_nobody() {
    let rig = Rig::new(Faults { after: 1, used_length: Some(0), ..Faults::default() });
    let mut console = rig.mmio().unwrap();
    rig.types(b"abc");
    for _ in 0..100 {
        assert_eq!(console.read(), Ok(None));
    }
}

#[test]
fn a_queue_that_is_missing_is_told() {
    let rig = Rig::new(Faults::default());
    rig.device.borrow_mut().queues.truncate(1);
    assert_eq!(rig.mmio().err(), Some(Error::Queue(1)));
    rig.device.borrow_mut().queues.clear();
    assert!(matches!(rig.mmio().err(), Some(Error::Queue(_))));
    let rig = Rig::new(Faults::default());
    rig.machine.0.borrow_mut().allocations_left = Some(1);
    assert_eq!(rig.mmio().err(), Some(Error::NoMemory));
    assert_eq!((rig.device.borrow().status, rig.machine.shared_blocks()), (0, 0), "reset: it has one of the queues");
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_device_that_takes_nothing_is_given_up_in_time() {
    let rig = Rig::new(Faults { silent: true, ..Faults::default() });
    assert_eq!(rig.mmio().err(), Some(Error::Timeout));
    assert_eq!(rig.machine.seconds(), TIMEOUT.as_secs());

    let rig = Rig::new(Faults { silent: true, ..Faults::default() });
    let transport = MmioTransport::new(Fake::new(&rig.device, Kind::Mmio)).unwrap().unwrap();
    assert_eq!(rig.start(transport, Duration::from_millis(200)).err(), Some(Error::Timeout));
    assert!(rig.machine.0.borrow_mut().ticks_so_far() < TICKS_PER_SECOND, "the shorter one is kept to");

    let rig = Rig::new(Faults { silent: true, after: 1, ..Faults::default() });
    let mut console = rig.mmio().unwrap();
    assert_eq!(console.write(&[7; 5000]), Err(Error::Timeout));
    assert!(rig.machine.seconds() <= 2 * TIMEOUT.as_secs(), "{} s", rig.machine.seconds());
    assert_eq!(console.write(b"more"), Err(Error::Broken));
    assert_eq!(rig.device.borrow().status, 0);
}
