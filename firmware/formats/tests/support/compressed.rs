//! Data in the EFI compression format.

use std::collections::BTreeSet;

/// "it runs, it runs, it runs.", by EDK2's compressor.
pub const BY_EDK2: [u8; 31] = [
    0x17, 0, 0, 0, 0x1a, 0, 0, 0, 0, 0x0b, 0x3b, 0x6a, 0x4a, 0x1c, 0x03, 0x1f, 0x16, 0x41, 0x35, 0xc5, 0xe0, 0xb2,
    0x20, 0xe0, 0x4d, 0xe0, 0xea, 0x98, 0x3c, 0x10, 0,
];

/// What a block says, in turn.
#[derive(Clone, Copy)]
pub enum Token {
    Byte(u8),
    /// So many bytes, from so far back, less one.
    Match(usize, usize),
}

/// How long the words of a code are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// All as long as they have to be.
    Even,
    /// Each longer than the one before it.
    Skewed,
}

/// The header before blocks of an original of `size` bytes.
pub fn with_header(blocks: &[u8], size: usize) -> Vec<u8> {
    let sizes = [blocks.len(), size].map(|size| (size as u32).to_le_bytes());
    [&sizes.concat(), blocks].concat()
}

/// Each kind of code and token, with what they were made from.
pub fn all() -> Vec<(Vec<u8>, Vec<u8>)> {
    let text = b"it runs, it runs, it runs.";
    let mut tokens: Vec<Token> = text[..9].iter().map(|byte| Token::Byte(*byte)).collect();
    tokens.extend([Token::Match(16, 8), Token::Byte(b'.')]);
    // As far back and as long as matches can be, and shorter than they are long.
    let count = if cfg!(miri) { 60 } else { 9000 };
    let mut of_long: Vec<Token> = (0..count).map(|at: u32| Token::Byte((at * at / 7 % 251) as u8)).collect();
    of_long.extend([
        Token::Match(256, 8191.min(count as usize - 1)),
        Token::Match(3, 1),
        Token::Match(4, 0),
        Token::Match(5, 2),
    ]);
    let mut long = Vec::new();
    expand(&of_long, &mut long);
    let ramp: Vec<Token> = (0..15).map(Token::Byte).collect();
    vec![
        (block(&tokens, Shape::Even), text.to_vec()),
        // One symbol in each code: no word has a bit.
        (block(&[Token::Byte(7); 9], Shape::Even), vec![7; 9]),
        (block(&of_long, Shape::Even), long),
        // Words of up to 14 bits, whose lengths are coded in up to 14.
        (block(&ramp, Shape::Skewed), (0..15).collect()),
        (
            bytes(&[bits(&ramp, Shape::Skewed), bits(&[Token::Match(9, 14)], Shape::Even)].concat()),
            (0..15).chain(0..9).collect(),
        ),
    ]
    .into_iter()
    .map(|(blocks, original)| (with_header(&blocks, original.len()), original))
    .collect()
}

fn expand(tokens: &[Token], original: &mut Vec<u8>) {
    for token in tokens {
        match *token {
            Token::Byte(byte) => original.push(byte),
            Token::Match(length, back) => {
                for _ in 0..length {
                    original.push(original[original.len() - 1 - back]);
                }
            }
        }
    }
}

/// A block of `tokens`.
pub fn block(tokens: &[Token], shape: Shape) -> Vec<u8> {
    bytes(&bits(tokens, shape))
}

fn bytes(bits: &[bool]) -> Vec<u8> {
    bits.chunks(8).map(|bits| bits.iter().enumerate().map(|(at, bit)| u8::from(*bit) << (7 - at)).sum()).collect()
}

