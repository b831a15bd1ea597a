//! Protocol handler services (UEFI 2.10, 7.3).

use core::ffi::c_void;
use core::mem::transmute;
use core::ptr;
use core::slice;
use core::sync::atomic::{AtomicUsize, Ordering};

use r_efi::efi::{self, Event, Guid, Handle, Status};
use r_efi::protocols::device_path;

use crate::env::{self, bs, free};
use crate::report::{check, equal, one_of, status};

/// One of a family of GUIDs that nobody else uses.
fn guid(number: u8) -> Guid {
    Guid::from_fields(0xb0e1_75c1, 0x17d3, 0x4d35, 0xa4, 0x5d, &[0x8e, 0x5b, 0x11, 0x7d, 0x6a, number])
}

fn install(handle: &mut Handle, guid: &Guid, interface: *mut c_void) -> Status {
    let mut guid = *guid;
    unsafe { (bs().install_protocol_interface)(handle, &mut guid, efi::NATIVE_INTERFACE, interface) }
}

fn uninstall(handle: Handle, guid: &Guid, interface: *mut c_void) -> Status {
    let mut guid = *guid;
    unsafe { (bs().uninstall_protocol_interface)(handle, &mut guid, interface) }
}

fn handle_protocol(handle: Handle, guid: &Guid) -> Result<*mut c_void, Status> {
    let mut guid = *guid;
    let mut interface = ptr::null_mut();
    let status = unsafe { (bs().handle_protocol)(handle, &mut guid, &mut interface) };
    if status == Status::SUCCESS { Ok(interface) } else { Err(status) }
}

fn open(handle: Handle, guid: &Guid, agent: Handle, controller: Handle, attributes: u32) -> Status {
    let mut guid = *guid;
    let mut interface = ptr::null_mut();
    let out = if attributes == efi::OPEN_PROTOCOL_TEST_PROTOCOL { ptr::null_mut() } else { &raw mut interface };
    unsafe { (bs().open_protocol)(handle, &mut guid, out, agent, controller, attributes) }
}

fn close(handle: Handle, guid: &Guid, agent: Handle, controller: Handle) -> Status {
    let mut guid = *guid;
    unsafe { (bs().close_protocol)(handle, &mut guid, agent, controller) }
}

fn count_of(guid: &Guid) -> usize {
    let mut guid = *guid;
    let (mut count, mut buffer) = (0, ptr::null_mut());
    let status =
        unsafe { (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut guid, ptr::null_mut(), &mut count, &mut buffer) };
    if status != Status::SUCCESS {
        return 0;
    }
    free(buffer.cast());
    count
}

pub fn run() {
    install_and_uninstall();
    locating();
    opening();
    notifications();
    device_paths();
    multiple();
    many();
}

fn many() {
    const COUNT: usize = 10_000;
    let (mut value, id) = (0u64, guid(60));
    let interface: *mut c_void = (&raw mut value).cast();
    let made = (0..COUNT).take_while(|_| install(&mut ptr::null_mut(), &id, interface) == Status::SUCCESS).count();
    equal("InstallProtocol: 10000 handles", made, COUNT);
    let mut asked = id;
    let (mut count, mut buffer) = (0, ptr::null_mut());
    let is =
        unsafe { (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut asked, ptr::null_mut(), &mut count, &mut buffer) };
    status("LocateHandleBuffer: 10000 handles", is, Status::SUCCESS);
    let removed = (0..count).filter(|at| {
        let handle = unsafe { buffer.add(*at).read() };
        uninstall(handle, &id, interface) == Status::SUCCESS
    });
    equal("UninstallProtocol: 10000 handles", removed.count(), COUNT);
    free(buffer.cast());
}

