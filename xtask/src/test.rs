//! `cargo xtask test`: everything that can be found out without a realm.

use std::env;
use std::io::{BufRead, BufReader, Write, stderr, stdout};
use std::path::Path;
use std::process::{Command, ExitCode, ExitStatus, Output, Stdio};
use std::slice;
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::{Args, ValueEnum};
use vm::workspace;

use crate::fetch::{self, Item};
use crate::tools::{self, Setup};
use crate::{check, command, disk, emulated, fuzz, image, initramfs, realm};

/// The pure crates whose tests run under Miri, and which of their tests: those that take longest first, because two
/// threads share them.
const UNDER_MIRI: [(&str, &str); 13] = [
    ("formats", "--tests"),
    ("virtio", "--tests"),
    ("hii", "--tests"),
    ("realmfw-runtime", "--lib"),
    ("storage", "--tests"),
    ("nvme", "--tests"),
    ("uefi-core", "--lib"),
    ("pci", "--tests"),
    ("address-space", "--lib"),
    ("rsi", "--lib"),
    ("runtime-abi", "--lib"),
    ("terminal", "--lib"),
    ("heap-sort", "--lib"),
];

/// The options of `cargo xtask test`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setup: Setup,
    /// Take only these steps
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Step>,
    /// Only the QEMU tests whose names contain this
    filter: Option<String>,
}

impl Options {
    fn take(&self, step: Step) -> bool {
        self.only.is_empty() || self.only.contains(&step)
    }
}

/// A part of the tests, in the order in which they are taken.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, ValueEnum)]
enum Step {
    /// Formatting
    Fmt,
    /// Clippy, for the host and for the firmware
    Clippy,
    /// The licences of the dependencies
    Licences,
    /// The advisories about the dependencies, where the database can be had
    Advisories,
    /// The tests that run on this machine
    Host,
    /// A fixed number of inputs for each fuzz target
    Fuzz,
    /// The image
    Build,
    /// The image once more, in another folder: the same bytes
    Reproducible,
    /// What only an arm64 program can test
    Emulated,
    /// What the boots and the realms take: kernels, disks, programs
    Prepare,
    /// The host tests of the pure crates, under Miri: begun beside everything before
    Miri,
    /// Every boot
    Qemu,
    /// Every realm, under the model RMM
    Realm,
}

/// What came of a step.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    passed: u32,
    failed: u32,
}

