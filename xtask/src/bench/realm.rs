//! A realm in the model RMM: instructions and RSI calls from the first entry of its REC on.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection};
use realm_vm::Realm;
use vm::workspace::{self, Kernel};

use super::count::{self, Counts, Entry};
use super::profile::{Profile, Work};
use super::table::{Goal, millions};

/// Bytes of the kernel and of the initrd: those of the realm that EDK2's numbers are of.
const KERNEL_SIZE: usize = 42_000_000;
const INITRD_SIZE: usize = 1_000_000;

/// The realm's hash algorithms.
const HASHES: [&str; 3] = ["sha-256", "sha-384", "sha-512"];

/// What a realm did up to an entry point.
pub struct Reached {
    /// Its instructions, without those of the model.
    pub counts: Counts,
    /// Its RSI calls, by name.
    calls: BTreeMap<String, u64>,
}

impl Reached {
    /// All its RSI calls.
    pub fn total(&self) -> u64 {
        self.calls.values().sum()
    }
}

/// The code of the model RMM, which runs at EL2 of the same machine.
///
/// A block is the model's when it lies where the model is linked to. The realm executes nothing there: the model keeps
/// the RAM of a realm below itself, firmware and EFI stub run where virtual addresses are those of the realm's RAM, and
/// the shared alias cannot be executed. That the instructions are those of the model's file is checked all the same.
pub struct Model {
    start: u64,
    code: Vec<u8>,
}

impl Model {
    /// The model as it was built.
    pub fn load() -> Result<Self> {
        let bytes = fs::read(realm_vm::model())?;
        let file = object::File::parse(bytes.as_slice())?;
        let text = file.section_by_name(".text").context("the model has no code")?;
        Ok(Self { start: text.address(), code: text.data()?.to_vec() })
    }

    /// Leaves the realm's blocks.
    pub fn leave_out(&self, counts: Counts) -> Result<Counts> {
        let end = self.start + self.code.len() as u64;
        let (own, blocks): (Vec<_>, Vec<_>) =
            counts.blocks.into_iter().partition(|block| (self.start..end).contains(&block.address));
        ensure!(!own.is_empty(), "the model did nothing");
        for block in &own {
            let at = usize::try_from(block.address - self.start)?;
            let same = self.code.get(at..).is_some_and(|code| code.starts_with(&block.bytes));
            ensure!(same, "at {:#x} the model executed what its file does not have", block.address);
        }
        Ok(Counts { blocks })
    }
}

/// Counts up to an entry point.
pub fn reach(realm: &Realm, model: &Model, entry: &Entry) -> Result<Reached> {
    let log = std::env::temp_dir().join(format!("realm-bench-{}.log", std::process::id()));
    let realm = realm.clone().option("log").log_to(&log);
    let counts = model.leave_out(count::count(realm.machine(), entry)?)?;
    let calls = calls(&realm.model_log());
    fs::remove_file(&log)?;
    ensure!(!calls.is_empty(), "the realm made no RSI call");
    Ok(Reached { counts, calls })
}

/// The RSI calls that a log of the model's tells of.
fn calls(log: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    for line in log.lines().filter(|line| line.starts_with("rsi: ")) {
        if let Some(name) = line.split(' ').nth(2).and_then(|call| call.split('(').next()) {
            *calls.entry(name.to_owned()).or_default() += 1;
        }
    }
    calls
}

/// The image without a certificate table, behind which it cannot be made longer (PE format, "The Attribute Certificate
/// Table").
fn unsigned(mut image: Vec<u8>) -> Option<Vec<u8>> {
    // e_lfanew; behind the signature and the COFF header the optional header, and in that the fifth directory entry.
    const PE_OFFSET: usize = 0x3c;
    const CERTIFICATE_TABLE: usize = 4 + 20 + 112 + 4 * 8;
    let pe = u32::from_le_bytes(*image.get(PE_OFFSET..)?.first_chunk()?) as usize;
    image.get_mut(pe + CERTIFICATE_TABLE..)?.first_chunk_mut::<8>()?.fill(0);
    Some(image)
}