fn bits(tokens: &[Token], shape: Shape) -> Vec<bool> {
    let symbol = |token: &Token| match *token {
        Token::Byte(byte) => usize::from(byte),
        Token::Match(length, _) => 256 + length - 3,
    };
    let width = |back: usize| (usize::BITS - back.leading_zeros()) as usize;
    let characters = Code::of(tokens.iter().map(symbol), shape);
    let backs =
        tokens.iter().filter_map(|token| if let Token::Match(_, back) = token { Some(width(*back)) } else { None });
    let positions = Code::of(backs, Shape::Even);

    let runs = characters.runs();
    let extras = Code::of(runs.iter().map(|run| run.0), shape);
    let mut out = Vec::new();
    put(&mut out, tokens.len(), 16);
    extras.put_short_lengths(&mut out, 5, 3);
    // None of them has a length: the only symbol is told instead.
    put(&mut out, if runs.is_empty() { 0 } else { characters.lengths.len() }, 9);
    if runs.is_empty() {
        put(&mut out, characters.lengths.len() - 1, 9);
    }
    for (symbol, value, width) in &runs {
        extras.put(&mut out, *symbol);
        put(&mut out, *value, *width);
    }
    positions.put_short_lengths(&mut out, 4, usize::MAX);
    for token in tokens {
        characters.put(&mut out, symbol(token));
        if let Token::Match(_, back) = *token {
            positions.put(&mut out, width(back));
            put(&mut out, back & !(1 << width(back) >> 1), width(back).saturating_sub(1));
        }
    }
    out
}

fn put(out: &mut Vec<bool>, value: usize, width: usize) {
    out.extend((0..width).rev().map(|bit| value >> bit & 1 == 1));
}

/// A canonical code; one of a single symbol has it last, with no length.
struct Code {
    lengths: Vec<usize>,
}

impl Code {
    fn of(symbols: impl Iterator<Item = usize>, shape: Shape) -> Self {
        let used: BTreeSet<usize> = symbols.collect();
        let last = used.last().copied().unwrap_or(0);
        let mut lengths = vec![0; last + 1];
        let count = used.len();
        let longest = count.next_power_of_two().trailing_zeros() as usize;
        for (at, symbol) in used.into_iter().enumerate() {
            lengths[symbol] = match shape {
                _ if count < 2 => 0,
                Shape::Skewed => (at + 1).min(count - 1),
                Shape::Even => longest - usize::from(at < (1 << longest) - count),
            };
        }
        Self { lengths }
    }

    /// How this code's lengths are told: symbols of the code of lengths, and what follows them in how many bits.
    fn runs(&self) -> Vec<(usize, usize, usize)> {
        let mut runs = Vec::new();
        if self.lengths.last() == Some(&0) {
            return runs;
        }
        for group in self.lengths.chunk_by(|a, b| (*a == 0) == (*b == 0)) {
            match group {
                [0] | [0, 0] => runs.extend(group.iter().map(|_| (0, 0, 0))),
                [0, ..] if group.len() <= 18 => runs.push((1, group.len() - 3, 4)),
                [0, 0, ..] if group.len() < 20 => runs.extend([(1, 15, 4), (0, 0, 0)]),
                [0, ..] => runs.push((2, group.len() - 20, 9)),
                lengths => runs.extend(lengths.iter().map(|length| (length + 2, 0, 0))),
            }
        }
        runs
    }

    fn put_short_lengths(&self, out: &mut Vec<bool>, width: usize, skip_at: usize) {
        if self.lengths.last() == Some(&0) {
            put(out, 0, width);
            return put(out, self.lengths.len() - 1, width);
        }
        put(out, self.lengths.len(), width);
        let mut at = 0;
        while let Some(length) = self.lengths.get(at) {
            put(out, *length.min(&7), 3);
            if *length >= 7 {
                out.extend((7..*length).map(|_| true).chain([false]));
            }
            at += 1;
            if at == skip_at {
                let zeros = self.lengths[at..].iter().take_while(|length| **length == 0).count().min(3);
                put(out, zeros, 2);
                at += zeros;
            }
        }
    }

    /// The word of `symbol`: those before it are the shorter ones, and of its length those of lesser symbols.
    fn put(&self, out: &mut Vec<bool>, symbol: usize) {
        let length = self.lengths[symbol];
        let before =
            self.lengths.iter().enumerate().filter(|(other, of)| **of > 0 && (**of, *other) < (length, symbol));
        put(out, before.map(|(_, of)| 1 << (length - of)).sum(), length);
    }
}
