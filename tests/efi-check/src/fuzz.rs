//! Random calls of boot services: handles, events, sizes, types and GUIDs of any value, pointers
//! that are null or good for what the service does with them. The firmware may refuse or do what
//! is asked, but must go on.

mod paths;
mod protocols;
mod runtime;

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use r_efi::efi::{self, Boolean, Event, Guid, Handle, Status};

use crate::env::{self, bs, free, pool};
use crate::memory::Map;
use crate::pe;
use crate::report::{check, say, status};

const SLOTS: usize = 48;
const SCRATCH: usize = 64 * 1024;

static NOTIFIED: AtomicU64 = AtomicU64::new(0);

extern "efiapi" fn notified(_event: Event, _context: *mut c_void) {
    NOTIFIED.fetch_add(1, Ordering::Relaxed);
}

extern "efiapi" fn not_run(_handle: Handle, _table: *mut efi::SystemTable) -> Status {
    Status::ABORTED
}

/// xorshift64*.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn often(&mut self) -> bool {
        self.below(4) != 0
    }

    /// A number of the kind that goes wrong.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => 1 << self.below(64),
            3 => (1 << self.below(64)) - 1,
            4 => self.next(),
            5 => self.next() & 0xffff_f000,
            _ => self.next() % 64,
        }
    }

    fn kind(&mut self) -> u32 {
        if self.often() { self.below(16) as u32 } else { self.number() as u32 }
    }
}

#[derive(Clone, Copy)]
struct Pages {
    start: u64,
    count: usize,
}

struct Fuzz {
    random: Random,
    pages: [Option<Pages>; SLOTS],
    pools: [*mut u8; SLOTS],
    events: [Event; SLOTS],
    handles: [Handle; SLOTS],
    scratch: *mut u8,
    marks: [u64; 4],
}

pub fn run(seed: u64, calls: u64) {
    let mut fuzz = Fuzz {
        random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
        pages: [None; SLOTS],
        pools: [ptr::null_mut(); SLOTS],
        events: [ptr::null_mut(); SLOTS],
        handles: [ptr::null_mut(); SLOTS],
        scratch: pool(SCRATCH),
        marks: [0; 4],
    };
    let before = free_pages();
    say!("# seed {seed}, {calls} calls");
    for _ in 0..calls {
        fuzz.call();
    }
    fuzz.clean_up();
    free(fuzz.scratch);
    check("fuzz: still alive", true);
    check("fuzz: memory comes back", free_pages() + 256 >= before);
    let mut tpl = unsafe { (bs().raise_tpl)(efi::TPL_HIGH_LEVEL) };
    unsafe { (bs().restore_tpl)(tpl) };
    check("fuzz: TPL", tpl == efi::TPL_APPLICATION);
    tpl = 0;
    let mut event = ptr::null_mut();
    let is = unsafe { (bs().create_event)(0, tpl, None, ptr::null_mut(), &mut event) };
    status("fuzz: events still work", is, Status::SUCCESS);
    unsafe { (bs().close_event)(event) };
}