fn install_and_uninstall() {
    let (mut first, mut second) = (1u64, 2u64);
    let (first, second): (*mut c_void, *mut c_void) = ((&raw mut first).cast(), (&raw mut second).cast());
    let mut handle = ptr::null_mut();
    status("InstallProtocol: new handle", install(&mut handle, &guid(0), first), Status::SUCCESS);
    check("InstallProtocol: makes the handle", !handle.is_null());
    equal("HandleProtocol", handle_protocol(handle, &guid(0)), Ok(first));
    let is = install(&mut handle, &guid(0), second);
    status("InstallProtocol: twice", is, Status::INVALID_PARAMETER);
    status("InstallProtocol: another", install(&mut handle, &guid(1), ptr::null_mut()), Status::SUCCESS);
    equal("HandleProtocol: null interface", handle_protocol(handle, &guid(1)), Ok(ptr::null_mut()));
    equal("HandleProtocol: not there", handle_protocol(handle, &guid(2)), Err(Status::UNSUPPORTED));
    equal("HandleProtocol: no handle", handle_protocol(ptr::null_mut(), &guid(0)), Err(Status::INVALID_PARAMETER));
    let mut id = guid(0);
    let mut new = ptr::null_mut();
    let is = unsafe { (bs().install_protocol_interface)(&mut new, &mut id, 1, first) };
    status("InstallProtocol: not native", is, Status::INVALID_PARAMETER);
    let is = unsafe { (bs().install_protocol_interface)(ptr::null_mut(), &mut id, efi::NATIVE_INTERFACE, first) };
    status("InstallProtocol: no handle", is, Status::INVALID_PARAMETER);
    let is = unsafe { (bs().install_protocol_interface)(&mut new, ptr::null_mut(), efi::NATIVE_INTERFACE, first) };
    status("InstallProtocol: no GUID", is, Status::INVALID_PARAMETER);

    let mut id = guid(0);
    let reinstall = |id: &mut Guid, old, new| unsafe { (bs().reinstall_protocol_interface)(handle, id, old, new) };
    status("ReinstallProtocol", reinstall(&mut id, first, second), Status::SUCCESS);
    equal("ReinstallProtocol: replaces", handle_protocol(handle, &guid(0)), Ok(second));
    status("ReinstallProtocol: wrong old one", reinstall(&mut id, first, second), Status::NOT_FOUND);
    let mut other = guid(2);
    status("ReinstallProtocol: not there", reinstall(&mut other, first, second), Status::NOT_FOUND);

    let (mut list, mut count) = (ptr::null_mut(), 0usize);
    let is = unsafe { (bs().protocols_per_handle)(handle, &mut list, &mut count) };
    status("ProtocolsPerHandle", is, Status::SUCCESS);
    equal("ProtocolsPerHandle: count", count, 2);
    if is == Status::SUCCESS {
        let all = unsafe { slice::from_raw_parts(list, count) };
        let has = |number| all.iter().any(|&entry| unsafe { *entry } == guid(number));
        check("ProtocolsPerHandle: both", has(0) && has(1));
        free(list.cast());
    }
    let is = unsafe { (bs().protocols_per_handle)(ptr::null_mut(), &mut list, &mut count) };
    status("ProtocolsPerHandle: no handle", is, Status::INVALID_PARAMETER);

    status("UninstallProtocol: wrong interface", uninstall(handle, &guid(0), first), Status::NOT_FOUND);
    status("UninstallProtocol: not there", uninstall(handle, &guid(2), first), Status::NOT_FOUND);
    status("UninstallProtocol", uninstall(handle, &guid(0), second), Status::SUCCESS);
    equal("UninstallProtocol: is gone", handle_protocol(handle, &guid(0)), Err(Status::UNSUPPORTED));
    status("UninstallProtocol: the last", uninstall(handle, &guid(1), ptr::null_mut()), Status::SUCCESS);
    equal("UninstallProtocol: the handle is gone", handle_protocol(handle, &guid(1)), Err(Status::INVALID_PARAMETER));
    status("UninstallProtocol: no handle", uninstall(handle, &guid(1), first), Status::INVALID_PARAMETER);
}

