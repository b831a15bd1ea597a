//! Debian's EFI shell, unmodified: typed at as a person would, each line when the prompt is there.

use std::time::Duration;

use anyhow::{Result, ensure};
use qemu_tests::{BOOT_LIMIT, all_hold, present};
use vm::{Vm, workspace};

use crate::disks::{PCI, with_disk};

const LIMIT: Duration = Duration::from_secs(60);

/// The prompt, yellow as nothing else that ends so.
const PROMPT: &str = "\x1b[0;1;33;40mShell> ";

const UP: &str = "\x1b[A";
const DOWN: &str = "\x1b[B";
const RIGHT: &str = "\x1b[C";
const LEFT: &str = "\x1b[D";
const HOME: &str = "\x1b[H";
const END: &str = "\x1b[F";
const DELETE: &str = "\x1b[3~";

/// A variable of nobody's.
const VARIABLE: &str = "colour -guid 5f2d3b1e-6c1a-4f0e-9b58-1f4c7a2e0d00";

/// A shell that waits for its first line.
struct Shell(Vm);

impl Shell {
    fn start() -> Result<Self> {
        present(&workspace::image())?;
        present(&workspace::shell())?;
        let machine = with_disk("kernel", PCI)?.kernel(workspace::shell()).reboots();
        let mut shell = Self(Vm::start(&machine, LIMIT)?);
        shell.begin()?;
        Ok(shell)
    }

    /// Is a terminal of 40 rows with 120 columns.
    fn answer(&mut self) -> Result<()> {
        self.0.expect("\x1b[999;999H\x1b[6n")?;
        self.0.send("\x1b[40;120R")
    }

    /// Skips what it would do at its start.
    fn begin(&mut self) -> Result<()> {
        self.0.expect("UEFI Interactive Shell v2.2")?;
        self.0.expect("any other key to continue")?;
        self.0.send("\x1b")?;
        self.0.expect(PROMPT).map(drop)
    }

    /// Types a line; returns what is printed up to the next prompt.
    fn line(&mut self, line: &str) -> Result<String> {
        self.0.send(&format!("{line}\r"))?;
        self.0.read_until(PROMPT)
    }

    /// Types a line; what is printed has to have every one of `parts`.
    fn prints(&mut self, line: &str, parts: &[&str]) -> Result<()> {
        let printed = self.line(line)?;
        for part in parts {
            ensure!(printed.contains(part), "{}{line:?} printed no {part:?}", self.0.report());
        }
        Ok(())
    }
}

#[test]
fn commands_from_fw_cfg() -> Result<()> {
    let mut shell = Shell::start()?;
    shell.prints("ver", &["UEFI Interactive Shell v2.2", "UEFI v2.100 (realmfw, "])?;
    shell.prints("map", &["Mapping table", "FS0: Alias(s):HD0", "/HD(1,GPT,5F2D3B1E-6C1A-4F0E-9B58-"])?;
    shell.prints("ls fs0:", &["startup.nsh", "initrd.img", "3,", "<DIR>"])?;
    shell.prints("vol fs0:", &["Volume ESP (rw)"])?;
    shell.prints("memmap", &["BS_Code", "RT_Code", "Total Memory:          1,024 MB (1,073,741,824 Bytes)"])?;
    shell.prints("dh", &["HIIDatabase", "HIIString", "UnicodeCollation2"])?;
    shell.prints("dh -v", &["LoadedImage", "ImageBase", "HD(1,GPT,", "VenUtf8()", "SimpleTextOut"])?;
    shell.prints("devices", &["Device Name"])?;
    shell.prints("drivers", &["DRIVER NAME", "Disk I/O", "FAT File System", "virtio on PCI"])?;
    shell.prints("pci", &["00   00   01    00 ==> ", "Vendor 1AF4 Device 1001 Prog Interface 0"])?;
    shell.prints("dh -p PciIo", &["DevicePath(PciRoot(0x0)/Pci(0x1,0x0)) PCIIO"])?;
    shell.prints("devtree", &["] PciRoot(0x0)\n   Ctrl[", "/Pci(0x1,0x0)\n     Ctrl[", "\n       Ctrl["])?;
    shell.prints("mode", &["Col    80 Row    25  *", "Col   100 Row    31"])?;
    shell.prints("smbiosview", &["Cannot get SMBIOS Table"])?;
    shell.prints("help map", &["Displays or defines file system mappings.", "MAP [-d <sname>]", "EXAMPLES"])?;
    shell.prints("nonsense", &["'nonsense' is not recognized"])?;

    shell.prints("dmpstore", &["Variable NV+RT+BS 'EFIGlobalVariable:PlatformLang'", "65 6E 00"])?;
    shell.line(&format!("setvar {VARIABLE} -bs -rt =L\"red\""))?;
    shell.prints(&format!("setvar {VARIABLE}"), &["0006 Bytes", "72 00 65 00 64 00"])?;
    shell.prints(&format!("dmpstore {VARIABLE}"), &["Variable RT+BS '", ":colour' DataSize = 0x06"])?;
    shell.line(&format!("setvar {VARIABLE} ="))?;
    shell.prints(&format!("setvar {VARIABLE}"), &["Unable to get"])?;

    // Warm, then off.
    shell.0.send("reset -w\r")?;
    shell.begin()?;
    shell.0.send("reset -s\r")?;
    let finished = shell.0.wait()?;
    ensure!(finished.status.success(), "{}it was not powered off", finished.report());
    Ok(())
}

