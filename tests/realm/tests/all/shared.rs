//! What a boot leaves with the host: all memory that was ever shared, looked at in QEMU's RAM after the realm's end.

use anyhow::{Context, Result, ensure};
use realm_vm::Ended;

use super::efi;
use super::memory::MemoryFile;

/// Bytes that `tests/efi-check` keeps to itself but for a transfer, and bytes that it leaves to a device: neither
/// stands in its file.
fn made(seed: u8) -> [u8; 64] {
    std::array::from_fn(|at| (at as u8).wrapping_mul(73) ^ seed)
}

/// The former.
pub fn secret() -> [u8; 64] {
    made(0x1d)
}

/// The latter.
fn left() -> [u8; 64] {
    made(0xe2)
}

/// Nothing at all is in shared memory, and `kept`, which the realm had, is still where it was.
pub fn nothing_is_left(memory: &MemoryFile, kept: &[u8]) -> Result<()> {
    let left: Vec<_> = memory.shared()?.iter().map(|page| format!("{:#x}", page.address)).collect();
    ensure!(left.is_empty(), "the host holds data in the shared pages {}", left.join(", "));
    ensure!(memory.private_has(kept)?, "what the realm had is not in its private memory");
    Ok(())
}

/// What the firmware shared it has cleared before it made it private again.
pub fn taken_back_empty(ended: &Ended) -> Result<()> {
    let back = ended.log.lines().find_map(|line| line.split_once(" shared pages taken back, "));
    let (pages, dirty) = back.context("nothing of shared pages in the log")?;
    ensure!(pages != "total: 0", "the firmware shared nothing, or kept it shared");
    ensure!(dirty.starts_with("0 "), "shared pages were left with data in them: {dirty}");
    Ok(())
}

/// The most calls about RIPAS in a boot: two or three each for the image, the device tree, RAM, the pool, every device
/// alone, the interrupt controller and every page of 32 virtio-mmio devices. A call or two for each transfer of fw_cfg,
/// of which there are a dozen, would be more.
const MOST_CALLS: u64 = 28;

/// The calls about RIPAS.
fn calls(ended: &Ended) -> Result<u64> {
    let totals = ended.log.lines().filter_map(|line| line.strip_prefix("total: ")?.split_once(" RSI_IPA_STATE_"));
    Ok(totals.map(|(count, _)| count.parse::<u64>()).sum::<Result<_, _>>()?)
}

/// A program that ends before it leaves boot services: what it gave to a device is there, and nothing else.
#[test]
fn what_a_program_shares_is_all_that_is_shared() -> Result<()> {
    let memory = MemoryFile::new();
    let ended = efi::passes(&efi::realm("only=iommu stay").memory_file(memory.path()))?;
    let calls = calls(&ended)?;
    ensure!((1..=MOST_CALLS).contains(&calls), "{calls} calls of RSI_IPA_STATE_SET and RSI_IPA_STATE_GET");
    let pages = memory.shared()?;
    let [page] = pages.as_slice() else { anyhow::bail!("{} shared pages hold data", pages.len()) };
    let (start, rest) = page.bytes.split_at_checked(64).context("no page")?;
    ensure!(start == left(), "{:#x} holds {start:x?}", page.address);
    ensure!(rest.iter().all(|byte| *byte == 0), "{:#x} holds more", page.address);
    ensure!(memory.private_has(&secret())?, "the program's memory is not there");
    Ok(())
}
