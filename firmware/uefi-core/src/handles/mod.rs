//! The handle database: which protocols sit on which handles (UEFI 2.10, section 7.3).
//!
//! [`open`] holds the rules of who may use a protocol together with whom, [`locate`] the searches
//! and the registrations for new protocols.

mod locate;
mod open;

use alloc::vec::Vec;
use core::ffi::c_void;

use r_efi::efi::Guid;

pub use locate::Registration;
pub use open::{OpenRecord, OpenRequest, Opened};

use crate::events::Event;
use crate::slots::SlotTable;

/// The tags of the names, readable in a dump: "HU" and "RU".
const HANDLE_TAG: u16 = 0x4855;
const REGISTRATION_TAG: u16 = 0x5255;

/// A name for an entry of the database. It may come from a client: nothing but a lookup is ever
/// done with it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Handle(u64);

impl Handle {
    /// Takes a value that a client passed; [`HandleDatabase::contains`] tells whether it is real.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The value for a client. Never zero for a handle of the database.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// Why the database refused a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HandleError {
    /// A handle is not in the database, or the attributes are no legal combination.
    #[error("invalid handle or attributes")]
    Invalid,
    /// The handle already has the protocol.
    #[error("protocol is already installed")]
    AlreadyInstalled,
    /// The handle does not have the protocol.
    #[error("handle does not support the protocol")]
    Unsupported,
    /// Nothing matches: this interface, this opener, or any handle.
    #[error("not found")]
    NotFound,
    /// The present users of the protocol exclude this.
    #[error("access denied by an open protocol")]
    AccessDenied,
    /// The same driver has the protocol open in the same way.
    #[error("driver is already started")]
    AlreadyStarted,
    /// No memory for the bookkeeping.
    #[error("out of memory")]
    OutOfResources,
}

/// What became of the request to take an interface away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Removal {
    /// It is gone.
    Done,
    /// Nothing changed yet: this driver has it open and must be disconnected first. Ask again
    /// afterwards, or give up with [`HandleError::AccessDenied`].
    DisconnectFirst(Handle),
}

/// One protocol on one handle.
#[derive(Debug)]
struct Installed {
    protocol: Guid,
    /// [`key`] of it.
    key: u128,
    interface: *mut c_void,
    /// Grows with every installation, over the whole database.
    sequence: u64,
    opens: Vec<OpenRecord>,
}

/// A GUID as one number: a search compares it with all that there are.
#[inline(never)]
fn key(protocol: &Guid) -> u128 {
    u128::from_ne_bytes(*protocol.as_bytes())
}

#[derive(Debug)]
struct Entry {
    created: u64,
    protocols: Vec<Installed>,
}

impl Entry {
    fn installed(&self, protocol: &Guid) -> Option<&Installed> {
        self.protocols.iter().find(|p| p.protocol == *protocol)
    }

    fn installed_mut(&mut self, protocol: &Guid) -> Option<&mut Installed> {
        self.protocols.iter_mut().find(|p| p.protocol == *protocol)
    }
}

/// The handle database.
#[derive(Debug)]
pub struct HandleDatabase {
    entries: SlotTable<Entry, HANDLE_TAG>,
    registrations: SlotTable<locate::Listener, REGISTRATION_TAG>,
    /// The last sequence number that was given out.
    sequence: u64,
}

impl Default for HandleDatabase {
    fn default() -> Self {
        Self::new()
    }
}

impl HandleDatabase {
    /// An empty database.
    pub const fn new() -> Self {
        Self { entries: SlotTable::new(), registrations: SlotTable::new(), sequence: 0 }
    }

    /// Whether the handle exists.
    pub fn contains(&self, handle: Handle) -> bool {
        self.entries.get(handle.0).is_some()
    }

    /// Puts a protocol on `handle`, or on a new handle. The caller signals the
    /// [`Self::listeners`] of the protocol.
    ///
    /// # Errors
    /// [`HandleError::Invalid`], [`HandleError::AlreadyInstalled`],
    /// [`HandleError::OutOfResources`].
    pub fn install(
        &mut self,
        handle: Option<Handle>,
        protocol: &Guid,
        interface: *mut c_void,
    ) -> Result<Handle, HandleError> {
        let sequence = self.sequence + 1;
        let key = key(protocol);
        let installed = Installed { protocol: *protocol, key, interface, sequence, opens: Vec::new() };
        let handle = match handle {
            Some(handle) => {
                let entry = self.entries.get_mut(handle.0).ok_or(HandleError::Invalid)?;
                if entry.installed(protocol).is_some() {
                    return Err(HandleError::AlreadyInstalled);
                }
                push(&mut entry.protocols, installed)?;
                handle
            }
            None => {
                let mut protocols = Vec::new();
                push(&mut protocols, installed)?;
                let entry = Entry { created: sequence, protocols };
                let name = self.entries.insert(entry).map_err(|_| HandleError::OutOfResources)?;
                Handle(name)
            }
        };
        self.sequence = sequence;
        Ok(handle)
    }

