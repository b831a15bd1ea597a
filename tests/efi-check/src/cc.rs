//! EFI_CC_MEASUREMENT_PROTOCOL (UEFI 2.11, chapter 38): there in a realm, and not in a plain VM. What it does to registers
//! and log is tested on the host; here, that what the caller passes gets there, and the status codes.

use core::ffi::c_void;
use core::{ptr, slice};

use r_efi::efi::{Boolean, Guid, PhysicalAddress, Status};

use crate::env;
use crate::options::Options;
use crate::pe;
use crate::report::{check, equal, say, status};
use crate::tables::config_table;

const PROTOCOL: Guid =
    Guid::from_fields(0x9675_1a3d, 0x72f4, 0x41a6, 0xa7, 0x94, &[0xed, 0x5d, 0x0e, 0x67, 0xae, 0x6b]);
const FINAL_EVENTS: Guid =
    Guid::from_fields(0xdd4a_4648, 0x2de7, 0x4665, 0x96, 0x4d, &[0x21, 0xd9, 0xef, 0x5f, 0xb4, 0x46]);

const TCG_2: u32 = 2;
const EXTEND_ONLY: u64 = 1;
const PE_COFF_IMAGE: u64 = 0x10;
const IPL: u32 = 0xd;

#[repr(C)]
pub struct Protocol {
    get_capability: unsafe extern "efiapi" fn(*mut Protocol, *mut c_void) -> Status,
    get_event_log: unsafe extern "efiapi" fn(
        *mut Protocol,
        u32,
        *mut PhysicalAddress,
        *mut PhysicalAddress,
        *mut Boolean,
    ) -> Status,
    hash_log_extend_event: unsafe extern "efiapi" fn(*mut Protocol, u64, PhysicalAddress, u64, *const c_void) -> Status,
    map_pcr_to_mr_index: unsafe extern "efiapi" fn(*mut Protocol, u32, *mut u32) -> Status,
}

/// EFI_CC_EVENT with room for a long event.
#[repr(C, packed)]
struct Event {
    size: u32,
    header_size: u32,
    header_version: u16,
    mr_index: u32,
    event_type: u32,
    data: [u8; 4096],
}

impl Event {
    fn new(mr_index: u32, length: usize) -> Self {
        let size = 18 + length as u32;
        Self { size, header_size: 14, header_version: 1, mr_index, event_type: IPL, data: [b'e'; 4096] }
    }
}

#[derive(Clone, Copy)]
struct Log {
    start: u64,
    last: u64,
    truncated: bool,
}

impl Protocol {
    fn log(&mut self) -> Log {
        let (mut start, mut last, mut truncated) = (0, 0, Boolean::FALSE);
        let read = unsafe { (self.get_event_log)(self, TCG_2, &mut start, &mut last, &mut truncated) };
        status("GetEventLog", read, Status::SUCCESS);
        Log { start, last, truncated: truncated.into() }
    }

    fn extend(&mut self, flags: u64, data: &[u8], event: &Event) -> Status {
        let data_at = data.as_ptr().addr() as u64;
        unsafe { (self.hash_log_extend_event)(self, flags, data_at, data.len() as u64, (&raw const *event).cast()) }
    }
}

pub fn run(options: &Options) {
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    if !options.realm {
        check("no measurement where no register is", protocol.is_null());
        return check("no final events where no register is", config_table(&FINAL_EVENTS).is_none());
    }
    check("measurement in a realm", !protocol.is_null());
    if protocol.is_null() {
        return;
    }
    let protocol = unsafe { &mut *protocol };
    capability(protocol);
    registers(protocol);
    log(protocol);
    refusals(protocol);
    if options.fill {
        fill(protocol);
    }
}

/// How many GPTs the log has; `None` where nothing is measured.
pub fn gpt_events() -> Option<usize> {
    // The index of REM[1], then EV_EFI_GPT_EVENT.
    const START: [u8; 8] = [2, 0, 0, 0, 6, 0, 0, 0x80];
    let protocol: *mut Protocol = env::locate(&PROTOCOL);
    let log = unsafe { protocol.as_mut() }?.log();
    let (start, length) = (log.start as usize, (log.last - log.start) as usize + START.len());
    let log: &[u8] = unsafe { slice::from_raw_parts(ptr::with_exposed_provenance(start), length) };
    Some(log.windows(START.len()).filter(|bytes| *bytes == START).count())
}

