//! The EFI programs `tests/efi-check` and `tests/uefi-walk` in the place of the kernel, in a realm.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use measured::{Algorithm, CpuHash, Hasher};
use realm_vm::evidence::Evidence;
use realm_vm::{Ended, Realm, end, initrd};
use vm::machine::PCI_DEVICES;
use vm::{Verdict, workspace};

use super::memory::MemoryFile;
use super::shared;

const LIMIT: Duration = Duration::from_secs(150);

/// `tests/efi-check`, told `words`.
pub fn realm(words: &str) -> Realm {
    // The initrd is what the program asks LoadFile2 for.
    let realm = Realm::firmware(workspace::image()).kernel(workspace::efi_check()).initrd(initrd());
    realm.append(format!("realm {words}"))
}

/// The same with devices on PCI.
fn with_pci(words: &str) -> Realm {
    // Only with the ITS does QEMU have the interrupts that one of the devices asks for; the program uses none.
    ["-machine", "its=on"].into_iter().chain(PCI_DEVICES).fold(realm(words), Realm::arg)
}

/// Runs a program, each check of which has to hold.
pub fn passes(realm: &Realm) -> Result<Ended> {
    let ended = realm.run(LIMIT)?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let verdict = Verdict::parse(&ended.finished.console)?;
        ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
        anyhow::Ok(())
    })()
    .with_context(|| ended.report())?;
    Ok(ended)
}

#[test]
fn services_in_a_realm() -> Result<()> {
    let memory = MemoryFile::new();
    let ended = passes(&with_pci("fuzz=2000").memory_file(memory.path()))?;
    // The program has left boot services: all RAM is private again, as its map says.
    let state = ended.logged("realm: at its end ").context("no state in the log")?;
    ensure!(state.ends_with(" private, 0 KiB shared"), "at the end {state}");
    shared::nothing_is_left(&memory, &shared::secret())
}

/// A program that knows nothing of this firmware, nor of realms. What it is not given leaves its trace, too.
#[test]
fn walk_in_a_realm() -> Result<()> {
    let ended = passes(&Realm::firmware(workspace::image()).kernel(workspace::uefi_walk()).width(36))?;
    (|| {
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()?;
        let nothing = Hasher::digest(Algorithm::Sha256, CpuHash::detect(), b"").to_string();
        let absent = ("REM[2]".to_owned(), nothing, "initrd (absent)".to_owned());
        ensure!(evidence.measured()?.contains(&absent), "the initrd that is not there leaves no trace");
        Ok(())
    })()
    .with_context(|| ended.report())
}

/// Debian's EFI shell, typed at: it looks at the realm, finds no disk, and ends it.
#[test]
fn shell_from_fw_cfg() -> Result<()> {
    const PROMPT: &str = "\x1b[0;1;33;40mShell> ";
    let commands = [
        ("ver", "UEFI v2.100 (realmfw, "),
        // What the terminal says of itself.
        ("mode", "Col   120 Row    40"),
        ("map", "No mapping found"),
        ("memmap", "Total Memory:            511 MB"),
        ("dh -v", "VenUtf8()"),
        ("drivers", "FAT File System"),
        ("setvar PlatformLang", "65 6E 00"),
        // What it was last told, by the cursor key.
        ("\x1b[A", "65 6E 00"),
    ];
    let ended = Realm::firmware(workspace::image()).kernel(workspace::shell()).run_at_console(LIMIT, |vm| {
        vm.expect("\x1b[999;999H\x1b[6n")?;
        vm.send("\x1b[40;120R")?;
        vm.expect("any other key to continue")?;
        vm.send("\x1b")?;
        vm.expect(PROMPT)?;
        for (typed, part) in commands {
            vm.send(&format!("{typed}\r"))?;
            let printed = vm.read_until(PROMPT)?;
            ensure!(printed.contains(part), "{}{typed:?} printed no {part:?}", vm.report());
        }
        vm.send("reset -s\r")
    })?;
    (|| {
        ensure!(ended.status() == Some(end::OFF), "status {:?}", ended.status());
        let evidence = Evidence::from_model_log(&ended.log).context("no event log")?;
        evidence.verify()
    })()
    .with_context(|| ended.report())
}

/// Under an RMM that has given up RSI 1.0.
#[test]
fn measures_until_the_log_is_full() -> Result<()> {
    let ended = passes(&realm("only=cc fill stay").option("hash=sha-512").option("rsi=1.1-1.1"))?;
    ensure!(ended.logged("realm: RSI 1.1").is_some(), "{}", ended.report());
    Ok(())
}
