//! The checks of the initramfs (`tests/init`): what it is told, and what it answers. The EFI program
//! `tests/efi-check` answers in the same form.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};

/// What the last line of the initramfs and of the EFI programs `tests/efi-check` and `tests/uefi-walk` begins with.
const SUMMARIES: [&str; 3] = ["realmfw-checks: ", "efi-check: ", "uefi-walk: "];

/// How the guest ends after its checks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// EFI ResetSystem(EfiResetShutdown).
    Poweroff,
    /// EFI ResetSystem(EfiResetCold).
    Reboot,
}

/// What the guest has to find.
#[derive(Clone, Copy, Debug)]
pub struct Checks {
    /// How it ends.
    pub end: End,
    /// The CPUs of the machine.
    pub cpus: u32,
    /// The RAM of the machine in MiB.
    pub memory_mib: u64,
    /// Whether the kernel is entered at EL2.
    pub el2: bool,
}

impl Checks {
    /// The kernel command line that asks for them, with `more` in its middle.
    ///
    /// The first and the last word are known to the initramfs and tell it that nothing was cut.
    pub fn command_line(&self, more: &str) -> String {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        let end = match self.end {
            End::Poweroff => "poweroff",
            End::Reboot => "reboot",
        };
        let el = if self.el2 { 2 } else { 1 };
        let mut line = format!(
            "realmfw.first realmfw.mode=check realmfw.end={end} realmfw.time={time} \
             realmfw.cpus={} realmfw.memory={} realmfw.el={el} efi=debug panic=-1",
            self.cpus, self.memory_mib,
        );
        for word in more.split_whitespace() {
            line.push(' ');
            line.push_str(word);
        }
        line.push_str(" realmfw.last");
        line
    }
}

/// The answer of a guest.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Verdict {
    /// The checks that held.
    pub passed: Vec<String>,
    /// The checks that did not, with the reason.
    pub failed: Vec<String>,
    /// Facts that it reported, as `name: value`.
    pub notes: Vec<(String, String)>,
}

impl Verdict {
    /// Finds the answer in a console log. An answer that is not complete is an error.
    pub fn parse(console: &str) -> Result<Self> {
        let mut verdict = Self::default();
        let mut summary = None;
        for line in console.lines() {
            if let Some(name) = line.strip_prefix("ok - ") {
                verdict.passed.push(name.to_owned());
            } else if let Some(name) = line.strip_prefix("not ok - ") {
                verdict.failed.push(name.to_owned());
            } else if let Some(note) = line.strip_prefix("# ") {
                if let Some((name, value)) = note.split_once(": ") {
                    verdict.notes.push((name.to_owned(), value.to_owned()));
                }
            } else if let Some(counts) = SUMMARIES.iter().find_map(|name| line.strip_prefix(name)) {
                summary = Some(counts);
            }
        }
        let summary = summary.context("the guest printed no summary of its checks")?;
        let expected = format!("{} passed, {} failed", verdict.passed.len(), verdict.failed.len());
        if summary != expected {
            bail!("the guest summed up {summary:?}, but its console shows {expected:?}");
        }
        if verdict.passed.is_empty() && verdict.failed.is_empty() {
            bail!("the guest checked nothing");
        }
        Ok(verdict)
    }

    /// Whether every check held.
    pub fn all_passed(&self) -> bool {
        self.failed.is_empty() && !self.passed.is_empty()
    }

    /// The value of a reported fact.
    pub fn note(&self, name: &str) -> Option<&str> {
        let found = self.notes.iter().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complete_answer_is_read() {
        let console = "noise\nok - a\nnot ok - b: why\n# MemTotal: 5 kB\nrealmfw-checks: 1 passed, 1 failed\n";
        let verdict = Verdict::parse(console).unwrap();
        assert_eq!(verdict.passed, ["a"]);
        assert_eq!(verdict.failed, ["b: why"]);
        assert_eq!(verdict.note("MemTotal"), Some("5 kB"));
        assert!(!verdict.all_passed());
        assert!(Verdict::parse("ok - a\nefi-check: 1 passed, 0 failed\n").unwrap().all_passed());
    }

    #[test]
    fn a_missing_or_wrong_summary_is_an_error() {
        assert!(Verdict::parse("ok - a\n").is_err());
        assert!(Verdict::parse("ok - a\nrealmfw-checks: 2 passed, 0 failed\n").is_err());
        assert!(Verdict::parse("realmfw-checks: 0 passed, 0 failed\n").is_err());
    }

    #[test]
    fn the_command_line_keeps_first_and_last_word() {
        let checks = Checks { end: End::Poweroff, cpus: 4, memory_mib: 512, el2: true };
        let line = checks.command_line("quiet  x=y");
        assert!(line.starts_with("realmfw.first "));
        assert!(line.ends_with(" quiet x=y realmfw.last"));
        assert!(line.contains(" realmfw.el=2 "));
    }
}