/// What was measured of a realm with one hash algorithm.
pub struct Results {
    hash: &'static str,
    to_stub: Reached,
    to_linux: Reached,
    profile: Profile,
}

/// Boots with each algorithm, twice.
pub fn measure() -> Result<Vec<Results>> {
    crate::realm::build()?;
    let model = Model::load()?;
    let [kernel, initrd] = ["kernel", "initrd"].map(|name| workspace::target().join(format!("bench-realm-{name}")));
    let mut image = unsigned(fs::read(Kernel::Linux7.image())?).context("the kernel is no PE image")?;
    super::pad(&mut image, KERNEL_SIZE)?;
    fs::write(&kernel, &image)?;
    // Linux is not started, so nobody looks into it.
    fs::write(&initrd, vec![0; INITRD_SIZE])?;
    let [stub, linux] = [Entry::pe(&image)?, Entry::linux(&image)?];
    let measure = |hash| {
        eprintln!("counting in a realm, {hash}");
        let realm = Realm::firmware(workspace::image()).kernel(&kernel).initrd(&initrd).append(super::EARLYCON);
        let realm = realm.option(format!("hash={hash}"));
        let [to_stub, to_linux] = [reach(&realm, &model, &stub)?, reach(&realm, &model, &linux)?];
        let profile = Profile::new(&to_stub.counts, &workspace::elf(), &workspace::image())?;
        Ok(Results { hash, to_stub, to_linux, profile })
    };
    HASHES.into_iter().map(measure).collect()
}

impl Results {
    /// Instructions that hash a byte: all of the hashing, over the bytes of kernel and initrd.
    fn hashing(&self) -> f64 {
        self.profile.work(Work::Hash) as f64 / (KERNEL_SIZE + INITRD_SIZE) as f64
    }

    /// The same of the block function's loop alone.
    fn bare(&self) -> f64 {
        let (function, block) = if self.hash == "sha-256" { ("compress256", 64.0) } else { ("compress512", 128.0) };
        self.profile.pass(function).unwrap_or(f64::NAN) / block
    }

    /// Instructions that neither hash nor copy.
    fn rest(&self) -> u64 {
        self.profile.work(Work::Rest)
    }
}

/// The rows.
pub fn table(all: &[Results], functions: usize) -> String {
    let mut text = format!(
        "A realm in the model RMM with one CPU, 512 MiB and an IPA width of 33 bits; kernel and initrd in fw_cfg, filled \
         up with zeros to {KERNEL_SIZE} and {INITRD_SIZE} bytes. EDK2's numbers are of its CCA patches (April 2026 \
         series, mended by hand) under TF-RMM, with a kernel of 41.8 MB.\n\n| |"
    );
    // Writing to a String does not fail.
    for one in all {
        let _ = write!(text, " realmfw, {} |", one.hash.to_uppercase());
    }
    text.push_str(" EDK2, SHA-256 |\n| --- |");
    text.push_str(&" ---: |".repeat(all.len() + 1));
    text.push('\n');
    let mut row = |name: &str, value: &dyn Fn(&Results) -> String, edk2: &str| {
        let values: Vec<_> = all.iter().map(value).collect();
        let _ = writeln!(text, "| {name} | {} | {edk2} |", values.join(" | "));
    };
    row("Guest instructions to the kernel's PE entry", &|one| millions(one.to_stub.counts.total()), "2555 M");
    row("- hashing", &|one| millions(one.profile.work(Work::Hash)), "about 2270 M");
    row("- copying and clearing", &|one| millions(one.profile.work(Work::Copy)), "-");
    row("- everything else", &|one| millions(one.rest()), "-");
    row("Guest instructions to Linux' own entry", &|one| millions(one.to_linux.counts.total()), "-");
    row("RSI calls to the PE entry", &|one| one.to_stub.total().to_string(), "-");
    let calls = |name: &'static str| move |one: &Results| one.to_stub.calls.get(name).copied().unwrap_or(0).to_string();
    row("- RSI_IPA_STATE_SET", &calls("RSI_IPA_STATE_SET"), "1448");
    row("- RSI_IPA_STATE_GET", &calls("RSI_IPA_STATE_GET"), "7");
    row("- RSI_MEASUREMENT_EXTEND", &calls("RSI_MEASUREMENT_EXTEND"), "3");
    row("RSI calls to Linux' own entry", &|one| one.to_linux.total().to_string(), "-");
    row("Hashing, instructions for a byte", &|one| format!("{:.2}", one.hashing()), "about 53");
    row("The block function alone", &|one| format!("{:.2}", one.bare()), "-");
    if let Some(first) = all.first() {
        let _ = write!(text, "\nWhere the instructions to the PE entry go, with {}:\n\n", first.hash.to_uppercase());
        text.push_str(&first.profile.table(functions));
    }
    text
}

