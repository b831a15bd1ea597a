//! virtio devices that are no disks.

use anyhow::{Context, Result, ensure};
use qemu_tests::scratch::Scratch;
use qemu_tests::{BOOT_LIMIT, Boot, PLAIN, all_hold, present, run};
use vm::{Finished, entropy, workspace};

/// `tests/efi-check` with its checks of protocols, on a machine whose CPU has the same random numbers in every run.
fn protocols(boot: &Boot, args: &[String]) -> Result<Finished> {
    present(&workspace::efi_check())?;
    let machine = boot.machine().kernel(workspace::efi_check()).append("only=protocols stay");
    let finished = run(&machine.args(entropy::SEED).args(args), BOOT_LIMIT)?;
    all_hold(&finished)?;
    Ok(finished)
}

fn random(args: &[String]) -> Result<[u128; 2]> {
    let finished = protocols(&PLAIN, args)?;
    entropy::random(&finished.console).with_context(|| finished.report())
}

/// What the device gives is added to what the CPU gives, which is there all the same.
#[test]
fn what_an_entropy_device_gives_is_mixed_in() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("random", [entropy::BYTE; 4096])?;
    let alone = random(&[])?;
    ensure!(random(&[])? == alone, "not the same in every run");
    let added = [0, 1].map(|half| alone[half] ^ entropy::MASK[half]);
    ensure!(random(&entropy::device(&file, "virtio-rng-pci"))? == added, "on PCI");
    ensure!(random(&entropy::device(&file, "virtio-rng-pci,disable-legacy=on"))? == added, "on PCI, modern");
    let mmio = ["-global", "virtio-mmio.force-legacy=false"].map(String::from);
    let mmio = [&mmio[..], &entropy::device(&file, "virtio-rng-device")].concat();
    ensure!(random(&mmio)? == added, "on MMIO");
    Ok(())
}

/// Without RNDR the device's word alone is not taken, and the device not asked.
#[test]
fn an_entropy_device_is_not_believed_alone() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("random", [entropy::BYTE; 31])?;
    let boot = Boot { cpu: "cortex-a57", ..PLAIN };
    let finished = protocols(&boot, &entropy::device(&file, "virtio-rng-pci"))?;
    let console = &finished.console;
    ensure!(console.contains("ok - RNG: not there without RNDR"), "{}", finished.report());
    ensure!(!console.contains("virtio at"), "{}it was asked", finished.report());
    Ok(())
}

/// A device that gives too little, and one that never answers, are named; the CPU's numbers are as without them.
#[test]
fn entropy_devices_that_do_not_do_their_part() -> Result<()> {
    let scratch = Scratch::new()?;
    let file = scratch.file("random", [entropy::BYTE; 31])?;
    let alone = random(&[])?;
    let silent = ["-chardev", "null,id=null", "-object", "rng-egd,id=source,chardev=null"];
    let silent = silent.into_iter().chain(["-device", "virtio-rng-pci,rng=source"]).map(String::from).collect();
    for (args, why) in [
        (entropy::device(&file, "virtio-rng-pci").to_vec(), "protocol broken: short of random bytes"),
        (silent, "no answer within the time-out"),
    ] {
        let finished = protocols(&PLAIN, &args)?;
        let line = format!("virtio at PCI 0/1.0: {why}");
        ensure!(finished.console.contains(&line), "{}no {line:?}", finished.report());
        ensure!(entropy::random(&finished.console) == Some(alone), "{}", finished.report());
    }
    Ok(())
}

/// After boot services no device of the firmware's touches memory, of which a console would when somebody types.
#[test]
fn a_console_is_reset_for_what_comes_after_boot_services() -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append("only=exit");
    let console = ["-chardev", "null,id=line", "-device", "virtio-serial-pci", "-device", "virtconsole,chardev=line"];
    let finished = run(&machine.args(console).args(["-trace", "virtio_set_status"]), BOOT_LIMIT)?;
    all_hold(&finished)?;
    let statuses = finished.errors.lines().filter_map(|line| line.rsplit_once(" val ").map(|(_, status)| status));
    let statuses: Vec<_> = statuses.collect();
    ensure!(statuses.contains(&"15") && statuses.last() == Some(&"0"), "{}{statuses:?}", finished.report());
    Ok(())
}
