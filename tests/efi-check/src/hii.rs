//! EFI_HII_DATABASE_PROTOCOL and EFI_HII_STRING_PROTOCOL (UEFI 2.10, chapter 34).

use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use r_efi::efi::{Char8, Guid, Handle, Status};
use r_efi::hii::{Handle as HiiHandle, PackageHeader, PackageListHeader};
use r_efi::protocols::hii_database::{
    self, NOTIFY_ADD_PACK, NOTIFY_EXPORT_PACK, NOTIFY_NEW_PACK, NOTIFY_REMOVE_PACK, NotifyType, Protocol as Database,
};
use r_efi::protocols::hii_string::{self, Info, Protocol as Strings};

use crate::env;
use crate::report::{check, equal, status};

const STRINGS: u8 = 4;
const KEYBOARD: u8 = 9;
const DEVICE_PATH: u8 = 8;

/// A package list under construction.
#[repr(C, align(8))]
struct List {
    bytes: [u8; 512],
    length: usize,
}

impl List {
    fn new() -> Self {
        let mut list = Self { bytes: [0; 512], length: 20 };
        list.bytes[..16].copy_from_slice(b"efi-check of HII");
        list
    }

    fn package(mut self, kind: u8, parts: &[&[u8]]) -> Self {
        let start = self.length;
        self.length += 4;
        for part in parts {
            self.bytes[self.length..self.length + part.len()].copy_from_slice(part);
            self.length += part.len();
        }
        let header = (self.length - start) as u32 | u32::from(kind) << 24;
        self.bytes[start..start + 4].copy_from_slice(&header.to_le_bytes());
        self
    }

    /// A string package; `language` ends with its NUL.
    fn strings(self, language: &[u8], blocks: &[u8]) -> Self {
        let header = (46 + language.len() as u32).to_le_bytes();
        self.package(STRINGS, &[&header, &header, &[0; 32], &[1, 0], language, blocks])
    }

    fn end(mut self) -> Self {
        self = self.package(0xdf, &[]);
        let length = self.length as u32;
        self.bytes[16..20].copy_from_slice(&length.to_le_bytes());
        self
    }

    fn start(&self) -> *const PackageListHeader {
        self.bytes.as_ptr().cast()
    }
}

/// How often each kind of notification came, and what the last was about.
static NEW: AtomicUsize = AtomicUsize::new(0);
static REMOVED: AtomicUsize = AtomicUsize::new(0);
static EXPORTED: AtomicUsize = AtomicUsize::new(0);
static ADDED: AtomicUsize = AtomicUsize::new(0);
static LAST: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static DATABASE: AtomicPtr<Database> = AtomicPtr::new(ptr::null_mut());

unsafe extern "efiapi" fn notified(
    kind: u8,
    guid: *const Guid,
    package: *const PackageHeader,
    list: HiiHandle,
    notify_type: NotifyType,
) -> Status {
    let count = match notify_type {
        NOTIFY_NEW_PACK => &NEW,
        NOTIFY_REMOVE_PACK => &REMOVED,
        NOTIFY_EXPORT_PACK => &EXPORTED,
        _ => &ADDED,
    };
    let header = unsafe { package.cast::<u8>().add(3).read() };
    // The database can be asked from here.
    let database = DATABASE.load(Ordering::Relaxed);
    let mut driver = ptr::null_mut();
    let known = unsafe { ((*database).get_package_list_handle)(database, list, &mut driver) };
    if kind == STRINGS && header == kind && guid.is_null() && known == Status::SUCCESS {
        count.fetch_add(1, Ordering::Relaxed);
    }
    LAST.store(list, Ordering::Relaxed);
    Status::SUCCESS
}

/// A registration that ends itself, and how often it was called.
static ONCE: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());
static CALLED: AtomicUsize = AtomicUsize::new(0);

unsafe extern "efiapi" fn once(
    _kind: u8,
    _guid: *const Guid,
    _package: *const PackageHeader,
    _list: HiiHandle,
    _notify_type: NotifyType,
) -> Status {
    CALLED.fetch_add(1, Ordering::Relaxed);
    let database = DATABASE.load(Ordering::Relaxed);
    unsafe { ((*database).unregister_package_notify)(database, ONCE.load(Ordering::Relaxed)) }
}

