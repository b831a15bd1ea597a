//! Debian from disk in a realm: QEMU's own devices do the DMA, and everything on the way is in the registers.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use measured::event_log::{EventType, Log};
use realm_vm::evidence::Evidence;
use realm_vm::{Ended, Realm, end};
use vm::disk::{LOADER, Volume};
use vm::{Verdict, workspace};

use super::{efi, shared};

const LIMIT: Duration = Duration::from_secs(200);

/// Boots; every check of the root file system has to hold, and the log has to give the registers. Returns what was
/// measured: register, description, digest.
pub fn boots(realm: &Realm) -> Result<Vec<(String, String, String)>> {
    measured(&realm.run(LIMIT)?)
}

fn measured(ended: &Ended) -> Result<Vec<(String, String, String)>> {
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let console = &ended.finished.console;
        ensure!(console.contains("RME: Using RSI version"), "Linux is not in a realm");
        let verdict = Verdict::parse(console)?;
        ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
        // The devices had their rings until the firmware ended.
        shared::taken_back_empty(ended)?;
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()?;
        evidence.measured()
    })()
    .with_context(|| ended.report())
}

pub fn realm() -> Realm {
    Realm::firmware(workspace::image()).ram_mib(1024)
}

pub fn has(measured: &[(String, String, String)], what: &str) -> Result<()> {
    let found = measured.iter().any(|(register, _, name)| format!("{register} {name}").contains(what));
    ensure!(found, "no {what:?} among {measured:#?}");
    Ok(())
}

/// How many images were measured.
fn images(measured: &[(String, String, String)]) -> usize {
    measured.iter().filter(|(register, _, name)| register == "REM[1]" && name.starts_with("EFI image")).count()
}

