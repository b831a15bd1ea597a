//! A PL011 or 16550 in the unprotected half, one store per character.

use core::fmt::{Arguments, Write};
use core::sync::atomic::{AtomicU64, Ordering};

use crate::start;

static DATA: AtomicU64 = AtomicU64::new(0);

/// Output goes to the data register at this address from now on.
pub fn set(address: u64) {
    DATA.store(address, Ordering::Relaxed);
}

struct Port(u64);

impl Write for Port {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        for byte in text.bytes() {
            start::store32(self.0, u32::from(byte));
        }
        Ok(())
    }
}

/// Prints a line.
pub fn line(text: Arguments<'_>) {
    let address = DATA.load(Ordering::Relaxed);
    if address != 0 {
        let _ = writeln!(Port(address), "{text}\r");
    }
}
