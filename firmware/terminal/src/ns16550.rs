//! 16550-compatible UARTs (PC16550D), as kvmtool and crosvm have them.

/// Receiver and transmitter.
const DATA: u64 = 0;
const FCR: u64 = 2;
const FCR_ENABLE: u8 = 1;
const LCR: u64 = 3;
/// Eight bits, divisor latch off.
const LCR_8N1: u8 = 0b11;
const LSR: u64 = 5;
const LSR_DATA_READY: u8 = 1;
const LSR_THR_EMPTY: u8 = 1 << 5;

/// The registers of a device: accesses of 1, 2 or 4 bytes, of which the lowest counts.
pub trait Registers {
    /// Reads `width` bytes at byte `offset`.
    fn read(&self, offset: u64, width: u32) -> u8;
    /// Writes `width` bytes at byte `offset`.
    fn write(&self, offset: u64, width: u32, value: u8);
}

/// A 16550 whose registers stand `1 << shift` bytes apart and are accessed `width` bytes at a time.
#[derive(Clone, Copy, Debug)]
pub struct Ns16550<R> {
    registers: R,
    shift: u32,
    width: u32,
}

impl<R: Registers> Ns16550<R> {
    /// Sets the line up; its rate stays what the VMM set.
    pub fn start(registers: R, shift: u32, width: u32) -> Self {
        let uart = Self { registers, shift, width };
        uart.set(LCR, LCR_8N1);
        uart.set(FCR, FCR_ENABLE);
        uart
    }

    fn get(&self, register: u64) -> u8 {
        self.registers.read(register << self.shift, self.width)
    }

    fn set(&self, register: u64, value: u8) {
        self.registers.write(register << self.shift, self.width, value);
    }

    /// Sends a byte if there is room for it.
    pub fn try_write(&self, byte: u8) -> bool {
        let room = self.get(LSR) & LSR_THR_EMPTY != 0;
        if room {
            self.set(DATA, byte);
        }
        room
    }

    /// Whether a byte has come in.
    pub fn has_input(&self) -> bool {
        self.get(LSR) & LSR_DATA_READY != 0
    }

    /// A byte that has come in.
    pub fn read(&self) -> Option<u8> {
        self.has_input().then(|| self.get(DATA))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use super::*;

    /// A UART that has its divisor latch in the place of the data until someone turns it off.
    struct Fake {
        state: RefCell<State>,
        shift: u32,
        width: u32,
    }

    struct State {
        lcr: u8,
        fcr: u8,
        room: usize,
        sent: Vec<u8>,
        typed: VecDeque<u8>,
    }

    impl Fake {
        fn new(shift: u32, width: u32) -> Self {
            let state = State { lcr: 0x80, fcr: 0, room: 2, sent: Vec::new(), typed: VecDeque::from(*b"ab") };
            Self { state: RefCell::new(state), shift, width }
        }

        fn register(&self, offset: u64, width: u32) -> u64 {
            assert_eq!(width, self.width);
            assert_eq!(offset >> self.shift << self.shift, offset, "between two registers");
            offset >> self.shift
        }
    }

    impl Registers for &Fake {
        fn read(&self, offset: u64, width: u32) -> u8 {
            let state = &mut *self.state.borrow_mut();
            match self.register(offset, width) {
                0 if state.lcr & 0x80 == 0 => state.typed.pop_front().expect("read without a byte"),
                5 => u8::from(!state.typed.is_empty()) | if state.room > 0 { 0x60 } else { 0 },
                register => panic!("read of register {register}"),
            }
        }

        fn write(&self, offset: u64, width: u32, value: u8) {
            let state = &mut *self.state.borrow_mut();
            match self.register(offset, width) {
                0 if state.lcr & 0x80 == 0 => {
                    state.room = state.room.checked_sub(1).expect("write without room");
                    state.sent.push(value);
                }
                2 => state.fcr = value,
                3 => state.lcr = value,
                register => panic!("write to register {register}"),
            }
        }
    }

    #[test]
    fn bytes_go_both_ways_whatever_the_stride_and_the_width() {
        for (shift, width) in [(0, 1), (1, 2), (2, 1), (2, 4)] {
            let fake = Fake::new(shift, width);
            let uart = Ns16550::start(&fake, shift, width);
            assert!(uart.has_input());
            assert_eq!([uart.read(), uart.read(), uart.read()], [Some(b'a'), Some(b'b'), None]);
            assert!(!uart.has_input());
            assert_eq!([uart.try_write(b'x'), uart.try_write(b'y'), uart.try_write(b'z')], [true, true, false]);
            let state = fake.state.borrow();
            assert_eq!(state.sent, b"xy");
            assert_eq!((state.lcr, state.fcr), (3, 1));
        }
    }
}
