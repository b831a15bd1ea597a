//! The little of the device tree that the payload needs.

use crate::start;

/// What was found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine {
    /// The size that the tree gives for itself.
    pub tree: u32,
    /// Base of a PL011 or 16550.
    pub uart: u64,
    /// Offset of a register of it that can be read for nothing, aligned to four bytes.
    pub uart_register: u64,
    /// Base of fw_cfg, or 0.
    pub fw_cfg: u64,
    /// Base of the configuration space of PCIe, or 0.
    pub ecam: u64,
    /// Base of the GICv3 distributor, or 0.
    pub distributor: u64,
    /// Base of the GICv3 redistributors, or 0.
    pub redistributors: u64,
    /// Base and size of memory nodes.
    pub memory: [(u64, u64); 4],
    /// Number of memory nodes.
    pub memories: usize,
    /// Number of CPUs.
    pub cpus: u64,
}

fn word(address: u64) -> u32 {
    let mut bytes = [0; 4];
    start::read(address, &mut bytes);
    u32::from_be_bytes(bytes)
}

fn double(address: u64) -> u64 {
    u64::from(word(address)) << 32 | u64::from(word(address + 4))
}

/// Whether the zero-terminated string at `address` is `text`.
fn is(address: u64, text: &[u8]) -> bool {
    let mut byte = [0];
    let matches = |(at, expected): (u64, &u8)| {
        start::read(at, &mut byte);
        byte == [*expected]
    };
    (address..).zip(text.iter().chain(&[0])).all(matches)
}

impl Machine {
    /// Reads the flattened device tree at `at`; none when there is no tree.
    pub fn read(at: u64) -> Option<Self> {
        if word(at) != 0xd00d_feed {
            return None;
        }
        let mut machine = Self { tree: word(at + 4), ..Self::default() };
        let strings = at + u64::from(word(at + 12));
        let mut next = at + u64::from(word(at + 8));
        let (mut reg, mut size, mut second, mut kind) = (0, 0, 0, Kind::Other);
        loop {
            let token = word(next);
            next += 4;
            match token {
                1 => {
                    while !is(next, b"") {
                        next += 1;
                    }
                    next = (next + 4) & !3;
                    (reg, size, second, kind) = (0, 0, 0, Kind::Other);
                }
                2 => {
                    match kind {
                        Kind::Uart(register) if machine.uart == 0 => {
                            (machine.uart, machine.uart_register) = (reg, register);
                        }
                        Kind::FwCfg => machine.fw_cfg = reg,
                        Kind::Pcie => machine.ecam = reg,
                        Kind::Gic => (machine.distributor, machine.redistributors) = (reg, second),
                        Kind::Memory => {
                            if let Some(node) = machine.memory.get_mut(machine.memories) {
                                *node = (reg, size);
                                machine.memories += 1;
                            }
                        }
                        Kind::Cpu => machine.cpus += 1,
                        _ => {}
                    }
                    (reg, size, second, kind) = (0, 0, 0, Kind::Other);
                }
                3 => {
                    let (len, name) = (u64::from(word(next)), strings + u64::from(word(next + 4)));
                    let value = next + 8;
                    if is(name, b"reg") && len >= 8 {
                        reg = double(value);
                        size = if len >= 16 { double(value + 8) } else { 0 };
                        second = if len >= 32 { double(value + 16) } else { 0 };
                    } else if is(name, b"compatible") {
                        if is(value, b"arm,pl011") {
                            kind = Kind::Uart(FLAGS);
                        } else if is(value, b"ns16550a") {
                            kind = Kind::Uart(MODEM_CONTROL);
                        } else if is(value, b"qemu,fw-cfg-mmio") {
                            kind = Kind::FwCfg;
                        } else if is(value, b"pci-host-ecam-generic") {
                            kind = Kind::Pcie;
                        } else if is(value, b"arm,gic-v3") {
                            kind = Kind::Gic;
                        }
                    } else if is(name, b"device_type") {
                        if is(value, b"memory") {
                            kind = Kind::Memory;
                        } else if is(value, b"cpu") {
                            kind = Kind::Cpu;
                        }
                    }
                    next = (value + len + 3) & !3;
                }
                4 => {}
                _ => return Some(machine),
            }
        }
    }
}

/// The flag register of a PL011.
const FLAGS: u64 = 0x18;
/// The modem control register of a 16550 with single-byte stride.
const MODEM_CONTROL: u64 = 4;

#[derive(Clone, Copy)]
enum Kind {
    Other,
    Uart(u64),
    FwCfg,
    Pcie,
    Gic,
    Memory,
    Cpu,
}
