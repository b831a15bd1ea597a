//! Protocols: one of the program's own, and those of the firmware.
#![expect(unsafe_code, reason = "installs a protocol, and opens those of others")]

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering};

use alloc::string::ToString;
use uefi::boot::{self, EventType, OpenProtocolAttributes, OpenProtocolParams, SearchType, Tpl};
use uefi::proto::console::text::Output;
use uefi::proto::device_path::text::{AllowShortcuts, DevicePathToText, DisplayOnly};
use uefi::proto::device_path::{DevicePath, LoadedImageDevicePath};
use uefi::proto::loaded_image::LoadedImage;
use uefi::proto::misc::Timestamp;
use uefi::proto::pci::root_bridge::PciRootBridgeIo;
use uefi::proto::rng::Rng;
use uefi::proto::string::unicode_collation::UnicodeCollation;
use uefi::proto::{ProtocolPointer, unsafe_protocol};
use uefi::{Event, Handle, Identify, Status, cstr16, system};

use crate::report::{check, refused, skipped, works};

/// What the program installs.
#[repr(C)]
#[unsafe_protocol("d9d2f7c1-6f57-4a8f-9a16-5d3c0e6f2a41")]
struct Mark {
    number: u64,
}

static INSTALLED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "efiapi" fn installed(_event: Event, _context: Option<ptr::NonNull<c_void>>) {
    INSTALLED.fetch_add(1, Ordering::Relaxed);
}

pub fn walk() {
    own();
    let me = boot::image_handle();
    check("LoadedImage", boot::open_protocol_exclusive::<LoadedImage>(me).is_ok());
    check("LoadedImageDevicePath", boot::open_protocol_exclusive::<LoadedImageDevicePath>(me).is_ok());
    check("with_config_table: some", system::with_config_table(|tables| !tables.is_empty()));
    check("uefi_revision", system::uefi_revision().major() == 2);
    console();
    others();
}

fn count() -> usize {
    boot::locate_handle_buffer(SearchType::from_proto::<Mark>()).map_or(0, |handles| handles.len())
}

fn own() {
    let (mut first, mut second) = (Mark { number: 1 }, Mark { number: 2 });
    let (first, second): (*mut c_void, *mut c_void) = ((&raw mut first).cast(), (&raw mut second).cast());
    // SAFETY: the function is for any event and lasts as long as the program.
    let event = unsafe { boot::create_event(EventType::NOTIFY_SIGNAL, Tpl::CALLBACK, Some(installed), None) };
    let Some(event) = works("create_event: of a registration", event) else { return };
    works("register_protocol_notify", boot::register_protocol_notify(&Mark::GUID, &event));
    // SAFETY: the interface lives until it is uninstalled below, as does the other.
    let handle = unsafe { boot::install_protocol_interface(None, &Mark::GUID, first) };
    let Some(handle) = works("install_protocol_interface", handle) else { return };
    check("register_protocol_notify: notifies", INSTALLED.load(Ordering::Relaxed) == 1);
    check("locate_handle_buffer", count() == 1);
    // SAFETY: refused.
    let twice = unsafe { boot::install_protocol_interface(Some(handle), &Mark::GUID, first) };
    refused("install_protocol_interface: twice", twice, Status::INVALID_PARAMETER);
    check("protocols_per_handle", boot::protocols_per_handle(handle).is_ok_and(|list| *list == [&Mark::GUID]));
    check("open_protocol_exclusive", number(handle) == Some(1));
    {
        let open = boot::open_protocol_exclusive::<Mark>(handle);
        refused("open_protocol_exclusive: twice", boot::open_protocol_exclusive::<Mark>(handle), Status::ACCESS_DENIED);
        // SAFETY: refused.
        let removed = unsafe { boot::uninstall_protocol_interface(handle, &Mark::GUID, first) };
        refused("uninstall_protocol_interface: open", removed, Status::ACCESS_DENIED);
        drop(open);
    }
    let params = || OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    check("test_protocol", boot::test_protocol::<Mark>(params()) == Ok(true));
    check("test_protocol: absent", boot::test_protocol::<Output>(params()) == Ok(false));
    // SAFETY: only the number is read.
    let got = unsafe { boot::open_protocol::<Mark>(params(), OpenProtocolAttributes::GetProtocol) };
    check("open_protocol: get", got.is_ok_and(|mark| mark.number == 1));
    // SAFETY: nobody has the interface open.
    works("reinstall_protocol_interface", unsafe {
        boot::reinstall_protocol_interface(handle, &Mark::GUID, first, second)
    });
    check("reinstall_protocol_interface: replaces", number(handle) == Some(2));
    check("reinstall_protocol_interface: notifies", INSTALLED.load(Ordering::Relaxed) == 2);
    refused("connect_controller: no driver", boot::connect_controller(handle, &[], None, true), Status::NOT_FOUND);
    works("disconnect_controller: no driver", boot::disconnect_controller(handle, None, None));
    // SAFETY: nobody has the interface open.
    works("uninstall_protocol_interface", unsafe { boot::uninstall_protocol_interface(handle, &Mark::GUID, second) });
    check("uninstall_protocol_interface: is gone", count() == 0);
    works("close_event: of a registration", boot::close_event(event));
}

