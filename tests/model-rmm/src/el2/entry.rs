//! Reset, exception vectors and device accesses that may fail: what Rust cannot do.

#![expect(unsafe_code, reason = "entry points and symbols of assembly")]

use core::arch::global_asm;

/// Registers of the realm, as the vectors save them.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL2: where the realm goes on.
    pub pc: u64,
    /// SPSR_EL2: its PSTATE.
    pub pstate: u64,
    _pad: u64,
}

impl Frame {
    /// A REC at its start: EL1h, DAIF masked, everything zero but `pc` and `x0` (DEN0137 A2.3).
    pub fn new(pc: u64, x0: u64) -> Self {
        let mut x = [0; 31];
        if let Some(first) = x.first_mut() {
            *first = x0;
        }
        Self { x, pc, pstate: 0x3c5, _pad: 0 }
    }
}

/// Bytes of stack of one CPU.
const STACK: usize = 65536;
const FRAME: usize = size_of::<Frame>();
const _: () = assert!(FRAME == 272);

// Each exit saves all general registers on this CPU's stack, calls Rust, and returns to the
// realm with what Rust left there. The vectors of EL2 itself know one fault they can survive:
// a device that does not answer an access made on the realm's behalf.
global_asm!(
    r#"
    .section .text.entry, "ax"
    .global _start
_start:
    mov     x0, #0
    .global secondary_start
secondary_start:
    ldr     x1, =el2_stacks
    add     x2, x0, #1
    mov     x3, #{STACK}
    madd    x1, x2, x3, x1
    mov     sp, x1
    ldr     x1, =el2_vectors
    msr     vbar_el2, x1
    isb
    mov     x29, xzr
    mov     x30, xzr
    bl      el2_main
    b       .

    .macro SAVE_AND_CALL handler
    sub     sp, sp, #{FRAME}
    stp     x0, x1, [sp, #0]
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, elr_el2
    mrs     x2, spsr_el2
    stp     x30, x1, [sp, #240]
    str     x2, [sp, #256]
    mov     x0, sp
    bl      \handler
    b       return_to_realm
    .endm

    .balign 2048
el2_vectors:
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_own_fault
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    SAVE_AND_CALL el2_exit_sync
    .balign 128
    SAVE_AND_CALL el2_exit_irq
    .balign 128
    SAVE_AND_CALL el2_exit_irq
    .balign 128
    SAVE_AND_CALL el2_exit_serror
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128
    b       el2_unexpected
    .balign 128

return_to_realm:
    ldp     x30, x1, [sp, #240]
    ldr     x2, [sp, #256]
    msr     elr_el2, x1
    msr     spsr_el2, x2
    ldp     x0, x1, [sp, #0]
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    add     sp, sp, #{FRAME}
    eret

    // el2_enter(frame, cpu): into the realm for the first time, with an empty stack.
    .global el2_enter
el2_enter:
    ldr     x2, =el2_stacks
    add     x3, x1, #1
    mov     x4, #{STACK}
    madd    x2, x3, x4, x2
    sub     x2, x2, #{FRAME}
    mov     x3, #{FRAME}
1:  subs    x3, x3, #8
    ldr     x4, [x0, x3]
    str     x4, [x2, x3]
    b.ne    1b
    mov     sp, x2
    b       return_to_realm

el2_own_fault:
    stp     x9, x10, [sp, #-16]!
    mrs     x9, elr_el2
    adr     x10, device_access
    cmp     x9, x10
    b.lo    2f
    adr     x10, device_access_end
    cmp     x9, x10
    b.hs    2f
    adr     x9, device_access_failed
    msr     elr_el2, x9
    ldp     x9, x10, [sp], #16
    eret
2:  ldp     x9, x10, [sp], #16
el2_unexpected:
    mrs     x0, esr_el2
    mrs     x1, elr_el2
    mrs     x2, far_el2
    bl      el2_fault
    b       .

    // One load or store each, so that a failing one can be told: value in x0, 1 in x1 if done.
device_access:
    .global device_load8
device_load8:
    ldrb    w0, [x0]
    mov     x1, #1
    ret
    .global device_load16
device_load16:
    ldrh    w0, [x0]
    mov     x1, #1
    ret
    .global device_load32
device_load32:
    ldr     w0, [x0]
    mov     x1, #1
    ret
    .global device_load64
device_load64:
    ldr     x0, [x0]
    mov     x1, #1
    ret
    .global device_store8
device_store8:
    strb    w1, [x0]
    mov     x1, #1
    ret
    .global device_store16
device_store16:
    strh    w1, [x0]
    mov     x1, #1
    ret
    .global device_store32
device_store32:
    str     w1, [x0]
    mov     x1, #1
    ret
    .global device_store64
device_store64:
    str     x1, [x0]
    mov     x1, #1
    ret
device_access_end:
device_access_failed:
    mov     x0, #-1
    mov     x1, #0
    ret
    "#,
    STACK = const STACK,
    FRAME = const FRAME,
);

unsafe extern "C" {
    fn el2_enter(frame: *const Frame, cpu: usize) -> !;
    fn secondary_start();
}

/// Enters the realm on this CPU, whose stack is given up.
pub fn enter(frame: &Frame, cpu: usize) -> ! {
    // SAFETY: `frame` is 272 readable bytes; the stack of CPU `cpu` is this CPU's own, and
    // nothing on it is used again because the function does not return.
    unsafe { el2_enter(frame, cpu) }
}

/// Where a further CPU starts, with its index in x0.
pub fn secondary() -> u64 {
    secondary_start as *const () as u64
}
