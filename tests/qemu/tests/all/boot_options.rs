//! Boot options that an operating system makes, over resets of one machine: RAM keeps the variables.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use qemu_tests::scratch::Scratch;
use qemu_tests::{BOOT_LIMIT, machine, present};
use vm::{Vm, workspace};

/// The part of a disk in which its loader's configuration lies.
const START: u64 = 16 << 20;

/// A copy of the disk with the unified kernel image, whose kernel comes up with a shell and not with checks.
fn disk_with_shell(scratch: &Scratch) -> Result<PathBuf> {
    let image = workspace::disk("uki");
    present(&image)?;
    let copy = scratch.file("shell.img", [])?;
    let status = Command::new("cp").arg("--sparse=always").arg(&image).arg(&copy).status()?;
    ensure!(status.success(), "cp: {status}");
    let mut start = Vec::new();
    File::open(&image)?.take(START).read_to_end(&mut start)?;
    let (from, to) = (b"realmfw.mode=check", b"realmfw.mode=shell");
    let at = start.windows(from.len()).position(|window| window == from).context("no such command line")?;
    File::options().write(true).open(&copy)?.write_all_at(to, at as u64)?;
    Ok(copy)
}

fn start(disk: &Path) -> Result<Vm> {
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    let machine = machine().memory_mib(1024).args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"]);
    Vm::start(&machine.reboots(), BOOT_LIMIT)
}

/// Runs a command line in the guest, which must end well.
fn shell(vm: &mut Vm, line: &str) -> Result<()> {
    // What the terminal echoes has the sums before they are computed.
    vm.send(&format!("{line}; echo status-$?-of-$((1 + 1))\n"))?;
    let status = vm.expect("-of-2").with_context(|| line.to_owned())?;
    ensure!(status.contains("status-0-"), "{}{line}: {status}", vm.report());
    Ok(())
}

/// efibootmgr of Debian makes options, orders and removes them; the next boots do as it says.
#[test]
fn efibootmgr_is_honoured_after_a_reset() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut vm = start(&disk_with_shell(&scratch)?)?;
    vm.expect("/root #")?;
    shell(&mut vm, "dmesg -n 1; mkdir /tmp/esp && mount /dev/vda1 /tmp/esp")?;
    shell(&mut vm, "head -c 700 /tmp/esp/EFI/BOOT/BOOTAA64.EFI >/tmp/esp/damaged.efi && umount /tmp/esp")?;
    let loader = r"\\EFI\\BOOT\\BOOTAA64.EFI";
    let line = "console=ttyAMA0 quiet root=LABEL=realmfw-root realmfw.second";
    for (label, loader, options) in [
        ("whole", loader, format!("-u '{line}'")),
        ("damaged", r"\\damaged.efi", String::new()),
        ("missing", r"\\missing.efi", String::new()),
        ("inactive", loader, String::new()),
        ("removed", loader, String::new()),
    ] {
        shell(&mut vm, &format!("efibootmgr -q -c -d /dev/vda -p 1 -L {label} -l {loader} {options}"))?;
    }
    // efibootmgr 18 has --inactive, and finds no option for it. BootNext counts all the same.
    for number in ["0001", "0003"] {
        let inactive = format!("/sys/firmware/efi/efivars/Boot{number}-8be4df61-93ca-11d2-aa0d-00e098032b8c");
        shell(&mut vm, &format!(r"v={inactive}; (head -c 4 $v; printf '\0\0\0\0'; tail -c +9 $v) >/tmp/v"))?;
        shell(&mut vm, &format!("dd if=/tmp/v of={inactive} bs=4096"))?;
    }
    shell(&mut vm, "efibootmgr -q -b 0004 -B && efibootmgr -q -o 0003,0002,0000")?;
    shell(&mut vm, "efibootmgr -q -n 0001")?;
    // EFI_OS_INDICATIONS_BOOT_TO_FW_UI.
    let indications = "/sys/firmware/efi/efivars/OsIndications-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    shell(&mut vm, &format!(r"printf '\7\0\0\0\1\0\0\0\0\0\0\0' >{indications}"))?;
    vm.send("reboot -f\n")?;

    // Of five options, one comes next, one is skipped, one is gone, and two cannot be started.
    vm.expect("realmfw 0")?;
    vm.expect("realmfw boot menu")?;
    for line in ["1  Boot0001 damaged", "2  Boot0003 inactive (not active)", "3  Boot0002 missing", "4  Boot0000 whole"]
    {
        vm.expect(line)?;
    }
    vm.expect("5  file system 1")?;
    vm.send("c\r")?;
    vm.expect("Boot0001 damaged: ")?;
    vm.expect("Boot0002 missing: not found on any disk")?;
    vm.expect("/root #")?;
    let console = vm.console();
    let (_, second) = console.rsplit_once("boot once: ").context("no menu")?;
    for not_tried in ["Boot0003", "file system"] {
        ensure!(!second.contains(not_tried), "{}{not_tried} was tried", vm.report());
    }
    shell(&mut vm, "grep -q realmfw.second /proc/cmdline")?;
    shell(&mut vm, "efibootmgr >/tmp/now; cat /tmp/now")?;
    shell(&mut vm, "grep -q '^BootCurrent: 0000' /tmp/now && grep -q '^BootOrder: 0003,0002,0000' /tmp/now")?;
    shell(&mut vm, "! grep -E 'BootNext|Boot0004' /tmp/now")?;
    shell(&mut vm, &format!("od -v -tx1 {indications} | grep -q '07 00 00 00 00 00 00 00 00 00 00 00'"))?;

    // What was asked for once comes once; when nothing is left, each option has been named with its reason.
    shell(&mut vm, "efibootmgr -q -t 1 && mkdir -p /tmp/esp && mount /dev/vda1 /tmp/esp")?;
    shell(&mut vm, "rm /tmp/esp/EFI/BOOT/BOOTAA64.EFI && umount /tmp/esp")?;
    vm.send("reboot -f\n")?;
    vm.expect("realmfw 0")?;
    vm.expect("Press a key for the boot menu.")?;
    for option in ["Boot0002 missing", "Boot0000 whole", "file system 1"] {
        vm.expect(&format!("{option}: not found on any disk"))?;
    }
    vm.expect("nothing to boot: none of 3 boot options could be started")?;
    let finished = vm.wait()?;
    ensure!(finished.console.matches("realmfw boot menu").count() == 1, "{}the menu came again", finished.report());
    Ok(())
}
