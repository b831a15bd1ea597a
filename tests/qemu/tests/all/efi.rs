//! The EFI program `tests/efi-check` in the place of the kernel: boot and runtime services, checked
//! from inside. Its command line says which checks it makes.

use anyhow::Result;
use qemu_tests::{BOOT_LIMIT, Boot, PLAIN, all_hold, present, run};
use vm::machine::PCI_DEVICES;
use vm::workspace;

fn passes(boot: &Boot, command_line: &str) -> Result<()> {
    present(&workspace::efi_check())?;
    // The initrd is what the program asks LoadFile2 for.
    let machine = boot.machine().kernel(workspace::efi_check()).append(command_line).args(PCI_DEVICES);
    all_hold(&run(&machine, BOOT_LIMIT)?)
}

/// A program that knows nothing of this firmware.
#[test]
fn walk() -> Result<()> {
    present(&workspace::uefi_walk())?;
    all_hold(&run(&PLAIN.machine().kernel(workspace::uefi_walk()), BOOT_LIMIT)?)
}

macro_rules! programs {
    ($($name:ident: $boot:expr, $command_line:literal;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            passes(&$boot, $command_line)
        }
    )*};
}

programs! {
    services: PLAIN, "";
    services_at_el2_above_4_gib: Boot { el2: true, memory_mib: 6144, ..PLAIN }, "";
    services_on_cortex_a57: Boot { cpu: "cortex-a57", gic: 2, highmem: false, ..PLAIN }, "";
    resets_are_told_before_boot_services_end: PLAIN, "only=reset";
    random_calls: PLAIN, "only=fuzz fuzz=20000 seed=1";
    more_random_calls: Boot { memory_mib: 256, ..PLAIN }, "only=fuzz fuzz=20000 seed=2";
}
