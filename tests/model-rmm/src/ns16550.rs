//! kvmtool's first UART: a 16550 (PC16550D) in the place of the machine's PL011.
//!
//! It raises no interrupt, and its line has no rate, parity or modem behind it.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use crate::dtb::Node;

/// Where kvmtool has it.
pub const BASE: u64 = 0x0100_0000;
const SIZE: u64 = 8;

/// The registers of one at `base`.
pub fn registers(base: u64) -> Range<u64> {
    base..base.saturating_add(SIZE)
}

const CLOCK_HZ: u32 = 1_843_200;

/// Puts a 16550 at `base` into a tree in the place of the PL011, and names it as the console. Returns where the PL011 is;
/// none when the tree has none.
pub fn replace_pl011(root: &mut Node, base: u64) -> Option<u64> {
    let node = root.children.iter_mut().find(|node| node.is_compatible("arm,pl011"))?;
    let pl011 = node.regions().first()?.start;
    let text = |text: &str| [text.as_bytes(), &[0]].concat();
    let name = format!("U6_16550A@{base:x}");
    *node = Node { name: name.clone(), properties: vec![], children: vec![] };
    node.set("compatible", text("ns16550a"));
    node.set("reg", [base.to_be_bytes(), SIZE.to_be_bytes()].concat());
    node.set("clock-frequency", CLOCK_HZ.to_be_bytes().to_vec());
    let path: Vec<u8> = [b"/", text(&name).as_slice()].concat();
    root.child("chosen").set("stdout-path", path);
    Some(pl011)
}

/// What the UART is connected to.
pub trait Line {
    /// Whether a byte can be sent.
    fn has_room(&self) -> bool;
    /// Sends a byte.
    fn send(&mut self, byte: u8);
    /// Whether a byte has come in.
    fn has_byte(&self) -> bool;
    /// The byte that has come in.
    fn receive(&mut self) -> u8;
}

const RBR_THR: u64 = 0;
const IER: u64 = 1;
const IIR_FCR: u64 = 2;
const LCR: u64 = 3;
const MCR: u64 = 4;
const LSR: u64 = 5;
const MSR: u64 = 6;
const SCR: u64 = 7;

const FCR_ENABLE: u8 = 1;
const IIR_NONE_PENDING: u8 = 1;
const IIR_FIFOS: u8 = 0b11 << 6;
const LCR_DLAB: u8 = 1 << 7;
const LSR_DATA_READY: u8 = 1;
const LSR_THR_EMPTY: u8 = 1 << 5;
const LSR_IDLE: u8 = 1 << 6;
/// Carrier, data set ready, clear to send.
const MSR_CONNECTED: u8 = 0b1011 << 4;

/// Its registers.
#[derive(Clone, Debug, Default)]
pub struct Ns16550 {
    divisor: [u8; 2],
    ier: u8,
    fcr: u8,
    lcr: u8,
    mcr: u8,
    scr: u8,
}

impl Ns16550 {
    fn latch(&mut self, register: u64) -> Option<&mut u8> {
        if self.lcr & LCR_DLAB == 0 {
            return None;
        }
        self.divisor.get_mut(usize::try_from(register).ok()?)
    }

    /// A load from a register.
    pub fn read(&mut self, register: u64, line: &mut impl Line) -> u8 {
        if let Some(latch) = self.latch(register) {
            return *latch;
        }
        match register {
            RBR_THR if line.has_byte() => line.receive(),
            IER => self.ier,
            IIR_FCR if self.fcr & FCR_ENABLE != 0 => IIR_NONE_PENDING | IIR_FIFOS,
            IIR_FCR => IIR_NONE_PENDING,
            LCR => self.lcr,
            MCR => self.mcr,
            LSR => {
                let ready = if line.has_byte() { LSR_DATA_READY } else { 0 };
                let room = if line.has_room() { LSR_THR_EMPTY | LSR_IDLE } else { 0 };
                ready | room
            }
            MSR => MSR_CONNECTED,
            SCR => self.scr,
            _ => 0,
        }
    }

