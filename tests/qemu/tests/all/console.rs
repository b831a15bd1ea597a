//! What the console shows, and which other ways to the same kernel there are.

use anyhow::{Context, Result, ensure};
use qemu_tests::scratch::{Scratch, changed};
use qemu_tests::{BOOT_LIMIT, PLAIN, all_hold, linux_passes, present, run};
use vm::{Verdict, Vm, workspace};

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

/// A kernel that is no PE image is started by the arm64 boot protocol: user space comes up with its initrd and
/// command line, and without EFI.
#[test]
fn boots_linux_without_efi() -> Result<()> {
    let scratch = Scratch::new()?;
    let kernel = changed(&PLAIN.kernel.image(), |image| {
        let header = u32::from_le_bytes([image[0x3c], image[0x3d], image[0x3e], image[0x3f]]) as usize;
        image[header..header + 4].fill(0);
    })?;
    let kernel = scratch.file("kernel", kernel)?;
    let finished = run(&PLAIN.machine().kernel(kernel).append(PLAIN.checks().command_line("")), BOOT_LIMIT)?;
    let verdict = Verdict::parse(&finished.console).with_context(|| finished.report())?;
    let failed = |name: &str| verdict.failed.iter().any(|line| line.contains(name));
    ensure!(failed("booted by EFI"), "{}it was booted by EFI", finished.report());
    for name in ["command line begins", "command line ends", "initrd unpacked", "every CPU is online", "memory is all"]
    {
        ensure!(!failed(name), "{}failed: {name}", finished.report());
    }
    Ok(())
}

/// A program reads the serial line itself: bytes, not keys.
#[test]
fn the_serial_line_is_read() -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append("serial=4 only=serial");
    let mut vm = Vm::start(&machine, BOOT_LIMIT)?;
    vm.expect("serial line: reads 4")?;
    vm.send("a\x1b[\n")?;
    vm.expect("serial line: true [61, 1b, 5b, a]")?;
    all_hold(&vm.wait()?)
}

/// A function that is registered for two keys is told of one, though the other registration goes before that.
#[test]
fn registered_keys_are_told_of() -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append("keys=1 only=keys");
    let mut vm = Vm::start(&machine, BOOT_LIMIT)?;
    vm.expect("# type 1 keys")?;
    vm.send("x")?;
    vm.expect("ok - RegisterKeyNotify: told of each x")?;
    all_hold(&vm.wait()?)
}
