//! Package lists with some bytes changed, the same on every machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::{exercise, seed};

#[cfg(miri)]
const CASES: usize = 1;
#[cfg(not(miri))]
const CASES: usize = 2_000;

#[test]
fn mutated_lists() {
    let seed = seed();
    assert!(exercise(&seed));
    // Marsaglia's xorshift64.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |bound: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % bound as u64) as usize
    };
    let mut accepted = 0;
    for _ in 0..CASES {
        let mut list = seed.clone();
        for _ in 0..1 + next(4) {
            let at = next(list.len());
            match next(4) {
                0 => list[at] ^= 1 << next(8),
                1 => list[at] = [0, 1, 2, 0x10, 0x14, 0x20, 0x21, 0x31, 0x7f, 0x80, 0xdf, 0xff][next(12)],
                2 => list[at] = next(256) as u8,
                _ => {
                    let from = next(list.len());
                    list[at] = list[from];
                }
            }
        }
        accepted += usize::from(exercise(&list));
    }
    println!("{accepted} of {CASES} still accepted");
    if !cfg!(miri) {
        assert!(accepted > CASES / 100 && accepted < CASES * 99 / 100);
    }
}
