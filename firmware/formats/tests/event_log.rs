//! The event log in the device tree that the operating system gets.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use formats::Region;
use formats::device_tree::{Error, Node, Seeds, Tree, with_boot_arguments, with_event_log};
use formats::machine::{Machine, Reservation};
use support::machines::{self, Qemu};
use support::tree::TreeBuilder;

const LOG: std::ops::Range<u64> = 0x9_4000_0000..0x9_4001_0000;

/// A tree whose root has these cells and what `more` adds.
fn with_cells(address: u32, size: u32, more: impl FnOnce(&mut TreeBuilder)) -> Vec<u8> {
    TreeBuilder::new(|root| {
        root.cells("#address-cells", &[address]).cells("#size-cells", &[size]);
        more(root);
    })
    .finish(0)
}

fn with(more: impl FnOnce(&mut TreeBuilder)) -> Vec<u8> {
    with_cells(2, 2, more)
}

/// A tree whose `/reserved-memory` is as it should be but for what `more` adds.
fn with_reserved(more: impl FnOnce(&mut TreeBuilder)) -> Vec<u8> {
    with(|root| {
        root.node("reserved-memory", |node| {
            node.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
            more(node);
        });
    })
}

fn refused(blob: &[u8]) -> Error {
    with_event_log(blob, LOG).unwrap_err()
}

fn properties<'a>(node: Node<'_, 'a>) -> Vec<(&'a str, &'a [u8])> {
    node.properties().iter().map(|property| (property.name, property.value)).collect()
}

#[test]
fn reserved_memory_is_created() {
    let new = with_event_log(&machines::kvmtool().finish(0x1000), LOG).unwrap();
    let tree = Tree::parse(&new).unwrap();
    assert_eq!(tree.header().total_size(), new.len());
    let parent = tree.find("/reserved-memory").unwrap();
    assert_eq!(
        properties(parent),
        [("#address-cells", &[0, 0, 0, 2][..]), ("#size-cells", &[0, 0, 0, 2]), ("ranges", &[])]
    );
    let children: Vec<_> = parent.children().collect();
    assert_eq!(children.len(), 1);
    assert_eq!(children[0].name(), "event-log@940000000");
    assert_eq!(
        properties(children[0]),
        [("compatible", &b"cc-event-log\0"[..]), ("reg", &[0, 0, 0, 9, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0])]
    );
}

#[test]
fn reserved_memory_is_kept() {
    let blob = machines::crosvm().finish(0);
    let new = with_event_log(&blob, LOG).unwrap();
    let tree = Tree::parse(&new).unwrap();
    let names: Vec<_> = tree.find("/reserved-memory").unwrap().children().map(Node::name).collect();
    assert_eq!(names, ["event-log@940000000", "restricted_dma_reserved", "pstore@bfff0000"]);
    let old = Tree::parse(&blob).unwrap();
    assert_eq!(tree.memory_reservations(), old.memory_reservations());
    assert_eq!(tree.nodes().count(), old.nodes().count() + 1);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn the_machine_lists_the_log_as_mapped() {
    for blob in machines::all() {
        let new = with_event_log(&blob, LOG).unwrap();
        let mut expected = Machine::from_device_tree(&blob).unwrap();
        let machine = Machine::from_device_tree(&new).unwrap();
        let log = machine.reserved.iter().find(|reserved| reserved.by == Reservation::Node).unwrap();
        assert_eq!(log.region, Region::new(LOG.start, 0x1_0000).unwrap());
        // And nothing else of the machine is another.
        expected.reserved.push(*log);
        expected.reserved.sort_unstable();
        assert_eq!(machine, expected);
    }
}

#[test]
fn boot_arguments_go_with_a_log() {
    let with_log = with_event_log(&machines::kvmtool().finish(0), LOG).unwrap();
    let both = with_boot_arguments(&with_log, Some("quiet"), None, Seeds::Keep).unwrap();
    let tree = Tree::parse(&both).unwrap();
    assert!(tree.find("/reserved-memory/event-log@940000000").unwrap().is_compatible("cc-event-log"));
    assert_eq!(tree.find("/chosen").unwrap().property("bootargs"), Some(&b"quiet\0"[..]));
}

#[test]
fn a_log_of_the_hosts_is_refused() {
    let forged = |compatible: &'static [u8]| {
        with(|root| {
            root.node("bus", |bus| {
                bus.node("anything", |node| {
                    node.bytes("compatible", compatible).text("status", "disabled");
                });
            });
        })
    };
    for compatible in
        [&b"cc-event-log\0"[..], b"cc-event-log", b"a\0cc-event-log\0", b"cc-event-log\0a\0", b"CC-Event-Log\0"]
    {
        assert_eq!(refused(&forged(compatible)), Error::EventLogExists, "{compatible:?}");
    }
    for compatible in [&b"cc-event-logs\0"[..], b"a,cc-event-log\0", b""] {
        assert!(with_event_log(&forged(compatible), LOG).is_ok(), "{compatible:?}");
    }
    let on_root = with(|root| {
        root.text("compatible", "cc-event-log");
    });
    assert_eq!(refused(&on_root), Error::EventLogExists);
    // A second pass would leave two.
    let once = with_event_log(&with(|_| ()), LOG).unwrap();
    assert_eq!(refused(&once), Error::EventLogExists);
}

#[test]
fn a_node_of_the_name_is_refused() {
    for name in ["event-log@940000000", "event-log@0940000000", "event-log"] {
        let named = with_reserved(|node| {
            node.node(name, |_| ());
        });
        assert_eq!(refused(&named), Error::EventLogExists, "{name}");
    }
    let elsewhere = with(|root| {
        root.node("event-log@940000000", |_| ());
    });
    assert!(with_event_log(&elsewhere, LOG).is_ok());
}

