//! The settings behind EFI_SERIAL_IO_PROTOCOL (UEFI 2.11, 12.8) of a line that is a VMM's: bytes pass whole, whatever
//! form they are said to have.

/// EFI_PARITY_TYPE NoParity and SpaceParity.
const NO_PARITY: u32 = 1;
const SPACE_PARITY: u32 = 5;
/// EFI_STOP_BITS_TYPE OneStopBit and TwoStopBits.
const ONE_STOP_BIT: u32 = 1;
const TWO_STOP_BITS: u32 = 3;
const DATA_BITS: u32 = 8;
/// The default depth of the receive FIFO, and the default time to wait for a byte, in microseconds (section 12.8.1).
const FIFO_DEPTH: u32 = 1;
const TIMEOUT: u32 = 1_000_000;

/// EFI_SERIAL_CLEAR_TO_SEND and EFI_SERIAL_DATA_SET_READY: nobody is ever in the way.
const READY: u32 = 0x10 | 0x20;
/// EFI_SERIAL_INPUT_BUFFER_EMPTY.
pub const INPUT_BUFFER_EMPTY: u32 = 0x100;
/// EFI_SERIAL_OUTPUT_BUFFER_EMPTY.
pub const OUTPUT_BUFFER_EMPTY: u32 = 0x200;
/// EFI_SERIAL_DATA_TERMINAL_READY, EFI_SERIAL_REQUEST_TO_SEND and EFI_SERIAL_HARDWARE_FLOW_CONTROL_ENABLE. A VMM sends
/// no more than there is room for, whatever they say.
const SETTABLE: u32 = 1 | 2 | 0x4000;

/// EFI_SERIAL_IO_MODE.
#[repr(C)]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Mode {
    /// The bits that GetControl() can give.
    pub control_mask: u32,
    /// How long is waited for each byte, in microseconds.
    pub timeout: u32,
    /// Bits a second.
    pub baud_rate: u64,
    /// Bytes that are kept until they are read.
    pub receive_fifo_depth: u32,
    /// Bits of a byte.
    pub data_bits: u32,
    /// EFI_PARITY_TYPE.
    pub parity: u32,
    /// EFI_STOP_BITS_TYPE.
    pub stop_bits: u32,
}

/// What SetAttributes() asks for; zero is the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct Attributes {
    /// Bits a second.
    pub baud_rate: u64,
    /// Bytes.
    pub receive_fifo_depth: u32,
    /// Microseconds.
    pub timeout: u32,
    /// EFI_PARITY_TYPE.
    pub parity: u32,
    /// Bits of a byte.
    pub data_bits: u8,
    /// EFI_STOP_BITS_TYPE.
    pub stop_bits: u32,
}

impl Mode {
    /// A line of this rate, eight bits, no parity, one stop bit.
    pub const fn new(baud_rate: u64) -> Self {
        Self {
            control_mask: SETTABLE | READY | INPUT_BUFFER_EMPTY | OUTPUT_BUFFER_EMPTY,
            timeout: TIMEOUT,
            baud_rate,
            receive_fifo_depth: FIFO_DEPTH,
            data_bits: DATA_BITS,
            parity: NO_PARITY,
            stop_bits: ONE_STOP_BIT,
        }
    }

    /// SetAttributes(); `None`, and nothing changes, for what the specification has no name for, or a lower rate: rate
    /// and depth have one value, which is also the nearest below one that is greater.
    pub fn set(&mut self, wanted: Attributes) -> Option<()> {
        let fits = (wanted.baud_rate == 0 || wanted.baud_rate >= self.baud_rate)
            && wanted.parity <= SPACE_PARITY
            && matches!(wanted.data_bits, 0 | 5..=8)
            && wanted.stop_bits <= TWO_STOP_BITS;
        if !fits {
            return None;
        }
        let or = |wanted, default| if wanted == 0 { default } else { wanted };
        self.timeout = or(wanted.timeout, TIMEOUT);
        self.parity = or(wanted.parity, NO_PARITY);
        self.data_bits = or(wanted.data_bits.into(), DATA_BITS);
        self.stop_bits = or(wanted.stop_bits, ONE_STOP_BIT);
        Some(())
    }
}

