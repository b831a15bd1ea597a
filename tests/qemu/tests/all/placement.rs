//! The image starts wherever it is put, at either exception level, with or without a device tree in
//! x0. In ROM at 0 it starts in every other test.

use anyhow::{Result, ensure};
use qemu_tests::place::{self, RAM};
use qemu_tests::scratch::Scratch;
use qemu_tests::{Boot, PLAIN, linux_passes, present, stops_with};
use vm::{Machine, workspace};

use crate::refusals::NO_KERNEL;

/// Where RAM has to reach for every address below.
const MEMORY_MIB: u64 = 2048;

/// Without a kernel the firmware says so, which takes everything up to the look at fw_cfg.
fn starts_at(address: u64, el2: bool) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = Boot { el2, memory_mib: MEMORY_MIB, ..PLAIN };
    let machine = place::firmware_at(boot.bare_machine(), &scratch, address, None)?;
    stops_with(machine, &[NO_KERNEL]).map(|_| ())
}

/// Linux boots all the way.
fn boots_at(address: u64, el2: bool, x0: Option<u64>) -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = Boot { el2, memory_mib: MEMORY_MIB, ..PLAIN };
    let machine = boot.machine().append(boot.checks().command_line(""));
    let machine = place::firmware_at(machine, &scratch, address, x0)?;
    linux_passes(machine).map(|_| ())
}

macro_rules! starts {
    ($($name:ident: $address:literal, EL $el:literal;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            starts_at($address, $el == 2)
        }
    )*};
}

starts! {
    starts_at_0x4040_0000_el1: 0x4040_0000, EL 1;
    starts_at_0x4040_0000_el2: 0x4040_0000, EL 2;
    starts_at_0x8000_0000_el1: 0x8000_0000, EL 1;
    starts_at_0x8000_0000_el2: 0x8000_0000, EL 2;
    starts_at_0x8020_0000_el1: 0x8020_0000, EL 1;
    starts_at_0x8020_0000_el2: 0x8020_0000, EL 2;
}

#[test]
fn boots_linux_at_0x4040_0000() -> Result<()> {
    boots_at(0x4040_0000, false, None)
}

#[test]
fn boots_linux_at_0x8020_0000_el2_with_the_tree_in_x0() -> Result<()> {
    boots_at(0x8020_0000, true, Some(RAM))
}

/// The tree at the start of RAM and the one in x0 differ: the one in x0 counts.
#[test]
fn boots_linux_with_another_tree_in_x0() -> Result<()> {
    let scratch = Scratch::new()?;
    let boot = Boot { memory_mib: MEMORY_MIB, ..PLAIN };
    let mut tree = place::device_tree("virt,gic-version=3", MEMORY_MIB, &scratch)?;
    let replaced = place::replace(&mut tree, b"linux,dummy-virt\0", b"linux,x0-is-mine\0");
    ensure!(replaced > 0, "QEMU's tree has another model");
    let tree = scratch.file("x0.dtb", tree)?;
    let machine = boot.machine().append(boot.checks().command_line(""));
    let machine = place::firmware_at(machine, &scratch, 0x8000_0000, Some(0x4a00_0000))?;
    let finished = linux_passes(place::load(machine, &tree, 0x4a00_0000))?;
    ensure!(finished.console.contains("Machine model: linux,x0-is-mine"), "{}another tree was used", finished.report());
    Ok(())
}

/// As `-kernel`: QEMU's boot loader for Linux reads the header of the image and passes a tree.
#[test]
fn starts_as_a_kernel() -> Result<()> {
    for el2 in [false, true] {
        let boot = Boot { el2, ..PLAIN };
        let machine: Machine = boot.bare_machine().kernel(workspace::image());
        stops_with(machine, &[NO_KERNEL])?;
    }
    Ok(())
}

/// RAM at 0, with another machine around it: the image comes to terms with what the tree says.
#[test]
fn starts_at_0_in_ram() -> Result<()> {
    present(&workspace::image())?;
    let scratch = Scratch::new()?;
    let machine = place::versal(&scratch, &workspace::image())?;
    stops_with(machine, &["plain VM at EL2", NO_KERNEL]).map(|_| ())
}
