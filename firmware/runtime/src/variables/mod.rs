//! The variable services' rules (UEFI 2.10, section 8.2) over a [`Store`].
//!
//! Names are UCS-2, little-endian, without their NUL.

mod authentication;
mod banks;
mod seal;
mod store;
#[cfg(test)]
mod tests;
mod well_known;

use r_efi::efi::{self, Guid};

pub use banks::{Bank, Banks};
pub use seal::{Kept, Seal};
pub use store::{Full, RECORD_OVERHEAD, Record, Store};

/// The most that a variable's name (without its NUL) and data can have together, in bytes.
pub const MAX_VARIABLE_SIZE: usize = 0x1_0000;

const BOOT_AND_RUNTIME: u32 = efi::VARIABLE_BOOTSERVICE_ACCESS | efi::VARIABLE_RUNTIME_ACCESS;
const PERSISTENT: u32 = efi::VARIABLE_NON_VOLATILE | BOOT_AND_RUNTIME;
const UNSUPPORTED: u32 = efi::VARIABLE_AUTHENTICATED_WRITE_ACCESS | efi::VARIABLE_ENHANCED_AUTHENTICATED_ACCESS;
/// What no variable in the store has.
const NEVER_KEPT: u32 = efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS | efi::VARIABLE_APPEND_WRITE;
const KNOWN: u32 = PERSISTENT | efi::VARIABLE_HARDWARE_ERROR_RECORD | UNSUPPORTED | NEVER_KEPT;

/// Whether boot services have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Before `ExitBootServices()`.
    Boot,
    /// After it.
    Runtime,
}

/// Why a request is refused; each is the EFI status of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A parameter, or a combination of attributes, that the specification forbids.
    InvalidParameter,
    /// No such variable, or it is hidden in this phase.
    NotFound,
    /// The store is full, or the variable would become too large.
    OutOfResources,
    /// The write needs an authentication that cannot be verified.
    SecurityViolation,
    /// A kind of variable that this firmware does not have.
    Unsupported,
    /// The variable may only be read.
    WriteProtected,
}

/// What `QueryVariableInfo()` tells, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Info {
    /// Size of the store.
    pub maximum_storage: u64,
    /// What is free of it.
    pub remaining_storage: u64,
    /// Largest name and data that one variable can have now.
    pub maximum_variable: u64,
}

/// The variables, as seen in one phase.
#[derive(Debug)]
pub struct Variables<'a> {
    store: Store<'a>,
    phase: Phase,
    reserve: usize,
}

impl<'a> Variables<'a> {
    /// The variables of `store` as `phase` sees them.
    pub fn new(store: Store<'a>, phase: Phase) -> Self {
        Self { store, phase, reserve: 0 }
    }

    /// Lets no non-volatile variable into the last `reserve` free bytes. They are what the next boot has for its
    /// volatile variables, however full the store that it finds.
    #[must_use]
    pub fn with_reserve(self, reserve: usize) -> Self {
        Self { reserve, ..self }
    }

