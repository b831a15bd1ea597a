//! Debian's loaders, unmodified, from a disk to user space. `cargo xtask test` builds the disks.

use std::fs::File;
use std::os::unix::fs::FileExt;

use anyhow::{Context, Result, ensure};
use qemu_tests::scratch::Scratch;
use qemu_tests::{BOOT_LIMIT, STOP_LIMIT, all_hold, machine, present, run, stops_with};
use vm::disk::{LARGE_BLOCK, Volume};
use vm::{Machine, Vm, workspace};

/// A machine with the disk of `loader` as `device`, whose options follow its name. What the guest writes is forgotten.
pub fn with_disk(loader: &str, device: &str) -> Result<Machine> {
    let image = workspace::disk(loader);
    present(&image)?;
    let drive = format!("if=none,id=disk,format=raw,snapshot=on,file={}", image.display());
    Ok(machine().memory_mib(1024).args(["-drive", &drive, "-device", device]))
}

/// A disk that is booted first.
pub const PCI: &str = "virtio-blk-pci,drive=disk,bootindex=1";

fn boots(machine: &Machine) -> Result<String> {
    let finished = run(machine, BOOT_LIMIT)?;
    all_hold(&finished)?;
    Ok(finished.console)
}

/// shim in the removable place, its fallback loader, which makes a boot option, shim again, GRUB, which reads the kernel
/// from ext4 and hands on what it has written to its environment and read again.
#[test]
fn shim_and_grub() -> Result<()> {
    let console = boots(&with_disk("debian", PCI)?)?;
    ensure!(console.contains("GNU GRUB") && console.contains("BOOT_IMAGE=/boot/vmlinuz"), "not by GRUB: {console}");
    ensure!(console.contains("realmfw.chosen=other"), "GRUB did not read what it had written: {console}");
    Ok(())
}

/// The menu takes cursor keys, and what they choose is booted.
#[test]
fn systemd_boot_by_its_menu() -> Result<()> {
    let mut vm = Vm::start(&with_disk("systemd-boot", PCI)?, BOOT_LIMIT)?;
    vm.expect("Boot in")?;
    vm.send("\x1b[A\r")?;
    let finished = vm.wait()?;
    all_hold(&finished)?;
    ensure!(finished.console.contains("realmfw.chosen=other"), "{}the other entry was chosen", finished.report());
    Ok(())
}

/// Of two disks that boot, the one that QEMU's bootindex names first is booted, though the other is found first.
#[test]
fn unified_kernel_image_behind_scsi() -> Result<()> {
    let refind = workspace::disk("refind");
    let other = format!("if=none,id=other,format=raw,snapshot=on,file={}", refind.display());
    let machine = with_disk("uki", "virtio-scsi-pci,id=scsi,addr=5")?
        .args(["-device", "scsi-hd,drive=disk,bus=scsi.0,scsi-id=3,lun=2,bootindex=1"])
        .args(["-drive", &other, "-device", "virtio-blk-pci,drive=other,addr=2,bootindex=2"]);
    let console = boots(&machine)?;
    ensure!(!console.contains("rEFInd"), "the other disk was booted: {console}");
    Ok(())
}

#[test]
fn unified_kernel_image_on_virtio_mmio() -> Result<()> {
    let machine = with_disk("uki", "virtio-blk-device,drive=disk")?;
    boots(&machine.args(["-global", "virtio-mmio.force-legacy=false"])).map(drop)
}

/// Of two namespaces that boot, each behind its controller, the one that QEMU's bootindex names first is booted, though
/// the other is found first. Linux has its root on it, with a controller that starts anew.
#[test]
fn shim_and_grub_on_nvme() -> Result<()> {
    let refind = workspace::disk("refind");
    let other = format!("if=none,id=other,format=raw,snapshot=on,file={}", refind.display());
    let machine = with_disk("debian", "nvme,serial=1,drive=disk,addr=5,bootindex=1")?.args([
        "-drive",
        &other,
        "-device",
        "nvme,serial=2,drive=other,addr=2,bootindex=2",
    ]);
    let console = boots(&machine)?;
    ensure!(console.contains("GNU GRUB") && !console.contains("rEFInd"), "the other disk was booted: {console}");
    Ok(())
}