fn capability(protocol: &mut Protocol) {
    let mut bytes = [0xffu8; 24];
    let get = |protocol: &mut Protocol, to: *mut u8| unsafe { (protocol.get_capability)(protocol, to.cast()) };
    status("GetCapability: nowhere", get(protocol, ptr::null_mut()), Status::INVALID_PARAMETER);
    bytes[0] = 19;
    status("GetCapability: too small", get(protocol, bytes.as_mut_ptr()), Status::BUFFER_TOO_SMALL);
    check("GetCapability: says how large", bytes[0] == 20 && bytes[1..].iter().all(|&byte| byte == 0xff));
    status("GetCapability", get(protocol, bytes.as_mut_ptr()), Status::SUCCESS);
    equal("GetCapability: versions 1.0", &bytes[..5], &[20, 1, 0, 1, 0]);
    check("GetCapability: one hash", matches!(bytes[8..12], [2 | 4 | 8, 0, 0, 0]));
    equal("GetCapability: TCG 2 log, Arm CCA", &bytes[12..18], &[2, 0, 0, 0, 4, 0]);
    equal("GetCapability: no more", &bytes[20..], &[0xff; 4]);
}

fn registers(protocol: &mut Protocol) {
    let map = |protocol: &mut Protocol, pcr| {
        let mut index = u32::MAX;
        let is = unsafe { (protocol.map_pcr_to_mr_index)(protocol, pcr, &mut index) };
        (is, index)
    };
    for (pcr, index) in [0, 1, 2, 2, 2, 2, 2, 1, 3, 3, 3, 3, 3, 3, 3, 3].into_iter().enumerate() {
        equal("MapPcrToMrIndex", map(protocol, pcr as u32), (Status::SUCCESS, index));
    }
    equal("MapPcrToMrIndex: no such PCR", map(protocol, 16).0, Status::UNSUPPORTED);
    let nowhere = unsafe { (protocol.map_pcr_to_mr_index)(protocol, 1, ptr::null_mut()) };
    status("MapPcrToMrIndex: nowhere", nowhere, Status::INVALID_PARAMETER);
}

fn log(protocol: &mut Protocol) {
    let Some(table) = config_table(&FINAL_EVENTS) else {
        return check("a table of final events", false);
    };
    let final_events = || unsafe { table.cast::<[u64; 2]>().read() };
    equal("final events: none before the log is read", final_events(), [1, 0]);
    equal("HashLogExtendEvent", protocol.extend(0, b"data", &Event::new(3, 5)), Status::SUCCESS);
    equal("final events: still none", final_events(), [1, 0]);
    let before = protocol.log();
    let signature = unsafe { slice::from_raw_parts((before.start as usize + 32) as *const u8, 15) };
    equal("GetEventLog: begins with its specification", signature, b"Spec ID Event03");
    check("GetEventLog: complete", !before.truncated);
    let last = |log: Log| unsafe { (log.last as *const [u32; 3]).read_unaligned() };
    equal("GetEventLog: last entry", last(before), [3, IPL, 1]);

    // The data of both at odd addresses.
    let odd = [0, b'd', b'a', b't', b'a'];
    equal("HashLogExtendEvent: again", protocol.extend(0, &odd[1..], &Event::new(1, 7)), Status::SUCCESS);
    let after = protocol.log();
    check("GetEventLog: one more", after.start == before.start && after.last > before.last);
    equal("GetEventLog: the new one", last(after), [1, IPL, 1]);
    equal("final events: one", final_events(), [1, 1]);
    let event = unsafe { table.cast::<u8>().wrapping_add(16).cast::<[u32; 3]>().read_unaligned() };
    equal("final events: the same", event, [1, IPL, 1]);
    let digest = |at: u64| unsafe { ((at + 14) as *const [u8; 32]).read() };
    equal("HashLogExtendEvent: the same data", digest(after.last), digest(before.last));
    let image = pe::build(never, pe::APPLICATION);
    equal("HashLogExtendEvent: image", protocol.extend(PE_COFF_IMAGE, &image, &Event::new(2, 1)), Status::SUCCESS);
    let image_digest = digest(protocol.log().last);
    equal("HashLogExtendEvent: file", protocol.extend(0, &image, &Event::new(2, 1)), Status::SUCCESS);
    check("HashLogExtendEvent: not the same", digest(protocol.log().last) != image_digest);
    let unlogged = protocol.log();
    equal("HashLogExtendEvent: extend only", protocol.extend(EXTEND_ONLY, b"", &Event::new(3, 1)), Status::SUCCESS);
    equal("GetEventLog: not logged", protocol.log().last, unlogged.last);
}

