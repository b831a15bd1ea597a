//! Accesses to device registers in every form that an instruction can give them, one each.

#![expect(unsafe_code, reason = "loads and stores that may fault on purpose")]

use core::arch::{asm, global_asm};
use core::fmt::{self, Display, Formatter};

// As the probes of `start`: with the address in x9 and the value to store in x12. A load goes to x0, which held ones.
global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd
    .arch_extension lse
    .macro ACCESS name, instruction:vararg
    .global \name
\name:
    mov     x9, x0
    mov     x12, x1
    mov     x0, #-1
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

    ACCESS  access_ldrb, ldrb w0, [x9]
    ACCESS  access_ldrh, ldrh w0, [x9]
    ACCESS  access_ldr_w, ldr w0, [x9]
    ACCESS  access_ldr_x, ldr x0, [x9]
    ACCESS  access_ldrsb_w, ldrsb w0, [x9]
    ACCESS  access_ldrsb_x, ldrsb x0, [x9]
    ACCESS  access_ldrsh_w, ldrsh w0, [x9]
    ACCESS  access_ldrsh_x, ldrsh x0, [x9]
    ACCESS  access_ldrsw, ldrsw x0, [x9]
    ACCESS  access_ldur, ldur w0, [x9]
    ACCESS  access_ldar, ldar w0, [x9]
    ACCESS  access_ldrb_wzr, ldrb wzr, [x9]
    ACCESS  access_ldr_wzr, ldr wzr, [x9]
    ACCESS  access_ldr_xzr, ldr xzr, [x9]
    ACCESS  access_strb, strb w12, [x9]
    ACCESS  access_strh, strh w12, [x9]
    ACCESS  access_str_w, str w12, [x9]
    ACCESS  access_str_x, str x12, [x9]
    ACCESS  access_stlr, stlr w12, [x9]
    ACCESS  access_strb_wzr, strb wzr, [x9]
    ACCESS  access_str_wzr, str wzr, [x9]
    ACCESS  access_str_xzr, str xzr, [x9]
    ACCESS  access_ldp, ldp w0, w2, [x9]
    ACCESS  access_ldr_pre, ldr w0, [x9, #0]!
    ACCESS  access_ldr_post, ldr w0, [x9], #4
    ACCESS  access_ldr_q, ldr q0, [x9]
    ACCESS  access_ldxr, ldxr w0, [x9]
    ACCESS  access_stp, stp wzr, wzr, [x9]
    ACCESS  access_str_pre, str wzr, [x9, #0]!
    ACCESS  access_str_post, str wzr, [x9], #4
    ACCESS  access_str_q, str q0, [x9]
    ACCESS  access_ldadd, ldadd w12, w0, [x9]
    ACCESS  access_swp, swp w12, w0, [x9]
    ACCESS  access_cas, cas w12, w2, [x9]
    "#
);

#[repr(C)]
struct Outcome {
    value: u64,
    syndrome: u64,
}

type Function = unsafe extern "C" fn(address: u64, value: u64) -> Outcome;

macro_rules! forms {
    ($($form:ident = $function:ident $text:literal;)*) => {
        unsafe extern "C" {
            $(fn $function(address: u64, value: u64) -> Outcome;)*
        }

        $(pub const $form: Form = Form { text: $text, function: $function };)*
    };
}

/// An instruction.
#[derive(Clone, Copy)]
pub struct Form {
    text: &'static str,
    function: Function,
}

impl Display for Form {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.text)
    }
}

forms! {
    LDRB = access_ldrb "ldrb w, [x]";
    LDRH = access_ldrh "ldrh w, [x]";
    LDR_W = access_ldr_w "ldr w, [x]";
    LDR_X = access_ldr_x "ldr x, [x]";
    LDRSB_W = access_ldrsb_w "ldrsb w, [x]";
    LDRSB_X = access_ldrsb_x "ldrsb x, [x]";
    LDRSH_W = access_ldrsh_w "ldrsh w, [x]";
    LDRSH_X = access_ldrsh_x "ldrsh x, [x]";
    LDRSW = access_ldrsw "ldrsw x, [x]";
    LDUR = access_ldur "ldur w, [x]";
    LDAR = access_ldar "ldar w, [x]";
    LDRB_WZR = access_ldrb_wzr "ldrb wzr, [x]";
    LDR_WZR = access_ldr_wzr "ldr wzr, [x]";
    LDR_XZR = access_ldr_xzr "ldr xzr, [x]";
    STRB = access_strb "strb w, [x]";
    STRH = access_strh "strh w, [x]";
    STR_W = access_str_w "str w, [x]";
    STR_X = access_str_x "str x, [x]";
    STLR = access_stlr "stlr w, [x]";
    STRB_WZR = access_strb_wzr "strb wzr, [x]";
    STR_WZR = access_str_wzr "str wzr, [x]";
    STR_XZR = access_str_xzr "str xzr, [x]";
    LDP = access_ldp "ldp w, w, [x]";
    LDR_PRE = access_ldr_pre "ldr w, [x, #0]!";
    LDR_POST = access_ldr_post "ldr w, [x], #4";
    LDR_Q = access_ldr_q "ldr q0, [x]";
    LDXR = access_ldxr "ldxr w, [x]";
    STP = access_stp "stp wzr, wzr, [x]";
    STR_PRE = access_str_pre "str wzr, [x, #0]!";
    STR_POST = access_str_post "str wzr, [x], #4";
    STR_Q = access_str_q "str q0, [x]";
    LDADD = access_ldadd "ldadd w, w, [x]";
    SWP = access_swp "swp w, w, [x]";
    CAS = access_cas "cas w, w, [x]";
}

/// An abort.
#[derive(Clone, Copy, Debug)]
pub struct Abort {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
}

impl Abort {
    /// Whether it is a synchronous external data abort at EL1 of an access to `address` (DEN0137 RVKNJW).
    pub fn is_external(&self, address: u64) -> bool {
        const DATA_ABORT: u64 = 0x25;
        const EXTERNAL: u64 = 0x10;
        self.esr >> 26 == DATA_ABORT && self.esr & 0x3f == EXTERNAL && self.far == address
    }

    /// WnR: whether a store was aborted.
    pub fn is_write(&self) -> bool {
        self.esr >> 6 & 1 != 0
    }
}

/// Makes one access to `address`, in the unprotected half. Returns what a load left in x0, which held ones before it.
pub fn access(form: Form, address: u64, value: u64) -> Result<u64, Abort> {
    // SAFETY: callers name device registers whose access changes no memory, or addresses at which nothing is; no Rust
    // object lives there. The registers that it changes are those that a call may change. A fault comes back as the
    // syndrome.
    let outcome = unsafe { (form.function)(address, value) };
    match outcome.syndrome {
        0 => Ok(outcome.value),
        esr => Err(Abort { esr, far: fault_address() }),
    }
}

fn fault_address() -> u64 {
    let far: u64;
    // SAFETY: reads what the last abort left.
    unsafe { asm!("mrs {}, far_el1", out(reg) far, options(nomem, nostack)) };
    far
}

/// Lets SIMD instructions execute at EL1: CPACR_EL1.FPEN.
pub fn allow_simd() {
    const FPEN: u64 = 0b11 << 20;
    // SAFETY: the payload keeps nothing in SIMD registers.
    unsafe { asm!("msr cpacr_el1, {}", "isb", in(reg) FPEN, options(nomem, nostack)) };
}
