//! The programs of the machine that the tasks need, installed when they are missing.

use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::command;

/// What may be done to the machine.
#[derive(Args, Clone, Copy)]
pub struct Setup {
    /// Install and fetch nothing: print what is missing and stop
    #[arg(long)]
    pub no_install: bool,
}

/// A program and the Debian package that has it.
pub struct Tool {
    program: &'static str,
    package: &'static str,
    purpose: &'static str,
}

/// What it takes to start a machine.
pub const EMULATOR: [Tool; 2] = [
    Tool { program: vm::machine::QEMU, package: "qemu-system-arm", purpose: "emulates the machine" },
    Tool { program: "setpriv", package: "util-linux", purpose: "ends the emulator when its parent dies" },
];

/// What it takes to make a bootable disk.
pub const DISK: [Tool; 2] = [
    Tool { program: "mke2fs", package: "e2fsprogs", purpose: "makes root file systems" },
    Tool { program: "python3", package: "python3", purpose: "runs ukify" },
];

/// QEMU's user-mode emulation.
pub const USER_MODE: &str = "qemu-aarch64-static";

/// What it takes to run an arm64 program.
pub const USER_EMULATOR: [Tool; 1] =
    [Tool { program: USER_MODE, package: "qemu-user-static", purpose: "runs arm64 programs" }];

/// Makes sure that the tools are there.
pub fn ensure(tools: &[Tool], setup: Setup) -> Result<()> {
    let missing: Vec<_> = tools.iter().filter(|tool| command::find_program(tool.program).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for tool in &missing {
        println!("missing: {} ({}), Debian package {}", tool.program, tool.purpose, tool.package);
    }
    let mut install = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
    install.extend(missing.iter().map(|tool| tool.package));
    if setup.no_install {
        bail!("not installed: run `{}` as root", install.join(" "));
    }
    as_root(&["apt-get", "update"])?;
    as_root(&install)
}

fn as_root(words: &[&str]) -> Result<()> {
    let mut words = words.to_vec();
    let user = command::output(Command::new("id").arg("-u"))?;
    if user.trim() != "0" {
        if command::find_program("sudo").is_none() {
            bail!("there is no sudo: run `{}` as root", words.join(" "));
        }
        words.insert(0, "sudo");
    }
    println!("running: {}", words.join(" "));
    let Some((program, args)) = words.split_first() else {
        return Ok(());
    };
    command::run(Command::new(program).args(args).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Makes sure that the standard library for a target is there.
pub fn ensure_target(target: &str) -> Result<()> {
    let dir = command::output(Command::new("rustc").current_dir(vm::workspace::root()).args([
        "--print",
        "target-libdir",
        "--target",
        target,
    ]))?;
    if std::path::Path::new(dir.trim()).is_dir() {
        return Ok(());
    }
    println!("adding the Rust target {target}");
    command::run(Command::new("rustup").current_dir(vm::workspace::root()).args(["target", "add", target]))
}

/// The nightly toolchain's cargo, for Miri and fuzzing.
pub fn nightly() -> Command {
    let mut command = Command::new("cargo");
    // Set by the cargo that runs this, they would choose its toolchain.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        command.env_remove(name);
    }
    command.arg("+nightly");
    command
}

/// Makes sure that the nightly toolchain and some of its components are there.
pub fn ensure_nightly(components: &[&str], setup: Setup) -> Result<()> {
    let mut rustup = Command::new("rustup");
    rustup.args(["component", "list", "--installed", "--toolchain", "nightly"]);
    let installed = rustup.output().ok().filter(|output| output.status.success());
    let installed = installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let has = |component: &&str| installed.as_ref().is_some_and(|list| list.contains(component));
    if installed.is_some() && components.iter().all(has) {
        return Ok(());
    }
    let mut install = vec!["toolchain", "install", "nightly", "--profile", "minimal"];
    for component in components {
        install.extend(["--component", component]);
    }
    println!("missing: the nightly toolchain or {}", components.join(" or "));
    if setup.no_install {
        bail!("not installed: run `rustup {}`", install.join(" "));
    }
    command::run(Command::new("rustup").args(install))
}
