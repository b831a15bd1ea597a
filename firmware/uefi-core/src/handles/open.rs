//! Opening and closing protocols: who may use an interface together with whom, and what that says
//! about drivers and their children (UEFI 2.10, sections 7.3.9 to 7.3.11).

use alloc::vec::Vec;
use core::ffi::c_void;

use r_efi::efi::{
    Guid, OPEN_PROTOCOL_BY_CHILD_CONTROLLER, OPEN_PROTOCOL_BY_DRIVER, OPEN_PROTOCOL_BY_HANDLE_PROTOCOL,
    OPEN_PROTOCOL_EXCLUSIVE, OPEN_PROTOCOL_GET_PROTOCOL, OPEN_PROTOCOL_TEST_PROTOCOL,
};

use super::{Handle, HandleDatabase, HandleError, push};

const BY_DRIVER_EXCLUSIVE: u32 = OPEN_PROTOCOL_BY_DRIVER | OPEN_PROTOCOL_EXCLUSIVE;

/// Who has an interface open, and how.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct OpenRecord {
    /// The driver or image.
    pub agent: Handle,
    /// The controller that the driver manages, or the child it made.
    pub controller: Option<Handle>,
    /// One of the legal combinations of `EFI_OPEN_PROTOCOL_*`.
    pub attributes: u32,
    /// How often it was opened in this way.
    pub count: u32,
}

/// The arguments of `OpenProtocol()` besides handle and protocol.
#[derive(Clone, Copy, Debug)]
pub struct OpenRequest {
    /// `AgentHandle`.
    pub agent: Option<Handle>,
    /// `ControllerHandle`.
    pub controller: Option<Handle>,
    /// `Attributes`.
    pub attributes: u32,
}

/// What became of a request to open.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Opened {
    /// The protocol is open.
    Granted(*mut c_void),
    /// Nothing changed yet: exclusive use needs this driver disconnected first. Ask again
    /// afterwards, or give up with [`HandleError::AccessDenied`].
    DisconnectFirst(Handle),
}

impl OpenRecord {
    fn has(&self, attribute: u32) -> bool {
        self.attributes & attribute != 0
    }

    fn is_by(&self, request: &OpenRequest) -> bool {
        Some(self.agent) == request.agent
            && self.controller == request.controller
            && self.attributes == request.attributes
    }
}

