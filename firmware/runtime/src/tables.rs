//! The tables: made by `initialize`, cut down by `exit_boot_services`.
#![expect(unsafe_code, reason = "writes the tables, which the firmware and the OS also hold")]

use core::convert::Infallible;
use core::ptr;
use core::slice;

use r_efi::efi::{self, RuntimeServices, SystemTable, TableHeader};
use realmfw_runtime::variables::{Bank, Phase};
use runtime_abi::{Parameters, Tables, UEFI_REVISION, VENDOR, crc32};

use crate::region::{self, State};
use crate::services::{address, capsule, monotonic, reset, time, variable};

/// [`runtime_abi::Initialize`].
pub extern "C" fn initialize(parameters: *const Parameters) -> *mut Tables {
    // SAFETY: the firmware passes valid parameters, by the contract of `Initialize`.
    let parameters = unsafe { parameters.read() };
    region::set_state(State {
        phase: Phase::Boot,
        is_virtual: false,
        conduit: parameters.conduit,
        rtc_base: parameters.rtc_base,
        conversion: None,
        bank: Bank::First,
    });
    region::recover(parameters.memory_outlives_reset);
    let Ok(()) = region::change::<Infallible>(|variables, _| {
        variables.outlive_reset();
        variables.create_defaults(parameters.memory_outlives_reset);
        Ok(())
    });

    let tables = region::tables();
    // SAFETY: the tables are zeroed memory of this image, which nobody else has yet. Only fields are
    // written, so padding stays zero and the CRC covers nothing that is undefined.
    unsafe {
        (&raw mut (*tables).runtime_services).write(runtime_services());
        let vendor = (&raw mut (*tables).vendor).cast::<u16>();
        for (at, letter) in VENDOR.bytes().enumerate() {
            vendor.wrapping_add(at).write(u16::from(letter));
        }
        let system = &raw mut (*tables).system_table;
        (&raw mut (*system).hdr).write(header::<SystemTable>(efi::SYSTEM_TABLE_SIGNATURE, UEFI_REVISION));
        (&raw mut (*system).firmware_vendor).write(vendor);
        (&raw mut (*system).firmware_revision).write(parameters.firmware_revision);
        (&raw mut (*system).runtime_services).write(&raw mut (*tables).runtime_services);
    }
    update_crcs();
    tables
}

/// [`runtime_abi::ExitBootServices`].
pub extern "C" fn exit_boot_services() {
    region::with_state(|state| state.phase = Phase::Runtime);
    // SAFETY: the tables have been made, and the firmware is waiting for this call.
    unsafe {
        let system = &raw mut (*region::tables()).system_table;
        (&raw mut (*system).console_in_handle).write(ptr::null_mut());
        (&raw mut (*system).con_in).write(ptr::null_mut());
        (&raw mut (*system).console_out_handle).write(ptr::null_mut());
        (&raw mut (*system).con_out).write(ptr::null_mut());
        (&raw mut (*system).standard_error_handle).write(ptr::null_mut());
        (&raw mut (*system).std_err).write(ptr::null_mut());
        (&raw mut (*system).boot_services).write(ptr::null_mut());
        (&raw mut (*region::tables()).reset_notification).write(None);
    }
    update_crcs();
}

/// Recomputes the CRCs of the system table and the runtime services table.
pub fn update_crcs() {
    let tables = region::tables();
    // SAFETY: both tables lie in this image with the size that their headers give.
    unsafe {
        update_crc((&raw mut (*tables).system_table).cast());
        update_crc((&raw mut (*tables).runtime_services).cast());
    }
}

/// Recomputes the CRC of the table that begins with `header`.
///
/// # Safety
/// `header` begins a table of `header_size` initialised bytes, to which no reference exists.
unsafe fn update_crc(header: *mut TableHeader) {
    // SAFETY: as the caller promises.
    unsafe {
        (*header).crc32 = 0;
        let size = (*header).header_size as usize;
        let bytes = slice::from_raw_parts(header.cast::<u8>(), size);
        let crc = crc32(bytes.iter().copied());
        (*header).crc32 = crc;
    }
}

fn header<Table>(signature: u64, revision: u32) -> TableHeader {
    TableHeader { signature, revision, header_size: size_of::<Table>() as u32, crc32: 0, reserved: 0 }
}

fn runtime_services() -> RuntimeServices {
    RuntimeServices {
        hdr: header::<RuntimeServices>(efi::RUNTIME_SERVICES_SIGNATURE, UEFI_REVISION),
        get_time: time::get_time,
        set_time: time::set_time,
        get_wakeup_time: time::get_wakeup_time,
        set_wakeup_time: time::set_wakeup_time,
        set_virtual_address_map: address::set_virtual_address_map,
        convert_pointer: address::convert_pointer,
        get_variable: variable::get_variable,
        get_next_variable_name: variable::get_next_variable_name,
        set_variable: variable::set_variable,
        get_next_high_mono_count: monotonic::get_next_high_mono_count,
        reset_system: reset::reset_system,
        update_capsule: capsule::update_capsule,
        query_capsule_capabilities: capsule::query_capsule_capabilities,
        query_variable_info: variable::query_variable_info,
    }
}
