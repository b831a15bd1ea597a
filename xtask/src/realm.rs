//! `cargo xtask run`: a realm in the model RMM, and what its tests need.

mod summary;

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::Args;
use realm_vm::{KERNEL, Realm, check_words};
use vm::{Verdict, Vm, workspace};

use crate::bench::count::{Beside, Entry};
use crate::bench::realm::Model;
use crate::initramfs::{self, Archive, module};
use crate::{command, file, image, tools};

/// EL2 and the payload use no floating point, so that the realm's registers stay what they are.
const TARGET: &str = "aarch64-unknown-none-softfloat";

/// The modules that Linux needs for its checks in a realm.
const MODULES: [&str; 6] = ["configfs", "efivarfs", "tsm_report", "arm_cca_guest", "virtio_blk", "virtio_mmio"];

/// The options of a realm.
#[derive(Args)]
pub struct RealmOptions {
    /// Start the kernel in the realm without any firmware
    #[arg(long)]
    direct_kernel: bool,
    /// At the end, print the firmware's event log, and whether it gives the realm's registers
    #[arg(long)]
    events: bool,
    /// Write one line for each RSI call and its result to this file
    #[arg(long, value_name = "FILE")]
    rsi_log: Option<PathBuf>,
    /// An option of the model RMM such as `width=41` or `ripas=reject:1` (docs/model-rmm.md)
    #[arg(long = "rmm", value_name = "OPTION")]
    options: Vec<String>,
}

/// What else is to be in the realm.
pub struct Parts {
    /// The kernel.
    pub kernel: PathBuf,
    /// The initrd; none: the one with the checks.
    pub initrd: Option<PathBuf>,
    /// A disk to boot from, in the place of kernel and initrd.
    pub disk: Option<PathBuf>,
    /// The firmware; none: realmfw.
    pub firmware: Option<PathBuf>,
    /// More words for the kernel's command line.
    pub append: String,
    /// RAM of the realm in MiB.
    pub memory_mib: u64,
    /// The number of CPUs.
    pub cpus: u32,
    /// The time limit of the checks; none: interactive.
    pub limit: Option<Duration>,
    /// More arguments for QEMU.
    pub qemu: Vec<std::ffi::OsString>,
}

/// Builds the model RMM and the conformance payload.
pub fn build() -> Result<()> {
    tools::ensure_target(TARGET)?;
    // One after the other: cargo would give both the features that the model needs of `rsi`.
    for package in ["model-rmm", "realm-conformance"] {
        let mut cargo = command::cargo();
        cargo.args(["build", "--quiet", "--release", "--target", TARGET, "--package", package]);
        command::run(&mut cargo)?;
    }
    let built = |name: &str| {
        let path = workspace::target().join(TARGET).join("release").join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    };
    file::replace(&realm_vm::model(), &built("model-rmm")?)?;
    file::replace(&realm_vm::conformance(), &image::flat(&built("realm-conformance")?)?)
}

/// Builds the initramfs for a realm: that of the plain machine, and on top of it another first
/// process, the checks of a realm, and the modules they need.
pub fn build_initramfs() -> Result<()> {
    initramfs::build(KERNEL)?;
    let mut archive = Archive::new();
    for dir in ["bin", "realm-modules"] {
        archive.dir(dir);
    }
    for module in module::with_dependencies(&KERNEL.modules(), &MODULES)? {
        archive.file(&format!("realm-modules/{}", module.file_name), 0o644, &module.content);
    }
    let scripts = workspace::root().join("tests/realm/init");
    archive.file("init", 0o755, &fs::read(scripts.join("init"))?);
    archive.file("bin/realm-check", 0o755, &fs::read(scripts.join("realm-check"))?);
    let mut whole = fs::read(KERNEL.initrd())?;
    whole.resize(whole.len().next_multiple_of(512), 0);
    whole.extend(archive.finish());
    file::replace(&realm_vm::initrd(), &whole)
}

