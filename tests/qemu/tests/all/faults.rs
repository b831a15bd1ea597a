//! Faults: what the firmware says of each, and that it then powers off.

use anyhow::{Context, Result, ensure};
use qemu_tests::place;
use qemu_tests::scratch::Scratch;
use qemu_tests::{Boot, PLAIN, present, stops_with};
use vm::broken::{self, CHECK_SAYS, Failure};
use vm::symbolize::{self, Symbols};
use vm::{Machine, workspace};

fn tells(kind: &str, messages: &[&str]) -> Result<()> {
    present(&workspace::efi_check())?;
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append(format!("fault={kind}"));
    let mut expected = vec!["realmfw: fault: synchronous exception at EL1", "  x28 ", "  sp  ", "backtrace:"];
    expected.extend(messages);
    let finished = stops_with(machine, &expected)?;
    // The program was started by the firmware, so the chain of frames ends in it, and has names. That of an
    // exhausted stack is cut off long before.
    if kind == "stack" {
        return Ok(());
    }
    let symbols = Symbols::load(&workspace::elf())?;
    let annotated = symbols.annotate(&finished.console);
    let (_, backtrace) = annotated.split_once("backtrace:").context("no backtrace")?;
    ensure!(backtrace.contains("realmfw_main"), "{}the backtrace does not lead to realmfw_main", finished.report());
    Ok(())
}

macro_rules! faults {
    ($($name:ident: $kind:literal, $messages:expr;)*) => {$(
        #[test]
        fn $name() -> Result<()> {
            tells($kind, &$messages)
        }
    )*};
}

faults! {
    a_read_of_nothing: "read", ["data abort on a read, translation fault", "0x0000765432100000"];
    a_write_to_code: "write", ["data abort on a write, permission fault at level 3"];
    a_jump_to_data: "jump", ["instruction abort, permission fault"];
    an_exhausted_stack: "stack", ["the guard page: the stack is exhausted"];
    an_undefined_instruction: "undefined", ["undefined instruction?"];
}

/// A program damages the firmware's state, so that one of the firmware's own checks fails.
#[test]
fn a_panic() -> Result<()> {
    present(&workspace::efi_check())?;
    let elf = workspace::elf();
    let stall = symbolize::find(&elf, "realmfw::efi::boot_services::misc::stall")?;
    let core = symbolize::find(&elf, "realmfw::efi::services::state::CORE")?;
    let command_line =
        format!("fault=panic overwrite={:x}+{:x}", core.start.wrapping_sub(stall.start), core.end - core.start);
    let machine = PLAIN.machine().kernel(workspace::efi_check()).append(command_line);
    let finished = stops_with(
        machine,
        &["realmfw: panic: ", " at firmware/src/efi/services/state.rs:", "  x28 ", "  sp  ", "backtrace:"],
    )?;
    let annotated = Symbols::load(&elf)?.annotate(&finished.console);
    let (_, backtrace) = annotated.split_once("backtrace:").context("no backtrace")?;
    for name in ["services/time.rs", "realmfw_main"] {
        ensure!(backtrace.contains(name), "{annotated}the backtrace does not lead to {name}");
    }
    Ok(())
}

/// Where the device tree has been read, and the console not been started.
const EARLY: &str = "formats::machine::Machine::from_device_tree";

/// The image starts on the machine that `machine` makes of it, fails on its way to the console, and tells of it.
fn tells_early(failure: Failure, machine: impl FnOnce(&Scratch, &[u8]) -> Result<Machine>) -> Result<()> {
    let says = match failure {
        Failure::Fault => "realmfw: fault: synchronous exception at EL",
        Failure::Panic => "realmfw: panic: ",
    };
    let what = if failure == Failure::Panic { CHECK_SAYS } else { "undefined instruction?" };
    let scratch = Scratch::new()?;
    let finished = stops_with(machine(&scratch, &broken::image(EARLY, failure)?)?, &[says, what, "backtrace:"])?;
    let annotated = Symbols::load(&workspace::elf())?.annotate(&finished.console);
    let (_, backtrace) = annotated.split_once("backtrace:").context("no backtrace")?;
    ensure!(backtrace.contains("realmfw_main"), "{annotated}the backtrace does not lead to realmfw_main");
    Ok(())
}

