//! The NVMe controllers of the machine.

use core::time::Duration;

use driver::Error;

use super::pci::Host;
use super::platform::{Machine, Place, try_forms};
use crate::arch::mmio::Mmio;
use crate::memory::dma::Bus;

/// Starts a controller with a form of address, which it waits for a first answer of.
type Start<'a> = dyn FnMut(&Place, Machine, Mmio, Duration) -> Result<(), Error> + 'a;

/// Starts each controller behind `hosts`. One that cannot be used is named and left out.
pub fn find(hosts: &[Host], start: &mut Start<'_>) {
    for host in hosts {
        for function in host.functions.iter().filter(|function| function.class == nvme::CLASS) {
            let place = Place::Pci(host.number, host.steps(function));
            try_forms("nvme", &place, Bus::Pci, &mut |machine, timeout| {
                let size = function.bars.iter().find(|bar| bar.index == nvme::BAR).map_or(0, |bar| bar.size);
                let registers = host.map(function, nvme::BAR, 0, size).ok_or(Error::Registers("no BAR"))?;
                host.enable(function.address, true);
                start(&place, machine, registers, timeout)
            });
        }
    }
}
