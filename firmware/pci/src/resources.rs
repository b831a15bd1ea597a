//! Places for BARs within the windows of the host bridge.
//!
//! What the VMM has placed on the root bus stays where that is valid. All else is placed from the largest to the
//! smallest: 64-bit prefetchable BARs of the root bus in the 64-bit window, others in the 32-bit one, and what is behind
//! a bridge in its memory window, whose prefetchable one stays closed.

use alloc::vec::Vec;
use core::ops::Range;

use crate::scan::{Bar, Function};
use crate::{ConfigSpace, command, read_command, register};

/// A memory window of the host bridge, in addresses of the bus.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Window {
    /// The addresses.
    pub range: Range<u64>,
    /// Whether it is for 64-bit BARs alone.
    pub is_64: bool,
}

/// BARs are pages at least, so that each can be mapped for itself.
const PAGE: u64 = 4096;
/// The granularity of a bridge's window (PCI-to-PCI Bridge 1.2, section 3.2.5.8).
const BRIDGE_GRANULE: u64 = 1 << 20;

struct Space {
    window: Window,
    taken: Vec<Range<u64>>,
}

impl Space {
    fn is_free(&self, range: &Range<u64>) -> bool {
        let inside = self.window.range.start <= range.start && range.end <= self.window.range.end;
        inside && self.taken.iter().all(|taken| taken.end <= range.start || range.end <= taken.start)
    }

    fn take(&mut self, range: Range<u64>) -> bool {
        let free = self.is_free(&range) && self.taken.try_reserve(1).is_ok();
        if free {
            self.taken.push(range);
        }
        free
    }

    /// The lowest place: at the start of the window or behind something.
    fn place(&mut self, size: u64, align: u64) -> Option<u64> {
        let ends = self.taken.iter().map(|taken| taken.end);
        let starts = core::iter::once(self.window.range.start).chain(ends);
        let fitting = starts.filter_map(|start| {
            // Zero is no address for a BAR.
            let start = start.max(1).checked_next_multiple_of(align)?;
            let range = start..start.checked_add(size)?;
            self.is_free(&range).then_some(start)
        });
        let start = fitting.min()?;
        self.take(start..start + size).then_some(start)
    }
}

/// What wants a place on a bus.
#[derive(Clone, Copy)]
struct Item {
    function: usize,
    /// The number in the list of BARs; `None` for the window of a bridge.
    bar: Option<usize>,
    size: u64,
    align: u64,
}

/// Gives every BAR that fits its place, and writes it. One without a place has no base afterwards.
pub fn assign(config: &impl ConfigSpace, functions: &mut [Function], windows: &[Window]) {
    let mut spaces: Vec<_> = windows.iter().map(|window| Space { window: window.clone(), taken: Vec::new() }).collect();
    for function in functions.iter_mut() {
        let on_root = function.parent.is_none();
        for bar in &mut function.bars {
            bar.base = bar.base.filter(|base| on_root && keep(&mut spaces, bar, *base));
        }
    }
    let mut root = items(functions, None);
    // Bridges first: what is behind them fits the 32-bit window alone.
    heap_sort::sort_by_key(&mut root, |item| {
        (item.bar.is_some(), core::cmp::Reverse(item.align), item.function, item.bar)
    });
    for item in root {
        let bar = item.bar.and_then(|bar| functions.get(item.function)?.bars.get(bar).copied());
        let wants_64 = bar.is_some_and(|bar| bar.is_64 && bar.prefetchable);
        let mut place = |is_64| {
            let mut fitting = spaces.iter_mut().filter(|space| space.window.is_64 == is_64);
            fitting.find_map(|space| space.place(item.size, item.align))
        };
        let base = match bar {
            Some(bar) if bar.is_64 => place(wants_64).or_else(|| place(!wants_64)),
            _ => place(false),
        };
        if let Some(base) = base {
            settle(functions, item, base);
        }
    }
    for function in functions.iter() {
        write(config, function);
    }
    for index in 0..functions.len() {
        open_bridge(config, functions, index);
    }
}

fn keep(spaces: &mut [Space], bar: &Bar, base: u64) -> bool {
    let Some(end) = base.checked_add(bar.size) else { return false };
    base.is_multiple_of(bar.size)
        && (bar.is_64 || end <= 1 << 32)
        && spaces.iter_mut().any(|space| (bar.is_64 || !space.window.is_64) && space.take(base..end))
}