fn free_pages() -> u64 {
    let map = Map::read();
    let pages = map.iter().filter(|d| d.r#type == efi::CONVENTIONAL_MEMORY).map(|d| d.number_of_pages).sum();
    map.release();
    pages
}

impl Fuzz {
    fn slot(&mut self) -> usize {
        self.random.below(SLOTS)
    }

    fn guid(&mut self) -> Guid {
        let last = self.random.below(6) as u8;
        Guid::from_fields(0xf022_0001, 0x4a4b, 0x4c4d, 0x80, 0x81, &[1, 2, 3, 4, 5, last])
    }

    fn handle(&mut self) -> Handle {
        match self.random.below(6) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(self.random.number() as usize),
            2 => env::image(),
            3 => self.scratch.cast(),
            _ => {
                let slot = self.slot();
                self.handles[slot]
            }
        }
    }

    fn event(&mut self) -> Event {
        match self.random.below(6) {
            0 => ptr::null_mut(),
            1 => ptr::without_provenance_mut(self.random.number() as usize),
            _ => {
                let slot = self.slot();
                self.events[slot]
            }
        }
    }

    /// Null, or what can be written.
    fn out<T>(&mut self) -> *mut T {
        if self.random.often() { self.scratch.cast() } else { ptr::null_mut() }
    }

    fn interface(&mut self) -> *mut c_void {
        let index = self.random.below(4);
        (&raw mut self.marks[index]).cast()
    }

    fn call(&mut self) {
        match self.random.below(28) {
            0 => self.allocate_pages(),
            1 => self.free_pages(),
            2 => self.allocate_pool(),
            3 => self.free_pool(),
            4 => self.memory_map(),
            5 => self.create_event(),
            6 => self.close_event(),
            7 => self.use_event(),
            8 => self.set_timer(),
            9 | 10 => self.install(),
            11 | 12 => self.uninstall(),
            13 => self.reinstall(),
            14 => self.open(),
            15 => self.close(),
            16 => self.locate(),
            17 => self.ask(),
            18 => self.tpl(),
            19 => self.image(),
            20 => self.image_handles(),
            21 => self.controllers(),
            22 => self.misc(),
            23 => self.register(),
            24 => self.multiple(),
            25 => self.device_path(),
            26 => self.runtime(),
            _ => self.members(),
        }
    }

    fn allocate_pages(&mut self) {
        let slot = self.slot();
        let mut start = self.random.number();
        let count = if self.random.often() { self.random.below(40) } else { self.random.number() as usize };
        let (kind, memory_type) = (self.random.below(4) as u32, self.random.kind());
        let is = unsafe { (bs().allocate_pages)(kind, memory_type, count, &mut start) };
        if is == Status::SUCCESS {
            self.release(slot);
            // Too much of it would leave nothing for the others.
            self.pages[slot] = Some(Pages { start, count });
            if count > 1024 {
                self.release(slot);
            }
        }
    }

    fn release(&mut self, slot: usize) {
        if let Some(pages) = self.pages[slot].take() {
            unsafe { (bs().free_pages)(pages.start, pages.count) };
        }
    }

    fn free_pages(&mut self) {
        let slot = self.slot();
        if self.random.often() {
            return self.release(slot);
        }
        // Part of an allocation, or what is none: below all RAM, or not a page.
        match self.pages[slot] {
            Some(pages) if pages.count > 1 => {
                let skip = self.random.below(pages.count);
                let is = unsafe { (bs().free_pages)(pages.start + skip as u64 * 4096, pages.count - skip) };
                if is == Status::SUCCESS {
                    self.pages[slot] = (skip > 0).then_some(Pages { start: pages.start, count: skip });
                }
            }
            _ => unsafe {
                let start = self.random.number() | 1;
                let _ = (bs().free_pages)(start, self.random.number() as usize);
            },
        }
    }

    fn allocate_pool(&mut self) {
        let slot = self.slot();
        let size = if self.random.often() { self.random.below(20_000) } else { self.random.number() as usize };
        let mut buffer = ptr::null_mut();
        let is = unsafe { (bs().allocate_pool)(self.random.kind(), size, &mut buffer) };
        if is == Status::SUCCESS {
            if size < 1 << 20 {
                unsafe { ptr::write_bytes(buffer.cast::<u8>(), 0x5a, size) };
            }
            let old = core::mem::replace(&mut self.pools[slot], buffer.cast());
            if !old.is_null() {
                free(old);
            }
            if size >= 1 << 20 {
                free(core::mem::replace(&mut self.pools[slot], ptr::null_mut()));
            }
        }
    }

    fn free_pool(&mut self) {
        let slot = self.slot();
        let old = core::mem::replace(&mut self.pools[slot], ptr::null_mut());
        unsafe {
            if !old.is_null() {
                let _ = (bs().free_pool)(old.cast());
                let _ = (bs().free_pool)(old.cast());
            }
            let _ = (bs().free_pool)(self.scratch.wrapping_add(64).cast());
        }
    }

    fn memory_map(&mut self) {
        let mut size = if self.random.often() { SCRATCH } else { self.random.below(SCRATCH) };
        let (mut key, mut descriptor_size, mut version) = (0, 0, 0);
        unsafe {
            (bs().get_memory_map)(&mut size, self.scratch.cast(), &mut key, &mut descriptor_size, &mut version);
            // Any key but the right one.
            let _ = (bs().exit_boot_services)(self.handle(), key ^ (1 << 40));
        }
    }

    fn create_event(&mut self) {
        let kinds = [
            0,
            efi::EVT_TIMER,
            efi::EVT_NOTIFY_SIGNAL,
            efi::EVT_NOTIFY_WAIT,
            efi::EVT_TIMER | efi::EVT_NOTIFY_SIGNAL,
            efi::EVT_TIMER | efi::EVT_NOTIFY_WAIT,
        ];
        let kind = if self.random.often() { kinds[self.random.below(6)] } else { self.random.kind() };
        // What an operating system would be told when addresses change must not be left behind.
        if kind & 0xff == efi::EVT_SIGNAL_VIRTUAL_ADDRESS_CHANGE & 0xff {
            return;
        }
        let tpls = [efi::TPL_APPLICATION, efi::TPL_CALLBACK, efi::TPL_NOTIFY, efi::TPL_HIGH_LEVEL, 9, 99];
        let tpl = tpls[self.random.below(6)];
        let function = if self.random.often() { Some(notified as efi::EventNotify) } else { None };
        let slot = self.slot();
        let mut event = ptr::null_mut();
        let is = unsafe {
            if self.random.often() {
                (bs().create_event)(kind, tpl, function, ptr::null_mut(), &mut event)
            } else {
                let group = self.guid();
                (bs().create_event_ex)(kind, tpl, function, ptr::null_mut(), &group, &mut event)
            }
        };
        if is == Status::SUCCESS {
            let old = core::mem::replace(&mut self.events[slot], event);
            unsafe {
                let _ = (bs().close_event)(old);
            }
        }
    }

    fn close_event(&mut self) {
        let event = self.event();
        unsafe {
            let _ = (bs().close_event)(event);
            let _ = (bs().signal_event)(event);
        }
    }

    fn use_event(&mut self) {
        let event = self.event();
        unsafe {
            match self.random.below(3) {
                0 => drop((bs().signal_event)(event)),
                1 => drop((bs().check_event)(event)),
                _ => {
                    // One that is not signalled would be waited for, so one is.
                    let mut ready = ptr::null_mut();
                    (bs().create_event)(0, 0, None, ptr::null_mut(), &mut ready);
                    (bs().signal_event)(ready);
                    let mut events = [event, ready];
                    let mut index = 0;
                    let _ = (bs().wait_for_event)(2, events.as_mut_ptr(), &mut index);
                    (bs().close_event)(ready);
                }
            }
        }
    }

    fn set_timer(&mut self) {
        let event = self.event();
        let time = self.random.number();
        unsafe {
            let _ = (bs().set_timer)(event, self.random.below(4) as u32, time);
        }
    }

    fn install(&mut self) {
        let slot = self.slot();
        let mut handle = if self.random.often() { self.handle() } else { ptr::null_mut() };
        let (mut guid, interface) = (self.guid(), self.interface());
        let kind = u32::from(!self.random.often() && !self.random.often());
        let is = unsafe { (bs().install_protocol_interface)(&mut handle, &mut guid, kind, interface) };
        if is == Status::SUCCESS {
            self.handles[slot] = handle;
        }
    }

    fn uninstall(&mut self) {
        let (handle, mut guid, interface) = (self.handle(), self.guid(), self.interface());
        unsafe {
            let _ = (bs().uninstall_protocol_interface)(handle, &mut guid, interface);
        }
    }

    fn reinstall(&mut self) {
        let (handle, mut guid) = (self.handle(), self.guid());
        let (old, new) = (self.interface(), self.interface());
        unsafe {
            let _ = (bs().reinstall_protocol_interface)(handle, &mut guid, old, new);
        }
    }

    fn open(&mut self) {
        let (handle, mut guid) = (self.handle(), self.guid());
        let (agent, controller) = (self.handle(), self.handle());
        let attributes = if self.random.often() { 1 << self.random.below(6) } else { self.random.number() as u32 };
        let out = self.out();
        unsafe {
            let _ = (bs().open_protocol)(handle, &mut guid, out, agent, controller, attributes);
        }
    }

    fn close(&mut self) {
        let (handle, mut guid) = (self.handle(), self.guid());
        let (agent, controller) = (self.handle(), self.handle());
        unsafe {
            let _ = (bs().close_protocol)(handle, &mut guid, agent, controller);
        }
    }

    fn locate(&mut self) {
        let mut guid = self.guid();
        let id: *mut Guid = if self.random.often() { &mut guid } else { ptr::null_mut() };
        let kind = self.random.below(4) as u32;
        unsafe {
            if self.random.often() {
                let mut size = self.random.below(SCRATCH);
                let buffer = self.out();
                let _ = (bs().locate_handle)(kind, id, ptr::null_mut(), &mut size, buffer);
            } else {
                let (mut count, mut buffer) = (0, ptr::null_mut());
                let is = (bs().locate_handle_buffer)(kind, id, ptr::null_mut(), &mut count, &mut buffer);
                if is == Status::SUCCESS {
                    free(buffer.cast());
                }
            }
            let out = self.out();
            let _ = (bs().locate_protocol)(&mut guid, ptr::null_mut(), out);
        }
    }

    fn ask(&mut self) {
        let (handle, mut guid) = (self.handle(), self.guid());
        let mut count = 0;
        unsafe {
            let mut list = ptr::null_mut();
            if (bs().protocols_per_handle)(handle, &mut list, &mut count) == Status::SUCCESS {
                free(list.cast());
            }
            let mut list = ptr::null_mut();
            if (bs().open_protocol_information)(handle, &mut guid, &mut list, &mut count) == Status::SUCCESS {
                free(list.cast());
            }
            let out = self.out();
            let _ = (bs().handle_protocol)(handle, &mut guid, out);
        }
    }

    fn tpl(&mut self) {
        let tpls = [efi::TPL_APPLICATION, efi::TPL_CALLBACK, efi::TPL_NOTIFY, efi::TPL_HIGH_LEVEL];
        let tpl = tpls[self.random.below(4)];
        unsafe {
            let old = (bs().raise_tpl)(tpl);
            for _ in 0..self.random.below(4) {
                let event = self.event();
                let _ = (bs().signal_event)(event);
            }
            (bs().restore_tpl)(old);
        }
    }

    fn image(&mut self) {
        let mut file = pe::build(not_run, [10, 11, 12, 13][self.random.below(4)]);
        for _ in 0..self.random.below(4) {
            let offset = self.random.below(file.len());
            file[offset] = self.random.next() as u8;
        }
        let length = if self.random.often() { file.len() } else { self.random.below(file.len()) };
        let mut handle = ptr::null_mut();
        let parent = if self.random.often() { env::image() } else { self.handle() };
        let policy: Boolean = self.random.often().into();
        unsafe {
            let data = file.as_mut_ptr().cast();
            if (bs().load_image)(policy, parent, ptr::null_mut(), data, length, &mut handle) == Status::SUCCESS {
                let _ = (bs().unload_image)(handle);
                let _ = (bs().unload_image)(handle);
            }
        }
    }

    fn image_handles(&mut self) {
        let handle = self.handle();
        let is_this = handle == env::image();
        unsafe {
            let _ = (bs().start_image)(handle, ptr::null_mut(), ptr::null_mut());
            let _ = (bs().unload_image)(handle);
            if !is_this {
                let _ = (bs().exit)(handle, Status::SUCCESS, 0, ptr::null_mut());
            }
        }
    }

    fn controllers(&mut self) {
        let (first, second, third) = (self.handle(), self.handle(), self.handle());
        let recursive: Boolean = self.random.often().into();
        unsafe {
            let _ = (bs().connect_controller)(first, ptr::null_mut(), ptr::null_mut(), recursive);
            let _ = (bs().disconnect_controller)(first, second, third);
        }
    }

    fn misc(&mut self) {
        unsafe {
            match self.random.below(5) {
                4 => {
                    let half = SCRATCH / 2;
                    let (to, from) = (self.random.below(half), self.random.below(half));
                    let length = self.random.below(half);
                    let at = |offset: usize| self.scratch.wrapping_add(offset).cast();
                    (bs().copy_mem)(at(to), at(from), length);
                    (bs().set_mem)(at(from), length, to as u8);
                }
                0 => {
                    let _ = (bs().stall)(self.random.below(50));
                }
                1 => {
                    let _ = (bs().set_watchdog_timer)(0, self.random.number(), 0, ptr::null_mut());
                }
                2 => {
                    let mut guid = self.guid();
                    let table = if self.random.often() { self.interface() } else { ptr::null_mut() };
                    let _ = (bs().install_configuration_table)(&mut guid, table);
                    let _ = (bs().install_configuration_table)(&mut guid, ptr::null_mut());
                }
                _ => {
                    let mut crc = 0;
                    let length = self.random.below(256);
                    let data = self.out::<c_void>();
                    let _ = (bs().calculate_crc32)(data, length, &mut crc);
                    let count = self.out();
                    let _ = (bs().get_next_monotonic_count)(count);
                }
            }
        }
    }

    fn register(&mut self) {
        // Registrations last as long as their events, which are closed in the end.
        let (event, mut guid) = (self.event(), self.guid());
        let out = self.out();
        if self.random.below(8) == 0 {
            unsafe {
                let _ = (bs().register_protocol_notify)(&mut guid, event, out);
            }
        }
    }

    fn clean_up(&mut self) {
        self.forget_variables();
        for slot in 0..SLOTS {
            self.release(slot);
            let (memory, event) = (self.pools[slot], self.events[slot]);
            unsafe {
                if !memory.is_null() {
                    free(memory);
                }
                let _ = (bs().close_event)(event);
            }
        }
        let mut handles = self.handles;
        handles[0] = env::image();
        for handle in handles {
            for last in 0..6 {
                for index in 0..4 {
                    let mut guid = Guid::from_fields(0xf022_0001, 0x4a4b, 0x4c4d, 0x80, 0x81, &[1, 2, 3, 4, 5, last]);
                    let interface = (&raw mut self.marks[index]).cast();
                    unsafe {
                        let _ = (bs().uninstall_protocol_interface)(handle, &mut guid, interface);
                    }
                }
            }
        }
    }
}