/// QEMU's bootindex of a namespace that is a device of its own names its controller alone. A disk without a loader, which
/// is found first, is not tried.
#[test]
fn a_namespace_by_its_bootindex() -> Result<()> {
    present(&workspace::uefi_walk())?;
    let scratch = Scratch::new()?;
    let none = scratch.file("none.img", Volume::with_files(&[("README", b"none")])?.on_gpt())?;
    let walk = scratch.file("walk.img", Volume::new(&std::fs::read(workspace::uefi_walk())?)?.on_gpt())?;
    let mut machine = machine();
    for (id, image) in [("none", none), ("walk", walk)] {
        machine = machine.args(["-drive", &format!("if=none,id={id},format=raw,file={}", image.display())]);
    }
    let finished = run(
        &machine
            .args(["-device", "virtio-blk-pci,drive=none,addr=2", "-device", "nvme,id=nvme,serial=1,addr=5"])
            .args(["-device", "nvme-ns,bus=nvme,drive=walk,nsid=3,bootindex=1"]),
        BOOT_LIMIT,
    )?;
    all_hold(&finished)?;
    ensure!(!finished.console.contains("not found"), "{}the other was tried", finished.report());
    Ok(())
}

/// Whoever ends boot services finds the controller as it is after a reset.
#[test]
fn nvme_controllers_stop_with_boot_services() -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = machine().kernel(workspace::efi_check()).append("only=exit");
    let machine = machine.args(["-drive", "if=none,id=disk,driver=null-co,size=1M,read-zeroes=on"]);
    let finished =
        run(&machine.args(["-device", "nvme,serial=1,drive=disk", "-trace", "pci_nvme_mmio_st*"]), STOP_LIMIT)?;
    all_hold(&finished)?;
    let events = ["pci_nvme_mmio_start_success", "pci_nvme_mmio_stopped"];
    let said = finished.errors.lines().filter_map(|line| events.into_iter().find(|event| line.contains(event)));
    ensure!(said.eq(events), "{}", finished.report());
    Ok(())
}

#[test]
fn refind() -> Result<()> {
    let console = boots(&with_disk("refind", PCI)?)?;
    ensure!(console.contains("rEFInd"), "not by rEFInd: {console}");
    Ok(())
}

/// A key at the start brings the menu up; what is chosen there is tried first.
#[test]
fn the_boot_menu() -> Result<()> {
    let mut vm = Vm::start(&with_disk("uki", PCI)?, BOOT_LIMIT)?;
    vm.send("xxx\r")?;
    vm.expect("realmfw boot menu")?;
    vm.expect("file system 1")?;
    vm.send("m\r")?;
    vm.expect("plain VM at EL1")?;
    vm.send("e\r")?;
    vm.expect("a plain VM measures nothing")?;
    vm.send("7\r")?;
    vm.expect("there is no \"7\"")?;
    vm.send("1\r")?;
    let finished = vm.wait()?;
    all_hold(&finished)
}

/// What cannot be booted is named with its reason, and then the machine is powered off.
#[test]
fn disks_without_a_loader() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut disk = std::fs::read(workspace::disk("uki")).context("the disk")?;
    // The name of the loader in its directory entry, in the file system behind the first mebibyte.
    let name = b"BOOTAA64EFI";
    let at = disk.windows(name.len()).position(|window| window == name).context("no such entry")?;
    disk.get_mut(at..at + name.len()).context("entry")?.copy_from_slice(b"NOTAA64 EFI");
    let disk = scratch.file("changed.img", disk)?;
    let drive = format!("if=none,id=disk,format=raw,file={}", disk.display());
    let machine = machine().args(["-drive", &drive, "-device", PCI]);
    stops_with(machine, &["file system 1: not found", "nothing to boot: none of 1 boot options"]).map(drop)
}

/// The table, the file system and the device count in blocks of 4096 bytes.
#[test]
fn large_blocks() -> Result<()> {
    present(&workspace::uefi_walk())?;
    let scratch = Scratch::new()?;
    let image = scratch.file("disk.img", Volume::in_large_blocks(&std::fs::read(workspace::uefi_walk())?)?)?;
    let drive = format!("if=none,id=disk,format=raw,file={}", image.display());
    for device in [PCI, "nvme,serial=1,drive=disk"] {
        let device = format!("{device},logical_block_size={LARGE_BLOCK},physical_block_size={LARGE_BLOCK}");
        all_hold(&run(&machine().args(["-drive", &drive, "-device", &device]), BOOT_LIMIT)?).context(device)?;
    }
    Ok(())
}

