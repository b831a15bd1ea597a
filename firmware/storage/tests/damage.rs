//! Volumes that are damaged, and writes that stop in the middle.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use storage::DeviceError;
use storage::fat::{Cursor, DIRECTORY, Error, Timestamp, Volume};
use support::exercise::{list, open, seed};
use support::image::{FAT12, FAT16, FAT32, Format, GptDisk, iso};
use support::{RamDisk, Xorshift, exercise, utf16};

#[cfg(miri)]
const CASES: usize = 1;
#[cfg(not(miri))]
const CASES: usize = 1000;

/// Miri has the time for the smallest.
const FORMATS: &[Format] = if cfg!(miri) { &[FAT12] } else { &[FAT12, FAT16, FAT32] };

const NOW: Timestamp = Timestamp { date: 0x5a21, time: 0x6000 };

fn mount(image: &[u8]) -> Volume<RamDisk> {
    Volume::mount(RamDisk::new(image.to_vec(), 512)).unwrap()
}

fn name(text: &str) -> [Vec<u16>; 1] {
    [utf16(text)]
}

fn first_cluster(format: &Format) -> usize {
    if format.width == 32 { 3 } else { 2 }
}

fn contents(volume: &mut Volume<RamDisk>, file: &str) -> Result<Vec<u8>, Error> {
    let path: Vec<_> = file.split('/').map(utf16).collect();
    let id = open(volume, &path)?;
    let mut buffer = vec![0; 1 << 16];
    let read = volume.read(id, 0, &mut buffer);
    volume.close(id);
    buffer.truncate(read?);
    Ok(buffer)
}

/// Two chains that meet: both are read, nothing is written, so that nothing is taken from either.
#[test]
fn cross_links() {
    for &format in FORMATS {
        let mut image = seed(&format);
        let first = first_cluster(&format);
        format.set(&mut image, first, first as u32 + 4);
        let mut volume = mount(&image);
        assert!(contents(&mut volume, "B").is_ok());
        let id = open(&mut volume, &name("A")).unwrap();
        assert_eq!(volume.delete(id), Err(Error::Corrupt));
        assert_eq!(volume.set_size(id, 0, NOW), Err(Error::Corrupt));
        assert_eq!(volume.write(id, 0, b"x", NOW), Err(Error::Corrupt));
        let root = volume.root().unwrap();
        assert_eq!(volume.rename(id, root, &utf16("C")), Err(Error::Corrupt));
        assert_eq!(volume.create(root, &utf16("C"), 0, NOW), Err(Error::Corrupt));
        assert_eq!(volume.set_label(&utf16("C"), NOW), Err(Error::Corrupt));
        assert_eq!(volume.device().writes, 0);
    }
}

/// A chain that comes back to its beginning is not cut there: its first cluster would be given away.
#[test]
fn rings() {
    for &format in FORMATS {
        let mut image = seed(&format);
        let first = first_cluster(&format);
        format.set(&mut image, first + 2, first as u32);
        let mut volume = mount(&image);
        let id = open(&mut volume, &name("A")).unwrap();
        assert_eq!(volume.set_size(id, 1, NOW), Err(Error::Corrupt));
        assert_eq!(volume.device().writes, 0);
    }
}

/// Two entries with the same clusters cannot both be open.
#[test]
#[cfg_attr(miri, ignore = "4,500 clusters")]
fn shared_clusters() {
    let mut image = seed(&FAT16);
    let root = FAT16.data() - FAT16.root_sectors() * 512;
    image[root + 32 + 26] = image[root + 26];
    let mut volume = mount(&image);
    let a = open(&mut volume, &name("A")).unwrap();
    assert_eq!(open(&mut volume, &name("B")), Err(Error::Corrupt));
    volume.close(a);
    assert!(open(&mut volume, &name("B")).is_ok());
}

