//! Names for the addresses in the firmware's fault and panic reports.

use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};

/// What the firmware writes in front of an offset into its image.
pub const MARK: &str = "image+0x";

/// The symbols and line tables of a firmware build.
pub struct Symbols {
    loader: Loader,
}

impl Symbols {
    /// Reads them from `target/realmfw.elf` or another ELF file.
    pub fn load(elf: &Path) -> Result<Self> {
        let loader = Loader::new(elf).map_err(|error| anyhow!("{}: {error}", elf.display()))?;
        Ok(Self { loader })
    }

    /// The function at an offset into the image, without the functions inlined there.
    pub fn function(&self, offset: u64) -> Option<String> {
        let name = self.loader.find_symbol(offset)?;
        Some(addr2line::demangle_auto(name.into(), None).into_owned())
    }

    /// What stands at an offset into the image: function, file and line.
    pub fn describe(&self, offset: u64) -> Option<String> {
        let place = self.place(offset);
        match (self.function(offset), place) {
            (Some(name), Some(place)) => Some(format!("{name} at {place}")),
            (name, place) => name.or(place),
        }
    }

    fn place(&self, offset: u64) -> Option<String> {
        let place = self.loader.find_location(offset).ok()??;
        Some(format!("{}:{}", place.file?, place.line.unwrap_or(0)))
    }

    /// The text with a name behind every `image+0x…`.
    pub fn annotate(&self, text: &str) -> String {
        let mut annotated = String::with_capacity(text.len());
        for line in text.split_inclusive('\n') {
            let (body, end) = match line.strip_suffix('\n') {
                Some(body) => (body, "\n"),
                None => (line, ""),
            };
            annotated.push_str(body);
            for offset in offsets(body) {
                if let Some(place) = self.describe(offset) {
                    annotated.push_str("  ");
                    annotated.push_str(&place);
                }
            }
            annotated.push_str(end);
        }
        annotated
    }
}

/// The offsets that a line names.
fn offsets(line: &str) -> impl Iterator<Item = u64> {
    line.split(MARK).skip(1).filter_map(|rest| {
        let end = rest.find(|char: char| !char.is_ascii_hexdigit());
        u64::from_str_radix(rest.get(..end.unwrap_or(rest.len()))?, 16).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_found_in_any_line() {
        let line = "  #1 image+0x1a4c (lr), elr=image+0xFF, image+0x";
        assert_eq!(offsets(line).collect::<Vec<_>>(), [0x1a4c, 0xff]);
        assert_eq!(offsets("nothing here").count(), 0);
    }
}
