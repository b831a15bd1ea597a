//! EFI_FILE_PROTOCOL on the volume of the disk.

use core::ffi::c_void;
use core::ptr;

use r_efi::efi::{Char16, Event, Guid, Handle, Status};
use r_efi::protocols::{block_io, device_path, file, simple_file_system};

use super::medium::{BLOCK, CLUSTERS, Medium};
use crate::cc;
use crate::env::{self, bs};
use crate::images;
use crate::pe::{self, APPLICATION, FILE_SIZE};
use crate::report::{check, equal, failed, status};

const READ: u64 = file::MODE_READ;
const WRITE: u64 = file::MODE_READ | file::MODE_WRITE;
const CREATE: u64 = WRITE | file::MODE_CREATE;

/// A string of this program as the firmware takes it.
struct Text([u16; 80]);

impl Text {
    fn new(text: &str) -> Self {
        let mut units = [0; 80];
        units.iter_mut().zip(text.bytes()).for_each(|(unit, byte)| *unit = byte.into());
        Self(units)
    }

    fn as_mut_ptr(&mut self) -> *mut Char16 {
        self.0.as_mut_ptr()
    }
}

/// An open file.
#[derive(Clone, Copy)]
struct File(*mut file::Protocol);

/// What EFI_FILE_INFO says, as its bytes.
#[repr(align(8))]
struct Info {
    bytes: [u8; 256],
    size: usize,
}

impl Info {
    fn number(&self, at: usize) -> u64 {
        (0..8).fold(0, |all, byte| all | u64::from(self.bytes[at + byte]) << (8 * byte))
    }

    fn put(&mut self, at: usize, value: u64) {
        self.bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }

    fn is_called(&self, name: &str) -> bool {
        let unit = |at: usize| u16::from(self.bytes[80 + at * 2]) | u16::from(self.bytes[81 + at * 2]) << 8;
        name.bytes().enumerate().all(|(at, byte)| unit(at) == byte.into()) && unit(name.len()) == 0
    }

    fn call(&mut self, name: &str) {
        let units = Text::new(name).0;
        for (at, unit) in units.iter().enumerate() {
            self.bytes[80 + at * 2..82 + at * 2].copy_from_slice(&unit.to_le_bytes());
        }
        self.size = 80 + (name.len() + 1) * 2;
        self.put(0, self.size as u64);
    }
}

impl File {
    fn open(self, name: &str, mode: u64, attributes: u64) -> Result<Self, Status> {
        let (mut new, mut name) = (ptr::null_mut(), Text::new(name));
        let status = unsafe { ((*self.0).open)(self.0, &mut new, name.as_mut_ptr(), mode, attributes) };
        if status == Status::SUCCESS { Ok(Self(new)) } else { Err(status) }
    }

    fn status_of_open(self, name: &str, mode: u64, attributes: u64) -> Status {
        match self.open(name, mode, attributes) {
            Ok(file) => {
                file.close();
                Status::SUCCESS
            }
            Err(status) => status,
        }
    }

    fn close(self) -> Status {
        unsafe { ((*self.0).close)(self.0) }
    }

    fn delete(self) -> Status {
        unsafe { ((*self.0).delete)(self.0) }
    }

    fn read(self, buffer: &mut [u8]) -> (Status, usize) {
        let mut size = buffer.len();
        let status = unsafe { ((*self.0).read)(self.0, &mut size, buffer.as_mut_ptr().cast()) };
        (status, size)
    }

    fn write(self, bytes: &[u8]) -> (Status, usize) {
        let mut size = bytes.len();
        let status = unsafe { ((*self.0).write)(self.0, &mut size, bytes.as_ptr().cast_mut().cast()) };
        (status, size)
    }

    fn seek(self, position: u64) -> Status {
        unsafe { ((*self.0).set_position)(self.0, position) }
    }

    fn position(self) -> Result<u64, Status> {
        let mut position = 0;
        let status = unsafe { ((*self.0).get_position)(self.0, &mut position) };
        if status == Status::SUCCESS { Ok(position) } else { Err(status) }
    }

