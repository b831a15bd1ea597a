//! The console: `/chosen/stdout-path`, or the first UART there is
//! (Devicetree Specification 0.4, sections 3.3 and 3.6).

use super::{MachineError, bad, bus};
use crate::Region;
use crate::device_tree::{Node, Tree};

/// The registers up to the last the firmware uses, UARTDMACR (Arm DDI 0183, section 3.2).
const PL011_MIN_SIZE: u64 = 0x4c;
/// The scratch register, the last of a 16550's eight.
const NS16550_LAST_REGISTER: u64 = 7;
const MAX_REG_SHIFT: u32 = 4;

/// The kind of a UART.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uart {
    /// Arm PL011.
    Pl011,
    /// 16550 and compatible ones.
    Ns16550 {
        /// Registers are 2^reg_shift bytes apart.
        reg_shift: u32,
        /// How many bytes an access has: 1, 2 or 4.
        reg_io_width: u32,
    },
}

/// The console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Console {
    /// What it is.
    pub uart: Uart,
    /// Its registers.
    pub region: Region,
    /// The rate `stdout-path` asks for, in bits per second.
    pub baud: Option<u32>,
    /// The UART's input clock in Hz, where the node itself says so.
    pub clock_frequency: Option<u32>,
}

/// The console. Without `stdout-path` it is the first UART; with one that names a device the
/// firmware has no driver for there is none.
pub fn console(tree: &Tree<'_>) -> Result<Option<Console>, MachineError> {
    const PATH: &str = "stdout-path";
    let chosen = tree.root().child("chosen");
    let Some(value) = chosen.and_then(|chosen| chosen.property(PATH)) else {
        for node in tree.nodes().filter(|node| node.is_enabled()) {
            if let Some(console) = uart(node, None)? {
                return Ok(Some(console));
            }
        }
        return Ok(None);
    };
    let value = bus::string(value).ok_or(bad("/chosen", PATH))?;
    let (path, options) = value.split_once(':').unwrap_or((value, ""));
    let node = resolve(tree, path).ok_or(bad("/chosen", PATH))?;
    if !node.is_enabled() {
        return Ok(None);
    }
    uart(node, baud(options))
}

/// A path, or an alias with the rest of a path behind it.
fn resolve<'t, 'a>(tree: &'t Tree<'a>, path: &str) -> Option<Node<'t, 'a>> {
    if path.starts_with('/') {
        return tree.find(path);
    }
    let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
    let target = tree.root().child("aliases")?.property(alias)?;
    let node = tree.find(bus::string(target)?)?;
    rest.split('/').filter(|component| !component.is_empty()).try_fold(node, Node::child)
}

/// The digits at the start of options such as "115200n8".
fn baud(options: &str) -> Option<u32> {
    let end = options.find(|c: char| !c.is_ascii_digit()).unwrap_or(options.len());
    options.get(..end)?.parse().ok()
}

fn uart(node: Node<'_, '_>, baud: Option<u32>) -> Result<Option<Console>, MachineError> {
    let (owner, uart, min_size) = if node.is_compatible("arm,pl011") {
        ("arm,pl011", Uart::Pl011, PL011_MIN_SIZE)
    } else if node.is_compatible("ns16550a") || node.is_compatible("ns16550") {
        let (uart, size) = ns16550(node)?;
        ("ns16550a", uart, size)
    } else {
        return Ok(None);
    };
    let region = bus::first_reg(owner, node, min_size)?;
    Ok(region.map(|region| Console {
        uart,
        region,
        baud,
        clock_frequency: node.property("clock-frequency").and_then(bus::cell),
    }))
}

fn ns16550(node: Node<'_, '_>) -> Result<(Uart, u64), MachineError> {
    let number = |name, default, valid: fn(u32) -> bool| match node.property(name) {
        None => Ok(default),
        Some(value) => bus::cell(value).filter(|number| valid(*number)).ok_or(bad("ns16550a", name)),
    };
    let reg_shift = number("reg-shift", 0, |shift| shift <= MAX_REG_SHIFT)?;
    let reg_io_width = number("reg-io-width", 1, |width| matches!(width, 1 | 2 | 4))?;
    let uart = Uart::Ns16550 { reg_shift, reg_io_width };
    let min_size = (NS16550_LAST_REGISTER << reg_shift) + u64::from(reg_io_width);
    Ok((uart, min_size))
}
