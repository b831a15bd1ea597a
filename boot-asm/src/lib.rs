//! Entry, relocation and exception vectors: what Rust cannot do.
//!
//! The image begins with an arm64 Image header, so that any VMM can load it: as a ROM, as firmware in RAM or as
//! a kernel. The entry code runs at the address it finds itself at, moves the image into RAM when it is in a ROM,
//! applies its relocations, maps it with the permissions of its sections, turns the MMU on and calls
//! [`realmfw_main`](StartInfo).
#![no_std]
#![expect(unsafe_code, reason = "this crate is assembly and the symbols around it")]

#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod vectors;

/// Bytes of the early page-table area that the entry code has used: one table for each of the four levels.
pub const ENTRY_TABLES: usize = 4;

/// The memory attribute indirection register: attribute index to memory type.
///
/// Arm ARM, MAIR_EL1. Index 0 Device-nGnRnE (EFI_MEMORY_UC), 1 Normal non-cacheable (WC), 2 Normal write-through
/// (WT), 3 Normal write-back (WB): the mapping of the UEFI specification, 2.3.6.1.
pub const MAIR: u64 = 0xff_bb_44_00;

/// Where QEMU and cloud-hypervisor have their UART, a PL011: the guess while no device tree has been read.
pub const DEFAULT_UART: u64 = 0x0900_0000;
/// Where kvmtool has its own, a 16550.
pub const DEFAULT_UART_KVMTOOL: u64 = 0x0100_0000;

/// What the entry code hands to `realmfw_main`.
#[derive(Debug)]
#[repr(C)]
pub struct StartInfo {
    /// What the VMM passed in x0: a device tree's address, or 0.
    pub x0: u64,
    /// Where the image was entered.
    pub entered_at: u64,
    /// 1 when an RMM answered RSI_VERSION: the image runs in a realm, and its own memory has been accepted.
    pub realm: u64,
    /// Keeps the structure a multiple of 16 bytes on the stack.
    pub padding: u64,
}

/// The general registers at an exception, as the vectors save them.
#[derive(Debug)]
#[repr(C)]
pub struct ExceptionFrame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer of the interrupted code.
    pub sp: u64,
    /// ELR_ELx: where the exception was taken.
    pub elr: u64,
    /// SPSR_ELx.
    pub spsr: u64,
    /// ESR_ELx.
    pub esr: u64,
    /// FAR_ELx.
    pub far: u64,
    /// Which of the sixteen vectors was taken.
    pub vector: u64,
    /// Keeps the frame a multiple of 16 bytes.
    pub padding: u64,
}

/// Addresses of the image's parts in memory, from the linker script.
pub mod layout {
    macro_rules! symbols {
        ($($(#[$doc:meta])* $name:ident = $symbol:ident;)*) => {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name() -> u64 {
                    unsafe extern "C" {
                        static $symbol: u8;
                    }
                    // SAFETY: the symbol comes from the linker script and only its address is taken.
                    (&raw const $symbol) as u64
                }
            )*
        };
    }

    symbols! {
        /// First byte of the image: its arm64 Image header.
        image_start = __image_start;
        /// End of the code.
        text_end = __text_end;
        /// End of the read-only data.
        rodata_end = __rodata_end;
        /// End of what the flat file holds.
        file_end = __file_end;
        /// End of all memory that belongs to the image.
        image_end = __image_end;
        /// First of the early page tables; the entry code has used [`super::ENTRY_TABLES`] of them.
        early_tables = __early_tables;
        /// End of the early page tables.
        early_tables_end = __early_tables_end;
        /// The heap.
        heap_start = __heap_start;
        /// End of the heap.
        heap_end = __heap_end;
        /// The unmapped page under the fault stack.
        fault_stack_guard = __fault_stack_guard;
        /// The unmapped page under the stack.
        stack_guard = __stack_guard;
        /// Where the stack begins, growing down.
        stack_top = __stack_top;
    }
}
