//! Debian's kernel in a realm, through the firmware: what the host supplied is in the registers.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use measured::expected::{DirectBoot, Stub, direct_boot};
use measured::{Algorithm, CpuHash};
use model_rmm::verify::{RealmClaims, verify};
use realm_vm::evidence::{self, Evidence};
use realm_vm::{Ended, KERNEL, Realm, check_words, end, initrd, unhex};
use vm::{Verdict, workspace};

use super::memory::MemoryFile;
use super::shared;

const LIMIT: Duration = Duration::from_secs(200);

/// Boots, and returns what the token says; every check in the guest has to hold.
pub fn boots(realm: &Realm) -> Result<RealmClaims> {
    boots_to(realm, end::OFF)
}

/// The same for a realm that ends in another way.
pub fn boots_to(realm: &Realm, status: i32) -> Result<RealmClaims> {
    let ended = realm.run(LIMIT)?;
    claims(&ended, status).with_context(|| ended.report())
}

fn claims(ended: &Ended, status: i32) -> Result<RealmClaims> {
    ensure!(ended.status() == Some(status), "status {:?}", ended.status());
    let verdict = Verdict::parse(&ended.finished.console)?;
    ensure!(verdict.all_passed(), "failed: {}", verdict.failed.join("\nfailed: "));
    let claims = verify(&unhex(verdict.note("token").context("no token")?).context("token")?)?;
    // What the guest found where the device tree says is the log, and it gives the registers of the token.
    let log = unhex(verdict.note("event-log").context("the guest found no event log")?).context("event log")?;
    evidence::verify(&log, &claims.rems)?;
    let evidence = Evidence::from_model_log(&ended.log).context("no registers in the model's log")?;
    evidence.verify()?;
    shared::taken_back_empty(ended)?;
    Ok(claims)
}

pub fn realm(command_line: &str) -> Realm {
    Realm::firmware(workspace::image()).kernel(KERNEL.image()).initrd(initrd()).append(command_line)
}

/// REM[1] and REM[2] as the files alone give them. REM[0] is the device tree's, which only the realm sees.
fn expected(algorithm: Algorithm, command_line: &str) -> Result<[Vec<u8>; 2]> {
    let (kernel, initrd) = (fs::read(KERNEL.image())?, fs::read(initrd())?);
    // QEMU gives the command line with its NUL, and the firmware makes UCS-2 of both.
    let load_options: Vec<u8> = command_line.bytes().chain([0]).flat_map(|byte| [byte, 0]).collect();
    let command_line = [command_line.as_bytes(), &[0]].concat();
    let stub = Some(Stub { load_options: &load_options, initrd: true });
    let boot =
        DirectBoot { kernel: &kernel, initrd: &initrd, command_line: &command_line, stub, ..DirectBoot::default() };
    let [_, rem1, rem2, _] = direct_boot(algorithm, CpuHash::detect(), &boot)?.registers;
    Ok([rem1.as_bytes().to_vec(), rem2.as_bytes().to_vec()])
}

fn measures_as_expected(realm: &Realm, algorithm: Algorithm, command_line: &str) -> Result<()> {
    let claims = boots(realm)?;
    let [rem1, rem2] = expected(algorithm, command_line)?;
    let zero = vec![0; rem1.len()];
    let [tree, kernel, taken, free] = claims.rems.as_slice() else { bail!("{} REMs", claims.rems.len()) };
    ensure!(*tree != zero, "REM[0] was not extended");
    ensure!(*kernel == rem1, "REM[1] is {kernel:x?}, the kernel gives {rem1:x?}");
    ensure!(*taken == rem2, "REM[2] is {taken:x?}, command line and initrd give {rem2:x?}");
    ensure!(*free == zero, "REM[3] was extended");
    Ok(())
}

/// And leaves nothing of it with the host: the initrd's first line is in private memory alone.
#[test]
fn measures_by_sha256() -> Result<()> {
    let (command_line, memory) = (check_words(1, &[]), MemoryFile::new());
    measures_as_expected(&realm(&command_line).memory_file(memory.path()), Algorithm::Sha256, &command_line)?;
    shared::nothing_is_left(&memory, b"# The first process of the initramfs in a realm")
}

#[test]
fn measures_by_sha384() -> Result<()> {
    let command_line = check_words(1, &[]);
    let realm = realm(&command_line).width(41).option("hash=sha-384");
    measures_as_expected(&realm, Algorithm::Sha384, &command_line)
}