/// Starts a realm.
pub fn run(options: &RealmOptions, parts: &Parts) -> Result<ExitCode> {
    build()?;
    let initrd = match &parts.initrd {
        Some(initrd) => initrd.clone(),
        None => {
            build_initramfs()?;
            realm_vm::initrd()
        }
    };
    let mut realm = if options.direct_kernel {
        Realm::direct_kernel(&parts.kernel)
    } else {
        let firmware = match &parts.firmware {
            Some(firmware) => firmware.clone(),
            None => {
                image::build()?;
                workspace::image()
            }
        };
        let realm = Realm::firmware(firmware);
        match &parts.disk {
            Some(disk) => realm.disk(disk),
            None => realm.kernel(&parts.kernel),
        }
    };
    let checks = match parts.limit {
        Some(_) => format!("{} ", check_words(parts.cpus, &[])),
        None => String::new(),
    };
    let log = workspace::target().join("realm.log");
    if parts.disk.is_none() {
        realm = realm.initrd(initrd).append(format!("{checks}{}", parts.append));
    }
    realm = realm.ram_mib(parts.memory_mib).cpus(parts.cpus).log_to(options.rsi_log.as_ref().unwrap_or(&log));
    if options.rsi_log.is_some() {
        realm = realm.option("log");
    }
    for option in &options.options {
        match option.strip_prefix("width=").and_then(|width| width.parse().ok()) {
            Some(width) => realm = realm.width(width),
            None => realm = realm.option(option),
        }
    }
    for argument in &parts.qemu {
        realm = realm.arg(argument);
    }
    let counter = if options.direct_kernel { None } else { counter(parts)? };
    if let Some(counter) = &counter {
        realm = counter.arguments().into_iter().fold(realm, Realm::arg);
    }
    let Ended { elapsed, console, how } = match parts.limit {
        Some(limit) => headless(&realm, limit)?,
        None => interactive(&realm)?,
    };
    let counts = counter.and_then(Beside::counts);
    let instructions = counts.map(|counts| anyhow::Ok(Model::load()?.leave_out(counts)?.total())).transpose()?;
    let spent = summary::Spent { elapsed, instructions };
    let verified = summary::print(&realm.model_log(), &console, &spent, options.events)?;
    match how.and(verified.map_err(|why| Failure { status: 1, why })) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(Failure { status, why }) => {
            eprintln!("{why}");
            Ok(ExitCode::from(status))
        }
    }
}

/// A counter of instructions up to the entry of the kernel, where that is known and QEMU can count.
fn counter(parts: &Parts) -> Result<Option<Beside>> {
    let kernel = fs::read(&parts.kernel).with_context(|| format!("cannot read {}", parts.kernel.display()))?;
    // Another file than an arm64 Image has no entry that is known.
    Entry::linux(&kernel).ok().map_or(Ok(None), |entry| Beside::new(&entry))
}

/// A realm that ended.
struct Ended {
    elapsed: Duration,
    /// What it printed, as far as that was not for the terminal alone.
    console: String,
    /// Why that is no success.
    how: Result<(), Failure>,
}

/// An end that is no success.
struct Failure {
    /// The exit status: the model's where it tells how the realm ended, or 1.
    status: u8,
    why: String,
}

fn interactive(realm: &Realm) -> Result<Ended> {
    println!("(Ctrl-A X ends the emulator, Ctrl-A C switches to its monitor)");
    let started = Instant::now();
    loop {
        let status = realm.machine().command("mon:stdio").status().context("cannot start QEMU")?;
        if status.code() == Some(realm_vm::end::RESET) {
            // A realm ends with its reset; its host starts it anew.
            println!("(the realm starts anew)");
            continue;
        }
        let how = if status.success() { Ok(()) } else { Err(did_not_power_off(realm, status)) };
        return Ok(Ended { elapsed: started.elapsed(), console: String::new(), how });
    }
}

fn did_not_power_off(realm: &Realm, status: ExitStatus) -> Failure {
    Failure {
        status: status.code().and_then(|status| u8::try_from(status).ok()).unwrap_or(1),
        why: format!("the realm did not power off: {}", realm.last_logged().unwrap_or_default()),
    }
}

fn headless(realm: &Realm, limit: Duration) -> Result<Ended> {
    let vm = Vm::start_with(&realm.machine(), limit, |bytes| {
        let mut output = io::stdout().lock();
        // Nobody may be listening any more, which is no reason to stop the checks.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    })?;
    let finished = vm.wait()?;
    let how = if finished.status.success() {
        let verdict = Verdict::parse(&finished.console)?;
        for failed in &verdict.failed {
            eprintln!("failed: {failed}");
        }
        if verdict.all_passed() {
            println!("all {} checks held", verdict.passed.len());
            Ok(())
        } else {
            Err(Failure { status: 1, why: format!("{} checks failed", verdict.failed.len()) })
        }
    } else {
        Err(did_not_power_off(realm, finished.status))
    };
    Ok(Ended { elapsed: finished.elapsed, console: finished.console, how })
}
