//! Files that are built again and again.

use std::ffi::OsString;
use std::path::Path;
use std::{fs, process};

use anyhow::{Context, Result};

/// Makes `content` what the file at `path` holds, in one step and only if it holds anything else: a machine that another
/// test starts meanwhile finds it whole.
pub fn replace(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let mut part = OsString::from(path);
    part.push(format!(".{}", process::id()));
    let written = fs::write(&part, content).and_then(|()| fs::rename(&part, path));
    written.with_context(|| format!("cannot write {}", path.display()))
}