fn locating() {
    let mut values = [0u64; 3];
    let mut handles = [ptr::null_mut(); 3];
    for (value, handle) in values.iter_mut().zip(&mut handles) {
        let interface: *mut u64 = value;
        install(handle, &guid(3), interface.cast());
    }
    let mut id = guid(3);
    let mut found = [ptr::null_mut(); 4];
    let mut size = size_of_val(&found);
    let locate = |kind, id: *mut Guid, size: *mut usize, found: *mut Handle| unsafe {
        (bs().locate_handle)(kind, id, ptr::null_mut(), size, found)
    };
    let is = locate(efi::BY_PROTOCOL, &mut id, &mut size, found.as_mut_ptr());
    status("LocateHandle", is, Status::SUCCESS);
    equal("LocateHandle: size", size, 3 * size_of::<Handle>());
    check("LocateHandle: all", handles.iter().all(|handle| found[..3].contains(handle)));
    let mut size = size_of::<Handle>();
    let is = locate(efi::BY_PROTOCOL, &mut id, &mut size, found.as_mut_ptr());
    status("LocateHandle: too small", is, Status::BUFFER_TOO_SMALL);
    equal("LocateHandle: tells the size", size, 3 * size_of::<Handle>());
    let mut size = size_of_val(&found);
    let is = locate(efi::BY_PROTOCOL, &mut id, &mut size, ptr::null_mut());
    status("LocateHandle: no buffer", is, Status::INVALID_PARAMETER);
    let is = locate(efi::BY_PROTOCOL, ptr::null_mut(), &mut size, found.as_mut_ptr());
    status("LocateHandle: no GUID", is, Status::INVALID_PARAMETER);
    let is = locate(3, &mut id, &mut size, found.as_mut_ptr());
    status("LocateHandle: unknown search", is, Status::INVALID_PARAMETER);
    let is = locate(efi::BY_REGISTER_NOTIFY, ptr::null_mut(), &mut size, found.as_mut_ptr());
    status("LocateHandle: no search key", is, Status::INVALID_PARAMETER);
    let mut absent = guid(4);
    let is = locate(efi::BY_PROTOCOL, &mut absent, &mut size, found.as_mut_ptr());
    status("LocateHandle: nothing", is, Status::NOT_FOUND);

    let (mut count, mut buffer) = (0, ptr::null_mut());
    let is = unsafe {
        (bs().locate_handle_buffer)(efi::ALL_HANDLES, ptr::null_mut(), ptr::null_mut(), &mut count, &mut buffer)
    };
    status("LocateHandleBuffer: all", is, Status::SUCCESS);
    let all = unsafe { slice::from_raw_parts(buffer, count) };
    check("LocateHandleBuffer: has ours", handles.iter().all(|handle| all.contains(handle)));
    check("LocateHandleBuffer: has this image", all.contains(&env::image()));
    free(buffer.cast());
    let is =
        unsafe { (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut absent, ptr::null_mut(), &mut count, &mut buffer) };
    status("LocateHandleBuffer: nothing", is, Status::NOT_FOUND);
    let is = unsafe {
        (bs().locate_handle_buffer)(efi::BY_PROTOCOL, &mut id, ptr::null_mut(), ptr::null_mut(), &mut buffer)
    };
    status("LocateHandleBuffer: no count", is, Status::INVALID_PARAMETER);

    let mut interface = ptr::null_mut();
    let is = unsafe { (bs().locate_protocol)(&mut id, ptr::null_mut(), &mut interface) };
    status("LocateProtocol", is, Status::SUCCESS);
    check("LocateProtocol: one of them", values.iter().any(|value| ptr::eq(value, interface.cast())));
    let is = unsafe { (bs().locate_protocol)(&mut absent, ptr::null_mut(), &mut interface) };
    status("LocateProtocol: nothing", is, Status::NOT_FOUND);
    let is = unsafe { (bs().locate_protocol)(&mut id, ptr::null_mut(), ptr::null_mut()) };
    status("LocateProtocol: no interface", is, Status::INVALID_PARAMETER);
    for (value, handle) in values.iter_mut().zip(handles) {
        let interface: *mut u64 = value;
        uninstall(handle, &guid(3), interface.cast());
    }
}

