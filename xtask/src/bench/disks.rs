//! Booting and reading from virtio-blk on PCI, beside EDK2.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use realm_vm::Realm;
use vm::workspace::{self, Kernel};
use vm::{Machine, Vm};

use super::count::{self, Counts, Entry};
use super::profile::{Profile, Work};
use super::realm::{self, Model};
use super::table::{Goal, millions};
use super::{LIMIT, Loader, MEMORY_MIB, Options};
use crate::disk::{self, READ_SIZE};

/// The firmware that boots from a disk.
const FIRMWARE: [Loader; 2] = [Loader::Realmfw, Loader::Edk2];

/// Before and behind the request that reads the file.
const MARKS: [u16; 2] = [1, 2];

const MIB: u64 = 1 << 20;

/// A path to Linux' own entry: instructions by firmware, and how many in a realm with the RSI calls since the PE entry
/// of what was booted.
struct Boot {
    name: &'static str,
    instructions: [u64; 2],
    /// EDK2's may be so many times ours.
    goal: f64,
}

/// What reading the file took.
struct Read {
    instructions: u64,
    time: Duration,
}

/// What was measured.
pub struct Disks {
    boots: Vec<Boot>,
    read: [Read; 2],
    realm: Read,
    realm_calls: u64,
    profile: Profile,
    functions: usize,
}

fn attach(machine: Machine, disk: &Path) -> Machine {
    let drive = format!("if=none,id=disk,format=raw,snapshot=on,file={}", disk.display());
    machine.args(["-drive", &drive, "-device", "virtio-blk-pci,drive=disk"])
}

fn machine(loader: Loader, disk: &Path) -> Result<Machine> {
    let image = loader.image().context("no firmware")?;
    Ok(attach(Machine::new().memory_mib(MEMORY_MIB).firmware(image), disk))
}

/// Measures all of it.
pub fn measure(options: &Options) -> Result<Disks> {
    crate::test::build_efi_programs()?;
    let [uki, grub, read]: [PathBuf; 3] = disk::build_for_bench(&vec![0; super::INITRD_SIZE], options.setup)?;
    let linux = Entry::linux(&fs::read(Kernel::Linux7.image())?)?;
    let boot = |name, disk: &Path, goal| {
        let count = |loader| {
            eprintln!("counting {loader:?}, {name}");
            anyhow::Ok(count::count(machine(loader, disk)?, &linux)?.total())
        };
        let [ours, edk2] = FIRMWARE.map(count);
        anyhow::Ok(Boot { name, instructions: [ours?, edk2?], goal })
    };
    let boots = vec![boot("Unified kernel image", &uki, 10.0)?, boot("GRUB", &grub, 3.0)?];

    let [before, behind] = MARKS.map(Entry::mark);
    let both = |loader| {
        eprintln!("counting {loader:?}, reading");
        let machine = machine(loader, &read)?;
        let counts = [count::count(machine.clone(), &before)?, count::count(machine.clone(), &behind)?];
        anyhow::Ok((counts, time(&machine, options.runs)?))
    };
    let (ours, our_time) = both(Loader::Realmfw)?;
    let (edk2, edk2_time) = both(Loader::Edk2)?;

    eprintln!("counting in a realm, reading");
    let realm = Realm::firmware(workspace::image()).ram_mib(MEMORY_MIB).disk(&read);
    let model = Model::load()?;
    let [from, to] = [realm::reach(&realm, &model, &before)?, realm::reach(&realm, &model, &behind)?];
    let log = std::env::temp_dir().join(format!("realm-bench-{}.log", std::process::id()));
    let realm_time = time(&realm.log_to(&log).machine(), options.runs)?;
    fs::remove_file(&log)?;
    let realm_calls = to.total() - from.total();
    let in_realm = [from.counts, to.counts];
    let profile = difference(&in_realm)?;
    Ok(Disks {
        boots,
        read: [
            Read { instructions: spent(&ours), time: our_time },
            Read { instructions: spent(&edk2), time: edk2_time },
        ],
        realm: Read { instructions: spent(&in_realm), time: realm_time },
        realm_calls,
        profile,
        functions: options.functions,
    })
}

