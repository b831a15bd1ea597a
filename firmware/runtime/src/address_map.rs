//! The map that `SetVirtualAddressMap()` gets (UEFI 2.10, section 8.4).

use core::mem::size_of;

use r_efi::efi;

const PAGE_SHIFT: u32 = 12;
const PAGE_MASK: u64 = 0xfff;

const PHYSICAL_START: usize = 8;
const VIRTUAL_START: usize = 16;
const NUMBER_OF_PAGES: usize = 24;
const ATTRIBUTE: usize = 32;

/// Why a map is refused; each is the EFI status of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The size or version of the descriptors is not one that can be.
    InvalidParameter,
    /// An address that needs one has no virtual address.
    NoMapping,
}

/// An array of `EFI_MEMORY_DESCRIPTOR`.
#[derive(Clone, Copy, Debug)]
pub struct AddressMap<'a> {
    bytes: &'a [u8],
    descriptor_size: usize,
}

impl<'a> AddressMap<'a> {
    /// The map in `bytes`, whose descriptors are `descriptor_size` bytes apart.
    ///
    /// # Errors
    /// [`Error::InvalidParameter`].
    pub fn new(bytes: &'a [u8], descriptor_size: usize, version: u32) -> Result<Self, Error> {
        if descriptor_size < size_of::<efi::MemoryDescriptor>()
            || !descriptor_size.is_multiple_of(8)
            || version != efi::MEMORY_DESCRIPTOR_VERSION
        {
            return Err(Error::InvalidParameter);
        }
        Ok(Self { bytes, descriptor_size })
    }

    /// The virtual address of `address`.
    ///
    /// # Errors
    /// [`Error::NoMapping`] if no descriptor with `EFI_MEMORY_RUNTIME` has it.
    pub fn convert(&self, address: u64) -> Result<u64, Error> {
        let mut rest = self.bytes;
        while let Some((descriptor, next)) = rest.split_at_checked(self.descriptor_size) {
            if let Some(converted) = convert_by(descriptor, address) {
                return Ok(converted);
            }
            rest = next;
        }
        Err(Error::NoMapping)
    }

    /// Converts every address in `addresses`; zero stays zero.
    ///
    /// # Errors
    /// [`Error::NoMapping`]; `addresses` is then worthless.
    pub fn convert_all(&self, addresses: &mut [u64]) -> Result<(), Error> {
        for address in addresses.iter_mut().filter(|address| **address != 0) {
            *address = self.convert(*address)?;
        }
        Ok(())
    }

    /// Checks that the `size` bytes from `start` on move as one piece and by whole pages, without
    /// which code does not find its data any more.
    ///
    /// # Errors
    /// [`Error::NoMapping`].
    pub fn check_moves_whole(&self, start: u64, size: u64) -> Result<(), Error> {
        let distance = self.convert(start)?.wrapping_sub(start);
        let mut offset = 0;
        while offset < size {
            let address = start.wrapping_add(offset);
            if self.convert(address)?.wrapping_sub(address) != distance {
                return Err(Error::NoMapping);
            }
            offset = offset.saturating_add(1 << PAGE_SHIFT);
        }
        if distance & PAGE_MASK == 0 { Ok(()) } else { Err(Error::NoMapping) }
    }
}

