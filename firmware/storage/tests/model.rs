//! Random operations, each also done to a model in memory; then another implementation reads the volume.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};

use storage::fat::{DIRECTORY, Error, Timestamp, Volume};
use support::exercise::{list, open};
use support::image::{FAT12, FAT16, FAT32, FAT32_4K, Format};
use support::{RamDisk, Xorshift, utf16};

#[cfg(miri)]
const STEPS: usize = 10;
#[cfg(not(miri))]
const STEPS: usize = 1500;

/// The contents of files, and nothing for directories, by path.
type Model = BTreeMap<String, Option<Vec<u8>>>;

const NOW: Timestamp = Timestamp { date: 0x5a21, time: 0x6000 };
const NAMES: [&str; 12] = [
    "A.TXT",
    "b.txt",
    "A long name with spaces.config",
    "grubenv",
    "Debian-6.12+3-1.conf",
    "Grüße",
    "x",
    "A long name with other endings.conf",
    "LOADER",
    "file.with.dots.efi",
    "ёлка",
    "exactly13char",
];

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

fn names(path: &str) -> Vec<Vec<u16>> {
    path.split('/').filter(|name| !name.is_empty()).map(utf16).collect()
}

fn pick(random: &mut Xorshift, model: &Model, directories: bool) -> Option<String> {
    let all: Vec<_> = model.iter().filter(|(_, data)| data.is_none() == directories).map(|(path, _)| path).collect();
    (!all.is_empty()).then(|| all[random.below(all.len())].clone())
}

fn some_directory(random: &mut Xorshift, model: &Model) -> String {
    if random.below(3) == 0 { String::new() } else { pick(random, model, true).unwrap_or_default() }
}

/// One operation on both. Full volumes are left as they are.
fn step(random: &mut Xorshift, volume: &mut Volume<RamDisk>, model: &mut Model, cluster: usize) {
    let path = format!("{}/{}", some_directory(random, model), NAMES[random.below(NAMES.len())]);
    let is_full = |result: &Result<(), Error>| *result == Err(Error::NoSpace);
    match random.below(10) {
        kind @ 0..=3 => {
            let directory = kind == 3;
            let parent = open(volume, &names(parent(&path))).unwrap();
            let name = names(&path).pop().unwrap();
            let created = volume.create(parent, &name, if directory { DIRECTORY } else { 0 }, NOW);
            match created {
                Ok(id) => {
                    volume.close(id);
                    assert!(model.insert(path, (!directory).then(Vec::new)).is_none());
                }
                Err(Error::Exists) => assert!(model.contains_key(&path)),
                Err(error) => assert_eq!(error, Error::NoSpace),
            }
            volume.close(parent);
        }
        4 | 5 => {
            let Some(path) = pick(random, model, false) else { return };
            let contents = model.get_mut(&path).unwrap().as_mut().unwrap();
            let id = open(volume, &names(&path)).unwrap();
            let position = random.below(contents.len() + cluster + 1);
            let length = random.below(cluster * 6);
            let bytes = random.bytes(length);
            let result = volume.write(id, position as u64, &bytes, NOW);
            if !is_full(&result) {
                result.unwrap();
                if !bytes.is_empty() {
                    contents.resize(contents.len().max(position + bytes.len()), 0);
                    contents[position..position + bytes.len()].copy_from_slice(&bytes);
                }
            }
            volume.close(id);
        }
        6 => {
            let Some(path) = pick(random, model, false) else { return };
            let contents = model.get_mut(&path).unwrap().as_mut().unwrap();
            let id = open(volume, &names(&path)).unwrap();
            let size = random.below(contents.len() * 2 + cluster);
            let result = volume.set_size(id, size as u64, NOW);
            if !is_full(&result) {
                result.unwrap();
                contents.resize(size, 0);
            }
            volume.close(id);
        }
        7 => {
            let directories = random.below(2) == 0;
            let Some(path) = pick(random, model, directories) else { return };
            let id = open(volume, &names(&path)).unwrap();
            let is_used = model.keys().any(|other| parent(other) == path);
            assert_eq!(volume.delete(id), if is_used { Err(Error::NotEmpty) } else { Ok(()) });
            volume.close(id);
            if !is_used {
                model.remove(&path);
            }
        }
        _ => {
            let directories = random.below(4) == 0;
            let Some(from) = pick(random, model, directories) else { return };
            let id = open(volume, &names(&from)).unwrap();
            let to = open(volume, &names(parent(&path))).unwrap();
            let result = volume.rename(id, to, &names(&path).pop().unwrap());
            let inside = path.starts_with(&format!("{from}/"));
            if is_full(&result) {
            } else if path == from {
                result.unwrap();
            } else if inside {
                assert_eq!(result, Err(Error::Refused));
            } else if model.contains_key(&path) {
                assert_eq!(result, Err(Error::Exists));
            } else {
                result.unwrap();
                let moved: Vec<_> =
                    model.keys().filter(|key| **key == from || key.starts_with(&format!("{from}/"))).cloned().collect();
                for key in moved {
                    let data = model.remove(&key).unwrap();
                    model.insert(format!("{path}{}", &key[from.len()..]), data);
                }
            }
            volume.close(to);
            volume.close(id);
        }
    }
}

