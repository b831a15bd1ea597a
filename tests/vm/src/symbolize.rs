//! Names for the addresses in the firmware's fault and panic reports.

use std::fs;
use std::ops::Range;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Context, Result, anyhow};
use object::{Object, ObjectSymbol};

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

    /// The function at an offset into the image's code, without the functions inlined there.
    pub fn function(&self, offset: u64) -> Option<String> {
        let code = self.loader.get_section_range(b".text")?;
        if !(code.begin..code.end).contains(&offset) {
            return None;
        }
        Some(demangled(self.loader.find_symbol(offset)?))
    }

    /// What stands at an offset into the image's code: the innermost function and its line, then
    /// those it is inlined in.
    pub fn describe(&self, offset: u64) -> Option<String> {
        let function = self.function(offset)?;
        let mut frames = Vec::new();
        if let Ok(mut inlined) = self.loader.find_frames(offset) {
            while let Ok(Some(frame)) = inlined.next() {
                let name = frame.function.and_then(|name| Some(demangled(&name.raw_name().ok()?)));
                let name = name.unwrap_or_else(|| function.clone());
                let place = frame.location.and_then(|place| Some((place.file?, place.line.unwrap_or(0))));
                frames.push(match place {
                    Some((file, line)) => format!("{name} at {file}:{line}"),
                    None => name,
                });
            }
        }
        // Assembly has a symbol and nothing else.
        if frames.is_empty() { Some(function) } else { Some(frames.join("\n      in ")) }
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

/// The offset into the image of the function or variable with a path such as `realmfw::log::LEVEL`, and its size.
pub fn find(elf: &Path, path: &str) -> Result<Range<u64>> {
    let bytes = fs::read(elf)?;
    let file = object::File::parse(bytes.as_slice())?;
    let is_it = |symbol: &object::Symbol<'_, '_>| {
        // Behind the path there may be a hash.
        let rest = symbol.name().ok().map(demangled).and_then(|name| name.strip_prefix(path).map(str::to_owned));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with("::h"))
    };
    let symbol = file.symbols().find(is_it).with_context(|| format!("{}: no symbol {path}", elf.display()))?;
    Ok(symbol.address()..symbol.address() + symbol.size())
}

fn demangled(name: &str) -> String {
    addr2line::demangle_auto(name.into(), None).into_owned()
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
