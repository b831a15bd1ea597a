//! Faults and panics: say what happened, then power off.
#![expect(unsafe_code, reason = "the vectors call by symbol, and a backtrace reads the stack")]

mod syndrome;

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use address_space::page_table::PAGE_SIZE;
use boot_asm::{ExceptionFrame, layout};
use spin::Once;

use crate::arch::{self, psci};
use crate::devices::console;
use crate::log::{self, raw};
use crate::{memory, realm};
use syndrome::Syndrome;

/// The first fault, which is the one that is told of.
static FIRST: Once<ExceptionFrame> = Once::new();

/// How far that has come: one of the values below.
static STAGE: AtomicU32 = AtomicU32::new(NO_FAULT);
const NO_FAULT: u32 = 0;
/// The console is looked for in the device tree, which may fault in its turn.
const LOOKING: u32 = 1;
/// There is a console, or the one that is left is being tried. A fault from here on ends without words.
const TELLING: u32 = 2;

const MAX_FRAMES: usize = 32;

/// The breakpoint of a panic. Its `x0` is the address of the `PanicInfo`.
const PANIC: u16 = 0x7066;

/// Where the vectors come to, on the fault stack.
///
/// # Safety
/// Called by boot-asm's vectors only, with the frame they saved.
#[unsafe(no_mangle)]
unsafe extern "C" fn realmfw_exception(frame: *mut ExceptionFrame) -> ! {
    // SAFETY: the vectors pass the address of the frame they filled; the next fault makes another in its place.
    let frame = FIRST.call_once(|| unsafe { frame.read() });
    // SAFETY: no code that faulted is returned to.
    unsafe { memory::seize_tables() };
    match STAGE.fetch_add(1, Ordering::Relaxed) {
        NO_FAULT => {
            realm::find_shared_bit();
            if let Some(bit) = realm::shared_bit_beyond_tables() {
                console::say_beyond(bit, "realmfw: fault\r\n");
            }
            console::start_early();
            STAGE.store(TELLING, Ordering::Relaxed);
        }
        LOOKING => console::start_last_resort(),
        _ => psci::stop(),
    }
    report(frame);
    psci::system_off()
}

fn report(frame: &ExceptionFrame) {
    let syndrome = Syndrome(frame.esr);
    // A host that does not answer is no fault of the firmware.
    if syndrome.is_external_data_abort()
        && let Some(what) = memory::answered_by_host(frame.far)
    {
        log::error!("realm: the host does not answer an access to {what} at {:#x}: external abort", frame.far);
        return;
    }
    let [info, .., fp, lr] = frame.x;
    let is_panic = syndrome.breakpoint() == Some(PANIC) && is_code(frame.elr);
    if is_panic {
        // SAFETY: only `panic` has this breakpoint in the image, and it lends what x0 points to for ever, as it does not return.
        let info = unsafe { &*core::ptr::with_exposed_provenance::<PanicInfo<'_>>(info as usize) };
        raw(format_args!("\r\nrealmfw: panic: {}", info.message()));
        if let Some(location) = info.location() {
            raw(format_args!(" at {}:{}", location.file(), location.line()));
        }
        raw(format_args!("\r\n"));
    } else {
        let kind = match frame.vector & 3 {
            0 => "synchronous exception",
            1 => "IRQ",
            2 => "FIQ",
            _ => "SError",
        };
        raw(format_args!("\r\nrealmfw: fault: {kind} at EL{}: {syndrome}\r\n", arch::exception_level()));
    }
    if syndrome.has_address() {
        raw(format_args!("  address {:#018x}", frame.far));
        let guard = layout::stack_guard();
        if (guard..guard + PAGE_SIZE).contains(&frame.far) {
            raw(format_args!(" (the guard page: the stack is exhausted)"));
        }
        raw(format_args!("\r\n"));
    }
    raw(format_args!("  elr {:#018x}  spsr {:#010x}  esr {:#010x}\r\n", frame.elr, frame.spsr, frame.esr));
    // In a realm the console is the host's, which can cause a fault when it likes: registers may hold secrets.
    if !realm::is_realm() {
        for (index, value) in frame.x.iter().enumerate() {
            let end = if index % 4 == 3 { "\r\n" } else { "" };
            raw(format_args!("  x{index:<2} {value:#018x}{end}"));
        }
        raw(format_args!("  sp  {:#018x}\r\n", frame.sp));
    }
    // `panic` has a frame of its own, which names its caller already.
    backtrace(frame.elr, fp, (!is_panic).then_some(lr));
}

/// Prints the chain of frames as offsets into the image, which `cargo xtask symbolize` turns into names.
fn backtrace(pc: u64, fp: u64, lr: Option<u64>) {
    raw(format_args!("backtrace:\r\n"));
    print_frame(pc);
    // A leaf function, or a jump to nowhere, has its caller only in the link register.
    if let Some(lr) = lr {
        print_frame(lr.wrapping_sub(4));
    }
    let mut fp = fp;
    for _ in 0..MAX_FRAMES {
        let stack = layout::stack_guard() + PAGE_SIZE..layout::stack_top() - 15;
        let fault_stack = layout::fault_stack_guard() + PAGE_SIZE..layout::stack_guard() - 15;
        if !fp.is_multiple_of(16) || !(stack.contains(&fp) || fault_stack.contains(&fp)) {
            break;
        }
        // SAFETY: sixteen aligned bytes inside one of the image's two stacks, which are mapped and readable.
        let [next, lr] = unsafe { core::ptr::with_exposed_provenance::<[u64; 2]>(fp as usize).read_volatile() };
        if lr == 0 {
            break;
        }
        print_frame(lr.wrapping_sub(4));
        // Frames lie one above the other; a chain that does not is no chain.
        if next <= fp {
            break;
        }
        fp = next;
    }
}

fn print_frame(pc: u64) {
    if is_code(pc) {
        raw(format_args!("  image+{:#x}\r\n", pc - layout::image_start()));
    } else {
        raw(format_args!("  {pc:#x}\r\n"));
    }
}

fn is_code(pc: u64) -> bool {
    (layout::image_start()..layout::text_end()).contains(&pc)
}

/// Becomes an exception at once, so that the registers are told as the code that panicked left them, as far as the
/// calling convention keeps them.
#[cfg(target_os = "none")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    // SAFETY: the vectors are in place before any Rust runs, and do not come back from a breakpoint.
    unsafe {
        core::arch::asm!(
            "brk #{PANIC}",
            PANIC = const PANIC,
            in("x0") core::ptr::from_ref(info).expose_provenance(),
            options(noreturn, readonly),
        );
    }
}
