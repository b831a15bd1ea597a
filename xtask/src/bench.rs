//! `cargo xtask bench`: realmfw beside EDK2 and QEMU's own loader, on the same machine with the same
//! kernel and initrd.

pub mod count;
mod disks;
mod profile;
pub mod realm;
mod table;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use vm::workspace::{self, Kernel};
use vm::{Checks, End, Machine, Verdict, Vm};

use self::count::{Counts, Entry};
use self::profile::Profile;
use self::table::Goal;
use crate::fetch::{self, Item};
use crate::tools::{self, Setup};
use crate::{image, initramfs};

/// The initrd's size in bytes: that of an ordinary distribution's.
const INITRD_SIZE: usize = 20_000_000;

/// The RAM of the machine in MiB.
const MEMORY_MIB: u64 = 1024;

/// No boot of these takes as long.
const LIMIT: Duration = Duration::from_secs(120);

/// The line with which Linux' EFI stub begins.
const STUB_LINE: &str = "EFI stub: Booting Linux Kernel";

/// The first line of Linux' log.
const FIRST_LINE: &str = "Booting Linux on physical CPU";

/// The console is the same serial port everywhere. Without earlycon Linux' first line would come only
/// when its driver has started.
const EARLYCON: &str = "earlycon=pl011,0x9000000";

/// The options of `cargo xtask bench`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setup: Setup,
    /// How many boots the wall times are medians of
    #[arg(long, default_value_t = 7)]
    runs: usize,
    /// How many functions of the firmware to list
    #[arg(long, default_value_t = 12)]
    functions: usize,
    /// Print the results and leave docs/performance.md as it is
    #[arg(long)]
    dry_run: bool,
    /// Measure one part only, as with --dry-run
    #[arg(long, value_enum)]
    only: Option<Part>,
}

/// A part of the page.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Part {
    /// Kernel and initrd in fw_cfg, in a plain VM
    Direct,
    /// The same in a realm
    Realm,
    /// From disk
    Disk,
}

impl Part {
    const ALL: [Part; 3] = [Part::Direct, Part::Realm, Part::Disk];

    fn measure(self, options: &Options) -> Result<(String, Vec<Goal>)> {
        match self {
            Part::Direct => direct(options),
            Part::Realm => {
                let all = realm::measure()?;
                Ok((realm::table(&all, options.functions), realm::goals(&all)))
            }
            Part::Disk => {
                let disks = disks::measure(options)?;
                Ok((disks.table(), disks.goals()))
            }
        }
    }

    fn heading(self) -> &'static str {
        match self {
            Part::Direct => "Direct boot",
            Part::Realm => "In a realm",
            Part::Disk => "From disk",
        }
    }
}

/// What starts the kernel.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Loader {
    /// This firmware.
    Realmfw,
    /// Debian's EDK2.
    Edk2,
    /// No firmware: QEMU puts kernel and initrd into RAM and enters the kernel, without EFI.
    Qemu,
}

impl Loader {
    const ALL: [Loader; 3] = [Loader::Realmfw, Loader::Edk2, Loader::Qemu];

    fn image(self) -> Option<PathBuf> {
        match self {
            Loader::Realmfw => Some(workspace::image()),
            Loader::Edk2 => Some(workspace::edk2()),
            Loader::Qemu => None,
        }
    }
}

/// What was measured of one loader.
pub struct Results {
    loader: Loader,
    image_size: Option<u64>,
    counts: Option<Counts>,
    to_stub: Vec<Duration>,
    to_first_line: Vec<Duration>,
    mem_total_kib: u64,
}

impl Results {
    /// Boots to the stub's first line and to Linux' own, and notes the times.
    fn time(&mut self, initrd: &PathBuf) -> Result<()> {
        if self.loader != Loader::Qemu {
            // The stub says nothing of itself unless it is asked to, which takes its time: the two
            // lines are of different boots.
            let line = format!("{EARLYCON} efi=debug");
            let machine = machine(self.loader, initrd).append(line);
            self.to_stub.push(until(machine, STUB_LINE)?);
        }
        let machine = machine(self.loader, initrd).append(EARLYCON);
        self.to_first_line.push(until(machine, FIRST_LINE)?);
        Ok(())
    }
}

/// Measures and writes the tables.
pub fn bench(options: &Options) -> Result<()> {
    ensure!(options.runs > 0, "it takes at least one run");
    tools::ensure(&tools::EMULATOR, options.setup)?;
    fetch::ensure(&Item::ALL, options.setup)?;
    image::build()?;
    count::build_plugin()?;
    let (mut text, mut goals) = (String::new(), Vec::new());
    for part in Part::ALL.into_iter().filter(|part| options.only.is_none_or(|only| only == *part)) {
        let (table, its_goals) = part.measure(options)?;
        text.push_str(&format!("### {}\n\n{table}\n", part.heading()));
        goals.extend(its_goals);
    }
    println!("\n{text}");
    if !options.dry_run && options.only.is_none() {
        table::insert(&workspace::root().join("docs/performance.md"), &text)?;
    }
    goals.iter().for_each(Goal::say);
    Ok(())
}

