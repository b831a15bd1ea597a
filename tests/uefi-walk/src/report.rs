//! What the program prints.

use core::fmt::{Arguments, Debug, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use uefi::{Status, system};

static PASSED: AtomicUsize = AtomicUsize::new(0);
static FAILED: AtomicUsize = AtomicUsize::new(0);

pub fn line(text: Arguments<'_>) {
    // A console that does not print is noticed by who reads it.
    system::with_stdout(|output| writeln!(output, "{text}")).unwrap_or_default();
}

macro_rules! say {
    ($($t:tt)*) => { $crate::report::line(format_args!($($t)*)) };
}
pub(crate) use say;

pub fn failed(name: &str, why: Arguments<'_>) {
    FAILED.fetch_add(1, Ordering::Relaxed);
    say!("not ok - {name}: {why}");
}

pub fn skipped(name: &str, why: &str) {
    say!("skip - {name}: {why}");
}

/// A condition that must hold.
pub fn check(name: &str, holds: bool) {
    if holds {
        PASSED.fetch_add(1, Ordering::Relaxed);
        say!("ok - {name}");
    } else {
        failed(name, format_args!("does not hold"));
    }
}

/// A call that must succeed.
pub fn works<T, D: Debug>(name: &str, result: uefi::Result<T, D>) -> Option<T> {
    match result {
        Ok(value) => {
            check(name, true);
            Some(value)
        }
        Err(error) => {
            failed(name, format_args!("{:?}", error.status()));
            None
        }
    }
}

/// A call that must be refused with this status.
pub fn refused<T, D: Debug>(name: &str, result: uefi::Result<T, D>, wanted: Status) {
    match result {
        Err(error) if error.status() == wanted => check(name, true),
        Err(error) => failed(name, format_args!("{:?}, not {wanted:?}", error.status())),
        Ok(_) => failed(name, format_args!("success, not {wanted:?}")),
    }
}

pub fn summary() {
    let (passed, failed) = (PASSED.load(Ordering::Relaxed), FAILED.load(Ordering::Relaxed));
    say!("uefi-walk: {passed} passed, {failed} failed");
}
