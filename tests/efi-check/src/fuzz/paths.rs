//! Services that take device paths or lists of protocols.

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{self, Status};
use r_efi::protocols::{device_path, device_path_utilities};

use super::Fuzz;
use crate::env::{self, bs, free};

const LONGEST_NODE: usize = 40;

impl Fuzz {
    /// A path of some nodes of any kind, well formed, in the scratch memory.
    pub(super) fn path(&mut self) -> *mut device_path::Protocol {
        let mut at = 0;
        let mut put = |byte: u8| {
            unsafe { self.scratch.wrapping_add(at).write(byte) };
            at += 1;
        };
        for _ in 0..self.random.below(5) {
            let length = 4 + self.random.below(LONGEST_NODE - 4);
            // Of all kinds but the end, and some that do not exist.
            put(1 + self.random.below(7) as u8);
            put(self.random.below(32) as u8);
            put(length as u8);
            put(0);
            for _ in 4..length {
                put(self.random.next() as u8);
            }
            if self.random.below(8) == 0 {
                [0x7f, 1, 4, 0].into_iter().for_each(&mut put);
            }
        }
        [0x7f, 0xff, 4, 0].into_iter().for_each(&mut put);
        self.scratch.cast()
    }

    pub(super) fn device_path(&mut self) {
        let path = self.path();
        let (handle, mut guid) = (self.handle(), self.guid());
        if self.random.often() {
            guid = device_path::PROTOCOL_GUID;
        }
        unsafe {
            match self.random.below(4) {
                0 => {
                    let mut rest = if self.random.often() { path } else { ptr::null_mut() };
                    let mut found = ptr::null_mut();
                    let _ = (bs().locate_device_path)(&mut guid, &mut rest, &mut found);
                }
                1 => {
                    let recursive = self.random.often().into();
                    let _ = (bs().connect_controller)(handle, ptr::null_mut(), path, recursive);
                }
                2 => {
                    let mut image = ptr::null_mut();
                    let policy = self.random.often().into();
                    let _ = (bs().load_image)(policy, env::image(), path, ptr::null_mut(), 0, &mut image);
                }
                _ => self.utilities(path),
            }
        }
    }

    fn utilities(&mut self, path: *mut device_path::Protocol) {
        let protocol: *mut device_path_utilities::Protocol = env::locate(&device_path_utilities::PROTOCOL_GUID);
        if protocol.is_null() {
            return;
        }
        let other = if self.random.often() { path } else { ptr::null_mut() };
        let length = if self.random.often() { self.random.below(64) } else { 0xffff } as u16;
        unsafe {
            let u = &*protocol;
            let made = match self.random.below(7) {
                0 => {
                    let _ = (u.get_device_path_size)(other);
                    let _ = (u.is_device_path_multi_instance)(other);
                    ptr::null_mut()
                }
                1 => (u.duplicate_device_path)(other),
                2 => (u.append_device_path)(path, other),
                3 => (u.append_device_node)(path, other),
                4 => (u.append_device_path_instance)(path, other),
                5 => {
                    let (mut rest, mut size) = (other, 0);
                    (u.get_next_device_path_instance)(&mut rest, &mut size)
                }
                _ => (u.create_device_node)(self.random.next() as u8, self.random.next() as u8, length),
            };
            if !made.is_null() {
                free(made.cast());
            }
        }
    }

    /// Some pairs of the program's protocols, installed on one handle and taken off it again.
    pub(super) fn multiple(&mut self) {
        let guids = [self.guid(), self.guid(), self.guid()];
        let interfaces: [*mut c_void; 3] = [self.interface(), self.interface(), self.interface()];
        let mut handle = if self.random.often() { ptr::null_mut() } else { self.handle() };
        let id = |index: usize| (&raw const guids[index]).cast_mut().cast::<c_void>();
        let end: *mut c_void = ptr::null_mut();
        type Install = unsafe extern "efiapi" fn(
            *mut efi::Handle,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
        ) -> Status;
        type Uninstall = unsafe extern "efiapi" fn(
            efi::Handle,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
            *mut c_void,
        ) -> Status;
        unsafe {
            let install: Install = core::mem::transmute(bs().install_multiple_protocol_interfaces as *const ());
            let uninstall: Uninstall = core::mem::transmute(bs().uninstall_multiple_protocol_interfaces as *const ());
            let [a, b, c] = interfaces;
            let is = install(&mut handle, id(0), a, id(1), b, id(2), c, end);
            if is == Status::SUCCESS || self.random.below(4) == 0 {
                let _ = uninstall(handle, id(0), a, id(1), b, id(2), c, end);
            }
        }
    }
}
