//! Widths, places and descriptors of the UEFI protocols.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use pci::Address;
use pci::access::{Resource, Width, describe, from_efi_address, to_efi_address};

#[test]
fn widths_say_what_moves() {
    let offsets = |width: u32| {
        let width = Width::new(width).unwrap();
        (width.size(), width.span(3).unwrap(), width.register_offset(2), width.buffer_offset(2))
    };
    assert_eq!([0, 1, 2, 3].map(offsets), [(1, 3, 2, 2), (2, 6, 4, 4), (4, 12, 8, 8), (8, 24, 16, 16)]);
    assert_eq!([4, 5, 6, 7].map(offsets), [(1, 1, 0, 2), (2, 2, 0, 4), (4, 4, 0, 8), (8, 8, 0, 16)]);
    assert_eq!([8, 9, 10, 11].map(offsets), [(1, 3, 2, 0), (2, 6, 4, 0), (4, 12, 8, 0), (8, 24, 16, 0)]);
    assert!(Width::new(12).is_none() && Width::new(u32::MAX).is_none());
    assert!(Width::plain(3).is_some() && Width::plain(4).is_none());
}

#[test]
fn spans_do_not_wrap() {
    let span = |width: u32, count| Width::new(width).unwrap().span(count);
    assert_eq!(span(3, usize::MAX / 8 + 1), None);
    assert_eq!(span(7, usize::MAX), Some(8));
    assert_eq!([span(0, 0), span(4, 0), span(11, 0)], [Some(0); 3]);
}

#[test]
fn addresses_have_an_extended_register() {
    let address = Address { bus: 3, device: 31, function: 7 };
    assert_eq!(from_efi_address(0x031f_0740), (address, 0x40));
    assert_eq!(from_efi_address(0x0000_0abc_031f_0740), (address, 0xabc));
    assert_eq!(from_efi_address(to_efi_address(address, 0xffc)), (address, 0xffc));
    assert_eq!(from_efi_address(to_efi_address(address, 0)), (address, 0));
}

#[test]
fn descriptors_are_those_of_acpi() {
    let number = |bytes: &[u8], at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let descriptor = |resource, start, bus_start, length| {
        let mut bytes = vec![1];
        describe(&mut bytes, resource, start, bus_start, length);
        assert_eq!(bytes.len(), 47);
        bytes[1..].to_vec()
    };
    let memory = Resource::memory(true, true);
    let bytes = descriptor(memory, 0x80_0000_0000, 0x1000_0000, 0x4000);
    assert_eq!(bytes[..6], [0x8a, 0x2b, 0, 0, 0, 6]);
    let numbers = [6, 14, 22, 30, 38].map(|at| number(&bytes, at));
    // The offset makes the bus's address of the CPU's.
    assert_eq!(numbers, [64, 0x80_0000_0000, 0x80_0000_3fff, 0x1000_0000_u64.wrapping_sub(0x80_0000_0000), 0x4000]);
    let low = Resource::memory(false, false);
    assert_eq!(descriptor(low, 0, 0, 1)[3..7], [0, 0, 0, 32]);
    assert_eq!(descriptor(Resource::IO, 0, 0, 1)[3..7], [1, 0, 0, 0]);
    assert_eq!(descriptor(Resource::BUS, 0, 0, 1)[3..7], [2, 0, 0, 0]);
}
