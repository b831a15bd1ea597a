//! From the first instruction to Rust.

use core::arch::global_asm;

/// Where QEMU puts the device tree when it enters a `-bios` image with x0 = 0.
const DEFAULT_DTB: u64 = 0x4000_0000;
/// What a device tree begins with, read little-endian.
const FDT_MAGIC_LE: u64 = 0xedfe_0dd0;
/// The largest device tree that the arm64 boot protocol allows.
const FDT_MAX: u64 = 0x20_0000;
/// The alignment of an arm64 Image.
const IMAGE_ALIGN: u64 = 0x20_0000;

/// A leaf or table descriptor's low bits: valid page, or valid table.
const DESC_TABLE: u64 = 0b11;
/// Access flag, inner shareable, attribute index 3 (write-back), valid page.
const PAGE_WB: u64 = (1 << 10) | (0b11 << 8) | (3 << 2) | 0b11;
const PAGE_READ_ONLY: u64 = 1 << 7;
/// PXN and UXN at EL1; at EL2 the latter is XN and the former is ignored.
const PAGE_EXECUTE_NEVER: u64 = 0b11 << 53;
/// AP[1]: RES1 in the EL2 regime; at EL1 it would open the page to EL0.
const PAGE_EL2: u64 = 1 << 6;

/// T0SZ = 16 (48-bit addresses), write-back write-allocate inner shareable walks, 4 KiB pages.
const TCR_BASE: u64 = 16 | (1 << 8) | (1 << 10) | (0b11 << 12);
/// EL1: no walks through TTBR1.
const TCR_EL1_EPD1: u64 = 1 << 23;
const TCR_EL1_IPS_SHIFT: u64 = 32;
/// EL2 without VHE: RES1 bits 31 and 23, physical size at bit 16.
const TCR_EL2_RES1: u64 = (1 << 31) | (1 << 23);
const TCR_EL2_PS_SHIFT: u64 = 16;
/// 48 bits: the most that 4 KiB pages reach without LPA2.
const PA_RANGE_48: u64 = 5;

/// SCTLR_EL1 with every RES1 bit of ARMv8.0, exceptions on a misaligned stack, MMU and caches off.
const SCTLR_EL1_OFF: u64 = 0x30d0_0998;
/// SCTLR_EL2 likewise.
const SCTLR_EL2_OFF: u64 = 0x30c5_0838;
/// MMU, data cache, instruction cache.
const SCTLR_ON: u64 = 1 | (1 << 2) | (1 << 12);

/// RW: lower levels are AArch64. AMO: errors are taken here and not left pending.
const HCR_EL2: u64 = (1 << 31) | (1 << 5);

/// RSI (DEN0137): the calls that are needed before there is a stack, and the versions that the firmware speaks.
const RSI_VERSION: u64 = 0xc400_0190;
const RSI_REALM_CONFIG: u64 = 0xc400_0196;
const RSI_IPA_STATE_SET: u64 = 0xc400_0197;
const RSI_1_0: u64 = 1 << 16;
const RSI_1_1: u64 = (1 << 16) | 1;
const RSI_ERROR_INPUT: u64 = 1;
const RIPAS_RAM: u64 = 1;
/// Answers of RSI_IPA_STATE_SET without progress after which the host is taken to refuse.
const RSI_PATIENCE: u64 = 8;

/// Where the UART is while no device tree has been read: with every VMM that has the firmware below the start of its
/// RAM, and with kvmtool, which has RAM, and the firmware there, from 2 GiB on.
const UART: u64 = super::DEFAULT_UART;
const UART_KVMTOOL: u64 = super::DEFAULT_UART_KVMTOOL;

