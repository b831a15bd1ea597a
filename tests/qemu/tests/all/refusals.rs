//! What the firmware refuses, it refuses by name, and then it powers off.

use anyhow::{Result, ensure};
use qemu_tests::place;
use qemu_tests::scratch::{self, Scratch};
use qemu_tests::{PLAIN, machine, present, stops_with};
use vm::workspace::{self, Kernel};

/// What it says when there is nothing to boot.
pub const NO_KERNEL: &str = "nothing to boot: no kernel (-kernel), no boot option, no disk";

#[test]
fn no_kernel() -> Result<()> {
    let finished = stops_with(machine(), &[NO_KERNEL])?;
    let lines = finished.console.lines().filter(|line| !line.is_empty());
    ensure!(lines.count() == 2, "{}more than a banner and a message", finished.report());
    Ok(())
}

fn refuses_tree(change: impl FnOnce(&mut Vec<u8>), message: &str) -> Result<()> {
    let scratch = Scratch::new()?;
    let mut tree = place::device_tree("virt,gic-version=3", PLAIN.memory_mib, &scratch)?;
    change(&mut tree);
    let tree = scratch.file("bad.dtb", tree)?;
    let machine = PLAIN.bare_machine();
    let machine = place::firmware_at(machine, &scratch, 0x4040_0000, Some(0x4a00_0000))?;
    stops_with(place::load(machine, &tree, 0x4a00_0000), &[message]).map(|_| ())
}

#[test]
fn a_tree_without_its_magic() -> Result<()> {
    refuses_tree(|tree| tree[0] = 0, "no device tree: magic is 0x000dfeed")
}

#[test]
fn a_tree_larger_than_any() -> Result<()> {
    refuses_tree(|tree| tree[4..8].copy_from_slice(&0x7fff_ffff_u32.to_be_bytes()), "totalsize 0x7fffffff is above")
}

#[test]
fn a_tree_whose_structure_lies_outside() -> Result<()> {
    refuses_tree(|tree| tree[8..12].copy_from_slice(&0x00ff_fff0_u32.to_be_bytes()), "out of bounds")
}

#[test]
fn a_tree_without_memory() -> Result<()> {
    refuses_tree(
        |tree| {
            // The node's name and its type: no node says any longer that it is memory.
            place::replace(tree, b"memory@", b"nemory@");
            place::replace(tree, b"memory\0", b"nemory\0");
        },
        "no /memory",
    )
}

fn refuses_kernel(kernel: &[u8], messages: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    let kernel = scratch.file("kernel", kernel)?;
    stops_with(machine().kernel(kernel), messages).map(|_| ())
}

#[test]
fn a_kernel_that_is_none() -> Result<()> {
    refuses_kernel(&[0x55; 8192], &["kernel: no arm64 Image"])
}

#[test]
fn a_kernel_for_another_machine() -> Result<()> {
    let kernel = scratch::changed(&Kernel::Linux7.image(), |image| {
        image.truncate(1 << 20);
        let header = usize::try_from(u32::from_le_bytes(image[0x3c..0x40].try_into().unwrap()));
        let machine = header.unwrap() + 4;
        image[machine..machine + 2].copy_from_slice(&0x8664_u16.to_le_bytes());
    })?;
    refuses_kernel(&kernel, &["machine 0x8664"])
}

#[test]
fn a_kernel_that_is_cut_off() -> Result<()> {
    let kernel = scratch::changed(&Kernel::Linux7.image(), |image| image.truncate(1 << 20))?;
    refuses_kernel(&kernel, &["kernel: PE"])
}

#[test]
fn a_command_line_that_is_too_long() -> Result<()> {
    let machine = PLAIN.machine().append("x".repeat(100_000));
    stops_with(machine, &["command line: 100001 bytes are more than"]).map(|_| ())
}

#[test]
fn an_initrd_that_does_not_fit() -> Result<()> {
    let scratch = Scratch::new()?;
    let initrd = scratch.sparse("initrd", 300 << 20)?;
    let machine = machine().memory_mib(256).kernel(Kernel::Linux7.image()).initrd(initrd);
    stops_with(machine, &["initrd: 314572800 bytes do not fit into memory"]).map(|_| ())
}

#[test]
fn a_program_that_returns() -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = machine().kernel(workspace::efi_check()).append("return");
    stops_with(machine, &["kernel: returned to the firmware: "]).map(|_| ())
}

/// The firmware at 0x4040_0000, told that the tree is at `x0`.
fn told(x0: u64, messages: &[&str]) -> Result<()> {
    let scratch = Scratch::new()?;
    stops_with(place::firmware_at(PLAIN.bare_machine(), &scratch, 0x4040_0000, Some(x0))?, messages).map(|_| ())
}

#[test]
fn a_tree_where_no_memory_is() -> Result<()> {
    told(0x3_0000_0000, &["realmfw: fault: ", "data abort on a read, synchronous external abort"])
}

#[test]
fn a_tree_inside_the_image() -> Result<()> {
    told(0x4042_0000, &["device tree at 0x40420000: already mapped"])
}

#[test]
fn a_tree_that_is_misaligned() -> Result<()> {
    told(0x4000_0004, &["device tree at 0x40000004: not aligned to 8 bytes"])
}

/// A conduit that is undefined must not keep the machine from powering off.
#[test]
fn a_tree_with_the_wrong_conduit() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut tree = place::device_tree("virt,gic-version=3", PLAIN.memory_mib, &scratch)?;
    ensure!(place::replace(&mut tree, b"hvc\0", b"smc\0") == 1, "QEMU's tree has another conduit");
    let tree = scratch.file("smc.dtb", tree)?;
    let machine = place::firmware_at(PLAIN.bare_machine(), &scratch, 0x4040_0000, Some(0x4a00_0000))?;
    stops_with(place::load(machine, &tree, 0x4a00_0000), &[NO_KERNEL, "undefined instruction?"]).map(|_| ())
}