    /// The attributes and data of a variable.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn get(&self, name: &[u8], guid: &Guid) -> Result<(u32, &[u8]), Error> {
        let record = self.visible(name, guid).ok_or(Error::NotFound)?;
        Ok((record.attributes, self.store.data(&record)))
    }

    /// Name and vendor of the variable after `name`, or of the first if `name` is empty.
    ///
    /// # Errors
    /// [`Error::NotFound`] after the last one, [`Error::InvalidParameter`] if there is no `name`.
    pub fn next(&self, name: &[u8], guid: &Guid) -> Result<(&[u8], Guid), Error> {
        let mut next = if name.is_empty() {
            self.store.after(None)
        } else {
            let record = self.visible(name, guid).ok_or(Error::InvalidParameter)?;
            self.store.after(Some(&record))
        };
        while let Some(record) = next {
            if self.shows(&record) {
                return Ok((self.store.name(&record), record.guid));
            }
            next = self.store.after(Some(&record));
        }
        Err(Error::NotFound)
    }

    /// Creates, changes, extends or deletes a variable, as `attributes` and `data` say. An error
    /// leaves everything as it was.
    ///
    /// # Errors
    /// Any [`Error`].
    pub fn set(&mut self, name: &[u8], guid: &Guid, attributes: u32, data: &[u8]) -> Result<(), Error> {
        check_write(name, guid, attributes)?;
        if !fits_one_variable(name.len(), data.len()) {
            return Err(Error::InvalidParameter);
        }
        let authenticated = attributes & efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS != 0;
        let append = attributes & efi::VARIABLE_APPEND_WRITE != 0;
        let attributes = attributes & !efi::VARIABLE_APPEND_WRITE;

        let delete = !authenticated && (attributes & BOOT_AND_RUNTIME == 0 || (data.is_empty() && !append));
        match self.store.find(name, guid) {
            // What is there was made without it, and no variable changes its attributes.
            Some(_) if authenticated => Err(Error::InvalidParameter),
            Some(record) => self.change(&record, attributes, append, delete, data),
            None if delete => Err(Error::NotFound),
            None if self.phase == Phase::Runtime && attributes & PERSISTENT != PERSISTENT => {
                Err(Error::InvalidParameter)
            }
            None if !well_known::may_create(name, guid, attributes) => Err(Error::InvalidParameter),
            None if authenticated => Err(authentication::refusal(data)),
            // Appending nothing to nothing leaves nothing.
            None if data.is_empty() => Ok(()),
            None if RECORD_OVERHEAD.saturating_add(name.len()).saturating_add(data.len()) > self.room(attributes) => {
                Err(Error::OutOfResources)
            }
            None => self.store.insert(name, guid, attributes, data).map_err(|Full| Error::OutOfResources),
        }
    }

    /// What there is room for among variables with these attributes.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`] or [`Error::Unsupported`], by `attributes`.
    pub fn query(&self, attributes: u32) -> Result<Info, Error> {
        // Where others make the attributes invalid, too, this is what is told.
        if attributes & (UNSUPPORTED | efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS) != 0 {
            return Err(Error::Unsupported);
        }
        check_kind(attributes)?;
        let needed = match self.phase {
            Phase::Boot => efi::VARIABLE_BOOTSERVICE_ACCESS,
            Phase::Runtime => BOOT_AND_RUNTIME,
        };
        if attributes & needed != needed {
            return Err(Error::InvalidParameter);
        }
        let free = self.room(attributes);
        Ok(Info {
            maximum_storage: size(self.store.capacity().saturating_sub(self.reserve_for(attributes))),
            remaining_storage: size(free),
            maximum_variable: size(free.saturating_sub(RECORD_OVERHEAD).min(MAX_VARIABLE_SIZE)),
        })
    }

    /// Drops what a reset ends: the volatile variables. When anything in the store is not as [`set`](Self::set) makes
    /// it, then all of it, for whoever had the memory meanwhile may have written there.
    pub fn outlive_reset(&mut self) {
        let mut kept: Option<Record> = None;
        while let Some(record) = self.store.after(kept.as_ref()) {
            if record.attributes & efi::VARIABLE_NON_VOLATILE == 0 {
                self.store.remove(&record);
            } else if self.could_be_set(&record) {
                kept = Some(record);
            } else {
                break;
            }
        }
        if !self.store.is_last(kept.as_ref()) || self.store.free() < self.reserve {
            self.store.clear();
        }
    }

    /// Creates the variables by which the firmware tells what it is (UEFI 2.10, section 3.3), as far as there are none.
    pub fn create_defaults(&mut self, outlives_reset: bool) {
        well_known::defaults(outlives_reset, |name, attributes, data| {
            let size = RECORD_OVERHEAD.saturating_add(name.len()).saturating_add(data.len());
            if self.store.find(name, &efi::GLOBAL_VARIABLE).is_none() && size <= self.room(attributes) {
                // Without room for it, whoever looks for it finds none.
                let _ = self.store.insert(name, &efi::GLOBAL_VARIABLE, attributes, data);
            }
        });
    }

    /// Whether `set` could have made this variable beside those before it.
    fn could_be_set(&self, record: &Record) -> bool {
        let Record { guid, attributes, .. } = record;
        let name = self.store.name(record);
        let (units, odd) = name.as_chunks();
        odd.is_empty()
            && !units.contains(&[0, 0])
            && attributes & NEVER_KEPT == 0
            && attributes & efi::VARIABLE_BOOTSERVICE_ACCESS != 0
            && check_write(name, guid, *attributes).is_ok()
            && well_known::may_create(name, guid, *attributes)
            && record.data_len() != 0
            && fits_one_variable(name.len(), record.data_len())
            && self.store.find(name, guid).is_some_and(|first| first.is(record))
    }

    fn change(
        &mut self,
        record: &Record,
        attributes: u32,
        append: bool,
        delete: bool,
        data: &[u8],
    ) -> Result<(), Error> {
        if !self.shows(record) {
            // Hidden: it cannot be deleted, and a second one of its name cannot be made.
            return Err(if delete { Error::NotFound } else { Error::InvalidParameter });
        }
        if self.phase == Phase::Runtime && record.attributes & efi::VARIABLE_NON_VOLATILE == 0 {
            return Err(Error::WriteProtected);
        }
        if attributes & BOOT_AND_RUNTIME != 0 && attributes != record.attributes {
            return Err(Error::InvalidParameter);
        }
        if delete {
            self.store.remove(record);
            return Ok(());
        }
        let keep = if append { record.data_len() } else { 0 };
        if !fits_one_variable(record.name_len(), keep.saturating_add(data.len())) {
            return Err(Error::OutOfResources);
        }
        let growth = keep.saturating_add(data.len()).saturating_sub(record.data_len());
        if growth > 0 && growth > self.room(record.attributes) {
            return Err(Error::OutOfResources);
        }
        self.store.replace(record, keep, data).map_err(|Full| Error::OutOfResources)
    }

    /// How much of the store a variable with these attributes may take, in bytes.
    fn room(&self, attributes: u32) -> usize {
        self.store.free().saturating_sub(self.reserve_for(attributes))
    }

    fn reserve_for(&self, attributes: u32) -> usize {
        if attributes & efi::VARIABLE_NON_VOLATILE != 0 { self.reserve } else { 0 }
    }

    fn shows(&self, record: &Record) -> bool {
        self.phase == Phase::Boot || record.attributes & efi::VARIABLE_RUNTIME_ACCESS != 0
    }

    fn visible(&self, name: &[u8], guid: &Guid) -> Option<Record> {
        self.store.find(name, guid).filter(|record| self.shows(record))
    }
}

