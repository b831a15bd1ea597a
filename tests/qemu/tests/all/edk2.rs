//! The checks of `tests/efi-check` under Debian's EDK2: what holds here holds there, but for what `docs/uefi.md` lists.

use anyhow::{Context, Result, ensure};
use qemu_tests::{BOOT_LIMIT, PLAIN, present, run};
use vm::{Verdict, workspace};

/// One group of checks fails where each of these begins, and nowhere else.
fn differs(group: &str, listed: &[&str]) -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.bare_machine().firmware(workspace::edk2()).kernel(workspace::efi_check());
    let finished = run(&machine.append(format!("only={group}")), BOOT_LIMIT)?;
    let verdict = Verdict::parse(&finished.console).with_context(|| finished.report())?;
    let missing = listed.iter().filter(|name| !verdict.failed.iter().any(|failed| failed.starts_with(**name)));
    let unlisted = verdict.failed.iter().filter(|failed| !listed.iter().any(|name| failed.starts_with(*name)));
    let (missing, unlisted): (Vec<_>, Vec<_>) = (missing.collect(), unlisted.collect());
    ensure!(
        missing.is_empty() && unlisted.is_empty() && !verdict.passed.is_empty(),
        "{}the same after all: {missing:?}; not listed: {unlisted:?}",
        finished.report()
    );
    Ok(())
}

#[test]
fn tables() -> Result<()> {
    differs("tables", &[])
}

#[test]
fn memory() -> Result<()> {
    // It frees what lies on both sides of a hole, and says that it could not; so what comes after is free already.
    differs("memory", &["FreePages: start", "FreePages: no memory", "FreePages: wraps"])
}

#[test]
fn handles() -> Result<()> {
    differs("handles", &["UninstallMultiple: undone"])
}

#[test]
fn drivers() -> Result<()> {
    differs("drivers", &[])
}

#[test]
fn events() -> Result<()> {
    differs("events", &[])
}

#[test]
fn device_paths_as_text() -> Result<()> {
    // It reads DEFAULT as 115200 and 8, and leaves out what it cannot read.
    let listed = ["ConvertTextToDeviceNode: Uart(DEFAULT", "ConvertTextToDevicePath: no end of the parameters"];
    differs("paths", &listed)
}

#[test]
fn exit_and_address_change() -> Result<()> {
    differs("exit", &[])
}
