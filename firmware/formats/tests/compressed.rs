//! The EFI compression format, against blocks that are built here and against LHA's own decoder.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use delharc::decode::{Decoder, Lh5Decoder};
use formats::compressed::{Compressed, Corrupted};
use support::compressed::{Shape, Token, all, block, with_header};

fn expand(source: &[u8]) -> Result<Vec<u8>, Corrupted> {
    let compressed = Compressed::parse(source)?;
    let mut original = vec![0xee; compressed.original_size() as usize];
    compressed.expand(&mut original).map(|()| original)
}

#[test]
fn every_kind_of_block_expands() {
    for (compressed, original) in all() {
        let mut by_lha = vec![0; original.len()];
        Lh5Decoder::new(&compressed[8..]).fill_buffer(&mut by_lha).unwrap();
        assert!(by_lha == original, "the blocks are those of LHA");
        let expanded = expand(&compressed).unwrap();
        let differs = expanded.iter().zip(&original).position(|(ours, right)| ours != right);
        assert_eq!((differs, expanded.len()), (None, original.len()));
        assert!(expand(&[&compressed[..], b"behind it"].concat()) == Ok(expanded), "what follows is not read");
    }
}

/// As EDK2's compressor has it.
#[test]
fn what_edk2_compresses_expands() {
    assert_eq!(expand(&support::compressed::BY_EDK2), Ok(b"it runs, it runs, it runs.".to_vec()));
}

/// The last match may be longer than what is left of the original; nothing behind that is written.
#[test]
fn a_match_beyond_the_end_is_cut() {
    let blocks = block(&[Token::Byte(1), Token::Byte(2), Token::Match(256, 1)], Shape::Even);
    assert_eq!(expand(&with_header(&blocks, 5)), Ok(vec![1, 2, 1, 2, 1]));
    assert_eq!(expand(&with_header(&blocks, 1)), Ok(vec![1]));
    assert_eq!(expand(&with_header(&blocks, 0)), Ok(vec![]));
    assert_eq!(expand(&with_header(&[], 0)), Ok(vec![]), "nothing needs no block");
}

#[test]
fn an_end_amid_the_data_is_told() {
    for (compressed, original) in all() {
        assert_eq!(Compressed::parse(&compressed[..7]).err(), Some(Corrupted), "no header");
        assert_eq!(Compressed::parse(&compressed[..compressed.len() - 1]).err(), Some(Corrupted), "less than it tells");
        let step = 1 + compressed.len() / if cfg!(miri) { 3 } else { 100 };
        for length in (8..compressed.len()).step_by(step) {
            let cut = with_header(&compressed[8..length], original.len());
            assert_eq!(expand(&cut), Err(Corrupted), "{length} of {}", compressed.len());
        }
        assert_eq!(expand(&with_header(&compressed[8..], original.len() + 70_000)), Err(Corrupted), "more than it has");
    }
}

#[test]
fn a_match_before_the_start_is_told() {
    let blocks = block(&[Token::Byte(1), Token::Byte(2), Token::Match(3, 2)], Shape::Even);
    assert_eq!(expand(&with_header(&blocks, 5)), Err(Corrupted));
}

/// A number, in how many bits.
type Field = (usize, usize);

fn raw(fields: &[Field]) -> Vec<u8> {
    let bits = fields.iter().flat_map(|(value, width)| (0..*width).rev().map(move |bit| value >> bit & 1));
    let bits: Vec<usize> = bits.chain([0; 64]).collect();
    let bytes: Vec<u8> = bits.chunks(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | *bit as u8)).collect();
    with_header(&bytes, 1)
}

#[test]
fn codes_that_cannot_be_are_told() {
    let ones = [(1, 3); 2];
    // One symbol of the code of lengths, of bytes, of distances: the byte 65.
    let valid = [(1, 16), (0, 5), (0, 5), (0, 9), (65, 9), (0, 4), (0, 4)];
    assert_eq!(expand(&raw(&valid)), Ok(vec![65]));
    let wrong: [(&str, &[Field]); 11] = [
        ("the only length is none", &[(1, 16), (0, 5), (19, 5), (0, 9), (65, 9), (0, 4), (0, 4)]),
        ("the only character is none", &[(1, 16), (0, 5), (0, 5), (0, 9), (510, 9), (0, 4), (0, 4)]),
        ("the only distance is none", &[(1, 16), (0, 5), (0, 5), (0, 9), (65, 9), (0, 4), (14, 4)]),
        ("more words than there can be", &[&[(1, 16), (3, 5)][..], &ones, &[(1, 3), (0, 2)]].concat()),
        ("fewer words than there can be", &[(1, 16), (2, 5), (1, 3), (2, 3)]),
        ("no word at all", &[(1, 16), (2, 5), (0, 3), (0, 3)]),
        ("a word of 17 bits", &[(1, 16), (1, 5), (7, 3), (0x3ff, 10), (0, 1)]),
        // Two words of one bit would do.
        (
            "a word of 17 bits beside others",
            &[(1, 16), (3, 5), (1, 3), (1, 3), (7, 3), (0x3ff, 10), (0, 1), (0, 2), (0, 9), (65, 9), (0, 4), (0, 4)],
        ),
        ("a length for ever", &[(1, 16), (1, 5), (7, 3), (usize::MAX, 63), (usize::MAX, 63), (usize::MAX, 63)]),
        (
            "20 lengths of lengths",
            &[&[(1, 16), (20, 5)][..], &ones, &[(0, 3), (0, 2)], &[(0, 3); 16], &[(1, 3)]].concat(),
        ),
        ("distances of 15 bits", &[&valid[..5], &[(15, 4), (1, 3)], &[(0, 3); 13], &[(1, 3)]].concat()),
    ];
    for (what, fields) in wrong {
        assert_eq!(expand(&raw(fields)), Err(Corrupted), "{what}");
    }
    // Lengths up to the last symbol, by runs of zeros that would go beyond it.
    let extras = [(1, 16), (3, 5), (0, 3), (0, 3), (0, 3), (0, 2), (0, 9)];
    assert_eq!(expand(&raw(&extras)), Err(Corrupted), "no length at all");
}

#[test]
#[cfg_attr(miri, ignore = "too slow")]
fn lha_agrees_about_damaged_blocks() {
    let mut random = support::Xorshift::new(11);
    let seeds: Vec<_> = all().into_iter().filter(|(_, original)| original.len() < 100).collect();
    let (mut both, mut neither) = (0, 0);
    for case in 0..20_000 {
        let (compressed, original) = &seeds[case % seeds.len()];
        let mut blocks = compressed[8..].to_vec();
        support::mutate(&mut random, &mut blocks);
        let mut by_lha = vec![0; original.len()];
        let lha = Lh5Decoder::new(&blocks[..]).fill_buffer(&mut by_lha);
        match (expand(&with_header(&blocks, original.len())), lha) {
            (Ok(ours), Ok(())) => {
                assert_eq!(ours, by_lha);
                both += 1;
            }
            // LHA takes codes with words that mean nothing, and has spaces before the start.
            (Err(Corrupted), _) => neither += 1,
            (Ok(_), Err(error)) => panic!("LHA finds {error}"),
        }
    }
    assert!(both > 1000 && neither > 1000, "{both} and {neither}");
}
