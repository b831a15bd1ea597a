//! The settings behind EFI_SERIAL_IO_PROTOCOL (UEFI 2.11, 12.8) of a line whose form is fixed: it is the VMM's.

/// EFI_PARITY_TYPE NoParity.
const NO_PARITY: u32 = 1;
/// EFI_STOP_BITS_TYPE OneStopBit.
const ONE_STOP_BIT: u32 = 1;
const DATA_BITS: u8 = 8;
/// Depth of the receive FIFO: that of a 16550, which a PL011's is not below.
const FIFO_DEPTH: u32 = 16;
/// The default time to wait for a byte, in microseconds (table of SetAttributes()).
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
    /// How long a byte is waited for, in microseconds.
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
            data_bits: DATA_BITS as u32,
            parity: NO_PARITY,
            stop_bits: ONE_STOP_BIT,
        }
    }

    /// SetAttributes(); `None`, and nothing changes, for what the line is not. All but the time out has one value, which
    /// is also the nearest below a rate or a depth that is greater.
    pub fn set(&mut self, wanted: Attributes) -> Option<()> {
        let fits = (wanted.baud_rate == 0 || wanted.baud_rate >= self.baud_rate)
            && (wanted.receive_fifo_depth == 0 || wanted.receive_fifo_depth >= FIFO_DEPTH)
            && matches!(wanted.parity, 0 | NO_PARITY)
            && matches!(wanted.data_bits, 0 | DATA_BITS)
            && matches!(wanted.stop_bits, 0 | ONE_STOP_BIT);
        self.timeout = match (fits, wanted.timeout) {
            (false, _) => return None,
            (true, 0) => TIMEOUT,
            (true, timeout) => timeout,
        };
        Some(())
    }
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
            Attributes { receive_fifo_depth: 15, ..whole },
            Attributes { parity: 2, ..whole },
            Attributes { parity: 6, ..whole },
            Attributes { data_bits: 7, ..whole },
            Attributes { stop_bits: 3, ..whole },
        ] {
            assert_eq!(mode.set(Attributes { timeout: 9, ..other }), None, "{other:?}");
            assert_eq!(mode.timeout, 5);
        }
        let greater = Attributes { baud_rate: 230_400, receive_fifo_depth: 64, ..whole };
        assert_eq!(mode.set(greater), Some(()), "the nearest without exceeding it");
        assert_eq!(mode, Mode { timeout: 5, ..before });
        assert_eq!(mode.set(Attributes::default()), Some(()));
        assert_eq!(mode, before);
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
