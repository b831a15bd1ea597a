//! The description of a virtual machine and the QEMU command line that makes it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The emulator.
pub const QEMU: &str = "qemu-system-aarch64";

/// Devices for the checks of PCI in `tests/efi-check`: memory behind a BAR, QEMU's teaching device with DMA to any
/// address, a virtio device behind a bridge, and a disk of zeros.
pub const PCI_DEVICES: [&str; 14] = [
    "-object",
    "memory-backend-ram,id=bar,size=1M,share=on",
    "-device",
    "ivshmem-plain,memdev=bar",
    "-device",
    "edu,dma_mask=0xffffffffffff",
    "-device",
    "pcie-root-port,id=bridge",
    "-device",
    "virtio-balloon-pci,bus=bridge,iommu_platform=on",
    "-drive",
    "if=none,id=zeros,driver=null-co,size=1M,read-zeroes=on",
    "-device",
    "virtio-blk-pci,drive=zeros,disable-legacy=on,iommu_platform=on",
];

/// A virtual machine that has not been started.
#[derive(Clone, Debug)]
pub struct Machine {
    machine: String,
    cpu: String,
    cpus: u32,
    memory_mib: u64,
    firmware: Option<PathBuf>,
    kernel: Option<PathBuf>,
    initrd: Option<PathBuf>,
    append: Option<String>,
    reboots: bool,
    memory_is_backed: bool,
    memory_file: Option<PathBuf>,
    console: Option<String>,
    args: Vec<OsString>,
}

impl Default for Machine {
    fn default() -> Self {
        Self {
            machine: "virt,gic-version=3".into(),
            cpu: "max".into(),
            cpus: 1,
            memory_mib: 1024,
            firmware: None,
            kernel: None,
            initrd: None,
            append: None,
            reboots: false,
            memory_is_backed: false,
            memory_file: None,
            console: None,
            args: Vec::new(),
        }
    }
}

impl Machine {
    /// QEMU's `virt` with a GICv3, one CPU of model `max` and 1 GiB, without firmware.
    pub fn new() -> Self {
        Self::default()
    }

    /// The machine type and its options, as QEMU's `-M` takes them.
    pub fn machine(mut self, machine: impl Into<String>) -> Self {
        self.machine = machine.into();
        self
    }

    /// Adds one option to the machine type, such as `virtualization=on`.
    pub fn machine_option(mut self, option: &str) -> Self {
        self.machine.push(',');
        self.machine.push_str(option);
        self
    }

    /// The CPU model.
    pub fn cpu(mut self, cpu: impl Into<String>) -> Self {
        self.cpu = cpu.into();
        self
    }

    /// The number of CPUs.
    pub fn cpus(mut self, cpus: u32) -> Self {
        self.cpus = cpus;
        self
    }

    /// The size of RAM in MiB.
    pub fn memory_mib(mut self, memory_mib: u64) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// RAM that the host does not reserve: for guests larger than the host.
    pub fn unreserved_memory(mut self) -> Self {
        self.memory_is_backed = true;
        self
    }

    /// RAM that stays behind in a file.
    pub fn memory_file(mut self, path: impl AsRef<Path>) -> Self {
        self.memory_file = Some(path.as_ref().to_path_buf());
        self
    }

    /// The firmware, as `-bios`.
    pub fn firmware(mut self, image: impl AsRef<Path>) -> Self {
        self.firmware = Some(image.as_ref().to_path_buf());
        self
    }

    /// The kernel.
    pub fn kernel(mut self, image: impl AsRef<Path>) -> Self {
        self.kernel = Some(image.as_ref().to_path_buf());
        self
    }

    /// The initrd.
    pub fn initrd(mut self, image: impl AsRef<Path>) -> Self {
        self.initrd = Some(image.as_ref().to_path_buf());
        self
    }

    /// The kernel's command line.
    pub fn append(mut self, line: impl Into<String>) -> Self {
        self.append = Some(line.into());
        self
    }

    /// Start again when the guest resets. Without this a reset ends the machine.
    pub fn reboots(mut self) -> Self {
        self.reboots = true;
        self
    }

