//! A word to a UART that no page table reaches.
#![expect(unsafe_code, reason = "leaves Rust for an assembly symbol")]

use super::cache;

unsafe extern "C" {
    /// Sends the bytes from `text` to `end` to the UART at `uart` with the MMU off, and powers off.
    fn early_say(uart: u64, text: *const u8, end: *const u8) -> !;
}

/// Sends `text` to the UART at `uart`, any address, with the MMU off, and powers off. In a realm only.
pub fn say_without_mmu(uart: u64, text: &str) -> ! {
    let bytes = text.as_bytes().as_ptr_range();
    // What is still in the caches is not seen with the MMU off.
    cache::clean_invalidate(bytes.start.addr() as u64..bytes.end.addr() as u64);
    // SAFETY: the symbol is boot-asm's; it runs at EL1, where a realm is, reads the bytes given and never returns.
    unsafe { early_say(uart, bytes.start, bytes.end) }
}