/// A function that unregisters itself is not called again, and nobody behind it is left out.
unsafe fn unregistered_from_within(database: *mut Database, list: &List) {
    let d = unsafe { &*database };
    let mut registrations = [ptr::null_mut(); 2];
    for (function, registration) in [once, notified].into_iter().zip(&mut registrations) {
        let function: hii_database::Notify = function;
        let types = NOTIFY_NEW_PACK;
        unsafe { (d.register_package_notify)(database, STRINGS, ptr::null(), function, types, registration) };
    }
    ONCE.store(registrations[0], Ordering::Relaxed);
    let before = counts()[0];
    let mut handle = ptr::null_mut();
    unsafe {
        (d.new_package_list)(database, list.start(), ptr::null_mut(), &mut handle);
        let called = (CALLED.load(Ordering::Relaxed), counts()[0] - before);
        equal("UnregisterPackageNotify: from within", called, (1, 2));
        (d.remove_package_list)(database, handle);
        let is = registrations.map(|registration| (d.unregister_package_notify)(database, registration));
        equal("UnregisterPackageNotify: done from within", is, [Status::NOT_FOUND, Status::SUCCESS]);
    }
}

fn counts() -> [usize; 4] {
    [&NEW, &REMOVED, &EXPORTED, &ADDED].map(|count| count.load(Ordering::Relaxed))
}

const EN: *const Char8 = c"en".as_ptr().cast();
const FR: *const Char8 = c"fr".as_ptr().cast();

pub fn run() {
    let database: *mut Database = env::locate(&hii_database::PROTOCOL_GUID);
    let strings: *mut Strings = env::locate(&hii_string::PROTOCOL_GUID);
    check("HII: both are there", !database.is_null() && !strings.is_null());
    if database.is_null() || strings.is_null() {
        return;
    }
    DATABASE.store(database, Ordering::Relaxed);
    let d = unsafe { &*database };
    let list = List::new()
        .strings(b"en;de\0", b"\x16\x02\0o\0n\0e\0\0\0t\0w\0o\0\0\0\0")
        .strings(b"fr\0", b"\x14u\0n\0\0\0\0")
        .package(1, &[b"0123456789abcdef"])
        .end();
    let driver = unsafe { (*env::table()).console_out_handle };
    let mut handle = ptr::null_mut();
    unsafe {
        let is = (d.new_package_list)(database, ptr::null(), driver, &mut handle);
        status("NewPackageList: no list", is, Status::INVALID_PARAMETER);
        let is = (d.new_package_list)(database, list.start(), driver, ptr::null_mut());
        status("NewPackageList: no handle", is, Status::INVALID_PARAMETER);
        let cut = List::new().strings(b"en\0", b"\x14o\0").end();
        let is = (d.new_package_list)(database, cut.start(), driver, &mut handle);
        status("NewPackageList: a string without end", is, Status::INVALID_PARAMETER);
    }
    let registration = register(database);
    let is = unsafe { (d.new_package_list)(database, list.start(), driver, &mut handle) };
    status("NewPackageList", is, Status::SUCCESS);
    equal("NEW_PACK: of both string packages", counts(), [2, 0, 0, 0]);
    check("NEW_PACK: the list", LAST.load(Ordering::Relaxed) == handle && !handle.is_null());
    let is = unsafe { (d.find_keyboard_layouts)(database, &mut 32, ptr::null_mut()) };
    status("FindKeyboardLayouts: neither layouts nor buffer", is, Status::INVALID_PARAMETER);
    lists(database, handle, driver);
    texts(strings, handle);
    export(database, handle);
    unsafe {
        let update = List::new().strings(b"en\0", b"\0").package(KEYBOARD, &[&[1, 0], &layout()]).end();
        let is = (d.update_package_list)(database, handle, ptr::null());
        status("UpdatePackageList: no list", is, Status::INVALID_PARAMETER);
        let is = (d.update_package_list)(database, ptr::without_provenance_mut(0x5555), update.start());
        status("UpdatePackageList: no such list", is, Status::NOT_FOUND);
        let before = counts();
        let is = (d.update_package_list)(database, handle, update.start());
        status("UpdatePackageList", is, Status::SUCCESS);
        // One was made for a language in the meantime.
        equal("REMOVE_PACK, ADD_PACK", counts(), [before[0], before[1] + 3, before[2], before[3] + 1]);
        keyboard(database);
        let is = (d.remove_package_list)(database, handle);
        status("RemovePackageList", is, Status::SUCCESS);
        equal("REMOVE_PACK: of the last string package", counts()[1], before[1] + 4);
        status("RemovePackageList: again", (d.remove_package_list)(database, handle), Status::NOT_FOUND);
        let is = (d.unregister_package_notify)(database, registration);
        status("UnregisterPackageNotify", is, Status::SUCCESS);
        let is = (d.unregister_package_notify)(database, registration);
        status("UnregisterPackageNotify: again", is, Status::NOT_FOUND);
        unregistered_from_within(database, &list);
        let before = counts();
        (d.new_package_list)(database, list.start(), ptr::null_mut(), &mut handle);
        equal("UnregisterPackageNotify: none comes", counts(), before);
        status("NewPackageList: without driver", (d.remove_package_list)(database, handle), Status::SUCCESS);
    }
}