/// One image that is a CD and a disk, as loaders' tools make them: on a CD, whose blocks are larger, its GPT is not where
/// the protective MBR has it.
#[test]
fn hybrid_image() -> Result<()> {
    present(&workspace::uefi_walk())?;
    let scratch = Scratch::new()?;
    let image = scratch.file("hybrid.iso", Volume::new(&std::fs::read(workspace::uefi_walk())?)?.on_hybrid())?;
    let drive = format!("if=none,id=disk,format=raw,read-only=on,file={}", image.display());
    for device in [&["-device", PCI][..], &["-device", "virtio-scsi-pci", "-device", "scsi-cd,drive=disk"]] {
        let machine = machine().args(["-drive", &drive]).args(device);
        all_hold(&run(&machine, BOOT_LIMIT)?).with_context(|| format!("{device:?}"))?;
    }
    Ok(())
}

/// Every protocol of blocks and of bytes, on disks of each kind: of over 2 TiB, of blocks of 4096 bytes, read-only, and
/// without a medium. What the program writes is in the files.
#[test]
fn blocks_and_bytes() -> Result<()> {
    present(&workspace::efi_check())?;
    let scratch = Scratch::new()?;
    let mut machine = machine().kernel(workspace::efi_check()).append("only=blocks stay");
    machine = machine.args(["-device", "virtio-scsi-pci,id=scsi", "-device", "scsi-cd,bus=scsi.0,scsi-id=9"]);
    machine = machine.args(["-drive", "if=none,id=none,driver=null-co,size=0", "-device", "virtio-blk-pci,drive=none"]);
    machine = machine.args(["-device", "nvme,id=nvme,serial=1"]);
    let (blk, scsi, small) =
        ("virtio-blk-pci", "scsi-hd,bus=scsi.0", "logical_block_size=4096,physical_block_size=4096");
    let namespace = "nvme-ns,bus=nvme";
    // Bytes, bytes of a block, and whether it can be written to.
    let disks = [
        (3_u64 << 40, 512, true, blk.to_owned()),
        (64 << 20, 4096, true, format!("{blk},{small}")),
        (8 << 20, 512, false, blk.to_owned()),
        (4 << 40, 512, true, scsi.to_owned()),
        (5 << 40, 4096, true, format!("{scsi},{small}")),
        (16 << 20, 512, false, scsi.to_owned()),
        (6 << 40, 512, true, namespace.to_owned()),
        (7 << 40, 4096, true, format!("{namespace},{small},nsid=9")),
    ];
    let mut files = Vec::new();
    for (number, (size, _, writable, device)) in disks.iter().enumerate() {
        let file = scratch.sparse(&format!("{number}.img"), *size)?;
        let read_only = if *writable { "off" } else { "on" };
        let drive = format!("if=none,id=disk{number},format=raw,read-only={read_only},file={}", file.display());
        machine = machine.args(["-drive", &drive, "-device", &format!("{device},drive=disk{number}")]);
        files.push(file);
    }
    let finished = run(&machine, STOP_LIMIT)?;
    all_hold(&finished)?;
    for ((size, block, writable, _), file) in disks.iter().zip(&files) {
        let (kind, byte, first) = if *writable { ("writable", 0x5a, 0xc3) } else { ("read-only", 0, 0) };
        let said = format!("# disk: {} blocks of {block}, {kind}", size / block);
        ensure!(finished.console.lines().any(|line| line == said), "{}no {said:?}", finished.report());
        // The last block, whose first bytes were written once more.
        let mut end = vec![1; *block as usize];
        File::open(file)?.read_exact_at(&mut end, size - block)?;
        let is_right = end.iter().enumerate().all(|(at, is)| *is == if at < 11 { first } else { byte });
        ensure!(is_right, "{}{said}: its last block is {end:x?}", finished.report());
    }
    let empty = finished.console.lines().filter(|line| line.ends_with("empty")).count();
    ensure!(empty == 2, "{}{empty} disks have no medium", finished.report());
    Ok(())
}