/// Checks what decides about a write whatever there is already.
fn check_write(name: &[u8], guid: &Guid, attributes: u32) -> Result<(), Error> {
    if name.is_empty() {
        return Err(Error::InvalidParameter);
    }
    check_kind(attributes)?;
    if attributes & efi::VARIABLE_HARDWARE_ERROR_RECORD != 0 && !well_known::is_hardware_error_record(name, guid) {
        return Err(Error::InvalidParameter);
    }
    if well_known::is_read_only(name, guid) {
        return Err(Error::WriteProtected);
    }
    Ok(())
}

/// Checks the attributes as far as they alone decide.
fn check_kind(attributes: u32) -> Result<(), Error> {
    let has = |bits: u32| attributes & bits == bits;
    let hardware_error = has(efi::VARIABLE_HARDWARE_ERROR_RECORD);
    if attributes & !KNOWN != 0
        || has(efi::VARIABLE_RUNTIME_ACCESS) && !has(efi::VARIABLE_BOOTSERVICE_ACCESS)
        || has(efi::VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS | efi::VARIABLE_ENHANCED_AUTHENTICATED_ACCESS)
        || hardware_error && !has(PERSISTENT)
    {
        return Err(Error::InvalidParameter);
    }
    if attributes & UNSUPPORTED != 0 { Err(Error::Unsupported) } else { Ok(()) }
}

fn fits_one_variable(name: usize, data: usize) -> bool {
    name.checked_add(data).is_some_and(|size| size <= MAX_VARIABLE_SIZE)
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}
