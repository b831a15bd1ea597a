//! What the protocols share at the ABI edge: strings behind raw pointers, and memory that callers free.
#![expect(unsafe_code, reason = "EFI images pass strings and device paths as raw pointers")]

use core::marker::PhantomData;
use core::ptr;

use r_efi::efi;

use super::super::services;

/// A copy in pool memory for a caller to free, or null.
pub fn hand_out<T: Copy>(values: &[T]) -> *mut u8 {
    let length = size_of_val(values);
    // No bytes would still be a buffer to free.
    let Ok(memory) = services::allocate_pool(efi::BOOT_SERVICES_DATA, length.max(1)) else { return ptr::null_mut() };
    // SAFETY: the allocation just made has at least this length and is nobody else's; nothing that is handed out has
    // padding.
    unsafe { ptr::copy_nonoverlapping(values.as_ptr().cast(), memory.as_ptr(), length) };
    memory.as_ptr()
}

/// A NUL-terminated UCS-2 string of a caller.
#[derive(Clone, Copy)]
pub struct Char16String<'a> {
    start: *const u16,
    caller: PhantomData<&'a [u16]>,
}

impl<'a> Char16String<'a> {
    /// Wraps a pointer; `None` if it is null.
    ///
    /// # Safety
    /// A pointer that is not null points to UCS-2 units up to a NUL, readable for the lifetime of
    /// the value. It need not be aligned.
    pub unsafe fn new(start: *const u16) -> Option<Self> {
        (!start.is_null()).then_some(Self { start, caller: PhantomData })
    }

    /// The units before the NUL.
    pub fn units(self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        let mut next = self.start;
        core::iter::from_fn(move || {
            // SAFETY: `new` was promised units up to a NUL, and `next` never passes it: it moves
            // on only from a unit that was not NUL.
            let unit = unsafe { next.read_unaligned() };
            if unit == 0 {
                return None;
            }
            next = next.wrapping_add(1);
            Some(unit)
        })
        .fuse()
    }
}
