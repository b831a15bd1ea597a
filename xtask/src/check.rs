//! Formatting, lints and licences.

use std::fs;
use std::slice;

use anyhow::{Context, Result, bail};

use crate::command;
use crate::image::TARGET;

/// The crates with something in them that builds for the bare machine only.
const BARE: [&str; 6] =
    ["boot-asm", "memory-functions", "model-rmm", "realm-conformance", "realmfw", "realmfw-runtime"];

/// The crates for the host that are no default members of the workspace: their tests need QEMU, or
/// they have none.
const HOST: [&str; 3] = ["insn-count", "qemu-tests", "realm-tests"];

/// The target of EFI programs.
pub const UEFI: &str = "aarch64-unknown-uefi";

/// The EFI programs of the tests.
pub const EFI_PROGRAMS: [&str; 2] = ["efi-check", "uefi-walk"];

/// `cargo fmt` would change nothing.
pub fn format() -> Result<()> {
    command::run(command::cargo().args(["fmt", "--all", "--check"]))
}

/// Clippy has nothing to say, for the host, the firmware and the EFI programs.
pub fn lint() -> Result<()> {
    let members = members()?;
    let is_member = |name: &&str| members.iter().any(|member| member == name);
    command::run(command::cargo().args(["clippy", "--quiet", "--all-targets", "--", "--deny", "warnings"]))?;
    let mut host = command::cargo();
    host.args(["clippy", "--quiet", "--all-targets"]);
    for name in HOST {
        host.args(["--package", name]);
    }
    command::run(host.args(["--", "--deny", "warnings"]))?;
    // One by one: built together, they would share the features of what they depend on, and the payload of the
    // conformance tests would need an allocator.
    for name in BARE.iter().filter(|name| is_member(name)) {
        let mut bare = command::cargo();
        bare.args(["clippy", "--quiet", "--release", "--target", TARGET, "--package", name]);
        command::run(bare.args(["--", "--deny", "warnings"]))?;
    }
    for name in EFI_PROGRAMS.iter().filter(|name| is_member(name)) {
        let mut efi = command::cargo();
        efi.args(["clippy", "--quiet", "--target", UEFI, "--package", name]);
        command::run(efi.args(["--", "--deny", "warnings"]))?;
    }
    Ok(())
}

