//! The watchdog (UEFI 2.10, sections 3.1.2 and 7.5.1): it resets the machine that a program keeps for too long.

use anyhow::{Result, ensure};
use qemu_tests::{BOOT_LIMIT, PLAIN, present, run};
use vm::{Finished, workspace};

/// What efi-check prints when it has stalled for all the time that it was to.
const SURVIVED: &str = "still running";

/// The program with a command line. Its time passes with its instructions, 1024 ns each, so that minutes take seconds.
fn stalls(command_line: &str) -> Result<Finished> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append(command_line);
    // A reset ends this machine.
    run(&machine.args(["-icount", "shift=10,sleep=off"]), BOOT_LIMIT)
}

fn resets(command_line: &str, code: &str) -> Result<Finished> {
    let finished = stalls(command_line)?;
    let message = format!("the watchdog expired (code {code}): resetting");
    ensure!(finished.console.contains(&message), "{}the console has no {message:?}", finished.report());
    ensure!(!finished.console.contains(SURVIVED), "{}it came too late", finished.report());
    Ok(finished)
}

fn survives(command_line: &str) -> Result<()> {
    let finished = stalls(command_line)?;
    ensure!(finished.console.contains(SURVIVED), "{}it did not last", finished.report());
    Ok(())
}

#[test]
fn a_watchdog_resets_and_tells_of_it() -> Result<()> {
    let finished = resets("watchdog=2 stall=3", "0x10000")?;
    // A cold reset, whose notification is not cut short, and without data.
    for line in ["told of reset 0: timeout true, 0 bytes at 0x0", "told of all"] {
        ensure!(finished.console.contains(line), "{}the console has no {line:?}", finished.report());
    }
    Ok(())
}

#[test]
fn a_watchdog_waits() -> Result<()> {
    survives("watchdog=2 stall=1")
}

/// Five minutes, unless the program says otherwise.
#[test]
fn what_is_booted_is_watched_for_five_minutes() -> Result<()> {
    let _ = resets("stall=305", "0x0")?;
    survives("stall=295")
}

#[test]
fn zero_disarms_the_watchdog() -> Result<()> {
    survives("watchdog=0 stall=305")
}
