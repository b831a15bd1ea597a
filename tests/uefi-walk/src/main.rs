//! An EFI program written with the `uefi` crate, which walks boot services, runtime services and protocols as a
//! program does that knows nothing of this firmware: at raised task priority levels, with memory used up, and out
//! through `ExitBootServices()`. It prints a line for each check, as `tests/efi-check` does, and in the end
//! `uefi-walk: N passed, N failed`.
#![no_std]
#![no_main]

extern crate alloc;

mod events;
mod images;
mod memory;
mod protocols;
mod report;
mod variables;

use core::panic::PanicInfo;

use uefi::prelude::*;
use uefi::runtime::{self, ResetType};

use crate::report::{check, say};

#[entry]
fn main() -> Status {
    for (name, walk) in [
        ("memory", memory::walk as fn()),
        ("events", events::walk),
        ("protocols", protocols::walk),
        ("images", images::walk),
        ("variables", variables::walk),
    ] {
        say!("# {name}");
        walk();
    }
    say!("# without memory");
    memory::without_pages();
    check("TPL: as at the start", events::current_tpl() == boot::Tpl::APPLICATION);
    report::summary();
    leave()
}

/// Leaves boot services. What goes wrong from here on keeps the machine from being powered off.
#[expect(unsafe_code, reason = "nothing of boot services is used afterwards")]
fn leave() -> ! {
    // SAFETY: nothing that was allocated is freed, and nothing is printed from here on.
    let map = unsafe { boot::exit_boot_services(None) };
    core::mem::forget(map);
    if variables::survive() {
        runtime::reset(ResetType::SHUTDOWN, Status::SUCCESS, None)
    }
    loop {
        core::hint::spin_loop();
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report::failed("panic", format_args!("{info}"));
    report::summary();
    runtime::reset(ResetType::SHUTDOWN, Status::ABORTED, None)
}
