//! Files that a test makes for its machine.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Result;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A folder of one test, removed at its end.
pub struct Scratch {
    dir: PathBuf,
}

impl Scratch {
    /// Makes the folder.
    pub fn new() -> Result<Self> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = env::temp_dir().join(format!("realmfw-test-{}-{number}", process::id()));
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    /// The path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: impl AsRef<[u8]>) -> Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, content)?;
        Ok(path)
    }

    /// Writes a file of this size that is a hole.
    pub fn sparse(&self, name: &str, size: u64) -> Result<PathBuf> {
        let path = self.path(name);
        fs::File::create(&path)?.set_len(size)?;
        Ok(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A file left in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Copies a file and changes the copy.
pub fn changed(file: &Path, change: impl FnOnce(&mut Vec<u8>)) -> Result<Vec<u8>> {
    let mut content = fs::read(file)?;
    change(&mut content);
    Ok(content)
}
