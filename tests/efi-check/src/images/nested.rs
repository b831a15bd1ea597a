//! Images that start images.

use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use r_efi::efi::{Char16, Handle, Status, SystemTable};

use super::{exit_with, loaded, start};
use crate::env::{self, bs};
use crate::pe::{self, APPLICATION};
use crate::report::{check, equal, status};

const DEPTH: usize = 5;

static LEVEL: AtomicUsize = AtomicUsize::new(0);
static REFUSED: AtomicUsize = AtomicUsize::new(0);
static OUTER: AtomicPtr<core::ffi::c_void> = AtomicPtr::new(ptr::null_mut());

/// Starts another like itself until the depth is reached; odd levels exit, even ones return.
extern "efiapi" fn descends(handle: Handle, _table: *mut SystemTable) -> Status {
    let level = LEVEL.fetch_add(1, Ordering::Relaxed);
    let below = if level + 1 < DEPTH {
        let mut file = pe::build(descends, APPLICATION);
        let child = loaded(&mut file);
        let (mut size, mut data) = (0usize, ptr::null_mut::<Char16>());
        let status = unsafe { (bs().start_image)(child, &mut size, &mut data) };
        if !data.is_null() {
            env::free(data.cast());
        }
        status.as_usize()
    } else {
        0
    };
    let status = Status::from_usize(below * 10 + level + 1);
    if level % 2 == 1 {
        exit_with(handle, status, &[0x30, 0]);
    }
    status
}

/// Tries to end the image that has started it.
extern "efiapi" fn ends_another(_handle: Handle, _table: *mut SystemTable) -> Status {
    let outer = OUTER.load(Ordering::Relaxed);
    let status = unsafe { (bs().exit)(outer, Status::SUCCESS, 0, ptr::null_mut()) };
    REFUSED.store(status.as_usize(), Ordering::Relaxed);
    Status::SUCCESS
}

pub fn run() {
    LEVEL.store(0, Ordering::Relaxed);
    let mut file = pe::build(descends, APPLICATION);
    let handle = loaded(&mut file);
    equal("StartImage: five deep", start(handle), Status::from_usize(54321));
    equal("StartImage: five ran", LEVEL.load(Ordering::Relaxed), DEPTH);
    OUTER.store(env::image(), Ordering::Relaxed);
    let mut file = pe::build(ends_another, APPLICATION);
    let handle = loaded(&mut file);
    status("StartImage: returns to this program", start(handle), Status::SUCCESS);
    let is = Status::from_usize(REFUSED.load(Ordering::Relaxed));
    status("Exit: of an image that waits", is, Status::INVALID_PARAMETER);
    check("Exit: this program goes on", !super::information(env::image()).is_null());
}
