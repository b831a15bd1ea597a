//! Images: one that the program makes of nothing but headers and a few instructions.

use alloc::vec::Vec;

use uefi::boot::{self, LoadImageSource};
use uefi::proto::loaded_image::LoadedImage;
use uefi::{Handle, Status};

use crate::report::{check, refused, works};

const FILE_SIZE: usize = 0x400;
const PE: usize = 0x40;
const OPTIONAL: usize = PE + 24;
const SECTION: usize = OPTIONAL + 240;

/// What the image returns.
const ANSWER: Status = Status(0x2a);

/// A PE application whose entry point returns [`ANSWER`].
pub fn small() -> Vec<u8> {
    let mut file = Vec::from([0; FILE_SIZE]);
    let mut put = |at: usize, bytes: &[u8]| {
        if let Some(place) = file.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(bytes);
        }
    };
    put(0, b"MZ");
    put(0x3c, &(PE as u32).to_le_bytes());
    put(PE, b"PE\0\0\x64\xaa\x01\0");
    put(PE + 20, &240u16.to_le_bytes());
    put(PE + 22, &0x22u16.to_le_bytes());
    put(OPTIONAL, &0x20bu16.to_le_bytes());
    for (at, value) in [(16, 0x1000u32), (20, 0x1000), (32, 0x1000), (36, 0x200), (56, 0x2000), (60, 0x200), (108, 16)]
    {
        put(OPTIONAL + at, &value.to_le_bytes());
    }
    put(OPTIONAL + 68, &10u16.to_le_bytes());
    put(OPTIONAL + 70, &0x160u16.to_le_bytes());
    put(SECTION, b".text\0\0\0");
    for (at, value) in [(8, 0x200u32), (12, 0x1000), (16, 0x200), (20, 0x200), (36, 0x6000_0020)] {
        put(SECTION + at, &value.to_le_bytes());
    }
    // mov x0, #42; ret.
    put(0x200, &[0xd280_0540u32.to_le_bytes(), 0xd65f_03c0u32.to_le_bytes()].concat());
    file
}

fn load(file: &[u8]) -> uefi::Result<Handle> {
    boot::load_image(boot::image_handle(), LoadImageSource::FromBuffer { buffer: file, file_path: None })
}

pub fn walk() {
    let mut file = small();
    let Some(image) = works("load_image", load(&file)) else { return };
    let size = boot::open_protocol_exclusive::<LoadedImage>(image).map(|loaded| loaded.info().1);
    check("load_image: size", size.is_ok_and(|size| size == 0x2000));
    let ended = boot::start_image(image).err().map(|error| error.status());
    check("start_image: what the image returns", ended == Some(ANSWER));
    check("start_image: unloads it", boot::open_protocol_exclusive::<LoadedImage>(image).is_err());
    refused("start_image: again", boot::start_image(image), Status::INVALID_PARAMETER);
    if let Some(image) = works("load_image: once more", load(&file)) {
        works("unload_image", boot::unload_image(image));
        refused("unload_image: again", boot::unload_image(image), Status::INVALID_PARAMETER);
    }
    refused("load_image: empty", load(&[]), Status::LOAD_ERROR);
    if let Some(first) = file.first_mut() {
        *first = 0;
    }
    refused("load_image: no image", load(&file), Status::UNSUPPORTED);
}
