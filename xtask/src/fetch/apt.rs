//! apt with a directory of its own: it sees Debian's arm64 suites, and nothing of the machine's
//! packages changes. Signatures and hashes are apt's business, with the machine's Debian keys.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use super::mirror;
use crate::command;

/// The suites that have what is needed: Debian 13 by its name, for its long-term kernel, and the
/// two that new versions pass through.
const SUITES: [&str; 3] = ["trixie", "testing", "unstable"];

/// Every archive key of Debian. The machine's sources may name only its own release's.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// The private apt.
pub struct Apt {
    dir: PathBuf,
}

impl Apt {
    /// Sets the directory up.
    pub fn new(dir: &Path) -> Result<Self> {
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let signed_by = match Path::new(KEYRING).is_file() {
            true => format!(" signed-by={KEYRING}"),
            // apt's own trusted keys then.
            false => String::new(),
        };
        let uri = mirror::uri()?;
        let sources: String =
            SUITES.iter().map(|suite| format!("deb [arch=arm64{signed_by}] {uri} {suite} main\n")).collect();
        fs::write(dir.join("sources.list"), sources)?;
        // Nothing is installed as far as this apt knows.
        fs::write(dir.join("status"), "")?;
        Ok(Self { dir: dir.to_path_buf() })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let path = |part: &str| self.dir.join(part).display().to_string();
        for (option, value) in [
            ("Dir::Etc::sourcelist", path("sources.list")),
            ("Dir::Etc::sourceparts", "/dev/null".into()),
            ("Dir::Etc::preferences", "/dev/null".into()),
            ("Dir::Etc::preferencesparts", "/dev/null".into()),
            ("Dir::State::lists", path("lists")),
            ("Dir::State::status", path("status")),
            ("Dir::Cache", path("cache")),
            ("APT::Architecture", "arm64".into()),
            ("APT::Architectures", "arm64".into()),
            // The checkout may be out of reach of apt's own user.
            ("APT::Sandbox::User", "root".into()),
            ("Acquire::Languages", "none".into()),
            // Descriptions for software centres, where the machine has them switched on.
            ("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled", "false".into()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        command
    }

    /// Fetches the lists of packages.
    pub fn update(&self) -> Result<()> {
        command::run(self.command("apt-get").args(["update", "--error-on=any"]))
    }

    /// The names of the packages that begin with `prefix`.
    pub fn names(&self, prefix: &str) -> Result<Vec<String>> {
        let names = command::output(self.command("apt-cache").args(["pkgnames", prefix]))?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Downloads the newest version of each package into a folder.
    pub fn download(&self, packages: &[String], to: &Path) -> Result<()> {
        let mut command = self.command("apt-get");
        command.arg("download").args(packages).current_dir(to);
        command::run(&mut command)
    }
}
