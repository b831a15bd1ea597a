//! Package lists and the headers of packages (UEFI 2.10, 33.3.1).

use alloc::vec::Vec;

use crate::reader::Reader;
use crate::strings::StringPackage;
use crate::{Error, Guid, append, copied};

/// EFI_HII_PACKAGE_LIST_HEADER: a GUID and the length of header and packages.
pub const LIST_HEADER_LEN: usize = 20;

/// EFI_HII_PACKAGE_HEADER: 24 bits of length and 8 of type.
pub const HEADER_LEN: usize = 4;

const TYPE_GUID: u8 = 1;
pub const TYPE_STRINGS: u8 = 4;
pub const TYPE_DEVICE_PATH: u8 = 8;
pub const TYPE_KEYBOARD_LAYOUT: u8 = 9;
const TYPE_END: u8 = 0xdf;

/// EFI_HII_PACKAGE_TYPE_ALL
const TYPE_ALL: u8 = 0;

/// The end package.
const END: [u8; HEADER_LEN] = [HEADER_LEN as u8, 0, 0, TYPE_END];

/// What a package is, or which packages are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// EFI_HII_PACKAGE_TYPE_x
    pub package_type: u8,
    /// For a GUID package its GUID, for the others zero.
    pub guid: Guid,
}

impl Kind {
    /// Stands for all packages.
    pub const ALL: Self = Self { package_type: TYPE_ALL, guid: 0 };

    /// A kind that a client asks for.
    ///
    /// # Errors
    /// A GUID package without a GUID, or another one with it.
    pub fn new(package_type: u8, guid: Option<Guid>) -> Result<Self, Error> {
        if guid.is_some() != (package_type == TYPE_GUID) {
            return Err(Error::Malformed);
        }
        Ok(Self { package_type, guid: guid.unwrap_or_default() })
    }

    fn of(package: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(package);
        let [.., package_type] = fields.u32()?.to_le_bytes();
        let guid = if package_type == TYPE_GUID { fields.guid()? } else { 0 };
        Ok(Self { package_type, guid })
    }

    /// Whether this is the kind of the GUID packages with one GUID.
    pub fn has_guid(&self) -> bool {
        self.package_type == TYPE_GUID
    }

    /// Whether this stands for the packages of another kind.
    pub fn covers(&self, other: &Self) -> bool {
        self.package_type == TYPE_ALL || self.package_type == other.package_type && self.guid == other.guid
    }
}

/// The length of a package list that begins with these bytes.
pub fn list_length(header: &[u8; LIST_HEADER_LEN]) -> usize {
    let [.., a, b, c, d] = *header;
    // A length of 32 bits fits on every machine with 64.
    u32::from_le_bytes([a, b, c, d]) as usize
}

/// A package: its header and what follows, checked.
#[derive(Debug)]
pub struct Package {
    pub kind: Kind,
    pub bytes: Vec<u8>,
}

impl Package {
    /// Takes the bytes of a package, whose length is theirs.
    pub fn new(bytes: Vec<u8>) -> Result<Self, Error> {
        let kind = Kind::of(&bytes)?;
        if kind.package_type == TYPE_STRINGS {
            StringPackage::parse(&bytes)?.check()?;
        }
        Ok(Self { kind, bytes })
    }

    pub fn device_path(path: &[u8]) -> Result<Self, Error> {
        let mut bytes = copied(&header(HEADER_LEN + path.len(), TYPE_DEVICE_PATH)?)?;
        append(&mut bytes, path)?;
        Self::new(bytes)
    }
}

/// The header of a package of `length` bytes.
pub fn header(length: usize, package_type: u8) -> Result<[u8; HEADER_LEN], Error> {
    let length = u32::try_from(length).map_err(|_| Error::OutOfResources)?;
    match length.to_le_bytes() {
        [low, middle, high, 0] => Ok([low, middle, high, package_type]),
        _ => Err(Error::OutOfResources),
    }
}

/// A package list that was taken apart: a copy of each package up to the end package.
#[derive(Debug)]
pub struct List {
    pub(crate) guid: Guid,
    pub(crate) packages: Vec<Package>,
}

impl List {
    /// Takes a list apart.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::OutOfResources`].
    pub fn parse(list: &[u8]) -> Result<Self, Error> {
        let mut fields = Reader::new(list);
        let guid = fields.guid()?;
        let length = fields.u32()? as usize;
        let mut fields = Reader::new(list.get(LIST_HEADER_LEN..length).ok_or(Error::Malformed)?);
        let mut packages = Vec::new();
        loop {
            let [a, b, c, package_type] = Reader::new(fields.rest()).u32()?.to_le_bytes();
            let package = fields.bytes(u32::from_le_bytes([a, b, c, 0]) as usize)?;
            if package_type == TYPE_END {
                return Ok(Self { guid, packages });
            }
            packages.try_reserve(1).map_err(|_| Error::OutOfResources)?;
            packages.push(Package::new(copied(package)?)?);
        }
    }

    /// Whether it has a package of this kind.
    pub fn has(&self, kind: &Kind) -> bool {
        self.packages.iter().any(|package| kind.covers(&package.kind))
    }

    /// Puts it together behind what is in `to`.
    pub(crate) fn write(&self, to: &mut Vec<u8>) -> Result<(), Error> {
        let start = to.len();
        append(to, &self.guid.to_le_bytes())?;
        append(to, &[0; LIST_HEADER_LEN - 16])?;
        for package in &self.packages {
            append(to, &package.bytes)?;
        }
        append(to, &END)?;
        let length = u32::try_from(to.len() - start).map_err(|_| Error::OutOfResources)?;
        if let Some(place) = to.get_mut(start + 16..start + LIST_HEADER_LEN) {
            place.copy_from_slice(&length.to_le_bytes());
        }
        Ok(())
    }
}
