//! QEMU's plugin interface, version 1, as QEMU 7.2 has it.
//!
//! Source: QEMU documentation, "QEMU TCG Plugins".

#![expect(unsafe_code, reason = "the interface is that of a C program")]

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::ptr;

/// The version of the interface that this is written for.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = 1;

#[repr(C)]
struct RawBlock {
    _opaque: [u8; 0],
}

#[repr(C)]
struct RawInstruction {
    _opaque: [u8; 0],
}

/// QEMU_PLUGIN_INLINE_ADD_U64.
const INLINE_ADD_U64: c_int = 0;
/// QEMU_PLUGIN_CB_NO_REGS.
const CB_NO_REGS: c_int = 0;

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, callback: extern "C" fn(u64, *mut RawBlock));
    fn qemu_plugin_register_vcpu_tb_exec_cb(
        block: *mut RawBlock,
        callback: extern "C" fn(c_uint, *mut c_void),
        flags: c_int,
        user_data: *mut c_void,
    );
    fn qemu_plugin_register_vcpu_insn_exec_inline(
        instruction: *mut RawInstruction,
        operation: c_int,
        value: *mut c_void,
        operand: u64,
    );
    fn qemu_plugin_tb_n_insns(block: *const RawBlock) -> usize;
    fn qemu_plugin_tb_vaddr(block: *const RawBlock) -> u64;
    fn qemu_plugin_tb_get_insn(block: *const RawBlock, index: usize) -> *mut RawInstruction;
    fn qemu_plugin_insn_data(instruction: *const RawInstruction) -> *const c_void;
    fn qemu_plugin_insn_size(instruction: *const RawInstruction) -> usize;
    fn _exit(status: c_int) -> !;
}

/// A number that QEMU's generated code adds to. It lives as long as QEMU does.
#[derive(Clone, Copy)]
pub struct Counter(*mut u64);

// SAFETY: the pointer is to leaked memory, so it is valid in every thread. Only the thread of the
// one CPU writes to it, and it reads it only itself, in the callback that ends QEMU.
unsafe impl Send for Counter {}

impl Counter {
    /// A counter at zero.
    pub fn new() -> Self {
        Self(Box::into_raw(Box::new(0)))
    }

    /// Its value.
    pub fn get(self) -> u64 {
        // SAFETY: the memory was allocated in `new` and is never freed; the only writer is the
        // generated code of the CPU whose thread this runs on.
        unsafe { ptr::read_volatile(self.0) }
    }
}

/// A block that QEMU is about to use for the first time.
pub struct TranslatedBlock(*mut RawBlock);

impl TranslatedBlock {
    /// Its virtual address.
    pub fn address(&self) -> u64 {
        // SAFETY: QEMU gave the pointer to the translation callback, which has not returned yet.
        unsafe { qemu_plugin_tb_vaddr(self.0) }
    }

    fn each(&self) -> impl Iterator<Item = *mut RawInstruction> + '_ {
        // SAFETY: as in `address`.
        let count = unsafe { qemu_plugin_tb_n_insns(self.0) };
        // SAFETY: as in `address`, and the index is below the count.
        (0..count).map(|index| unsafe { qemu_plugin_tb_get_insn(self.0, index) })
    }

    /// The bytes of its instructions.
    pub fn instructions(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for instruction in self.each() {
            // SAFETY: QEMU gives the address and the length of bytes that live as long as the
            // callback runs, and nobody writes to them.
            let data = unsafe {
                std::slice::from_raw_parts(
                    qemu_plugin_insn_data(instruction).cast::<u8>(),
                    qemu_plugin_insn_size(instruction),
                )
            };
            bytes.extend_from_slice(data);
        }
        bytes
    }

    /// Adds one to the counter with each of its instructions.
    pub fn count_instructions(&self, counter: Counter) {
        for instruction in self.each() {
            // SAFETY: the instruction is of the block of the running callback; the counter is
            // never freed, so that the generated code may use it as long as it exists.
            unsafe {
                qemu_plugin_register_vcpu_insn_exec_inline(instruction, INLINE_ADD_U64, counter.0.cast(), 1);
            }
        }
    }

    /// Writes the result when the block is executed, and ends QEMU unless the guest is to go on.
    pub fn report_when_reached(&self) {
        // SAFETY: the block is that of the running callback; `entered` ignores its user data.
        unsafe {
            qemu_plugin_register_vcpu_tb_exec_cb(self.0, entered, CB_NO_REGS, ptr::null_mut());
        }
    }
}

/// What QEMU calls when it has loaded the plugin.
///
/// # Safety
/// `arguments` points to `count` C strings.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _info: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let count = usize::try_from(count).unwrap_or(0);
    let arguments = (0..count).map(|index| {
        // SAFETY: QEMU's interface gives `count` pointers to terminated strings, which it keeps.
        unsafe { CStr::from_ptr(*arguments.add(index)) }.to_str().unwrap_or_default()
    });
    if let Err(error) = crate::install(arguments) {
        eprintln!("{error}");
        return -1;
    }
    // SAFETY: `id` is that of this plugin, and `translate` has the type that QEMU calls.
    unsafe { qemu_plugin_register_vcpu_tb_trans_cb(id, translate) };
    0
}

extern "C" fn translate(_id: u64, block: *mut RawBlock) {
    crate::translated(&TranslatedBlock(block));
}

extern "C" fn entered(_cpu: c_uint, _user_data: *mut c_void) {
    let status = match crate::reached() {
        Ok(true) => return,
        Ok(false) => 0,
        Err(error) => {
            eprintln!("{error}");
            1
        }
    };
    // SAFETY: it takes no memory. `exit` would run QEMU's own handlers on the wrong thread.
    unsafe { _exit(status) }
}
