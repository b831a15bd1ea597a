//! Keyboard layouts (UEFI 2.10, 33.3.8).

use crate::Guid;
use crate::package::HEADER_LEN;
use crate::reader::Reader;

/// A layout: EFI_HII_KEYBOARD_LAYOUT with its descriptors.
#[derive(Clone, Copy, Debug)]
pub struct Layout<'a> {
    /// Its GUID.
    pub guid: Guid,
    /// All of it.
    pub bytes: &'a [u8],
}

/// A layout of a keyboard layout package. They end where they no longer fit.
pub fn layout(package: &[u8], number: usize) -> Option<Layout<'_>> {
    let mut rest = Reader::new(package.get(HEADER_LEN..)?);
    let count = usize::from(rest.u16().ok()?);
    let mut found = None;
    if number < count {
        for _ in 0..=number {
            let length = Reader::new(rest.rest()).u16().ok()?;
            found = Some(rest.bytes(length.into()).ok()?);
        }
    }
    let bytes = found?;
    let mut fields = Reader::new(bytes);
    fields.u16().ok()?;
    Some(Layout { guid: fields.guid().ok()?, bytes })
}
