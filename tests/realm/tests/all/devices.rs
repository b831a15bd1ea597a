//! virtio devices that are no disks, in a realm.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow, ensure};
use realm_vm::{Ended, Realm, initrd};
use vm::{entropy, workspace};

use super::efi::passes;

/// `tests/efi-check` with its checks of protocols, on a CPU that has the same random numbers in every run.
fn protocols(args: &[String]) -> Realm {
    let realm = Realm::firmware(workspace::image()).kernel(workspace::efi_check()).initrd(initrd());
    let realm = entropy::SEED.into_iter().fold(realm, Realm::arg);
    args.iter().fold(realm, Realm::arg).append("realm only=protocols stay")
}

fn random(ended: &Ended) -> Result<[u128; 2]> {
    entropy::random(&ended.finished.console).with_context(|| ended.report())
}

/// A file of random bytes, removed at the end of its test.
struct Source(PathBuf);

impl Source {
    fn new(test: &str) -> Result<Self> {
        let file = std::env::temp_dir().join(format!("realm-{test}-{}", std::process::id()));
        fs::write(&file, [entropy::BYTE; 4096])?;
        Ok(Self(file))
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn on_mmio(source: &Source, slot: u32) -> Vec<String> {
    let device = format!("virtio-rng-device,iommu_platform=on,bus=virtio-mmio-bus.{slot}");
    let modern = ["-global", "virtio-mmio.force-legacy=false"].map(String::from);
    [&modern[..], &entropy::device(&source.0, &device)].concat()
}

/// What the device gives through the pool of shared memory is added to what the CPU gives.
#[test]
fn what_an_entropy_device_gives_is_mixed_in() -> Result<()> {
    let source = Source::new("mixed")?;
    let alone = random(&passes(&protocols(&[]))?)?;
    let on_pci = entropy::device(&source.0, "virtio-rng-pci,disable-legacy=on,iommu_platform=on").to_vec();
    for args in [on_pci, on_mmio(&source, 30)] {
        let ended = passes(&protocols(&args))?;
        let [one, two] = random(&ended)?;
        ensure!([one ^ entropy::MASK[0], two ^ entropy::MASK[1]] == alone, "{args:?}: {}", ended.report());
    }
    Ok(())
}

/// Each device that breaks the protocol, or would bypass what the realm shares, is named, and nothing of it is used.
#[test]
fn hostile_entropy_devices() -> Result<()> {
    let source = Source::new("hostile")?;
    let alone = random(&passes(&protocols(&[]))?)?;
    for (lie, why) in [
        ("silent", "no answer within the time-out"),
        ("used-id", "protocol broken: used id"),
        ("used-index", "protocol broken: used index"),
        ("used-length", "protocol broken: used length"),
        ("reset", "reset never ended"),
    ] {
        let ended = passes(&protocols(&on_mmio(&source, 30)).option(format!("virtio=30:{lie}")))?;
        let named = ended.finished.console.lines().any(|line| line.contains("virtio at 0x") && line.contains(why));
        ensure!(named && random(&ended)? == alone, "{lie}: {}", ended.report());
    }
    let ended = passes(&protocols(&entropy::device(&source.0, "virtio-rng-pci,disable-legacy=on")))?;
    let named = ended.finished.console.contains("virtio at PCI 0/1.0: no VIRTIO_F_ACCESS_PLATFORM");
    ensure!(named && random(&ended)? == alone, "{}", ended.report());
    Ok(())
}

/// What is behind a console: who types, and keeps what is said.
struct Line {
    socket: PathBuf,
    output: JoinHandle<io::Result<Vec<u8>>>,
}

impl Line {
    fn new(test: &str, typed: &'static str) -> Result<Self> {
        let socket = std::env::temp_dir().join(format!("realm-{test}-{}", std::process::id()));
        let _ = fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let output = thread::spawn(move || {
            let (mut line, _) = listener.accept()?;
            line.write_all(typed.as_bytes())?;
            let mut output = Vec::new();
            line.read_to_end(&mut output).map(|_| output)
        });
        Ok(Self { socket, output })
    }

    fn device(&self, controller: &str) -> Vec<String> {
        let socket = format!("socket,id=line,path={}", self.socket.display());
        let modern = ["-global", "virtio-mmio.force-legacy=false"];
        let args = ["-chardev", &socket, "-device", controller, "-device", "virtconsole,chardev=line"];
        modern.into_iter().chain(args).map(String::from).collect()
    }

    /// What was said, after the machine's end.
    fn output(self) -> Result<String> {
        fs::remove_file(self.socket)?;
        let output = self.output.join().map_err(|_| anyhow!("the other end of the line"))??;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }
}

const CONSOLE_ON_MMIO: &str = "virtio-serial-device,iommu_platform=on,bus=virtio-mmio-bus.30";

/// `tests/efi-check`, which prints keys, with a console.
fn keys(args: &[String]) -> Realm {
    let realm = Realm::firmware(workspace::image()).kernel(workspace::efi_check()).initrd(initrd());
    args.iter().fold(realm, Realm::arg).append("realm only=keys keys=3 stay")
}

/// A console through the pool of shared memory: what programs say, and keys, of which the UART has none.
#[test]
fn a_virtio_console() -> Result<()> {
    for controller in ["virtio-serial-pci,disable-legacy=on,iommu_platform=on", CONSOLE_ON_MMIO] {
        let line = Line::new("console", "ax\x1b[A")?;
        let ended = passes(&keys(&line.device(controller)))?;
        let output = line.output()?;
        for said in ["# type 3 keys", "key scan=0x0 char=0x61", "key scan=0x0 char=0x78", "key scan=0x1 char=0x0"] {
            ensure!(ended.finished.console.contains(said), "{controller}: the UART has no {said:?}{}", ended.report());
            ensure!(output.contains(said), "{controller}: no {said:?} in\n{output}");
        }
    }
    Ok(())
}

/// Each console that breaks the protocol is named on the UART, and the boot goes on; so it does where the device does
/// wrong only after a while.
#[test]
fn hostile_consoles() -> Result<()> {
    for (lie, why) in [
        ("30:silent", "no answer within the time-out"),
        ("30:used-id", "protocol broken: used id"),
        ("30:used-index", "protocol broken: used index"),
        ("30:used-length", "protocol broken: used length"),
        ("30:reset", "reset never ended"),
        ("30:silent@6", "no answer within the time-out"),
        ("30:needs-reset@6", "DEVICE_NEEDS_RESET"),
        ("30:used-index@6", "protocol broken: used index"),
    ] {
        let line = Line::new("hostile-console", "")?;
        let ended = passes(&protocols(&line.device(CONSOLE_ON_MMIO)).option(format!("virtio={lie}")))?;
        let named = ended.finished.console.lines().any(|line| line.contains("virtio at 0x") && line.contains(why));
        ensure!(named, "{lie}: {}", ended.report());
        line.output()?;
    }
    let line = Line::new("hostile-console", "")?;
    let ended = passes(&protocols(&line.device("virtio-serial-pci,disable-legacy=on")))?;
    let named = ended.finished.console.contains("virtio at PCI 0/1.0: no VIRTIO_F_ACCESS_PLATFORM");
    ensure!(named && line.output()?.is_empty(), "{}", ended.report());
    Ok(())
}