/// Read() and Write(): moves `count` bytes, each by `each` with its place, which says whether it could and is asked
/// again for `timeout` in the unit of `now`. Returns how many were moved.
pub fn transfer(count: usize, timeout: u64, now: impl Fn() -> u64, mut each: impl FnMut(usize) -> bool) -> usize {
    let moved = (0..count).take_while(|at| {
        let end = now().saturating_add(timeout);
        loop {
            if each(*at) {
                return true;
            }
            if now() >= end {
                return false;
            }
        }
    });
    moved.count()
}

/// The control bits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Control {
    set: u32,
}

impl Control {
    /// No bits are set.
    pub const fn new() -> Self {
        Self { set: 0 }
    }

    /// SetControl(); `None`, and nothing changes, for bits that cannot be set.
    pub fn set(&mut self, bits: u32) -> Option<()> {
        if bits & !SETTABLE != 0 {
            return None;
        }
        self.set = bits;
        Some(())
    }

    /// GetControl() of a UART that has bytes to read or not. What is written is on its way at once.
    pub fn get(self, has_input: bool) -> u32 {
        let empty = if has_input { 0 } else { INPUT_BUFFER_EMPTY };
        self.set | READY | OUTPUT_BUFFER_EMPTY | empty
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_it_is() {
        let mut mode = Mode::new(115_200);
        let before = mode;
        assert_eq!((before.receive_fifo_depth, before.timeout), (1, 1_000_000));
        let whole = Attributes {
            baud_rate: 115_200,
            receive_fifo_depth: 16,
            timeout: 5,
            parity: 1,
            data_bits: 8,
            stop_bits: 1,
        };
        assert_eq!(mode.set(whole), Some(()));
        assert_eq!(mode, Mode { timeout: 5, ..before });
        for other in [
            Attributes { baud_rate: 9600, ..whole },
            Attributes { parity: 6, ..whole },
            Attributes { data_bits: 4, ..whole },
            Attributes { data_bits: 9, ..whole },
            Attributes { stop_bits: 4, ..whole },
        ] {
            assert_eq!(mode.set(Attributes { timeout: 9, ..other }), None, "{other:?}");
            assert_eq!(mode.timeout, 5);
        }
        let form = Attributes { receive_fifo_depth: 1, parity: 5, data_bits: 5, stop_bits: 3, ..whole };
        assert_eq!(mode.set(form), Some(()));
        assert_eq!(mode, Mode { timeout: 5, parity: 5, data_bits: 5, stop_bits: 3, ..before });
        let greater = Attributes { baud_rate: 230_400, receive_fifo_depth: 64, ..whole };
        assert_eq!(mode.set(greater), Some(()), "the nearest without exceeding it");
        assert_eq!(mode, Mode { timeout: 5, ..before });
        assert_eq!(mode.set(Attributes::default()), Some(()));
        assert_eq!(mode, before);
    }

    #[test]
    fn each_byte_has_the_time_out() {
        let clock = core::cell::Cell::new(0);
        let now = || clock.replace(clock.get() + 1);
        let mut asked = [0; 4];
        // One that succeeds when asked the fifth time, and one that never does.
        let moved = transfer(4, 10, now, |at| {
            asked[at] += 1;
            [true, asked[at] == 5, false, true][at]
        });
        assert_eq!((moved, asked), (2, [1, 5, 10, 0]));
        let mut once = 0;
        assert_eq!(
            transfer(1, 0, now, |_| {
                once += 1;
                false
            }),
            0
        );
        assert_eq!(once, 1, "without time it is tried once");
        assert_eq!(transfer(0, 10, now, |_| false), 0);
    }

    #[test]
    fn control_bits() {
        let mut control = Control::new();
        assert_eq!(control.get(false), 0x330);
        assert_eq!(control.get(true), 0x230);
        assert_eq!(control.set(0x4003), Some(()));
        for bits in [0x1000, 0x2000, 0x10, 0x100, 1 << 31] {
            assert_eq!(control.set(bits | 1), None, "{bits:#x}");
        }
        assert_eq!(control.get(true), 0x4233);
        assert_eq!(Mode::new(1).control_mask & 0x4333, 0x4333);
    }
}