fn number(handle: Handle) -> Option<u64> {
    boot::open_protocol_exclusive::<Mark>(handle).ok().map(|mark| mark.number)
}

fn console() {
    let positions = system::with_stdout(|output| {
        let at_start = output.set_cursor_position(0, 0).is_ok() && output.cursor_position() == (0, 0);
        let moved = output.set_cursor_position(3, 1).is_ok() && output.cursor_position() == (3, 1);
        let outside = output.set_cursor_position(10_000, 0).is_err();
        let mode = output.current_mode().ok().flatten().is_some_and(|mode| mode.columns() >= 80 && mode.rows() >= 25);
        let cleared = output.clear().is_ok() && output.cursor_position() == (0, 0);
        [at_start && moved, outside, mode, cleared, output.test_string(cstr16!("text")).is_ok_and(|fits| fits)]
    });
    let names = ["set_cursor_position", "set_cursor_position: outside", "current_mode", "clear", "test_string"];
    for (name, holds) in names.into_iter().zip(positions) {
        check(name, holds);
    }
    check("read_key: none", system::with_stdin(|input| input.read_key()).is_ok_and(|key| key.is_none()));
    check("wait_for_key_event", system::with_stdin(|input| input.wait_for_key_event()).is_ok());
}

/// Uses a protocol for reading, where there is one.
fn with<P: ProtocolPointer + ?Sized>(name: &str, work: impl FnOnce(&mut P) -> bool) {
    let Ok(handle) = boot::get_handle_for_protocol::<P>() else { return skipped(name, "is not there") };
    let params = OpenProtocolParams { handle, agent: boot::image_handle(), controller: None };
    // SAFETY: nothing uninstalls the firmware's own protocols.
    match unsafe { boot::open_protocol::<P>(params, OpenProtocolAttributes::GetProtocol) } {
        Ok(mut protocol) => check(name, work(&mut protocol)),
        Err(error) => crate::report::failed(name, format_args!("{error}")),
    }
}

fn others() {
    with::<Rng>("Rng", |rng| {
        let (mut one, mut two) = ([0; 32], [0; 32]);
        rng.get_rng(None, &mut one).is_ok() && rng.get_rng(None, &mut two).is_ok() && one != two
    });
    with::<Timestamp>("Timestamp", |clock| {
        let first = clock.get_timestamp();
        boot::stall(core::time::Duration::from_millis(1));
        clock.get_properties().is_ok_and(|properties| properties.frequency > 0) && clock.get_timestamp() > first
    });
    with::<PciRootBridgeIo>("PciRootBridgeIo", |bridge| bridge.enumerate().is_ok_and(|tree| tree.iter().count() > 0));
    with::<UnicodeCollation>("UnicodeCollation", |collation| {
        collation.stri_coll(cstr16!("Name"), cstr16!("nAME")).is_eq()
            && collation.metai_match(cstr16!("boot.efi"), cstr16!("*.EFI"))
    });
    with::<DevicePathToText>("DevicePathToText", |to_text| {
        let Ok(path) = boot::open_protocol_exclusive::<LoadedImageDevicePath>(boot::image_handle()) else {
            return false;
        };
        let path: &DevicePath = &path;
        let text = to_text.convert_device_path_to_text(path, DisplayOnly(false), AllowShortcuts(false));
        text.is_ok_and(|text| !text.to_string().is_empty())
    });
}
