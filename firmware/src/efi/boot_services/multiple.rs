//! The two services with a variable number of arguments (UEFI 2.10, sections 7.3.17 and 7.3.18).
#![expect(unsafe_code, reason = "reads the arguments of variadic functions")]

use core::arch::naked_asm;
use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{Guid, Handle, Status};
use r_efi::protocols::device_path;

use super::protocols::guid;
use crate::efi::services::protocols::{install_protocol, install_quietly, interface, uninstall_protocol};
use crate::efi::services::{events, locate};

/// Makes one array of the variable arguments and calls the function with it as its second argument.
///
/// Stable Rust has no variadic definitions. The procedure call standard for AArch64 (section 6.4) passes the arguments
/// behind the first in x1 to x7 and then on the stack, in slots of eight bytes, so storing the seven registers right
/// below the caller's stack arguments puts all of them in order.
macro_rules! collect_arguments {
    ($function:path) => {
        naked_asm!(
            // Frame record and padding (24 bytes), then x1 to x7 (56 bytes), then the caller's arguments.
            "stp x29, x30, [sp, #-80]!",
            "mov x29, sp",
            "str x1, [sp, #24]",
            "stp x2, x3, [sp, #32]",
            "stp x4, x5, [sp, #48]",
            "stp x6, x7, [sp, #64]",
            "add x1, sp, #24",
            "bl {function}",
            "ldp x29, x30, [sp], #80",
            "ret",
            function = sym $function,
        )
    };
}

/// `InstallMultipleProtocolInterfaces()`.
#[unsafe(naked)]
pub unsafe extern "efiapi" fn install_multiple_protocol_interfaces(
    _handle: *mut Handle,
    _protocol: *mut c_void,
    _interface: *mut c_void,
) -> Status {
    collect_arguments!(install_multiple)
}

/// `UninstallMultipleProtocolInterfaces()`.
#[unsafe(naked)]
pub unsafe extern "efiapi" fn uninstall_multiple_protocol_interfaces(
    _handle: Handle,
    _protocol: *mut c_void,
    _interface: *mut c_void,
) -> Status {
    collect_arguments!(uninstall_multiple)
}

/// The pairs of protocol and interface, up to the null that ends them.
struct Pairs {
    next: *const *mut c_void,
    /// How many have been read.
    count: usize,
}

impl Pairs {
    /// # Safety
    /// `arguments` points to pairs of a pointer to a GUID and an interface, ended by a null pointer, that stay there
    /// while the iterator is used.
    unsafe fn new(arguments: *const *mut c_void) -> Self {
        Self { next: arguments, count: 0 }
    }
}

impl Iterator for Pairs {
    type Item = (Guid, *mut c_void);

    fn next(&mut self) -> Option<Self::Item> {
        // SAFETY: the end was not read yet, so another pointer follows, and it is null or a GUID (`new`).
        let protocol = unsafe { guid((*self.next).cast::<Guid>()) }?;
        // SAFETY: an interface follows a protocol.
        let interface = unsafe { *self.next.add(1) };
        // SAFETY: the next pair or the end follows.
        self.next = unsafe { self.next.add(2) };
        self.count += 1;
        Some((protocol, interface))
    }
}

/// Installs all interfaces of the list, or none. The notifications run when all are there.
///
/// # Safety
/// `handle` is null or points to a handle; `arguments` as [`Pairs::new`] wants it.
unsafe extern "C" fn install_multiple(handle: *mut Handle, arguments: *const *mut c_void) -> Status {
    if handle.is_null() {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let (given, mut pairs) = unsafe { (handle.read_unaligned(), Pairs::new(arguments)) };
    let mut current = (!given.is_null()).then_some(given);
    let failure = loop {
        let Some((protocol, interface)) = pairs.next() else {
            break None;
        };
        // SAFETY: the pair is the caller's.
        let result = unsafe { check_path(&protocol, interface) };
        match result.and_then(|()| install_quietly(current, &protocol, interface)) {
            Ok(installed) => current = Some(installed),
            Err(status) => break Some(status),
        }
    };
    if let Some(status) = failure {
        let installed = pairs.count.saturating_sub(1);
        if let Some(current) = current {
            // SAFETY: the caller's promise.
            undo_install(current, unsafe { Pairs::new(arguments) }, installed);
        }
        events::poll();
        return status;
    }
    if let Some(current) = current {
        // SAFETY: the caller's promise.
        unsafe { handle.write_unaligned(current) };
    }
    events::poll();
    Status::SUCCESS
}

/// Refuses a device path that a handle carries already.
///
/// # Safety
/// `interface` is what `protocol` demands.
unsafe fn check_path(protocol: &Guid, interface: *mut c_void) -> Result<(), Status> {
    // SAFETY: an interface of this protocol is a device path.
    if *protocol == device_path::PROTOCOL_GUID && unsafe { locate::has_device_path(interface.cast())? } {
        return Err(Status::ALREADY_STARTED);
    }
    Ok(())
}

fn undo_install(handle: Handle, pairs: Pairs, installed: usize) {
    for (protocol, interface) in pairs.take(installed) {
        // Nobody has run since the installation, so nobody has it open.
        let _ = uninstall_protocol(handle, &protocol, interface);
    }
}

/// Uninstalls all interfaces of the list, or none.
///
/// # Safety
/// `arguments` as [`Pairs::new`] wants it.
unsafe extern "C" fn uninstall_multiple(handle: Handle, arguments: *const *mut c_void) -> Status {
    // Looking first keeps the handle from vanishing with its other protocols before one that it lacks is noticed.
    let is_there = |(protocol, wanted): (Guid, *mut c_void)| {
        interface(handle, &protocol).is_ok_and(|present| ptr::eq(present, wanted))
    };
    // SAFETY: the caller's promise.
    if !unsafe { Pairs::new(arguments) }.all(is_there) {
        return Status::INVALID_PARAMETER;
    }
    // SAFETY: the caller's promise.
    let mut pairs = unsafe { Pairs::new(arguments) };
    while let Some((protocol, interface)) = pairs.next() {
        if uninstall_protocol(handle, &protocol, interface).is_err() {
            let removed = pairs.count.saturating_sub(1);
            // SAFETY: the caller's promise.
            for (protocol, interface) in unsafe { Pairs::new(arguments) }.take(removed) {
                // The handle still has the protocol that could not be removed, so it can take the others back.
                let _ = install_protocol(Some(handle), &protocol, interface);
            }
            return Status::INVALID_PARAMETER;
        }
    }
    Status::SUCCESS
}
