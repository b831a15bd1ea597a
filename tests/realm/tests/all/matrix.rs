//! Debian's kernel through the firmware in realms of every kind: each value of each parameter meets each value of every
//! other one in some boot.

use anyhow::{Context, Result, ensure};
use realm_vm::{check_words, end};

use super::firmware::{boots_to, realm};

const WIDTHS: [u32; 5] = [33, 36, 40, 41, 48];
const HASHES: [&str; 3] = ["sha-256", "sha-384", "sha-512"];

/// The parameters that have two values: CPUs, RAM, RSI revisions, alignment, the end.
const TWOS: usize = 5;

/// Which of its two values each has in the boot with this width and hash.
fn twos(width: usize, hash: usize) -> [bool; TWOS] {
    let (odd, upper) = (width & 1 != 0, width & 2 != 0);
    [(hash == 0) ^ odd, (hash == 1) ^ odd, (hash == 2) ^ odd, (hash == 0) ^ upper, (hash == 1) ^ upper]
}

/// Whether boots with all pairs of values are among those that [`twos`] gives.
fn covers() -> bool {
    let all: Vec<_> = (0..WIDTHS.len()).flat_map(|w| (0..HASHES.len()).map(move |h| (w, h, twos(w, h)))).collect();
    let pairs = |one: usize, other: usize| {
        [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .all(|pair| all.iter().any(|(_, _, t)| (t.get(one), t.get(other)) == (Some(&pair.0), Some(&pair.1))))
    };
    let with = |place: usize, value: bool| {
        (0..WIDTHS.len()).all(|w| all.iter().any(|boot| boot.0 == w && boot.2.get(place) == Some(&value)))
            && (0..HASHES.len()).all(|h| all.iter().any(|boot| boot.1 == h && boot.2.get(place) == Some(&value)))
    };
    (0..TWOS).all(|one| with(one, false) && with(one, true) && (0..one).all(|other| pairs(one, other)))
}

#[test]
fn every_pair_is_booted() {
    assert!(covers());
}

fn boots_with_every_hash(index: usize) -> Result<()> {
    let width = *WIDTHS.get(index).context("no such width")?;
    for (number, hash) in HASHES.into_iter().enumerate() {
        let [four_cpus, large, old, coarse, reboots] = twos(index, number);
        let cpus = if four_cpus { 4 } else { 1 };
        let (word, status) = if reboots { ("reboot", end::RESET) } else { ("poweroff", end::OFF) };
        // In 33 bits the protected half ends 3 GiB behind the start of RAM.
        let ram_mib = match (large, width) {
            (false, _) => 512,
            (true, 33) => 3072,
            (true, _) => 4096,
        };
        let mut realm = realm(&format!("{} realmfw.end={word}", check_words(cpus, &[])))
            .width(width)
            .cpus(cpus)
            .ram_mib(ram_mib)
            .option(format!("hash={hash}"));
        if old {
            realm = realm.option("rsi=1.0-1.0");
        }
        if coarse {
            realm = realm.option("align=64K");
        }
        let claims = boots_to(&realm, status)?;
        ensure!(claims.hash == hash, "hash {}", claims.hash);
    }
    Ok(())
}

#[test]
fn width_33() -> Result<()> {
    boots_with_every_hash(0)
}

#[test]
fn width_36() -> Result<()> {
    boots_with_every_hash(1)
}

#[test]
fn width_40() -> Result<()> {
    boots_with_every_hash(2)
}

#[test]
fn width_41() -> Result<()> {
    boots_with_every_hash(3)
}

#[test]
fn width_48() -> Result<()> {
    boots_with_every_hash(4)
}