/// shim, its fallback loader, shim again and GRUB, from virtio-blk on PCI.
#[test]
fn shim_and_grub() -> Result<()> {
    let measured = boots(&realm().disk(&workspace::disk("debian")))?;
    // The disk's table, and what shim and GRUB measure of what they take.
    let expected =
        ["REM[1] GPT with ", "REM[2] MokList", "REM[2] grub_cmd: linux /boot/vmlinuz", "REM[2] kernel_cmdline"];
    expected.into_iter().try_for_each(|what| has(&measured, what))?;
    ensure!(images(&measured) == 5, "not shim, its fallback loader, shim, GRUB and the kernel: {measured:#?}");
    has(&measured, "realmfw.chosen=other").context("GRUB did not read what it had written")?;
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

/// The menu takes cursor keys, and what they choose is booted.
#[test]
fn systemd_boot_by_its_menu() -> Result<()> {
    let ended = realm().disk(&workspace::disk("systemd-boot")).run_at_console(LIMIT, |vm| {
        vm.expect("Boot in")?;
        vm.send("\x1b[A\r")
    })?;
    let measured = measured(&ended)?;
    let console = &ended.finished.console;
    ensure!(console.contains("realmfw.chosen=other"), "{}the other entry was chosen", ended.report());
    has(&measured, "REM[1] EFI image")
}

/// From virtio-scsi, by SHA-384.
#[test]
fn refind_behind_scsi() -> Result<()> {
    let measured = boots(&realm().scsi_disk(&workspace::disk("refind")).option("hash=sha-384"))?;
    ensure!(images(&measured) >= 2, "not rEFInd and the kernel: {measured:#?}");
    Ok(())
}

/// From NVMe, as clouds have it: Linux has its root there, with a controller that starts anew.
#[test]
fn shim_and_grub_on_nvme() -> Result<()> {
    let measured = boots(&realm().nvme_disk(&workspace::disk("debian")))?;
    has(&measured, "REM[2] grub_cmd: linux /boot/vmlinuz")?;
    ensure!(images(&measured) == 5, "not shim, its fallback loader, shim, GRUB and the kernel: {measured:#?}");
    Ok(())
}

/// The shell, whose startup script runs the kernel with an initrd= on its command line.
#[test]
fn kernel_by_startup_script() -> Result<()> {
    let ended = realm().disk(&workspace::disk("kernel")).run_at_console(LIMIT, |vm| {
        vm.expect("any other key to continue")?;
        vm.send("x")
    })?;
    let measured = measured(&ended)?;
    ensure!(images(&measured) >= 2, "not the shell and the kernel: {measured:#?}");
    Ok(())
}

/// shim's fallback loader starts the kernel with what is to be the optional data of its boot option.
#[test]
fn kernel_by_fallback_loader() -> Result<()> {
    let ended = realm().disk(&workspace::disk("kernel")).run_at_console(LIMIT, |vm| {
        vm.expect("any other key to continue")?;
        vm.send("\x1b")?;
        vm.expect("Shell> ")?;
        vm.send("fs0:\\EFI\\BOOT\\fbaa64.efi\r")
    })?;
    let measured = measured(&ended)?;
    ensure!(images(&measured) == 3, "not the shell, the fallback loader and the kernel: {measured:#?}");
    Ok(())
}

/// The boot menu shows the log and the realm. The shell, chosen there, comes back, and the next option has no loader: what
/// the firmware did is measured.
#[test]
fn the_boot_menu_and_an_option_that_comes_back() -> Result<()> {
    let second = std::env::temp_dir().join(format!("realm-second-{}.img", std::process::id()));
    fs::write(&second, Volume::new(&[])?.on_gpt())?;
    let realm = realm().disk(&workspace::disk("kernel")).scsi_disk(&second);
    let ended = realm.run_at_console(LIMIT, |vm| {
        vm.send("xxx\r")?;
        vm.expect("file system 2")?;
        vm.send("m\r")?;
        vm.expect("realm, RSI 1.")?;
        vm.send("e\r")?;
        vm.expect("REM[0] ")?;
        vm.expect("Entering ROM Based Setup")?;
        vm.send("1\r")?;
        vm.expect("any other key to continue")?;
        vm.send("\x1b")?;
        vm.expect("Shell> ")?;
        vm.send("exit\r")
    });
    fs::remove_file(&second)?;
    let ended = ended?;
    (|| {
        let console = &ended.finished.console;
        for said in ["file system 1: returned: ", "file system 2: ", "nothing to boot: none of 2 boot options"] {
            ensure!(console.contains(said), "no {said:?}");
        }
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()?;
        let log = Log::parse(&evidence.log)?;
        let records = log.records().collect::<Result<Vec<_>, _>>()?;
        let actions = records.iter().filter(|record| record.event_type == EventType::EFI_ACTION);
        let actions: Vec<_> = actions.map(|record| String::from_utf8_lossy(record.data)).collect();
        let calling = "Calling EFI Application from Boot Option";
        let returning = "Returning from EFI Application from Boot Option";
        ensure!(actions == ["Entering ROM Based Setup", calling, returning, calling], "{actions:#?}");
        Ok(())
    })()
    .with_context(|| ended.report())
}

/// Every protocol of blocks and of bytes, on disks of over 2 TiB: what goes through shared memory is all there.
#[test]
fn blocks_and_bytes() -> Result<()> {
    let disk = std::env::temp_dir().join(format!("realm-blocks-{}.img", std::process::id()));
    fs::File::create(&disk)?.set_len(3 << 40)?;
    let realm = Realm::firmware(workspace::image()).kernel(workspace::efi_check()).append("realm only=blocks stay");
    let ended = efi::passes(&realm.disk(&disk).scsi_disk(&disk).mmio_disk(&disk).nvme_disk(&disk));
    fs::remove_file(&disk)?;
    let ended = ended?;
    let console = &ended.finished.console;
    let count = console.lines().filter(|line| *line == "# disk: 6442450944 blocks of 512, writable").count();
    ensure!(count == 4, "{}{count} disks", ended.report());
    Ok(())
}

/// Devices that break the protocol, each in its way, when they are found or amid the reading of a loader: each is named
/// with what it did, and the next disk boots, which is the last. Its configuration changes all the time, and its capacity
/// goes, while the loader is read: what was agreed at the start holds.
#[test]
fn hostile_devices_on_virtio_mmio() -> Result<()> {
    let disk = std::env::temp_dir().join(format!("realm-hostile-{}.img", std::process::id()));
    fs::write(&disk, Volume::new(&fs::read(workspace::uefi_walk())?)?.on_gpt())?;
    let lies = [
        ("silent", "no answer within the time-out"),
        ("used-id", "protocol broken: used id"),
        ("used-index", "protocol broken: used index"),
        ("used-length", "protocol broken: used length"),
        ("config", "device configuration: changes all the time"),
        ("reset", "reset never ended"),
        ("status", "protocol broken: status"),
        ("needs-reset", "DEVICE_NEEDS_RESET"),
        ("used-id@9", "protocol broken: used id"),
        ("used-index@9", "protocol broken: used index"),
        ("status@9", "protocol broken: status"),
        ("needs-reset@9", "DEVICE_NEEDS_RESET"),
        ("silent@9", "no answer within the time-out"),
        ("config@9", ""),
    ];
    let given_up = lies.iter().filter(|(_, why)| !why.is_empty());
    let mut realm = Realm::firmware(workspace::image()).arg("-global").arg("virtio-mmio.force-legacy=false");
    for (number, (lie, _)) in lies.iter().enumerate() {
        // They are found in this order.
        let slot = 16 + number;
        realm = realm
            .arg("-drive")
            .arg(format!("if=none,id=disk{number},format=raw,read-only=on,file={}", disk.display()))
            .arg("-device")
            .arg(format!("virtio-blk-device,drive=disk{number},iommu_platform=on,bus=virtio-mmio-bus.{slot}"));
        realm = realm.option(format!("virtio={slot}:{lie}"));
    }
    let ended = realm.run(LIMIT)?;
    fs::remove_file(&disk)?;
    (|| {
        let console = &ended.finished.console;
        let said = console.lines().filter_map(|line| line.split_once("virtio at 0x")?.1.split_once(": "));
        let said: Vec<_> = said.map(|(_, why)| why).collect();
        ensure!(said.iter().eq(given_up.map(|(_, why)| why)), "{said:#?}");
        for number in 1..=5 {
            let option = format!("file system {number}: Device Error");
            ensure!(console.contains(&option), "no {option:?}");
        }
        ensure!(console.contains("uefi-walk: "), "the last disk does not boot");
        Ok(())
    })()
    .with_context(|| ended.report())
}

/// A device that breaks off amid the writes of systemd-boot, which counts its tries by renaming a file, behind each of
/// them in turn: the loader gets an error and resets the machine, and on the disk everything is there that was, the file
/// by its old name or its new.
#[test]
fn a_device_that_breaks_off_amid_writes() -> Result<()> {
    const ENTRY: &[u8] = b"title walk\nlinux /walk.efi\n";
    const NAMES: [&str; 2] = ["walk+3.conf", "walk+2-1.conf"];
    let loader = fs::read(workspace::cache().join("loaders/systemd-bootaa64.efi"))?;
    let walk = fs::read(workspace::uefi_walk())?;
    let entry = format!("loader/entries/{}", NAMES[0]);
    let files: [(&str, &[u8]); 4] = [
        (LOADER, &loader),
        ("walk.efi", &walk),
        ("loader/loader.conf", b"timeout 0\ndefault walk*.conf\n"),
        (&entry, ENTRY),
    ];
    let image = Volume::with_files(&files)?.on_gpt();
    let path = std::env::temp_dir().join(format!("realm-writes-{}.img", std::process::id()));
    let mut writes = 0;
    for fault in ["used-id", "status", "silent", "used-index", "needs-reset"].into_iter().cycle() {
        fs::write(&path, &image)?;
        let realm = Realm::firmware(workspace::image())
            .arg("-global")
            .arg("virtio-mmio.force-legacy=false")
            .arg("-drive")
            .arg(format!("if=none,id=disk,format=raw,file={}", path.display()))
            .arg("-device")
            .arg("virtio-blk-device,drive=disk,iommu_platform=on,bus=virtio-mmio-bus.31")
            .option(format!("virtio=31:{fault}@w{}", writes + 1));
        let ended = realm.run(LIMIT);
        let disk = fs::read(&path);
        fs::remove_file(&path)?;
        let (ended, disk) = (ended?, disk?);
        let done = (|| {
            for (path, content) in &files[..3] {
                let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
                let found = Volume::read_folder(&disk, folder)?;
                ensure!(found.iter().any(|(other, found)| other == name && found == content), "{path} is damaged");
            }
            let entries = Volume::read_folder(&disk, "loader/entries")?;
            let is_right = |(name, content): &(String, Vec<u8>)| NAMES.contains(&name.as_str()) && content == ENTRY;
            ensure!(!entries.is_empty() && entries.iter().all(is_right), "{entries:x?}");
            if ended.status() == Some(end::OFF) {
                ensure!(entries.len() == 1 && entries[0].0 == NAMES[1], "it was not renamed");
                ensure!(Verdict::parse(&ended.finished.console)?.all_passed(), "what it starts fails");
                return Ok(true);
            }
            ensure!(ended.status() == Some(end::RESET), "status {:?}", ended.status());
            let console = ended.finished.console.replace('\n', "");
            let told = console.contains("ignoring: Device error") || entries.iter().all(|(name, _)| *name == NAMES[1]);
            let failed = console.contains(r"Error loading EFI binary \walk.efi: Device error");
            ensure!(told && failed, "the loader got no error");
            Ok(false)
        })()
        .with_context(|| format!("{fault} behind {writes} writes\n{}", ended.report()))?;
        if done {
            break;
        }
        writes += 1;
    }
    ensure!(writes > 2, "{writes} writes");
    Ok(())
}
