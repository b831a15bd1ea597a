//! What the host may say in its device tree and in fw_cfg, short of what is refused.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a fault in a test is a failed test")]

use anyhow::{Context, Result, ensure};
use model_rmm::dtb::Node;
use qemu_tests::place;
use qemu_tests::scratch::Scratch;
use qemu_tests::{BOOT_LIMIT, PLAIN, all_hold, linux_passes, machine, present, run, stops_with};
use vm::{Finished, Machine, workspace};

use crate::refusals::NO_KERNEL;

const TREE: u64 = 0x4a00_0000;

/// The machine with a tree of its own, in RAM and in x0, and the firmware in RAM.
fn with_tree(machine: Machine, scratch: &Scratch, tree: &[u8]) -> Result<Machine> {
    let tree = scratch.file("changed.dtb", tree)?;
    Ok(place::load(place::firmware_at(machine, scratch, 0x4040_0000, Some(TREE))?, &tree, TREE))
}

/// QEMU's tree, changed.
fn changed_tree(scratch: &Scratch, change: impl FnOnce(&mut Node) -> Result<()>) -> Result<Vec<u8>> {
    let mut root = Node::parse(&place::device_tree("virt,gic-version=3", PLAIN.memory_mib, scratch)?)?;
    change(&mut root)?;
    Ok(root.to_blob())
}

fn child<'n>(node: &'n mut Node, name: &str) -> Result<&'n mut Node> {
    let found = node.children.iter_mut().find(|child| child.name == name);
    found.with_context(|| format!("QEMU's tree has no {name}"))
}

/// Two cells of address and two of size.
fn reg(base: u64, size: u64) -> Vec<u8> {
    [base.to_be_bytes(), size.to_be_bytes()].concat()
}

fn logs(level: &str) -> [String; 2] {
    ["-fw_cfg".into(), format!("name=opt/org.realmfw/log,string={level}")]
}

fn line_with<'f>(finished: &'f Finished, what: &str) -> Result<&'f str> {
    let line = finished.console.lines().find(|line| line.contains(what));
    line.with_context(|| format!("{}the console has no {what:?}", finished.report()))
}

/// A device whose registers no access could reach without a fault is named and left out. QEMU lets such accesses pass, so
/// the reason is what tells.
#[test]
fn a_device_that_is_not_aligned() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = changed_tree(&scratch, |root| {
        child(root, "virtio_mmio@a000000")?.set("reg", reg(0x0a00_0001, 0x1ff));
        Ok(())
    })?;
    let machine = with_tree(PLAIN.bare_machine(), &scratch, &tree)?;
    stops_with(machine, &["virtio-mmio at 0xa000001: no registers: cannot be mapped", NO_KERNEL]).map(drop)
}

#[test]
fn the_log_level_can_be_chosen() -> Result<()> {
    let debug = stops_with(machine().args(logs("debug")), &[NO_KERNEL, "info: ", "debug: "])?;
    ensure!(debug.console.contains("transfers by DMA"), "{}no DMA", debug.report());
    let info = stops_with(machine().args(logs("info")), &[NO_KERNEL, "info: "])?;
    ensure!(!info.console.contains("debug: "), "{}more than was asked for", info.report());
    for wrong in ["loud", "debugging-it-all"] {
        let warned = stops_with(machine().args(logs(wrong)), &[NO_KERNEL, "warning: opt/org.realmfw/log is none of"])?;
        ensure!(!warned.console.contains("info: "), "{}more than by default", warned.report());
    }
    Ok(())
}

#[test]
fn a_file_with_a_space_in_its_name() -> Result<()> {
    let machine = machine().args(["-fw_cfg", "name=opt/my file,string=x"]).args(logs("info"));
    stops_with(machine, &[NO_KERNEL, "info: "]).map(|_| ())
}

/// The DMA register is optional, and only believed where DMA is coherent: without it the program comes through the
/// data register, byte by byte where only the selector is known to be behind it.
#[test]
fn fw_cfg_whose_dma_cannot_be_used() -> Result<()> {
    present(&workspace::efi_check())?;
    for (size, coherent) in [(0xa, true), (0x10, true), (0x18, false)] {
        let scratch = Scratch::new()?;
        let tree = changed_tree(&scratch, |root| {
            let fw_cfg = child(root, "fw-cfg@9020000")?;
            fw_cfg.set("reg", reg(0x902_0000, size));
            if !coherent {
                fw_cfg.remove("dma-coherent");
            }
            Ok(())
        })?;
        let machine = PLAIN.bare_machine().kernel(workspace::efi_check()).append("only=tables stay").args(logs("info"));
        let finished = run(&with_tree(machine, &scratch, &tree)?, BOOT_LIMIT)?;
        line_with(&finished, "transfers by MMIO")?;
        all_hold(&finished)?;
    }
    Ok(())
}