/// Everything on the volume, by our own reading.
fn ours(volume: &mut Volume<RamDisk>, path: &str, found: &mut Model) {
    let directory = open(volume, &names(path)).unwrap();
    let entries = list(volume, directory).unwrap();
    volume.close(directory);
    for entry in entries {
        let name = String::from_utf16(entry.name.units()).unwrap();
        let path = format!("{path}/{name}");
        if entry.short.is_directory() {
            if name != "." && name != ".." {
                found.insert(path.clone(), None);
                ours(volume, &path, found);
            }
            continue;
        }
        let file = open(volume, &names(&path)).unwrap();
        let mut contents = vec![0; entry.short.size.get() as usize];
        assert_eq!(volume.read(file, 0, &mut contents), Ok(contents.len()));
        volume.close(file);
        found.insert(path, Some(contents));
    }
}

/// Everything on the volume, by the other implementation's.
fn theirs(directory: &fatfs::Dir<'_, Cursor<Vec<u8>>>, path: &str, found: &mut Model) {
    for entry in directory.iter() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if name == "." || name == ".." {
            continue;
        }
        let path = format!("{path}/{name}");
        if entry.is_dir() {
            found.insert(path.clone(), None);
            theirs(&entry.to_dir(), &path, found);
        } else {
            let mut contents = Vec::new();
            entry.to_file().read_to_end(&mut contents).unwrap();
            found.insert(path, Some(contents));
        }
    }
}

/// The volume as a checker sees it: both copies of the FAT alike, every cluster in use part of one chain that something
/// names, FSInfo right.
fn check(format: &Format, image: &[u8], model: &Model) {
    for cluster in 0..format.clusters + 2 {
        assert_eq!(format.get(image, 0, cluster), format.get(image, 1, cluster), "copies of the FAT differ");
    }
    let free = format.free(image);
    let size = format.sectors_per_cluster * format.sector;
    let files: usize = model.values().flatten().map(|contents| contents.len().div_ceil(size)).sum();
    let mut used = files + usize::from(format.width == 32);
    used += model.values().filter(|data| data.is_none()).count();
    // Directories may have grown by more than one cluster, and never shrink.
    assert!(format.clusters - free >= used, "{} clusters in use, {used} needed", format.clusters - free);
    if format.width == 32 {
        let count = u32::from_le_bytes(image[format.sector + 488..format.sector + 492].try_into().unwrap());
        assert_eq!(count as usize, free, "FSInfo");
    }
}