extern "efiapi" fn never(_image: r_efi::efi::Handle, _table: *mut r_efi::efi::SystemTable) -> Status {
    Status::ABORTED
}

fn refusals(protocol: &mut Protocol) {
    let (mut at, mut last, mut truncated) = (0, 0, Boolean::FALSE);
    let other = unsafe { (protocol.get_event_log)(protocol, 1, &mut at, &mut last, &mut truncated) };
    status("GetEventLog: another format", other, Status::INVALID_PARAMETER);
    let nowhere = unsafe { (protocol.get_event_log)(protocol, TCG_2, ptr::null_mut(), &mut last, &mut truncated) };
    status("GetEventLog: nowhere", nowhere, Status::INVALID_PARAMETER);
    let before = protocol.log();
    let mut refused = |name, flags, data: &[u8], event: &Event, is| {
        status(name, protocol.extend(flags, data, event), is);
    };
    refused("HashLogExtendEvent: RIM", 0, b"", &Event::new(0, 1), Status::INVALID_PARAMETER);
    refused("HashLogExtendEvent: REM[3]", 0, b"", &Event::new(4, 1), Status::INVALID_PARAMETER);
    refused("HashLogExtendEvent: no register", 0, b"", &Event::new(5, 1), Status::INVALID_PARAMETER);
    let short = Event { size: 17, ..Event::new(1, 1) };
    refused("HashLogExtendEvent: shorter than its header", 0, b"", &short, Status::INVALID_PARAMETER);
    let long = Event { header_size: 4096, ..Event::new(1, 1) };
    refused("HashLogExtendEvent: header beyond its end", 0, b"", &long, Status::INVALID_PARAMETER);
    let version = Event { header_version: 2, ..Event::new(1, 1) };
    refused("HashLogExtendEvent: another version", 0, b"", &version, Status::INVALID_PARAMETER);
    refused("HashLogExtendEvent: another flag", 2, b"", &Event::new(1, 1), Status::INVALID_PARAMETER);
    refused("HashLogExtendEvent: no image", PE_COFF_IMAGE, b"data", &Event::new(2, 1), Status::UNSUPPORTED);
    let event = Event::new(1, 1);
    let call = protocol.hash_log_extend_event;
    let event: *const c_void = (&raw const event).cast();
    status("HashLogExtendEvent: no data", unsafe { call(protocol, 0, 0, 1, event) }, Status::INVALID_PARAMETER);
    let beyond = unsafe { call(protocol, 0, u64::MAX, 2, event) };
    status("HashLogExtendEvent: data beyond all memory", beyond, Status::INVALID_PARAMETER);
    let none = unsafe { call(protocol, 0, 0, 0, ptr::null()) };
    status("HashLogExtendEvent: no event", none, Status::INVALID_PARAMETER);
    equal("GetEventLog: nothing of that", protocol.log().last, before.last);
}

/// Until the log is full. The firmware does not end boot services then.
fn fill(protocol: &mut Protocol) {
    let before = protocol.log();
    let mut count = 0;
    let full = loop {
        let is = protocol.extend(0, b"data", &Event::new(3, 4096));
        if is != Status::SUCCESS || count == 1000 {
            break is;
        }
        count += 1;
    };
    say!("# {count} events of 4 KiB");
    status("HashLogExtendEvent: full", full, Status::VOLUME_FULL);
    status("HashLogExtendEvent: full for small ones", protocol.extend(0, b"", &Event::new(3, 0)), Status::VOLUME_FULL);
    let after = protocol.log();
    check("GetEventLog: truncated", after.truncated && after.last > before.last);
}
