//! Realms in the model RMM: the QEMU command line that starts one, its log, its end.
//!
//! The tests are in `tests/all`; start them with `cargo xtask test --only realm`, which builds
//! what they need.

mod description;
pub mod evidence;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use vm::workspace::{self, Kernel};
use vm::{Finished, Machine, Vm};

/// The model RMM, an ELF file.
pub fn model() -> PathBuf {
    workspace::target().join("model-rmm.elf")
}

/// The conformance payload, a flat arm64 Image.
pub fn conformance() -> PathBuf {
    workspace::target().join("realm-conformance.bin")
}

/// The initramfs with the checks that Linux makes in a realm.
pub fn initrd() -> PathBuf {
    workspace::target().join("initramfs-realm.cpio")
}

/// The kernel that boots in a realm.
pub const KERNEL: Kernel = Kernel::Linux7;

/// How a realm ended: QEMU's exit status (`End` in the model).
pub mod end {
    /// PSCI_SYSTEM_OFF.
    pub const OFF: i32 = 0;
    /// PSCI_SYSTEM_RESET.
    pub const RESET: i32 = 10;
    /// An exit that the host cannot resolve.
    pub const FAULT: i32 = 11;
    /// All RECs wait and nothing can wake them.
    pub const DEADLOCK: i32 = 12;
    /// The model cannot do what it is asked to.
    pub const MODEL: i32 = 13;
}

/// What the realm is made of.
#[derive(Clone, Debug)]
enum Payload {
    Kernel(PathBuf),
    Firmware(PathBuf),
    Kvmtool(PathBuf),
}

/// A realm that has not been started.
#[derive(Clone, Debug)]
pub struct Realm {
    payload: Payload,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    append: Option<String>,
    width: u32,
    ram_mib: u64,
    cpus: u32,
    options: Vec<String>,
    log: PathBuf,
    memory: Option<PathBuf>,
    args: Vec<OsString>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl Realm {
    fn new(payload: Payload) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self {
            payload,
            kernel: None,
            initrd: None,
            append: None,
            width: 33,
            ram_mib: 512,
            cpus: 1,
            options: Vec::new(),
            log: std::env::temp_dir().join(format!("realm-{}-{number}.log", process::id())),
            memory: None,
            args: Vec::new(),
        }
    }

    /// A realm that starts with an arm64 Image, without firmware.
    pub fn direct_kernel(image: impl AsRef<Path>) -> Self {
        Self::new(Payload::Kernel(image.as_ref().to_path_buf()))
    }

    /// A realm that starts with a firmware at address 0, as QEMU does with `-bios`.
    pub fn firmware(image: impl AsRef<Path>) -> Self {
        Self::new(Payload::Firmware(image.as_ref().to_path_buf()))
    }

    /// A realm that starts with a firmware at the start of RAM, as kvmtool does.
    pub fn kvmtool(image: impl AsRef<Path>) -> Self {
        Self::new(Payload::Kvmtool(image.as_ref().to_path_buf()))
    }

    /// The kernel that the firmware finds in fw_cfg.
    pub fn kernel(mut self, image: impl AsRef<Path>) -> Self {
        self.kernel = Some(image.as_ref().to_path_buf());
        self
    }

    /// The initrd: measured when the kernel is direct, in fw_cfg when there is a firmware.
    pub fn initrd(mut self, image: impl AsRef<Path>) -> Self {
        self.initrd = Some(image.as_ref().to_path_buf());
        self
    }

    /// The kernel's command line.
    pub fn append(mut self, line: impl Into<String>) -> Self {
        self.append = Some(line.into());
        self
    }

    /// IPA width in bits.
    pub fn width(mut self, width: u32) -> Self {
        self.width = width;
        self
    }

    /// RAM of the realm in MiB.
    pub fn ram_mib(mut self, ram_mib: u64) -> Self {
        self.ram_mib = ram_mib;
        self
    }

    /// The number of CPUs.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// One more option of the model, such as `hash=sha-512` or `ripas=reject`.
    pub fn option(mut self, option: impl Into<String>) -> Self {
        self.options.push(option.into());
        self
    }

    /// Where the model writes its log.
    pub fn log_to(mut self, log: impl AsRef<Path>) -> Self {
        self.log = log.as_ref().to_path_buf();
        self
    }

    /// The model's log so far.
    pub fn model_log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The last line of the model's log: how the realm ended.
    pub fn last_logged(&self) -> Option<String> {
        fs::read_to_string(&self.log).ok()?.lines().last().map(str::to_owned)
    }

    /// Leaves QEMU's RAM behind in a file.
    pub fn memory_file(mut self, path: impl AsRef<Path>) -> Self {
        self.memory = Some(path.as_ref().to_path_buf());
        self
    }

    /// One more argument for QEMU.
    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    /// A disk on PCIe.
    pub fn disk(self, image: &Path) -> Self {
        self.arg("-drive")
            .arg(format!("if=none,id=disk,format=raw,snapshot=on,file={}", image.display()))
            .arg("-device")
            .arg("virtio-blk-pci,drive=disk,disable-legacy=on,iommu_platform=on")
    }

    /// A disk behind virtio-scsi-pci.
    pub fn scsi_disk(self, image: &Path) -> Self {
        self.arg("-drive")
            .arg(format!("if=none,id=scsi-disk,format=raw,snapshot=on,file={}", image.display()))
            .arg("-device")
            .arg("virtio-scsi-pci,id=scsi,disable-legacy=on,iommu_platform=on")
            .arg("-device")
            .arg("scsi-hd,drive=scsi-disk,bus=scsi.0,scsi-id=2,lun=1")
    }

