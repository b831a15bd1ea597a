//! Tests that are arm64 programs, run by QEMU's user-mode emulation: the runtime services image as the firmware embeds
//! it, and hashing by the CPU's instructions.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};
use vm::workspace;

use crate::tools::{self, Setup};
use crate::{command, image};

const TARGET: &str = "aarch64-unknown-linux-musl";

/// The commands, each of which prints as cargo's tests do.
pub fn commands(setup: Setup) -> Result<Vec<Command>> {
    tools::ensure(&tools::USER_EMULATOR, setup)?;
    tools::ensure_target(TARGET)?;
    let mut runtime = test("realmfw-runtime", "max");
    runtime.args(["--test", "image"]).env("RUNTIME_IMAGE", runtime_image()?);
    let mut commands = vec![runtime];
    // sha2 would take the instructions too, and the comparison would be one with itself.
    for (cpu, hash) in [("max", "sha512"), ("cortex-a57", "sha256")] {
        let mut measured = test("measured", cpu);
        measured.args(["--lib", "hash"]);
        measured.env("MEASURED_CPU_HASH", hash).env("RUSTFLAGS", "--cfg sha2_backend=\"soft\"");
        commands.push(measured);
    }
    Ok(commands)
}

fn test(package: &str, cpu: &str) -> Command {
    let mut cargo = command::cargo();
    cargo.args(["test", "--release", "--target", TARGET, "--package", package]);
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_LINKER", "rust-lld");
    cargo.env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_MUSL_RUNNER", format!("{} -cpu {cpu}", tools::USER_MODE));
    // The profile for the firmware ends a panic at once; a test has to survive it.
    cargo.env("CARGO_PROFILE_RELEASE_LTO", "off");
    cargo
}

/// What the newest build of the firmware has embedded.
fn runtime_image() -> Result<PathBuf> {
    let builds = workspace::target().join(image::TARGET).join("release/build");
    let mut newest: Option<(SystemTime, PathBuf)> = None;
    for build in fs::read_dir(&builds).with_context(|| builds.display().to_string())? {
        let file = build?.path().join("out/runtime.bin");
        let Ok(modified) = file.metadata().and_then(|metadata| metadata.modified()) else { continue };
        if newest.as_ref().is_none_or(|(time, _)| modified > *time) {
            newest = Some((modified, file));
        }
    }
    newest.map(|(_, file)| file).context("the firmware has to be built first")
}
