//! The form of device trees: what is refused, what an edit leaves, and that another parser reads
//! the same.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use dtoolkit::fdt::{Fdt, FdtNode};
use dtoolkit::{Node as _, Property as _};
use formats::device_tree::{Block, Error, Header, Node, Seeds, Tree, adopt_copy, clean_chosen, with_boot_arguments};
use support::tree::TreeBuilder;
use support::{Xorshift, machines, mutate};

fn put(blob: &mut [u8], at: usize, word: u32) {
    blob[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

fn word(blob: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(blob[at..at + 4].try_into().unwrap())
}

/// A small tree with its header fields changed by `change`.
fn header_with(change: impl Fn(&mut [u8])) -> Result<Header, Error> {
    let mut blob = machines::kvmtool().finish(16);
    change(&mut blob);
    Header::parse(&blob[..Header::LEN])
}

#[test]
fn header_fields_are_checked() {
    assert!(header_with(|_| ()).is_ok());
    let cases: [(usize, u32, Error); 12] = [
        (0, 0xd00d_feee, Error::BadMagic(0xd00d_feee)),
        (4, 0x20_0001, Error::TooLarge(0x20_0001)),
        (4, 0x100, Error::OutOfBounds(Block::Structure)),
        (8, 0xffff_fffc, Error::OutOfBounds(Block::Structure)),
        (8, 0x3a, Error::Misaligned(Block::Structure)),
        (8, 0x34, Error::OutOfBounds(Block::Reservations)),
        (12, 0xffff_ffff, Error::OutOfBounds(Block::Strings)),
        (12, 0x38, Error::OutOfBounds(Block::Strings)),
        (16, 0x2c, Error::Misaligned(Block::Reservations)),
        (16, 0x20, Error::OutOfBounds(Block::Reservations)),
        (20, 16, Error::UnsupportedVersion(16)),
        (24, 18, Error::UnsupportedVersion(17)),
    ];
    for (offset, value, error) in cases {
        let result = header_with(|blob| put(blob, offset, value));
        assert_eq!(result, Err(error), "{value:#x} at {offset}");
    }
    assert_eq!(Header::parse(&[0; 39]), Err(Error::Truncated));
}

#[test]
fn padding_is_not_used() {
    let plain = machines::kvmtool().finish(0);
    let padded = machines::kvmtool().finish(0x4000);
    let header = Header::parse(&padded).unwrap();
    assert_eq!(header.total_size(), padded.len());
    assert_eq!(header.used_len(), plain.len());

    let mut copy = padded[..header.used_len()].to_vec();
    let adopted = adopt_copy(&mut copy).unwrap();
    assert_eq!(adopted.total_size(), copy.len());
    assert_eq!(copy, plain);
    // One byte too few: the strings block is no longer inside.
    copy.pop();
    assert_eq!(adopt_copy(&mut copy), Err(Error::OutOfBounds(Block::Strings)));
}

fn parse_error(tree: TreeBuilder) -> Error {
    Tree::parse(&tree.finish(0)).unwrap_err()
}

#[test]
fn unbalanced_trees_are_refused() {
    let mut open = TreeBuilder::default();
    open.begin("");
    assert!(matches!(parse_error(open), Error::BadToken { token: 9, .. }));
    let mut closed_twice = TreeBuilder::new(|_| ());
    closed_twice.word(2);
    assert!(matches!(parse_error(closed_twice), Error::BadToken { token: 2, .. }));
    let mut two_roots = TreeBuilder::new(|_| ());
    two_roots.node("", |_| ());
    assert!(matches!(parse_error(two_roots), Error::BadToken { token: 1, .. }));
    let none = TreeBuilder::default();
    assert!(matches!(parse_error(none), Error::BadToken { token: 9, .. }));
    let unterminated = TreeBuilder::new(|_| ()).finish_without_end(0);
    assert!(matches!(Tree::parse(&unterminated), Err(Error::UnexpectedEnd(_))));
}

#[test]
fn misplaced_properties_are_refused() {
    let after_child = TreeBuilder::new(|root| {
        root.node("child", |_| ()).flag("late");
    });
    assert!(matches!(parse_error(after_child), Error::BadToken { token: 3, .. }));
    let mut outside = TreeBuilder::default();
    outside.flag("early");
    assert!(matches!(parse_error(outside), Error::BadToken { token: 3, .. }));
}

#[test]
fn values_stay_inside_the_structure_block() {
    let too_long = TreeBuilder::new(|root| {
        root.flag("name").word(3).word(0xffff_fff0).word(0);
    });
    assert!(matches!(parse_error(too_long), Error::UnexpectedEnd(_)));
    let bad_name = TreeBuilder::new(|root| {
        root.flag("name").word(3).word(0).word(0xffff_fff0);
    });
    assert!(matches!(parse_error(bad_name), Error::BadName(_)));
}

#[test]
fn names_are_checked() {
    for name in ["", "a/b", "a b", "a\u{e4}b", &"x".repeat(256)] {
        let tree = TreeBuilder::new(|root| {
            root.node(name, |_| ());
        });
        assert!(matches!(parse_error(tree), Error::BadName(_)), "{name}");
    }
    let mut named_root = TreeBuilder::default();
    named_root.node("root", |_| ());
    assert!(matches!(parse_error(named_root), Error::BadName(_)));
    let long = TreeBuilder::new(|root| {
        root.node(&"x".repeat(255), |_| ());
    });
    assert!(Tree::parse(&long.finish(0)).is_ok());
}

#[test]
fn duplicates_are_refused() {
    let nodes = |first: &str, second: &str| {
        TreeBuilder::new(|root| {
            root.node(first, |_| ()).node("between", |_| ());
            root.node(second, |_| ());
        })
    };
    assert_eq!(parse_error(nodes("a@1", "a@1")), Error::DuplicateNode);
    assert_eq!(parse_error(nodes("chosen", "chosen@0")), Error::DuplicateNode);
    assert!(Tree::parse(&nodes("a@1", "a@2").finish(0)).is_ok());
    let properties = TreeBuilder::new(|root| {
        root.flag("a").flag("b").flag("a");
    });
    assert!(matches!(parse_error(properties), Error::DuplicateProperty(_)));
    let cousins = TreeBuilder::new(|root| {
        root.node("a", |a| {
            a.flag("p").node("x", |x| {
                x.flag("p");
            });
        });
        root.node("b", |b| {
            b.node("x", |_| ());
        });
    });
    assert!(Tree::parse(&cousins.finish(0)).is_ok());
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn depth_and_counts_are_bounded() {
    let nested = |depth: usize| {
        let mut tree = TreeBuilder::default();
        for level in 0..depth {
            tree.begin(if level == 0 { "" } else { "n" });
        }
        for _ in 0..depth {
            tree.word(2);
        }
        tree.finish(0)
    };
    assert!(Tree::parse(&nested(16)).is_ok());
    assert!(matches!(Tree::parse(&nested(17)), Err(Error::TooDeep(_))));

    let wide = |count: u32| {
        TreeBuilder::new(|root| {
            for index in 0..count {
                root.node(&format!("n{index}"), |_| ());
            }
        })
        .finish(0)
    };
    assert!(Tree::parse(&wide(4095)).is_ok());
    assert_eq!(Tree::parse(&wide(4096)).unwrap_err(), Error::TooManyNodes);

    let properties = |count: u32| {
        TreeBuilder::new(|root| {
            for index in 0..count {
                root.flag(&format!("p{index}"));
            }
        })
        .finish(0)
    };
    assert!(Tree::parse(&properties(512)).is_ok());
    assert_eq!(Tree::parse(&properties(513)).unwrap_err(), Error::TooManyProperties);
}

#[test]
fn reservations() {
    let mut tree = TreeBuilder::new(|_| ());
    tree.reservations = vec![(0x1000, 0x2000), (0, 0x10)];
    let blob = tree.finish(0);
    assert_eq!(Tree::parse(&blob).unwrap().memory_reservations(), [(0x1000, 0x2000), (0, 0x10)]);
    let mut unterminated = blob.clone();
    let structure = word(&blob, 8) as usize;
    unterminated[structure - 1] = 1;
    assert_eq!(Tree::parse(&unterminated).unwrap_err(), Error::UnterminatedReservations);
    let mut many = TreeBuilder::new(|_| ());
    many.reservations = vec![(1, 1); 65];
    assert_eq!(parse_error(many), Error::TooManyReservations);
}

#[test]
fn nodes_are_found() {
    let blob = machines::qemu(&machines::Qemu::default()).finish(0);
    let tree = Tree::parse(&blob).unwrap();
    let its = tree.find("/intc@8000000/its@8080000").unwrap();
    assert!(its.is_compatible("arm,gic-v3-its"));
    assert!(!its.is_compatible("arm,gic-v3"));
    assert_eq!(its.parent(), tree.find("/intc"));
    assert_eq!(its.parent().unwrap().parent(), Some(tree.root()));
    assert_eq!(tree.root().parent(), None);
    assert_eq!(tree.find("/"), Some(tree.root()));
    assert_eq!(tree.find("/intc@8000001"), None);
    assert_eq!(tree.find("intc@8000000"), None);
    let cpus = tree.find("/cpus").unwrap();
    let names: Vec<_> = cpus.children().map(Node::name).collect();
    assert_eq!(names, ["cpu@0", "cpu@1", "cpu@2", "cpu@3", "cpu-map"]);
}

fn chosen_of(blob: &[u8]) -> Vec<String> {
    let tree = Tree::parse(blob).unwrap();
    let chosen = tree.find("/chosen").unwrap();
    let properties = chosen.properties().iter();
    properties.map(|property| property.name.to_owned()).collect()
}

#[test]
fn chosen_is_cleaned() {
    let blob = TreeBuilder::new(|root| {
        root.text("bootargs", "not in chosen");
        root.node("chosen", |chosen| {
            chosen
                .text("bootargs", "secret=1")
                .wide("linux,initrd-start", &[1])
                .wide("linux,initrd-end", &[2])
                .wide("linux,uefi-system-table", &[3])
                .cells("linux,uefi-mmap-size", &[4])
                .wide("linux,usable-memory-range", &[5, 6])
                .wide("linux,elfcorehdr", &[7, 8])
                .flag("linux,booted-from-kexec")
                .bytes("rng-seed", &[9; 3])
                .wide("kaslr-seed", &[10])
                .text("stdout-path", "/uart");
            chosen.node("module", |module| {
                module.text("bootargs", "another's");
            });
        });
        root.node("after", |_| ());
    })
    .finish(0);

    let mut kept = blob.clone();
    clean_chosen(&mut kept, Seeds::Keep).unwrap();
    assert_eq!(chosen_of(&kept), ["rng-seed", "kaslr-seed", "stdout-path"]);
    let mut removed = blob.clone();
    clean_chosen(&mut removed, Seeds::Remove).unwrap();
    assert_eq!(chosen_of(&removed), ["stdout-path"]);

    assert_eq!(removed.len(), blob.len());
    assert!(!removed.windows(8).any(|window| window == b"secret=1"));
    let tree = Tree::parse(&removed).unwrap();
    assert!(tree.root().has("bootargs"));
    assert!(tree.find("/chosen/module").unwrap().has("bootargs"));
    assert!(tree.find("/after").is_some());
}

#[test]
fn trees_without_chosen_need_no_cleaning() {
    let mut blob = TreeBuilder::new(|_| ()).finish(0);
    let before = blob.clone();
    clean_chosen(&mut blob, Seeds::Remove).unwrap();
    assert_eq!(blob, before);
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn boot_arguments_are_set() {
    let without_chosen = TreeBuilder::new(|root| {
        root.flag("first");
        root.node("child", |_| ());
    });
    for blob in [machines::kvmtool().finish(0x1000), machines::crosvm().finish(0), without_chosen.finish(0)] {
        for bootargs in ["", "a", "quiet root=/dev/vda1"] {
            let initrd = 0x8800_0000..0x8800_1234;
            let new = with_boot_arguments(&blob, Some(bootargs), Some(initrd), Seeds::Keep).unwrap();
            let tree = Tree::parse(&new).unwrap();
            assert_eq!(tree.header().total_size(), new.len());
            let chosen = tree.find("/chosen").unwrap();
            let expected = [bootargs.as_bytes(), b"\0"].concat();
            assert_eq!(chosen.property("bootargs"), Some(&expected[..]));
            let start = 0x8800_0000u64.to_be_bytes();
            assert_eq!(chosen.property("linux,initrd-start"), Some(&start[..]));
            let end = 0x8800_1234u64.to_be_bytes();
            assert_eq!(chosen.property("linux,initrd-end"), Some(&end[..]));
            // All else is as it was.
            let old = Tree::parse(&blob).unwrap();
            for node in old.nodes().filter(|node| node.name() != "chosen") {
                let same = tree.nodes().find(|other| {
                    other.name() == node.name() && other.parent().map(Node::name) == node.parent().map(Node::name)
                });
                let values = |node: Node<'_, '_>| {
                    let properties = node.properties().iter();
                    properties.map(|property| (property.name.to_owned(), property.value.to_owned())).collect::<Vec<_>>()
                };
                assert_eq!(values(same.unwrap()), values(node), "{}", node.name());
            }
            assert_eq!(old.memory_reservations(), tree.memory_reservations());
        }
    }
}

#[test]
fn boot_arguments_of_an_earlier_stage_go() {
    let blob = machines::kvmtool().finish(0);
    let new = with_boot_arguments(&blob, None, None, Seeds::Keep).unwrap();
    assert_eq!(chosen_of(&new), ["linux,pci-probe-only", "kaslr-seed", "stdout-path"]);
    let new = with_boot_arguments(&blob, None, None, Seeds::Remove).unwrap();
    assert_eq!(chosen_of(&new), ["linux,pci-probe-only", "stdout-path"], "a realm's kernel gets no seed of the host");
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn boot_arguments_that_do_not_fit_are_refused() {
    let blob = machines::kvmtool().finish(0);
    let refused = |bootargs: &str| with_boot_arguments(&blob, Some(bootargs), None, Seeds::Keep).unwrap_err();
    assert_eq!(refused("a\0b"), Error::BadBootArguments);
    assert_eq!(refused(&"x".repeat(2 << 20)), Error::BadBootArguments);
}

/// Name, depth and properties of every node, in order.
type Listing = Vec<(String, usize, Vec<(String, Vec<u8>)>)>;

fn ours(tree: &Tree<'_>) -> Listing {
    let depth = |node: Node<'_, '_>| std::iter::successors(Some(node), |node| node.parent()).count() - 1;
    tree.nodes()
        .map(|node| {
            let properties = node.properties().iter();
            let properties = properties.map(|p| (p.name.to_owned(), p.value.to_owned()));
            (node.name().to_owned(), depth(node), properties.collect())
        })
        .collect()
}

fn theirs(node: FdtNode<'_>, depth: usize, listing: &mut Listing) {
    let properties = node.properties().map(|p| (p.name().to_owned(), p.value().to_owned()));
    listing.push((node.name().to_owned(), depth, properties.collect()));
    for child in node.children() {
        theirs(child, depth + 1, listing);
    }
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn another_parser_reads_the_same() {
    let mut random = Xorshift::new(42);
    let cases = 5000;
    let seeds = machines::all();
    let mut compared = 0;
    for case in 0..cases {
        let mut blob = seeds[case % seeds.len()].clone();
        if case >= seeds.len() {
            mutate(&mut random, &mut blob);
        }
        let (Ok(tree), Ok(fdt)) = (Tree::parse(&blob), Fdt::new(&blob)) else {
            assert!(case >= seeds.len());
            continue;
        };
        let mut listing = Listing::new();
        theirs(fdt.root(), 0, &mut listing);
        assert_eq!(ours(&tree), listing);
        compared += 1;
    }
    println!("{compared} of {cases} compared");
    assert!(compared >= cases / 10);
}