#[test]
fn reserved_memory_that_others_pass_over_is_refused() {
    assert!(with_event_log(&with_reserved(|_| ()), LOG).is_ok());
    let disabled = with_reserved(|node| {
        node.text("status", "disabled");
    });
    assert_eq!(refused(&disabled), Error::BadReservedMemory);

    let node = |name: &'static str, address: &'static [u32], size: &'static [u32], ranges: Option<&'static [u32]>| {
        with(|root| {
            root.node(name, |node| {
                node.cells("#address-cells", address).cells("#size-cells", size);
                if let Some(ranges) = ranges {
                    node.cells("ranges", ranges);
                }
            });
        })
    };
    let name = "reserved-memory";
    assert!(with_event_log(&node(name, &[2], &[2], Some(&[])), LOG).is_ok());
    assert_eq!(refused(&node("reserved-memory@0", &[2], &[2], Some(&[]))), Error::BadReservedMemory);
    assert_eq!(refused(&node(name, &[1], &[2], Some(&[]))), Error::BadReservedMemory);
    assert_eq!(refused(&node(name, &[2], &[1], Some(&[]))), Error::BadReservedMemory);
    assert_eq!(refused(&node(name, &[2, 2], &[2], Some(&[]))), Error::BadReservedMemory);
    assert_eq!(refused(&node(name, &[2], &[2], None)), Error::BadReservedMemory);
    // Even where they would map every address to itself.
    let identity = &[0, 0, 0, 0, 0x1000, 0];
    assert_eq!(refused(&node(name, &[2], &[2], Some(identity))), Error::BadReservedMemory);

    let without_cells = with(|root| {
        root.node(name, |node| {
            node.flag("ranges");
        });
    });
    assert_eq!(refused(&without_cells), Error::BadReservedMemory);
    let two = with(|root| {
        for name in ["reserved-memory", "reserved-memory@1"] {
            root.node(name, |node| {
                node.cells("#address-cells", &[2]).cells("#size-cells", &[2]).flag("ranges");
            });
        }
    });
    assert_eq!(refused(&two), Error::BadReservedMemory);
}

#[test]
fn the_roots_cells_are_kept() {
    let low = 0x4000_0000..0x4001_0000;
    for (address, size, reg) in [
        (1, 1, &[0x4000_0000, 0x1_0000][..]),
        (1, 2, &[0x4000_0000, 0, 0x1_0000]),
        (2, 1, &[0, 0x4000_0000, 0x1_0000]),
        (2, 2, &[0, 0x4000_0000, 0, 0x1_0000]),
    ] {
        let new = with_event_log(&with_cells(address, size, |_| ()), low.clone()).unwrap();
        let tree = Tree::parse(&new).unwrap();
        let parent = tree.find("/reserved-memory").unwrap();
        assert_eq!(parent.property("#address-cells"), tree.root().property("#address-cells"));
        assert_eq!(parent.property("#size-cells"), tree.root().property("#size-cells"));
        let expected: Vec<u8> = reg.iter().flat_map(|cell: &u32| cell.to_be_bytes()).collect();
        assert_eq!(parent.child("event-log").unwrap().property("reg"), Some(&expected[..]));
    }
    for (address, size) in [(0, 2), (3, 2), (2, 0), (2, 3)] {
        assert_eq!(refused(&with_cells(address, size, |_| ())), Error::BadReservedMemory);
    }
    assert_eq!(refused(&TreeBuilder::new(|_| ()).finish(0)), Error::BadReservedMemory);
    assert_eq!(refused(&with_cells(1, 2, |_| ())), Error::BadEventLog, "the address is above 4 GiB");
    let long = with_event_log(&with_cells(2, 1, |_| ()), 0..1 << 32);
    assert_eq!(long, Err(Error::BadEventLog));
}

#[test]
fn names_of_every_length_end() {
    for digits in 0..12 {
        let start = 1 << (4 * digits);
        let new = with_event_log(&with(|_| ()), start..start + 0x1000).unwrap();
        let tree = Tree::parse(&new).unwrap();
        let log = tree.find("/reserved-memory").unwrap().children().next().unwrap();
        assert_eq!(log.name(), format!("event-log@{start:x}"));
        assert_eq!(log.property("reg").unwrap()[..8], u64::to_be_bytes(start));
    }
}

#[test]
#[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
fn logs_that_are_none_are_refused() {
    for log in [0..0, 0x1000..0x1000, 0x2000..0x1000] {
        assert_eq!(with_event_log(&with(|_| ()), log), Err(Error::BadEventLog));
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn trees_without_room_are_refused() {
    let wide = |count: u32| {
        with(|root| {
            for index in 0..count {
                root.node(&format!("n{index}"), |_| ());
            }
        })
    };
    // The root, these, and the two new ones.
    assert!(with_event_log(&wide(4093), LOG).is_ok());
    assert_eq!(refused(&wide(4094)), Error::TooManyNodes);
    let large = |len: usize| {
        with(|root| {
            root.bytes("large", &vec![0; len]);
        })
    };
    assert!(with_event_log(&large(0x1f_f000), LOG).is_ok());
    assert_eq!(refused(&large(0x1f_ff00)), Error::BadEventLog);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn qemus_tree_without_padding_grows_by_the_nodes_alone() {
    let blob = machines::qemu(&Qemu::default()).finish(0x1000);
    let new = with_event_log(&blob, LOG).unwrap();
    assert!(new.len() < blob.len() - 0x1000 + 0x120);
}