/// Chains that end early, lead off the volume or round in a circle.
#[test]
#[cfg_attr(miri, ignore = "walks directories of 65,536 slots")]
fn chains() {
    for &format in FORMATS {
        let first = first_cluster(&format);
        for link in [0, 1, format.clusters as u32 + 2, 0x0fff_fff7, 0x0fff_ffff] {
            let mut image = seed(&format);
            format.set(&mut image, first, link);
            assert_eq!(contents(&mut mount(&image), "A"), Err(Error::Corrupt), "{format:?} {link:#x}");
        }
        let mut image = seed(&format);
        format.set(&mut image, first + 2, first as u32);
        let mut volume = mount(&image);
        assert_eq!(contents(&mut volume, "A").map(|data| data.len()), Ok(1200));
        let id = open(&mut volume, &name("A")).unwrap();
        // The circle meets no other chain: that it has no end shows when the end is looked for.
        assert!(volume.write(id, 1200, &[3; 5000], NOW).is_err());
        // A directory that is a circle.
        let mut image = seed(&format);
        let directory = first + 6;
        format.set(&mut image, directory, directory as u32);
        let data = format.cluster(directory);
        for slot in 0..16 {
            image[data + slot * 32] = b'X';
            image[data + slot * 32 + 11] = 0;
        }
        let mut volume = mount(&image);
        let id = open(&mut volume, &name("D")).unwrap();
        assert_eq!(list(&mut volume, id).map(|entries| entries.len()), Err(Error::Corrupt));
        assert!(volume.device().reads < 70_000);
    }
}

/// A directory that says that it begins with the root's cluster, or with one that is none.
#[test]
fn directories_out_of_place() {
    let mut image = seed(&FAT32);
    let entry = FAT32.cluster(2) + 64;
    assert_eq!(image[entry + 11], DIRECTORY);
    for cluster in [0u8, 1, 2] {
        image[entry + 26] = cluster;
        assert_eq!(open(&mut mount(&image), &name("D")), Err(Error::Corrupt), "{cluster}");
    }
}

/// A size that the volume could not hold.
#[test]
fn sizes() {
    let mut image = seed(&FAT12);
    let root = FAT12.data() - FAT12.root_sectors() * 512;
    image[root + 28..root + 32].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(contents(&mut mount(&image), "A"), Err(Error::Corrupt));
    image[root + 28..root + 32].copy_from_slice(&2000u32.to_le_bytes());
    assert_eq!(contents(&mut mount(&image), "A"), Err(Error::Corrupt), "longer than its chain");
}

#[test]
#[cfg_attr(miri, ignore = "4,500 clusters")]
fn boot_sectors() {
    let image = FAT16.build();
    for (what, at, bytes) in [
        ("jump", 0, &[0][..]),
        ("sector size", 11, &[0, 1]),
        ("sectors per cluster", 13, &[3]),
        ("no sectors per cluster", 13, &[0]),
        ("reserved sectors", 14, &[0, 0]),
        ("no FATs", 16, &[0]),
        ("media", 21, &[0x12]),
        ("FAT too short", 22, &[1, 0]),
        ("beyond the device", 32, &[0xff, 0xff]),
        ("no sectors", 32, &[0, 0, 0, 0]),
        ("signature", 510, &[0, 0]),
    ] {
        let mut image = image.clone();
        image[at..at + bytes.len()].copy_from_slice(bytes);
        assert_eq!(Volume::mount(RamDisk::new(image, 512)).err(), Some(Error::NotFat), "{what}");
    }
    assert_eq!(Volume::mount(RamDisk::new(vec![0; 100], 100)).err(), Some(Error::Device(DeviceError::BlockSize)));
}

/// What stands behind a directory's end does not come back when the end is overwritten.
#[test]
fn behind_the_end() {
    let mut image = seed(&FAT12);
    let root = FAT12.data() - FAT12.root_sectors() * 512;
    image.copy_within(root..root + 32, root + 32 * 5);
    let mut volume = mount(&image);
    let id = volume.root().unwrap();
    for file in ["E", "F"] {
        let id = volume.create(id, &utf16(file), 0, NOW).unwrap();
        volume.close(id);
    }
    assert_eq!(list(&mut volume, id).unwrap().len(), 5);
}

