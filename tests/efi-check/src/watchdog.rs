//! The watchdog (UEFI 2.10, 7.5.1), which ends what it watches: not a group of checks, but what the command line asks for.

use core::ptr;

use crate::env::{self, bs};
use crate::options::Options;
use crate::report::{say, status};
use crate::reset;

/// Every stall is short, as a program's that waits for something.
const STEP_MICROSECONDS: usize = 100_000;

/// Sets the watchdog and stalls as the options say, and powers off behind a stall.
pub fn run(options: &Options) {
    if let Some(seconds) = options.watchdog {
        let is = unsafe { (bs().set_watchdog_timer)(seconds as usize, 0x1_0000, 0, ptr::null_mut()) };
        status("SetWatchdogTimer", is, r_efi::efi::Status::SUCCESS);
        reset::tell();
    }
    if options.stall > 0 {
        for _ in 0..options.stall * 1_000_000 / STEP_MICROSECONDS as u64 {
            unsafe { (bs().stall)(STEP_MICROSECONDS) };
        }
        say!("still running after {} s", options.stall);
        env::shut_down();
    }
}
