//! What the console shows, and which other ways to the same kernel there are.

use std::sync::mpsc::{self, Receiver};

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

/// How the terminal is asked for its size.
const QUERY: &str = "\x1b7\x1b[999;999H\x1b[6n\x1b8";

/// A machine that prints the modes of its screen, up to where it asks the terminal, having been sent `typed`; and what it
/// prints raw.
fn screen(typed: &str, more: &[&str]) -> Result<(Vm, Receiver<Vec<u8>>)> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append("only=screen").args(more);
    let (to, printed) = mpsc::channel();
    let mut vm = Vm::start_with(&machine, BOOT_LIMIT, move |bytes| {
        // Nobody listens where it does not matter.
        let _ = to.send(bytes.to_vec());
    })?;
    vm.expect("screen: 3 modes")?;
    vm.send(typed)?;
    vm.expect(QUERY)?;
    Ok((vm, printed))
}

/// The terminal is asked for its size, which is a mode then: the current one where the answer is there in time, unless the
/// program has asked what the current one is like.
#[test]
fn the_screen_has_the_terminal_s_size() -> Result<()> {
    for (key, told, modes) in [
        ("a", "40;120", "mode 3 is (120, 40), mode 3 is (120, 40)"),
        ("a", "24;80", "mode 3 is (80, 24), mode 3 is (80, 24)"),
        ("a", "60000;99999", "mode 3 is (512, 256), mode 3 is (512, 256)"),
        ("a", "2;2", "mode 0 is (80, 25), mode 2 is (100, 31)"),
        ("q", "40;120", "mode 0 is (80, 25), mode 3 is (120, 40)"),
    ] {
        // What is told unasked is no answer. Time passes with the guest's instructions, of which the wait takes so many
        // that the answer is in time however busy the host is.
        let (mut vm, _) = screen(&format!("\x1b[50;50R{key}"), &["-icount", "shift=0"])?;
        vm.send(&format!("\x1b[{told}R"))?;
        vm.expect(&format!("screen: {modes}"))?;
        vm.send("x")?;
        all_hold(&vm.wait()?)?;
    }
    Ok(())
}

/// A terminal that does not answer is waited for once, and what it says later is there for who asks again.
#[test]
fn a_terminal_that_is_late_adds_a_mode() -> Result<()> {
    let (mut vm, printed) = screen("a", &[])?;
    vm.expect("screen: mode 0 is (80, 25), mode 2 is (100, 31)")?;
    vm.send("\x1b[40;120Rb")?;
    vm.expect("screen: mode 0 is (80, 25), mode 3 is (120, 40)")?;
    vm.send("\x1b[50;50Rb")?;
    vm.expect("screen: mode 0 is (80, 25), mode 3 is (120, 40)")?;
    vm.send("x")?;
    let finished = vm.wait()?;
    all_hold(&finished)?;
    let printed: Vec<u8> = printed.iter().flatten().collect();
    ensure!(String::from_utf8_lossy(&printed).matches(QUERY).count() == 1, "{}asked more than once", finished.report());
    Ok(())
}
