//! Which functions there are. Bus numbers behind bridges are given anew.

use alloc::vec::Vec;

use crate::{Address, ConfigSpace, command, read_command, register};

/// More than any virtual machine has.
const MAX_FUNCTIONS: usize = 256;
const MAX_DEPTH: usize = 8;
const DEVICES: u8 = 32;
const FUNCTIONS: u8 = 8;
const MULTI_FUNCTION: u8 = 0x80;
const BRIDGE: u8 = 1;
/// Ones in every bit: no function.
const NO_VENDOR: u16 = 0xffff;

/// A memory BAR.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bar {
    /// Its number: 0 to 5.
    pub index: u8,
    /// Where it is on the bus; `None` when it has no place.
    pub base: Option<u64>,
    /// Bytes: a power of two.
    pub size: u64,
    /// Whether its address has 64 bits.
    pub is_64: bool,
    /// Whether it is prefetchable.
    pub prefetchable: bool,
}

/// A function.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Function {
    /// Where it is.
    pub address: Address,
    /// Vendor.
    pub vendor: u16,
    /// Device.
    pub device: u16,
    /// Class, subclass and interface.
    pub class: u32,
    /// The bus behind a bridge.
    pub secondary: Option<u8>,
    /// The bridge in front of it, by its number in the list.
    pub parent: Option<usize>,
    /// Its memory BARs.
    pub bars: Vec<Bar>,
}

/// Finds all functions behind a host bridge with the buses `first` to `last`. What is beyond any sense is left out.
pub fn scan(config: &impl ConfigSpace, first: u8, last: u8) -> Vec<Function> {
    let mut functions = Vec::new();
    let mut next_bus = first;
    scan_bus(config, &mut functions, None, first, &mut next_bus, last, MAX_DEPTH);
    functions
}

fn scan_bus<C: ConfigSpace>(
    config: &C,
    functions: &mut Vec<Function>,
    parent: Option<usize>,
    bus: u8,
    next_bus: &mut u8,
    last: u8,
    depth: usize,
) {
    let begin = functions.len();
    for device in 0..DEVICES {
        for function in 0..FUNCTIONS {
            let address = Address { bus, device, function };
            if functions.len() >= MAX_FUNCTIONS || functions.try_reserve(1).is_err() {
                return;
            }
            let present = look(config, address, parent);
            let multi_function = header_type(config, address) & MULTI_FUNCTION != 0;
            let is_there = present.is_some();
            functions.extend(present);
            if function == 0 && !(is_there && multi_function) {
                break;
            }
        }
    }
    for index in begin..functions.len() {
        let Some(bridge) = functions.get_mut(index) else { return };
        let address = bridge.address;
        if bridge.secondary.is_none() {
            continue;
        }
        if *next_bus == last || depth == 0 {
            bridge.secondary = None;
            continue;
        }
        *next_bus += 1;
        let secondary = *next_bus;
        bridge.secondary = Some(secondary);
        let latency = config.read32(address, register::BUSES) & 0xff00_0000;
        let buses =
            |subordinate: u8| latency | u32::from(subordinate) << 16 | u32::from(secondary) << 8 | u32::from(bus);
        config.write32(address, register::BUSES, buses(last));
        scan_bus(config, functions, Some(index), secondary, next_bus, last, depth - 1);
        config.write32(address, register::BUSES, buses(*next_bus));
    }
}

fn header_type(config: &impl ConfigSpace, address: Address) -> u8 {
    let [_, _, kind, _] = config.read32(address, register::HEADER).to_le_bytes();
    kind
}

fn look(config: &impl ConfigSpace, address: Address, parent: Option<usize>) -> Option<Function> {
    let id = config.read32(address, register::ID);
    // The lower half.
    let (vendor, device) = (id as u16, (id >> 16) as u16);
    if vendor == NO_VENDOR || vendor == 0 {
        return None;
    }
    let kind = header_type(config, address) & !MULTI_FUNCTION;
    let bars = match kind {
        0 => bars(config, address, 6),
        BRIDGE => bars(config, address, 2),
        _ => Vec::new(),
    };
    let class = config.read32(address, register::CLASS) >> 8;
    Some(Function { address, vendor, device, class, secondary: (kind == BRIDGE).then_some(0), parent, bars })
}

/// Sizes the memory BARs, with decoding off so that none is moved over another meanwhile.
fn bars(config: &impl ConfigSpace, address: Address, count: u16) -> Vec<Bar> {
    let before = read_command(config, address);
    config.write16(address, register::COMMAND, before & !(command::IO | command::MEMORY));
    let mut bars = Vec::new();
    let mut index = 0;
    while index < count {
        let at = register::BAR + index * 4;
        let low = config.read32(address, at);
        let is_64 = low & 7 == 4 && index + 1 < count;
        let sized = ask(config, address, at);
        let mut base = u64::from(low & !0xf);
        let mut mask = u64::from(sized & !0xf);
        if is_64 {
            base |= u64::from(config.read32(address, at + 4)) << 32;
            mask |= u64::from(ask(config, address, at + 4)) << 32;
        } else if mask != 0 {
            mask |= 0xffff_ffff << 32;
        }
        let size = (!mask).wrapping_add(1);
        let is_memory = low & 1 == 0 && low & 7 != 2;
        if is_memory && mask != 0 && size.is_power_of_two() && bars.try_reserve(1).is_ok() {
            let prefetchable = low & 8 != 0;
            // At most 5.
            bars.push(Bar { index: index as u8, base: (base != 0).then_some(base), size, is_64, prefetchable });
        }
        index += if is_64 { 2 } else { 1 };
    }
    config.write16(address, register::COMMAND, before);
    bars
}

/// What a BAR makes of ones.
fn ask(config: &impl ConfigSpace, address: Address, at: u16) -> u32 {
    let before = config.read32(address, at);
    config.write32(address, at, u32::MAX);
    let sized = config.read32(address, at);
    config.write32(address, at, before);
    sized
}
