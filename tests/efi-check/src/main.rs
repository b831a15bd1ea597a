//! An EFI program that walks boot services, runtime services and protocols, with what they must
//! do and what they must refuse, and prints a line for each: `ok - name`, `not ok - name: why` or
//! `skip - name: why`, and in the end `efi-check: N passed, N failed`.
//!
//! It is started as a kernel (`-kernel efi-check.efi`). Its command line chooses:
//! `only=<group>` one group of checks; `fuzz=<calls>` and `seed=<number>` how many random calls
//! are made and from which start; `stay` leaves out `ExitBootServices()` and what is behind it;
//! `return` ends the program at once with EFI_ABORTED; `keys=<number>` prints that many keys as they
//! are typed before anything else, `serial=<number>` that many bytes of the serial line; `only=reset` ends the program by a
//! reset that it is told of, `only=screen` prints the screen's modes at each key, `only=blocks` writes to the machine's disks; `realm` says that this is a realm, `fill` has its event log filled;
//! `fault=<kind>` makes a fault (see `faults`); `uart=<hex address>` the PL011 that is written to after that (default: QEMU's virt machine).
//! `read=<path>` reads a file of the volume that the program came from and powers off;
//! `watchdog=<seconds>` sets the watchdog, 0 disarming it; `stall=<seconds>` stalls for so long and then powers off.
//! Behind it the machine is powered off.
#![no_std]
#![no_main]
#![allow(unsafe_code, reason = "the whole program is calls into firmware with raw pointers")]
#![allow(
    clippy::indexing_slicing,
    clippy::undocumented_unsafe_blocks,
    clippy::missing_safety_doc,
    reason = "a test program: a fault in it is a failed test"
)]

mod cc;
mod collation;
mod disks;
mod drivers;
mod env;
mod events;
mod exit;
mod faults;
mod fuzz;
mod handles;
mod hii;
mod images;
mod iommu;
mod keys;
mod memory;
mod options;
mod paging;
mod paths;
mod pci;
mod pe;
mod protocols;
mod read;
mod report;
mod reset;
mod screen;
mod serial;
mod tables;
mod variables;
mod watchdog;

use core::panic::PanicInfo;

use r_efi::efi;

use crate::options::Options;
use crate::report::say;

/// The groups of checks that need boot services, in the order in which they run.
const GROUPS: [(&str, fn()); 13] = [
    ("tables", tables::run),
    ("memory", memory::run),
    ("handles", handles::run),
    ("drivers", drivers::run),
    ("disks", disks::run),
    ("events", events::run),
    ("images", images::run),
    ("protocols", protocols::run),
    ("paths", paths::run),
    ("serial", serial::run),
    ("collation", collation::run),
    ("hii", hii::run),
    ("variables", variables::run),
];

#[unsafe(no_mangle)]
extern "efiapi" fn efi_main(image: efi::Handle, table: *mut efi::SystemTable) -> efi::Status {
    env::init(image, table);
    let options = Options::from_image();
    if options.returns {
        return efi::Status::ABORTED;
    }
    if !options.read().is_empty() {
        read::run(options.read());
        report::summary();
        env::shut_down()
    }
    faults::provoke(&options);
    watchdog::run(&options);
    if options.keys > 0 {
        keys::print(options.keys);
    }
    if options.serial > 0 {
        serial::print(options.serial as usize);
    }
    if options.asks_for("reset") {
        reset::run();
    }
    if options.asks_for("screen") {
        screen::run();
    }
    if options.asks_for("blocks") {
        disks::machine::run();
    }
    // Before all others: what happens when the log is read for the first time.
    if options.selects("cc") {
        say!("# cc");
        cc::run(&options);
    }
    for (name, run) in GROUPS {
        if options.selects(name) {
            say!("# {name}");
            run();
        }
    }
    if options.selects("iommu") {
        say!("# iommu");
        iommu::run(&options);
    }
    if options.selects("pci") {
        say!("# pci");
        pci::run(&options);
    }
    if options.selects("fuzz") {
        say!("# fuzz");
        fuzz::run(options.seed, options.fuzz);
    }
    if options.selects("exit") && !options.stay {
        say!("# exit");
        exit::run(&options);
    }
    report::summary();
    env::shut_down()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    report::failed("panic", format_args!("{info}"));
    report::summary();
    env::shut_down()
}