fn register(database: *mut Database) -> Handle {
    let d = unsafe { &*database };
    let all = NOTIFY_NEW_PACK | NOTIFY_REMOVE_PACK | NOTIFY_EXPORT_PACK | NOTIFY_ADD_PACK;
    let guid = hii_database::PROTOCOL_GUID;
    let mut registration = ptr::null_mut();
    let register = |kind, guid: *const Guid, handle: *mut Handle| unsafe {
        (d.register_package_notify)(database, kind, guid, notified, all, handle)
    };
    let none = ptr::null();
    let is = register(STRINGS, &guid, &mut registration);
    status("RegisterPackageNotify: strings with a GUID", is, Status::INVALID_PARAMETER);
    let is = register(1, none, &mut registration);
    status("RegisterPackageNotify: a GUID package without", is, Status::INVALID_PARAMETER);
    status("RegisterPackageNotify: no handle", register(STRINGS, none, ptr::null_mut()), Status::INVALID_PARAMETER);
    status("RegisterPackageNotify", register(STRINGS, none, &mut registration), Status::SUCCESS);
    registration
}

fn lists(database: *mut Database, handle: HiiHandle, driver: Handle) {
    let d = unsafe { &*database };
    let mut found = [ptr::null_mut(); 32];
    let mut list = |kind, guid: *const Guid, size: &mut usize| unsafe {
        found = [ptr::null_mut(); 32];
        let is = (d.list_package_lists)(database, kind, guid, size, found.as_mut_ptr());
        (is, found.contains(&handle))
    };
    let none = ptr::null();
    let guid = Guid::from_bytes(b"0123456789abcdef");
    equal("ListPackageLists: all", list(0, none, &mut 256), (Status::SUCCESS, true));
    equal("ListPackageLists: with strings", list(STRINGS, none, &mut 256), (Status::SUCCESS, true));
    equal("ListPackageLists: with the device path", list(DEVICE_PATH, none, &mut 256), (Status::SUCCESS, true));
    equal("ListPackageLists: with a GUID", list(1, &guid, &mut 256), (Status::SUCCESS, true));
    equal("ListPackageLists: of no kind", list(0xee, none, &mut 256).0, Status::NOT_FOUND);
    equal("ListPackageLists: no GUID", list(1, none, &mut 256).0, Status::INVALID_PARAMETER);
    equal("ListPackageLists: a GUID too many", list(STRINGS, &guid, &mut 256).0, Status::INVALID_PARAMETER);
    let mut size = 4;
    equal("ListPackageLists: no room", list(1, &guid, &mut size), (Status::BUFFER_TOO_SMALL, false));
    equal("ListPackageLists: the room", size, 8);
    unsafe {
        let is = (d.list_package_lists)(database, 0, none, ptr::null_mut(), ptr::null_mut());
        status("ListPackageLists: no size", is, Status::INVALID_PARAMETER);
        let is = (d.list_package_lists)(database, 0, none, &mut 256, ptr::null_mut());
        status("ListPackageLists: no buffer", is, Status::INVALID_PARAMETER);
        let mut owner = ptr::null_mut();
        let is = (d.get_package_list_handle)(database, handle, &mut owner);
        equal("GetPackageListHandle", (is, owner), (Status::SUCCESS, driver));
        let is = (d.get_package_list_handle)(database, handle, ptr::null_mut());
        status("GetPackageListHandle: no place", is, Status::INVALID_PARAMETER);
        let is = (d.get_package_list_handle)(database, ptr::without_provenance_mut(0x5555), &mut owner);
        status("GetPackageListHandle: no such list", is, Status::INVALID_PARAMETER);
    }
}

