//! Every misbehaviour of the model's host, in a boot through realmfw: it stops and says why in one line, wherever the
//! console is, or goes on with nothing lost.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use measured::{Algorithm, CpuHash, Hasher};
use realm_vm::evidence::Evidence;
use realm_vm::{Ended, KERNEL, Realm, end, initrd};
use vm::disk::Volume;
use vm::{Verdict, workspace};

use super::memory::MemoryFile;
use super::shared;

const LIMIT: Duration = Duration::from_secs(60);

fn qemu() -> Realm {
    Realm::firmware(workspace::image()).kernel(KERNEL.image()).initrd(initrd()).append("quiet")
}

fn kvmtool() -> Realm {
    Realm::kvmtool(workspace::image())
}

/// With `option` the realm stops as [`stops_as`] has it.
fn stops(realm: &Realm, option: &str, why: &str) -> Result<()> {
    stops_as(&realm.clone().option(option), why).map(drop).context(option.to_owned())
}

/// The firmware's last line is an error that contains `why`, with nothing behind it, and it powers off.
fn stops_as(realm: &Realm, why: &str) -> Result<Ended> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let last = ended.finished.console.lines().last().context("not a word")?;
        ensure!(last.starts_with("realmfw: error: ") && last.contains(why), "no {why:?}");
        anyhow::Ok(())
    })()
    .with_context(|| ended.report())?;
    Ok(ended)
}

/// Before a device tree was read, at any width of addresses, and where it alone knows of the console.
#[test]
fn before_the_device_tree_is_read() -> Result<()> {
    for width in [33, 41, 48, 52] {
        for launch in [qemu(), kvmtool(), kvmtool().option("uart=0x02000000")] {
            stops(&launch.width(width), "rsi=2.0-2.1", "realm: RSI: the RMM has RSI 2.1 to 2.1 only")?;
        }
    }
    for launch in [qemu(), kvmtool()] {
        stops(&launch, "width=52", "realm: IPA width of 52 bits: this firmware has page tables for 32 to 48")?;
        stops(&launch, "align=0x1800", "realm: the host converts memory in pieces of 0x1800 bytes")?;
    }
    Ok(())
}

/// Before there is memory for a stack, and after.
#[test]
fn refused_memory() -> Result<()> {
    let keeps = "RSI_IPA_STATE_SET: the host keeps back the memory of the firmware itself";
    for launch in [qemu(), qemu().width(52), kvmtool()] {
        stops(&launch, "ripas=reject:0", keeps)?;
        stops(&launch, "ripas=stall:0", keeps)?;
        // Pages larger than the firmware's own.
        stops(&launch, "align=64M", keeps)?;
    }
    stops(&qemu(), "ripas=reject:1", "RIPAS of RAM at 0x40000000..0x60000000: host rejected the change")?;
    stops(&qemu(), "ripas=reject:1+256", "host rejected the change at 0x40100000")?;
    stops(&qemu(), "ripas=stall:1", "RIPAS of RAM at 0x40000000..0x60000000: no progress at 0x40000000")?;
    stops(&qemu(), "ripas=stall:2", "RIPAS of shared memory at ")?;
    stops(&kvmtool(), "ripas=reject:1", "RIPAS of RAM at 0x80000000..0xa0000000: host rejected the change")
}

#[test]
fn memory_that_is_gone() -> Result<()> {
    stops(&qemu(), "destroy=0x48000000@6", "RIPAS of RAM at 0x40000000..0x60000000: no progress at 0x48000000")?;
    stops(&qemu(), "device=0x48000000+4096", "RIPAS of RAM at 0x40000000..0x60000000: no progress at 0x48000000")?;
    // The tree itself was never there.
    stops(&qemu().option("rmm=2.0"), "empty=0x40000000+64K", "device tree at 0x40000000: RIPAS of device tree at")
}

#[test]
fn trees_that_lie() -> Result<()> {
    stops(&qemu(), "dtb=overlap", "device tree: /memory and /memory overlap at ")?;
    stops(&qemu(), "dtb=uart", "device tree: /memory and stdout-path overlap at 0x40000000")?;
    stops(&qemu(), "dtb=size", "device tree at 0x40000000: device tree totalsize 0x7fffffff is above 2 MiB")?;
    stops(&kvmtool(), "dtb=size", "totalsize 0x7fffffff is above 2 MiB")?;
    stops(&kvmtool(), "dtb=overlap", "device tree: /memory and /memory overlap at ")?;
    // The host makes RAM of what is none, but there is nothing to share.
    stops(&qemu(), "dtb=memory", "realm: the host does not answer an access to shared memory at 0x7f8")?;
    let wide = "memory: RAM at 0x40000000..0x1c0000000 ends beyond the protected half of the IPA space, 0x100000000";
    stops(&qemu().ram_mib(3072), "dtb=memory", wide)
}

