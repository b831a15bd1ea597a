//! Where the firmware's instructions go, by function.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use vm::symbolize::Symbols;

use super::count::{Block, Counts};

/// What is not code of the firmware: the kernel's EFI stub, other EFI programs, the runtime services.
const OUTSIDE: &str = "(outside the firmware's functions)";

/// A block is part of a loop from so many passes on. No function is called as often by a hash of megabytes.
const LOOP: u64 = 1000;

/// Instructions by function.
pub struct Profile {
    functions: BTreeMap<String, Function>,
}

#[derive(Default)]
struct Function {
    executed: u64,
    /// By address, since a block may be translated more than once: its length in instructions, what was executed of it.
    blocks: BTreeMap<u64, (u64, u64)>,
}

/// What instructions are for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Hashing what is measured.
    Hash,
    /// Copying and clearing memory.
    Copy,
    /// Everything else, in the firmware and outside.
    Rest,
}

impl Work {
    fn of(function: &str) -> Self {
        let is = |parts: &[&str]| parts.iter().any(|part| function.contains(part));
        if is(&["measured::hash", "measured::authenticode", "sha2::"]) {
            Work::Hash
        } else if matches!(function, "memcpy" | "memmove" | "memset") {
            Work::Copy
        } else {
            Work::Rest
        }
    }
}

impl Profile {
    /// Names the blocks that are of the firmware.
    pub fn new(counts: &Counts, elf: &Path, image: &Path) -> Result<Self> {
        let symbols = Symbols::load(elf)?;
        let image = fs::read(image)?;
        let bases = bases(&counts.blocks, &image);
        let mut functions = BTreeMap::<String, Function>::new();
        for block in &counts.blocks {
            let name = bases
                .iter()
                .find_map(|base| {
                    let offset = block.address.checked_sub(*base)?;
                    let at = usize::try_from(offset).ok()?;
                    let same = image.get(at..at.checked_add(block.bytes.len())?)?;
                    (same == block.bytes).then(|| symbols.function(offset))?
                })
                .unwrap_or_else(|| OUTSIDE.to_owned());
            let function = functions.entry(name).or_default();
            function.executed += block.executed;
            let (_, executed) = function.blocks.entry(block.address).or_insert((block.bytes.len() as u64 / 4, 0));
            *executed += block.executed;
        }
        Ok(Self { functions })
    }

    /// Instructions of one kind.
    pub fn work(&self, work: Work) -> u64 {
        self.functions.iter().filter(|(name, _)| Work::of(name) == work).map(|(_, function)| function.executed).sum()
    }

    /// Instructions that one pass of the loop in the first function with this in its name takes, with those of loops
    /// within it.
    pub fn pass(&self, function: &str) -> Option<f64> {
        let (_, function) = self.functions.iter().find(|(name, _)| name.contains(function))?;
        let passes = |(length, executed): &(u64, u64)| executed / (*length).max(1);
        let hot: Vec<_> = function.blocks.values().filter(|block| passes(block) >= LOOP).collect();
        let rounds = hot.iter().map(|block| passes(block)).min()?;
        Some(hot.iter().map(|(_, executed)| executed).sum::<u64>() as f64 / rounds as f64)
    }

    /// What was executed since `earlier`, a profile of the same boot up to another place.
    pub fn since(mut self, earlier: &Self) -> Self {
        for (name, before) in &earlier.functions {
            if let Some(function) = self.functions.get_mut(name) {
                function.executed = function.executed.saturating_sub(before.executed);
            }
        }
        self
    }

    /// The first `rows` functions as Markdown.
    pub fn table(&self, rows: usize) -> String {
        let mut text = String::from("| Function | Instructions | Share |\n| --- | ---: | ---: |\n");
        let mut functions: Vec<_> = self.functions.iter().map(|(name, function)| (name, function.executed)).collect();
        functions.sort_by_key(|(_, executed)| std::cmp::Reverse(*executed));
        let total = functions.iter().map(|(_, executed)| executed).sum();
        let mut rest = total;
        for (name, executed) in functions.into_iter().take(rows) {
            rest -= executed;
            // Writing to a String does not fail.
            let _ = writeln!(text, "| `{name}` | {executed} | {} |", share(executed, total));
        }
        let _ = writeln!(text, "| everything else | {rest} | {} |", share(rest, total));
        text
    }
}

fn share(part: u64, total: u64) -> String {
    format!("{:.1} %", part as f64 * 100.0 / total.max(1) as f64)
}

/// Where the image was when it was executed: the firmware moves itself, so it may be in two places.
/// Each block that stands in the image just once votes for one.
fn bases(blocks: &[Block], image: &[u8]) -> Vec<u64> {
    let mut votes = BTreeMap::<u64, u64>::new();
    for block in blocks.iter().filter(|block| block.bytes.len() >= 16) {
        let mut places = image
            .chunks_exact(4)
            .enumerate()
            .map(|(index, _)| index * 4)
            .filter(|&at| image.get(at..).is_some_and(|rest| rest.starts_with(&block.bytes)));
        if let (Some(at), None) = (places.next(), places.next())
            && let Some(base) = block.address.checked_sub(at as u64)
            && base & 0xfff == 0
        {
            *votes.entry(base).or_default() += 1;
        }
    }
    let mut bases: Vec<_> = votes.into_iter().filter(|(_, count)| *count > 1).collect();
    bases.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    bases.into_iter().map(|(base, _)| base).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_base_is_where_unique_blocks_agree() {
        let image: Vec<u8> = (0..=255).collect();
        let block = |address, at: usize| Block { address, executed: 1, bytes: image[at..at + 16].to_vec() };
        let blocks = [block(0x4008_0010, 0x10), block(0x4008_0040, 0x40), block(0x5000_0080, 0x80)];
        assert_eq!(bases(&blocks, &image), [0x4008_0000]);
    }

    fn profile(functions: &[(&str, &[(u64, u64)])]) -> Profile {
        let function = |blocks: &[(u64, u64)]| Function {
            executed: blocks.iter().map(|(_, executed)| executed).sum(),
            blocks: (0..).zip(blocks.iter().copied()).collect(),
        };
        Profile { functions: functions.iter().map(|(name, blocks)| ((*name).to_owned(), function(blocks))).collect() }
    }

    #[test]
    fn a_pass_has_the_blocks_of_the_loop_alone() {
        // A prologue, the loop's body in two blocks, and an inner loop of four rounds.
        let blocks = [(30, 60), (98, 98 * 5000), (2, 2 * 5000), (10, 10 * 20_000)];
        assert_eq!(profile(&[("measured::hash::cpu::compress256", &blocks)]).pass("compress256"), Some(140.0));
        assert_eq!(profile(&[("compress256", &[(30, 60)])]).pass("compress256"), None);
    }

    #[test]
    fn work_is_told_by_the_names() {
        let blocks = |executed| [(1, executed)];
        let before = profile(&[("memcpy", &blocks(3)), (OUTSIDE, &blocks(1))]);
        let profile = profile(&[
            ("memcpy", &blocks(10)),
            ("memset", &blocks(5)),
            ("measured::hash::Hasher::update", &blocks(7)),
            ("realmfw::boot::boot", &blocks(2)),
            (OUTSIDE, &blocks(1)),
        ]);
        let work = [Work::Hash, Work::Copy, Work::Rest].map(|work| profile.work(work));
        assert_eq!(work, [7, 15, 3]);
        assert_eq!(profile.since(&before).work(Work::Copy), 12);
    }
}