    /// A namespace of an NVMe controller.
    pub fn nvme_disk(self, image: &Path) -> Self {
        self.arg("-drive")
            .arg(format!("if=none,id=nvme-disk,format=raw,snapshot=on,file={}", image.display()))
            .arg("-device")
            .arg("nvme,serial=1,drive=nvme-disk")
    }

    /// A disk on virtio-mmio.
    pub fn mmio_disk(self, image: &Path) -> Self {
        self.arg("-global")
            .arg("virtio-mmio.force-legacy=false")
            .arg("-drive")
            .arg(format!("if=none,id=mmio-disk,format=raw,snapshot=on,file={}", image.display()))
            .arg("-device")
            .arg("virtio-blk-device,drive=mmio-disk,iommu_platform=on")
    }

    /// The option string, word by word.
    fn words(&self) -> Vec<String> {
        let path = |path: &Path| path.display().to_string();
        let mut words = vec!["model-rmm".to_owned()];
        words.push(format!("width={}", self.width));
        words.push(format!("ram={}M", self.ram_mib));
        words.extend(self.options.iter().cloned());
        match &self.payload {
            Payload::Firmware(image) => words.push(format!("firmware={}", path(image))),
            Payload::Kvmtool(image) => words.push(format!("kvmtool={}", path(image))),
            Payload::Kernel(image) => {
                words.push(format!("kernel={}", path(image)));
                words.extend(self.initrd.iter().map(|initrd| format!("initrd={}", path(initrd))));
                // The model takes the rest of the string for the command line.
                words.extend(self.append.iter().map(|append| format!("append={append}")));
            }
        }
        words
    }

    /// The machine that the realm and its model run in.
    pub fn machine(&self) -> Machine {
        // Up to 16 GiB the shared alias has RAM of its own, which devices reach by the shared bit;
        // beyond, they use canonical addresses. Only what is touched is ever backed.
        let alias_mib = match self.width {
            width @ ..=35 => 1 << (width - 1 - 20),
            _ => 0,
        };
        let memory_mib = alias_mib.max(8192) + 2 * self.ram_mib;
        let mut config = "enable=on,target=native,chardev=realm-log".to_owned();
        for word in self.words() {
            config.push_str(",arg=");
            config.push_str(&word.replace(',', ",,"));
        }
        let log = format!("file,id=realm-log,path={}", self.log.display());
        let mut machine = Machine::new()
            .machine("virt,virtualization=on,gic-version=3,its=off,dtb-randomness=off")
            .cpu("max,pauth-impdef=on")
            .cpus(self.cpus)
            .memory_mib(memory_mib)
            .unreserved_memory()
            .args(["-chardev", &log, "-semihosting-config", &config, "-device"])
            .arg(format!("loader,file={},cpu-num=0", model().display()))
            .args(&self.args);
        if let Some(file) = &self.memory {
            machine = machine.memory_file(file);
        }
        // With a firmware QEMU puts kernel, initrd and command line into fw_cfg.
        if let Payload::Firmware(image) = &self.payload {
            machine = machine.firmware(image);
            if let Some(kernel) = &self.kernel {
                machine = machine.kernel(kernel);
                if let Some(initrd) = &self.initrd {
                    machine = machine.initrd(initrd);
                }
                if let Some(append) = &self.append {
                    machine = machine.append(append);
                }
            }
        }
        machine
    }

    /// Runs the realm to its end.
    pub fn run(&self, limit: Duration) -> Result<Ended> {
        self.run_at_console(limit, |_| Ok(()))
    }

    /// Runs the realm to its end, with somebody at its console.
    pub fn run_at_console(&self, limit: Duration, person: impl FnOnce(&mut Vm) -> Result<()>) -> Result<Ended> {
        let finished = Vm::start(&self.machine(), limit).and_then(|mut vm| {
            person(&mut vm)?;
            vm.wait()
        });
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let finished = finished.with_context(|| format!("---- model ----\n{log}"))?;
        // A log that stays behind helps nobody once it is in the result.
        let _ = fs::remove_file(&self.log);
        Ok(Ended { finished, log })
    }
}

/// A realm that ended.
#[derive(Debug)]
pub struct Ended {
    /// Its console and QEMU's exit status.
    pub finished: Finished,
    /// The model's log.
    pub log: String,
}

impl Ended {
    /// QEMU's exit status: see [`end`].
    pub fn status(&self) -> Option<i32> {
        self.finished.status.code()
    }

    /// Console and log for a person to read.
    pub fn report(&self) -> String {
        format!("{}---- model ----\n{}\n", self.finished.report(), self.log.trim_end())
    }

    /// The first line of the log that begins with `start`, without it.
    pub fn logged(&self, start: &str) -> Option<&str> {
        self.log.lines().find_map(|line| line.strip_prefix(start))
    }

    /// The first line of the console that begins with `start`, without it.
    pub fn printed(&self, start: &str) -> Option<&str> {
        self.finished.console.lines().find_map(|line| line.strip_prefix(start))
    }

    /// The realm initial measurement in the log.
    pub fn rim(&self) -> Option<&str> {
        self.logged("realm: RIM ").and_then(|line| line.split_once(' ')).map(|(_, rim)| rim)
    }
}

/// The words of a command line with which the initramfs makes its checks; `disks` are the SHA-256
/// sums of the disks.
pub fn check_words(cpus: u32, disks: &[&str]) -> String {
    // Linux lets nobody look at reserved memory, where the event log is, without iomem=relaxed.
    let mut words = format!("panic=-1 iomem=relaxed realmfw.mode=check realmfw.cpus={cpus}");
    if !disks.is_empty() {
        words.push_str(&format!(" realmfw.disks={}", disks.join(",")));
    }
    words
}

/// Bytes written as hexadecimal digits.
pub fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
