//! The addresses in a runtime driver, remembered in runtime memory for `SetVirtualAddressMap()`.
#![expect(unsafe_code, reason = "keeps an array in pool memory")]

use alloc::vec::Vec;
use core::ptr::NonNull;

use formats::pe;
use r_efi::efi::{self, Status};
use runtime_abi::Fixup;

use super::super::services;
use super::load::LoadError;

/// The fixups of one image, freed with the value.
#[derive(Debug)]
pub struct Fixups {
    start: NonNull<Fixup>,
    count: usize,
}

// SAFETY: the pool memory is owned by this value, and pool memory belongs to no thread.
unsafe impl Send for Fixups {}

impl Fixups {
    /// Relocates the image in `memory` to run at `base`, and remembers where its addresses are.
    pub fn relocate(image: &pe::Image, memory: &mut [u8], base: u64) -> Result<Self, LoadError> {
        let mut offsets = Vec::new();
        let mut complete = true;
        image.relocate_noting(memory, base, |offset| {
            complete &= offsets.try_reserve(1).is_ok();
            if complete {
                offsets.push(offset);
            }
        })?;
        if !complete {
            return Err(Status::OUT_OF_RESOURCES.into());
        }
        let size = offsets.len().saturating_mul(size_of::<Fixup>());
        let start = services::allocate_pool(efi::RUNTIME_SERVICES_DATA, size)?.cast::<Fixup>();
        for (index, offset) in offsets.iter().enumerate() {
            let value = memory.get(*offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default();
            let fixup = Fixup { place: base.saturating_add(*offset as u64), value: u64::from_le_bytes(value) };
            // SAFETY: the allocation has room for as many, and pool memory is 8-byte aligned.
            unsafe { start.add(index).write(fixup) };
        }
        Ok(Self { start, count: offsets.len() })
    }

    /// Where they are, and how many.
    pub fn list(&self) -> (*const Fixup, usize) {
        (self.start.as_ptr(), self.count)
    }
}

impl Drop for Fixups {
    fn drop(&mut self) {
        // It was allocated here; a client that has freed it has freed it.
        let _ = services::free_pool(self.start.as_ptr().cast());
    }
}
