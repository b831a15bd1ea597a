//! What the firmware says: one banner, then silence unless something is wrong.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU8, Ordering};

use crate::devices::console;

/// How much is said.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Level {
    /// What stops the boot.
    Error = 1,
    /// What is wrong but survived.
    Warn = 2,
    /// The steps of the boot.
    Info = 3,
    /// Details for whoever works on the firmware.
    Debug = 4,
}

static LEVEL: AtomicU8 = AtomicU8::new(Level::Warn as u8);

impl Level {
    /// The level of that name: `error`, `warn`, `info` or `debug`.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "error" => Some(Self::Error),
            "warn" => Some(Self::Warn),
            "info" => Some(Self::Info),
            "debug" => Some(Self::Debug),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warning",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Says everything down to `level`.
pub fn set_level(level: Level) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

struct Console;

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(console::write_byte);
        Ok(())
    }
}

/// Writes to the console as it is.
pub fn raw(arguments: fmt::Arguments<'_>) {
    // The console takes everything.
    let _ = Console.write_fmt(arguments);
    console::flush();
}

/// Writes a line of `level`; the macros below call it.
pub fn line(level: Level, arguments: fmt::Arguments<'_>) {
    if level as u8 <= LEVEL.load(Ordering::Relaxed) {
        raw(format_args!("realmfw: {}: {arguments}\r\n", level.name()));
    }
}

macro_rules! error {
    ($($t:tt)*) => { $crate::log::line($crate::log::Level::Error, format_args!($($t)*)) };
}
macro_rules! warning {
    ($($t:tt)*) => { $crate::log::line($crate::log::Level::Warn, format_args!($($t)*)) };
}
macro_rules! info {
    ($($t:tt)*) => { $crate::log::line($crate::log::Level::Info, format_args!($($t)*)) };
}
macro_rules! debug {
    ($($t:tt)*) => { $crate::log::line($crate::log::Level::Debug, format_args!($($t)*)) };
}
pub(crate) use {debug, error, info, warning as warn};
