//! The data part of the region: the tables, the state of the services, the variables.
#![expect(unsafe_code, reason = "the one place that makes references to the data part")]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::convert::Infallible;
use core::mem::{MaybeUninit, size_of};

use realmfw_runtime::time::Zone;
use realmfw_runtime::variables::{Bank, Banks, Phase, Seal, Variables};
use runtime_abi::{ALIGNMENT, Conduit, Tables};

/// Length of the part with code and read-only data, in bytes.
pub const CODE_SIZE: usize = ALIGNMENT;

/// Length of the data part, in bytes: room for about 120 KiB of variables, twice.
pub const DATA_SIZE: usize = 4 * ALIGNMENT;

const STORE_SIZE: usize = (DATA_SIZE - size_of::<Tables>() - size_of::<State>()) / 2 - size_of::<Seal>();

/// What the services remember.
#[repr(C)]
pub struct State {
    /// Before or after `ExitBootServices()`.
    pub phase: Phase,
    /// Whether `SetVirtualAddressMap()` has been called.
    pub is_virtual: bool,
    /// How PSCI is called.
    pub conduit: Conduit,
    /// Where the clock's registers are now; zero if there is no clock.
    pub rtc_base: u64,
    /// The map of a `SetVirtualAddressMap()` in progress.
    pub conversion: Option<Conversion>,
    /// Where the variables are.
    pub bank: Bank,
}

/// The parameters of a `SetVirtualAddressMap()` in progress.
#[derive(Clone, Copy)]
pub struct Conversion {
    /// Address of the map.
    pub map: *const u8,
    /// Its length in bytes.
    pub size: usize,
    /// Distance of its descriptors in bytes.
    pub descriptor_size: usize,
    /// Version of its descriptors.
    pub descriptor_version: u32,
}

#[repr(C)]
struct Data {
    tables: Tables,
    state: State,
    banks: Banks<STORE_SIZE>,
}

/// What non-volatile variables leave free, in bytes: several times what the firmware's own volatile ones take.
const RESERVE: usize = 0x1000;

const _: () = assert!(size_of::<Data>() == DATA_SIZE);

#[repr(C, align(0x10000))]
struct Region(UnsafeCell<MaybeUninit<Data>>);

// SAFETY: the data is reached only through the functions below, whose callers are the runtime
// services, and UEFI 2.10, section 8.1, forbids an OS to call one while another is busy.
unsafe impl Sync for Region {}

static REGION: Region = Region(UnsafeCell::new(MaybeUninit::zeroed()));

const _: () = assert!(align_of::<Region>() == ALIGNMENT);

fn data() -> *mut Data {
    REGION.0.get().cast()
}

/// The tables at the start of the data part, at the address that the caller runs with.
pub fn tables() -> *mut Tables {
    // SAFETY: stays inside the static.
    unsafe { &raw mut (*data()).tables }
}

/// Address of the region's first byte, as the caller runs with.
pub fn start() -> u64 {
    (data() as u64).wrapping_sub(CODE_SIZE as u64)
}

/// Makes the state, once, before anything else here is used.
pub fn set_state(state: State) {
    // SAFETY: inside the static, and nothing else refers to it yet.
    unsafe { (&raw mut (*data()).state).write(state) }
}

/// Lends the state to `use_it`, which calls nothing outside the image and not this function.
pub fn with_state<R>(use_it: impl FnOnce(&mut State) -> R) -> R {
    // SAFETY: set_state() has been called, for an OS gets the tables only after it; no other
    // reference exists because services do not overlap and `use_it` makes none.
    use_it(unsafe { &mut (*data()).state })
}

/// Lends the variables of the current phase to `use_them`, which calls nothing outside the image
/// and neither this function nor [`with_state`].
pub fn with_variables<R>(use_them: impl FnOnce(&Variables<'_>) -> R) -> R {
    with_banks(|state, banks| {
        banks.read(state.bank, |store, _| use_them(&Variables::new(store, state.phase).with_reserve(RESERVE)))
    })
}

/// The zone that was set last.
pub fn zone() -> Zone {
    with_banks(|state, banks| banks.read(state.bank, |_, kept| kept.zone))
}

/// Lends the variables and the zone to `change` likewise. What it leaves, and the monotonic count, is there after a
/// reset, which may come at any time; one that is refused changes nothing.
pub fn change<E>(change: impl FnOnce(&mut Variables<'_>, &mut Zone) -> Result<(), E>) -> Result<(), E> {
    with_banks(|state, banks| {
        let phase = state.phase;
        banks.change(&mut state.bank, |store, kept| {
            // SAFETY: the tables are this image's and nobody else is using them now.
            kept.monotonic_high = unsafe { (*tables()).monotonic_high };
            change(&mut Variables::new(store, phase).with_reserve(RESERVE), &mut kept.zone)
        })
    })
}

/// Keeps the monotonic count, and the zone, if there is a new one.
pub fn keep(zone: Option<Zone>) {
    let Ok(()) = change::<Infallible>(|_, kept| {
        *kept = zone.unwrap_or(*kept);
        Ok(())
    });
}

/// Takes over what the memory still holds from before a reset, if it `may`, and counts the reset.
pub fn recover(may: bool) {
    // The language knows no memory that outlives a reset: to it the banks are zero until something writes to them, and
    // this is what wrote what is there.
    // SAFETY: no instruction. It stands for a change of the banks, to which nothing refers here, and any value is one of
    // their type.
    unsafe { asm!("/* {} */", in(reg) &raw mut (*data()).banks, options(nostack, preserves_flags)) };
    let kept = with_banks(|state, banks| {
        state.bank = if may { banks.recover() } else { banks.clear() };
        banks.read(state.bank, |_, kept| kept)
    });
    // SAFETY: as above.
    unsafe { (*tables()).monotonic_high = kept.monotonic_high.wrapping_add(1) };
}

/// Lends the state and the banks to `use_them`, under the conditions of [`with_state`].
fn with_banks<R>(use_them: impl FnOnce(&mut State, &mut Banks<STORE_SIZE>) -> R) -> R {
    with_state(|state| {
        // SAFETY: inside the static and apart from the state; memory of the region, which always has a value, and any
        // is one of this type. No other reference exists, as above.
        use_them(state, unsafe { &mut (*data()).banks })
    })
}