fn run(format: &Format, block_size: usize, seed: u64) {
    let mut random = Xorshift::new(seed);
    let mut image = format.build();
    image.resize(image.len().next_multiple_of(block_size), 0);
    let mut volume = Volume::mount(RamDisk::new(image, block_size)).unwrap();
    let mut model = Model::new();
    for _ in 0..STEPS {
        step(&mut random, &mut volume, &mut model, format.sectors_per_cluster * format.sector);
    }
    // So that FSInfo is written at least once.
    let root = volume.root().unwrap();
    volume.set_label(&utf16("MODEL"), NOW).unwrap();
    volume.close(root);
    volume.flush().unwrap();
    let image = volume.device().bytes.clone();
    let mut found = Model::new();
    ours(&mut Volume::mount(RamDisk::new(image.clone(), block_size)).unwrap(), "", &mut found);
    assert_eq!(found, model);
    check(format, &image, &model);
    assert_eq!(volume.space().unwrap().free as usize, format.free(&image) * format.sectors_per_cluster * format.sector);
    // The other implementation takes 512 to 4096 bytes as well, but tells the kinds apart by their size alone.
    if format.width != 32 {
        let mut found = Model::new();
        let other = fatfs::FileSystem::new(Cursor::new(image.clone()), fatfs::FsOptions::new()).unwrap();
        theirs(&other.root_dir(), "", &mut found);
        assert_eq!(found, model);
        assert_eq!(other.read_volume_label_from_root_dir().unwrap().as_deref(), Some("MODEL"));
    }
    // Deleting everything gives every cluster back, but those that the root directory grew by.
    while let Some(path) = model.keys().next_back().cloned() {
        let id = open(&mut volume, &names(&path)).unwrap();
        volume.delete(id).unwrap();
        volume.close(id);
        model.remove(&path);
    }
    let left = format.clusters - format.free(&volume.device().bytes);
    assert!(left <= if format.width == 32 { 12 } else { 0 }, "{left} clusters lost");
}

#[test]
fn fat12() {
    run(&FAT12, 512, 1);
    if !cfg!(miri) {
        run(&FAT12, 4096, 2);
    }
}

#[test]
#[cfg_attr(miri, ignore = "FAT12 is the least work")]
fn fat16() {
    run(&FAT16, 512, 3);
}

#[test]
#[cfg_attr(miri, ignore = "FAT12 is the least work")]
fn fat32() {
    run(&FAT32, 512, 4);
    run(&Format { sectors_per_cluster: 4, ..FAT32 }, 512, 5);
}

#[test]
#[cfg_attr(miri, ignore = "FAT12 is the least work")]
fn fat32_on_4096() {
    run(&FAT32_4K, 4096, 6);
}

/// What the other implementation wrote, and what of it is deleted by ours and found deleted by it.
#[test]
#[cfg_attr(miri, ignore = "formats 35 MiB")]
fn volumes_of_another_implementation() {
    for (size, kind) in [(2, 12u8), (20, 16), (35, 32)] {
        let mut image = Cursor::new(vec![0; size << 20]);
        let kind = match kind {
            12 => fatfs::FatType::Fat12,
            16 => fatfs::FatType::Fat16,
            _ => fatfs::FatType::Fat32,
        };
        let options =
            fatfs::FormatVolumeOptions::new().bytes_per_cluster(512).fat_type(kind).volume_label(*b"OTHER      ");
        fatfs::format_volume(&mut image, options).unwrap();
        let big = Xorshift::new(9).bytes(300_000);
        {
            let other = fatfs::FileSystem::new(&mut image, fatfs::FsOptions::new()).unwrap();
            let directory = other.root_dir().create_dir("EFI").unwrap().create_dir("Long directory name").unwrap();
            directory.create_file("big.bin").unwrap().write_all(&big).unwrap();
            for number in 0..40 {
                directory.create_file(&format!("file number {number}.txt")).unwrap().write_all(b"text").unwrap();
            }
        }
        let mut volume = Volume::mount(RamDisk::new(image.into_inner(), 512)).unwrap();
        let id = open(&mut volume, &names("efi/long DIRECTORY name/BIG.bin")).unwrap();
        let mut contents = vec![0; big.len()];
        assert_eq!(volume.read(id, 0, &mut contents), Ok(big.len()));
        assert!(contents == big);
        volume.delete(id).unwrap();
        volume.close(id);
        assert_eq!(open(&mut volume, &names("EFI/LONGDI~1/FILENU~1.TXT")).map(|id| volume.close(id)), Ok(()));
        volume.flush().unwrap();
        let free = volume.space().unwrap().free;
        let other =
            fatfs::FileSystem::new(Cursor::new(volume.device().bytes.clone()), fatfs::FsOptions::new()).unwrap();
        let directory = other.root_dir().open_dir("EFI/Long directory name").unwrap();
        assert_eq!(directory.iter().count(), 42);
        assert!(directory.open_file("big.bin").is_err());
        assert_eq!(u64::from(other.stats().unwrap().free_clusters()) * 512, free);
    }
}
