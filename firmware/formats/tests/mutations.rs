//! Every parser against a fixed number of mutated inputs, the same on every machine.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use support::{Xorshift, exercise, image, machines, mutate};

#[cfg(miri)]
const CASES: usize = 4;
#[cfg(not(miri))]
const CASES: usize = 20_000;

/// Mutates the seeds in turn; some must stay valid and some must not, or the mutation is too
/// rough or too gentle to test anything.
fn run(seeds: &[Vec<u8>], exercise: impl Fn(&[u8]) -> bool) {
    for seed in seeds {
        assert!(exercise(seed), "the seed itself is valid");
    }
    let mut random = Xorshift::new(0x9e37_79b9_7f4a_7c15);
    let mut accepted = 0;
    for case in 0..CASES {
        let mut input = seeds[case % seeds.len()].clone();
        mutate(&mut random, &mut input);
        accepted += usize::from(exercise(&input));
    }
    println!("{accepted} of {CASES} still valid");
    if !cfg!(miri) {
        assert!(accepted > CASES / 100 && accepted < CASES * 99 / 100);
    }
}

#[test]
fn device_trees() {
    let seeds = if cfg!(miri) { vec![machines::crosvm().finish(0)] } else { machines::all() };
    run(&seeds, exercise::device_tree);
}

/// Small trees, so that most mutations are where the event log goes.
#[test]
fn event_logs() {
    run(&machines::for_event_logs(), exercise::event_log);
}

#[test]
fn pe_images() {
    let seeds = if cfg!(miri) {
        vec![image::packed().build()]
    } else {
        // The kernel is mostly contents, which no mutation of is worth its time.
        vec![image::application().build(), image::packed().build()]
    };
    run(&seeds, exercise::pe);
    // Headers decide everything: contents are only copied.
    let mut random = Xorshift::new(1);
    for case in 0..CASES {
        let mut file = seeds[case % seeds.len()].clone();
        let mut headers = file[..0x200].to_vec();
        mutate(&mut random, &mut headers);
        file[..headers.len()].copy_from_slice(&headers);
        exercise::pe(&file);
    }
}

#[test]
fn device_paths() {
    run(&support::device_paths(), exercise::device_path);
}

#[test]
fn device_path_texts() {
    run(&support::device_path_texts(), exercise::device_path_text);
}

#[test]
fn compressed_data() {
    let seeds: Vec<_> = support::compressed::all().into_iter().map(|(compressed, _)| compressed).collect();
    // Most of the longest one is not for the sake of its form.
    run(&seeds.into_iter().filter(|seed| seed.len() < 1000).collect::<Vec<_>>(), exercise::compressed);
}

#[test]
fn fw_cfg_directories() {
    run(&[support::fw_cfg_directory()], exercise::fw_cfg);
}

#[test]
fn kernels() {
    let kernel = image::arm64_header(0, 0x4_0000, 0xa);
    run(&[kernel], exercise::kernel_and_strings);
}