/// QEMU's tree, changed, where x0 tells of it, and an image.
fn with_tree(scratch: &Scratch, image: &[u8], replace: &[(&[u8], &[u8])], registers: &[(u64, u32)]) -> Result<Machine> {
    const TREE: u64 = 0x4a00_0000;
    let mut tree = place::device_tree("virt,gic-version=3,highmem=off", PLAIN.memory_mib, scratch)?;
    for (old, new) in replace {
        ensure!(place::replace(&mut tree, old, new) == 1, "QEMU's tree has no {old:x?}");
    }
    let (tree, image) = (scratch.file("changed.dtb", tree)?, scratch.file("image", image)?);
    let machine = Boot { highmem: false, ..PLAIN }.bare_machine();
    Ok(place::load(place::image_at(machine, scratch, &image, 0x4040_0000, TREE, registers)?, &tree, TREE))
}

/// The `reg` of QEMU's PL011, and with another address.
const REG: &[u8] = &[0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0];
fn reg_at(address: u32) -> Vec<u8> {
    [&[0; 4], &address.to_be_bytes()[..], &[0, 0, 0, 0, 0, 0, 0x10, 0]].concat()
}

/// The only UART is a 16550 at the third port of 4 KiB, behind PCI, whose BAR is set before the firmware starts.
fn pci_serial(scratch: &Scratch, image: &[u8]) -> Result<Machine> {
    const DEVICE: u64 = 5;
    const CONFIG: u64 = 0x3f00_0000 + (DEVICE << 15);
    const PORTS: u32 = 0x3eff_0000;
    const PORT: u32 = 0x2000;
    let tree: [(&[u8], &[u8]); 2] =
        [(b"arm,pl011\0arm,primecell\0", b"ns16550a\0behind-pcie-io\0"), (REG, &reg_at(PORTS + PORT))];
    // BAR 0, then the command register: I/O space on.
    let machine = with_tree(scratch, image, &tree, &[(CONFIG + 0x10, PORT), (CONFIG + 4, 1)])?;
    Ok(machine.console_device(format!("pci-serial,addr={DEVICE:#x}")))
}

#[test]
fn before_the_console_on_a_pl011_elsewhere() -> Result<()> {
    for failure in [Failure::Fault, Failure::Panic] {
        tells_early(failure, |scratch, image| place::versal(scratch, &scratch.file("image", image)?))?;
    }
    Ok(())
}

#[test]
fn before_the_console_on_a_16550() -> Result<()> {
    for failure in [Failure::Fault, Failure::Panic] {
        tells_early(failure, pci_serial)?;
    }
    Ok(())
}

/// The UART that the tree names is none, so that the firmware faults when it starts it, and again when it looks for one
/// to tell of that: it is told where most often one is.
#[test]
fn a_uart_that_does_not_answer() -> Result<()> {
    let scratch = Scratch::new()?;
    present(&workspace::image())?;
    let image = std::fs::read(workspace::image())?;
    let machine = with_tree(&scratch, &image, &[(REG, &reg_at(0x0b00_0000))], &[])?;
    let messages = ["data abort on a write, synchronous external abort", "address 0x000000000b00002c", "backtrace:"];
    told_once(machine, &messages)
}

/// What reads the tree is broken, or what it needs: the heap, or the page tables, both in somebody's hands at the fault.
#[test]
fn before_the_console_where_no_tree_can_be_read() -> Result<()> {
    const FUNCTIONS: [&str; 3] = [
        "formats::device_tree::walk::Tree::parse",
        "linked_list_allocator::Heap::allocate_first_fit",
        "address_space::page_table::PageTable<M>::unmap",
    ];
    for function in FUNCTIONS {
        let scratch = Scratch::new()?;
        let machine = with_tree(&scratch, &broken::image(function, Failure::Fault)?, &[], &[])?;
        told_once(machine, &["undefined instruction?", "backtrace:"]).context(function)?;
    }
    Ok(())
}

/// A fault is told of with every one of `messages`, once, and it is the first one: nothing in its backtrace is the
/// telling itself.
fn told_once(machine: Machine, messages: &[&str]) -> Result<()> {
    let finished = stops_with(machine, messages)?;
    let annotated = Symbols::load(&workspace::elf())?.annotate(&finished.console);
    ensure!(annotated.matches("realmfw: fault: ").count() == 1, "{annotated}it is not told of once");
    let first = annotated.contains("realmfw_main") && !annotated.contains("realmfw_exception");
    ensure!(first, "{annotated}it is not the first fault");
    Ok(())
}
