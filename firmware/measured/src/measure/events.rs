//! The events that the firmware makes.
//!
//! The TCG PC Client Platform Firmware Profile (1.05, section 3.3.4) knows neither device trees nor kernels
//! that come with the machine. They go where their kin go:
//!
//! | What | PCR | Event type | Digest of |
//! | --- | --- | --- | --- |
//! | device tree, other fw_cfg files | 1: configuration of the platform, as EDK2 takes fw_cfg files | EV_PLATFORM_CONFIG_FLAGS | the bytes |
//! | kernel that is a PE image | 4: what the boot manager runs | EV_EFI_BOOT_SERVICES_APPLICATION | Authenticode |
//! | kernel that is none, no kernel | 4 | EV_IPL | the bytes |
//! | command line | 8: as boot loaders do (UAPI group, Linux TPM PCR registry) | EV_IPL | the bytes |
//! | initrd | 9: as boot loaders do | EV_IPL | the bytes |
//! | BootNext, BootOrder, Boot#### | 1 | EV_EFI_VARIABLE_BOOT2 | UEFI_VARIABLE_DATA |
//!
//! So in a realm each of the three that a kernel is booted with has a register to itself or shares it with
//! its like: REM\[0\] for the device tree, REM\[1\] for the kernel, REM\[2\] for command line and initrd.
//!
//! The data of EV_PLATFORM_CONFIG_FLAGS and EV_IPL is a name in ASCII without a terminator. It is not part of
//! the digest: an order that never changes tells one blob from another.

use alloc::vec::Vec;

use crate::event_log::EventType;
use crate::hash::Digest;

use super::{Error, Measurer, Registers, Rem};

/// A blob that the host supplies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blob<'a> {
    /// The device tree as the host wrote it.
    DeviceTree,
    /// Another file of fw_cfg, by its name.
    FwCfg(&'a str),
    /// A kernel that is not loaded as a PE image, or its absence.
    Kernel,
    /// The kernel's command line.
    CommandLine,
    /// The initial RAM disk.
    Initrd,
}

impl<'a> Blob<'a> {
    fn register(self) -> Rem {
        match self {
            Self::DeviceTree | Self::FwCfg(_) => Rem::Rem0,
            Self::Kernel => Rem::Rem1,
            Self::CommandLine | Self::Initrd => Rem::Rem2,
        }
    }

    fn event_type(self) -> EventType {
        match self {
            Self::DeviceTree | Self::FwCfg(_) => EventType::PLATFORM_CONFIG_FLAGS,
            Self::Kernel | Self::CommandLine | Self::Initrd => EventType::IPL,
        }
    }

    fn name(self) -> [&'a str; 2] {
        match self {
            Self::DeviceTree => ["", "device tree"],
            Self::FwCfg(name) => ["fw_cfg:", name],
            Self::Kernel => ["", "kernel"],
            Self::CommandLine => ["", "command line"],
            Self::Initrd => ["", "initrd"],
        }
    }
}

/// An image that was loaded: UEFI_IMAGE_LOAD_EVENT (profile, section 10.2.3).
#[derive(Clone, Copy, Debug)]
pub struct ImageLoad<'a> {
    /// EV_EFI_BOOT_SERVICES_APPLICATION, EV_EFI_BOOT_SERVICES_DRIVER or EV_EFI_RUNTIME_SERVICES_DRIVER.
    pub event_type: EventType,
    /// ImageLengthInMemory: of the file, in bytes.
    pub len: u64,
    /// ImageLinkTimeAddress: ImageBase of the optional header.
    pub link_time_address: u64,
    /// The device path it came from, with its end node; empty for none.
    pub device_path: &'a [u8],
}

/// EV_EFI_ACTION: strings of the profile (section 10.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The boot manager starts what a boot option names.
    CallingApplication,
    /// What a boot option named came back.
    ReturningFromApplication,
    /// Somebody at the console asked for the boot menu.
    EnteringSetup,
    /// ExitBootServices() was called.
    ExitBootServices,
    /// ExitBootServices() fails.
    ExitBootServicesFailed,
    /// ExitBootServices() succeeds.
    ExitBootServicesSucceeded,
}

impl Action {
    fn text(self) -> &'static str {
        match self {
            Self::CallingApplication => "Calling EFI Application from Boot Option",
            Self::ReturningFromApplication => "Returning from EFI Application from Boot Option",
            Self::EnteringSetup => "Entering ROM Based Setup",
            Self::ExitBootServices => "Exit Boot Services Invocation",
            Self::ExitBootServicesFailed => "Exit Boot Services Returned with Failure",
            Self::ExitBootServicesSucceeded => "Exit Boot Services Returned with Success",
        }
    }
}