fn spent([from, to]: &[Counts; 2]) -> u64 {
    to.total().saturating_sub(from.total())
}

fn difference([from, to]: &[Counts; 2]) -> Result<Profile> {
    let profile = |counts| Profile::new(counts, &workspace::elf(), &workspace::image());
    Ok(profile(to)?.since(&profile(from)?))
}

/// The median of the times that the file takes.
fn time(machine: &Machine, runs: usize) -> Result<Duration> {
    let time = |_| {
        let mut vm = Vm::start(machine, LIMIT)?;
        vm.expect("reading")?;
        let from = vm.elapsed();
        vm.expect("read ")?;
        let time = vm.elapsed() - from;
        vm.expect("ok - Read: content")?;
        anyhow::Ok(time)
    };
    let times = (0..runs).map(time).collect::<Result<Vec<_>>>()?;
    super::median(&times).context("no time")
}

impl Disks {
    /// The rows.
    pub fn table(&self) -> String {
        let mut text = format!(
            "virtio-blk on PCI with a GPT and a FAT32 file system. Booting ends at Linux' own entry, with an initrd of {:.1} \
             MB; reading is one request for a file of {} MiB through the File protocol.\n\n\
             | | realmfw | EDK2 | EDK2 : realmfw |\n| --- | ---: | ---: | ---: |\n",
            super::INITRD_SIZE as f64 / 1e6,
            READ_SIZE as u64 / MIB
        );
        // Writing to a String does not fail.
        for boot in &self.boots {
            let [ours, edk2] = boot.instructions.map(millions);
            let _ = writeln!(text, "| {}, guest instructions | {ours} | {edk2} | {:.1} |", boot.name, boot.ratio());
        }
        let [ours, edk2] = &self.read;
        let _ = writeln!(
            text,
            "| Reading, guest instructions per MiB | {} | {} | {:.1} |",
            ours.per_mib(),
            edk2.per_mib(),
            self.read_ratio()
        );
        let seconds = |read: &Read| format!("{:.3} s", read.time.as_secs_f64());
        let _ = writeln!(text, "| Reading, wall | {} | {} | |", seconds(ours), seconds(edk2));
        let _ = writeln!(
            text,
            "\nIn a realm, where the file is copied once out of the shared pool, reading takes {} guest instructions per \
             MiB, {} of them in copies, and {} RSI calls; {}.\n",
            self.realm.per_mib(),
            self.profile.work(Work::Copy) / (READ_SIZE as u64 / MIB),
            self.realm_calls,
            seconds(&self.realm)
        );
        text.push_str(&self.profile.table(self.functions));
        text
    }

    fn read_ratio(&self) -> f64 {
        let [ours, edk2] = &self.read;
        edk2.instructions as f64 / ours.instructions as f64
    }

    /// What is to be reached.
    pub fn goals(&self) -> Vec<Goal> {
        let boot = |boot: &Boot| {
            let what =
                format!("{}: at most 1/{:.0} of EDK2's instructions (1/{:.1})", boot.name, boot.goal, boot.ratio());
            Goal::new(boot.ratio() >= boot.goal, what)
        };
        let mut goals: Vec<_> = self.boots.iter().map(boot).collect();
        let ratio = self.read_ratio();
        goals.push(Goal::new(ratio >= 2.0, format!("reading: at most half of EDK2's instructions (1/{ratio:.1})")));
        goals.push(Goal::new(self.realm_calls == 0, format!("reading: no RSI call ({})", self.realm_calls)));
        goals
    }
}

impl Boot {
    fn ratio(&self) -> f64 {
        let [ours, edk2] = self.instructions;
        edk2 as f64 / ours as f64
    }
}

impl Read {
    fn per_mib(&self) -> u64 {
        self.instructions / (READ_SIZE as u64 / MIB)
    }
}