    fn get(self, kind: &Guid) -> (Status, Info) {
        let (mut info, mut kind) = (Info { bytes: [0; 256], size: 256 }, *kind);
        let buffer: *mut c_void = info.bytes.as_mut_ptr().cast();
        let status = unsafe { ((*self.0).get_info)(self.0, &mut kind, &mut info.size, buffer) };
        (status, info)
    }

    fn set(self, kind: &Guid, info: &mut Info) -> Status {
        let mut kind = *kind;
        unsafe { ((*self.0).set_info)(self.0, &mut kind, info.size, info.bytes.as_mut_ptr().cast()) }
    }

    fn flush(self) -> Status {
        unsafe { ((*self.0).flush)(self.0) }
    }
}

pub fn run(partition: Handle, medium: *mut Medium) {
    let volume: *mut simple_file_system::Protocol = env::interface(partition, &simple_file_system::PROTOCOL_GUID);
    if volume.is_null() {
        return failed("SimpleFileSystem", format_args!("there is none"));
    }
    equal("SimpleFileSystem: revision", unsafe { (*volume).revision }, simple_file_system::REVISION);
    let mut root = ptr::null_mut();
    status("OpenVolume: null", unsafe { ((*volume).open_volume)(volume, ptr::null_mut()) }, Status::INVALID_PARAMETER);
    let is = unsafe { ((*volume).open_volume)(volume, &mut root) };
    status("OpenVolume", is, Status::SUCCESS);
    if is != Status::SUCCESS {
        return;
    }
    let root = File(root);
    equal("File: revision", unsafe { (*root.0).revision }, file::REVISION2);
    let before = Medium::free_clusters(medium);
    equal("a new volume is empty", before, CLUSTERS);
    opening(root);
    lasting(root, medium);
    contents(root);
    information(root);
    directories(root);
    tokens(root);
    loading(root, partition);
    deleting(root);
    equal("what was deleted is free again", Medium::free_clusters(medium), before);
    read_only(root, partition, medium);
    full(root);
    status("Close: root", root.close(), Status::SUCCESS);
}

fn opening(root: File) {
    let open = |name: &str, mode, attributes| root.status_of_open(name, mode, attributes);
    status("Open: absent", open("absent", READ, 0), Status::NOT_FOUND);
    status("Open: absent directory", open("absent\\file", CREATE, 0), Status::NOT_FOUND);
    status("Open: only to write", open("x", file::MODE_WRITE, 0), Status::INVALID_PARAMETER);
    status("Open: create to read", open("x", READ | file::MODE_CREATE, 0), Status::INVALID_PARAMETER);
    status("Open: attributes that are none", open("x", CREATE, 0x40), Status::INVALID_PARAMETER);
    status("Open: a name that is none", open("a*b", CREATE, 0), Status::INVALID_PARAMETER);
    status("Open: creates a directory", open("EFI", CREATE, file::DIRECTORY), Status::SUCCESS);
    status("Open: by a whole path", open("\\EFI\\BOOT", CREATE, file::DIRECTORY), Status::SUCCESS);
    status("Open: in another case", open("\\efi\\boot\\", READ, 0), Status::SUCCESS);
    status("Open: a directory as a file", open("EFI", CREATE, 0), Status::ACCESS_DENIED);
    status("Open: creates a file", open("EFI\\BOOT\\loader entry.conf", CREATE, 0), Status::SUCCESS);
    status(
        "Open: a file as a directory",
        open("EFI\\BOOT\\loader entry.conf", CREATE, file::DIRECTORY),
        Status::ACCESS_DENIED,
    );
    status("Open: below a file", open("EFI\\BOOT\\loader entry.conf\\x", READ, 0), Status::NOT_FOUND);
    status("Open: itself", open(".", READ, 0), Status::SUCCESS);
    status("Open: dots", open("EFI\\.\\BOOT\\..\\BOOT\\LOADER~1.CON", READ, 0), Status::SUCCESS);
    status("Open: above the root", open("..", READ, 0), Status::NOT_FOUND);
    let Ok(boot) = root.open("EFI\\BOOT", READ, 0) else { return };
    status("Open: from a directory", boot.status_of_open("loader entry.conf", READ, 0), Status::SUCCESS);
    status("Open: up from a directory", boot.status_of_open("..\\..\\EFI", READ, 0), Status::SUCCESS);
    status("Open: from the root", boot.status_of_open("\\EFI", READ, 0), Status::SUCCESS);
    let mut name = Text::new("x");
    let null = ptr::null_mut();
    status(
        "Open: null",
        unsafe { ((*boot.0).open)(boot.0, null, name.as_mut_ptr(), READ, 0) },
        Status::INVALID_PARAMETER,
    );
    boot.close();
    status("Open: creates what is read-only", open("sealed", CREATE, file::READ_ONLY), Status::SUCCESS);
    status("Open: to write what is read-only", open("sealed", WRITE, 0), Status::ACCESS_DENIED);
    status("Open: to read what is read-only", open("sealed", READ, 0), Status::SUCCESS);
}

