//! The registers of a realm that boots a kernel directly, from the files alone.
//!
//! It measures with the firmware's own [`Measurer`], in the firmware's order, into registers of its own.

use alloc::vec;
use alloc::vec::Vec;
use core::convert::Infallible;

use formats::pe;

use crate::authenticode;
use crate::event_log::EventType;
use crate::hash::{Algorithm, CpuHash, Digest};
use crate::measure::{Action, Blob, Error as MeasureError, ImageLoad, Measurer, Registers, Rem};

/// Room for the log, apart from what the caller's names and paths take.
const LOG_SIZE: usize = 8192;

/// What a realm boots with. Files that are absent are empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectBoot<'a> {
    /// The device tree as the firmware finds it.
    pub device_tree: &'a [u8],
    /// Other fw_cfg files that the firmware uses, in the order of its use: name and content.
    pub fw_cfg: &'a [(&'a str, &'a [u8])],
    /// The kernel.
    pub kernel: &'a [u8],
    /// The device path that the kernel's image is loaded from. It is in the log, but in no register.
    pub kernel_device_path: &'a [u8],
    /// The kernel's command line, as fw_cfg has it.
    pub command_line: &'a [u8],
    /// The initial RAM disk.
    pub initrd: &'a [u8],
    /// What the kernel's EFI stub measures; none for a kernel whose stub does not.
    pub stub: Option<Stub<'a>>,
}

/// What Linux's EFI stub measures in PCR 9 when there is an EFI_CC_MEASUREMENT_PROTOCOL.
#[derive(Clone, Copy, Debug)]
pub struct Stub<'a> {
    /// The load options: LoadOptionsSize bytes. Not measured when empty.
    pub load_options: &'a [u8],
    /// Whether it takes the initrd from LINUX_EFI_INITRD_MEDIA_GUID, and so measures it.
    pub initrd: bool,
}

/// What is to be expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// REM\[0\] to REM\[3\] once the kernel has left boot services.
    pub registers: [Digest; 4],
    /// The log, whose events have the same digests as the realm's.
    pub log: Vec<u8>,
}

/// Why there is nothing to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The kernel is a PE image that the firmware refuses.
    #[error("kernel: {0}")]
    Kernel(#[from] pe::Error),
    /// The log has no room for the names.
    #[error("the event log is full")]
    LogFull,
}

impl From<MeasureError<Infallible>> for Error {
    fn from(_: MeasureError<Infallible>) -> Self {
        Self::LogFull
    }
}

/// Measurement registers in memory.
#[derive(Clone, Debug)]
pub struct SoftwareRegisters {
    registers: [Digest; 4],
    cpu: CpuHash,
}

impl SoftwareRegisters {
    /// Registers that nothing was extended into.
    pub fn new(algorithm: Algorithm, cpu: CpuHash) -> Self {
        Self { registers: [Digest::zero(algorithm); 4], cpu }
    }

    /// REM\[0\] to REM\[3\].
    pub fn values(&self) -> [Digest; 4] {
        self.registers
    }
}

impl Registers for SoftwareRegisters {
    type Error = Infallible;

    fn extend(&mut self, register: Rem, digest: &[u8]) -> Result<(), Infallible> {
        let [rem0, rem1, rem2, _] = &mut self.registers;
        let value = match register {
            Rem::Rem0 => rem0,
            Rem::Rem1 => rem1,
            Rem::Rem2 => rem2,
        };
        *value = value.extended(digest, self.cpu);
        Ok(())
    }
}

/// Computes what a realm measures that boots `boot` and hashes by `algorithm`.
///
/// The order in each register: REM\[0\]: device tree, fw_cfg files, separator. REM\[1\]: the call of the boot
/// option, separator, the kernel, the two events of ExitBootServices(). REM\[2\]: command line, initrd, then
/// the stub's. Without a kernel, REM\[1\] has its absence, an initrd is not looked at, and no line is drawn: what boots
/// instead is not known here.
pub fn direct_boot(algorithm: Algorithm, cpu: CpuHash, boot: &DirectBoot<'_>) -> Result<Expected, Error> {
    let names: usize = boot.fw_cfg.iter().map(|(name, _)| name.len() + 128).sum();
    let mut area = vec![0; LOG_SIZE + names + boot.kernel_device_path.len()];
    let registers = SoftwareRegisters::new(algorithm, cpu);
    let mut measurer = Measurer::new(registers, &mut area, algorithm, cpu).map_err(|_| Error::LogFull)?;

    measurer.measure_blob(Blob::DeviceTree, boot.device_tree)?;
    for (name, bytes) in boot.fw_cfg {
        measurer.measure_blob(Blob::FwCfg(name), bytes)?;
    }
    measurer.measure_blob(Blob::CommandLine, boot.command_line)?;
    if boot.kernel.is_empty() {
        measurer.measure_blob(Blob::Kernel, boot.kernel)?;
    } else {
        measurer.measure_blob(Blob::Initrd, boot.initrd)?;
        measurer.measure_action(Action::CallingApplication)?;
        measurer.measure_separators()?;
        measure_kernel(&mut measurer, cpu, boot)?;
        measurer.measure_action(Action::ExitBootServices)?;
        measurer.measure_action(Action::ExitBootServicesSucceeded)?;
    }
    let (registers, log) = (measurer.registers().values(), measurer.log().as_bytes().to_vec());
    Ok(Expected { registers, log })
}

fn measure_kernel(
    measurer: &mut Measurer<'_, SoftwareRegisters>,
    cpu: CpuHash,
    boot: &DirectBoot<'_>,
) -> Result<(), Error> {
    let image = match pe::Image::parse(boot.kernel) {
        Ok(image) => image,
        Err(pe::Error::NoDosSignature) => return Ok(measurer.measure_blob(Blob::Kernel, boot.kernel)?),
        Err(error) => return Err(error.into()),
    };
    let digest = authenticode::digest(&image, boot.kernel, measurer.algorithm(), cpu)?;
    let load = ImageLoad {
        event_type: EventType::EFI_BOOT_SERVICES_APPLICATION,
        len: boot.kernel.len() as u64,
        link_time_address: 0,
        device_path: boot.kernel_device_path,
    };
    measurer.measure_image(&load, &digest)?;
    let Some(stub) = boot.stub else { return Ok(()) };
    for (bytes, taken) in [(stub.load_options, true), (boot.initrd, stub.initrd)] {
        if taken && !bytes.is_empty() {
            let digest = measurer.digest(bytes);
            measurer.measure(Rem::Rem2, EventType::EVENT_TAG, &[], &digest)?;
        }
    }
    Ok(())
}