/// What is on the bus behind `parent` and has no place yet.
fn items(functions: &[Function], parent: Option<usize>) -> Vec<Item> {
    let mut items = Vec::new();
    for (index, function) in functions.iter().enumerate().filter(|(_, function)| function.parent == parent) {
        for (number, bar) in function.bars.iter().enumerate().filter(|(_, bar)| bar.base.is_none()) {
            let size = bar.size.max(PAGE);
            items.push(Item { function: index, bar: Some(number), size, align: size });
        }
        if function.secondary.is_some()
            && let Some((size, align)) = need(functions, index)
            && size != 0
        {
            items.push(Item { function: index, bar: None, size, align });
        }
    }
    heap_sort::sort_by_key(&mut items, |item| (core::cmp::Reverse(item.align), item.function, item.bar));
    items
}

/// Size and alignment of a bridge's window.
fn need(functions: &[Function], bridge: usize) -> Option<(u64, u64)> {
    let items = items(functions, Some(bridge));
    let align = items.iter().map(|item| item.align).max()?.max(BRIDGE_GRANULE);
    let mut size = 0u64;
    for item in items {
        size = size.checked_next_multiple_of(item.align)?.checked_add(item.size)?;
    }
    Some((size.checked_next_multiple_of(BRIDGE_GRANULE)?, align))
}

fn settle(functions: &mut [Function], item: Item, base: u64) {
    match item.bar {
        Some(bar) => {
            if let Some(bar) = functions.get_mut(item.function).and_then(|function| function.bars.get_mut(bar)) {
                bar.base = Some(base);
            }
        }
        None => {
            // The same order as in `need`: it all fits.
            let mut next = base;
            for inner in items(functions, Some(item.function)) {
                next = next.next_multiple_of(inner.align);
                settle(functions, inner, next);
                next += inner.size;
            }
        }
    }
}

/// Writes the BARs. Decoding goes on where it was on and nothing has moved.
fn write(config: &impl ConfigSpace, function: &Function) {
    let before = read_command(config, function.address);
    config.write16(function.address, register::COMMAND, before & !(command::IO | command::MEMORY));
    let mut moved = false;
    for bar in &function.bars {
        let at = register::BAR + u16::from(bar.index) * 4;
        let base = bar.base.unwrap_or(0);
        // The halves are 32 bits each.
        let (low, high) = (base as u32, (base >> 32) as u32);
        moved |= config.read32(function.address, at) & !0xf != low;
        config.write32(function.address, at, low);
        if bar.is_64 {
            moved |= config.read32(function.address, at + 4) != high;
            config.write32(function.address, at + 4, high);
        }
    }
    let off = if moved { command::MEMORY } else { 0 };
    config.write16(function.address, register::COMMAND, before & !off);
}

/// Lets a bridge pass on what is for the BARs behind it, and what these master.
fn open_bridge(config: &impl ConfigSpace, functions: &[Function], index: usize) {
    let Some(bridge) = functions.get(index).filter(|function| function.secondary.is_some()) else { return };
    let mut behind: Option<Range<u64>> = None;
    for function in functions.iter().filter(|function| is_behind(functions, function, index)) {
        for (base, size) in function.bars.iter().filter_map(|bar| Some((bar.base?, bar.size.max(PAGE)))) {
            let range = behind.get_or_insert(base..base + size);
            *range = range.start.min(base)..range.end.max(base + size);
        }
    }
    // A base above the limit closes a window.
    let register = match behind {
        Some(range) => {
            // Below 4 GiB: only 32-bit windows are behind bridges.
            let base = (range.start / BRIDGE_GRANULE) as u32;
            let limit = ((range.end - 1) / BRIDGE_GRANULE) as u32;
            limit << 20 | base << 4
        }
        None => 0x0000_fff0,
    };
    config.write32(bridge.address, register::BRIDGE_MEMORY, register);
    config.write32(bridge.address, register::BRIDGE_PREFETCHABLE, 0x0000_fff0);
    let before = read_command(config, bridge.address);
    config.write16(bridge.address, register::COMMAND, before | command::MEMORY | command::BUS_MASTER);
}

fn is_behind(functions: &[Function], function: &Function, bridge: usize) -> bool {
    // A parent stands before its children in the list.
    let mut parent = function.parent;
    while let Some(index) = parent {
        if index == bridge {
            return true;
        }
        parent = functions.get(index).and_then(|function| function.parent);
    }
    false
}