fn opening() {
    let mut value = 5u64;
    let interface: *mut c_void = (&raw mut value).cast();
    let (mut handle, mut agent) = (ptr::null_mut(), ptr::null_mut());
    install(&mut handle, &guid(5), interface);
    install(&mut agent, &guid(6), interface);
    let me = env::image();
    let id = guid(5);
    let null = ptr::null_mut();
    status("OpenProtocol: get", open(handle, &id, me, null, efi::OPEN_PROTOCOL_GET_PROTOCOL), Status::SUCCESS);
    status("OpenProtocol: test", open(handle, &id, me, null, efi::OPEN_PROTOCOL_TEST_PROTOCOL), Status::SUCCESS);
    status(
        "OpenProtocol: by handle protocol",
        open(handle, &id, me, null, efi::OPEN_PROTOCOL_BY_HANDLE_PROTOCOL),
        Status::SUCCESS,
    );
    let is = open(handle, &guid(7), me, null, efi::OPEN_PROTOCOL_TEST_PROTOCOL);
    status("OpenProtocol: test: not there", is, Status::UNSUPPORTED);
    let is = open(handle, &id, me, null, 0);
    status("OpenProtocol: no attributes", is, Status::INVALID_PARAMETER);
    let is = open(handle, &id, me, null, 0x40);
    status("OpenProtocol: unknown attributes", is, Status::INVALID_PARAMETER);
    let is = open(handle, &id, me, null, efi::OPEN_PROTOCOL_BY_DRIVER);
    status("OpenProtocol: driver without controller", is, Status::INVALID_PARAMETER);
    let is = open(handle, &id, null, handle, efi::OPEN_PROTOCOL_BY_DRIVER);
    status("OpenProtocol: driver without agent", is, Status::INVALID_PARAMETER);
    let is = open(handle, &id, me, handle, efi::OPEN_PROTOCOL_BY_CHILD_CONTROLLER);
    status("OpenProtocol: child is its parent", is, Status::INVALID_PARAMETER);
    let is = unsafe {
        let mut id = id;
        (bs().open_protocol)(handle, &mut id, ptr::null_mut(), me, null, efi::OPEN_PROTOCOL_GET_PROTOCOL)
    };
    status("OpenProtocol: no interface", is, Status::INVALID_PARAMETER);

    let legal = [1, 2, 4, 8, 0x10, 0x20, 0x30];
    let mut attributes = (0..0x80).chain([0x8000_0000, u32::MAX]).filter(|attributes| !legal.contains(attributes));
    let all = attributes.all(|attributes| open(handle, &id, me, agent, attributes) == Status::INVALID_PARAMETER);
    check("OpenProtocol: combinations that do not exist", all);
    let both = efi::OPEN_PROTOCOL_BY_DRIVER | efi::OPEN_PROTOCOL_EXCLUSIVE;
    status("OpenProtocol: driver, exclusively", open(handle, &id, me, handle, both), Status::SUCCESS);
    status("OpenProtocol: driver, exclusively, again", open(handle, &id, me, handle, both), Status::ALREADY_STARTED);
    status("OpenProtocol: driver, exclusively: taken", open(handle, &id, agent, handle, both), Status::ACCESS_DENIED);
    let is = open(handle, &id, agent, handle, efi::OPEN_PROTOCOL_GET_PROTOCOL);
    status("OpenProtocol: get, though it is taken", is, Status::SUCCESS);
    status("CloseProtocol: driver, exclusively", close(handle, &id, me, handle), Status::SUCCESS);

    let driver = efi::OPEN_PROTOCOL_BY_DRIVER;
    let exclusive = efi::OPEN_PROTOCOL_EXCLUSIVE;
    status("OpenProtocol: driver", open(handle, &id, me, handle, driver), Status::SUCCESS);
    status("OpenProtocol: driver again", open(handle, &id, me, handle, driver), Status::ALREADY_STARTED);
    status("OpenProtocol: another driver", open(handle, &id, agent, handle, driver), Status::ACCESS_DENIED);
    status("UninstallProtocol: used by a driver", uninstall(handle, &id, interface), Status::ACCESS_DENIED);
    status("CloseProtocol", close(handle, &id, me, handle), Status::SUCCESS);
    status("CloseProtocol: again", close(handle, &id, me, handle), Status::NOT_FOUND);
    status("OpenProtocol: exclusive", open(handle, &id, me, null, exclusive), Status::SUCCESS);
    status("OpenProtocol: exclusive: taken", open(handle, &id, agent, null, exclusive), Status::ACCESS_DENIED);
    status("OpenProtocol: driver: exclusive", open(handle, &id, agent, handle, driver), Status::ACCESS_DENIED);

    for _ in 0..2 {
        equal("HandleProtocol: an open protocol", handle_protocol(handle, &id), Ok(interface));
    }
    let (mut list, mut count) = (ptr::null_mut(), 0usize);
    let mut asked = id;
    let is = unsafe { (bs().open_protocol_information)(handle, &mut asked, &mut list, &mut count) };
    status("OpenProtocolInformation", is, Status::SUCCESS);
    if is == Status::SUCCESS {
        let all = unsafe { slice::from_raw_parts(list, count) };
        check(
            "OpenProtocolInformation: the exclusive open",
            all.iter().any(|entry| entry.agent_handle == me && entry.attributes == exclusive && entry.open_count == 1),
        );
        let by_handle = |entry: &efi::OpenProtocolInformationEntry| {
            entry.attributes == efi::OPEN_PROTOCOL_BY_HANDLE_PROTOCOL
                && entry.agent_handle != me
                && entry.open_count == 2
        };
        check("OpenProtocolInformation: HandleProtocol is counted", all.iter().any(by_handle));
        check(
            "OpenProtocolInformation: the gets are counted",
            all.iter().any(|entry| entry.attributes == efi::OPEN_PROTOCOL_GET_PROTOCOL && entry.open_count == 1),
        );
        free(list.cast());
    }
    let mut absent = guid(7);
    let is = unsafe { (bs().open_protocol_information)(handle, &mut absent, &mut list, &mut count) };
    status("OpenProtocolInformation: not there", is, Status::NOT_FOUND);
    status("CloseProtocol: exclusive", close(handle, &id, me, null), Status::SUCCESS);
    status("CloseProtocol: no agent", close(handle, &id, null, null), Status::INVALID_PARAMETER);
    one_of("UninstallProtocol: got but not used", uninstall(handle, &id, interface), &[Status::SUCCESS]);
    uninstall(agent, &guid(6), interface);

    let connect =
        |handle| unsafe { (bs().connect_controller)(handle, ptr::null_mut(), ptr::null_mut(), efi::Boolean::TRUE) };
    status("ConnectController: no handle", connect(null), Status::INVALID_PARAMETER);
    status("ConnectController: no driver", connect(env::image()), Status::NOT_FOUND);
    let is = unsafe { (bs().disconnect_controller)(null, null, null) };
    status("DisconnectController: no handle", is, Status::INVALID_PARAMETER);
    let is = unsafe { (bs().disconnect_controller)(env::image(), null, null) };
    status("DisconnectController: nothing connected", is, Status::SUCCESS);
}

