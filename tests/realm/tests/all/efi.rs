//! The EFI programs `tests/efi-check` and `tests/uefi-walk` in the place of the kernel, in a realm.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use realm_vm::{Ended, Realm, end, initrd};
use vm::{Verdict, workspace};

const LIMIT: Duration = Duration::from_secs(150);

fn realm(words: &str) -> Realm {
    // The initrd is what the program asks LoadFile2 for.
    Realm::firmware(workspace::image()).kernel(workspace::efi_check()).initrd(initrd()).append(format!("realm {words}"))
}

fn passes(realm: &Realm) -> Result<Ended> {
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
    passes(&realm("fuzz=2000").width(36)).map(drop)
}

/// A program that knows nothing of this firmware, nor of realms.
#[test]
fn walk_in_a_realm() -> Result<()> {
    passes(&Realm::firmware(workspace::image()).kernel(workspace::uefi_walk())).map(drop)
}

#[test]
fn measures_until_the_log_is_full() -> Result<()> {
    passes(&realm("only=cc fill stay").option("hash=sha-512")).map(drop)
}