/// A long name counts only when all its parts are there and it belongs to the short one.
#[test]
fn long_names_out_of_order() {
    let image = seed(&FAT12);
    let directory = FAT12.cluster(first_cluster(&FAT12) + 6);
    let long = directory + 64;
    assert_eq!(image[long], 0x42);
    for (what, at) in [("ordinal", long + 32), ("checksum", long + 13), ("first ordinal", long)] {
        let mut image = image.clone();
        image[at] ^= 0x04;
        let mut volume = mount(&image);
        let id = open(&mut volume, &name("D")).unwrap();
        let entries = list(&mut volume, id).unwrap();
        assert_eq!(String::from_utf16(entries[2].name.units()).unwrap(), "AFILEW~1", "{what}");
    }
}

/// Each kind of change, stopped behind every write: the volume can be read, what has nothing to do with the change is
/// as it was, and what was changed is there in its old state or its new.
#[test]
#[cfg_attr(miri, ignore = "mounts hundreds of volumes")]
fn power_cuts() {
    type Change = fn(&mut Volume<RamDisk>) -> Result<(), Error>;
    let changes: [(&str, Change); 6] = [
        ("rename", |volume| {
            let (id, root) = (open(volume, &name("A"))?, volume.root()?);
            volume.rename(id, root, &utf16("A new and longer name than before"))
        }),
        ("extend", |volume| {
            let id = open(volume, &name("A"))?;
            volume.write(id, 1200, &[1; 3000], NOW)
        }),
        ("truncate", |volume| {
            let id = open(volume, &name("A"))?;
            volume.set_size(id, 100, NOW)
        }),
        ("delete", |volume| {
            let id = open(volume, &name("A"))?;
            volume.delete(id)
        }),
        ("directory", |volume| {
            let root = volume.root()?;
            volume.create(root, &utf16("A new and longer directory"), DIRECTORY, NOW).map(|_| ())
        }),
        ("grow a directory", |volume| {
            let id = open(volume, &name("D"))?;
            (0..20).try_for_each(|number| volume.create(id, &utf16(&format!("number {number}")), 0, NOW).map(|_| ()))
        }),
    ];
    for &format in FORMATS {
        let image = seed(&format);
        for (what, change) in changes {
            let mut cut = 0;
            loop {
                let mut volume = mount(&image);
                volume.device_mut().writes_left = Some(cut);
                let done = change(&mut volume).is_ok();
                let after = volume.device().bytes.clone();
                let mut volume = mount(&after);
                let root = volume.root().unwrap();
                let names: Vec<_> = list(&mut volume, root)
                    .unwrap_or_else(|error| panic!("{what}, {cut} writes: {error}"))
                    .iter()
                    .map(|entry| String::from_utf16(entry.name.units()).unwrap())
                    .collect();
                assert_eq!(contents(&mut volume, "B"), Ok(vec![2; 1200]), "{what}, {cut} writes");
                assert_eq!(contents(&mut volume, "D/A file with a long name"), Ok(b"inner".to_vec()), "{what}");
                let directory = open(&mut volume, &name("D")).unwrap();
                list(&mut volume, directory).unwrap();
                let files: Vec<_> =
                    names.iter().filter(|name| name.starts_with('A') && !name.contains("dir")).collect();
                assert!(!files.is_empty() || what == "delete", "{what}, {cut} writes: {names:?}");
                for file in files {
                    let data = contents(&mut volume, file).unwrap_or_else(|error| panic!("{what}, {cut}: {error}"));
                    assert!(data.iter().all(|byte| *byte == 1), "{what}, {cut} writes");
                    assert!([100, 1200, 4200].contains(&data.len()), "{what}, {cut} writes: {}", data.len());
                }
                if done {
                    break;
                }
                cut += 1;
            }
            assert!(cut > 2, "{what}");
        }
    }
}