    /// One more argument for QEMU.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_os_string());
        self
    }

    /// More arguments for QEMU.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_os_string()));
        self
    }

    /// Has the console behind `device`, such as `pci-serial`, and nothing behind the machine's own UART. It comes after
    /// the other arguments, so that it may be on a bus that they make.
    pub fn console_device(mut self, device: impl Into<String>) -> Self {
        self.console = Some(device.into());
        self
    }

    /// The command that runs the machine with its console on standard input and output.
    ///
    /// QEMU gets its arguments through `setpriv`, which has the kernel kill it when the thread
    /// that started it ends: a test that is itself killed leaves no machine behind.
    pub fn command(&self, serial: &str) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", QEMU]);
        // Only what is asked for: a network card, say, would bring an option ROM.
        command.args(["-nodefaults", "-display", "none"]);
        command.args(["-serial", if self.console.is_some() { "none" } else { serial }]);
        let mut machine = self.machine.clone();
        let size = self.memory_mib;
        let backend = match &self.memory_file {
            Some(path) => Some(format!("memory-backend-file,id=ram,size={size}M,share=on,mem-path={}", path.display())),
            None if self.memory_is_backed => Some(format!("memory-backend-ram,id=ram,size={size}M,reserve=off")),
            None => None,
        };
        if let Some(backend) = backend {
            machine.push_str(",memory-backend=ram");
            command.arg("-object").arg(backend);
        }
        command.arg("-machine").arg(machine);
        command.arg("-cpu").arg(&self.cpu);
        command.arg("-smp").arg(self.cpus.to_string());
        command.arg("-m").arg(format!("{}M", self.memory_mib));
        if !self.reboots {
            command.arg("-no-reboot");
        }
        if let Some(firmware) = &self.firmware {
            command.arg("-bios").arg(firmware);
        }
        if let Some(kernel) = &self.kernel {
            command.arg("-kernel").arg(kernel);
        }
        if let Some(initrd) = &self.initrd {
            command.arg("-initrd").arg(initrd);
        }
        if let Some(append) = &self.append {
            command.arg("-append").arg(append);
        }
        command.args(&self.args);
        if let Some(device) = &self.console {
            command.arg("-chardev").arg(format!("{serial},id=console"));
            command.arg("-device").arg(format!("{device},chardev=console"));
        }
        command
    }
}

/// Reads a size of RAM as QEMU writes it (`512M`, `6G`, a bare number of MiB) in MiB.
pub fn parse_memory(text: &str) -> Option<u64> {
    let (digits, factor) = match text.char_indices().last()? {
        (at, 'M' | 'm') => (text.get(..at)?, 1),
        (at, 'G' | 'g') => (text.get(..at)?, 1 << 10),
        (at, 'T' | 't') => (text.get(..at)?, 1 << 20),
        _ => (text, 1),
    };
    digits.parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_sizes_are_read_in_mib() {
        assert_eq!(parse_memory("512M"), Some(512));
        assert_eq!(parse_memory("6G"), Some(6144));
        assert_eq!(parse_memory("1T"), Some(1 << 20));
        assert_eq!(parse_memory("256"), Some(256));
        assert_eq!(parse_memory(""), None);
        assert_eq!(parse_memory("many"), None);
        assert_eq!(parse_memory("99999999999999999999G"), None);
    }

    #[test]
    fn command_line_carries_every_part() {
        let machine = Machine::new()
            .machine_option("virtualization=on")
            .cpus(4)
            .memory_mib(512)
            .firmware("fw.bin")
            .append("a b")
            .arg("-S");
        let command = machine.command("stdio");
        let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let after = |name: &str| {
            let at = args.iter().position(|arg| arg == name).unwrap();
            args[at + 1].clone()
        };
        assert_eq!(after("-machine"), "virt,gic-version=3,virtualization=on");
        assert_eq!(after("-smp"), "4");
        assert_eq!(after("-m"), "512M");
        assert_eq!(after("-bios"), "fw.bin");
        assert_eq!(after("-append"), "a b");
        assert_eq!(args.last().unwrap(), "-S");
        assert!(args.contains(&"-no-reboot".to_owned()));
    }
}
