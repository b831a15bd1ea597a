//! `cargo xtask run`: Debian's kernel on the firmware.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Arg, ArgAction, Args};
use vm::machine::parse_memory;
use vm::workspace::{self, Kernel};
use vm::{Checks, End, Machine, Verdict, Vm};

use crate::fetch::{self, Item};
use crate::tools::{self, Setup};
use crate::{command, disk, image, initramfs, realm};

/// The options of `cargo xtask run`.
#[derive(Args)]
#[command(arg(in_a_realm()))]
pub struct Options {
    #[command(flatten)]
    setup: Setup,
    /// The kernel: a file, or `7` or `6.12` for Debian's
    #[arg(long, default_value = "7")]
    kernel: String,
    /// The initrd [default: a small one with a shell and the checks]
    #[arg(long)]
    initrd: Option<PathBuf>,
    /// Boot from this disk: an image, or debian, systemd-boot, uki, kernel or refind, which is built. What the guest
    /// writes to it is forgotten
    #[arg(long, value_name = "DISK", conflicts_with_all = ["kernel", "initrd", "direct_kernel"])]
    disk: Option<String>,
    /// More words for the kernel's command line
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    append: String,
    /// The size of RAM
    #[arg(long, default_value = "1G")]
    memory: String,
    /// The number of CPUs
    #[arg(long, default_value_t = 1)]
    smp: u32,
    /// QEMU's machine type and its options, of a plain VM
    #[arg(long, default_value = "virt,gic-version=3", requires = "plain")]
    machine: String,
    /// QEMU's CPU model, of a plain VM
    #[arg(long, default_value = "max", requires = "plain")]
    cpu: String,
    /// Another firmware in the place of realmfw, such as EDK2's QEMU_EFI.fd
    #[arg(long)]
    firmware: Option<PathBuf>,
    /// Run in a plain VM instead of a realm
    #[arg(long, conflicts_with_all = ["direct_kernel", "events", "rsi_log", "options"])]
    plain: bool,
    #[command(flatten)]
    realm: realm::RealmOptions,
    /// Take no input; run the checks of the initramfs, power off, and say whether all held
    #[arg(long)]
    headless: bool,
    /// How many seconds the checks may take
    #[arg(long, default_value_t = 300)]
    time_limit: u64,
    /// More arguments for QEMU
    #[arg(last = true)]
    qemu: Vec<OsString>,
}

/// What holds without it.
fn in_a_realm() -> Arg {
    Arg::new("in_a_realm")
        .long("realm")
        .action(ArgAction::SetTrue)
        .conflicts_with("plain")
        .help("Run in a realm, as is the rule")
}

/// Sets up what is needed and boots.
pub fn run(options: &Options) -> Result<ExitCode> {
    let series = match options.kernel.as_str() {
        "7" => Some(Kernel::Linux7),
        "6.12" => Some(Kernel::Linux6_12),
        _ => None,
    };
    tools::ensure(&tools::EMULATOR, options.setup)?;
    let mut items: Vec<_> = series.map(Item::Kernel).into_iter().collect();
    if options.initrd.is_none() {
        // The modules come from a kernel's packages whatever kernel is booted.
        items.push(Item::Kernel(series.unwrap_or(Kernel::Linux7)));
        items.push(Item::Busybox);
    }
    fetch::ensure(&items, options.setup)?;
    let kernel = series.map_or_else(|| PathBuf::from(&options.kernel), Kernel::image);
    let disk = options.disk.as_ref().map(|disk| disk::find_or_build(disk, &disk_words(options), options.setup));
    let disk = disk.transpose()?;
    if let Some(disk) = &disk {
        ensure!(disk.is_file(), "there is no file {}", disk.display());
    }
    if !options.plain {
        return realm::run(&options.realm, &realm_parts(options, kernel, disk)?);
    }
    let initrd = match &options.initrd {
        Some(initrd) => initrd.clone(),
        None => {
            let kernel = series.unwrap_or(Kernel::Linux7);
            initramfs::build(kernel)?;
            kernel.initrd()
        }
    };
    let firmware = match &options.firmware {
        Some(firmware) => firmware.clone(),
        None => {
            image::build()?;
            workspace::image()
        }
    };
    for file in [&kernel, &initrd, &firmware] {
        ensure!(file.is_file(), "there is no file {}", file.display());
    }
    let memory_mib =
        parse_memory(&options.memory).with_context(|| format!("{:?} is no size of RAM", options.memory))?;
    let machine = Machine::new()
        .machine(&options.machine)
        .cpu(&options.cpu)
        .cpus(options.smp)
        .memory_mib(memory_mib)
        .firmware(firmware)
        .args(&options.qemu);
    let machine = match &disk {
        Some(disk) => {
            let drive = format!("if=none,id=disk,format=raw,snapshot=on,file={}", disk.display());
            machine.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"])
        }
        None => machine.kernel(kernel).initrd(initrd),
    };
    match options.headless {
        true => headless(machine, memory_mib, options),
        false => interactive(machine, options),
    }
}

/// What the kernel of a disk that is built for this run finds on its command line.
fn disk_words(options: &Options) -> String {
    let checks = if options.headless { "realmfw.mode=check realmfw.loader=disk panic=-1 " } else { "" };
    format!("{checks}{}", options.append)
}

fn realm_parts(options: &Options, kernel: PathBuf, disk: Option<PathBuf>) -> Result<realm::Parts> {
    let memory_mib = parse_memory(&options.memory);
    Ok(realm::Parts {
        kernel,
        disk,
        initrd: options.initrd.clone(),
        firmware: options.firmware.clone(),
        append: options.append.clone(),
        memory_mib: memory_mib.with_context(|| format!("{:?} is no size of RAM", options.memory))?,
        cpus: options.smp,
        limit: options.headless.then(|| Duration::from_secs(options.time_limit)),
        qemu: options.qemu.clone(),
    })
}

fn interactive(machine: Machine, options: &Options) -> Result<ExitCode> {
    let machine = if options.disk.is_some() { machine } else { machine.append(&options.append) }.reboots();
    println!("(Ctrl-A X ends the emulator, Ctrl-A C switches to its monitor)");
    command::run(&mut machine.command("mon:stdio"))?;
    Ok(ExitCode::SUCCESS)
}

fn headless(machine: Machine, memory_mib: u64, options: &Options) -> Result<ExitCode> {
    let checks = Checks {
        end: End::Poweroff,
        cpus: options.smp,
        memory_mib,
        el2: options.machine.contains("virtualization=on"),
    };
    let machine = match options.disk {
        Some(_) => machine,
        None => machine.append(checks.command_line(&options.append)),
    };
    let limit = Duration::from_secs(options.time_limit);
    let vm = Vm::start_with(&machine, limit, |bytes| {
        let mut output = io::stdout().lock();
        // Nobody may be listening any more, which is no reason to stop the checks.
        let _ = output.write_all(bytes).and_then(|()| output.flush());
    })?;
    let finished = vm.wait()?;
    let verdict = finished
        .status
        .success()
        .then(|| Verdict::parse(&finished.console))
        .context("QEMU failed")
        .and_then(|verdict| verdict);
    match verdict {
        Ok(verdict) if verdict.all_passed() => {
            println!("all {} checks held", verdict.passed.len());
            Ok(ExitCode::SUCCESS)
        }
        Ok(verdict) => {
            for failed in &verdict.failed {
                eprintln!("failed: {failed}");
            }
            Ok(ExitCode::FAILURE)
        }
        Err(error) => {
            eprint!("{}", finished.report());
            Err(error)
        }
    }
}
