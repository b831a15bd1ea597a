//! Debian from disk in a realm: QEMU's own devices do the DMA, and everything on the way is in the registers.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use realm_vm::evidence::Evidence;
use realm_vm::{Realm, end};
use vm::{Verdict, workspace};

const LIMIT: Duration = Duration::from_secs(200);

/// Boots; every check of the root file system has to hold, and the log has to give the registers. Returns what was
/// measured: register, description, digest.
fn boots(realm: &Realm) -> Result<Vec<(String, String, String)>> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let console = &ended.finished.console;
        ensure!(console.contains("RME: Using RSI version"), "Linux is not in a realm");
        let verdict = Verdict::parse(console)?;
        ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()?;
        evidence.measured()
    })()
    .with_context(|| ended.report())
}

fn realm() -> Realm {
    Realm::firmware(workspace::image()).ram_mib(1024)
}

fn has(measured: &[(String, String, String)], what: &str) -> Result<()> {
    let found = measured.iter().any(|(register, _, name)| format!("{register} {name}").contains(what));
    ensure!(found, "no {what:?} among {measured:#?}");
    Ok(())
}

/// shim, its fallback loader, shim again and GRUB, from virtio-blk on PCI.
#[test]
fn shim_and_grub() -> Result<()> {
    let measured = boots(&realm().disk(&workspace::disk("debian")))?;
    // The disk's table, and what shim and GRUB measure of what they take.
    let expected =
        ["REM[1] GPT with ", "REM[2] MokList", "REM[2] grub_cmd: linux /boot/vmlinuz", "REM[2] kernel_cmdline"];
    expected.into_iter().try_for_each(|what| has(&measured, what))?;
    let images = measured.iter().filter(|(register, _, name)| register == "REM[1]" && name.starts_with("EFI image"));
    ensure!(images.count() == 5, "not shim, its fallback loader, shim, GRUB and the kernel: {measured:#?}");
    Ok(())
}

/// A unified kernel image from virtio-blk on MMIO, by SHA-512.
#[test]
fn unified_kernel_image_on_virtio_mmio() -> Result<()> {
    let disk: &Path = &workspace::disk("uki");
    let measured = boots(&realm().mmio_disk(disk).option("hash=sha-512"))?;
    has(&measured, "REM[1] GPT with ")?;
    has(&measured, "REM[1] EFI image")?;
    // The stub's measurement of a section, by its name.
    has(&measured, "REM[2] .linux")
}
