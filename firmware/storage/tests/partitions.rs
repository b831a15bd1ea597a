//! GPT, MBR and El Torito: what is found on disks that are right, and what is left of those that are not.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use storage::Disk;
use storage::partitions::{Error, Partition, Partitions, Record, read};
use support::image::{FAT12, GptDisk, iso, mbr_entry, protective_mbr, resum};
use support::{RamDisk, exercise};

fn read_blocks(image: &[u8], size: usize) -> Result<Partitions, Error> {
    read(&mut Disk::new(RamDisk::new(image.to_vec(), size)).unwrap())
}

fn read_512(image: &[u8]) -> Result<Partitions, Error> {
    read_blocks(image, 512)
}

fn places(list: &[Partition]) -> Vec<(u32, u64, u64)> {
    list.iter().map(|partition| (partition.number, partition.start, partition.blocks)).collect()
}

fn disk() -> GptDisk {
    GptDisk { block: 512, blocks: 200, partitions: vec![(40, 79), (80, 99), (120, 120)] }
}

const PLACES: [(u32, u64, u64); 3] = [(1, 40, 40), (2, 80, 20), (3, 120, 1)];

#[test]
fn gpt() {
    let found = read_512(&disk().build()).unwrap();
    assert_eq!(places(&found.list), PLACES);
    assert!(found.list.iter().all(Partition::is_system));
    let Record::Gpt(entry) = found.list[1].record else { panic!("{:?}", found.list[1]) };
    assert_eq!(entry.unique_guid(), [0x41; 16]);
    assert_eq!(entry.bytes().len(), 128);
    let gpt = found.gpt.unwrap();
    assert!(!gpt.is_backup());
    assert_eq!(gpt.header(), &disk().build()[512..604]);
    let used: Vec<_> = gpt.used_entries().collect();
    assert_eq!((used.len(), used[0].len()), (3, 128));
}

#[test]
fn gpt_of_4096_byte_blocks() {
    let disk = GptDisk { block: 4096, blocks: 60, partitions: vec![(6, 20)] };
    let found = read_blocks(&disk.build(), 4096).unwrap();
    assert_eq!(places(&found.list), [(1, 6, 15)]);
}

/// Each fault in the primary table makes the backup count, and both together leave nothing.
#[test]
#[cfg_attr(miri, ignore = "sums many arrays")]
fn backup() {
    let whole = disk().build();
    let (primary, last) = (512, 199 * 512);
    type Fault = fn(&mut [u8], usize);
    let faults: [(&str, Fault); 9] = [
        ("signature", |image, at| image[at] = b'X'),
        ("CRC of the header", |image, at| image[at + 56] ^= 1),
        ("revision", |image, at| image[at + 10] = 2),
        ("own place", |image, at| image[at + 24] ^= 4),
        ("header size below its fields", |image, at| image[at + 12] = 91),
        ("usable blocks beyond the disk", |image, at| image[at + 48] = 200),
        ("entry size", |image, at| image[at + 84] = 64),
        ("a billion entries", |image, at| image[at + 83] = 0x40),
        ("CRC of the entries", |image, at| image[at + 88] ^= 1),
    ];
    for (what, fault) in faults {
        let spoil = |image: &mut [u8], at: usize| {
            fault(image, at);
            if what != "CRC of the header" {
                let size = usize::from(image[at + 12]);
                if size == 92 { resum(image, at) } else { image[at + 16..at + 20].fill(0) }
            }
        };
        let mut image = whole.clone();
        spoil(&mut image, primary);
        let found = read_512(&image).unwrap();
        assert_eq!(places(&found.list), PLACES, "{what}");
        assert!(found.gpt.unwrap().is_backup(), "{what}");
        spoil(&mut image, last);
        assert_eq!(read_512(&image).map(|found| places(&found.list)), Err(Error::Gpt), "{what}");
    }
    let mut image = whole.clone();
    image[1024 + 33] ^= 1;
    assert!(read_512(&image).unwrap().gpt.unwrap().is_backup(), "an entry that the CRC does not cover");
}

