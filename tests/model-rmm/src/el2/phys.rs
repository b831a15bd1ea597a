//! QEMU's RAM by physical address: the pages of the realm and its translation tables.

#![expect(unsafe_code, reason = "raw access to physical memory")]

use core::sync::atomic::{AtomicU64, Ordering};

use model_rmm::layout::{MODEL, QEMU_RAM};

/// What fills memory whose contents are undefined, so that nobody relies on zeros.
pub const UNDEFINED: u64 = 0xA5A5_A5A5_A5A5_A5A5;

static RAM_END: AtomicU64 = AtomicU64::new(0);

/// Tells where RAM ends.
pub fn set_ram_end(end: u64) {
    RAM_END.store(end, Ordering::Relaxed);
}

/// Panics unless `len` bytes at `pa` are RAM that the model itself does not live in.
fn check(pa: u64, len: usize) -> *mut u8 {
    let end = pa.saturating_add(len as u64);
    let ram = pa >= QEMU_RAM && end <= RAM_END.load(Ordering::Relaxed);
    let model = pa < MODEL.end && end > MODEL.start;
    assert!(ram && !model, "physical address {pa:#x} out of bounds");
    pa as *mut u8
}

/// Reads memory.
pub fn read(pa: u64, bytes: &mut [u8]) {
    let from = check(pa, bytes.len());
    // SAFETY: `check` says that the source is RAM outside this program, so it overlaps no Rust
    // object; the realm and devices may change it meanwhile, which makes torn bytes at worst.
    unsafe { core::ptr::copy_nonoverlapping(from, bytes.as_mut_ptr(), bytes.len()) }
}

/// Writes memory.
pub fn write(pa: u64, bytes: &[u8]) {
    let to = check(pa, bytes.len());
    // SAFETY: as for `read`, with the roles exchanged.
    unsafe { core::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len()) }
}

/// Fills the page at `pa` with a repeated word.
pub fn fill_page(pa: u64, word: u64) {
    let to = check(pa, 4096).cast::<u64>();
    assert!(pa.is_multiple_of(8));
    for index in 0..512 {
        // SAFETY: the 512 words of the page were checked to be RAM outside this program.
        unsafe { to.add(index).write_volatile(word) }
    }
}

/// Reads an aligned word, as a table walk does.
pub fn read_word(pa: u64) -> u64 {
    assert!(pa.is_multiple_of(8));
    // SAFETY: checked RAM outside this program, aligned.
    unsafe { check(pa, 8).cast::<u64>().read_volatile() }
}

/// Writes an aligned word at once, as a table walk expects.
pub fn write_word(pa: u64, word: u64) {
    assert!(pa.is_multiple_of(8));
    // SAFETY: checked RAM outside this program, aligned.
    unsafe { check(pa, 8).cast::<u64>().write_volatile(word) }
}
