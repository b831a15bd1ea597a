//! virtio devices that are no disks, in a realm.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use realm_vm::{Ended, Realm, initrd};
use vm::{entropy, workspace};

use super::efi::passes;

/// `tests/efi-check` with its checks of protocols, on a CPU that has the same random numbers in every run.
fn protocols(args: &[String]) -> Realm {
    let realm = Realm::firmware(workspace::image()).kernel(workspace::efi_check()).initrd(initrd());
    let realm = entropy::SEED.into_iter().fold(realm, Realm::arg);
    args.iter().fold(realm, Realm::arg).append("realm only=protocols stay")
}

fn random(ended: &Ended) -> Result<[u128; 2]> {
    entropy::random(&ended.finished.console).with_context(|| ended.report())
}

/// A file of random bytes, removed at the end of its test.
struct Source(PathBuf);

impl Source {
    fn new(test: &str) -> Result<Self> {
        let file = std::env::temp_dir().join(format!("realm-{test}-{}", std::process::id()));
        fs::write(&file, [entropy::BYTE; 4096])?;
        Ok(Self(file))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn on_mmio(source: &Source, slot: u32) -> Vec<String> {
    let device = format!("virtio-rng-device,iommu_platform=on,bus=virtio-mmio-bus.{slot}");
    let modern = ["-global", "virtio-mmio.force-legacy=false"].map(String::from);
    [&modern[..], &entropy::device(&source.0, &device)].concat()
}

/// What the device gives through the pool of shared memory is added to what the CPU gives.
#[test]
fn what_an_entropy_device_gives_is_mixed_in() -> Result<()> {
    let source = Source::new("mixed")?;
    let alone = random(&passes(&protocols(&[]))?)?;
    let on_pci = entropy::device(&source.0, "virtio-rng-pci,disable-legacy=on,iommu_platform=on").to_vec();
    for args in [on_pci, on_mmio(&source, 30)] {
        let ended = passes(&protocols(&args))?;
        let [one, two] = random(&ended)?;
        ensure!([one ^ entropy::MASK[0], two ^ entropy::MASK[1]] == alone, "{args:?}: {}", ended.report());
    }
    Ok(())
}

/// Each device that breaks the protocol, or would bypass what the realm shares, is named, and nothing of it is used.
#[test]
fn hostile_entropy_devices() -> Result<()> {
    let source = Source::new("hostile")?;
    let alone = random(&passes(&protocols(&[]))?)?;
    for (lie, why) in [
        ("silent", "no answer within the time-out"),
        ("used-id", "protocol broken: used id"),
        ("used-index", "protocol broken: used index"),
        ("used-length", "protocol broken: used length"),
        ("reset", "reset never ended"),
    ] {
        let ended = passes(&protocols(&on_mmio(&source, 30)).option(format!("virtio=30:{lie}")))?;
        let named = ended.finished.console.lines().any(|line| line.contains("virtio at 0x") && line.contains(why));
        ensure!(named && random(&ended)? == alone, "{lie}: {}", ended.report());
    }
    let ended = passes(&protocols(&entropy::device(&source.0, "virtio-rng-pci,disable-legacy=on")))?;
    let named = ended.finished.console.contains("virtio at PCI 0/1.0: no VIRTIO_F_ACCESS_PLATFORM");
    ensure!(named && random(&ended)? == alone, "{}", ended.report());
    Ok(())
}