/// A directory that says a file is larger than any that is taken: it is not taken, and the boot goes on without.
#[test]
fn files_with_other_sizes() -> Result<()> {
    let realm = Realm::firmware(workspace::image()).option("fw-cfg-size=bootorder:0x7fffffff");
    let ended = realm.run(LIMIT)?;
    let said = ended.printed("realmfw: warning: bootorder: 2147483647 bytes are more than ").is_some();
    let last = ended.printed("realmfw: error: nothing to boot").is_some();
    ensure!(said && last && ended.status() == Some(end::OFF), "{}", ended.report());
    Ok(())
}

/// Interrupts without end, RAM that is EMPTY in part and changes piece by piece, a file that changes after it was read,
/// devices that write after they are done, and an image that is not the owner's: a program runs through all the same,
/// the log gives the registers, and the RIM shows the image.
#[test]
fn what_a_boot_survives() -> Result<()> {
    const LOG_LEVEL: &str = "opt/org.realmfw/log";
    let realm = Realm::firmware(workspace::image()).kernel(workspace::uefi_walk()).option("rmm=2.0");
    let realm = realm.arg("-fw_cfg").arg(format!("name={LOG_LEVEL},string=error"));
    let honest = stops_as(&realm.clone().option("dtb=size"), "totalsize")?;
    let options = [
        "irq-storm=5",
        "empty=0x48000000+1M",
        "ripas=partial:8192",
        "late-dma",
        // A byte of the image's header that nothing reads.
        "tamper=40",
    ];
    let realm = options.into_iter().fold(realm, Realm::option).option(format!("fw-cfg-change={LOG_LEVEL}"));
    let memory = MemoryFile::new();
    let ended = realm.memory_file(memory.path()).run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let verdict = Verdict::parse(&ended.finished.console)?;
        ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
        shared::nothing_is_left(&memory, b"realmfw")?;
        for did in ["fires without end", "0x48000000..0x48100000 EMPTY", " only", "after its DMA was done", "tampered"]
        {
            ensure!(ended.log.lines().any(|line| line.starts_with("host: ") && line.contains(did)), "no {did:?}");
        }
        ensure!(ended.rim().is_some() && ended.rim() != honest.rim(), "the RIM does not show the image");
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()?;
        let level = Hasher::digest(Algorithm::Sha256, CpuHash::detect(), b"error").to_string();
        let measured = evidence.measured()?;
        ensure!(measured.iter().any(|(_, digest, _)| *digest == level), "{LOG_LEVEL} is not as it was first");
        anyhow::Ok(())
    })()
    .with_context(|| ended.report())
}

/// PCI functions whose registers lie, each in its way, before one that does not: each is named with what is wrong, or is
/// none that is looked for, and the last boots.
#[test]
fn pci_functions_that_lie() -> Result<()> {
    const MODERN: &str = "disable-legacy=on,iommu_platform=on";
    let disk = std::env::temp_dir().join(format!("realm-pci-{}.img", std::process::id()));
    fs::write(&disk, Volume::new(&fs::read(workspace::uefi_walk())?)?.on_gpt())?;
    let legacy = "legacy device: no VIRTIO_F_VERSION_1";
    let nowhere = "no registers: not within a BAR";
    let lies = [
        ("circle", &[legacy][..]),
        ("changes", &[legacy]),
        ("gone", &[legacy]),
        ("header", &[nowhere]),
        ("functions", &[nowhere; 8]),
        ("bridges", &[]),
        ("bars", &[nowhere]),
        ("no-size", &[nowhere]),
        ("huge", &[nowhere]),
        ("outside", &[nowhere]),
        // Only a SCSI host has queues that are not notified at offset 0.
        ("multiplier", &["no registers: queue_notify_off"]),
    ];
    let mut realm = Realm::firmware(workspace::image());
    let mut expected = Vec::new();
    for (slot, (lie, said)) in (1..).zip(&lies) {
        realm = if *lie == "multiplier" {
            realm.arg("-device").arg(format!("virtio-scsi-pci,addr={slot:x},{MODERN}"))
        } else {
            realm
                .arg("-drive")
                .arg(format!("if=none,id=lie{slot},format=raw,read-only=on,file={}", disk.display()))
                .arg("-device")
                .arg(format!("virtio-blk-pci,drive=lie{slot},addr={slot:x},{MODERN}"))
        };
        realm = realm.option(format!("pci={slot}:{lie}"));
        expected
            .extend((0..).zip(*said).map(|(function, said)| format!("virtio at PCI 0/{slot:x}.{function}: {said}")));
    }
    let ended = realm.disk(&disk).run(LIMIT);
    fs::remove_file(&disk)?;
    let ended = ended?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let console = &ended.finished.console;
        let said = console.lines().filter_map(|line| Some(&line[line.find("virtio at ")?..]));
        ensure!(said.eq(expected.iter().map(String::as_str)), "not {expected:#?}");
        ensure!(Verdict::parse(console)?.all_passed(), "the last disk does not boot");
        Ok(())
    })()
    .with_context(|| ended.report())
}
