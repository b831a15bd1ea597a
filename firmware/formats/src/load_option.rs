//! EFI_LOAD_OPTION, the content of Boot#### variables, and BootOrder (UEFI Specification 2.11, sections 3.1.3 and 3.3).

use alloc::string::String;
use alloc::vec::Vec;

use crate::device_path::{self, DevicePath};

/// LOAD_OPTION_ACTIVE: the boot manager tries the option by itself.
pub const ACTIVE: u32 = 0x0000_0001;
/// LOAD_OPTION_HIDDEN: a menu does not show it.
pub const HIDDEN: u32 = 0x0000_0008;
/// LOAD_OPTION_CATEGORY.
pub const CATEGORY: u32 = 0x0000_1f00;
/// LOAD_OPTION_CATEGORY_BOOT: part of the normal boot.
pub const CATEGORY_BOOT: u32 = 0x0000_0000;

/// Why bytes are no load option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// They end before what they say that they have.
    #[error("load option is cut short")]
    Truncated,
    /// The description has no NUL.
    #[error("load option's description has no end")]
    Description,
    /// The first device path is none.
    #[error("load option: {0}")]
    DevicePath(#[from] device_path::Error),
}

/// A load option in its variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadOption<'a> {
    /// The attributes above.
    pub attributes: u32,
    /// Description in UCS-2, little-endian, without its NUL.
    description: &'a [u8],
    /// The first path of the list: where the image is.
    pub path: DevicePath<'a>,
    /// What the image gets as its load options.
    pub optional_data: &'a [u8],
}

impl<'a> LoadOption<'a> {
    /// Reads the content of a variable.
    ///
    /// # Errors
    /// [`Error`]: what follows a malformed part is not believed.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let (attributes, rest) = bytes.split_first_chunk().ok_or(Error::Truncated)?;
        let (list_length, rest) = rest.split_first_chunk().ok_or(Error::Truncated)?;
        let (units, _) = rest.as_chunks::<2>();
        let length = units.iter().position(|unit| *unit == [0; 2]).ok_or(Error::Description)? * 2;
        let (description, rest) = rest.split_at_checked(length).ok_or(Error::Description)?;
        let rest = rest.get(2..).ok_or(Error::Description)?;
        let list_length = u16::from_le_bytes(*list_length).into();
        let (list, optional_data) = rest.split_at_checked(list_length).ok_or(Error::Truncated)?;
        let path = DevicePath::parse(list)?;
        Ok(Self { attributes: u32::from_le_bytes(*attributes), description, path, optional_data })
    }

    /// Whether the boot manager tries it without being asked: active, and part of the normal boot.
    pub fn is_for_boot(&self) -> bool {
        self.attributes & ACTIVE != 0 && self.attributes & CATEGORY == CATEGORY_BOOT
    }

    /// The description for a person; what is no text in it, or would steer a terminal, is shown as U+FFFD.
    pub fn description(&self) -> String {
        let units = self.description.as_chunks().0.iter().map(|unit| u16::from_le_bytes(*unit));
        let text = char::decode_utf16(units).map(|char| char.unwrap_or(char::REPLACEMENT_CHARACTER));
        text.map(|char| if char.is_control() { char::REPLACEMENT_CHARACTER } else { char }).collect()
    }
}

/// The numbers of BootOrder, in its order; a last odd byte means nothing.
pub fn boot_order(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.as_chunks().0.iter().map(|number| u16::from_le_bytes(*number))
}

/// The content of a Boot#### variable.
///
/// # Errors
/// Out of memory, or more than the length fields hold.
pub fn build(
    attributes: u32,
    description: &str,
    path: &[u8],
    optional_data: &[u8],
) -> Result<Vec<u8>, device_path::Error> {
    let list_length = u16::try_from(path.len()).map_err(|_| device_path::Error::TooLong)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(8 + 2 * description.len() + path.len() + optional_data.len())?;
    bytes.extend(attributes.to_le_bytes());
    bytes.extend(list_length.to_le_bytes());
    bytes.extend(description.encode_utf16().filter(|unit| *unit != 0).chain([0]).flat_map(u16::to_le_bytes));
    bytes.extend_from_slice(path);
    bytes.extend_from_slice(optional_data);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device_path::Builder;

    fn option() -> Vec<u8> {
        let path = Builder::new().file_path("/EFI/debian/shimaa64.efi").finish().unwrap();
        build(ACTIVE, "debian", &path, b"more").unwrap()
    }

    #[test]
    fn options_are_read_as_they_were_written() {
        let bytes = option();
        let option = LoadOption::parse(&bytes).unwrap();
        assert!(option.is_for_boot());
        assert_eq!(option.description(), "debian");
        assert_eq!(option.path.nodes().count(), 1);
        assert_eq!(option.optional_data, b"more");
    }

    #[test]
    fn no_cut_is_read_past() {
        let bytes = option();
        for length in 0..bytes.len() - 4 {
            assert!(LoadOption::parse(&bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn the_list_ends_where_its_length_says() {
        let mut bytes = option();
        // Two bytes short: the path then has no end.
        let length = u16::from_le_bytes([bytes[4], bytes[5]]) - 2;
        bytes[4..6].copy_from_slice(&length.to_le_bytes());
        assert_eq!(LoadOption::parse(&bytes), Err(Error::DevicePath(device_path::Error::NoEnd)));
    }

    #[test]
    fn what_is_not_active_or_no_boot_option_is_not_for_boot() {
        let path = Builder::new().file_path("a").finish().unwrap();
        for attributes in [0, ACTIVE | 0x100, HIDDEN] {
            let bytes = build(attributes, "", &path, &[]).unwrap();
            assert!(!LoadOption::parse(&bytes).unwrap().is_for_boot(), "{attributes:#x}");
        }
    }

    #[test]
    fn descriptions_steer_no_terminal() {
        let path = Builder::new().file_path("a").finish().unwrap();
        let bytes = build(ACTIVE, "a\u{1b}[2Jb", &path, &[]).unwrap();
        assert_eq!(LoadOption::parse(&bytes).unwrap().description(), "a\u{fffd}[2Jb");
    }

    #[test]
    fn the_order_is_of_whole_numbers() {
        assert_eq!(boot_order(&[1, 0, 0x1f, 0x0a, 7]).collect::<Vec<_>>(), [1, 0x0a1f]);
    }
}
