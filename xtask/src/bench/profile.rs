//! Where the firmware's instructions go, by function.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use vm::symbolize::Symbols;

use super::count::{Block, Counts};

/// Instructions by function.
pub struct Profile {
    total: u64,
    /// Most first.
    functions: Vec<(String, u64)>,
}

impl Profile {
    /// Names the blocks that are of the firmware.
    pub fn new(counts: &Counts, elf: &Path, image: &Path) -> Result<Self> {
        let symbols = Symbols::load(elf)?;
        let image = fs::read(image)?;
        let bases = bases(&counts.blocks, &image);
        let mut functions = BTreeMap::<String, u64>::new();
        for block in &counts.blocks {
            let name = bases
                .iter()
                .find_map(|base| {
                    let offset = block.address.checked_sub(*base)?;
                    let at = usize::try_from(offset).ok()?;
                    let same = image.get(at..at.checked_add(block.bytes.len())?)?;
                    (same == block.bytes).then(|| symbols.function(offset))?
                })
                .unwrap_or_else(|| "(outside the firmware's functions)".to_owned());
            *functions.entry(name).or_default() += block.executed;
        }
        let mut functions: Vec<_> = functions.into_iter().collect();
        functions.sort_by_key(|(_, executed)| std::cmp::Reverse(*executed));
        Ok(Self { total: counts.total(), functions })
    }

    /// The first `rows` functions as Markdown.
    pub fn table(&self, rows: usize) -> String {
        let mut text = String::from(
            "\nWhere realmfw's instructions go:\n\n\
             | Function | Instructions | Share |\n| --- | ---: | ---: |\n",
        );
        let mut rest = self.total;
        for (name, executed) in self.functions.iter().take(rows) {
            rest -= executed;
            // Writing to a String does not fail.
            let _ = writeln!(text, "| `{name}` | {executed} | {} |", share(*executed, self.total));
        }
        let _ = writeln!(text, "| everything else | {rest} | {} |", share(rest, self.total));
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
}