fn convert_by(descriptor: &[u8], address: u64) -> Option<u64> {
    let field = |offset| {
        let (bytes, _) = descriptor.get(offset..)?.split_first_chunk()?;
        Some(u64::from_le_bytes(*bytes))
    };
    let offset = address.checked_sub(field(PHYSICAL_START)?)?;
    (field(ATTRIBUTE)? & efi::MEMORY_RUNTIME != 0 && offset >> PAGE_SHIFT < field(NUMBER_OF_PAGES)?)
        .then_some(field(VIRTUAL_START)?.wrapping_add(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: usize = 48;

    fn map(entries: &[(u64, u64, u64, u64)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (physical, virt, pages, attribute) in entries {
            for word in [5, *physical, *virt, *pages, *attribute, 0x5555] {
                bytes.extend(word.to_le_bytes());
            }
        }
        bytes
    }

    const RUNTIME: u64 = efi::MEMORY_RUNTIME | efi::MEMORY_WB;

    #[test]
    fn only_runtime_descriptors_convert_and_to_their_last_byte() {
        let bytes = map(&[
            (0x1000, 0x9000, 0x100, efi::MEMORY_WB),
            (0x4000, 0xffff_0000_0000_0000, 2, RUNTIME),
            (0x8000, 0x2_0000, u64::MAX, RUNTIME),
        ]);
        let map = AddressMap::new(&bytes, SIZE, 1).unwrap();
        assert_eq!(map.convert(0x3fff), Err(Error::NoMapping));
        assert_eq!(map.convert(0x4000), Ok(0xffff_0000_0000_0000));
        assert_eq!(map.convert(0x5fff), Ok(0xffff_0000_0000_1fff));
        assert_eq!(map.convert(0x6000), Err(Error::NoMapping));
        assert_eq!(map.convert(0x8010), Ok(0x2_0010));
        assert_eq!(map.convert(u64::MAX), Ok((u64::MAX - 0x8000).wrapping_add(0x2_0000)));
    }

    #[test]
    fn a_partial_descriptor_at_the_end_is_no_descriptor() {
        let bytes = map(&[(0x4000, 0x1_4000, 1, RUNTIME)]);
        let whole = AddressMap::new(&bytes, SIZE, 1).unwrap();
        assert_eq!(whole.convert(0x4000), Ok(0x1_4000));
        let cut = AddressMap::new(&bytes[..SIZE - 1], SIZE, 1).unwrap();
        assert_eq!(cut.convert(0x4000), Err(Error::NoMapping));
    }

    #[test]
    fn descriptor_size_and_version_are_checked() {
        for (size, version) in [(0, 1), (39, 1), (44, 1), (32, 1), (48, 0), (48, 2)] {
            let result = AddressMap::new(&[], size, version);
            assert_eq!(result.err(), Some(Error::InvalidParameter), "{size} {version}");
        }
        assert!(AddressMap::new(&[], 40, 1).is_ok());
    }

    #[test]
    fn all_convert_or_it_is_an_error() {
        let bytes = map(&[(0x4000, 0x1_4000, 1, RUNTIME)]);
        let map = AddressMap::new(&bytes, SIZE, 1).unwrap();
        let mut addresses = [0x4008, 0, 0x4fff];
        assert_eq!(map.convert_all(&mut addresses), Ok(()));
        assert_eq!(addresses, [0x1_4008, 0, 0x1_4fff]);
        assert_eq!(map.convert_all(&mut [0x4008, 0x5000]), Err(Error::NoMapping));
    }

    #[test]
    fn a_region_moves_whole_or_not_at_all() {
        let check = |entries: &[_]| {
            let bytes = map(entries);
            AddressMap::new(&bytes, SIZE, 1).unwrap().check_moves_whole(0x4000, 0x3000)
        };
        assert_eq!(check(&[(0x4000, 0x1_4000, 3, RUNTIME)]), Ok(()));
        assert_eq!(check(&[(0x5000, 0x1_5000, 2, RUNTIME), (0x4000, 0x1_4000, 1, RUNTIME)]), Ok(()));
        assert_eq!(check(&[(0x5000, 0x1_6000, 2, RUNTIME), (0x4000, 0x1_4000, 1, RUNTIME)]), Err(Error::NoMapping));
        assert_eq!(check(&[(0x4000, 0x1_4000, 2, RUNTIME)]), Err(Error::NoMapping));
        assert_eq!(check(&[(0x4000, 0x1_4008, 3, RUNTIME)]), Err(Error::NoMapping));
    }
}