/// The keys that move in a line and in the history, and output of more than a page.
#[test]
fn line_editing_and_paging() -> Result<()> {
    let mut shell = Shell::start()?;
    let first = format!("eho 1{HOME}{RIGHT}c");
    shell.prints(&first, &["\n1\n"])?;
    shell.prints(&format!("echo x23{LEFT}{LEFT}\x7f{END}4"), &["\n234\n"])?;
    shell.prints(&format!("echo 5678{HOME}{DELETE}e{END}\x08"), &["\n567\n"])?;
    shell.prints(&format!("{UP}{UP}{UP}"), &["\n1\n"])?;
    shell.prints(&format!("{UP}{UP}{UP}{UP}{DOWN}"), &["\n234\n"])?;
    // Longer than the screen is wide, changed in its first row.
    let long = "z".repeat(100);
    let lefts = LEFT.repeat(100);
    let printed = shell.line(&format!("echo {long}{lefts}y"))?;
    ensure!(printed.replace('\n', "").ends_with(&format!("y{long}")), "{}a long line", shell.0.report());
    shell.prints("echo é─€", &["\né─€\n"])?;

    // A script that takes long, and control and C.
    for line in ["@echo -off", "for %a run (1 100000)", "echo %a", "endfor"] {
        shell.line(&format!("echo \"{line}\" >>a fs0:\\long.nsh"))?;
    }
    shell.0.send("fs0:\\long.nsh\r")?;
    shell.0.expect("\n20")?;
    shell.0.send("\x03")?;
    shell.0.expect(PROMPT)?;

    shell.0.send("help -b\r")?;
    shell.0.expect("bcfg ")?;
    for _ in 0..2 {
        shell.0.expect("to continue or 'Q' break")?;
        shell.0.send("\r")?;
    }
    shell.0.expect("to continue or 'Q' break")?;
    shell.0.send("q")?;
    let printed = shell.0.read_until(PROMPT)?;
    ensure!(!printed.contains("Help usage"), "{}it went on", shell.0.report());
    let printed = shell.line("help")?;
    ensure!(printed.contains("Help usage"), "{}the last page", shell.0.report());
    Ok(())
}

/// Everything over a virtio console, with nothing at the UART: keys, the boot menu, and then Linux' own driver.
fn over_a_virtio_console(controller: &[&str]) -> Result<()> {
    present(&workspace::image())?;
    let machine = with_disk("kernel", PCI)?.args(controller).console_device("virtconsole").reboots();
    let mut shell = Shell(Vm::start(&machine, LIMIT)?);
    shell.answer()?;
    shell.begin()?;
    shell.prints("echo é─€", &["\né─€\n"])?;
    shell.prints("mode", &["Col    80 Row    25", "Col   120 Row    40"])?;
    shell.prints("mode 120 40", &[])?;
    shell.prints("mode", &["Col   120 Row    40  *"])?;
    let printed = shell.line(&format!("echo {}", "z".repeat(110)))?;
    ensure!(printed.contains(&"z".repeat(110)), "{}broken before its end", shell.0.report());
    shell.line("setvar Timeout -guid 8be4df61-93ca-11d2-aa0d-00e098032b8c -nv -bs -rt =0x5000")?;
    shell.0.send("reset -w\r")?;
    shell.0.expect("Press a key for the boot menu.")?;
    shell.0.send("x")?;
    shell.0.expect("realmfw boot menu")?;
    shell.0.send("1\r")?;
    shell.begin()?;
    let words = "console=hvc0 root=LABEL=realmfw-root realmfw.mode=check realmfw.loader=kernel efi=debug panic=-1";
    shell.0.send(&format!("fs0:\\EFI\\debian\\linux.efi initrd=\\initrd.img {words}\r"))?;
    shell.0.expect("EFI stub: ")?;
    all_hold(&shell.0.wait()?)
}

#[test]
fn virtio_console_on_pci() -> Result<()> {
    over_a_virtio_console(&["-device", "virtio-serial-pci"])
}

#[test]
fn virtio_console_on_mmio() -> Result<()> {
    over_a_virtio_console(&["-global", "virtio-mmio.force-legacy=false", "-device", "virtio-serial-device"])
}

/// The shell in the removable place, whose startup script runs the kernel with an initrd= on its command line.
#[test]
fn kernel_by_startup_script() -> Result<()> {
    present(&workspace::image())?;
    let mut vm = Vm::start(&with_disk("kernel", PCI)?, BOOT_LIMIT)?;
    vm.expect("any other key to continue")?;
    vm.send("x")?;
    vm.expect("EFI stub: ")?;
    let finished = vm.wait()?;
    all_hold(&finished)?;
    ensure!(finished.console.contains("initrd=\\initrd.img"), "{}by another way", finished.report());
    Ok(())
}

/// The kernel in the place of the loader, with an initrd= in the optional data of a boot option.
#[test]
fn kernel_by_boot_option() -> Result<()> {
    const LOADER: &str = r"fs0:\EFI\BOOT\BOOTAA64.EFI";
    present(&workspace::image())?;
    let machine = with_disk("kernel", PCI)?.reboots();
    let mut shell = Shell(Vm::start(&machine, BOOT_LIMIT)?);
    shell.begin()?;
    shell.prints(&format!(r"cp -q fs0:\EFI\debian\linux.efi {LOADER}"), &["- [ok]"])?;
    shell.prints(&format!("bcfg boot add 0 {LOADER} Kernel"), &["bcfg: Add Boot0000 as 0"])?;
    let line = r"initrd=\initrd.img console=ttyAMA0 root=LABEL=realmfw-root efi=debug panic=-1 realmfw.mode=check realmfw.loader=kernel";
    shell.line(&format!("bcfg boot -opt 0 ^\"{line}^\""))?;
    shell.0.send("reset -w\r")?;
    let finished = shell.0.wait()?;
    all_hold(&finished)?;
    ensure!(
        finished.console.contains("EFI stub: Loaded initrd from command line option"),
        "{}no initrd",
        finished.report()
    );
    Ok(())
}