/// The names of the workspace's crates.
fn members() -> Result<Vec<String>> {
    let mut cargo = command::cargo();
    let list =
        command::output(cargo.args(["tree", "--workspace", "--depth", "0", "--prefix", "none", "--format", "{p}"]))?;
    let mut names: Vec<_> = list.lines().filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

/// The program that knows licences and advisories; what it does not need a network for, [`licences`] does without it.
const DENY: &str = "cargo-deny";

/// No dependency has an advisory in the RustSec database. Returns why that could not be found out, if it could not.
pub fn advisories() -> Result<Option<String>> {
    if command::find_program(DENY).is_none() {
        return Ok(Some(format!("{DENY} is not installed: `cargo install --locked {DENY}`")));
    }
    // Apart from the check, whose failure would not tell an advisory from a database that cannot be had.
    let fetched = command::cargo().args(["deny", "fetch", "db"]).status().context("cargo deny")?;
    if !fetched.success() {
        return Ok(Some("the RustSec database cannot be fetched".into()));
    }
    command::run(command::cargo().args(["deny", "--all-features", "check", "--disable-fetch", "advisories"]))?;
    Ok(None)
}

/// Every dependency's licence is one that deny.toml allows. With cargo-deny installed, it checks sources as well.
pub fn licences() -> Result<()> {
    if command::find_program(DENY).is_some() {
        let checks = ["licenses", "bans", "sources"];
        return command::run(command::cargo().args(["deny", "--all-features", "check"]).args(checks));
    }
    let path = vm::workspace::root().join("deny.toml");
    let deny = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let allowed = allowed(&deny).context("deny.toml allows no licence")?;
    let exceptions = exceptions(&deny);
    let mut cargo = command::cargo();
    let list = command::output(cargo.args([
        "tree",
        "--workspace",
        "--target",
        "all",
        "--edges",
        "all",
        "--prefix",
        "none",
        "--format",
        "{p}\t{l}",
    ]))?;
    let mut refused: Vec<_> = list
        .lines()
        .filter_map(|line| line.trim_end_matches(" (*)").split_once('\t'))
        .filter(|(_, licence)| !permits(licence, &allowed))
        .filter(|(package, licence)| {
            let name = package.split_whitespace().next().unwrap_or_default();
            !exceptions.iter().any(|(excepted, allowed)| excepted == name && permits(licence, slice::from_ref(allowed)))
        })
        .map(|(package, licence)| format!("{package}: {licence:?}"))
        .collect();
    refused.sort();
    refused.dedup();
    if !refused.is_empty() {
        bail!("licences that deny.toml does not allow:\n{}", refused.join("\n"));
    }
    Ok(())
}

/// The strings of the `allow` list in deny.toml.
fn allowed(deny: &str) -> Option<Vec<String>> {
    let (_, rest) = deny.split_once("\nallow = [")?;
    let (list, _) = rest.split_once(']')?;
    let quoted = list.split('"').skip(1).step_by(2);
    Some(quoted.map(str::to_owned).collect())
}

/// The crates of the `exceptions` list in deny.toml, each with the licence that it alone may have.
fn exceptions(deny: &str) -> Vec<(String, String)> {
    let between = |line: &str, before: &str| {
        let (_, rest) = line.split_once(before)?;
        Some(rest.split_once('"')?.0.to_owned())
    };
    deny.lines().filter_map(|line| Some((between(line, "crate = \"")?, between(line, "{ allow = [\"")?))).collect()
}

/// Whether an SPDX expression lets the crate be used under the allowed licences. `/` is the old way
/// to write OR.
fn permits(expression: &str, allowed: &[String]) -> bool {
    let words = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ").replace(" WITH ", "-WITH-");
    let words: Vec<_> = words.split_whitespace().collect();
    let mut at = 0;
    let permitted = any_of(&words, &mut at, allowed);
    permitted == Some(true) && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let mut permitted = all_of(words, at, allowed)?;
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        permitted |= all_of(words, at, allowed)?;
    }
    Some(permitted)
}

fn all_of(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let mut permitted = one(words, at, allowed)?;
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        permitted &= one(words, at, allowed)?;
    }
    Some(permitted)
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> Option<bool> {
    let word = *words.get(*at)?;
    *at += 1;
    if word != "(" {
        return Some(allowed.iter().any(|licence| licence.replace(' ', "-") == word));
    }
    let permitted = any_of(words, at, allowed)?;
    let closed = words.get(*at) == Some(&")");
    *at += 1;
    closed.then_some(permitted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_read_as_spdx_means_them() {
        let allowed = ["MIT".to_owned(), "Apache-2.0".to_owned()];
        for good in ["MIT", "MIT OR Apache-2.0", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-2.0) AND Apache-2.0"]
        {
            assert!(permits(good, &allowed), "{good}");
        }
        for bad in ["", "GPL-2.0", "MIT AND GPL-2.0", "MIT OR", "(MIT", "Apache-2.0 WITH LLVM-exception", "MIT GPL-2.0"]
        {
            assert!(!permits(bad, &allowed), "{bad}");
        }
    }

    #[test]
    fn the_list_of_deny_toml_is_read() {
        let deny = "[licenses]\nallow = [\n  \"MIT\",\n  \"Apache-2.0\",\n]\nx = [\"GPL\"]\n";
        assert_eq!(allowed(deny).unwrap(), ["MIT", "Apache-2.0"]);
        assert_eq!(allowed("[licenses]\n"), None);
        let deny = "exceptions = [\n  { allow = [\"MPL-2.0\"], crate = \"ucs2\" },\n]\n";
        assert_eq!(exceptions(deny), [("ucs2".to_owned(), "MPL-2.0".to_owned())]);
    }
}
