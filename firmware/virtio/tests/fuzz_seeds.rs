//! The fuzzers' first inputs are those of devices that are as they should be: all of what uses them is reached.

#[path = "support/space.rs"]
mod space;
#[path = "support/stream.rs"]
mod stream;

use stream::{BLOCK, CONSOLE, Device, Done, ENTROPY, SCSI_HOST};

#[test]
fn a_device_that_does_as_it_should_is_used_to_the_end() {
    for (kind, expected) in [
        (BLOCK, Done { reads: 4, writes: 4, flushes: 1, ..Done::default() }),
        (SCSI_HOST, Done { reads: 1, writes: 1, flushes: 1, units: 1, ..Done::default() }),
        (CONSOLE, Done { reads: 100, writes: 100, ..Done::default() }),
        (ENTROPY, Done { random: 1, ..Done::default() }),
    ] {
        let stream = Device::honest(kind);
        assert_eq!(Device::new(&stream).exercise(true), expected, "{kind}");
        // Zeros would not do, which takes Miri too long to find out.
        assert!(cfg!(miri) || Device::new(&[kind]).exercise(true) != expected, "{kind}");
    }
}

#[test]
fn functions_that_are_as_they_should_be_are_found_and_placed() {
    let (functions, layouts) = space::exercise(&space::honest());
    let found: Vec<_> = functions
        .iter()
        .map(|function| {
            let (address, bars) = (function.address, &function.bars);
            let placed = bars.iter().filter(|bar| bar.base.is_some()).count();
            ((address.bus, address.device, address.function), function.secondary, placed)
        })
        .collect();
    // Where the bits of one BAR can be written, there are values of the next.
    assert_eq!(
        found,
        [
            ((0, 0, 0), None, 2),
            ((0, 1, 0), Some(1), 0),
            ((0, 2, 0), None, 2),
            ((0, 2, 1), None, 2),
            ((1, 0, 0), None, 2)
        ]
    );
    assert_eq!(layouts, 1);
}
