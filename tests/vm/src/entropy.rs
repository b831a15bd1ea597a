//! QEMU's entropy device with bytes that are known, beside a CPU whose random numbers are the same in every run.

use std::path::Path;

/// Makes what RNDR gives the same in every run.
pub const SEED: [&str; 2] = ["-seed", "7"];

/// What a file for [`device`] has, again and again.
pub const BYTE: u8 = 0x5a;

/// What the firmware adds to RNDR then: the second half of SHA-512 of a pool, which is the first half of SHA-512 of 32
/// zeros and 32 of the device's bytes.
pub const MASK: [u128; 2] = [0xf353_0321_c049_bdd9_204e_e449_024f_e154, 0xf386_681a_4a4f_6ed2_6782_9d99_24ab_ca77];

/// An entropy device that gives what a file has. `device` is its name and options.
pub fn device(file: &Path, device: &str) -> [String; 4] {
    let source = format!("rng-random,id=source,filename={}", file.display());
    ["-object".into(), source, "-device".into(), format!("{device},rng=source")]
}

/// The first numbers that `tests/efi-check` was given.
pub fn random(console: &str) -> Option<[u128; 2]> {
    let numbers = console.lines().find_map(|line| line.strip_prefix("random: [")?.trim_end().strip_suffix(']'))?;
    let (first, second) = numbers.split_once(", ")?;
    let number = |digits| u128::from_str_radix(digits, 16).ok();
    Some([number(first)?, number(second)?])
}