/// UEFI_GPT_DATA (profile, section 10.2.5): the header's bytes, how many entries are in use, and those entries. `None`
/// for want of memory.
pub fn gpt_data<'e>(header: &[u8], entries: impl Iterator<Item = &'e [u8]> + Clone) -> Option<Vec<u8>> {
    let length = entries.clone().map(<[u8]>::len).sum::<usize>();
    let mut data = Vec::new();
    data.try_reserve_exact(header.len() + size_of::<u64>() + length).ok()?;
    data.extend_from_slice(header);
    data.extend_from_slice(&(entries.clone().count() as u64).to_le_bytes());
    entries.for_each(|entry| data.extend_from_slice(entry));
    Some(data)
}

/// EFI_GLOBAL_VARIABLE, as it stands in memory.
const GLOBAL_VARIABLE: [u8; 16] =
    [0x61, 0xdf, 0xe4, 0x8b, 0xca, 0x93, 0xd2, 0x11, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c];

/// EV_SEPARATOR's data where no error is to be told.
const SEPARATOR: [u8; 4] = [0; 4];

impl<R: Registers> Measurer<'_, R> {
    /// Measures a blob: `bytes` are the private copy that is then used. An empty one is absent, as it is to
    /// fw_cfg, and is measured as what it is: no bytes. So there is no blob that looks absent.
    pub fn measure_blob(&mut self, blob: Blob<'_>, bytes: &[u8]) -> Result<(), Error<R::Error>> {
        let digest = self.digest(bytes);
        self.measure_blob_digest(blob, bytes.is_empty(), &digest)
    }

    /// As [`measure_blob`](Self::measure_blob), for bytes that were hashed by [`hasher`](Self::hasher) as
    /// they were copied.
    pub fn measure_blob_digest(
        &mut self,
        blob: Blob<'_>,
        absent: bool,
        digest: &Digest,
    ) -> Result<(), Error<R::Error>> {
        let [prefix, name] = blob.name();
        let suffix = if absent { " (absent)" } else { "" };
        let data = [prefix, name, suffix].map(str::as_bytes);
        self.measure(blob.register(), blob.event_type(), &data, digest)
    }

    /// Measures an image by its Authenticode digest, before any of its code runs.
    ///
    /// ImageLocationInMemory is zero: where an image lies is up to the machine, and no address belongs into
    /// an event.
    pub fn measure_image(&mut self, image: &ImageLoad<'_>, authenticode: &Digest) -> Result<(), Error<R::Error>> {
        let data: [&[u8]; 5] = [
            &0_u64.to_le_bytes(),
            &image.len.to_le_bytes(),
            &image.link_time_address.to_le_bytes(),
            &(image.device_path.len() as u64).to_le_bytes(),
            image.device_path,
        ];
        self.measure(Rem::Rem1, image.event_type, &data, authenticode)
    }

    /// Measures how a disk is divided, in PCR 5, before anything of it is used: UEFI_GPT_DATA, as [`gpt_data`] makes it.
    pub fn measure_gpt(&mut self, data: &[u8]) -> Result<(), Error<R::Error>> {
        let digest = self.digest(data);
        self.measure(Rem::Rem1, EventType::EFI_GPT_EVENT, &[data], &digest)
    }

    /// Measures an action: in PCR 4 those about applications, in PCR 5 those about ExitBootServices().
    /// Both are REM\[1\].
    pub fn measure_action(&mut self, action: Action) -> Result<(), Error<R::Error>> {
        let text = action.text().as_bytes();
        let digest = self.digest(text);
        self.measure(Rem::Rem1, EventType::EFI_ACTION, &[text], &digest)
    }

    /// Measures a global variable that takes part in booting, before it is used: UEFI_VARIABLE_DATA (profile, section
    /// 10.2.6), all of which is hashed. `name` is written in UCS-2, without a NUL.
    pub fn measure_boot_variable(&mut self, name: &str, content: &[u8]) -> Result<(), Error<R::Error>> {
        let mut hasher = self.hasher();
        let units: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let lengths = [units.len() as u64 / 2, content.len() as u64].map(u64::to_le_bytes);
        let [name_length, content_length] = &lengths;
        let data: [&[u8]; 5] = [&GLOBAL_VARIABLE, name_length, content_length, &units, content];
        data.iter().for_each(|part| hasher.update(part));
        let digest = hasher.finish();
        self.measure(Rem::Rem0, EventType::EFI_VARIABLE_BOOT2, &data, &digest)
    }

    /// Draws the line that comes before the first boot attempt, once in each register that stands for PCRs
    /// of the firmware's (0 to 7; the profile draws none in the others).
    pub fn measure_separators(&mut self) -> Result<(), Error<R::Error>> {
        let digest = self.digest(&SEPARATOR);
        self.measure(Rem::Rem0, EventType::SEPARATOR, &[&SEPARATOR], &digest)?;
        self.measure(Rem::Rem1, EventType::SEPARATOR, &[&SEPARATOR], &digest)
    }
}
