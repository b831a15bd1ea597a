//! How a guest ends, and that it can be spoken to.

use anyhow::{Result, ensure};
use qemu_tests::{BOOT_LIMIT, PLAIN, linux_passes};
use vm::{End, Vm};

#[test]
fn efi_reboot_starts_the_firmware_again() -> Result<()> {
    let mut checks = PLAIN.checks();
    checks.end = End::Reboot;
    let machine = PLAIN.machine().append(checks.command_line("")).reboots();
    let mut vm = Vm::start(&machine, BOOT_LIMIT)?;
    vm.expect("realmfw-checks: ")?;
    vm.expect("reboot: Restarting system")?;
    vm.expect("Booting Linux on physical CPU")?;
    Ok(())
}

#[test]
fn efi_poweroff_ends_the_machine() -> Result<()> {
    // A reset would boot again, and the time would run out.
    let machine = PLAIN.machine().append(PLAIN.checks().command_line(""));
    linux_passes(machine.reboots()).map(|_| ())
}

#[test]
fn the_shell_takes_input() -> Result<()> {
    let mut vm = Vm::start(&PLAIN.machine().append("quiet"), BOOT_LIMIT)?;
    vm.expect("/root #")?;
    vm.send("echo $((6 * 7)) is the answer\n")?;
    vm.expect("42 is the answer")?;
    vm.send("exit\n")?;
    let finished = vm.wait()?;
    ensure!(finished.status.success(), finished.report());
    Ok(())
}