static NOTIFIED: AtomicUsize = AtomicUsize::new(0);

extern "efiapi" fn count_up(_event: Event, _context: *mut c_void) {
    NOTIFIED.fetch_add(1, Ordering::Relaxed);
}

fn notifications() {
    let mut event = ptr::null_mut();
    let is = unsafe {
        (bs().create_event)(efi::EVT_NOTIFY_SIGNAL, efi::TPL_CALLBACK, Some(count_up), ptr::null_mut(), &mut event)
    };
    status("RegisterProtocolNotify: event", is, Status::SUCCESS);
    let mut id = guid(8);
    let mut key = ptr::null_mut();
    let is = unsafe { (bs().register_protocol_notify)(&mut id, event, &mut key) };
    status("RegisterProtocolNotify", is, Status::SUCCESS);
    let is = unsafe { (bs().register_protocol_notify)(&mut id, ptr::null_mut(), &mut key.clone()) };
    status("RegisterProtocolNotify: no event", is, Status::INVALID_PARAMETER);
    NOTIFIED.store(0, Ordering::Relaxed);
    let mut value = 0u64;
    let interface: *mut c_void = (&raw mut value).cast();
    let mut handles = [ptr::null_mut(); 2];
    for handle in &mut handles {
        install(handle, &guid(8), interface);
    }
    equal("RegisterProtocolNotify: told of each", NOTIFIED.load(Ordering::Relaxed), 2);
    for (handle, name) in handles.iter().zip(["LocateHandle: notified: first", "LocateHandle: notified: second"]) {
        let mut found = ptr::null_mut();
        let mut size = size_of::<Handle>();
        let is = unsafe { (bs().locate_handle)(efi::BY_REGISTER_NOTIFY, ptr::null_mut(), key, &mut size, &mut found) };
        check(name, is == Status::SUCCESS && found == *handle);
    }
    let mut size = size_of::<Handle>();
    let mut found = ptr::null_mut();
    let is = unsafe { (bs().locate_handle)(efi::BY_REGISTER_NOTIFY, ptr::null_mut(), key, &mut size, &mut found) };
    status("LocateHandle: notified: no more", is, Status::NOT_FOUND);
    let is = unsafe { (bs().reinstall_protocol_interface)(handles[0], &mut id, interface, interface) };
    status("RegisterProtocolNotify: reinstall", is, Status::SUCCESS);
    equal("RegisterProtocolNotify: told of reinstalling", NOTIFIED.load(Ordering::Relaxed), 3);
    unsafe { (bs().close_event)(event) };
    uninstall(handles[0], &guid(8), interface);
    uninstall(handles[1], &guid(8), interface);
    let mut handle = ptr::null_mut();
    install(&mut handle, &guid(8), interface);
    equal("RegisterProtocolNotify: not after closing", NOTIFIED.load(Ordering::Relaxed), 3);
    uninstall(handle, &guid(8), interface);
}

