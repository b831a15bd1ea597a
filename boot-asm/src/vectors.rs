//! Exception vectors. Interrupts stay masked, so every exception is a fault.

use core::arch::global_asm;
use core::mem::{offset_of, size_of};

use crate::ExceptionFrame;

/// PSCI SYSTEM_OFF (DEN0022).
const PSCI_SYSTEM_OFF: u64 = 0x8400_0008;

// +------------------------------------------------------------------------------------------------+
// | The last way out: power off by any conduit. At EL1 HVC is tried first; where that is undefined |
// | (in a realm) or answered, SMC is next. An exception comes back to `early_retry`; TPIDR_EL0     |
// | counts the attempts. Before there is a stack, faults come here too: nothing can be said then.  |
// +------------------------------------------------------------------------------------------------+
global_asm!(
    ".pushsection .text.entry, \"ax\"",
    "    .balign 2048",
    "early_vectors:",
    "    .rept   16",
    "    .balign 128",
    "    b       early_retry",
    "    .endr",
    "    .balign 128",
    ".global early_stop",
    "early_stop:",
    "    adrp    x1, early_vectors",
    "    add     x1, x1, :lo12:early_vectors",
    "    mrs     x2, CurrentEL",
    "    cmp     x2, #(2 << 2)",
    "    b.eq    0f",
    "    msr     vbar_el1, x1",
    "    b       1f",
    "0:  msr     vbar_el2, x1",
    "1:  msr     tpidr_el0, xzr",
    "    isb",
    "early_retry:",
    "    mrs     x1, tpidr_el0",
    "    add     x2, x1, #1",
    "    msr     tpidr_el0, x2",
    "    cmp     x1, #1",
    "    b.hi    3f",
    "    b.eq    2f",
    "    mrs     x1, CurrentEL",
    "    cmp     x1, #(1 << 2)",
    "    b.ne    2f",
    "    ldr     w0, ={SYSTEM_OFF}",
    "    hvc     #0",
    "2:  ldr     w0, ={SYSTEM_OFF}",
    "    smc     #0",
    "3:  wfi",
    "    b       3b",
    "    .ltorg",
    ".popsection",
    SYSTEM_OFF = const PSCI_SYSTEM_OFF,
);

// +------------------------------------------------------------------------------------------------+
// | While a realm is looked for, an undefined SMC is answered as an unknown call is: with -1 in x0. |
// +------------------------------------------------------------------------------------------------+
global_asm!(
    ".pushsection .text.entry, \"ax\"",
    "    .balign 2048",
    "probe_vectors:",
    "    .rept   4",
    "    .balign 128",
    "    b       early_stop",
    "    .endr",
    // Synchronous, from this level with its own stack pointer.
    "    .balign 128",
    // Only an unknown reason (EC 0) is that of an undefined instruction.
    "    mrs     x0, esr_el1",
    "    lsr     x0, x0, #26",
    "    cbnz    x0, early_stop",
    "    mrs     x0, elr_el1",
    "    add     x0, x0, #4",
    "    msr     elr_el1, x0",
    "    mov     x0, #-1",
    "    eret",
    "    .rept   11",
    "    .balign 128",
    "    b       early_stop",
    "    .endr",
    "    .balign 128",
    ".popsection",
);

// +------------------------------------------------------------------------------------------------+
// | The vectors proper. A fault may be an exhausted stack, so each switches to the fault stack     |
// | with TPIDR_EL0 and TPIDRRO_EL0 as the only scratch space. `realmfw_exception` does not return. |
// +------------------------------------------------------------------------------------------------+
global_asm!(
    ".macro VECTOR index",
    "    .balign 128",
    "    msr     tpidr_el0, x0",
    "    mov     x0, sp",
    "    msr     tpidrro_el0, x0",
    "    adrp    x0, __fault_stack_top",
    "    mov     sp, x0",
    "    sub     sp, sp, #{FRAME}",
    "    str     x1, [sp, #8]",
    "    mov     x1, #\\index",
    "    b       exception",
    ".endm",
    ".pushsection .text.entry, \"ax\"",
    "    .balign 2048",
    "vectors:",
    "    VECTOR  0",
    "    VECTOR  1",
    "    VECTOR  2",
    "    VECTOR  3",
    "    VECTOR  4",
    "    VECTOR  5",
    "    VECTOR  6",
    "    VECTOR  7",
    "    VECTOR  8",
    "    VECTOR  9",
    "    VECTOR  10",
    "    VECTOR  11",
    "    VECTOR  12",
    "    VECTOR  13",
    "    VECTOR  14",
    "    VECTOR  15",
    "    .balign 128",
    "exception:",
    "    stp     x2, x3, [sp, #16]",
    "    stp     x4, x5, [sp, #32]",
    "    stp     x6, x7, [sp, #48]",
    "    stp     x8, x9, [sp, #64]",
    "    stp     x10, x11, [sp, #80]",
    "    stp     x12, x13, [sp, #96]",
    "    stp     x14, x15, [sp, #112]",
    "    stp     x16, x17, [sp, #128]",
    "    stp     x18, x19, [sp, #144]",
    "    stp     x20, x21, [sp, #160]",
    "    stp     x22, x23, [sp, #176]",
    "    stp     x24, x25, [sp, #192]",
    "    stp     x26, x27, [sp, #208]",
    "    stp     x28, x29, [sp, #224]",
    "    str     x30, [sp, #240]",
    "    str     x1, [sp, #{VECTOR}]",
    "    mrs     x2, tpidr_el0",
    "    str     x2, [sp]",
    "    mrs     x2, tpidrro_el0",
    "    str     x2, [sp, #{SP}]",
    "    mrs     x2, CurrentEL",
    "    cmp     x2, #(2 << 2)",
    "    b.eq    1f",
    "    mrs     x3, elr_el1",
    "    mrs     x4, spsr_el1",
    "    mrs     x5, esr_el1",
    "    mrs     x6, far_el1",
    "    b       2f",
    "1:  mrs     x3, elr_el2",
    "    mrs     x4, spsr_el2",
    "    mrs     x5, esr_el2",
    "    mrs     x6, far_el2",
    "2:  str     x3, [sp, #{ELR}]",
    "    str     x4, [sp, #{SPSR}]",
    "    str     x5, [sp, #{ESR}]",
    "    str     x6, [sp, #{FAR}]",
    "    mov     x0, sp",
    "    bl      realmfw_exception",
    ".popsection",
    FRAME = const size_of::<ExceptionFrame>(),
    SP = const offset_of!(ExceptionFrame, sp),
    ELR = const offset_of!(ExceptionFrame, elr),
    SPSR = const offset_of!(ExceptionFrame, spsr),
    ESR = const offset_of!(ExceptionFrame, esr),
    FAR = const offset_of!(ExceptionFrame, far),
    VECTOR = const offset_of!(ExceptionFrame, vector),
);

const _: () = assert!(size_of::<ExceptionFrame>().is_multiple_of(16));
