//! The package lists, and what is looked up in them (UEFI 2.10, chapter 34).

use alloc::vec::Vec;

use crate::keyboard::{Layout, layout};
use crate::package::{Kind, List, Package, TYPE_KEYBOARD_LAYOUT, TYPE_STRINGS};
use crate::strings::{Font, StringPackage};
use crate::{Error, append, copied};

/// The name of a package list, never 0.
pub type Handle = usize;

/// A package list that was handed in.
#[derive(Debug)]
struct PackageList {
    handle: Handle,
    /// The EFI handle of whose packages these are.
    driver: usize,
    content: List,
}

impl PackageList {
    /// The first string package of a language and its place.
    fn strings(&self, language: &[u8]) -> Option<(usize, StringPackage<'_>)> {
        self.packages_of(language).next()
    }

    fn packages_of(&self, language: &[u8]) -> impl Iterator<Item = (usize, StringPackage<'_>)> {
        packages_of(&self.content.packages, language)
    }

    fn string_packages(&self) -> impl Iterator<Item = (usize, StringPackage<'_>)> {
        string_packages(&self.content.packages)
    }

    /// Gives a string in a language another text.
    fn put(&mut self, language: &[u8], id: u16, text: &[u8], font: Option<&Font>) -> Result<(), Error> {
        let with_id = self.packages_of(language).find(|(_, package)| package.has(id));
        let (place, package) = with_id.or_else(|| self.strings(language)).ok_or(Error::NotFound)?;
        let bytes = package.with(id, text, font)?;
        if let Some(package) = self.content.packages.get_mut(place) {
            package.bytes = bytes;
        }
        Ok(())
    }

    /// Whether a string is there in any language.
    fn has_string(&self, id: u16) -> bool {
        self.string_packages().any(|(_, package)| package.has(id))
    }
}

/// The string packages of a language and their places. Languages compare without case (RFC 4646, 2.1).
fn packages_of<'a>(packages: &'a [Package], language: &[u8]) -> impl Iterator<Item = (usize, StringPackage<'a>)> {
    string_packages(packages).filter(move |(_, package)| package.language().eq_ignore_ascii_case(language))
}

fn string_packages(packages: &[Package]) -> impl Iterator<Item = (usize, StringPackage<'_>)> {
    packages
        .iter()
        .enumerate()
        .filter(|(_, package)| package.kind.package_type == TYPE_STRINGS)
        .filter_map(|(place, package)| StringPackage::parse(&package.bytes).ok().map(|strings| (place, strings)))
}

/// The database.
#[derive(Debug, Default)]
pub struct Database {
    lists: Vec<PackageList>,
    last: Handle,
}

impl Database {
    /// An empty one.
    pub const fn new() -> Self {
        Self { lists: Vec::new(), last: 0 }
    }

    fn list(&self, handle: Handle) -> Result<&PackageList, Error> {
        self.lists.iter().find(|list| list.handle == handle).ok_or(Error::NotFound)
    }

    fn list_mut(&mut self, handle: Handle) -> Result<&mut PackageList, Error> {
        self.lists.iter_mut().find(|list| list.handle == handle).ok_or(Error::NotFound)
    }

    /// Takes a package list of a driver in, with a package for the driver's device path.
    ///
    /// # Errors
    /// [`Error::OutOfResources`].
    pub fn add(&mut self, mut content: List, driver: usize, device_path: Option<&[u8]>) -> Result<Handle, Error> {
        if let Some(path) = device_path {
            content.packages.try_reserve(1).map_err(|_| Error::OutOfResources)?;
            content.packages.push(Package::device_path(path)?);
        }
        self.lists.try_reserve(1).map_err(|_| Error::OutOfResources)?;
        let handle = self.last.checked_add(1).ok_or(Error::OutOfResources)?;
        self.last = handle;
        self.lists.push(PackageList { handle, driver, content });
        Ok(handle)
    }

