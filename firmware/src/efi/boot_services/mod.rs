//! `EFI_BOOT_SERVICES`: the state behind it and its C interface (UEFI 2.10, section 7).

use core::ptr::NonNull;

use uefi_core::memory_map::MemoryMap;

/// What the boot flow hands over to start UEFI.
pub struct EfiParameters {
    /// Every range of memory that exists, with what the firmware has claimed of it.
    pub memory_map: MemoryMap,
    /// The tables in the runtime data region.
    pub tables: NonNull<runtime_abi::Tables>,
    /// The frequency of `crate::arch::counter()` in hertz.
    pub counter_frequency: u64,
}

/// Fills the EFI tables and starts boot services.
///
/// # Safety
/// `tables` points to memory of the runtime data region that nothing else refers to, and the
/// conventional memory of the map is RAM that is mapped and that nothing else uses. Called once.
pub unsafe fn init(parameters: EfiParameters) {
    let _ = parameters;
}
