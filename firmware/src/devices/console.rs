//! The console: the UART that the device tree names.

use core::sync::atomic::{AtomicBool, Ordering};

use formats::machine::{Console, Uart};
use spin::Once;
use terminal::ns16550::Ns16550;

use super::pl011;
use crate::arch::{self, mmio::Mmio};
use crate::memory;

/// How long a full UART is waited for, in parts of a second. One that takes nothing for so long is given up: a host
/// must not stop the boot by not listening.
const PATIENCE: u64 = 100;

/// Where QEMU and cloud-hypervisor have their UART: the only guess there is when the device tree that would name
/// it cannot be used.
const LAST_RESORT: u64 = 0x0900_0000;
const LAST_RESORT_SIZE: u64 = 0x1000;

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
    PORT.call_once(|| match console.uart {
        Uart::Pl011 => {
            pl011::start(registers);
            Port::Pl011(registers)
        }
        Uart::Ns16550 { reg_shift, reg_io_width } => Port::Ns16550(Ns16550::start(registers, reg_shift, reg_io_width)),
    });
    Ok(())
}

/// Uses the UART where it most often is, when there is no console yet, so that what went wrong can be reported.
pub fn start_last_resort() {
    if PORT.get().is_some() {
        return;
    }
    // Where it cannot be mapped nothing can be said.
    if let Ok(registers) = memory::map_device(LAST_RESORT, LAST_RESORT_SIZE) {
        PORT.call_once(|| Port::Pl011(registers));
    }
}

/// Sends a byte. Without a console, or with one that takes nothing, it is lost.
pub fn write_byte(byte: u8) {
    let Some(port) = PORT.get() else { return };
    if DEAF.load(Ordering::Relaxed) || port.try_write(byte) {
        return;
    }
    let end = arch::counter().saturating_add(arch::counter_frequency() / PATIENCE);
    while !port.try_write(byte) {
        if arch::counter() > end {
            DEAF.store(true, Ordering::Relaxed);
            return;
        }
    }
}

/// A byte that was typed.
pub fn read_byte() -> Option<u8> {
    match PORT.get()? {
        Port::Pl011(registers) => pl011::read(*registers),
        Port::Ns16550(uart) => uart.read(),
    }
}