/// What was written is flushed when the file is closed, and nothing else is (UEFI 2.10, 13.5, Close()).
fn lasting(root: File, medium: *mut Medium) {
    let flushes = || unsafe { (*medium).flushes };
    let Ok(data) = root.open("lasting", CREATE, 0) else { return failed("lasting", format_args!("not created")) };
    data.write(b"to stay");
    let before = flushes();
    data.close();
    equal("Close: of what was written: flushes", flushes(), before + 1);
    status("Close: of what was read", root.status_of_open("lasting", WRITE, 0), Status::SUCCESS);
    equal("Close: of what was read: does not flush", flushes(), before + 1);
    let Ok(data) = root.open("lasting", WRITE, 0) else { return };
    data.delete();
    equal("Delete: flushes", flushes(), before + 2);
}

fn contents(root: File) {
    let Ok(data) = root.open("data.bin", CREATE, 0) else { return failed("data.bin", format_args!("not created")) };
    let pattern: [u8; 1300] = core::array::from_fn(|at| (at * 7) as u8);
    equal("Write", data.write(&pattern), (Status::SUCCESS, 1300));
    equal("GetPosition: behind what was written", data.position(), Ok(1300));
    let mut buffer = [0u8; 1400];
    equal("Read: at the end", data.read(&mut buffer), (Status::SUCCESS, 0));
    status("SetPosition", data.seek(5), Status::SUCCESS);
    equal("Read: up to the end", data.read(&mut buffer), (Status::SUCCESS, 1295));
    check("Read: what was written", buffer[..1295] == pattern[5..]);
    data.seek(u64::MAX);
    equal("SetPosition: the end", data.position(), Ok(1300));
    data.seek(1301);
    status("Read: behind the end", data.read(&mut buffer).0, Status::DEVICE_ERROR);
    data.seek(1350);
    equal("Write: behind the end", data.write(b"far"), (Status::SUCCESS, 3));
    data.seek(1290);
    equal("Read: over the gap", data.read(&mut buffer), (Status::SUCCESS, 63));
    check(
        "Write: the gap is zeroes",
        buffer[..10] == pattern[1290..] && buffer[10..60] == [0; 50] && &buffer[60..63] == b"far",
    );
    let Ok(other) = root.open("DATA.BIN", READ, 0) else { return };
    data.seek(0);
    data.write(b"shared");
    other.read(&mut buffer[..6]);
    check("Read: what another handle wrote", &buffer[..6] == b"shared");
    status("Write: opened to read", other.write(b"x").0, Status::ACCESS_DENIED);
    status("Flush: opened to read", other.flush(), Status::ACCESS_DENIED);
    status("Flush", data.flush(), Status::SUCCESS);
    other.close();
    status("Close", data.close(), Status::SUCCESS);
}

