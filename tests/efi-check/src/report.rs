//! What the program prints: through ConOut, and through the UART itself once boot services end.

use core::fmt::{self, Arguments, Write};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use r_efi::efi::Status;

use crate::env;

static PASSED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);
/// The UART to write to; zero as long as ConOut is there.
static UART: AtomicU64 = AtomicU64::new(0);

/// From now on, writes to the PL011 at this address.
pub fn use_uart(address: u64) {
    UART.store(address, Ordering::Relaxed);
}

struct Output {
    units: [u16; 64],
    length: usize,
}

impl Output {
    fn put(&mut self, byte: u8) {
        let uart = UART.load(Ordering::Relaxed);
        if uart != 0 {
            unsafe {
                while (core::ptr::with_exposed_provenance::<u32>(uart as usize + 0x18)).read_volatile() & 0x20 != 0 {}
                core::ptr::with_exposed_provenance_mut::<u32>(uart as usize).write_volatile(byte.into());
            }
            return;
        }
        self.units[self.length] = byte.into();
        self.length += 1;
        if self.length + 1 == self.units.len() {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.length > 0 {
            self.units[self.length] = 0;
            self.length = 0;
            unsafe {
                let output = (*env::table()).con_out;
                ((*output).output_string)(output, self.units.as_mut_ptr());
            }
        }
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                self.put(b'\r');
            }
            self.put(if byte.is_ascii() { byte } else { b'?' });
        }
        Ok(())
    }
}

pub fn line(text: Arguments<'_>) {
    let mut output = Output { units: [0; 64], length: 0 };
    let _ = writeln!(output, "{text}");
    output.flush();
}

macro_rules! say {
    ($($t:tt)*) => { $crate::report::line(format_args!($($t)*)) };
}
pub(crate) use say;

pub fn passed(name: &str) {
    PASSED.fetch_add(1, Ordering::Relaxed);
    say!("ok - {name}");
}

pub fn failed(name: &str, why: Arguments<'_>) {
    FAILED.fetch_add(1, Ordering::Relaxed);
    say!("not ok - {name}: {why}");
}

pub fn skipped(name: &str, why: &str) {
    say!("skip - {name}: {why}");
}

pub fn failures() -> usize {
    FAILED.load(Ordering::Relaxed)
}

pub fn summary() {
    let (passed, failed) = (PASSED.load(Ordering::Relaxed), failures());
    say!("efi-check: {passed} passed, {failed} failed");
}

/// A condition that must hold.
pub fn check(name: &str, holds: bool) {
    if holds { passed(name) } else { failed(name, format_args!("does not hold")) }
}

/// A value that must be another.
pub fn equal<T: PartialEq + fmt::Debug>(name: &str, is: T, wanted: T) {
    if is == wanted { passed(name) } else { failed(name, format_args!("{is:x?}, not {wanted:x?}")) }
}

/// A status that must be one.
pub fn status(name: &str, is: Status, wanted: Status) {
    one_of(name, is, &[wanted]);
}

/// A status that may be one of several: where the specification leaves it open.
pub fn one_of(name: &str, is: Status, wanted: &[Status]) {
    if wanted.contains(&is) {
        passed(name);
    } else {
        failed(name, format_args!("{}, not {}", Code(is), Code(wanted[0])));
    }
}

struct Code(Status);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_error() {
            write!(f, "error {}", self.0.as_usize() & (usize::MAX >> 1))
        } else {
            write!(f, "{}", self.0.as_usize())
        }
    }
}
