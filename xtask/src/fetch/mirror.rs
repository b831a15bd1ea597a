//! Which mirror this machine takes Debian from, read from its own sources.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// One place to get packages from.
#[derive(Debug, Default, Eq, PartialEq)]
struct Source {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
}

/// The URI of the machine's Debian mirror. `REALMFW_DEBIAN_MIRROR` overrides it.
pub fn uri() -> Result<String> {
    if let Ok(uri) = env::var("REALMFW_DEBIAN_MIRROR") {
        return Ok(uri);
    }
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let codename =
        release.lines().find_map(|line| line.strip_prefix("VERSION_CODENAME=")).unwrap_or("sid").trim_matches('"');
    let mut sources = Vec::new();
    for file in files(Path::new("/etc/apt")) {
        let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
        if file.extension().is_some_and(|kind| kind == "sources") {
            sources.extend(parse_deb822(&text));
        } else {
            sources.extend(parse_list(&text));
        }
    }
    choose(&sources, codename)
        .context("this machine's apt sources name no Debian mirror: set REALMFW_DEBIAN_MIRROR to one")
}

fn files(apt: &Path) -> Vec<PathBuf> {
    let mut files = vec![apt.join("sources.list")];
    let parts = fs::read_dir(apt.join("sources.list.d"));
    files.extend(parts.into_iter().flatten().flatten().map(|part| part.path()));
    files.retain(|file| {
        let kind = file.extension().unwrap_or_default();
        (kind == "list" || kind == "sources") && file.is_file()
    });
    files.sort();
    files
}

/// The source of the release itself: other suites may live on other servers (updates for
/// security), and other vendors' archives have suites of their own.
fn choose(sources: &[Source], codename: &str) -> Option<String> {
    let aliases = [codename, "stable", "testing", "unstable", "sid"];
    aliases.iter().find_map(|suite| {
        let found = sources.iter().find(|source| {
            source.suites.iter().any(|name| name == suite)
                && source.components.iter().any(|name| name == "main")
                && !source.uri.starts_with("cdrom:")
        })?;
        Some(found.uri.clone())
    })
}

/// sources.list(5), one-line style: `deb [options] uri suite component…`.
fn parse_list(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some(rest) = line.strip_prefix("deb") else {
            continue;
        };
        if !rest.starts_with([' ', '\t', '[']) {
            continue;
        }
        let mut rest = rest.trim_start();
        if let Some(options) = rest.strip_prefix('[') {
            rest = options.split_once(']').map_or("", |(_, rest)| rest);
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        if let (Some(uri), Some(suite)) = (words.next(), words.next()) {
            sources.push(Source { uri, suites: vec![suite], components: words.collect() });
        }
    }
    sources
}

/// sources.list(5), deb822 style: stanzas of `Field: values`, continued on indented lines.
fn parse_deb822(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    for stanza in text.split("\n\n") {
        let mut fields: Vec<(String, Vec<String>)> = Vec::new();
        for line in stanza.lines().filter(|line| !line.starts_with('#')) {
            let values = |text: &str| text.split_whitespace().map(str::to_owned).collect();
            if line.starts_with([' ', '\t']) {
                if let Some((_, more)) = fields.last_mut() {
                    let next: Vec<String> = values(line);
                    more.extend(next);
                }
            } else if let Some((name, value)) = line.split_once(':') {
                fields.push((name.trim().to_ascii_lowercase(), values(value)));
            }
        }
        let field = |name: &str| -> Vec<String> {
            let found = fields.iter().find(|(field, _)| field == name);
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        };
        let enabled = field("enabled").first().is_none_or(|value| value != "no");
        if !enabled || !field("types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in field("uris") {
            sources.push(Source { uri, suites: field("suites"), components: field("components") });
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_sources() {
        let text = "# deb http://old/ bookworm main\n\
                    deb-src http://source/ bookworm main\n\
                    deb cdrom:[Debian]/ bookworm main\n\
                    deb http://vendor/apt tool-bookworm main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://mirror/debian bookworm main contrib # own\n";
        let sources = parse_list(text);
        assert_eq!(choose(&sources, "bookworm").as_deref(), Some("http://mirror/debian"));
    }

    #[test]
    fn deb822_sources() {
        let text = "Types: deb deb-src\nEnabled: no\nURIs: http://off/\nSuites: bookworm\nComponents: main\n\n\
                    Types: deb\n# a comment\nURIs: http://security/\nSuites: bookworm-security\nComponents: main\n\n\
                    Types: deb\nURIs: http://mirror/debian\nSuites: bookworm\n bookworm-updates\nComponents: main\nSigned-By:\n -----BEGIN\n";
        let sources = parse_deb822(text);
        assert_eq!(choose(&sources, "bookworm").as_deref(), Some("http://mirror/debian"));
        assert_eq!(choose(&sources, "trixie"), None);
    }
}
