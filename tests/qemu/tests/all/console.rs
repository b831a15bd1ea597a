//! What the console shows, and which other ways to the same kernel there are.

use anyhow::{Result, ensure};
use qemu_tests::{PLAIN, linux_passes};

/// One line before the kernel speaks.
#[test]
fn the_banner_is_one_line() -> Result<()> {
    let finished = PLAIN.passes()?;
    let before: Vec<_> = finished
        .console
        .lines()
        .take_while(|line| !line.starts_with("EFI stub:"))
        .filter(|line| !line.is_empty())
        .collect();
    ensure!(
        matches!(before.as_slice(), [banner] if banner.contains("realmfw")),
        "{}{} lines before the kernel's",
        finished.report(),
        before.len()
    );
    Ok(())
}

/// fw_cfg without DMA: everything comes through its data register.
#[test]
fn boots_linux_without_fw_cfg_dma() -> Result<()> {
    let machine = PLAIN.machine().append(PLAIN.checks().command_line(""));
    linux_passes(machine.args(["-global", "fw_cfg_mem.dma_enabled=off"])).map(|_| ())
}
