//! The results as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Loader, Results, median};

/// The text between these lines of the page is replaced.
const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// EDK2's instructions are to be at least this many times those of realmfw.
const GOAL: u64 = 30;
/// Below this the firmware has failed its purpose.
const FLOOR: u64 = 10;
/// How much later than with QEMU's own loader Linux may print its first line.
const WALL_GOAL: Duration = Duration::from_millis(100);

/// Something to be reached, which nothing fails of.
pub struct Goal {
    met: bool,
    what: String,
}

impl Goal {
    /// Whether it is, and what.
    pub fn new(met: bool, what: String) -> Self {
        Self { met, what }
    }

    /// Says so.
    pub fn say(&self) {
        println!("{}: {}", if self.met { "met" } else { "MISSED" }, self.what);
    }
}

/// What was measured with.
pub struct Versions {
    /// QEMU's version.
    pub qemu: String,
    /// The kernel package's version.
    pub kernel: String,
    /// The EDK2 package's version.
    pub edk2: String,
}

/// The table of all loaders.
pub fn table(all: &[Results], versions: &Versions, runs: usize) -> String {
    let mut text = String::new();
    let edk2 = versions.edk2.split(['+', '-']).next().unwrap_or_default();
    // Writing to a String does not fail.
    let _ = writeln!(
        text,
        "QEMU {} TCG, `-M virt,gic-version=3 -cpu max -smp 1 -m 1024`, Debian's cloud kernel {}, \
         an initrd of 20.0 MB. Times are medians of {runs} boots and include QEMU's own start.\n",
        versions.qemu, versions.kernel
    );
    text.push_str(
        "| | Image (bytes) | Guest instructions to the kernel's PE entry | Wall to the EFI stub's \
         first line | Wall to Linux' first line | MemTotal |\n\
         | --- | ---: | ---: | ---: | ---: | ---: |\n",
    );
    for one in all {
        let name = match one.loader {
            Loader::Realmfw => "realmfw".to_owned(),
            Loader::Edk2 => format!("EDK2 {edk2}"),
            Loader::Qemu => "none (QEMU's own loader, no EFI)".to_owned(),
        };
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let size = or_dash(one.image_size.map(|size| size.to_string()));
        let counts = one.counts.as_ref();
        let counts = or_dash(counts.map(|counts| millions(counts.total())));
        let stub = or_dash(median(&one.to_stub).map(seconds));
        let _ = writeln!(
            text,
            "| {name} | {size} | {counts} | {stub} | {} | {} KiB |",
            or_dash(median(&one.to_first_line).map(seconds)),
            one.mem_total_kib
        );
    }
    if let (Some(ratio), Some(wall)) = (ratio(all), behind_qemu(all)) {
        let _ = writeln!(
            text,
            "\nEDK2 executes {ratio:.1} times the instructions of realmfw; realmfw's kernel prints \
             its first line {:.3} s {} QEMU's own.",
            wall.abs(),
            if wall < 0.0 { "before" } else { "after" }
        );
    }
    text
}

/// As the tables have it.
pub fn millions(count: u64) -> String {
    format!("{:.2} M", count as f64 / 1e6)
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn find(all: &[Results], loader: Loader) -> Option<&Results> {
    all.iter().find(|one| one.loader == loader)
}

fn ratio(all: &[Results]) -> Option<f64> {
    let total = |loader| Some(find(all, loader)?.counts.as_ref()?.total());
    Some(total(Loader::Edk2)? as f64 / total(Loader::Realmfw)? as f64)
}

/// Seconds by which realmfw is later than QEMU's own loader.
fn behind_qemu(all: &[Results]) -> Option<f64> {
    let time = |loader| Some(median(&find(all, loader)?.to_first_line)?.as_secs_f64());
    Some(time(Loader::Realmfw)? - time(Loader::Qemu)?)
}

/// What is to be reached. Instructions over the floor are an error.
pub fn goals(all: &[Results]) -> Result<Vec<Goal>> {
    let ratio = ratio(all).context("nothing to compare")?;
    let wall = behind_qemu(all).context("nothing to compare")?;
    if ratio < FLOOR as f64 {
        bail!("more than 1/{FLOOR} of EDK2's instructions");
    }
    let goal = WALL_GOAL.as_secs_f64();
    Ok(vec![
        Goal::new(ratio >= GOAL as f64, format!("at most 1/{GOAL} of EDK2's instructions (1/{ratio:.1})")),
        Goal::new(wall <= goal, format!("Linux' first line within {goal} s of QEMU's own loader ({wall:.3} s)")),
    ])
}

/// Puts the text between the marks of a page.
pub fn insert(page: &Path, text: &str) -> Result<()> {
    let old = fs::read_to_string(page).with_context(|| page.display().to_string())?;
    let new = replaced(&old, text).with_context(|| format!("{} has no place for the table", page.display()))?;
    fs::write(page, new)?;
    Ok(())
}

fn replaced(page: &str, text: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_text_between_the_marks_changes() {
        let page = format!("top\n{BEGIN}\nold\n{END}\nbottom\n");
        let new = replaced(&page, "new\n").unwrap();
        assert_eq!(new, format!("top\n{BEGIN}\nnew\n{END}\nbottom\n"));
        assert_eq!(replaced("no marks", "new"), None);
    }
}