/// A long file costs few requests, a whole FAT sector for each cluster none.
#[test]
#[cfg_attr(miri, ignore = "reads and writes 20 MiB")]
fn reading_takes_few_requests() {
    let format = Format { width: 32, sector: 512, sectors_per_cluster: 8, clusters: 6000 };
    let mut volume = mount(&format.build());
    let root = volume.root().unwrap();
    let id = volume.create(root, &utf16("big"), 0, NOW).unwrap();
    let data = Xorshift::new(3).bytes(20 << 20);
    volume.write(id, 0, &data, NOW).unwrap();
    let image = volume.device().bytes.clone();
    let mut volume = mount(&image);
    let id = open(&mut volume, &name("big")).unwrap();
    let before = volume.device().reads;
    let mut buffer = vec![0; 20 << 20];
    assert_eq!(volume.read(id, 0, &mut buffer), Ok(20 << 20));
    assert!(buffer == data);
    // The FAT has 24,000 bytes, read 8 KiB at a time; the file is in one piece.
    assert!(volume.device().reads - before <= 5, "{} reads", volume.device().reads - before);
    let before = volume.device().reads;
    for piece in 0..320u64 {
        assert_eq!(volume.read(id, piece << 16, &mut buffer[..1 << 16]), Ok(1 << 16));
    }
    assert!(volume.device().reads - before <= 320 + 6, "{} reads", volume.device().reads - before);
}

fn mutate(random: &mut Xorshift, image: &mut [u8], hot: usize) {
    for _ in 0..1 + random.below(8) {
        let bound = if random.below(4) == 0 { image.len() } else { hot };
        let at = random.below(bound);
        match random.below(4) {
            0 => image[at] ^= 1 << random.below(8),
            1 => image[at] = [0, 1, 2, 0x0f, 0x10, 0xe5, 0xff][random.below(7)],
            2 => image[at] = random.next() as u8,
            _ => {
                let (from, length) = (random.below(hot), random.below(64));
                let length = length.min(image.len() - at.max(from));
                image.copy_within(from..from + length, at);
            }
        }
    }
}

#[test]
fn mutated_volumes() {
    let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
    for &format in FORMATS {
        let image = seed(&format);
        assert!(exercise::fat(&image, 512));
        let mut sound = 0;
        for _ in 0..CASES {
            let mut image = image.clone();
            mutate(&mut random, &mut image, format.cluster(20));
            sound += usize::from(exercise::fat(&image, 512));
        }
        println!("{sound} of {CASES} without fault");
        assert!(cfg!(miri) || sound > CASES / 100 && sound < CASES);
    }
}

#[test]
#[cfg_attr(miri, ignore = "sums many arrays")]
fn mutated_partitions() {
    let mut random = Xorshift::new(77);
    let disk = GptDisk { block: 512, blocks: 200, partitions: vec![(40, 79), (80, 99), (120, 120)] };
    let mut mbr = vec![0; 200 * 512];
    support::image::mbr_entry(&mut mbr, 0, 0, 0x83, 10, 20);
    support::image::mbr_entry(&mut mbr, 0, 1, 0x0f, 50, 100);
    support::image::mbr_entry(&mut mbr, 50 * 512, 0, 0x83, 2, 10);
    support::image::mbr_entry(&mut mbr, 50 * 512, 1, 0x05, 20, 30);
    for (image, hot) in [(disk.build(), 2048), (mbr, 51 * 512), (iso(), 20 * 2048)] {
        for _ in 0..CASES * 3 {
            let mut image = image.clone();
            mutate(&mut random, &mut image, hot);
            if &image[512..520] == b"EFI PART" && random.below(2) == 0 {
                support::image::resum(&mut image, 512);
            }
            exercise::partitions(&image, 512);
        }
    }
}

#[test]
fn cursors_outlive_their_directory() {
    let mut volume = mount(&seed(&FAT12));
    let mut cursor = Cursor::default();
    assert!(volume.read_directory(&mut cursor).unwrap().is_some());
}
