//! Image header, entry, relocation, vectors, and accesses that are expected to fault.

#![expect(unsafe_code, reason = "entry points and accesses that fault on purpose")]

use core::arch::global_asm;
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::{checks, console};

// The vectors serve one purpose: while `tpidr_el1` is 1, an exception makes the probe that is
// under way return to its caller with the syndrome in x1. Any other exception is the end.
global_asm!(
    r#"
    .section .text.head, "ax"
    .global image_start
image_start:
    b       1f
    .long   0
    .quad   0                       // text_offset
    .quad   image_end               // image_size: the file holds .bss and the stacks
    .quad   0b1010                  // anywhere, 4 KiB pages
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0
1:  mov     x19, x0
    adr     x20, image_start
    adrp    x1, rela_start
    add     x1, x1, :lo12:rela_start
    adrp    x2, rela_end
    add     x2, x2, :lo12:rela_end
2:  cmp     x1, x2
    b.hs    3f
    ldp     x3, x4, [x1], #16
    ldr     x5, [x1], #8
    cmp     w4, #1027               // R_AARCH64_RELATIVE
    b.ne    2b
    add     x5, x5, x20
    str     x5, [x20, x3]
    b       2b
3:  adrp    x1, stack_top
    add     x1, x1, :lo12:stack_top
    mov     sp, x1
    adrp    x1, vectors
    add     x1, x1, :lo12:vectors
    msr     vbar_el1, x1
    msr     tpidr_el1, xzr
    isb
    mov     x0, x19
    bl      payload_main
    b       .

    .global second_start
second_start:
    // What is in the other registers, all together, goes on in x1.
    orr     x1, x1, x2
    orr     x1, x1, x3
    orr     x1, x1, x4
    orr     x1, x1, x5
    orr     x1, x1, x6
    orr     x1, x1, x7
    orr     x1, x1, x8
    orr     x1, x1, x9
    orr     x1, x1, x10
    orr     x1, x1, x11
    orr     x1, x1, x12
    orr     x1, x1, x13
    orr     x1, x1, x14
    orr     x1, x1, x15
    orr     x1, x1, x16
    orr     x1, x1, x17
    orr     x1, x1, x18
    orr     x1, x1, x19
    orr     x1, x1, x20
    orr     x1, x1, x21
    orr     x1, x1, x22
    orr     x1, x1, x23
    orr     x1, x1, x24
    orr     x1, x1, x25
    orr     x1, x1, x26
    orr     x1, x1, x27
    orr     x1, x1, x28
    orr     x1, x1, x29
    orr     x1, x1, x30
    adrp    x2, second_stack_top
    add     x2, x2, :lo12:second_stack_top
    mov     sp, x2
    adrp    x2, vectors
    add     x2, x2, :lo12:vectors
    msr     vbar_el1, x2
    isb
    bl      second_main
    b       .

    .macro PROBE name, instruction:vararg
    .global \name
\name:
    mov     x9, x0
    mov     x2, #1
    msr     tpidr_el1, x2
    isb
    mov     x10, x30
    bl      3f
    msr     tpidr_el1, xzr
    ret     x10
3:  \instruction
    mov     x1, #0
    ret
    .endm

    PROBE   probe_load, ldr w0, [x9]
    PROBE   probe_store, str wzr, [x9]
    PROBE   probe_load_pair, ldp w0, w2, [x9]
    PROBE   probe_load_write_back, ldr w0, [x9], #4
    PROBE   probe_hvc, hvc #0
    // CPUACTLR_EL1 of several CPUs of Arm: op1, CRn = 1, 15 are for the implementation.
    PROBE   probe_implementation_defined, mrs x0, S3_1_C15_C2_0
    PROBE   probe_counters, mrs x0, pmcr_el0
    // rdvl x0, #1, by its encoding.
    PROBE   probe_vector_length, .inst 0x04bf5020

    // probe_translated(address): a load with the MMU on.
    .global probe_translated
probe_translated:
    mov     x9, x0
    mov     x2, #1
    msr     tpidr_el1, x2
    mov     x10, x30
    mrs     x12, sctlr_el1
    orr     x13, x12, #1
    dsb     sy
    tlbi    vmalle1
    dsb     sy
    isb
    msr     sctlr_el1, x13
    isb
    bl      3f
    msr     sctlr_el1, x12
    isb
    msr     tpidr_el1, xzr
    ret     x10
3:  ldr     w0, [x9]
    mov     x1, #0
    ret

    // smc_all(registers): x0 to x17 from there and back.
    .global smc_all
smc_all:
    stp     x19, x30, [sp, #-16]!
    mov     x19, x0
    ldp     x0, x1, [x19]
    ldp     x2, x3, [x19, #16]
    ldp     x4, x5, [x19, #32]
    ldp     x6, x7, [x19, #48]
    ldp     x8, x9, [x19, #64]
    ldp     x10, x11, [x19, #80]
    ldp     x12, x13, [x19, #96]
    ldp     x14, x15, [x19, #112]
    ldp     x16, x17, [x19, #128]
    smc     #0
    stp     x0, x1, [x19]
    stp     x2, x3, [x19, #16]
    stp     x4, x5, [x19, #32]
    stp     x6, x7, [x19, #48]
    stp     x8, x9, [x19, #64]
    stp     x10, x11, [x19, #80]
    stp     x12, x13, [x19, #96]
    stp     x14, x15, [x19, #112]
    stp     x16, x17, [x19, #128]
    ldp     x19, x30, [sp], #16
    ret

    .global probe_fetch
probe_fetch:
    mov     x9, x0
    mov     x2, #1
    msr     tpidr_el1, x2
    isb
    mov     x10, x30
    mov     x1, #0
    blr     x9
    msr     tpidr_el1, xzr
    ret     x10

    .balign 2048
vectors:
    .rept   4
    b       4f
    .balign 128
    .endr
    // Synchronous, EL1 with its own stack: the only one that a probe may end in.
    b       exception
    .balign 128
    .rept   11
    b       4f
    .balign 128
    .endr
exception:
    mrs     x11, tpidr_el1
    cbz     x11, 4f
    mov     x0, #-1
    mrs     x1, esr_el1
    msr     elr_el1, x30
    isb
    eret
4:  mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    bl      unexpected
    b       .
    "#
);

#[repr(C)]
struct Outcome {
    value: u64,
    syndrome: u64,
}

unsafe extern "C" {
    fn probe_load(address: u64) -> Outcome;
    fn probe_store(address: u64) -> Outcome;
    fn probe_load_pair(address: u64) -> Outcome;
    fn probe_load_write_back(address: u64) -> Outcome;
    fn probe_fetch(address: u64) -> Outcome;
    fn probe_hvc() -> Outcome;
    fn probe_implementation_defined() -> Outcome;
    fn probe_counters() -> Outcome;
    fn probe_vector_length() -> Outcome;
    fn probe_translated(address: u64) -> Outcome;
    fn smc_all(registers: &mut [u64; 18]);
    fn second_start();
    static scratch_page: [u8; 4096];
    static changing_pages: [u8; 3 * 65536];
    static translation_tables: [u8; 3 * 4096];
}

/// An access that may fault.
#[derive(Clone, Copy, Debug)]
pub enum Probe {
    /// `ldr w, [x]`.
    Load,
    /// `str wzr, [x]`.
    Store,
    /// `ldp w, w, [x]`: no syndrome at stage 2.
    LoadPair,
    /// `ldr w, [x], #4`: no syndrome at stage 2.
    LoadWriteBack,
    /// A call: instruction fetch.
    Fetch,
    /// `ldr w, [x]` with the MMU on.
    Translated,
}

/// Makes the access at `address` (identity mapped: MMU off). Returns what was loaded, or ESR_EL1.
pub fn probe(kind: Probe, address: u64) -> Result<u64, u64> {
    // SAFETY: loads and stores name scratch pages, their aliases, device registers or addresses
    // at which nothing is; fetches go only to where they must fault or to a RET in scratch
    // memory. A fault comes back as the syndrome.
    let outcome = unsafe {
        match kind {
            Probe::Load => probe_load(address),
            Probe::Store => probe_store(address),
            Probe::LoadPair => probe_load_pair(address),
            Probe::LoadWriteBack => probe_load_write_back(address),
            Probe::Fetch => probe_fetch(address),
            Probe::Translated => probe_translated(address),
        }
    };
    result(&outcome)
}

fn result(outcome: &Outcome) -> Result<u64, u64> {
    match outcome.syndrome {
        0 => Ok(outcome.value),
        syndrome => Err(syndrome),
    }
}

/// An instruction that may be undefined.
#[derive(Clone, Copy, Debug)]
pub enum Instruction {
    /// A read of an IMPLEMENTATION DEFINED register.
    ImplementationDefined,
    /// A read of PMCR_EL0.
    Counters,
    /// The SVE vector length in bytes.
    VectorLength,
}

/// Executes the instruction. Returns what it read, or ESR_EL1.
pub fn execute(instruction: Instruction) -> Result<u64, u64> {
    // SAFETY: each changes x0 only; an exception comes back as the syndrome.
    let outcome = unsafe {
        match instruction {
            Instruction::ImplementationDefined => probe_implementation_defined(),
            Instruction::Counters => probe_counters(),
            Instruction::VectorLength => probe_vector_length(),
        }
    };
    result(&outcome)
}

/// Makes the call in `registers`, x0 to x17, and puts its results there.
pub fn smc(registers: &mut [u64; 18]) {
    // SAFETY: the vectors are installed; calls that the checks make here name scratch pages.
    unsafe { smc_all(registers) }
}

/// Executes HVC; returns ESR_EL1 if it is an exception.
pub fn hvc() -> Result<(), u64> {
    // SAFETY: an HVC that is not undefined is answered by whoever is above; registers that a
    // call does not preserve are not preserved by a function call either.
    match unsafe { probe_hvc() }.syndrome {
        0 => Ok(()),
        syndrome => Err(syndrome),
    }
}

/// A page of the image that is RAM throughout.
pub fn scratch() -> u64 {
    (&raw const scratch_page) as u64
}

/// Three times 64 KiB of the image, aligned to that, which change their state.
pub fn changing() -> u64 {
    (&raw const changing_pages) as u64
}

/// Three pages for translation tables.
pub fn tables() -> u64 {
    (&raw const translation_tables) as u64
}

/// Where a second CPU starts.
pub fn second() -> u64 {
    second_start as *const () as u64
}

/// Reads memory at `address` into `bytes`.
pub fn read(address: u64, bytes: &mut [u8]) {
    let from = address as *const u8;
    for (index, byte) in bytes.iter_mut().enumerate() {
        // SAFETY: callers name scratch pages that are RAM, their shared alias, or the device
        // tree; no Rust object lives there.
        *byte = unsafe { from.add(index).read_volatile() };
    }
}

/// Writes `bytes` to memory at `address`.
pub fn write(address: u64, bytes: &[u8]) {
    let to = address as *mut u8;
    for (index, byte) in bytes.iter().enumerate() {
        // SAFETY: as for `read`.
        unsafe { to.add(index).write_volatile(*byte) };
    }
}

/// Loads a 32-bit device register with one plain instruction.
pub fn load32(address: u64) -> u32 {
    let value: u32;
    // SAFETY: the address is a device register in the unprotected half.
    unsafe { core::arch::asm!("ldr {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value
}

/// Loads an 8-bit device register with one plain instruction.
pub fn load8(address: u64) -> u8 {
    let value: u32;
    // SAFETY: the address is a device register in the unprotected half.
    unsafe { core::arch::asm!("ldrb {:w}, [{}]", out(reg) value, in(reg) address, options(nostack)) };
    value as u8
}

/// Stores a 16-bit device register with one plain instruction.
pub fn store16(address: u64, value: u16) {
    // SAFETY: the address is a device register in the unprotected half.
    unsafe {
        core::arch::asm!("strh {:w}, [{}]", in(reg) u32::from(value), in(reg) address, options(nostack));
    }
}

/// Stores a 32-bit device register with one plain instruction.
pub fn store32(address: u64, value: u32) {
    // SAFETY: the address is a device register in the unprotected half.
    unsafe { core::arch::asm!("str {:w}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// Stores a 64-bit device register with one plain instruction.
pub fn store64(address: u64, value: u64) {
    // SAFETY: as for `store32`; DMA that it starts goes to scratch pages.
    unsafe { core::arch::asm!("str {}, [{}]", in(reg) value, in(reg) address, options(nostack)) };
}

/// ID_AA64PFR0_EL1 and MPIDR_EL1.
pub fn identity() -> (u64, u64) {
    let (pfr0, mpidr): (u64, u64);
    // SAFETY: reads of ID registers.
    unsafe {
        core::arch::asm!("mrs {}, id_aa64pfr0_el1", "mrs {}, mpidr_el1", out(reg) pfr0,
                         out(reg) mpidr, options(nomem, nostack));
    }
    (pfr0, mpidr)
}

/// ID_AA64DFR0_EL1.
pub fn debug_features() -> u64 {
    let dfr0: u64;
    // SAFETY: a read of an ID register.
    unsafe {
        core::arch::asm!("mrs {}, id_aa64dfr0_el1", out(reg) dfr0, options(nomem, nostack));
    }
    dfr0
}

/// Makes the PSCI call that ends the realm.
pub fn power_off(registers: &mut rsi::Registers) {
    use rsi::Conduit;
    // SAFETY: the vectors are installed, and the call names no memory.
    unsafe { rsi::SmcConduit::new() }.call(registers);
}

#[unsafe(no_mangle)]
extern "C" fn payload_main(x0: u64) -> ! {
    // SAFETY: the vectors are installed, and an exception of this first call ends the payload
    // with a message; the RMM writes only to scratch pages that the checks name.
    let conduit = unsafe { rsi::SmcConduit::new() };
    checks::run(rsi::Rsi::new(conduit), x0)
}

#[unsafe(no_mangle)]
extern "C" fn second_main(context: u64, rest: u64) -> ! {
    // SAFETY: as above; this CPU makes PSCI calls only.
    let conduit = unsafe { rsi::SmcConduit::new() };
    checks::second(rsi::Rsi::new(conduit), context, rest)
}

#[unsafe(no_mangle)]
extern "C" fn unexpected(esr: u64, elr: u64, far: u64) -> ! {
    // The console itself may be what faults.
    static BEFORE: AtomicBool = AtomicBool::new(false);
    // No exclusives: with the MMU off they need not work.
    if BEFORE.load(Ordering::Relaxed) {
        checks::off();
    }
    BEFORE.store(true, Ordering::Relaxed);
    console::line(format_args!("FAIL unexpected exception: esr {esr:#x} elr {elr:#x} far {far:#x}"));
    checks::off()
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    console::line(format_args!("FAIL panic: {info}"));
    checks::off()
}