/// An array that lies over the header, or where partitions are, is none.
#[test]
#[cfg_attr(miri, ignore = "sums many arrays")]
fn gpt_array_in_the_wrong_place() {
    for place in [1u64, 40, 198] {
        let mut image = disk().build();
        image[512 + 72..512 + 80].copy_from_slice(&place.to_le_bytes());
        let array = image[1024..1024 + 128 * 128].to_vec();
        let at = place as usize * 512;
        if place == 40 {
            image[at..at + array.len()].copy_from_slice(&array);
        }
        resum(&mut image, 512);
        assert!(read_512(&image).unwrap().gpt.unwrap().is_backup(), "array at {place}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "sums many arrays")]
fn gpt_partitions_that_cannot_be() {
    let lists = [
        (vec![(40, 79), (79, 99), (120, 120)], vec![(3, 120, 1)]),
        (vec![(1, 50), (60, 61)], vec![(2, 60, 2)]),
        (vec![(60, 61), (100, 198)], vec![(1, 60, 2)]),
        (vec![(60, 61), (90, 80)], vec![(1, 60, 2)]),
        (vec![(60, 61), (90, u64::MAX)], vec![(1, 60, 2)]),
        (vec![(60, 61), (60, 61)], vec![]),
    ];
    for (partitions, left) in lists {
        let found = read_512(&GptDisk { partitions, ..disk() }.build()).unwrap();
        assert_eq!(places(&found.list), left);
    }
}

#[test]
fn mbr() {
    let mut image = vec![0; 200 * 512];
    image[440..444].copy_from_slice(b"sign");
    mbr_entry(&mut image, 0, 0, 0xef, 10, 20);
    mbr_entry(&mut image, 0, 1, 0x83, 30, 5);
    mbr_entry(&mut image, 0, 2, 0x83, 190, 11);
    let found = read_512(&image).unwrap();
    assert_eq!(places(&found.list), [(1, 10, 20), (2, 30, 5)]);
    assert_eq!(found.list.iter().map(Partition::is_system).collect::<Vec<_>>(), [true, false]);
    assert!(matches!(found.list[0].record, Record::Mbr { signature: [b's', b'i', b'g', b'n'], .. }));
    mbr_entry(&mut image, 0, 2, 0x83, 34, 2);
    assert_eq!(places(&read_512(&image).unwrap().list), [(1, 10, 20)], "overlap");
    image[446] = 0x17;
    assert!(read_512(&image).unwrap().list.is_empty(), "no boot indicator");
    image[446] = 0x80;
    image[511] = 0;
    assert!(read_512(&image).unwrap().list.is_empty(), "no signature");
}

#[test]
fn logical_partitions() {
    let mut image = vec![0; 200 * 512];
    mbr_entry(&mut image, 0, 0, 0x83, 10, 20);
    mbr_entry(&mut image, 0, 1, 0x0f, 50, 100);
    mbr_entry(&mut image, 50 * 512, 0, 0x83, 2, 10);
    mbr_entry(&mut image, 50 * 512, 1, 0x05, 20, 30);
    mbr_entry(&mut image, 70 * 512, 0, 0x83, 1, 5);
    assert_eq!(places(&read_512(&image).unwrap().list), [(1, 10, 20), (5, 52, 10), (6, 71, 5)]);
    // Back to where it came from: a loop.
    mbr_entry(&mut image, 70 * 512, 1, 0x05, 0, 30);
    assert_eq!(read_512(&image).unwrap().list.len(), 3);
    mbr_entry(&mut image, 70 * 512, 1, 0x05, u32::MAX, 30);
    assert_eq!(read_512(&image).unwrap().list.len(), 3);
}

/// What the boot indicator of a protective record says is to be ignored.
#[test]
fn protective_mbr_with_any_boot_indicator() {
    for indicator in [0x80, 0x01, 0xff] {
        let mut image = disk().build();
        image[446] = indicator;
        assert_eq!(places(&read_512(&image).unwrap().list), PLACES, "{indicator:#x}");
    }
}

/// Tools that make a GPT leave the start of the boot sector as it was.
#[test]
fn gpt_where_a_volume_was() {
    let mut image = disk().build();
    image[..440].copy_from_slice(&FAT12.build()[..440]);
    assert_eq!(places(&read_512(&image).unwrap().list), PLACES);
}

/// The GPT counts where the boot record has partitions beside the protective one.
#[test]
fn hybrid_mbr() {
    let mut image = disk().build();
    mbr_entry(&mut image, 0, 1, 0x83, 40, 40);
    assert_eq!(places(&read_512(&image).unwrap().list), PLACES);
}

#[test]
fn protective_mbr_without_gpt() {
    let mut image = vec![0; 200 * 512];
    protective_mbr(&mut image, 200);
    assert_eq!(read_512(&image).map(|found| found.list.len()), Err(Error::Gpt));
}

/// A file system on the whole disk has a signature like a boot record's, and perhaps something like a table.
#[test]
fn volume_without_partitions() {
    let mut image = FAT12.build();
    mbr_entry(&mut image, 0, 0, 0x83, 10, 20);
    assert!(read_512(&image).unwrap().list.is_empty());
}

#[test]
fn el_torito() {
    let image = iso();
    let found = read_512(&image).unwrap();
    // The first EFI entry has 16 sectors of 512 bytes, the second goes to the end.
    assert_eq!(places(&found.list), [(2, 96, 16), (3, 128, 128)]);
    assert_eq!(found.list[0].record, Record::ElTorito { entry: 1, start: 24, length: 4 });
    assert!(!found.list[0].is_system());
    let found = read_blocks(&image, 2048).unwrap();
    assert_eq!(places(&found.list), [(2, 24, 4), (3, 32, 32)]);

    let catalogue = 19 * 2048;
    for (what, at, value) in [
        ("checksum", catalogue + 28, 0),
        ("key", catalogue + 30, 0x54),
        ("platform", catalogue + 65, 0),
        ("volume descriptor", 17 * 2048 + 1, b'X'),
        ("catalogue beyond the disk", 17 * 2048 + 0x4a, 0x7f),
        ("no sections", catalogue + 66, 0),
    ] {
        let mut image = image.clone();
        image[at] = value;
        assert!(read_512(&image).unwrap().list.is_empty(), "{what}");
    }
    for (what, at, value) in
        [("not bootable", catalogue + 96, 0), ("emulation", catalogue + 97, 2), ("beyond the disk", catalogue + 107, 1)]
    {
        let mut image = image.clone();
        image[at] = value;
        assert_eq!(read_512(&image).unwrap().list.len(), 1, "{what}");
    }
    // A hybrid image: the boot record would be for disks, the catalogue says more.
    let mut image = image;
    mbr_entry(&mut image, 0, 0, 0xef, 100, 20);
    assert_eq!(places(&read_512(&image).unwrap().list), [(2, 96, 16), (3, 128, 128)]);
    image[catalogue] = 0;
    assert_eq!(places(&read_512(&image).unwrap().list), [(1, 100, 20)]);
}

/// A GPT in blocks of 512 bytes, which is not in its place on a CD, and a boot catalogue.
#[test]
fn catalogue_behind_a_protective_mbr() {
    let mut image = disk().build();
    let iso = iso();
    image.resize(iso.len(), 0);
    image[16 * 2048..].copy_from_slice(&iso[16 * 2048..]);
    assert_eq!(places(&read_blocks(&image, 2048).unwrap().list), [(2, 24, 4), (3, 32, 32)]);
    assert_eq!(places(&read_512(&image).unwrap().list), PLACES);
    image[17 * 2048] = 1;
    assert_eq!(read_blocks(&image, 2048).map(|found| found.list.len()), Err(Error::Gpt));
}

#[test]
fn every_seed_is_exercised() {
    assert!(exercise::partitions(&disk().build(), 512));
    assert!(exercise::partitions(&iso(), 2048));
}
