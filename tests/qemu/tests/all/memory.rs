//! The sizes of RAM at both ends.

use anyhow::Result;
use qemu_tests::{Boot, PLAIN, linux_passes};
use vm::workspace::Kernel;

#[test]
fn linux_boots_in_128_mib() -> Result<()> {
    let boot = Boot { memory_mib: 128, ..PLAIN };
    boot.passes().map(|_| ())
}

#[test]
fn linux_boots_with_1_tib() -> Result<()> {
    let boot = Boot { kernel: Kernel::Linux7, memory_mib: 1 << 20, ..PLAIN };
    // Linux' own bookkeeping for all of it would take 16 GiB of the host: it uses the first GiB.
    let line = boot.checks().command_line("mem=1G");
    let line = line.replace("realmfw.memory=1048576", "realmfw.memory=");
    linux_passes(boot.machine().unreserved_memory().append(line)).map(|_| ())
}