// +------------------------------------------------------------------------------------------------+
// | The arm64 Image header (Linux, Documentation/arch/arm64/booting.rst). Loaders read image_size  |
// | to leave room for what follows the file; flags say: little endian, 4 KiB pages, anywhere.      |
// +------------------------------------------------------------------------------------------------+
global_asm!(
    ".pushsection .text.header, \"ax\"",
    ".global image_header",
    "image_header:",
    "    b       image_entry",
    "    .word   0",
    "    .quad   0",
    "    .quad   __image_size",
    "    .quad   0b1010",
    "    .quad   0, 0, 0",
    "    .ascii  \"ARM\\x64\"",
    "    .word   0",
    ".popsection",
);

// +------------------------------------------------------------------------------------------------+
// | Entry. Nothing is known yet: any address, ROM or RAM, EL1 or EL2, MMU off. No stack is used    |
// | before the MMU is on, and no write is made that matters but into the image's own new place.    |
// |   x19 = x0 at entry   x20 = where the image is   x21 = where it was entered                    |
// |   x22 = CurrentEL     x23 = whether this is a realm     x24..x28, x0..x17 scratch               |
// +------------------------------------------------------------------------------------------------+
global_asm!(
    ".pushsection .text.entry, \"ax\"",
    "image_entry:",
    "    mov     x19, x0",
    "    mrs     x22, CurrentEL",
    "    adr     x20, image_header",
    "    mov     x21, x20",
    "    msr     DAIFSet, #0xf",
    "    msr     SPSel, #1",
    "    msr     tpidr_el0, xzr",
    "    adrp    x1, early_vectors",
    "    add     x1, x1, :lo12:early_vectors",
    "    cmp     x22, #(2 << 2)",
    "    b.eq    1f",

    // EL1: floating point on, MMU off.
    "    msr     vbar_el1, x1",
    "    mov     x2, #(3 << 20)",
    "    msr     cpacr_el1, x2",
    "    ldr     x2, ={SCTLR_EL1_OFF}",
    "    msr     sctlr_el1, x2",
    "    isb",
    // A realm? SMC is undefined where nobody takes it, so the vectors answer NOT_SUPPORTED in its place.
    "    adrp    x1, probe_vectors",
    "    add     x1, x1, :lo12:probe_vectors",
    "    msr     vbar_el1, x1",
    "    isb",
    "    ldr     x0, ={RSI_VERSION}",
    "    ldr     x1, ={RSI_1_0}",
    "    smc     #0",
    "    cmp     x0, #{RSI_ERROR_INPUT}",
    "    b.ne    4f",
    "    ldr     x0, ={RSI_VERSION}",
    "    ldr     x1, ={RSI_1_1}",
    "    smc     #0",
    // Not supported means a plain VM. Any other answer is a realm's; Rust says what is wrong with it.
    "4:  cmn     x0, #1",
    "    cset    x23, ne",
    "    adrp    x1, early_vectors",
    "    add     x1, x1, :lo12:early_vectors",
    "    msr     vbar_el1, x1",
    "    b       2f",

    // EL2: the same; the host's view of a guest below is switched off.
    "1:  msr     vbar_el2, x1",
    "    mov     x23, xzr",
    "    ldr     x2, ={HCR_EL2}",
    "    msr     hcr_el2, x2",
    "    isb",
    "    mov     x2, #0x33ff",
    "    mrs     x3, hcr_el2",
    "    tbz     x3, #34, 3f",
    // A CPU that has only VHE's layout: CPTR_EL2 is laid out as CPACR_EL1.
    "    mov     x2, #(3 << 20)",
    "3:  msr     cptr_el2, x2",
    "    msr     cntvoff_el2, xzr",
    "    ldr     x2, ={SCTLR_EL2_OFF}",
    "    msr     sctlr_el2, x2",
    "2:  isb",

    // May the image stay? It must be aligned for the tables built below, and be writable. All ones is also a
    // flash device's command to return to reading, so the probe leaves a ROM as it found it.
    "    tst     x20, #({IMAGE_ALIGN} - 1)",
    "    b.ne    5f",
    "    adrp    x1, write_probe",
    "    add     x1, x1, :lo12:write_probe",
    "    mov     w2, #-1",
    "    str     w2, [x1]",
    "    dsb     sy",
    "    ldr     w3, [x1]",
    "    cmp     w2, w3",
    "    b.ne    5f",
    // What follows the file may still be empty in a realm. A host with larger pages changes whole ones only, so the
    // range begins where the image does, which is RAM and stays what it is, and ends at a page of 64 KiB.
    "    mov     x24, x20",
    "    adrp    x25, __image_end",
    "    add     x25, x25, #0xf, lsl #12",
    "    and     x25, x25, #~0xffff",
    "    bl      accept",
    "    b       relocate",

    // Move behind the device tree: the one place that is RAM for certain.
    "5:  mov     x24, x19",
    "    cbnz    x24, 6f",
    "    mov     x24, {DEFAULT_DTB}",
    // A tree that is none is reported by Rust; until then it is taken to be as long as one can be.
    "6:  mov     x3, #{FDT_MAX}",
    "    ldr     w1, [x24]",
    "    ldr     w2, ={FDT_MAGIC_LE}",
    "    cmp     w1, w2",
    "    ldr     w1, [x24, #4]",
    "    rev     w1, w1",
    "    csel    x1, x1, x3, eq",
    "    cmp     x1, x3",
    "    csel    x1, x1, x3, lo",
    "    add     x24, x24, x1",
    "    mov     x2, #({IMAGE_ALIGN} - 1)",
    "    add     x24, x24, x2",
    "    bic     x24, x24, x2",
    // The copy must not overwrite what it copies.
    "    mov     x3, #{IMAGE_ALIGN}",
    "    add     x4, x24, x3",
    "    cmp     x20, x4",
    "    b.hs    7f",
    "    add     x4, x20, x3",
    "    cmp     x24, x4",
    "    b.hs    7f",
    "    add     x24, x4, x2",
    "    bic     x24, x24, x2",
    "7:  mov     x28, x24",
    "    adrp    x25, __image_end",
    "    sub     x25, x25, x20",
    "    add     x25, x25, x24",
    "    add     x25, x25, #0xf, lsl #12",
    "    and     x25, x25, #~0xffff",
    "    bl      accept",
    "    mov     x24, x28",
    "    mov     x1, x20",
    "    mov     x2, x24",
    "    adrp    x3, __file_end",
    "    add     x3, x3, :lo12:__file_end",
    "8:  ldp     x4, x5, [x1], #16",
    "    stp     x4, x5, [x2], #16",
    "    cmp     x1, x3",
    "    b.lo    8b",
    "    mov     x20, x24",

    // Relocate, wherever the image now is. x3 = its distance from where this code runs.
    "relocate:",
    "    sub     x3, x20, x21",
    // RELR (System V ABI, "Relative Relocation Table"): an even entry is the offset of a word, an odd one has a bit
    // for each of the 63 words that follow. Every word named is linked at 0, so that the base is added to it.
    "    adrp    x1, __relr_start",
    "    add     x1, x1, :lo12:__relr_start",
    "    adrp    x2, __relr_end",
    "    add     x2, x2, :lo12:__relr_end",
    "    mov     x5, x20",
    "9:  cmp     x1, x2",
    "    b.hs    15f",
    "    ldr     x4, [x1], #8",
    "    tbnz    x4, #0, 10f",
    "    add     x5, x20, x4",
    "    ldr     x6, [x5]",
    "    add     x6, x6, x20",
    "    str     x6, [x5], #8",
    "    b       9b",
    "10: mov     x7, x5",
    "    add     x5, x5, #(63 * 8)",
    "13: lsr     x4, x4, #1",
    "    cbz     x4, 9b",
    "    tbz     x4, #0, 14f",
    "    ldr     x6, [x7]",
    "    add     x6, x6, x20",
    "    str     x6, [x7]",
    "14: add     x7, x7, #8",
    "    b       13b",
    "15: adr     x1, at_home",
    "    add     x1, x1, x3",
    // What was written with the caches off must not be hidden by stale lines.
    "    mov     x4, x20",
    "    adrp    x5, __file_end",
    "    add     x5, x5, :lo12:__file_end",
    "    add     x5, x5, x3",
    "    bl      invalidate_lines",
    "    ic      iallu",
    "    dsb     sy",
    "    isb",
    "    br      x1",

    // Now at home: every PC-relative address is the final one. Build four tables, one for each level.
    "at_home:",
    "    adrp    x24, __early_tables",
    "    mov     x1, x24",
    "    add     x2, x24, #(4 * 4096)",
    "11: stp     xzr, xzr, [x1], #16",
    "    cmp     x1, x2",
    "    b.lo    11b",
    "    add     x25, x24, #4096",
    "    add     x26, x25, #4096",
    "    add     x27, x26, #4096",
    "    ubfx    x1, x20, #39, #9",
    "    orr     x2, x25, #{DESC_TABLE}",
    "    str     x2, [x24, x1, lsl #3]",
    "    ubfx    x1, x20, #30, #9",
    "    orr     x2, x26, #{DESC_TABLE}",
    "    str     x2, [x25, x1, lsl #3]",
    "    ubfx    x1, x20, #21, #9",
    "    orr     x2, x27, #{DESC_TABLE}",
    "    str     x2, [x26, x1, lsl #3]",
    // Page permissions by section.
    "    ldr     x2, ={PAGE_WB}",
    "    cmp     x22, #(2 << 2)",
    "    b.ne    12f",
    // With VHE's layout the regime is EL2&0, where that bit opens the page to EL0.
    "    mrs     x1, hcr_el2",
    "    tbnz    x1, #34, 12f",
    "    orr     x2, x2, #{PAGE_EL2}",
    "12: orr     x3, x2, #{PAGE_READ_ONLY}",
    "    orr     x4, x3, #{PAGE_EXECUTE_NEVER}",
    "    orr     x5, x2, #{PAGE_EXECUTE_NEVER}",
    "    mov     x1, x20",
    "    mov     x6, x27",
    "    adrp    x7, __text_end",
    "    adrp    x8, __rodata_end",
    "    adrp    x9, __image_end",
    "    adrp    x10, __stack_guard",
    "    adrp    x11, __fault_stack_guard",
    "13: cmp     x1, x7",
    "    csel    x12, x3, x4, lo",
    "    cmp     x1, x8",
    "    csel    x12, x12, x5, lo",
    "    orr     x12, x12, x1",
    "    cmp     x1, x10",
    "    csel    x12, xzr, x12, eq",
    "    cmp     x1, x11",
    "    csel    x12, xzr, x12, eq",
    "    str     x12, [x6], #8",
    "    add     x1, x1, #4096",
    "    cmp     x1, x9",
    "    b.lo    13b",
    "    mov     x4, x24",
    "    add     x5, x24, #(4 * 4096)",
    "    bl      invalidate_lines",

    // MMU and caches on.
    "    mrs     x1, id_aa64mmfr0_el1",
    "    and     x1, x1, #0xf",
    "    mov     x2, #{PA_RANGE_48}",
    "    cmp     x1, x2",
    "    csel    x1, x1, x2, lo",
    "    ldr     x2, ={TCR_BASE}",
    "    ldr     x3, ={MAIR}",
    "    adrp    x6, vectors",
    "    add     x6, x6, :lo12:vectors",
    "    cmp     x22, #(2 << 2)",
    "    b.eq    14f",
    "    ldr     x4, ={TCR_EL1_EPD1}",
    "    orr     x2, x2, x4",
    "    lsl     x1, x1, #{TCR_EL1_IPS_SHIFT}",
    "    orr     x2, x2, x1",
    "    msr     mair_el1, x3",
    "    msr     tcr_el1, x2",
    "    msr     ttbr0_el1, x24",
    "    isb",
    "    tlbi    vmalle1",
    "    dsb     sy",
    "    isb",
    "    mrs     x1, sctlr_el1",
    "    ldr     x2, ={SCTLR_ON}",
    "    orr     x1, x1, x2",
    "    msr     sctlr_el1, x1",
    "    isb",
    "    b       16f",
    "14: mrs     x4, hcr_el2",
    "    tbz     x4, #34, 15f",
    // VHE's layout is EL1's.
    "    ldr     x4, ={TCR_EL1_EPD1}",
    "    orr     x2, x2, x4",
    "    lsl     x1, x1, #{TCR_EL1_IPS_SHIFT}",
    "    b       17f",
    "15: ldr     x4, ={TCR_EL2_RES1}",
    "    orr     x2, x2, x4",
    "    lsl     x1, x1, #{TCR_EL2_PS_SHIFT}",
    "17: orr     x2, x2, x1",
    "    msr     mair_el2, x3",
    "    msr     tcr_el2, x2",
    "    msr     ttbr0_el2, x24",
    "    isb",
    "    tlbi    alle2",
    "    dsb     sy",
    "    isb",
    "    mrs     x1, sctlr_el2",
    "    ldr     x2, ={SCTLR_ON}",
    "    orr     x1, x1, x2",
    "    msr     sctlr_el2, x1",
    "    isb",

    // Memory is memory from here on: clear .bss, take the stack and the real vectors.
    "16: adrp    x1, __bss_start",
    "    add     x1, x1, :lo12:__bss_start",
    "    adrp    x2, __bss_end",
    "    add     x2, x2, :lo12:__bss_end",
    "18: cmp     x1, x2",
    "    b.hs    19f",
    "    stp     xzr, xzr, [x1], #16",
    "    b       18b",
    "19: adrp    x1, __stack_top",
    "    mov     sp, x1",
    "    cmp     x22, #(2 << 2)",
    "    b.eq    20f",
    "    msr     vbar_el1, x6",
    "    b       21f",
    "20: msr     vbar_el2, x6",
    "21: isb",
    "    msr     DAIFClr, #4",
    "    mov     x29, xzr",
    "    mov     x30, xzr",
    "    stp     x23, xzr, [sp, #-16]!",
    "    stp     x19, x21, [sp, #-16]!",
    "    mov     x0, sp",
    "    bl      realmfw_main",
    "    b       early_stop",

    // Make [x24, x25) RAM of the realm, if this is one. Clobbers x0 to x17, x24, x26.
    "accept:",
    "    cbz     x23, 31f",
    "    mov     x26, #{RSI_PATIENCE}",
    "30: cmp     x24, x25",
    "    b.hs    31f",
    "    ldr     x0, ={RSI_IPA_STATE_SET}",
    "    mov     x1, x24",
    "    mov     x2, x25",
    "    mov     x3, #{RIPAS_RAM}",
    "    mov     x4, xzr",
    "    smc     #0",
    // A refusal (x2), an error, or progress to a place that makes no sense.
    "    cbnz    x0, refused",
    "    cbnz    x2, refused",
    "    cmp     x1, x24",
    "    b.lo    refused",
    "    cmp     x1, x25",
    "    b.hi    refused",
    "    cmp     x1, x24",
    "    mov     x24, x1",
    "    b.ne    30b",
    "    subs    x26, x26, #1",
    "    b.ne    30b",
    "    b       refused",
    "31: ret",

    // There is no memory for a stack, and so none for Rust. The RMM says how wide addresses are in a page of the
    // image that nothing needs any more.
    "refused:",
    "    adrp    x24, __rodata_end",
    "    sub     x24, x24, #1, lsl #12",
    "    ldr     x0, ={RSI_REALM_CONFIG}",
    "    mov     x1, x24",
    "    smc     #0",
    "    cbnz    x0, early_stop",
    "    ldr     x3, [x24]",
    "    sub     x3, x3, #1",
    "    mov     x0, #1",
    "    lsl     x0, x0, x3",
    "    mov     x3, #{UART}",
    "    mov     x4, #{UART_KVMTOOL}",
    "    tst     x20, #(1 << 31)",
    "    csel    x3, x3, x4, eq",
    "    orr     x0, x0, x3",
    "    adr     x1, refusal",
    "    adr     x2, refusal_end",
    // Sends [x1, x2) to the UART at x0 with the MMU off, for which no address is too wide, and stops. A VMM's UART has
    // room whenever it is written to, and takes bytes at its first register, a PL011 as well as a 16550.
    ".global early_say",
    "early_say:",
    "    mrs     x3, sctlr_el1",
    "    bic     x3, x3, #1",
    "    msr     sctlr_el1, x3",
    "    isb",
    "32: cmp     x1, x2",
    "    b.hs    early_stop",
    "    ldrb    w3, [x1], #1",
    "    strb    w3, [x0]",
    "    b       32b",
    "refusal:",
    "    .ascii  \"realmfw: error: realm: RSI_IPA_STATE_SET: the host keeps back the memory of the firmware itself\\r\\n\"",
    "refusal_end:",
    "    .balign 4",

    // Drop cached lines of [x4, x5) to the point of coherency. Clobbers x12, x13.
    "invalidate_lines:",
    "    dsb     sy",
    "    mrs     x12, ctr_el0",
    "    ubfx    x12, x12, #16, #4",
    "    mov     x13, #4",
    "    lsl     x12, x13, x12",
    "    sub     x13, x12, #1",
    "    bic     x4, x4, x13",
    "22: dc      ivac, x4",
    "    add     x4, x4, x12",
    "    cmp     x4, x5",
    "    b.lo    22b",
    "    dsb     sy",
    "    ret",
    "    .ltorg",
    ".popsection",

    // In a page of its own kind: it is what tells RAM from ROM.
    ".pushsection .data.write_probe, \"aw\"",
    "    .balign 8",
    "write_probe:",
    "    .quad   0",
    ".popsection",
    SCTLR_EL1_OFF = const SCTLR_EL1_OFF,
    SCTLR_EL2_OFF = const SCTLR_EL2_OFF,
    SCTLR_ON = const SCTLR_ON,
    HCR_EL2 = const HCR_EL2,
    IMAGE_ALIGN = const IMAGE_ALIGN,
    DEFAULT_DTB = const DEFAULT_DTB,
    FDT_MAGIC_LE = const FDT_MAGIC_LE,
    FDT_MAX = const FDT_MAX,
    DESC_TABLE = const DESC_TABLE,
    PAGE_WB = const PAGE_WB,
    PAGE_READ_ONLY = const PAGE_READ_ONLY,
    PAGE_EXECUTE_NEVER = const PAGE_EXECUTE_NEVER,
    PAGE_EL2 = const PAGE_EL2,
    TCR_BASE = const TCR_BASE,
    TCR_EL1_EPD1 = const TCR_EL1_EPD1,
    TCR_EL1_IPS_SHIFT = const TCR_EL1_IPS_SHIFT,
    TCR_EL2_RES1 = const TCR_EL2_RES1,
    TCR_EL2_PS_SHIFT = const TCR_EL2_PS_SHIFT,
    PA_RANGE_48 = const PA_RANGE_48,
    RSI_VERSION = const RSI_VERSION,
    RSI_REALM_CONFIG = const RSI_REALM_CONFIG,
    RSI_IPA_STATE_SET = const RSI_IPA_STATE_SET,
    RSI_1_0 = const RSI_1_0,
    RSI_1_1 = const RSI_1_1,
    RSI_ERROR_INPUT = const RSI_ERROR_INPUT,
    RSI_PATIENCE = const RSI_PATIENCE,
    RIPAS_RAM = const RIPAS_RAM,
    UART = const UART,
    UART_KVMTOOL = const UART_KVMTOOL,
    MAIR = const crate::MAIR,
);