/// The driver that must let go before the interface can be taken away.
///
/// Errors with [`HandleError::AccessDenied`] when there is none left but other users are.
pub(super) fn driver_in_the_way(opens: &[OpenRecord]) -> Result<Option<Handle>, HandleError> {
    if let Some(driver) = opens.iter().find(|o| o.has(OPEN_PROTOCOL_BY_DRIVER)) {
        return Ok(Some(driver.agent));
    }
    let held = |o: &OpenRecord| o.has(OPEN_PROTOCOL_EXCLUSIVE | OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
    if opens.iter().any(held) {
        return Err(HandleError::AccessDenied);
    }
    Ok(None)
}

impl HandleDatabase {
    /// Opens a protocol.
    ///
    /// # Errors
    /// [`HandleError::Invalid`], [`HandleError::Unsupported`], [`HandleError::AccessDenied`],
    /// [`HandleError::AlreadyStarted`] as `OpenProtocol()` names them (section 7.3.9);
    /// [`HandleError::OutOfResources`].
    pub fn open(&mut self, handle: Handle, protocol: &Guid, request: OpenRequest) -> Result<Opened, HandleError> {
        self.check_request(handle, &request)?;
        // An agent that is no handle can be given where no agent is needed; it leaves no trace.
        let agent = request.agent.filter(|agent| self.contains(*agent));
        let installed = self.installed_mut(handle, protocol)?;
        let opens = &mut installed.opens;

        if request.attributes & OPEN_PROTOCOL_BY_DRIVER != 0
            && opens.iter().any(|o| Some(o.agent) == agent && o.attributes == request.attributes)
        {
            return Err(HandleError::AlreadyStarted);
        }
        let exclusive = opens.iter().any(|o| o.has(OPEN_PROTOCOL_EXCLUSIVE));
        let driver = opens.iter().find(|o| o.has(OPEN_PROTOCOL_BY_DRIVER));
        match request.attributes {
            OPEN_PROTOCOL_BY_DRIVER if exclusive || driver.is_some() => {
                return Err(HandleError::AccessDenied);
            }
            OPEN_PROTOCOL_EXCLUSIVE | BY_DRIVER_EXCLUSIVE => {
                if exclusive {
                    return Err(HandleError::AccessDenied);
                }
                if let Some(driver) = driver {
                    return Ok(Opened::DisconnectFirst(driver.agent));
                }
            }
            _ => {}
        }

        if let Some(agent) = agent {
            match opens.iter_mut().find(|o| o.is_by(&request)) {
                Some(record) => record.count = record.count.saturating_add(1),
                None => push(
                    opens,
                    OpenRecord { agent, controller: request.controller, attributes: request.attributes, count: 1 },
                )?,
            }
        }
        Ok(Opened::Granted(installed.interface))
    }

    /// Closes a protocol: forgets every way in which `agent` has it open for `controller`.
    ///
    /// # Errors
    /// [`HandleError::Invalid`] when a handle does not exist; [`HandleError::NotFound`] when the
    /// handle lacks the protocol or it is not open.
    pub fn close(
        &mut self,
        handle: Handle,
        protocol: &Guid,
        agent: Handle,
        controller: Option<Handle>,
    ) -> Result<(), HandleError> {
        if !self.contains(agent) || controller.is_some_and(|c| !self.contains(c)) {
            return Err(HandleError::Invalid);
        }
        let opens = match self.installed_mut(handle, protocol) {
            Ok(installed) => &mut installed.opens,
            Err(HandleError::Unsupported) => return Err(HandleError::NotFound),
            Err(error) => return Err(error),
        };
        let before = opens.len();
        opens.retain(|o| o.agent != agent || o.controller != controller);
        if opens.len() == before {
            return Err(HandleError::NotFound);
        }
        Ok(())
    }

    /// Forgets everything that `agent` has open, on all handles.
    pub fn close_agent(&mut self, agent: Handle) {
        for entry in self.entries.values_mut() {
            for protocol in &mut entry.protocols {
                protocol.opens.retain(|o| o.agent != agent);
            }
        }
    }

    /// The openers of a protocol.
    ///
    /// # Errors
    /// [`HandleError::NotFound`] when there is no such handle or it lacks the protocol.
    pub fn openers(&self, handle: Handle, protocol: &Guid) -> Result<&[OpenRecord], HandleError> {
        self.installed(handle, protocol).map(|installed| installed.opens.as_slice()).map_err(|_| HandleError::NotFound)
    }

    /// The drivers that manage `controller`: those with one of its protocols open `BY_DRIVER`.
    ///
    /// # Errors
    /// [`HandleError::Invalid`], [`HandleError::OutOfResources`].
    pub fn drivers_of(&self, controller: Handle) -> Result<Vec<Handle>, HandleError> {
        self.distinct(controller, |o| o.has(OPEN_PROTOCOL_BY_DRIVER).then_some(o.agent))
    }

    /// The children of `controller`, of one driver or of all: the controllers for which a
    /// protocol is open `BY_CHILD_CONTROLLER`.
    ///
    /// # Errors
    /// [`HandleError::Invalid`], [`HandleError::OutOfResources`].
    pub fn children_of(&self, controller: Handle, driver: Option<Handle>) -> Result<Vec<Handle>, HandleError> {
        self.distinct(controller, |o| {
            let of_driver = driver.is_none_or(|driver| driver == o.agent);
            o.controller.filter(|_| of_driver && o.has(OPEN_PROTOCOL_BY_CHILD_CONTROLLER))
        })
    }

    fn distinct(
        &self,
        handle: Handle,
        select: impl Fn(&OpenRecord) -> Option<Handle>,
    ) -> Result<Vec<Handle>, HandleError> {
        let entry = self.entries.get(handle.0).ok_or(HandleError::Invalid)?;
        let opens = entry.protocols.iter().flat_map(|p| &p.opens);
        let mut handles = Vec::new();
        for handle in opens.filter_map(select) {
            if !handles.contains(&handle) {
                push(&mut handles, handle)?;
            }
        }
        Ok(handles)
    }

    fn check_request(&self, handle: Handle, request: &OpenRequest) -> Result<(), HandleError> {
        let agent = request.agent.is_some_and(|agent| self.contains(agent));
        let controller = request.controller.is_some_and(|c| self.contains(c));
        let legal = match request.attributes {
            OPEN_PROTOCOL_BY_HANDLE_PROTOCOL | OPEN_PROTOCOL_GET_PROTOCOL | OPEN_PROTOCOL_TEST_PROTOCOL => true,
            OPEN_PROTOCOL_BY_CHILD_CONTROLLER => agent && controller && request.controller != Some(handle),
            OPEN_PROTOCOL_BY_DRIVER | BY_DRIVER_EXCLUSIVE => agent && controller,
            OPEN_PROTOCOL_EXCLUSIVE => agent,
            _ => false,
        };
        if legal && self.contains(handle) { Ok(()) } else { Err(HandleError::Invalid) }
    }
}
