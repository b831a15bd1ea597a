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
}

/// The console. Without `stdout-path`, or with one that leads nowhere, it is the first UART; with
/// one that names a device that is disabled or that the firmware has no driver for there is none.
pub fn console(tree: &Tree<'_>) -> Result<Option<Console>, MachineError> {
    if let Some(node) = stdout(tree) {
        return if node.is_enabled() { uart(node) } else { Ok(None) };
    }
    for node in tree.nodes().filter(|node| node.is_enabled()) {
        if let Some(console) = uart(node)? {
            return Ok(Some(console));
        }
    }
    Ok(None)
}

/// The node that `stdout-path` names. The rate that may stand behind a colon is not used: the VMM's
/// UART has none.
fn stdout<'t, 'a>(tree: &'t Tree<'a>) -> Option<Node<'t, 'a>> {
    let value = bus::string(tree.root().child("chosen")?.property("stdout-path")?)?;
    let (path, _) = value.split_once(':').unwrap_or((value, ""));
    resolve(tree, path)
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

fn uart(node: Node<'_, '_>) -> Result<Option<Console>, MachineError> {
    let (owner, uart, min_size) = if node.is_compatible("arm,pl011") {
        ("arm,pl011", Uart::Pl011, PL011_MIN_SIZE)
    } else if node.is_compatible("ns16550a") || node.is_compatible("ns16550") {
        let (uart, size) = ns16550(node)?;
        ("ns16550a", uart, size)
    } else {
        return Ok(None);
    };
    let region = bus::first_reg(owner, node, min_size)?;
    Ok(region.map(|region| Console { uart, region }))
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