fn units(text: &str) -> [u16; 8] {
    let mut units = [0; 8];
    for (unit, from) in units[..7].iter_mut().zip(text.encode_utf16()) {
        *unit = from;
    }
    units
}

fn texts(strings: *mut Strings, handle: HiiHandle) {
    let s = unsafe { &*strings };
    let get = |language, id, room: usize| {
        let (mut text, mut size) = ([0_u16; 8], room);
        let buffer = text.as_mut_ptr().cast();
        let is = unsafe { (s.get_string)(strings, language, handle, id, buffer, &mut size, ptr::null_mut()) };
        (is, size, text)
    };
    let none = [0; 8];
    let nowhere: HiiHandle = ptr::without_provenance_mut(0x5555);
    equal("GetString", get(EN, 2, 16), (Status::SUCCESS, 8, units("two")));
    equal("GetString: its length", get(EN, 2, 8), (Status::SUCCESS, 8, units("two")));
    equal("GetString: no room", get(EN, 2, 7), (Status::BUFFER_TOO_SMALL, 8, none));
    equal("GetString: in another language", get(FR, 1, 16), (Status::SUCCESS, 6, units("un")));
    equal("GetString: not in that language", get(FR, 2, 16).0, Status::INVALID_LANGUAGE);
    equal("GetString: no such string", get(EN, 9, 16).0, Status::NOT_FOUND);
    unsafe {
        let mut text = [0_u16; 8];
        let buffer: *mut u16 = text.as_mut_ptr();
        let mut info: *mut Info = ptr::dangling_mut();
        let is = (s.get_string)(strings, EN, handle, 1, buffer.cast(), &mut 16, &mut info);
        equal("GetString: no font", (is, info.is_null()), (Status::SUCCESS, true));
        let is = (s.get_string)(strings, ptr::null(), handle, 1, buffer.cast(), &mut 16, ptr::null_mut());
        status("GetString: no language", is, Status::INVALID_PARAMETER);
        let is = (s.get_string)(strings, EN, handle, 1, buffer.cast(), ptr::null_mut(), ptr::null_mut());
        status("GetString: no size", is, Status::INVALID_PARAMETER);
        let is = (s.get_string)(strings, EN, handle, 1, ptr::null_mut(), &mut 16, ptr::null_mut());
        status("GetString: no buffer", is, Status::INVALID_PARAMETER);
        let is = (s.get_string)(strings, EN, ptr::null_mut(), 1, buffer.cast(), &mut 16, ptr::null_mut());
        status("GetString: null for the list", is, Status::INVALID_PARAMETER);
        let is = (s.get_string)(strings, EN, nowhere, 1, buffer.cast(), &mut 16, ptr::null_mut());
        status("GetString: no such list", is, Status::NOT_FOUND);
        let is = (s.get_string)(strings, EN, nowhere, 1, ptr::null_mut(), &mut 16, ptr::null_mut());
        status("GetString: neither list nor buffer", is, Status::INVALID_PARAMETER);

        let mut new = units("new");
        let font = FontInfo { style: 1, size: 20, name: units("Serif") };
        let font = (&raw const font).cast::<Info>();
        let mut id = 0;
        let language = c"de".as_ptr().cast();
        let mut name = units("Deutsc");
        let name = name.as_mut_ptr().cast();
        let is = (s.new_string)(strings, handle, &mut id, language, name, new.as_mut_ptr().cast(), font);
        equal("NewString: behind the name of its language", (is, id), (Status::SUCCESS, 4));
        equal("NewString: the name", get(language, 3, 16), (Status::SUCCESS, 14, units("Deutsc")));
        equal("NewString: is there", get(language, 4, 16), (Status::SUCCESS, 8, units("new")));
        let is = (s.get_string)(strings, language, handle, 4, buffer.cast(), &mut 16, &mut info);
        status("GetString: with its font", is, Status::SUCCESS);
        let found = (!info.is_null()).then(|| info.cast::<FontInfo>().read_unaligned());
        let found = found.map(|found| ({ found.style }, { found.size }, { found.name }[..6] == units("Serif")[..6]));
        equal("GetString: the font", found, Some((1, 20, true)));
        env::free(info.cast());
        let is = (s.new_string)(strings, handle, &mut id, language, ptr::null(), ptr::null_mut(), ptr::null());
        status("NewString: no text", is, Status::INVALID_PARAMETER);
        let text = new.as_mut_ptr().cast();
        let is = (s.new_string)(strings, handle, ptr::null_mut(), language, ptr::null(), text, ptr::null());
        status("NewString: no place", is, Status::INVALID_PARAMETER);
        let is = (s.new_string)(strings, handle, &mut id, ptr::null(), ptr::null(), text, ptr::null());
        status("NewString: no language", is, Status::INVALID_PARAMETER);
        let is = (s.new_string)(strings, ptr::null_mut(), &mut id, language, ptr::null(), text, ptr::null());
        status("NewString: null for the list", is, Status::INVALID_PARAMETER);
        let is = (s.new_string)(strings, nowhere, &mut id, language, ptr::null(), text, ptr::null());
        status("NewString: no such list", is, Status::NOT_FOUND);

        let mut three = units("trois");
        let is = (s.set_string)(strings, handle, 3, FR, three.as_mut_ptr().cast(), ptr::null());
        status("SetString", is, Status::SUCCESS);
        equal("SetString: is there", get(FR, 3, 16), (Status::SUCCESS, 12, units("trois")));
        equal("SetString: what is left out", get(FR, 2, 16).0, Status::INVALID_LANGUAGE);
        let is = (s.set_string)(strings, handle, 9, FR, three.as_mut_ptr().cast(), ptr::null());
        status("SetString: no such string", is, Status::NOT_FOUND);
        let is = (s.set_string)(strings, ptr::null_mut(), 3, FR, three.as_mut_ptr().cast(), ptr::null());
        status("SetString: null for the list", is, Status::INVALID_PARAMETER);
        let is = (s.set_string)(strings, nowhere, 3, FR, three.as_mut_ptr().cast(), ptr::null());
        status("SetString: no such list", is, Status::NOT_FOUND);
        let is = (s.set_string)(strings, handle, 3, ptr::null(), three.as_mut_ptr().cast(), ptr::null());
        status("SetString: no language", is, Status::INVALID_PARAMETER);
        status(
            "SetString: no text",
            (s.set_string)(strings, handle, 3, FR, ptr::null_mut(), font),
            Status::INVALID_PARAMETER,
        );
    }
    let mut codes = [0_u8; 16];
    let buffer = codes.as_mut_ptr().cast();
    unsafe {
        let mut size = 4;
        status(
            "GetLanguages: no room",
            (s.get_languages)(strings, handle, buffer, &mut size),
            Status::BUFFER_TOO_SMALL,
        );
        equal("GetLanguages: the room", size, 12);
        status("GetLanguages", (s.get_languages)(strings, handle, buffer, &mut size), Status::SUCCESS);
        equal("GetLanguages: all", codes.first_chunk(), Some(b"en;de;fr;de\0"));
        let is = (s.get_languages)(strings, ptr::null_mut(), buffer, &mut 9);
        status("GetLanguages: null for the list", is, Status::INVALID_PARAMETER);
        status("GetLanguages: no such list", (s.get_languages)(strings, nowhere, buffer, &mut 9), Status::NOT_FOUND);
        let is = (s.get_languages)(strings, handle, buffer, ptr::null_mut());
        status("GetLanguages: no size", is, Status::INVALID_PARAMETER);
        let is = (s.get_languages)(strings, handle, ptr::null_mut(), &mut 9);
        status("GetLanguages: no buffer", is, Status::INVALID_PARAMETER);
        let is = (s.get_secondary_languages)(strings, handle, EN, buffer, &mut 9);
        equal("GetSecondaryLanguages", (is, codes.first_chunk()), (Status::SUCCESS, Some(b"de\0")));
        let is = (s.get_secondary_languages)(strings, handle, c"xx".as_ptr().cast(), buffer, &mut 9);
        status("GetSecondaryLanguages: of none", is, Status::INVALID_LANGUAGE);
        let is = (s.get_secondary_languages)(strings, handle, ptr::null(), buffer, &mut 9);
        status("GetSecondaryLanguages: no language", is, Status::INVALID_PARAMETER);
        let is = (s.get_secondary_languages)(strings, ptr::null_mut(), EN, buffer, &mut 9);
        status("GetSecondaryLanguages: null for the list", is, Status::INVALID_PARAMETER);
    }
}

