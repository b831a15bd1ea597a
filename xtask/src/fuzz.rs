//! `cargo xtask fuzz`: the libFuzzer targets of `tests/fuzz`, each for a while.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use vm::workspace;

use crate::command;
use crate::tools::{self, Setup};

/// What cargo-fuzz gives the compiler: coverage for libFuzzer and the address sanitizer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Zsanitizer=address --cfg fuzzing";

/// The options of `cargo xtask fuzz`.
#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    setup: Setup,
    /// The targets [default: all of them, in turn]
    targets: Vec<String>,
    /// How long each runs, in seconds
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Run so many inputs instead, the same each time
    #[arg(long, conflicts_with = "seconds")]
    runs: Option<u64>,
}

/// Inputs of each target in the tests: enough to find that a target is broken, and what is easily found.
const TEST_RUNS: u64 = 2000;

/// Runs a fixed number of inputs on each target.
pub fn test(setup: Setup) -> Result<()> {
    fuzz(&Options { setup, targets: Vec::new(), seconds: 0, runs: Some(TEST_RUNS) })
}

/// Runs the targets. A finding is an error; its input stays in `tests/fuzz/artifacts`.
pub fn fuzz(options: &Options) -> Result<()> {
    tools::ensure_nightly(&[], options.setup)?;
    let dir = workspace::root().join("tests/fuzz");
    let all = targets(&dir.join("fuzz_targets"))?;
    for name in &options.targets {
        ensure!(all.contains(name), "no target {name}; there are {}", all.join(", "));
    }
    let chosen = if options.targets.is_empty() { &all } else { &options.targets };
    let host = host()?;
    let build = workspace::target().join("fuzz");
    let mut cargo = tools::nightly();
    cargo.current_dir(&dir).env("RUSTFLAGS", FLAGS);
    // With a target named, build scripts and macros stay without instrumentation.
    cargo.args(["build", "--release", "--target", &host, "--target-dir"]).arg(&build);
    command::run(&mut cargo)?;
    for package in ["formats", "virtio"] {
        let mut seeds = command::cargo();
        seeds.args(["run", "-p", package, "--example", "fuzz_seeds"]).arg(dir.join("corpus"));
        command::run(&mut seeds)?;
    }
    let mut found = Vec::new();
    for name in chosen {
        println!("\n==== {name}");
        let corpus = dir.join("corpus").join(name);
        let artifacts = dir.join("artifacts").join(name);
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let mut target = Command::new(build.join(&host).join("release").join(name));
        match options.runs {
            Some(runs) => {
                // What it finds on the way goes elsewhere, so that the next time begins as this one does.
                let found = build.join("found").join(name);
                let _ = fs::remove_dir_all(&found);
                fs::create_dir_all(&found)?;
                let options = ["-seed=1", "-verbosity=0", "-len_control=0"];
                target.arg(format!("-runs={runs}")).args(options).arg(found)
            }
            None => target.arg(format!("-max_total_time={}", options.seconds)),
        };
        target.arg(format!("-artifact_prefix={}/", artifacts.display())).arg(&corpus);
        if command::run(&mut target).is_err() {
            found.push(name.as_str());
        }
    }
    if !found.is_empty() {
        bail!("findings in {}", found.join(", "));
    }
    Ok(())
}

fn targets(dir: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|kind| kind == "rs") {
            names.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    names.sort();
    Ok(names)
}

fn host() -> Result<String> {
    let text = command::output(Command::new("rustc").args(["--version", "--verbose"]))?;
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.unwrap_or(env::consts::ARCH).to_owned())
}