/// What is to be reached, by SHA-256 as far as it depends on that.
pub fn goals(all: &[Results]) -> Vec<Goal> {
    const INSTRUCTIONS: u64 = 100_000_000;
    const CALLS: u64 = 64;
    const HASHING: f64 = 1.3;
    const REST: u64 = 5_000_000;
    let mut goals = Vec::new();
    if let Some(one) = all.first() {
        let (total, calls) = (one.to_linux.counts.total(), one.to_linux.total());
        goals.push(Goal::new(total <= INSTRUCTIONS, format!("a realm's kernel within 100 M ({})", millions(total))));
        goals.push(Goal::new(calls <= CALLS, format!("a realm's kernel within {CALLS} RSI calls ({calls})")));
    }
    for one in all {
        let (ratio, rest) = (one.hashing() / one.bare(), one.rest());
        let what = format!("{}: hashing within {HASHING} times the block function ({ratio:.3})", one.hash);
        goals.push(Goal::new(ratio <= HASHING, what));
        let what = format!("{}: what is neither copy nor hash below 5 M ({})", one.hash, millions(rest));
        goals.push(Goal::new(rest < REST, what));
    }
    goals
}

#[cfg(test)]
mod tests {
    use super::super::count::Block;
    use super::*;

    #[test]
    fn calls_are_counted_by_name() {
        let log = "realm: x\nrsi: cpu0 RSI_VERSION(0x10000) = Success 0x10000\nrsi: cpu0 RSI_VERSION(0x1)\n\
                   rhi: 0x1 (imm 0) = 0x2\nrsi: cpu0 RSI_HOST_CALL(0x4) = Success\n";
        let calls: Vec<_> = calls(log).into_iter().collect();
        assert_eq!(calls, [("RSI_HOST_CALL".to_owned(), 1), ("RSI_VERSION".to_owned(), 2)]);
    }

    #[test]
    fn the_models_blocks_are_left_out_and_looked_at() {
        let model = Model { start: 0x1000, code: vec![1, 2, 3, 4, 5, 6, 7, 8] };
        let block = |address, bytes: &[u8]| Block { address, executed: 1, bytes: bytes.to_vec() };
        let counts = |blocks: Vec<Block>| Counts { blocks };
        let left = model.leave_out(counts(vec![block(0x1004, &[5, 6, 7, 8]), block(0x2000, &[9; 4])])).unwrap();
        assert_eq!(left.blocks.iter().map(|block| block.address).collect::<Vec<_>>(), [0x2000]);
        assert!(model.leave_out(counts(vec![block(0x1004, &[9; 4])])).is_err());
        assert!(model.leave_out(counts(vec![block(0x2000, &[9; 4])])).is_err());
    }

    #[test]
    fn the_certificate_table_is_taken_out_of_the_headers() {
        let mut image = vec![0xff; 0x200];
        image[0x3c..0x40].copy_from_slice(&0x40_u32.to_le_bytes());
        let unsigned = unsigned(image.clone()).unwrap();
        let changed: Vec<_> = (0..image.len()).filter(|&at| image[at] != unsigned[at]).collect();
        // PE32+: the optional header begins at 0x58, its data directories 112 bytes on, the fifth 32 on (PE format).
        assert_eq!(changed, (0x58 + 112 + 32..0x58 + 112 + 40).collect::<Vec<_>>());
        assert!(super::unsigned(vec![0; 8]).is_none());
    }
}