/// VenHw(guid)/VenHw(guid) with different last bytes, and an end.
fn path(first: u8, second: Option<u8>) -> [u8; 44] {
    let mut bytes = [0u8; 44];
    let mut at = 0;
    for number in [Some(first), second].into_iter().flatten() {
        bytes[at..at + 4].copy_from_slice(&[1, 4, 20, 0]);
        bytes[at + 4..at + 20].copy_from_slice(guid(number).as_bytes());
        at += 20;
    }
    bytes[at..at + 4].copy_from_slice(&[0x7f, 0xff, 4, 0]);
    bytes
}

fn device_paths() {
    let (mut short, mut long) = (path(100, None), path(100, Some(101)));
    let mut marker = 0u64;
    let marker: *mut c_void = (&raw mut marker).cast();
    let (mut parent, mut child) = (ptr::null_mut(), ptr::null_mut());
    let path_guid = device_path::PROTOCOL_GUID;
    install(&mut parent, &path_guid, short.as_mut_ptr().cast());
    install(&mut parent, &guid(9), marker);
    install(&mut child, &path_guid, long.as_mut_ptr().cast());
    let locate = |id: &Guid, path: &mut *mut device_path::Protocol| {
        let (mut id, mut handle) = (*id, ptr::null_mut());
        let status = unsafe { (bs().locate_device_path)(&mut id, path, &mut handle) };
        if status == Status::SUCCESS { Ok(handle) } else { Err(status) }
    };
    let mut wanted = path(100, Some(101));
    let start: *mut device_path::Protocol = wanted.as_mut_ptr().cast();
    let mut rest = start;
    equal("LocateDevicePath: longest", locate(&path_guid, &mut rest), Ok(child));
    equal("LocateDevicePath: rest is the end", rest, start.wrapping_byte_add(40));
    let mut rest = start;
    equal("LocateDevicePath: with the protocol", locate(&guid(9), &mut rest), Ok(parent));
    equal("LocateDevicePath: rest is the second node", rest, start.wrapping_byte_add(20));
    let mut other = path(102, None);
    let mut rest: *mut device_path::Protocol = other.as_mut_ptr().cast();
    equal("LocateDevicePath: nothing", locate(&guid(9), &mut rest), Err(Status::NOT_FOUND));
    let mut null = ptr::null_mut();
    equal("LocateDevicePath: no path", locate(&guid(9), &mut null), Err(Status::INVALID_PARAMETER));
    uninstall(child, &path_guid, long.as_mut_ptr().cast());
    uninstall(parent, &guid(9), marker);
    uninstall(parent, &path_guid, short.as_mut_ptr().cast());
}