/// EFI_FONT_INFO with room for a name.
#[repr(C, packed(2))]
struct FontInfo {
    style: u32,
    size: u16,
    name: [u16; 8],
}

fn export(database: *mut Database, handle: HiiHandle) {
    let d = unsafe { &*database };
    let before = counts();
    unsafe {
        let mut size = 0;
        let is = (d.export_package_lists)(database, handle, &mut size, ptr::null_mut());
        status("ExportPackageLists: no room", is, Status::BUFFER_TOO_SMALL);
        let buffer = env::pool(size);
        let mut room = size;
        let is = (d.export_package_lists)(database, handle, &mut room, buffer.cast());
        equal("ExportPackageLists", (is, room), (Status::SUCCESS, size));
        equal("EXPORT_PACK", counts(), [before[0], before[1], before[2] + 3, before[3]]);
        let mut again = ptr::null_mut();
        let is = (d.new_package_list)(database, buffer.cast(), ptr::null_mut(), &mut again);
        status("ExportPackageLists: can be handed in", is, Status::SUCCESS);
        let mut both = 0;
        (d.export_package_lists)(database, ptr::null_mut(), &mut both, ptr::null_mut());
        check("ExportPackageLists: all", both >= 2 * size);
        (d.remove_package_list)(database, again);
        env::free(buffer);
        let is = (d.export_package_lists)(database, handle, &mut room, ptr::null_mut());
        status("ExportPackageLists: no buffer", is, Status::INVALID_PARAMETER);
        let is = (d.export_package_lists)(database, handle, ptr::null_mut(), ptr::null_mut());
        status("ExportPackageLists: no size", is, Status::INVALID_PARAMETER);
        let is = (d.export_package_lists)(database, again, &mut 0, ptr::null_mut());
        status("ExportPackageLists: no such list", is, Status::NOT_FOUND);
    }
}

