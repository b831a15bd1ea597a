//! What the QEMU tests have in common. The tests are in `tests/all`, one file per subject; start
//! them with `cargo xtask test --only qemu [FILTER]`, which builds what they need.

pub mod place;
pub mod scratch;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use vm::workspace::{self, Kernel};
use vm::{Checks, End, Finished, Machine, Verdict, Vm};

/// How long a boot of Linux with its checks may take. It takes about ten seconds; a busy machine
/// may need several times that.
pub const BOOT_LIMIT: Duration = Duration::from_secs(150);

/// How long the firmware may take to say that it stops.
pub const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A machine with the firmware as `-bios`, 512 MiB and one CPU.
pub fn machine() -> Machine {
    Machine::new().memory_mib(512).firmware(workspace::image())
}

/// A boot of Linux through the checks of the initramfs.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Debian's kernel.
    pub kernel: Kernel,
    /// The number of CPUs.
    pub cpus: u32,
    /// RAM in MiB.
    pub memory_mib: u64,
    /// Whether the machine starts at EL2.
    pub el2: bool,
    /// The version of the interrupt controller.
    pub gic: u32,
    /// Whether devices and RAM may lie above 4 GiB.
    pub highmem: bool,
    /// QEMU's CPU model.
    pub cpu: &'static str,
}

/// What most boots outside the table of kernels use.
pub const PLAIN: Boot =
    Boot { kernel: Kernel::Linux6_12, cpus: 1, memory_mib: 512, el2: false, gic: 3, highmem: true, cpu: "max" };

impl Boot {
    /// The machine, without firmware, kernel and initrd.
    pub fn bare_machine(&self) -> Machine {
        let switch = |on| if on { "on" } else { "off" };
        Machine::new()
            .machine(format!(
                "virt,gic-version={},virtualization={},highmem={}",
                self.gic,
                switch(self.el2),
                switch(self.highmem)
            ))
            .cpu(self.cpu)
            .cpus(self.cpus)
            .memory_mib(self.memory_mib)
    }

    /// The machine with firmware, kernel and initrd.
    pub fn machine(&self) -> Machine {
        self.bare_machine().firmware(workspace::image()).kernel(self.kernel.image()).initrd(self.kernel.initrd())
    }

    /// What the guest has to find.
    pub fn checks(&self) -> Checks {
        Checks { end: End::Poweroff, cpus: self.cpus, memory_mib: self.memory_mib, el2: self.el2 }
    }

    /// Boots; every check has to hold.
    pub fn passes(&self) -> Result<Finished> {
        linux_passes(self.machine().append(self.checks().command_line("")))
    }
}

/// Boots a machine that is complete, with the command line of its checks; every check has to hold.
pub fn linux_passes(machine: Machine) -> Result<Finished> {
    let finished = run(&machine, BOOT_LIMIT)?;
    all_hold(&finished)?;
    Ok(finished)
}

/// Every check that a guest has printed has to hold.
pub fn all_hold(finished: &Finished) -> Result<()> {
    let verdict = Verdict::parse(&finished.console).with_context(|| finished.report())?;
    ensure!(verdict.all_passed(), "{}failed: {}", finished.report(), verdict.failed.join("\nfailed: "));
    Ok(())
}

/// The firmware must print every one of `messages` and power off by itself.
pub fn stops_with(machine: Machine, messages: &[&str]) -> Result<Finished> {
    // A reset in place of the power-off would start it anew, until the time is up.
    let finished = run(&machine.reboots(), STOP_LIMIT)?;
    for message in messages {
        ensure!(finished.console.contains(message), "{}the console has no {message:?}", finished.report());
    }
    Ok(finished)
}

/// Runs a machine until it ends by itself.
pub fn run(machine: &Machine, limit: Duration) -> Result<Finished> {
    present(&workspace::image())?;
    let finished = Vm::start(machine, limit)?.wait()?;
    if !finished.status.success() {
        bail!("{}QEMU failed: {}", finished.report(), finished.status);
    }
    Ok(finished)
}

/// A file that `cargo xtask test` makes.
pub fn present(file: &Path) -> Result<()> {
    ensure!(file.is_file(), "{} is missing: start these tests with `cargo xtask test`", file.display());
    Ok(())
}

/// Runs QEMU for what it writes and prints, without a machine.
pub fn run_qemu(args: &[&str]) -> Result<()> {
    let output = Command::new(vm::machine::QEMU).args(args).output()?;
    ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
