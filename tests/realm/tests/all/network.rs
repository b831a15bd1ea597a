//! Debian from the network in a realm, by Debian's iPXE: its driver has registers and buffers by EFI_PCI_IO_PROTOCOL.

use anyhow::Result;
use realm_vm::{KERNEL, Realm, check_words, initrd};
use vm::network::{self, Network};

use super::disks::{boots, has, realm};

/// What came over the network is in the registers, as what runs it has measured it.
#[test]
fn ipxe() -> Result<()> {
    let network = Network::new("realm", &KERNEL.image(), &initrd(), &check_words(1, &[]))?;
    let realm = realm().kernel(network::ipxe());
    let measured = boots(&network.args().into_iter().fold(realm, Realm::arg))?;
    let expected =
        ["REM[1] EFI image: the kernel in fw_cfg", "REM[1] EFI image: panic=-1", "REM[2] EFI stub: Linux initrd"];
    expected.into_iter().try_for_each(|what| has(&measured, what))
}