    /// A store to a register. A byte for which there is no room is lost.
    pub fn write(&mut self, register: u64, value: u8, line: &mut impl Line) {
        if let Some(latch) = self.latch(register) {
            *latch = value;
            return;
        }
        match register {
            RBR_THR if line.has_room() => line.send(value),
            IER => self.ier = value & 0xf,
            IIR_FCR => self.fcr = value,
            LCR => self.lcr = value,
            MCR => self.mcr = value & 0x1f,
            SCR => self.scr = value,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Cable {
        sent: Vec<u8>,
        full: bool,
        typed: Vec<u8>,
    }

    impl Line for Cable {
        fn has_room(&self) -> bool {
            !self.full
        }

        fn send(&mut self, byte: u8) {
            self.sent.push(byte);
        }

        fn has_byte(&self) -> bool {
            !self.typed.is_empty()
        }

        fn receive(&mut self) -> u8 {
            self.typed.remove(0)
        }
    }

    #[test]
    fn bytes_go_out_when_there_is_room_and_come_in_once() {
        let (mut uart, mut cable) = (Ns16550::default(), Cable { typed: vec![b'x'], ..Cable::default() });
        assert_eq!(uart.read(LSR, &mut cable), LSR_DATA_READY | LSR_THR_EMPTY | LSR_IDLE);
        assert_eq!(uart.read(RBR_THR, &mut cable), b'x');
        assert_eq!(uart.read(RBR_THR, &mut cable), 0);
        uart.write(RBR_THR, b'a', &mut cable);
        cable.full = true;
        assert_eq!(uart.read(LSR, &mut cable), 0);
        uart.write(RBR_THR, b'b', &mut cable);
        assert_eq!(cable.sent, b"a");
    }

    #[test]
    fn the_divisor_latch_hides_data_and_interrupts() {
        let (mut uart, mut cable) = (Ns16550::default(), Cable::default());
        uart.write(IER, 5, &mut cable);
        uart.write(LCR, LCR_DLAB | 3, &mut cable);
        uart.write(RBR_THR, 0x34, &mut cable);
        uart.write(IER, 0x12, &mut cable);
        assert_eq!([uart.read(RBR_THR, &mut cable), uart.read(IER, &mut cable)], [0x34, 0x12]);
        uart.write(LCR, 3, &mut cable);
        assert_eq!([uart.read(RBR_THR, &mut cable), uart.read(IER, &mut cable)], [0, 5]);
        assert!(cable.sent.is_empty());
    }

    #[test]
    fn registers_that_do_nothing_are_there() {
        let (mut uart, mut cable) = (Ns16550::default(), Cable::default());
        assert_eq!(uart.read(IIR_FCR, &mut cable), IIR_NONE_PENDING);
        uart.write(IIR_FCR, FCR_ENABLE, &mut cable);
        assert_eq!(uart.read(IIR_FCR, &mut cable), IIR_NONE_PENDING | IIR_FIFOS);
        uart.write(SCR, 0xa5, &mut cable);
        uart.write(MCR, 0xff, &mut cable);
        assert_eq!([uart.read(SCR, &mut cable), uart.read(MCR, &mut cable)], [0xa5, 0x1f]);
        assert_eq!([uart.read(MSR, &mut cable), uart.read(8, &mut cable)], [MSR_CONNECTED, 0]);
    }

    #[test]
    fn the_tree_names_the_16550_alone() {
        let mut root = Node::default();
        assert_eq!(replace_pl011(&mut root, BASE), None);
        let mut pl011 = Node { name: "pl011@9000000".into(), ..Node::default() };
        pl011.set("compatible", b"arm,pl011\0arm,primecell\0".to_vec());
        pl011.set("reg", [0x900_0000_u64.to_be_bytes(), 0x1000_u64.to_be_bytes()].concat());
        root.children.push(pl011);
        assert_eq!(replace_pl011(&mut root, BASE), Some(0x900_0000));
        let uarts: Vec<_> = root.children.iter().filter(|node| node.is_compatible("ns16550a")).collect();
        assert_eq!(uarts.len(), 1);
        assert_eq!(uarts[0].regions(), [registers(BASE)]);
        assert!(!root.children.iter().any(|node| node.is_compatible("arm,pl011")));
        assert_eq!(root.child("chosen").property("stdout-path"), Some(&b"/U6_16550A@1000000\0"[..]));
    }
}
