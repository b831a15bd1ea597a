//! Boot services for the rest of the firmware: the same state as the EFI boot services table, behind Rust signatures.
//!
//! [`super::boot_services`] is the C interface to these functions.
//!
//! Many of them run notifications of the client before they return, so no caller may hold a borrow of state that a
//! notification can reach. Errors are the EFI status that the matching boot service returns (UEFI 2.10, section 7).

pub(super) mod configuration;
pub(super) mod device_path;
pub(super) mod driver_model;
pub(super) mod events;
pub(super) mod exit;
pub(super) mod locate;
pub(super) mod memory;
pub(super) mod memory_attributes;
pub(super) mod protocols;
pub(super) mod state;
mod status;
pub mod time;

pub use configuration::{Console, install_configuration_table, set_console, set_reset_notification, system_table};
pub use driver_model::connect_controller;
pub use events::{
    close_event, create_event, current_tpl, poll, raise_tpl, restore_tpl, set_timer, signal_event, signal_ready_to_boot,
};
pub use locate::{all_handles, locate_device_path, locate_handles};
pub use memory::{allocate_pages, allocate_pool, free_pages, free_pool, is_firmware};
pub use protocols::{
    close_protocol, close_protocols_of_agent, install_protocol, interface, is_handle, open_protocol, uninstall_protocol,
};
pub use state::handle_from;
pub use uefi_core::memory_map::Placement;
