//! Debian from the network by Debian's iPXE, unmodified: a program whose own drivers open PCI functions by driver, reach
//! their registers by pointers, and wait for ticks with WFI.

use anyhow::{Result, ensure};
use qemu_tests::{BOOT_LIMIT, Boot, PLAIN, all_hold, present, run};
use vm::network::{self, Network};
use vm::workspace;

fn boots(name: &str, boot: &Boot) -> Result<()> {
    present(&network::ipxe())?;
    let network = Network::new(name, &boot.kernel.image(), &boot.kernel.initrd(), &boot.checks().command_line(""))?;
    let machine = boot.bare_machine().firmware(workspace::image()).kernel(network::ipxe());
    let finished = run(&machine.args(network.args()), BOOT_LIMIT)?;
    all_hold(&finished)?;
    ensure!(finished.console.contains("boot.ipxe... ok"), "{}not by iPXE", finished.report());
    Ok(())
}

#[test]
fn ipxe() -> Result<()> {
    boots("gicv3", &Boot { cpus: 2, ..PLAIN })
}

#[test]
fn ipxe_at_el2_with_gicv2() -> Result<()> {
    boots("gicv2", &Boot { el2: true, gic: 2, cpu: "cortex-a57", ..PLAIN })
}

#[test]
fn ipxe_at_el2_with_gicv3() -> Result<()> {
    boots("el2", &Boot { el2: true, ..PLAIN })
}
