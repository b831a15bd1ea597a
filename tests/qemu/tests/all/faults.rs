//! Faults: what the firmware says of each, and that it then powers off.

use anyhow::{Context, Result, ensure};
use qemu_tests::{PLAIN, present, stops_with};
use vm::symbolize::{self, Symbols};
use vm::workspace;

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
