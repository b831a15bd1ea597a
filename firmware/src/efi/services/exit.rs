//! The end of boot services (UEFI 2.10, section 7.4.6).
#![expect(unsafe_code, reason = "fills the list of notifications in the runtime data region")]

use core::fmt::Display;
use core::ptr::NonNull;

use measured::measure::Action;
use r_efi::efi::{self, Handle, Status};
use runtime_abi::{AddressChange, Tables};
use uefi_core::events::EventTable;

use super::super::image;
use super::events;
use super::protocols::is_handle;
use super::state::{Notify, event_to_raw, with_core};
use crate::arch::psci;
use crate::memory::MapError;
use crate::{devices, log, measurement, memory};

/// Ends boot services.
///
/// # Errors
/// `INVALID_PARAMETER` when `image` is no handle or `map_key` is not that of the present memory map; then boot services
/// go on, and the caller can read the map and call again.
pub fn exit_boot_services(image: Handle, map_key: usize) -> Result<(), Status> {
    if !is_handle(image) {
        return Err(Status::INVALID_PARAMETER);
    }
    // The last moment for work that needs memory services comes once, however often the key is stale.
    if !with_core(|core| core::mem::replace(&mut core.before_exit_signalled, true)) {
        events::signal_group(&efi::EVENT_GROUP_BEFORE_EXIT_BOOT_SERVICES);
    }
    with_core(|core| {
        if core.memory.key() != map_key {
            return Err(Status::INVALID_PARAMETER);
        }
        core.events.cancel_timers();
        if let Some(table) = &core.memory_attributes {
            table.update(&core.memory);
        }
        Ok(())
    })?;
    measure(Action::ExitBootServices);
    events::signal_group(&efi::EVENT_GROUP_EXIT_BOOT_SERVICES);
    or_stop(with_core(|core| hand_over_drivers(core.tables)));
    let enter_runtime = with_core(|core| {
        core.watchdog.disarm();
        core.exited = true;
        hand_over_address_change(core.tables, &core.events);
        core.enter_runtime
    });
    enter_runtime();
    measure(Action::ExitBootServicesSucceeded);
    // A device that goes on writing would write to what is no longer the firmware's.
    devices::virtio_console::stop();
    super::super::protocols::block_io::stop();
    devices::gic::stop_tick();
    // The map that the caller has says that this memory is its own, so there is no going on without it.
    or_stop(memory::shared::close());
    super::super::boot_services::retire();
    Ok(())
}

/// Leaves to the runtime services image what `SetVirtualAddressMap()` has to call.
fn hand_over_address_change(tables: NonNull<Tables>, events: &EventTable<Notify>) {
    // SAFETY: the tables are initialised and outlive the firmware (`init`); no client runs while the reference lives.
    let tables = unsafe { &mut *tables.as_ptr() };
    let members = events.members(&efi::EVENT_GROUP_VIRTUAL_ADDRESS_CHANGE);
    let mut count = 0;
    for (entry, (event, notify)) in tables.address_change.iter_mut().zip(members) {
        *entry = AddressChange {
            notify: (notify.function as usize) as u64,
            event: event_to_raw(event),
            context: notify.context,
        };
        count += 1;
    }
    tables.address_change_count = count;
}

/// Leaves to the runtime services image what `SetVirtualAddressMap()` has to relocate.
fn hand_over_drivers(tables: NonNull<Tables>) -> Result<(), MapError> {
    // SAFETY: as in `hand_over_address_change`.
    let tables = unsafe { &mut *tables.as_ptr() };
    let mut slots = tables.drivers.iter_mut();
    tables.driver_count = 0;
    image::hand_over_drivers(|driver| {
        // There is room for as many as can be loaded.
        if let Some(slot) = slots.next() {
            *slot = driver;
            tables.driver_count += 1;
        }
    })
}

/// What is not in the registers must not happen, and what calls has no way back.
fn measure(action: Action) {
    or_stop(measurement::action(action));
}

fn or_stop(result: Result<(), impl Display>) {
    if let Err(error) = result {
        log::error!("ExitBootServices: {error}");
        psci::system_off();
    }
}