/// Takes every step, and goes on after one that fails.
pub fn test(options: &Options) -> Result<ExitCode> {
    let mut steps = match options.only.as_slice() {
        [] => Step::value_variants().to_vec(),
        only => only.to_vec(),
    };
    steps.sort();
    steps.dedup();
    let mut miri = steps.contains(&Step::Miri).then(|| Miri::start(options.setup));
    let mut total = Tally::default();
    let mut summary = Vec::new();
    let mut unprepared = false;
    for step in steps {
        println!("\n==== {step:?}");
        let started = Instant::now();
        let result = match step {
            Step::Qemu | Step::Realm if unprepared => Err(anyhow!("what it takes could not be prepared")),
            _ => take(step, options, &mut miri),
        };
        unprepared |= step == Step::Prepare && result.is_err();
        let tally = match &result {
            Ok(tally) => *tally,
            Err(error) => {
                println!("error: {error:#}");
                Tally { passed: 0, failed: 1 }
            }
        };
        total.passed += tally.passed;
        total.failed += tally.failed;
        let nothing = if tally.passed + tally.failed == 0 { "  NOT CHECKED" } else { "" };
        summary.push(format!(
            "{:<14}{:>6} passed {:>4} failed {:>7.1} s{nothing}",
            format!("{step:?}"),
            tally.passed,
            tally.failed,
            started.elapsed().as_secs_f64()
        ));
    }
    println!("\n{}", summary.join("\n"));
    let ok = total.failed == 0 && total.passed > 0;
    println!("test result: {}. {} passed; {} failed", if ok { "ok" } else { "FAILED" }, total.passed, total.failed);
    Ok(if ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn take(step: Step, options: &Options, miri: &mut Option<Result<Miri>>) -> Result<Tally> {
    // A step without tests of its own counts as one.
    let one = |result: Result<()>| result.map(|()| Tally { passed: 1, failed: 0 });
    match step {
        Step::Fmt => one(check::format()),
        Step::Clippy => {
            tools::ensure_target(image::TARGET)?;
            tools::ensure_target(check::UEFI)?;
            one(check::lint())
        }
        Step::Licences => one(check::licences()),
        Step::Advisories => advisories(),
        Step::Host => tests(command::cargo().args(["test", "--no-fail-fast"])),
        Step::Fuzz => fuzz_targets(options.setup),
        Step::Build => one(image::build()),
        Step::Reproducible => one(reproducible()),
        Step::Emulated => emulated_tests(options.setup),
        Step::Prepare => one(prepare_qemu(options).and_then(|()| prepare_realms(options))),
        Step::Miri => match miri.take().context("Miri was not started")? {
            Ok(miri) => miri.finish(),
            Err(error) => skipped(&format!("{error:#}")),
        },
        Step::Qemu => qemu(options),
        Step::Realm => realm_tests(options),
    }
}

/// Not a failure where they cannot be had, in CI either: the GitHub workflow has a job of their own for them.
fn advisories() -> Result<Tally> {
    match check::advisories()? {
        None => Ok(Tally { passed: 1, failed: 0 }),
        Some(why) => {
            println!("NOT CHECKED: {why}");
            Ok(Tally::default())
        }
    }
}

/// Runs a command that prints as cargo's tests do, and adds up its results.
fn tests(command: &mut Command) -> Result<Tally> {
    let mut child = command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start {command:?}"))?;
    let output = child.stdout.take().context("no standard output")?;
    let mut tally = Tally::default();
    for line in BufReader::new(output).split(b'\n') {
        let line = line?;
        let line = String::from_utf8_lossy(&line);
        writeln!(stdout(), "{line}")?;
        if let Some((passed, failed)) = result_line(&line) {
            tally.passed += passed;
            tally.failed += failed;
        }
    }
    let status = child.wait()?;
    plausible(tally, status).with_context(|| format!("{command:?}"))
}

/// The results of a command that ended so.
fn plausible(tally: Tally, status: ExitStatus) -> Result<Tally> {
    ensure!(status.success() || tally.failed > 0, "failed: {status}");
    ensure!(tally.passed + tally.failed > 0, "no test was run");
    Ok(tally)
}

/// `test result: ok. 3 passed; 0 failed; …`
fn result_line(line: &str) -> Option<(u32, u32)> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut counts = counts.split("; ");
    let mut count = |name: &str| counts.next()?.strip_suffix(name)?.trim().parse().ok();
    Some((count("passed")?, count("failed")?))
}

/// Miri at its work. Most steps leave a CPU idle for much of their time, and Miri keeps one busy: it begins beside
/// them. It ends before the boots, which have deadlines and take both CPUs.
struct Miri {
    left: Arc<Mutex<slice::Iter<'static, (&'static str, &'static str)>>>,
    ended: Sender<(&'static str, Result<Output>)>,
    outputs: Receiver<(&'static str, Result<Output>)>,
}

impl Miri {
    /// Begins, in one thread.
    fn start(setup: Setup) -> Result<Self> {
        tools::ensure_nightly(&["miri", "rust-src"], setup)?;
        let (ended, outputs) = mpsc::channel();
        let miri = Self { left: Arc::new(Mutex::new(UNDER_MIRI.iter())), ended, outputs };
        miri.work();
        Ok(miri)
    }

    /// Takes one package after the other, in a thread of its own.
    fn work(&self) {
        let (left, ended) = (Arc::clone(&self.left), self.ended.clone());
        thread::spawn(move || {
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).next();
                let Some(&(package, which)) = next else { break };
                if ended.send((package, under_miri(package, which))).is_err() {
                    break;
                }
            }
        });
    }

    /// Does the rest in two threads, and prints what came of all of it.
    fn finish(self) -> Result<Tally> {
        self.work();
        drop(self.ended);
        let mut total = Tally::default();
        let mut packages = 0;
        for (package, output) in self.outputs {
            println!("\n---- {package}");
            packages += 1;
            match output.and_then(|output| printed(&output)) {
                Ok(tally) => {
                    total.passed += tally.passed;
                    total.failed += tally.failed;
                }
                Err(error) => {
                    println!("error: {error:#}");
                    total.failed += 1;
                }
            }
        }
        ensure!(packages == UNDER_MIRI.len(), "a thread panicked");
        Ok(total)
    }
}

fn under_miri(package: &str, which: &str) -> Result<Output> {
    let mut cargo = tools::nightly();
    cargo
        .current_dir(workspace::root())
        .args(["miri", "test", "--quiet", "--no-fail-fast", which, "--package", package, "--target-dir"])
        // Apart from the other builds, which it would have cargo do again.
        .arg(workspace::target().join("miri"));
    cargo.output().with_context(|| format!("cannot start {cargo:?}"))
}

/// Prints the output of a command that prints as cargo's tests do, and adds up its results.
fn printed(output: &Output) -> Result<Tally> {
    stdout().write_all(&output.stdout)?;
    stderr().write_all(&output.stderr)?;
    let mut tally = Tally::default();
    for (passed, failed) in String::from_utf8_lossy(&output.stdout).lines().filter_map(result_line) {
        tally.passed += passed;
        tally.failed += failed;
    }
    plausible(tally, output.status)
}

fn fuzz_targets(setup: Setup) -> Result<Tally> {
    if let Err(error) = tools::ensure_nightly(&[], setup) {
        return skipped(&format!("{error:#}"));
    }
    fuzz::test(setup).map(|()| Tally { passed: 1, failed: 0 })
}

fn emulated_tests(setup: Setup) -> Result<Tally> {
    let mut total = Tally::default();
    for mut command in emulated::commands(setup)? {
        let tally = tests(&mut command)?;
        total.passed += tally.passed;
        total.failed += tally.failed;
    }
    Ok(total)
}

/// A step that cannot be taken here. In CI there is no such thing.
fn skipped(why: &str) -> Result<Tally> {
    if env::var_os("CI").is_some_and(|ci| !ci.is_empty() && ci != "false") {
        bail!("{why}");
    }
    println!("skipped: {why}");
    Ok(Tally::default())
}

/// Builds a copy of the sources in another folder.
fn reproducible() -> Result<()> {
    let first = std::fs::read(workspace::image()).context("the image has to be built first")?;
    let copy = env::temp_dir().join(format!("realmfw-again-{}", std::process::id()));
    let result = build_copy(&copy);
    let removed = std::fs::remove_dir_all(&copy);
    let second = result?;
    removed?;
    ensure!(first == second, "another folder gives another image");
    Ok(())
}

fn build_copy(copy: &Path) -> Result<Vec<u8>> {
    let root = workspace::root();
    std::fs::create_dir_all(copy)?;
    for entry in std::fs::read_dir(&root)? {
        let name = entry?.file_name();
        // Neither is a source, and either may be large.
        if name != "target" && name != ".git" {
            let mut cp = Command::new("cp");
            command::run(cp.arg("-R").arg(root.join(&name)).arg(copy.join(&name)))?;
        }
    }
    image::build_elsewhere(copy, &copy.join("target"))
}

fn prepare_qemu(options: &Options) -> Result<()> {
    tools::ensure(&tools::EMULATOR, options.setup)?;
    fetch::ensure(&Item::ALL, options.setup)?;
    initramfs::build_all()?;
    disk::build_for_tests(options.setup)?;
    build_efi_programs()?;
    command::run(command::cargo().args(["test", "--no-run", "--package", "qemu-tests"]))
}

fn qemu(options: &Options) -> Result<Tally> {
    if !options.take(Step::Prepare) {
        prepare_qemu(options)?;
    }
    build_unless_done(options)?;
    let mut cargo = command::cargo();
    cargo.args(["test", "--package", "qemu-tests", "--no-fail-fast", "--"]);
    // Each boot keeps one host CPU busy, and two boots are what the smallest CI machine can do.
    cargo.args(["--test-threads", "2"]);
    cargo.args(&options.filter);
    // An error here has the console in it; where in the test it came from says nothing.
    cargo.env("RUST_BACKTRACE", "0");
    tests(&mut cargo)
}

/// Builds the EFI programs that the tests start.
pub fn build_efi_programs() -> Result<()> {
    tools::ensure_target(check::UEFI)?;
    for name in check::EFI_PROGRAMS {
        let mut cargo = command::cargo();
        command::run(cargo.args(["build", "--quiet", "--release", "--target", check::UEFI, "--package", name]))?;
    }
    Ok(())
}

/// The image of these sources, also where the step that builds it was left out.
fn build_unless_done(options: &Options) -> Result<()> {
    if options.take(Step::Build) {
        return Ok(());
    }
    image::build()
}

fn prepare_realms(options: &Options) -> Result<()> {
    tools::ensure(&tools::EMULATOR, options.setup)?;
    fetch::ensure(&[Item::Kernel(realm_vm::KERNEL), Item::Busybox, Item::Ipxe], options.setup)?;
    disk::build_for_tests(options.setup)?;
    realm::build()?;
    realm::build_initramfs()?;
    build_efi_programs()?;
    command::run(command::cargo().args(["test", "--no-run", "--package", "realm-tests"]))
}

fn realm_tests(options: &Options) -> Result<Tally> {
    if !options.take(Step::Prepare) {
        prepare_realms(options)?;
    }
    build_unless_done(options)?;
    let mut cargo = command::cargo();
    cargo.args(["test", "--package", "realm-tests", "--no-fail-fast", "--", "--test-threads", "2"]);
    cargo.args(&options.filter).env("RUST_BACKTRACE", "0");
    tests(&mut cargo)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_s_results_are_read() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(result_line(line), Some((12, 3)));
        assert_eq!(result_line("test a ... ok"), None);
    }
}