    /// Takes a protocol off a handle, and the handle out of the database when it was its last.
    ///
    /// # Errors
    /// [`HandleError::Invalid`]; [`HandleError::NotFound`] when the handle does not have this
    /// interface; [`HandleError::AccessDenied`] when it is open in a way that no disconnecting
    /// ends (`EXCLUSIVE` without `BY_DRIVER`, or `BY_CHILD_CONTROLLER`).
    pub fn uninstall(
        &mut self,
        handle: Handle,
        protocol: &Guid,
        interface: *mut c_void,
    ) -> Result<Removal, HandleError> {
        let entry = self.entries.get_mut(handle.0).ok_or(HandleError::Invalid)?;
        let installed = find_interface(entry, protocol, interface)?;
        if let Some(agent) = open::driver_in_the_way(&installed.opens)? {
            return Ok(Removal::DisconnectFirst(agent));
        }
        entry.protocols.retain(|p| p.protocol != *protocol);
        if entry.protocols.is_empty() {
            self.entries.remove(handle.0);
        }
        Ok(Removal::Done)
    }

    /// Replaces an interface. It counts as newly installed: the caller signals the
    /// [`Self::listeners`] of the protocol.
    ///
    /// # Errors
    /// As [`Self::uninstall`].
    pub fn reinstall(
        &mut self,
        handle: Handle,
        protocol: &Guid,
        old: *mut c_void,
        new: *mut c_void,
    ) -> Result<Removal, HandleError> {
        let sequence = self.sequence + 1;
        let entry = self.entries.get_mut(handle.0).ok_or(HandleError::Invalid)?;
        let installed = find_interface(entry, protocol, old)?;
        if let Some(agent) = open::driver_in_the_way(&installed.opens)? {
            return Ok(Removal::DisconnectFirst(agent));
        }
        installed.interface = new;
        installed.sequence = sequence;
        installed.opens.clear();
        self.sequence = sequence;
        Ok(Removal::Done)
    }

    /// The interface of a protocol on a handle.
    ///
    /// # Errors
    /// [`HandleError::Invalid`], [`HandleError::Unsupported`].
    pub fn interface(&self, handle: Handle, protocol: &Guid) -> Result<*mut c_void, HandleError> {
        Ok(self.installed(handle, protocol)?.interface)
    }

    /// The protocols on a handle in the order of installation.
    ///
    /// # Errors
    /// [`HandleError::Invalid`].
    pub fn protocols(&self, handle: Handle) -> Result<impl Iterator<Item = &Guid>, HandleError> {
        let entry = self.entries.get(handle.0).ok_or(HandleError::Invalid)?;
        Ok(entry.protocols.iter().map(|p| &p.protocol))
    }

    /// The events to signal when an interface of `protocol` has been installed.
    pub fn listeners(&self, protocol: &Guid) -> impl Iterator<Item = Event> {
        self.registrations
            .iter()
            .filter(move |(_, listener)| listener.protocol == *protocol)
            .map(|(_, listener)| listener.event)
    }

    fn installed(&self, handle: Handle, protocol: &Guid) -> Result<&Installed, HandleError> {
        self.entries.get(handle.0).ok_or(HandleError::Invalid)?.installed(protocol).ok_or(HandleError::Unsupported)
    }

    fn installed_mut(&mut self, handle: Handle, protocol: &Guid) -> Result<&mut Installed, HandleError> {
        self.entries
            .get_mut(handle.0)
            .ok_or(HandleError::Invalid)?
            .installed_mut(protocol)
            .ok_or(HandleError::Unsupported)
    }
}

fn find_interface<'a>(
    entry: &'a mut Entry,
    protocol: &Guid,
    interface: *mut c_void,
) -> Result<&'a mut Installed, HandleError> {
    entry.installed_mut(protocol).filter(|p| core::ptr::eq(p.interface, interface)).ok_or(HandleError::NotFound)
}

/// Appends without aborting when memory is out.
fn push<T>(list: &mut Vec<T>, value: T) -> Result<(), HandleError> {
    list.try_reserve(1).map_err(|_| HandleError::OutOfResources)?;
    list.push(value);
    Ok(())
}

/// Collects without aborting when memory is out.
fn collect<T>(values: impl Iterator<Item = T>) -> Result<Vec<T>, HandleError> {
    let mut list = Vec::new();
    for value in values {
        push(&mut list, value)?;
    }
    Ok(list)
}

#[cfg(test)]
mod tests;
