//! Searching the database, and hearing of new protocols (UEFI 2.10, sections 7.3.5 to 7.3.16).

use alloc::vec::Vec;
use core::ffi::c_void;

use r_efi::efi::Guid;

use super::{Handle, HandleDatabase, HandleError, Installed, collect, key};
use crate::events::Event;

/// A name for a registration, as `RegisterProtocolNotify()` returns it. It may come from a client.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Registration(u64);

impl Registration {
    /// Takes a value that a client passed.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The value for a client. Never zero.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

/// An event to signal for new interfaces of a protocol.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) protocol: Guid,
    pub(super) event: Event,
    /// The sequence number of the last installation that was reported.
    reported: u64,
}

impl HandleDatabase {
    /// Every handle in the order of creation.
    ///
    /// # Errors
    /// [`HandleError::OutOfResources`].
    pub fn all(&self) -> Result<Vec<Handle>, HandleError> {
        let entries = self.entries.iter().map(|(name, e)| (e.created, Handle(name)));
        ordered(entries)
    }

    /// The handles with `protocol` in the order of its installation.
    ///
    /// # Errors
    /// [`HandleError::OutOfResources`].
    pub fn by_protocol(&self, protocol: &Guid) -> Result<Vec<Handle>, HandleError> {
        ordered(self.having(protocol).map(|(handle, p)| (p.sequence, handle)))
    }

    /// The interface of `protocol` that was installed first.
    pub fn first(&self, protocol: &Guid) -> Option<(Handle, *mut c_void)> {
        self.having(protocol).min_by_key(|(_, p)| p.sequence).map(|(handle, p)| (handle, p.interface))
    }

    /// Registers `event` for new interfaces of `protocol`. The interfaces that are already there
    /// count as new to the registration, but do not signal the event.
    ///
    /// # Errors
    /// [`HandleError::OutOfResources`].
    pub fn register(&mut self, protocol: &Guid, event: Event) -> Result<Registration, HandleError> {
        self.registrations
            .insert(Listener { protocol: *protocol, event, reported: 0 })
            .map(Registration)
            .map_err(|_| HandleError::OutOfResources)
    }

    /// The oldest interface that is new to a registration. It stays so until [`Self::advance`].
    pub fn next_new(&self, registration: Registration) -> Option<(Handle, *mut c_void)> {
        let (handle, installed) = self.oldest_new(registration)?;
        Some((handle, installed.interface))
    }

    /// Marks the interface on `handle`, which [`Self::next_new`] returned, as reported. When another one is the oldest
    /// by now, somebody has marked it in between.
    pub fn advance(&mut self, registration: Registration, handle: Handle) {
        let reported = self.oldest_new(registration).filter(|(oldest, _)| *oldest == handle).map(|(_, p)| p.sequence);
        if let (Some(reported), Some(listener)) = (reported, self.registrations.get_mut(registration.0)) {
            listener.reported = reported;
        }
    }

    /// Forgets the registrations of an event that is closed.
    pub fn unregister(&mut self, event: Event) {
        self.registrations.retain(|listener| listener.event != event);
    }

    fn oldest_new(&self, registration: Registration) -> Option<(Handle, &Installed)> {
        let listener = self.registrations.get(registration.0)?;
        self.having(&listener.protocol).filter(|(_, p)| p.sequence > listener.reported).min_by_key(|(_, p)| p.sequence)
    }

    fn having(&self, protocol: &Guid) -> impl Iterator<Item = (Handle, &Installed)> + use<'_> {
        let key = key(protocol);
        self.entries.iter().filter_map(move |(name, entry)| {
            Some((Handle(name), entry.protocols.iter().find(|installed| installed.key == key)?))
        })
    }
}

fn ordered(entries: impl Iterator<Item = (u64, Handle)>) -> Result<Vec<Handle>, HandleError> {
    let mut entries = collect(entries)?;
    heap_sort::sort_by_key(&mut entries, |(order, _)| *order);
    collect(entries.into_iter().map(|(_, handle)| handle))
}