fn information(root: File) {
    let Ok(data) = root.open("data.bin", WRITE, 0) else { return };
    let (is, mut info) = data.get(&file::INFO_ID);
    status("GetInfo: file", is, Status::SUCCESS);
    equal("GetInfo: sizes", (info.number(0), info.number(8), info.number(16)), (info.size as u64, 1353, 1536));
    equal("GetInfo: attributes", info.number(72), file::ARCHIVE);
    check("GetInfo: name", info.is_called("data.bin"));
    let (mut kind, mut size) = (file::INFO_ID, 10);
    let is = unsafe { ((*data.0).get_info)(data.0, &mut kind, &mut size, ptr::null_mut()) };
    equal("GetInfo: no room", (is, size), (Status::BUFFER_TOO_SMALL, info.size));
    status("GetInfo: of a kind that is none", data.get(&device_path::PROTOCOL_GUID).0, Status::UNSUPPORTED);

    info.put(8, 100);
    status("SetInfo: shorter", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    equal("SetInfo: is shorter", data.get(&file::INFO_ID).1.number(8), 100);
    info.put(8, 600);
    status("SetInfo: longer", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    let mut buffer = [1u8; 600];
    data.seek(0);
    equal("SetInfo: is longer", data.read(&mut buffer), (Status::SUCCESS, 600));
    check("SetInfo: by zeroes", buffer[100..] == [0; 500] && &buffer[..6] == b"shared");
    info.put(72, file::HIDDEN);
    status("SetInfo: attributes", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    equal("SetInfo: has them", data.get(&file::INFO_ID).1.number(72), file::HIDDEN);
    info.put(72, file::DIRECTORY);
    status("SetInfo: a file to a directory", data.set(&file::INFO_ID, &mut info), Status::ACCESS_DENIED);
    info.put(72, 0x40);
    status("SetInfo: attributes that are none", data.set(&file::INFO_ID, &mut info), Status::INVALID_PARAMETER);
    info.put(72, 0);
    info.call("sealed");
    status("SetInfo: a name that is taken", data.set(&file::INFO_ID, &mut info), Status::ACCESS_DENIED);
    info.call("Debian+2-1.conf");
    status("SetInfo: name", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    check("SetInfo: has it", data.get(&file::INFO_ID).1.is_called("Debian+2-1.conf"));
    status("SetInfo: the old name", root.status_of_open("data.bin", READ, 0), Status::NOT_FOUND);
    // The size stays that of the old name, as systemd-boot leaves it.
    let size = info.size;
    info.call("Debian+1-22222.conf");
    info.size = size;
    status("SetInfo: a name beyond the size", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    check("SetInfo: has all of it", data.get(&file::INFO_ID).1.is_called("Debian+1-22222.conf"));
    status("Open: a whole path by a file", data.status_of_open("\\EFI\\BOOT", READ, 0), Status::SUCCESS);
    status("Open: a path by a file", data.status_of_open("EFI\\BOOT", READ, 0), Status::NOT_FOUND);
    info.call("\\EFI\\moved.conf");
    status("SetInfo: name in another directory", data.set(&file::INFO_ID, &mut info), Status::SUCCESS);
    status("SetInfo: is there", root.status_of_open("EFI\\moved.conf", READ, 0), Status::SUCCESS);
    info.size = 79;
    status("SetInfo: too short", data.set(&file::INFO_ID, &mut info), Status::BAD_BUFFER_SIZE);
    data.close();
    if let Ok(reader) = root.open("EFI\\moved.conf", READ, 0) {
        info.call("other");
        status("SetInfo: name, opened to read", reader.set(&file::INFO_ID, &mut info), Status::ACCESS_DENIED);
        reader.close();
    }

    let (is, info) = root.get(&file::SYSTEM_INFO_ID);
    status("GetInfo: file system", is, Status::SUCCESS);
    equal("GetInfo: volume size", info.number(16), (CLUSTERS * BLOCK) as u64);
    check("GetInfo: free space", (1..info.number(16)).contains(&info.number(24)) && info.bytes[8] == 0);
    let mut label = Info { bytes: [0; 256], size: 12 };
    for (at, byte) in b"LABEL".iter().enumerate() {
        label.bytes[at * 2] = *byte;
    }
    status("SetInfo: label", root.set(&file::SYSTEM_VOLUME_LABEL_ID, &mut label), Status::SUCCESS);
    let (_, found) = root.get(&file::SYSTEM_VOLUME_LABEL_ID);
    check("GetInfo: label", found.size == 12 && found.bytes[..12] == label.bytes[..12]);
    check("GetInfo: label of the file system", root.get(&file::SYSTEM_INFO_ID).1.bytes[36..48] == label.bytes[..12]);
}

fn directories(root: File) {
    let Ok(boot) = root.open("EFI\\BOOT", WRITE, 0) else { return };
    equal("GetPosition: directory", boot.position(), Err(Status::UNSUPPORTED));
    status("SetPosition: in a directory", boot.seek(1), Status::UNSUPPORTED);
    status("Write: directory", boot.write(b"x").0, Status::UNSUPPORTED);
    let mut info = Info { bytes: [0; 256], size: 0 };
    let mut next = || {
        info.size = 256;
        let status = unsafe { ((*boot.0).read)(boot.0, &mut info.size, info.bytes.as_mut_ptr().cast()) };
        (status, info.size, info.is_called("loader entry.conf"))
    };
    next();
    next();
    let size = 80 + 2 * "loader entry.conf\0".len();
    let mut room = 3;
    let is = unsafe { ((*boot.0).read)(boot.0, &mut room, ptr::null_mut()) };
    equal("Read: directory without room", (is, room), (Status::BUFFER_TOO_SMALL, size));
    equal("Read: directory", next(), (Status::SUCCESS, size, true));
    equal("Read: end of a directory", (next().1, next().1), (0, 0));
    status("SetPosition: directory from the start", boot.seek(0), Status::SUCCESS);
    check("Read: directory again", next().1 != 0);
    let (_, mut info) = boot.get(&file::INFO_ID);
    equal("GetInfo: directory", info.number(72), file::DIRECTORY);
    info.put(8, 4096);
    status("SetInfo: size of a directory", boot.set(&file::INFO_ID, &mut info), Status::ACCESS_DENIED);
    boot.close();
    let (_, info) = root.get(&file::INFO_ID);
    check("GetInfo: the root has no name", info.is_called("") && info.number(72) == file::DIRECTORY);
}

fn tokens(root: File) {
    let mut event: Event = ptr::null_mut();
    unsafe { (bs().create_event)(0, 0, None, ptr::null_mut(), &mut event) };
    let mut token = file::IoToken { event, status: Status::ABORTED, buffer_size: 0, buffer: ptr::null_mut() };
    let (mut new, mut name) = (ptr::null_mut(), Text::new("token"));
    let is = unsafe { ((*root.0).open_ex)(root.0, &mut new, name.as_mut_ptr(), CREATE, 0, &mut token) };
    equal("OpenEx", (is, token.status), (Status::SUCCESS, Status::SUCCESS));
    status("OpenEx: signals", unsafe { (bs().check_event)(event) }, Status::SUCCESS);
    let mut text = *b"text";
    (token.buffer, token.buffer_size) = (text.as_mut_ptr().cast(), 4);
    let is = unsafe { ((*new).write_ex)(new, &mut token) };
    equal("WriteEx", (is, token.status, token.buffer_size), (Status::SUCCESS, Status::SUCCESS, 4));
    File(new).seek(0);
    text = [0; 4];
    let is = unsafe { ((*new).read_ex)(new, &mut token) };
    equal("ReadEx", (is, token.status, &text), (Status::SUCCESS, Status::SUCCESS, b"text"));
    status("FlushEx", unsafe { ((*new).flush_ex)(new, &mut token) }, Status::SUCCESS);
    status("FlushEx: signals", unsafe { (bs().check_event)(event) }, Status::SUCCESS);
    // What fails at once is returned, and then nothing is signalled.
    let open = |text: &str, mode, token| {
        let (mut opened, mut name) = (ptr::null_mut(), Text::new(text));
        unsafe { ((*root.0).open_ex)(root.0, &mut opened, name.as_mut_ptr(), mode, 0, token) }
    };
    status("OpenEx: absent", open("absent", READ, &mut token), Status::NOT_FOUND);
    status("OpenEx: create to read", open("x", READ | file::MODE_CREATE, &mut token), Status::INVALID_PARAMETER);
    status("OpenEx: no token", open("token", READ, ptr::null_mut()), Status::INVALID_PARAMETER);
    status("WriteEx: directory", unsafe { ((*root.0).write_ex)(root.0, &mut token) }, Status::UNSUPPORTED);
    File(new).seek(1 << 20);
    status("ReadEx: behind the end", unsafe { ((*new).read_ex)(new, &mut token) }, Status::DEVICE_ERROR);
    if let Ok(reader) = root.open("token", READ, 0) {
        status(
            "WriteEx: opened to read",
            unsafe { ((*reader.0).write_ex)(reader.0, &mut token) },
            Status::ACCESS_DENIED,
        );
        status(
            "FlushEx: opened to read",
            unsafe { ((*reader.0).flush_ex)(reader.0, &mut token) },
            Status::ACCESS_DENIED,
        );
        reader.close();
    }
    status("File: a failure signals nothing", unsafe { (bs().check_event)(event) }, Status::NOT_READY);
    File(new).close();
    unsafe { (bs().close_event)(event) };
}

/// An image from the disk, by its device path.
fn loading(root: File, partition: Handle) {
    let Ok(program) = root.open("\\EFI\\BOOT\\BOOTAA64.EFI", CREATE, 0) else { return };
    let image = pe::build(images::returns, APPLICATION);
    equal("Write: an image", program.write(&image), (Status::SUCCESS, FILE_SIZE));
    program.close();
    let from: *const u8 = env::interface(partition, &device_path::PROTOCOL_GUID);
    let mut path = [0u8; 256];
    for (at, byte) in path[..62].iter_mut().enumerate() {
        *byte = unsafe { from.add(at).read() };
    }
    let name = Text::new("\\EFI\\BOOT\\BOOTAA64.EFI");
    let length = 4 + 2 * 23;
    path[62..66].copy_from_slice(&[4, 4, length as u8, 0]);
    for (at, unit) in name.0[..22].iter().enumerate() {
        path[66 + at * 2] = *unit as u8;
    }
    path[62 + length..66 + length].copy_from_slice(&[0x7f, 0xff, 4, 0]);
    let before = cc::gpt_events();
    let mut handle = ptr::null_mut();
    let (boot, null) = (true.into(), ptr::null_mut());
    let is = unsafe { (bs().load_image)(boot, env::image(), path.as_mut_ptr().cast(), null, 0, &mut handle) };
    status("LoadImage: from a disk", is, Status::SUCCESS);
    if is == Status::SUCCESS {
        let device = unsafe { (*images::information(handle)).device_handle };
        equal("LoadImage: device handle", device, partition);
        status("StartImage: from a disk", images::start(handle), images::PLAIN_STATUS);
    }
    let after = cc::gpt_events();
    let is = unsafe { (bs().load_image)(boot, env::image(), path.as_mut_ptr().cast(), null, 0, &mut handle) };
    status("LoadImage: from a disk again", is, Status::SUCCESS);
    images::unload(handle);
    if before.is_some() {
        equal("LoadImage: measures the GPT, once", (before, after, cc::gpt_events()), (Some(0), Some(1), Some(1)));
    }
}

fn deleting(root: File) {
    let Ok(efi) = root.open("EFI", WRITE, 0) else { return };
    status("Delete: a directory with entries", efi.delete(), Status::WARN_DELETE_FAILURE);
    if let Ok(file) = root.open("token", READ, 0) {
        status("Delete: opened to read", file.delete(), Status::WARN_DELETE_FAILURE);
    }
    if let (Ok(file), Ok(other)) = (root.open("token", WRITE, 0), root.open("token", WRITE, 0)) {
        status("Delete", file.delete(), Status::SUCCESS);
        status("Read: deleted", other.read(&mut [0]).0, Status::DEVICE_ERROR);
        status("Write: deleted", other.write(b"x").0, Status::DEVICE_ERROR);
        equal("GetPosition: deleted", other.position(), Err(Status::DEVICE_ERROR));
        status("GetInfo: deleted", other.get(&file::INFO_ID).0, Status::DEVICE_ERROR);
        status("Delete: deleted", other.delete(), Status::WARN_DELETE_FAILURE);
    }
    status("Delete: is gone", root.status_of_open("token", READ, 0), Status::NOT_FOUND);
    if let Ok(sealed) = root.open("sealed", READ, 0) {
        let (_, mut info) = sealed.get(&file::INFO_ID);
        info.put(72, 0);
        status("SetInfo: attributes, opened to read", sealed.set(&file::INFO_ID, &mut info), Status::SUCCESS);
        sealed.close();
    }
    let names =
        ["sealed", "EFI\\moved.conf", "EFI\\BOOT\\BOOTAA64.EFI", "EFI\\BOOT\\loader entry.conf", "EFI\\BOOT", "EFI"];
    let deleted = names.map(|name| root.open(name, WRITE, 0).map(File::delete));
    equal("Delete: everything", deleted, [Ok(Status::SUCCESS); 6]);
}

fn read_only(root: File, partition: Handle, medium: *mut Medium) {
    let io: *mut block_io::Protocol = env::interface(partition, &block_io::PROTOCOL_GUID);
    let set = |read_only: bool| unsafe {
        (*medium).media.read_only = read_only;
        // What a partition says of its medium follows the disk's when it is used.
        let mut none = 0u64;
        ((*io).read_blocks)(io, 7, 0, 0, (&raw mut none).cast())
    };
    status("Open: creates what is kept", root.status_of_open("kept", CREATE, 0), Status::SUCCESS);
    set(true);
    status("Open: to write to a read-only medium", root.status_of_open("x", CREATE, 0), Status::WRITE_PROTECTED);
    status("Flush: a read-only medium", root.flush(), Status::WRITE_PROTECTED);
    // Whatever else is wrong.
    if let Ok(reader) = root.open("kept", READ, 0) {
        status("Flush: a read-only medium, opened to read", reader.flush(), Status::WRITE_PROTECTED);
        equal("Write: a read-only medium, opened to read", reader.write(b"x"), (Status::WRITE_PROTECTED, 0));
        status("Delete: a read-only medium", reader.delete(), Status::WARN_DELETE_FAILURE);
    }
    let mut none = Info { bytes: [1; 256], size: 1 };
    let kinds = [file::SYSTEM_VOLUME_LABEL_ID, file::SYSTEM_INFO_ID, file::INFO_ID];
    let answers = kinds.map(|kind| root.set(&kind, &mut none));
    equal("SetInfo: a read-only medium", answers, [Status::WRITE_PROTECTED; 3]);
    status(
        "SetInfo: a read-only medium, no kind",
        root.set(&device_path::PROTOCOL_GUID, &mut none),
        Status::UNSUPPORTED,
    );
    set(false);
    equal("Delete: what was kept", root.open("kept", WRITE, 0).map(File::delete), Ok(Status::SUCCESS));
    if let Ok(file) = root.open("x", CREATE, 0) {
        unsafe { (*medium).media.media_id = 8 };
        let mut byte = [0];
        file.write(b"x");
        let is = file.read(&mut byte).0;
        check("a changed medium is an error", is.is_error() || file.write(b"x").0.is_error());
        unsafe { (*medium).media.media_id = 7 };
        file.delete();
    }
}

fn full(root: File) {
    let file = match root.open("big", CREATE, 0) {
        Ok(file) => file,
        Err(status) => return failed("big", format_args!("not created: {status:?}")),
    };
    let block = [0x5a; BLOCK];
    let written = (0..CLUSTERS + 1).take_while(|_| file.write(&block).0 == Status::SUCCESS).count();
    equal("Write: until it is full", written, CLUSTERS);
    equal("Write: full", file.write(&block), (Status::VOLUME_FULL, 0));
    status("Delete: the big file", file.delete(), Status::SUCCESS);
}
