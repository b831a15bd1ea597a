//! The firmware's image with one instruction changed, so that it fails where nothing from outside makes it fail.

use std::fs;

use anyhow::{Context, Result};

use crate::{symbolize, workspace};

/// How it fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Failure {
    /// An instruction that is undefined.
    Fault,
    /// One of its own checks.
    Panic,
}

/// The function whose calls a [`Failure::Panic`] goes to, and what it says.
const CHECK: &str = "core::panicking::panic_const::panic_const_sub_overflow";
/// What the firmware says then.
pub const CHECK_SAYS: &str = "attempt to subtract with overflow";

/// The image, which fails when it enters `function`.
///
/// # Errors
/// There is no image, or it has no such function.
pub fn image(function: &str, failure: Failure) -> Result<Vec<u8>> {
    let mut image = fs::read(workspace::image())?;
    let at = symbolize::find(&workspace::elf(), function)?.start;
    let instruction = match failure {
        // UDF #0.
        Failure::Fault => 0,
        Failure::Panic => branch(at, a_check(&image)?),
    };
    let at = usize::try_from(at)?;
    image.get_mut(at..at + 4).context("beyond the image")?.copy_from_slice(&instruction.to_le_bytes());
    Ok(image)
}

/// B: 26 bits of distance in words (Arm ARM, C6.2.27).
fn branch(from: u64, to: u64) -> u32 {
    const B: u32 = 0b000101 << 26;
    let words = (to.wrapping_sub(from) >> 2) as u32;
    B | words & ((1 << 26) - 1)
}

/// Where the image begins to call [`CHECK`]: two instructions put the place in its source into x0, then comes the call.
fn a_check(image: &[u8]) -> Result<u64> {
    const BL: u32 = 0b100101 << 26;
    /// NOP; ADR x0, whatever its 21 bits of distance.
    const NOP: u32 = 0xd503_201f;
    const ADR_X0: u32 = 0x1000_0000;
    const ADR_MASK: u32 = 0x9f00_001f;
    let check = symbolize::find(&workspace::elf(), CHECK)?.start;
    let (words, _) = image.as_chunks::<4>();
    let words: Vec<_> = words.iter().map(|word| u32::from_le_bytes(*word)).collect();
    let calls = words.windows(3).zip((0_u64..).step_by(4)).find(|(words, at)| match words {
        [NOP, adr, call] => adr & ADR_MASK == ADR_X0 && *call == branch(at + 8, check) | BL,
        _ => false,
    });
    Ok(calls.with_context(|| format!("no call of {CHECK}"))?.1)
}