fn layout() -> [u8; 23] {
    let mut layout = [0; 23];
    layout[0] = 23;
    layout[2..18].copy_from_slice(b"keyboard layout.");
    layout
}

fn keyboard(database: *mut Database) {
    let d = unsafe { &*database };
    let mut guid = Guid::from_bytes(b"keyboard layout.");
    let mut buffer = [0_u8; 32];
    let place = buffer.as_mut_ptr();
    unsafe {
        let is = (d.get_keyboard_layout)(database, ptr::null(), &mut 32, ptr::null_mut());
        status("GetKeyboardLayout: neither layout nor buffer", is, Status::INVALID_PARAMETER);
        status(
            "FindKeyboardLayouts: no room",
            (d.find_keyboard_layouts)(database, &mut 15, place.cast()),
            Status::BUFFER_TOO_SMALL,
        );
        let mut size = 32;
        let is = (d.find_keyboard_layouts)(database, &mut size, place.cast());
        equal("FindKeyboardLayouts", (is, size, &buffer[..16]), (Status::SUCCESS, 16, &b"keyboard layout."[..]));
        let is = (d.find_keyboard_layouts)(database, ptr::null_mut(), place.cast());
        status("FindKeyboardLayouts: no size", is, Status::INVALID_PARAMETER);
        let mut size = 32;
        let is = (d.get_keyboard_layout)(database, ptr::null(), &mut size, place.cast());
        status("GetKeyboardLayout: none is set", is, Status::NOT_FOUND);
        status("SetKeyboardLayout", (d.set_keyboard_layout)(database, &mut guid), Status::SUCCESS);
        let is = (d.get_keyboard_layout)(database, ptr::null(), &mut size, place.cast());
        equal("GetKeyboardLayout", (is, size, &buffer[..23]), (Status::SUCCESS, 23, &layout()[..]));
        let is = (d.get_keyboard_layout)(database, &guid, &mut 22, place.cast());
        status("GetKeyboardLayout: no room", is, Status::BUFFER_TOO_SMALL);
        let mut other = hii_database::PROTOCOL_GUID;
        let is = (d.get_keyboard_layout)(database, &other, &mut size, place.cast());
        status("GetKeyboardLayout: of none", is, Status::NOT_FOUND);
        status("SetKeyboardLayout: of none", (d.set_keyboard_layout)(database, &mut other), Status::NOT_FOUND);
        let is = (d.set_keyboard_layout)(database, ptr::null_mut());
        status("SetKeyboardLayout: null", is, Status::INVALID_PARAMETER);
    }
}