/// On a CPU without FEAT_LPA2, which all others have here.
#[test]
fn measures_by_sha512() -> Result<()> {
    let command_line = check_words(1, &[]);
    let realm = realm(&command_line).width(48).option("hash=sha-512").arg("-cpu").arg("max,pauth-impdef=on,lpa2=off");
    measures_as_expected(&realm, Algorithm::Sha512, &command_line)
}

/// fw_cfg has the kernel in two parts, of which the first ends within its PE headers. It is one file, and measured as one.
#[test]
fn measures_a_kernel_with_a_setup_part() -> Result<()> {
    let command_line = check_words(1, &[]);
    measures_as_expected(&realm(&command_line).option("fw-cfg-setup=100"), Algorithm::Sha256, &command_line)
}

/// A machine with nothing to boot: that there is neither command line nor kernel is in the registers.
#[test]
fn measures_that_there_is_no_kernel() -> Result<()> {
    let ended = Realm::firmware(workspace::image()).run(LIMIT)?;
    (|| {
        let evidence = Evidence::from_model_log(&ended.log).context("no registers in the model's log")?;
        evidence.verify()?;
        let boot = DirectBoot::default();
        let [_, rem1, rem2, _] = direct_boot(Algorithm::Sha256, CpuHash::detect(), &boot)?.registers;
        for (index, expected) in [(1, rem1), (2, rem2)] {
            let found = evidence.rems.get(index).context("no such register")?;
            ensure!(found.starts_with(expected.as_bytes()), "REM[{index}] is {found:x?}");
        }
        Ok(())
    })()
    .with_context(|| ended.report())
}

/// A file of the tests, changed.
struct Changed(PathBuf);

impl Changed {
    /// `file` with the bits of `mask` flipped in the byte at `offset`.
    fn new(name: &str, file: &Path, offset: usize, mask: u8) -> Result<Self> {
        let mut bytes = fs::read(file)?;
        *bytes.get_mut(offset).context("the file is too short")? ^= mask;
        let path = std::env::temp_dir().join(format!("realm-{name}-{}", std::process::id()));
        fs::write(&path, bytes)?;
        Ok(Self(path))
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}

/// Which registers one changed bit changes. QEMU puts the command line into the device tree as well.
#[test]
fn one_bit_changes_its_registers_alone() -> Result<()> {
    let words = check_words(1, &[]);
    // 512 MiB and 768 MiB are one bit apart in the device tree. The kernel's byte is one of e_res2 in the DOS header;
    // the initrd's is the first letter of a comment.
    let comment = b"# The first process of the initramfs in a realm";
    let archive = fs::read(initrd())?;
    let letter = archive.windows(comment.len()).position(|window| window == comment).context("no comment")? + 2;
    let kernel = Changed::new("kernel", &KERNEL.image(), 0x28, 1)?;
    let changed = Changed::new("initrd", &initrd(), letter, 1)?;
    let base = boots(&realm(&format!("{words} realmfw.word=a")))?;
    let line = format!("{words} realmfw.word=a");
    for (what, other, expected) in [
        ("kernel", realm(&line).kernel(&kernel.0), [false, true, false, false]),
        ("initrd", realm(&line).initrd(&changed.0), [false, false, true, false]),
        ("command line", realm(&format!("{words} realmfw.word=c")), [true, false, true, false]),
        ("device tree", realm(&line).ram_mib(768), [true, false, false, false]),
    ] {
        let other = boots(&other)?;
        let differ: Vec<_> = base.rems.iter().zip(&other.rems).map(|(one, other)| one != other).collect();
        ensure!(differ == expected, "the {what} changes these of the four: {differ:?}");
    }
    Ok(())
}

/// RAM that the host left EMPTY or changes piece by piece becomes RAM all the same.
#[test]
fn accepts_what_is_empty_in_parts() -> Result<()> {
    let realm =
        realm(&check_words(1, &[])).option("rmm=2.0").option("empty=0x48000000+1M").option("ripas=partial:8192");
    boots(&realm).map(drop)
}

/// What is used is what was measured before the host changed its mind.
#[test]
fn writes_after_a_transfer_change_nothing() -> Result<()> {
    let command_line = check_words(1, &[]);
    measures_as_expected(&realm(&command_line).option("late-dma"), Algorithm::Sha256, &command_line)
}
