//! The boot manager (UEFI 2.11, 3.1): tries what can be booted, one after the other, and says why what failed did.
#![expect(unsafe_code, reason = "hands load options over to an image")]

use core::convert::Infallible;
use core::ptr;

use alloc::vec::Vec;
use formats::bootorder;
use measured::measure::{Action, Blob};
use r_efi::efi::{self, Handle, Status};

use super::hand_over::{announce, install_device_tree};
use super::menu::{self, Choice};
use super::options::{self, BootOption};
use super::{Error, Platform};
use crate::devices::fw_cfg::FwCfg;
use crate::devices::{self, gic, pci, virtio_console};
use crate::efi::image::{self, LoadError};
use crate::efi::protocols::{self, block_io};
use crate::efi::{services, variables};
use crate::{log, measurement};

/// The variable with the number of the option that was started (UEFI 2.11, 3.3).
const CURRENT: &str = "BootCurrent";

/// Boots what the variables name, then what the disks have. Returns only when nothing is left.
///
/// # Errors
/// [`Error::NothingToBoot`], [`Error::AllFailed`], or why there is no going on.
pub fn boot(platform: &Platform<'_>, mut fw_cfg: Option<FwCfg>) -> Result<Infallible, Error> {
    install_device_tree(platform.tree)?;
    find_disks(platform)?;
    let order = boot_order(fw_cfg.as_mut())?;
    let mut all = options::from_variables()?;
    all.extend(options::from_volumes(&order).map_err(Error::Manager)?);

    let mut first = None;
    if menu::is_wanted()? {
        measurement::action(Action::EnteringSetup)?;
        match menu::run(platform, &all) {
            Choice::Boot(at) => first = Some(at),
            Choice::Continue => {}
        }
    }
    let tried = first.into_iter().chain((0..all.len()).filter(|at| Some(*at) != first));
    let mut count = 0;
    for option in tried.filter_map(|at| all.get(at).filter(|option| option.automatic || Some(at) == first)) {
        match count {
            0 => announce()?,
            _ => measurement::action(Action::CallingApplication)?,
        }
        count += 1;
        let why = attempt(option)?;
        log::warn!("{}: {why}", option.name);
    }
    Err(if count == 0 { Error::NothingToBoot } else { Error::AllFailed(count) })
}

/// Offers what is on PCI, and the disks with what is on them.
///
/// # Errors
/// [`Error::Manager`]: no memory.
pub fn find_disks(platform: &Platform<'_>) -> Result<(), Error> {
    if let Err(error) = gic::start_tick(platform.machine) {
        log::warn!("interrupt controller: {error}");
    }
    let hosts = pci::find(platform.machine);
    protocols::pci::install(hosts).map_err(Error::Manager)?;
    block_io::install(devices::find(platform.machine, hosts)).map_err(Error::Manager)?;
    if let Some(place) = virtio_console::place() {
        protocols::pci::drive_place(&place);
    }
    for handle in services::all_handles().unwrap_or_default() {
        // Most handles are no controllers, which is no fault of theirs.
        let _ = services::connect_controller(handle, true);
    }
    Ok(())
}

/// QEMU's order of devices, or nothing.
fn boot_order(fw_cfg: Option<&mut FwCfg>) -> Result<Vec<u8>, Error> {
    let Some(fw_cfg) = fw_cfg else { return Ok(Vec::new()) };
    let directory = fw_cfg.directory()?;
    let Some(file) = directory.find(bootorder::FILE) else { return Ok(Vec::new()) };
    let size = file.size as usize;
    if size > bootorder::MAX_LEN {
        log::warn!("{}: {size} bytes are more than the {} that are accepted", bootorder::FILE, bootorder::MAX_LEN);
        return Ok(Vec::new());
    }
    let mut order = alloc::vec![0; size];
    fw_cfg.read(file.key, &mut order)?;
    measurement::blob(Blob::FwCfg(bootorder::FILE), &order)?;
    Ok(order)
}

/// Why an option did not boot.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("not found on any disk")]
    NotFound,
    #[error("its path cannot be followed: {0}")]
    Path(Status),
    #[error("{0}")]
    Load(LoadError),
    #[error("cannot be started: {0}")]
    Start(Status),
    #[error("returned: {0}")]
    Returned(Status),
}

/// Loads and starts one option.
///
/// # Errors
/// What ends the boot; what only fails the option is the result.
fn attempt(option: &BootOption) -> Result<Failure, Error> {
    services::signal_ready_to_boot();
    let mut failure = Failure::NotFound;
    let paths = match option.whole_paths() {
        Ok(paths) => paths,
        Err(status) => return Ok(Failure::Path(status)),
    };
    for path in paths {
        match image::load_from_path(image::firmware(), &path) {
            Ok(handle) => return start(option, handle),
            // What is not there says less than what is there and wrong.
            Err(LoadError::Service(Status::NOT_FOUND)) => {}
            Err(LoadError::Measurement(error)) => return Err(error.into()),
            Err(error) => failure = Failure::Load(error),
        }
    }
    Ok(failure)
}

fn start(option: &BootOption, handle: Handle) -> Result<Failure, Error> {
    let told = match option.number {
        Some(number) => variables::set_global(CURRENT, variables::PRESENT, &number.to_le_bytes()),
        None => variables::set_global(CURRENT, 0, &[]),
    }
    .or_else(|status| if status == Status::NOT_FOUND { Ok(()) } else { Err(status) });
    variables::unless_full(CURRENT, told).map_err(Error::Manager)?;
    give_load_options(handle, &option.load_options).map_err(Error::Manager)?;
    let failure = match super::start(handle) {
        Ok(outcome) => {
            measurement::action(Action::ReturningFromApplication)?;
            Failure::Returned(outcome.status)
        }
        Err(status) => Failure::Start(status),
    };
    Ok(failure)
}

/// The image keeps them as long as it is loaded, which nobody here sees the end of.
fn give_load_options(handle: Handle, options: &[u8]) -> Result<(), Status> {
    if options.is_empty() {
        return Ok(());
    }
    let size = u32::try_from(options.len()).map_err(|_| Status::BAD_BUFFER_SIZE)?;
    let memory = services::allocate_pool(efi::LOADER_DATA, options.len())?;
    // SAFETY: the allocation just made has room for the options and is given to the image for good.
    unsafe {
        ptr::copy_nonoverlapping(options.as_ptr(), memory.as_ptr(), options.len());
        image::set_load_options(handle, memory.as_ptr().cast(), size)
    }
}