#[test]
fn a_stdout_path_to_nowhere() -> Result<()> {
    let scratch = Scratch::new()?;
    let tree = changed_tree(&scratch, |root| {
        child(root, "chosen")?.set("stdout-path", b"/no-such-uart\0".to_vec());
        Ok(())
    })?;
    stops_with(with_tree(PLAIN.bare_machine(), &scratch, &tree)?, &["realmfw ", NO_KERNEL]).map(|_| ())
}

/// An arm64 Image without an EFI stub, for the start of RAM, that powers off.
fn tiny_kernel() -> Vec<u8> {
    let mut image = vec![0; 0x1000];
    // B +0x40; then MOVZ w0, #8; MOVK w0, #0x8400, lsl #16; HVC #0 (PSCI SYSTEM_OFF).
    for (at, word) in [(0, 0x1400_0010_u32), (0x40, 0x5280_0100), (0x44, 0x72b0_8000), (0x48, 0xd400_0002)] {
        image[at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    image[0x10..0x18].copy_from_slice(&0x1000_u64.to_le_bytes());
    // 4 KiB pages, and not anywhere in memory.
    image[0x18..0x20].copy_from_slice(&2_u64.to_le_bytes());
    image[0x38..0x3c].copy_from_slice(b"ARM\x64");
    image
}

/// The arm64 boot protocol: one window of 32 GiB, aligned to 1 GiB, has both.
#[test]
fn the_initrd_lies_near_a_kernel_without_efi() -> Result<()> {
    let scratch = Scratch::new()?;
    let kernel = scratch.file("kernel", tiny_kernel())?;
    let initrd = scratch.file("initrd", [0x55; 0x3000])?;
    let machine = machine().memory_mib(256 << 10).unreserved_memory().kernel(kernel).initrd(initrd);
    let finished = run(&machine.args(logs("debug")), BOOT_LIMIT)?;
    // "debug: kernel: 0x40200000..0x40201000, initrd: 0x83fffd000..0x840000000"
    let line = line_with(&finished, "kernel: ")?;
    let addresses: Vec<u64> = line
        .split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() > 6)
        .filter_map(|word| u64::from_str_radix(word, 16).ok())
        .collect();
    let [kernel, _, start, end] = addresses[..] else { anyhow::bail!("no addresses: {line}") };
    let window = kernel.min(start) & !((1 << 30) - 1);
    ensure!(end - start == 0x3000 && end <= window + (32 << 30), "{line}");
    Ok(())
}

/// Puts an entry into the reservation block of a blob as `Node` writes it: behind the header.
fn reserve(tree: &mut Vec<u8>, base: u64, size: u64) {
    let reservations = 40;
    tree.splice(reservations..reservations, reg(base, size));
    // totalsize, off_dt_struct, off_dt_strings.
    for field in [4, 8, 12] {
        let value = u32::from_be_bytes(tree[field..field + 4].try_into().unwrap()) + 16;
        tree[field..field + 4].copy_from_slice(&value.to_be_bytes());
    }
}

/// What the tree reserves, Linux sees reserved in the memory map.
#[test]
fn reservations_reach_linux() -> Result<()> {
    let scratch = Scratch::new()?;
    let mut tree = changed_tree(&scratch, |root| {
        let region = Node {
            name: "secret@4c000000".into(),
            properties: vec![("reg".into(), reg(0x4c00_0000, 0x20_0000)), ("no-map".into(), Vec::new())],
            children: Vec::new(),
        };
        let two = 2_u32.to_be_bytes().to_vec();
        let properties =
            [("#address-cells", two.clone()), ("#size-cells", two), ("ranges", Vec::new())].map(|(n, v)| (n.into(), v));
        root.children.push(Node {
            name: "reserved-memory".into(),
            properties: properties.into(),
            children: vec![region],
        });
        Ok(())
    })?;
    reserve(&mut tree, 0x4d00_0000, 0x1_0000);
    let machine = PLAIN.machine().append(PLAIN.checks().command_line("").replace("realmfw.memory=512", ""));
    let finished = linux_passes(with_tree(machine, &scratch, &tree)?)?;
    for start in ["0x00004c000000-0x00004c1fffff", "0x00004d000000-0x00004d00ffff"] {
        let line = line_with(&finished, start)?;
        ensure!(line.contains("[Reserved"), "{}{line}", finished.report());
    }
    Ok(())
}