type Multiple = unsafe extern "efiapi" fn(
    *mut Handle,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
    usize,
) -> Status;

/// Calls a service with a list of pairs, of which there are at most 12.
fn call_multiple(service: usize, handle: *mut Handle, list: &[usize; 25]) -> Status {
    // A call with fixed arguments passes them where one with variable ones does (AAPCS64, 6.8).
    let call: Multiple = unsafe { transmute(service) };
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y] = *list;
    unsafe { call(handle, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, x, y) }
}

fn multiple() {
    let install_all = bs().install_multiple_protocol_interfaces as usize;
    let uninstall_all = bs().uninstall_multiple_protocol_interfaces as usize;
    let ids: [Guid; 12] = core::array::from_fn(|index| guid(20 + index as u8));
    let mut values = [0u64; 12];
    let start = values.as_mut_ptr();
    let mut all_right = [true; 4];
    for pairs in 1..=12usize {
        // What follows the end of the list must not be looked at.
        let mut list = [0xdead_beefusize; 25];
        for pair in 0..pairs {
            list[pair * 2] = (&raw const ids[pair]).addr();
            list[pair * 2 + 1] = start.wrapping_add(pair).addr();
        }
        list[pairs * 2] = 0;
        let mut handle = ptr::null_mut();
        all_right[0] &= call_multiple(install_all, &mut handle, &list) == Status::SUCCESS;
        all_right[1] &= (0..12).all(|pair| {
            let wanted = if pair < pairs { Ok(start.wrapping_add(pair).cast()) } else { Err(Status::UNSUPPORTED) };
            handle_protocol(handle, &ids[pair]) == wanted
        });
        // By value here: UninstallMultiple takes the handle itself.
        let gone = call_multiple(uninstall_all, handle.cast(), &list);
        all_right[2] &= gone == Status::SUCCESS;
        all_right[3] &= handle_protocol(handle, &ids[0]) == Err(Status::INVALID_PARAMETER);
    }
    check("InstallMultiple: 1 to 12 pairs", all_right[0]);
    check("InstallMultiple: all are there", all_right[1]);
    check("UninstallMultiple: 1 to 12 pairs", all_right[2]);
    check("UninstallMultiple: the handle is gone", all_right[3]);

    // The third fails: the first two must not stay.
    let mut handle = ptr::null_mut();
    install(&mut handle, &ids[2], start.cast());
    let mut list = [0usize; 25];
    for pair in 0..3 {
        list[pair * 2] = (&raw const ids[pair]).addr();
        list[pair * 2 + 1] = start.wrapping_add(pair).addr();
    }
    let is = call_multiple(install_all, &mut handle, &list);
    check("InstallMultiple: one is there", is.is_error());
    check("InstallMultiple: undone", (0..2).all(|pair| handle_protocol(handle, &ids[pair]).is_err()));
    // Uninstalling what is not all there leaves what is.
    let is = call_multiple(uninstall_all, handle.cast(), &{
        let mut list = list;
        list.swap(0, 4);
        list[1] = start.addr();
        list
    });
    status("UninstallMultiple: one is not there", is, Status::INVALID_PARAMETER);
    equal("UninstallMultiple: undone", handle_protocol(handle, &ids[2]), Ok(start.cast()));
    uninstall(handle, &ids[2], start.cast());

    // The same device path twice is refused (7.3.18).
    let (mut first, mut second) = (path(110, None), path(110, None));
    let id = device_path::PROTOCOL_GUID;
    let mut list = [0usize; 25];
    list[0] = (&raw const id).addr();
    list[1] = first.as_mut_ptr().addr();
    let (mut one, mut two) = (ptr::null_mut(), ptr::null_mut());
    status("InstallMultiple: device path", call_multiple(install_all, &mut one, &list), Status::SUCCESS);
    let before = count_of(&id);
    list[1] = second.as_mut_ptr().addr();
    status("InstallMultiple: same device path", call_multiple(install_all, &mut two, &list), Status::ALREADY_STARTED);
    equal("InstallMultiple: same path is not there", count_of(&id), before);
    uninstall(one, &id, first.as_mut_ptr().cast());
}
