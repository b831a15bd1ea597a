//! The entropy device, well behaved and hostile.
#![allow(clippy::unwrap_used)]

mod support;

use support::Machine;
use support::device::{ACCESS_PLATFORM, Device, Faults, Function, Shared, VERSION_1};
use support::registers::{Fake, Kind};
use virtio::entropy::{self, LEN};
use virtio::mmio::MmioTransport;
use virtio::{Error, REQUEST_TIMEOUT, Setup};

struct Source;

impl Function for Source {
    fn answer(&mut self, read: &[Vec<u8>], write: &[usize]) -> Vec<Vec<u8>> {
        assert!(read.is_empty() && write == [LEN]);
        vec![(1..=LEN as u8).collect()]
    }
}

fn read(faults: Faults) -> (Machine, Shared, Result<[u8; LEN], Error>) {
    let machine = Machine::default();
    let device = Device::new(&machine, 4, 0, Vec::new(), Box::new(Source)).shared();
    device.borrow_mut().faults = faults;
    let transport = MmioTransport::new(Fake::new(&device, Kind::Mmio)).unwrap().unwrap();
    let setup = Setup { needs_access_platform: true };
    let result = entropy::read(machine.clone(), transport, setup, REQUEST_TIMEOUT);
    (machine, device, result)
}

#[test]
fn the_device_is_asked_once_and_reset() {
    let (machine, device, result) = read(Faults::default());
    assert_eq!(result.unwrap().to_vec(), (1..=LEN as u8).collect::<Vec<_>>());
    let device = device.borrow();
    assert_eq!((device.requests, device.status, machine.shared_blocks()), (1, 0, 0));
}

#[test]
fn no_feature_is_taken_but_those_of_every_device() {
    let machine = Machine::default();
    let device = Device::new(&machine, 4, u64::MAX, Vec::new(), Box::new(Source)).shared();
    let transport = MmioTransport::new(Fake::new(&device, Kind::Mmio)).unwrap().unwrap();
    // What the device is told to take goes with its reset.
    device.borrow_mut().faults.never_resets = true;
    entropy::read(machine, transport, Setup::default(), REQUEST_TIMEOUT).unwrap();
    assert_eq!(device.borrow().driver_features, VERSION_1 | ACCESS_PLATFORM);
}

#[test]
fn a_device_that_lies_gives_nothing() {
    let faults = Faults::default;
    for (faults, error) in [
        (Faults { used_length: Some(LEN as u32 + 1), ..faults() }, Error::Protocol("used length")),
        (Faults { used_length: Some(u32::MAX), ..faults() }, Error::Protocol("used length")),
        (Faults { used_length: Some(LEN as u32 - 1), ..faults() }, Error::Protocol("short of random bytes")),
        (Faults { used_length: Some(0), ..faults() }, Error::Protocol("short of random bytes")),
        (Faults { used_id: Some(1), ..faults() }, Error::Protocol("used id")),
        (Faults { used_step: Some(2), ..faults() }, Error::Protocol("used index")),
        (Faults { needs_reset: true, ..faults() }, Error::NeedsReset),
        (Faults { refuses_features: true, ..faults() }, Error::Features),
    ] {
        let (machine, device, result) = read(faults);
        assert_eq!(result, Err(error));
        assert!(device.borrow().resets >= 2 || error == Error::Features, "{error}");
        assert_eq!(machine.shared_blocks(), 0, "{error}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn a_device_that_never_answers_is_given_up_in_time() {
    let (machine, device, result) = read(Faults { silent: true, ..Faults::default() });
    assert_eq!(result, Err(Error::Timeout));
    assert!((1..=3).contains(&machine.seconds()), "{} s", machine.seconds());
    assert_eq!(device.borrow().status, 0);
}
