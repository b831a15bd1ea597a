//! Debian's kernel in a realm, without firmware.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use model_rmm::verify::verify;
use realm_vm::{Ended, KERNEL, Realm, check_words, end, initrd, unhex};
use sha2::{Digest, Sha256};
use vm::Verdict;

const LIMIT: Duration = Duration::from_secs(200);

fn passes(realm: &Realm) -> Result<Ended> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let verdict = Verdict::parse(&ended.finished.console)?;
        ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
        let token = verdict.notes.iter().find(|(name, _)| name == "token").context("no token")?;
        let claims = verify(&unhex(&token.1).context("token")?)?;
        let challenge = b"0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";
        ensure!(claims.challenge == challenge, "challenge {:x?}", claims.challenge);
        let rim = unhex(ended.rim().context("no RIM in the log")?).context("RIM")?;
        ensure!(rim.starts_with(&claims.rim), "RIM {:x?}", claims.rim);
        ensure!(claims.rems.iter().all(|rem| rem.iter().all(|byte| *byte == 0)), "REMs are not zero");
        Ok(())
    })()
    .with_context(|| ended.report())?;
    Ok(ended)
}

/// A disk of 3 MiB that holds no page twice, and its sum.
struct Disk {
    path: PathBuf,
    sum: String,
}

impl Disk {
    fn new(seed: u32) -> Result<Self> {
        let words = (0_u32..3 << 18).map(|word| (word ^ seed).wrapping_mul(0x9e37_79b9).to_le_bytes());
        let contents: Vec<u8> = words.flatten().collect();
        let path = std::env::temp_dir().join(format!("realm-disk-{}-{seed}", std::process::id()));
        fs::write(&path, &contents)?;
        let sum = Sha256::digest(&contents).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { path, sum })
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.path);
    }
}

/// A disk on PCIe and one on virtio-mmio.
fn boots(cpus: u32) -> Result<()> {
    let (pcie, mmio) = (Disk::new(cpus << 20)?, Disk::new(cpus << 24)?);
    let realm = Realm::direct_kernel(KERNEL.image()).initrd(initrd()).cpus(cpus);
    let realm = realm.disk(&pcie.path).mmio_disk(&mmio.path);
    passes(&realm.append(check_words(cpus, &[&pcie.sum, &mmio.sum]))).map(drop)
}

#[test]
fn one_cpu() -> Result<()> {
    boots(1)
}

#[test]
fn four_cpus() -> Result<()> {
    boots(4)
}

#[test]
fn wide_ipa_space_sha512_and_sve() -> Result<()> {
    let realm = Realm::direct_kernel(KERNEL.image()).initrd(initrd()).width(41);
    // With a token of two granules, and an RMM that takes its time to sign it.
    let realm = realm.option("hash=sha-512").option("sve=3").option("token=5000").option("signing=9");
    let realm = realm.append(check_words(1, &[]));
    passes(&realm).map(drop)
}
