//! Runtime services while boot services last, but for those that end something.

use core::ptr;

use r_efi::efi::{self, Boolean, CapsuleHeader, Guid, Status, Time};

use super::{Fuzz, SCRATCH};
use crate::env::rt;

const VENDOR: Guid = Guid::from_fields(0xf022_0002, 0x4a4b, 0x4c4d, 0x80, 0x81, &[1, 2, 3, 4, 5, 6]);
const NAMES: usize = 8;
/// What the variables may take together leaves room for those of other checks.
const LONGEST: usize = 4096;

fn name(index: usize) -> [u16; 3] {
    [u16::from(b'F'), u16::from(b'0') + index as u16, 0]
}

impl Fuzz {
    pub(super) fn runtime(&mut self) {
        match self.random.below(5) {
            0 | 1 => self.set_variable(),
            2 => self.get_variable(),
            3 => self.clock(),
            _ => self.other_runtime(),
        }
    }

    fn attributes(&mut self) -> u32 {
        if self.random.often() { self.random.below(8) as u32 } else { self.random.number() as u32 }
    }

    fn set_variable(&mut self) {
        let (mut name, mut vendor) = (name(self.random.below(NAMES)), VENDOR);
        let attributes = self.attributes();
        let size = if self.random.often() { self.random.below(LONGEST) } else { self.random.below(SCRATCH) };
        let data = self.out();
        let mut set = |size| unsafe { (rt().set_variable)(name.as_mut_ptr(), &mut vendor, attributes, size, data) };
        if set(size) == Status::SUCCESS && size > LONGEST {
            // Too much of it would leave nothing for the others.
            let _ = set(0);
        }
    }

    fn get_variable(&mut self) {
        let (mut name, mut vendor) = (name(self.random.below(NAMES)), VENDOR);
        let mut size = self.random.below(SCRATCH);
        let mut attributes = 0;
        let data = self.out();
        unsafe {
            let _ = (rt().get_variable)(name.as_mut_ptr(), &mut vendor, &mut attributes, &mut size, data);
            let mut size = self.random.below(64);
            // As many characters as the size says can be read; whether one is a NUL is open.
            let _ = (rt().get_next_variable_name)(&mut size, self.scratch.cast(), &mut vendor);
            let mut numbers = [0; 3];
            let [a, b, c] = &mut numbers;
            let _ = (rt().query_variable_info)(self.attributes(), a, b, c);
        }
    }

    fn clock(&mut self) {
        let mut time = Time::default();
        let (mut enabled, mut pending) = (Boolean::FALSE, Boolean::FALSE);
        unsafe {
            let _ = (rt().get_time)(&mut time, ptr::null_mut());
            // One field that may be wrong; the time itself stays about what it is.
            match self.random.below(5) {
                0 => time.month = self.random.next() as u8,
                1 => time.day = self.random.next() as u8,
                2 => time.hour = self.random.next() as u8,
                3 => time.timezone = self.random.next() as i16,
                _ => time.nanosecond = self.random.next() as u32,
            }
            if !(1..=12).contains(&time.month) || time.day > 31 || time.hour > 23 {
                let _ = (rt().set_time)(&mut time);
            }
            let _ = (rt().get_wakeup_time)(&mut enabled, &mut pending, self.out());
            let time = if self.random.often() { &raw mut time } else { ptr::null_mut() };
            let _ = (rt().set_wakeup_time)(self.random.often().into(), time);
        }
    }

    fn other_runtime(&mut self) {
        let mut header = CapsuleHeader {
            capsule_guid: self.guid(),
            header_size: self.random.number() as u32,
            flags: self.random.number() as u32,
            capsule_image_size: self.random.number() as u32,
        };
        let mut list = [&raw mut header, ptr::null_mut()];
        let count = self.random.below(3);
        let (mut size, mut kind) = (0, 0);
        unsafe {
            let _ = (rt().update_capsule)(list.as_mut_ptr(), count, self.random.number());
            let _ = (rt().query_capsule_capabilities)(list.as_mut_ptr(), count, &mut size, &mut kind);
            let mut pointer = ptr::without_provenance_mut(self.random.number() as usize);
            let _ = (rt().convert_pointer)(self.random.below(3), &mut pointer);
            let (size, version) = (self.random.below(SCRATCH), self.random.below(3) as u32);
            let map: *mut efi::MemoryDescriptor = self.scratch.cast();
            let _ = (rt().set_virtual_address_map)(size, self.random.below(64), version, map);
            let high = self.out();
            let _ = (rt().get_next_high_mono_count)(high);
        }
    }

    pub(super) fn forget_variables(&mut self) {
        for index in 0..NAMES {
            let (mut name, mut vendor) = (name(index), VENDOR);
            unsafe {
                let _ = (rt().set_variable)(name.as_mut_ptr(), &mut vendor, 0, 0, ptr::null_mut());
            }
        }
    }
}
