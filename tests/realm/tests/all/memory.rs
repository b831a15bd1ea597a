//! QEMU's RAM after the end of a realm: what the host holds, and what the realm held.

use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, Result};
use model_rmm::layout::{Layout, QEMU_RAM};
use model_rmm::options::{Dma, Launch};

const PAGE: usize = 4096;
/// What is read at a time.
const CHUNK: usize = 1 << 20;
/// What the model fills memory with whose contents are undefined.
const UNDEFINED: u8 = 0xa5;
/// RAM of a realm that nothing else is said of.
const REALM_RAM: u64 = 512 << 20;

/// The IPA width of a realm that nothing else is said of: QEMU's RAM behind the shared alias is used for nothing else.
const WIDTH: u32 = 33;

/// A file for QEMU's RAM, gone with its value. The realm is one with the usual RAM and width, launched as QEMU launches a
/// firmware.
#[derive(Debug)]
pub struct MemoryFile(PathBuf);

/// A page that somebody has written to.
#[derive(Clone, Debug)]
pub struct Page {
    /// The realm's address of it, without the shared bit.
    pub address: u64,
    /// What is in it.
    pub bytes: Vec<u8>,
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

impl MemoryFile {
    /// A file that QEMU is going to make.
    pub fn new() -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("realm-memory-{}-{number}", process::id())))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// The pages behind the shared alias. The model leaves in them what was last in them.
    pub fn shared(&self) -> Result<Vec<Page>> {
        let layout = self.layout()?;
        let mut pages = Vec::new();
        for (range, offset) in [(layout.flash, layout.flash_offset), (layout.ram, layout.shared_offset)] {
            self.visit(range.start + offset..range.end + offset, |address, page| {
                pages.push(Page { address: address - offset, bytes: page.to_vec() });
            })?;
        }
        Ok(pages)
    }

    /// Whether private memory has `bytes` in one of its pages.
    pub fn private_has(&self, bytes: &[u8]) -> Result<bool> {
        let has = |page: &[u8]| {
            let starts = page.iter().zip(0..).filter(|(byte, _)| Some(*byte) == bytes.first());
            starts.into_iter().any(|(_, at)| page.get(at..).is_some_and(|rest| rest.starts_with(bytes)))
        };
        for range in self.layout()?.pool {
            // The model takes pages one after the other, and fills each: behind an untouched piece there is none.
            let mut found = false;
            for start in range.clone().step_by(CHUNK) {
                let mut pages = 0;
                self.visit(start..range.end.min(start + CHUNK as u64), |_, page| {
                    pages += 1;
                    found |= has(page);
                })?;
                if found || pages == 0 {
                    break;
                }
            }
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn layout(&self) -> Result<Layout> {
        let end = QEMU_RAM + fs::metadata(&self.0).context("no file of QEMU's RAM")?.len();
        Ok(Layout::new(Launch::Bios, REALM_RAM, WIDTH, Dma::SharedBit, end)?)
    }

    fn visit(&self, range: Range<u64>, mut look: impl FnMut(u64, &[u8])) -> Result<()> {
        let file = File::open(&self.0)?;
        let untouched = [0, UNDEFINED].map(|fill| vec![fill; CHUNK]);
        let mut chunk = vec![0; CHUNK];
        for at in range.step_by(CHUNK) {
            file.read_exact_at(&mut chunk, at - QEMU_RAM)?;
            // Slices of bytes are compared at the speed of memory in every build.
            if untouched.contains(&chunk) {
                continue;
            }
            for (page, address) in chunk.chunks_exact(PAGE).zip((at..).step_by(PAGE)) {
                if !untouched.iter().any(|fill| fill.starts_with(page)) {
                    look(address, page);
                }
            }
        }
        Ok(())
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        // What cannot be removed now goes with the folder for temporary files.
        let _ = fs::remove_file(&self.0);
    }
}
