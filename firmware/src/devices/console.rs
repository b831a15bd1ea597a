//! The console: the UART that the device tree names, and a virtio device beside it.

use core::sync::atomic::{AtomicBool, Ordering};

use boot_asm::{DEFAULT_UART, DEFAULT_UART_KVMTOOL};
use formats::Region;
use formats::machine::{Console, Uart, find_console};
use spin::Once;
use terminal::ns16550::Ns16550;

use super::{device_tree, pl011, virtio_console};
use crate::arch::{self, mmio::Mmio};
use crate::memory;

/// How long a full UART is waited for, in parts of a second. One that takes nothing for so long is given up: a host
/// must not stop the boot by not listening.
const PATIENCE: u64 = 100;

/// Bytes of a UART's registers that are mapped on a guess.
const REGISTERS: u64 = 0x1000;

#[derive(Clone, Copy, Debug)]
enum Port {
    Pl011(Mmio),
    Ns16550(Ns16550<Mmio>),
}

impl Port {
    /// Sends a byte if there is room for it.
    fn try_write(&self, byte: u8) -> bool {
        match self {
            Self::Pl011(registers) => pl011::try_write(*registers, byte),
            Self::Ns16550(uart) => uart.try_write(byte),
        }
    }
}

static PORT: Once<Port> = Once::new();
static DEAF: AtomicBool = AtomicBool::new(false);

/// Uses the console of the machine from now on.
///
/// # Errors
/// When its registers cannot be mapped; the machine then has no console.
pub fn start(console: &Console) -> Result<(), memory::Error> {
    let registers = memory::map_device(console.region.base(), console.region.size())?;
    // A UART that nobody answers for faults here: what tells of that must find no console half made.
    let port = match console.uart {
        Uart::Pl011 => {
            pl011::start(registers);
            Port::Pl011(registers)
        }
        Uart::Ns16550 { reg_shift, reg_io_width } => Port::Ns16550(Ns16550::start(registers, reg_shift, reg_io_width)),
    };
    PORT.call_once(|| port);
    Ok(())
}

/// Uses a UART before the machine is known, so that what went wrong can be reported: the one that the device tree names,
/// if that much of it can be read, or the one that is where most often one is.
pub fn start_early() {
    if PORT.get().is_none() && find().is_none_or(|console| start(&console).is_err()) {
        start_last_resort();
    }
}

fn find() -> Option<Console> {
    find_console(&device_tree::read().ok()?)
}

/// Uses the UART where it most often is, when there is no console yet and something is so wrong that no device tree
/// should be read.
pub fn start_last_resort() {
    // Where it cannot be mapped nothing can be said.
    if PORT.get().is_none()
        && let Some(console) = guess()
    {
        let _ = start(&console);
    }
}

fn guess() -> Option<Console> {
    /// kvmtool's RAM, where the firmware is, begins here; that of others, below.
    const KVMTOOL_RAM: u64 = 0x8000_0000;
    let (base, uart) = match memory::image().start {
        ..KVMTOOL_RAM => (DEFAULT_UART, Uart::Pl011),
        _ => (DEFAULT_UART_KVMTOOL, Uart::Ns16550 { reg_shift: 0, reg_io_width: 1 }),
    };
    Some(Console { uart, region: Region::new(base, REGISTERS)? })
}

/// Says `text` where the shared alias of the UART is beyond the page tables, and powers off.
pub fn say_beyond(shared_bit: u64, text: &str) -> ! {
    let base = find().or_else(guess).map_or(DEFAULT_UART, |console| console.region.base());
    arch::say_without_mmu(base | shared_bit, text)
}

/// Sends a byte; to the virtio device at the latest with the next [`flush`]. Without a console, or with one that takes
/// nothing, it is lost.
pub fn write_byte(byte: u8) {
    virtio_console::write_byte(byte);
    if DEAF.load(Ordering::Relaxed) || try_send(byte) {
        return;
    }
    let end = arch::counter().saturating_add(arch::counter_frequency() / PATIENCE);
    while !try_send(byte) {
        if arch::counter() > end {
            DEAF.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// Ends a piece of text.
pub fn flush() {
    virtio_console::flush();
}

/// Sends a byte if the UART has room for it.
pub fn try_send(byte: u8) -> bool {
    PORT.get().is_some_and(|port| port.try_write(byte))
}

/// A byte that was typed.
pub fn read_byte() -> Option<u8> {
    read_uart().or_else(virtio_console::read_byte)
}

/// A byte that was typed and came to the UART.
pub fn read_uart() -> Option<u8> {
    match PORT.get()? {
        Port::Pl011(registers) => pl011::read(*registers),
        Port::Ns16550(uart) => uart.read(),
    }
}

/// Whether the UART has a byte to read.
pub fn has_input() -> bool {
    match PORT.get() {
        Some(Port::Pl011(registers)) => pl011::has_input(*registers),
        Some(Port::Ns16550(uart)) => uart.has_input(),
        None => false,
    }
}
