//! Faults and panics of the firmware on its way to the console: told at the UART that the device tree names, wherever
//! that is, at its shared alias.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use realm_vm::{Realm, end};
use vm::broken::{self, CHECK_SAYS, Failure};

const LIMIT: Duration = Duration::from_secs(60);

/// Before the RMM has told how wide addresses are.
const BEFORE_THE_WIDTH: &str = "rsi::guest::Rsi<C>::version";
/// Where the device tree has been read, and the console not been started.
const BEFORE_THE_CONSOLE: &str = "formats::machine::Machine::from_device_tree";

/// An image that fails in a function; the file goes with the value.
struct Broken(PathBuf);

impl Broken {
    fn new(function: &str, failure: Failure) -> Result<Self> {
        let kind = if failure == Failure::Panic { "panic" } else { "fault" };
        let name: String = function.chars().filter(char::is_ascii_alphanumeric).collect();
        let path = std::env::temp_dir().join(format!("realm-{kind}-{name}-{}", std::process::id()));
        fs::write(&path, broken::image(function, failure)?)?;
        Ok(Self(path))
    }

    /// QEMU's PL011 and kvmtool's 16550, each where its VMM never has it.
    fn launches(&self) -> [Realm; 2] {
        [Realm::firmware(&self.0).option("uart=0x0b000000"), Realm::kvmtool(&self.0).option("uart=0x02000000")]
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// The console has every one of `messages` and no register but those of the fault, and the realm ends by itself.
fn tells(realm: &Realm, messages: &[&str]) -> Result<()> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        for message in messages {
            ensure!(ended.finished.console.contains(message), "no {message:?}");
        }
        ensure!(!ended.finished.console.contains("  x0 "), "the host is told what registers hold");
        Ok(())
    })()
    .with_context(|| ended.report())
}

fn tells_everywhere(function: &str, failure: Failure, messages: &[&str]) -> Result<()> {
    let image = Broken::new(function, failure)?;
    for width in [33, 48] {
        for launch in image.launches() {
            tells(&launch.width(width), messages)?;
        }
    }
    Ok(())
}

const FAULT: [&str; 3] = ["realmfw: fault: synchronous exception at EL1", "undefined instruction?", "backtrace:"];

#[test]
fn before_the_console() -> Result<()> {
    tells_everywhere(BEFORE_THE_CONSOLE, Failure::Fault, &FAULT)
}

#[test]
fn a_panic_before_the_console() -> Result<()> {
    tells_everywhere(BEFORE_THE_CONSOLE, Failure::Panic, &["realmfw: panic: ", CHECK_SAYS, "backtrace:"])
}

/// A realm of 52 bits has its UART beyond the page tables, and is told no more than that.
#[test]
fn before_the_width_is_known() -> Result<()> {
    tells_everywhere(BEFORE_THE_WIDTH, Failure::Fault, &FAULT)?;
    let image = Broken::new(BEFORE_THE_WIDTH, Failure::Fault)?;
    for launch in image.launches() {
        tells(&launch.width(52), &["realmfw: fault"])?;
    }
    Ok(())
}
