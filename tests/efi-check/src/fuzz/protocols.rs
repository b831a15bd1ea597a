//! Members of the firmware's protocols, with arguments that their specification lets a program pass.

use core::ptr;

use r_efi::efi;
use r_efi::protocols::{memory_attribute, rng, simple_text_input_ex};

use super::{Fuzz, SCRATCH};
use crate::env::{self, bs, locate};

impl Fuzz {
    pub(super) fn members(&mut self) {
        match self.random.below(4) {
            0 => self.output(),
            1 => self.input(),
            2 => self.attributes_of_memory(),
            _ => self.random_numbers(),
        }
    }

    fn output(&mut self) {
        let output = unsafe { (*env::table()).con_out };
        let number = |fuzz: &mut Self| fuzz.random.number() as usize;
        unsafe {
            match self.random.below(5) {
                0 => {
                    let (mut columns, mut rows) = (0, 0);
                    let _ = ((*output).query_mode)(output, number(self), &mut columns, &mut rows);
                }
                1 => {
                    let _ = ((*output).set_attribute)(output, number(self));
                    let _ = ((*output).set_attribute)(output, 7);
                }
                2 => {
                    let (column, row) = (number(self), number(self));
                    let _ = ((*output).set_cursor_position)(output, column, row);
                }
                3 => {
                    let _ = ((*output).enable_cursor)(output, self.random.often().into());
                }
                _ => {
                    let mut text = [0u16; 9];
                    for unit in text.iter_mut().take(8) {
                        *unit = self.random.number() as u16;
                    }
                    let _ = ((*output).test_string)(output, text.as_mut_ptr());
                }
            }
        }
    }

    fn input(&mut self) {
        let console = unsafe { (*env::table()).console_in_handle };
        let input: *mut simple_text_input_ex::Protocol = env::interface(console, &simple_text_input_ex::PROTOCOL_GUID);
        if input.is_null() {
            return;
        }
        unsafe {
            match self.random.below(3) {
                0 => {
                    let mut key = core::mem::zeroed::<simple_text_input_ex::KeyData>();
                    let _ = ((*input).read_key_stroke_ex)(input, &mut key);
                }
                1 => {
                    let mut state = self.random.next() as u8;
                    let _ = ((*input).set_state)(input, &mut state);
                }
                _ => {
                    let name = ptr::without_provenance_mut(self.random.number() as usize);
                    let _ = ((*input).unregister_key_notify)(input, name);
                }
            }
        }
    }

    /// Of a page of the program's own, which is left as it was.
    fn attributes_of_memory(&mut self) {
        let protocol: *mut memory_attribute::Protocol = locate(&memory_attribute::PROTOCOL_GUID);
        let mut page = 0;
        let any = efi::ALLOCATE_ANY_PAGES;
        let taken = unsafe { (bs().allocate_pages)(any, efi::LOADER_DATA, 1, &mut page) };
        if protocol.is_null() || taken.is_error() {
            return;
        }
        let all = efi::MEMORY_RO | efi::MEMORY_RP | efi::MEMORY_XP;
        let (length, mut is) = (if self.random.often() { 4096 } else { self.random.number() & 0xfff }, 0);
        let start = if self.random.often() { page } else { page + (self.random.number() & 0xfff) };
        let wanted = if self.random.often() { self.random.next() & all } else { self.random.number() };
        unsafe {
            let _ = ((*protocol).get_memory_attributes)(protocol, self.random.number(), self.random.number(), &mut is);
            // What is not the page alone is refused for its alignment or its length.
            let in_page = start != page || length <= 4096;
            if in_page {
                let _ = ((*protocol).set_memory_attributes)(protocol, start, length, wanted);
                let _ = ((*protocol).get_memory_attributes)(protocol, page, 4096, &mut is);
                let _ = ((*protocol).clear_memory_attributes)(protocol, page, 4096, all);
            }
            let _ = (bs().free_pages)(page, 1);
        }
    }

    fn random_numbers(&mut self) {
        let protocol: *mut rng::Protocol = locate(&rng::PROTOCOL_GUID);
        if protocol.is_null() {
            return;
        }
        let (mut algorithm, length) = (self.guid(), self.random.below(SCRATCH / 16));
        unsafe {
            let mut size = self.random.below(64);
            let list = self.out();
            let _ = ((*protocol).get_info)(protocol, &mut size, list);
            let chosen = if self.random.often() { ptr::null_mut() } else { &raw mut algorithm };
            let buffer = self.out();
            let _ = ((*protocol).get_rng)(protocol, chosen, length, buffer);
        }
    }
}