    /// Forgets a package list.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn remove(&mut self, handle: Handle) -> Result<(), Error> {
        self.list(handle)?;
        self.lists.retain(|list| list.handle != handle);
        Ok(())
    }

    /// Makes room for [`Self::update`].
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::OutOfResources`].
    pub fn reserve(&mut self, handle: Handle, new: &List) -> Result<(), Error> {
        let packages = &mut self.list_mut(handle)?.content.packages;
        packages.try_reserve(new.packages.len()).map_err(|_| Error::OutOfResources)
    }

    /// Replaces the packages of the kinds that a new list has by those of the new list. Returns the place of the first
    /// of these.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::OutOfResources`].
    pub fn update(&mut self, handle: Handle, mut new: List) -> Result<usize, Error> {
        self.reserve(handle, &new)?;
        let packages = &mut self.list_mut(handle)?.content.packages;
        packages.retain(|old| !new.has(&old.kind));
        let first = packages.len();
        packages.append(&mut new.packages);
        Ok(first)
    }

    /// A package of a list by its place, with its header.
    pub fn package(&self, handle: Handle, place: usize) -> Option<(Kind, &[u8])> {
        let package = self.list(handle).ok()?.content.packages.get(place)?;
        Some((package.kind, &package.bytes))
    }

    /// The first list behind another one that has a package of a kind; they are in the order of their handles.
    pub fn next(&self, last: Handle, kind: &Kind) -> Option<Handle> {
        self.lists.iter().find(|list| list.handle > last && list.content.has(kind)).map(|list| list.handle)
    }

    /// The EFI handle that a list was handed in with.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn driver(&self, handle: Handle) -> Result<usize, Error> {
        self.list(handle).map(|list| list.driver)
    }

    /// The package lists as they can be handed in: one, or all.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::OutOfResources`].
    pub fn export(&self, one: Option<Handle>) -> Result<Vec<u8>, Error> {
        let mut exported = Vec::new();
        for list in self.lists.iter().filter(|list| one.is_none_or(|one| one == list.handle)) {
            list.content.write(&mut exported)?;
        }
        if exported.is_empty() { Err(Error::NotFound) } else { Ok(exported) }
    }

    /// A keyboard layout by its place among all of them.
    pub fn layout(&self, place: usize) -> Option<Layout<'_>> {
        let mut left = place;
        for package in self.lists.iter().flat_map(|list| &list.content.packages) {
            if package.kind.package_type == TYPE_KEYBOARD_LAYOUT {
                let mut number = 0;
                while let Some(found) = layout(&package.bytes, number) {
                    if left == 0 {
                        return Some(found);
                    }
                    left -= 1;
                    number += 1;
                }
            }
        }
        None
    }

    /// A string as UCS-2, little-endian, with its NUL, and its font where the package names one.
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a string in any language, [`Error::InvalidLanguage`] without it in this one.
    pub fn string(&self, handle: Handle, language: &[u8], id: u16) -> Result<(Vec<u8>, Option<Font<'_>>), Error> {
        let list = self.list(handle)?;
        let package = list.packages_of(language).map(|(_, package)| package).find(|package| package.has(id));
        let found = package.ok_or(Error::NotFound).and_then(|package| {
            let (text, font) = package.get(id)?;
            Ok((text, font.and_then(|id| package.font(id))))
        });
        match found {
            Err(Error::NotFound) if list.has_string(id) => Err(Error::InvalidLanguage),
            found => found,
        }
    }

    /// Adds a string in a language, in a package of its own where it is the first, and returns its number, which no
    /// string of the list has in any language. `name` is that of the language, kept where the language has none yet.
    /// Both texts are UCS-2, little-endian, with their NULs.
    ///
    /// # Errors
    /// [`Error::NotFound`] without the list, [`Error::OutOfResources`].
    pub fn new_string(
        &mut self,
        handle: Handle,
        language: &[u8],
        name: Option<&[u8]>,
        text: &[u8],
        font: Option<&Font>,
    ) -> Result<u16, Error> {
        let packages = &mut self.list_mut(handle)?.content.packages;
        let mut id = 1;
        for (_, package) in string_packages(packages) {
            id = id.max(package.end_id()?);
        }
        let mut id = u16::try_from(id).map_err(|_| Error::OutOfResources)?;
        let fresh = StringPackage::empty(language)?;
        let old = packages_of(packages, language).next();
        let (place, mut package) = match old {
            Some((place, package)) => (Some(place), package),
            None => (None, StringPackage::parse(&fresh)?),
        };
        let named = match name {
            Some(name) if package.language_name() == 0 => package.with_language_name(id, name)?,
            _ => Vec::new(),
        };
        if !named.is_empty() {
            package = StringPackage::parse(&named)?;
            id = id.checked_add(1).ok_or(Error::OutOfResources)?;
        }
        let bytes = package.with(id, text, font)?;
        match place.and_then(|place| packages.get_mut(place)) {
            Some(package) => package.bytes = bytes,
            None => {
                packages.try_reserve(1).map_err(|_| Error::OutOfResources)?;
                packages.push(Package::new(bytes)?);
            }
        }
        Ok(id)
    }

    /// Changes a string in one language. `text` is as for [`Self::new_string`].
    ///
    /// # Errors
    /// [`Error::NotFound`] without such a string in any language, or without the language; [`Error::OutOfResources`].
    pub fn set_string(
        &mut self,
        handle: Handle,
        language: &[u8],
        id: u16,
        text: &[u8],
        font: Option<&Font>,
    ) -> Result<(), Error> {
        let list = self.list_mut(handle)?;
        if list.has_string(id) { list.put(language, id, text, font) } else { Err(Error::NotFound) }
    }

    /// The languages of a list's strings, behind each those that its strings also serve, separated by semicolons, with a
    /// NUL.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::OutOfResources`].
    pub fn languages(&self, handle: Handle) -> Result<Vec<u8>, Error> {
        let mut languages = Vec::new();
        for (_, package) in self.list(handle)?.string_packages() {
            if !languages.is_empty() {
                append(&mut languages, b";")?;
            }
            append(&mut languages, package.languages())?;
        }
        append(&mut languages, &[0])?;
        Ok(languages)
    }

    /// The languages that the strings of a language also serve, separated by semicolons, with a NUL.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::InvalidLanguage`], [`Error::OutOfResources`].
    pub fn secondary_languages(&self, handle: Handle, language: &[u8]) -> Result<Vec<u8>, Error> {
        let (_, package) = self.list(handle)?.strings(language).ok_or(Error::InvalidLanguage)?;
        let mut languages = copied(package.secondary_languages())?;
        append(&mut languages, &[0])?;
        Ok(languages)
    }
}
