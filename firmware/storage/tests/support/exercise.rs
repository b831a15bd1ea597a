//! What is done with a disk that may be damaged: everything. None of it may panic or go on for ever.

use storage::fat::{Changes, DIRECTORY, Entry, Error, NodeId, Timestamp, Volume};
use storage::{BlockDevice, Disk, partitions};

use super::image::Format;
use super::{RamDisk, utf16};

/// How deep a tree is walked. A directory that lies in itself has no end.
const DEPTH: usize = 4;

/// A volume with files of known clusters: `A` in 3 to 5 and `B` behind it, each of 1200 bytes, and `D`, a directory.
pub fn seed(format: &Format) -> Vec<u8> {
    let now = Timestamp::default();
    let mut volume = Volume::mount(RamDisk::new(format.build(), format.sector)).unwrap();
    let root = volume.root().unwrap();
    for (file, byte) in [("A", 1), ("B", 2)] {
        let id = volume.create(root, &utf16(file), 0, now).unwrap();
        volume.write(id, 0, &[byte; 1200], now).unwrap();
        volume.close(id);
    }
    let id = volume.create(root, &utf16("D"), DIRECTORY, now).unwrap();
    let inner = volume.create(id, &utf16("A file with a long name"), 0, now).unwrap();
    volume.write(inner, 0, b"inner", now).unwrap();
    volume.close(inner);
    volume.close(id);
    volume.flush().unwrap();
    volume.device().bytes.clone()
}

/// Changes a byte for every four of the input: where, in three bytes, and to what.
pub fn patch(image: &mut [u8], input: &[u8]) {
    for patch in input.as_chunks::<4>().0 {
        let at = usize::from(patch[0]) | usize::from(patch[1]) << 8 | usize::from(patch[2]) << 16;
        let length = image.len();
        image[at % length] = patch[3];
    }
}

/// Reads the partitions; whether there are some.
pub fn partitions(bytes: &[u8], block_size: usize) -> bool {
    let mut disk = Disk::new(RamDisk::new(bytes.to_vec(), block_size)).unwrap();
    let blocks = disk.device().blocks();
    let Ok(found) = partitions::read(&mut disk) else { return false };
    for partition in &found.list {
        assert!(partition.start > 0 && partition.blocks > 0, "{partition:?}");
        assert!(partition.start.checked_add(partition.blocks).is_some_and(|end| end <= blocks), "{partition:?}");
        let _ = partition.is_system();
    }
    if let Some(gpt) = &found.gpt {
        assert_eq!(gpt.header().len(), 92);
        assert!(gpt.used_entries().count() <= 512);
    }
    !found.list.is_empty()
}

/// Reads all of a volume and writes to it; whether it was one without fault.
pub fn fat(bytes: &[u8], block_size: usize) -> bool {
    let device = RamDisk::new(bytes.to_vec(), block_size);
    let Ok(mut volume) = Volume::mount(device) else { return false };
    let read = walk(&mut volume, &[], DEPTH).is_ok();
    let written = write(&mut volume).is_ok();
    // Each walk is bounded, and there is a bounded number of them.
    assert!(volume.device().reads < 300_000, "{} reads", volume.device().reads);
    read && written
}

/// The entries of a directory.
pub fn list<D: BlockDevice>(volume: &mut Volume<D>, directory: NodeId) -> Result<Vec<Entry>, Error> {
    let mut cursor = volume.rewind(directory)?;
    let mut entries = Vec::new();
    while let Some(entry) = volume.read_directory(&mut cursor)? {
        entries.push(entry);
    }
    Ok(entries)
}

fn walk(volume: &mut Volume<RamDisk>, path: &[Vec<u16>], depth: usize) -> Result<(), Error> {
    let directory = open(volume, path)?;
    let entries = list(volume, directory);
    volume.close(directory);
    let mut result = Ok(());
    for entry in entries?.iter().take(40) {
        let mut path = path.to_vec();
        path.push(entry.name.units().to_vec());
        let outcome = if !entry.short.is_directory() {
            read(volume, &path)
        } else if depth > 0 && !entry.name.units().starts_with(&[0x2e]) {
            walk(volume, &path, depth - 1)
        } else {
            Ok(())
        };
        result = result.and(outcome);
    }
    result
}

fn read(volume: &mut Volume<RamDisk>, path: &[Vec<u16>]) -> Result<(), Error> {
    let file = open(volume, path)?;
    let mut buffer = vec![0; 70_000];
    let mut position = 0;
    let result = loop {
        match volume.read(file, position, &mut buffer) {
            Ok(0) => break Ok(()),
            Ok(count) => position += count as u64,
            Err(error) => break Err(error),
        }
        if position > 1 << 20 {
            break Ok(());
        }
    };
    volume.close(file);
    result
}

/// Opens what the names lead to.
pub fn open<D: BlockDevice, N: AsRef<[u16]>>(volume: &mut Volume<D>, path: &[N]) -> Result<NodeId, Error> {
    let mut at = volume.root()?;
    for name in path {
        let next = volume.open(at, name.as_ref());
        volume.close(at);
        at = next?;
    }
    Ok(at)
}

fn write(volume: &mut Volume<RamDisk>) -> Result<(), Error> {
    let now = Timestamp::default();
    let root = volume.root()?;
    let mut result = Ok(());
    let file = volume.create(root, &utf16("A new file.txt"), 0, now);
    let directory = volume.create(root, &utf16("A new directory"), DIRECTORY, now);
    if let (Ok(file), Ok(directory)) = (file, directory) {
        let steps = [
            volume.write(file, 3000, &[7; 5000], now),
            volume.set_size(file, 100, now),
            volume.rename(file, directory, &utf16("moved")),
            volume.change(file, Changes { attributes: Some(1), ..Changes::default() }),
            volume.delete(file),
            volume.delete(directory),
            volume.set_label(&utf16("label"), now),
        ];
        result = steps.into_iter().collect();
    } else {
        result = result.and(Err(Error::Corrupt));
    }
    for id in [file, directory].into_iter().flatten() {
        volume.close(id);
    }
    // And what is there already.
    for entry in list(volume, root)?.iter().take(10) {
        let Ok(id) = volume.open(root, entry.name.units()) else { continue };
        let _ = volume.write(id, u64::from(entry.short.size.get()), b"more", now);
        let _ = volume.rename(id, root, &utf16("renamed"));
        let _ = volume.delete(id);
        volume.close(id);
    }
    let _ = volume.space();
    let _ = volume.flush();
    volume.close(root);
    result
}