/// Direct boot in a plain VM.
fn direct(options: &Options) -> Result<(String, Vec<Goal>)> {
    initramfs::build(Kernel::Linux7)?;
    let initrd = workspace::target().join("initramfs-bench.cpio");
    let mut content = fs::read(Kernel::Linux7.initrd())?;
    pad(&mut content, INITRD_SIZE)?;
    fs::write(&initrd, content)?;

    let mut all = Vec::new();
    for loader in Loader::ALL {
        eprintln!("counting {loader:?}");
        all.push(measure(loader, &initrd)?);
    }
    // In turn, so that whatever else the machine does falls on all of them.
    for run in 1..=options.runs {
        eprintln!("timing, {run} of {}", options.runs);
        for one in &mut all {
            one.time(&initrd)?;
        }
    }
    let versions = table::Versions {
        qemu: qemu_version()?,
        kernel: manifest("linux-7", "linux-image-")?,
        edk2: manifest("edk2", "qemu-efi-aarch64_")?,
    };
    let mut text = table::table(&all, &versions, options.runs);
    let realmfw = all.iter().find(|one| one.loader == Loader::Realmfw);
    if let Some(counts) = realmfw.and_then(|one| one.counts.as_ref()) {
        let profile = Profile::new(counts, &workspace::elf(), &workspace::image())?;
        text.push_str("\nWhere realmfw's instructions go:\n\n");
        text.push_str(&profile.table(options.functions));
    }
    Ok((text, table::goals(&all)?))
}

/// Fills a file up behind its end with zeros, which nobody minds.
fn pad(file: &mut Vec<u8>, size: usize) -> Result<()> {
    ensure!(file.len() <= size, "a file of {} bytes is larger than {size}", file.len());
    file.resize(size, 0);
    Ok(())
}

fn machine(loader: Loader, initrd: &PathBuf) -> Machine {
    let machine = Machine::new().memory_mib(MEMORY_MIB).kernel(Kernel::Linux7.image()).initrd(initrd);
    match loader.image() {
        Some(image) => machine.firmware(image),
        None => machine,
    }
}

/// Everything but the times.
fn measure(loader: Loader, initrd: &PathBuf) -> Result<Results> {
    let counts = match loader {
        Loader::Qemu => None,
        _ => {
            let entry = Entry::pe(&fs::read(Kernel::Linux7.image())?)?;
            Some(count::count(machine(loader, initrd).append(EARLYCON), &entry)?)
        }
    };
    let checks = Checks { end: End::Poweroff, cpus: 1, memory_mib: MEMORY_MIB, el2: false };
    let checked = machine(loader, initrd).append(checks.command_line(""));
    let finished = Vm::start(&checked, LIMIT)?.wait()?;
    // Whether the checks hold is the tests' business: two of the three are not under test.
    let verdict = Verdict::parse(&finished.console).with_context(|| format!("{loader:?}\n{}", finished.report()))?;
    let mem_total = verdict.note("MemTotal").context("no MemTotal")?;
    let mem_total_kib = mem_total.trim_end_matches(" kB").parse()?;
    Ok(Results {
        loader,
        image_size: match loader.image() {
            Some(image) => Some(fs::metadata(image)?.len()),
            None => None,
        },
        counts,
        to_stub: Vec::new(),
        to_first_line: Vec::new(),
        mem_total_kib,
    })
}

/// The time to a line on the console.
fn until(machine: Machine, text: &str) -> Result<Duration> {
    let mut vm = Vm::start(&machine, LIMIT)?;
    vm.expect(text)?;
    Ok(vm.elapsed())
}

fn median(times: &[Duration]) -> Option<Duration> {
    let mut times = times.to_vec();
    times.sort();
    times.get(times.len() / 2).copied()
}

fn qemu_version() -> Result<String> {
    let mut command = std::process::Command::new(vm::machine::QEMU);
    let text = crate::command::output(command.arg("--version"))?;
    let words = text.split_whitespace();
    Ok(words.skip_while(|word| *word != "version").nth(1).unwrap_or("?").to_owned())
}

/// The version of a fetched package, out of the name of its file.
fn manifest(item: &str, package: &str) -> Result<String> {
    let path = workspace::cache().join(item).join("manifest");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let line = text.lines().find(|line| line.starts_with(package));
    let version = line.and_then(|line| line.split('_').nth(1));
    Ok(version.unwrap_or("?").to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one() {
        let times = [5, 1, 9].map(Duration::from_secs);
        assert_eq!(median(&times), Some(Duration::from_secs(5)));
        assert_eq!(median(&[]), None);
    }
}
