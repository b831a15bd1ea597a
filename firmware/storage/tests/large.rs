//! A volume whose table is read in several pieces.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use storage::fat::{Timestamp, Volume};
use support::image::Format;
use support::{RamDisk, Xorshift, utf16};

const CLUSTER: usize = 512;
const CLUSTERS: usize = 20_000;
const FORMAT: Format = Format { width: 32, sector: CLUSTER, sectors_per_cluster: 1, clusters: CLUSTERS };

/// Pieces of the table, of 32 KiB each.
const PIECES: usize = (CLUSTERS + 2) * 4 / (32 << 10) + 1;

/// Two files that take turns at the start of the volume, the first of which goes on over several pieces.
fn build() -> (Vec<u8>, [Vec<u8>; 2]) {
    let mut random = Xorshift::new(7);
    let mut files = [random.bytes(CLUSTER * 3), random.bytes(CLUSTER * 3)];
    let mut volume = Volume::mount(RamDisk::new(FORMAT.build(), CLUSTER)).unwrap();
    let root = volume.root().unwrap();
    let now = Timestamp::default();
    let ids = ["a", "b"].map(|name| volume.create(root, &utf16(name), 0, now).unwrap());
    for at in (0..3 * CLUSTER).step_by(CLUSTER) {
        for (id, file) in ids.iter().zip(&files) {
            volume.write(*id, at as u64, &file[at..at + CLUSTER], now).unwrap();
        }
    }
    let rest = random.bytes(CLUSTER * 17_000 + 100);
    volume.write(ids[0], files[0].len() as u64, &rest, now).unwrap();
    files[0].extend(rest);
    volume.flush().unwrap();
    (volume.device().bytes.clone(), files)
}

#[test]
#[cfg_attr(miri, ignore = "megabytes take long")]
fn what_lies_together_is_read_in_one_request() {
    let (image, files) = build();
    let mut volume = Volume::mount(RamDisk::new(image, CLUSTER)).unwrap();
    let root = volume.root().unwrap();
    let id = volume.open(root, &utf16("a")).unwrap();
    let mut content = vec![0; files[0].len()];
    let before = volume.device().reads;
    assert_eq!(volume.read(id, 0, &mut content), Ok(files[0].len()));
    assert!(content == files[0]);
    // Three clusters by themselves, what follows, its last bytes, and the table.
    let reads = volume.device().reads - before;
    assert!(reads <= 3 + 1 + 1 + PIECES, "{reads} requests");

    // From anywhere, up to behind the end.
    for position in [CLUSTER * 2 + 5, CLUSTER * 8190 - 1, CLUSTER * 16_384 + 17, files[0].len() - 1] {
        let mut part = vec![0; CLUSTER * 3];
        let count = volume.read(id, position as u64, &mut part).unwrap();
        assert!(part[..count] == files[0][position..files[0].len().min(position + part.len())], "at {position}");
    }
}

#[test]
#[cfg_attr(miri, ignore = "megabytes take long")]
fn all_pieces_of_the_table_are_surveyed() {
    let (image, files) = build();
    let mut volume = Volume::mount(RamDisk::new(image, CLUSTER)).unwrap();
    let used: usize = files.iter().map(|file| file.len().div_ceil(CLUSTER)).sum();
    // The root directory has a cluster, too.
    assert_eq!(volume.space().unwrap().free, ((CLUSTERS - used - 1) * CLUSTER) as u64);
}
