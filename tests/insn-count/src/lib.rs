//! A QEMU plugin that counts the instructions a guest executes until it reaches an entry point.
//!
//! Arguments: `out=FILE` takes the result; `entry=HEX` are the instructions at the entry point;
//! `offset=HEX` is the place of the entry point in its 4 KiB page, without which any will do. When a
//! translated block begins there with these instructions, the plugin writes the result and ends QEMU;
//! with `then=go-on` it counts no more blocks and lets the guest run.
//!
//! The result has one line per translated block: its address, the number of instructions executed
//! in it, its instructions; all in hexadecimal. The block of the entry point itself is not in it.
//!
//! It counts for one CPU: QEMU's inline operations are not atomic. Up to the entry there is one that runs.

mod api;

use std::fmt::Write as _;
use std::fs;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A translated block.
struct Block {
    address: u64,
    instructions: Vec<u8>,
    executed: api::Counter,
}

/// What the plugin was asked for and has seen.
struct State {
    out: String,
    entry: Vec<u8>,
    offset: Option<u64>,
    goes_on: bool,
    done: bool,
    blocks: Vec<Block>,
}

static STATE: Mutex<State> = Mutex::new(State {
    out: String::new(),
    entry: Vec::new(),
    offset: None,
    goes_on: false,
    done: false,
    blocks: Vec::new(),
});

fn state() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the arguments. An unknown or malformed one refuses the plugin.
fn install<'a>(arguments: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut state = state();
    for argument in arguments {
        let malformed = || format!("insn-count: cannot use {argument:?}");
        match argument.split_once('=') {
            Some(("out", path)) => state.out = path.to_owned(),
            Some(("entry", hex)) => state.entry = from_hex(hex).ok_or_else(malformed)?,
            Some(("offset", hex)) => {
                state.offset = Some(u64::from_str_radix(hex, 16).map_err(|_| malformed())?);
            }
            Some(("then", "go-on")) => state.goes_on = true,
            _ => return Err(malformed()),
        }
    }
    if state.out.is_empty() || state.entry.len() < 4 {
        return Err("insn-count: out= and entry= are needed".to_owned());
    }
    Ok(())
}

/// Says what is to be done with a block that QEMU has translated.
fn translated(block: &api::TranslatedBlock) {
    let mut state = state();
    if state.done {
        return;
    }
    let address = block.address();
    let instructions = block.instructions();
    let compared = instructions.len().min(state.entry.len());
    let begins_like_entry = compared > 0 && instructions.get(..compared) == state.entry.get(..compared);
    if begins_like_entry && state.offset.is_none_or(|offset| address & 0xfff == offset) {
        block.report_when_reached();
        return;
    }
    let executed = api::Counter::new();
    block.count_instructions(executed);
    state.blocks.push(Block { address, instructions, executed });
}

/// Writes the result, the first time; whether the guest goes on.
fn reached() -> Result<bool, String> {
    let mut state = state();
    if state.done {
        return Ok(true);
    }
    state.done = true;
    let mut text = String::new();
    for block in &state.blocks {
        let executed = block.executed.get();
        if executed == 0 {
            continue;
        }
        let mut hex = String::with_capacity(block.instructions.len() * 2);
        for byte in &block.instructions {
            // Writing to a String does not fail.
            let _ = write!(hex, "{byte:02x}");
        }
        let _ = writeln!(text, "{:x} {executed:x} {hex}", block.address);
    }
    fs::write(&state.out, text).map_err(|error| format!("insn-count: {}: {error}", state.out))?;
    Ok(state.goes_on)
}

fn from_hex(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}
