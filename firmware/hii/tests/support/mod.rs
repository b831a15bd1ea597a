//! Package lists for tests and fuzzers, built by code, and what is promised of any that is handed in.
// Each test crate uses a part of it.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

use hii::{Database, Error, Font, Kind, List};

pub const GUID_PACKAGE: u8 = 1;
pub const STRINGS: u8 = 4;
pub const KEYBOARD: u8 = 9;

/// Text as UCS-2 with its NUL.
pub fn ucs2(text: &str) -> Vec<u8> {
    text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect()
}

pub fn package(package_type: u8, content: &[u8]) -> Vec<u8> {
    let length = (content.len() + 4) as u32;
    let mut package = (length | u32::from(package_type) << 24).to_le_bytes().to_vec();
    package.extend_from_slice(content);
    package
}

pub fn list(packages: &[Vec<u8>]) -> Vec<u8> {
    let mut list = b"0123456789abcdef".to_vec();
    let length = 24 + packages.iter().map(Vec::len).sum::<usize>();
    list.extend_from_slice(&(length as u32).to_le_bytes());
    list.extend(packages.concat());
    list.extend(package(0xdf, &[]));
    list
}

/// The windows of the standard.
pub const WINDOWS: [u16; 16] = [
    0x0000, 0x0080, 0x0100, 0x0300, 0x2000, 0x2080, 0x2100, 0x3000, 0x0080, 0x00c0, 0x0400, 0x0600, 0x0900, 0x3040,
    0x30a0, 0xff00,
];

pub fn strings(language: &str, blocks: &[u8]) -> Vec<u8> {
    let header = (46 + language.len() + 1) as u32;
    let mut content = header.to_le_bytes().repeat(2);
    content.extend(WINDOWS.into_iter().flat_map(u16::to_le_bytes));
    content.extend(1_u16.to_le_bytes());
    content.extend_from_slice(language.as_bytes());
    content.push(0);
    content.extend_from_slice(blocks);
    package(STRINGS, &content)
}

pub fn font_block(number: u8, size: u16, style: u32, name: &str) -> Vec<u8> {
    let name = ucs2(name);
    let mut block = vec![0x31, 0x40];
    block.extend((name.len() as u16 + 11).to_le_bytes());
    block.push(number);
    block.extend(size.to_le_bytes());
    block.extend(style.to_le_bytes());
    block.extend(name);
    block
}

/// A package with a block of each type: strings 1 to 14 and 20, of which 9 and 10 are left out, then 15 to 19.
pub fn all_blocks() -> Vec<u8> {
    let mut blocks = font_block(3, 19, 1, "Serif");
    blocks.extend([&[0x14][..], &ucs2("English")].concat());
    blocks.extend([&[0x15, 3][..], &ucs2("bold")].concat());
    blocks.extend([&[0x16, 2, 0][..], &ucs2("three"), &ucs2("")].concat());
    blocks.extend([&[0x17, 3, 1, 0][..], &ucs2("five")].concat());
    blocks.extend(b"\x10six\0");
    blocks.extend(b"\x11\x03seven\0");
    blocks.extend([0x20, 1, 0]);
    blocks.extend([0x22, 2]);
    blocks.extend(b"\x12\x02\0eleven\0t\xe9n\0");
    blocks.extend(b"\x13\x03\x01\0thirteen\0");
    blocks.extend([0x20, 8, 0]);
    blocks.extend([0x21, 5, 0]);
    blocks.extend([0x30, 0x01, 4, 9, 0x32, 0x01, 8, 0, 0, 0, 9, 9]);
    blocks.extend([&[0x14][..], &ucs2("twenty")].concat());
    blocks.push(0);
    blocks
}

pub fn layout(guid: u8, descriptors: usize) -> Vec<u8> {
    let length = 23 + 16 * descriptors;
    let mut layout = (length as u16).to_le_bytes().to_vec();
    layout.extend([guid; 16]);
    layout.extend([0; 4]);
    layout.push(descriptors as u8);
    layout.resize(length, 0x55);
    layout
}

/// A list with packages of all the kinds that are looked into.
pub fn seed() -> Vec<u8> {
    let mut keyboards = vec![2, 0];
    keyboards.extend(layout(7, 1));
    keyboards.extend(layout(8, 0));
    list(&[
        strings("en-US;fr;de", &all_blocks()),
        strings("fr", &[&[0x14][..], &ucs2("français"), &[0x14], &ucs2("gras"), &[0]].concat()),
        package(GUID_PACKAGE, b"fedcba9876543210 and more"),
        package(KEYBOARD, &keyboards),
    ])
}

/// All that can be asked of a list. Whether it was accepted.
pub fn exercise(bytes: &[u8]) -> bool {
    let mut database = Database::new();
    let Ok(list) = List::parse(bytes) else { return false };
    let handle = database.add(list, 1, Some(&[0x7f, 0xff, 4, 0])).unwrap();
    assert_eq!(database.driver(handle), Ok(1));
    assert_eq!(database.next(0, &Kind::ALL), Some(handle));
    assert_eq!(database.next(handle, &Kind::ALL), None);

    // What is exported is the same list.
    let exported = database.export(None).unwrap();
    let again = database.add(List::parse(&exported).unwrap(), 2, None).unwrap();
    assert_eq!(database.export(Some(again)).unwrap(), exported);

    let languages = database.languages(handle).unwrap();
    let (nul, languages) = languages.split_last().unwrap();
    assert_eq!(*nul, 0);
    for language in languages.split(|&byte| byte == b';').take(3) {
        texts(&mut database, handle, language);
        let _ = database.secondary_languages(handle, language);
    }
    let mut place = 0;
    while let Some(layout) = database.layout(place) {
        assert!(layout.bytes.len() >= 18);
        place += 1;
    }
    database.update(handle, List::parse(bytes).unwrap()).unwrap();
    database.remove(handle).unwrap();
    assert_eq!(database.remove(handle), Err(Error::NotFound));
    true
}

fn texts(database: &mut Database, handle: hii::Handle, language: &[u8]) {
    const IDS: std::ops::RangeInclusive<u16> = 1..=24;
    let all = |database: &Database| -> Vec<_> {
        IDS.map(|id| database.string(handle, language, id).map(|(text, _)| text)).collect()
    };
    let before = all(database);
    for text in before.iter().flatten() {
        assert!(text.len() % 2 == 0 && text.ends_with(&[0, 0]));
    }
    let (new, font) = (ucs2("new"), ucs2("Sans"));
    let font = Font { style: 2, size: 12, name: &font };
    match database.new_string(handle, language, None, &new, Some(&font)) {
        Ok(id) => {
            let found = database.string(handle, language, id).unwrap();
            assert_eq!(found, (new, Some(font)));
        }
        Err(error) => assert_eq!(error, Error::OutOfResources),
    }
    let other = ucs2("another text");
    for id in IDS {
        if database.set_string(handle, language, id, &other, None).is_ok() {
            assert_eq!(database.string(handle, language, id).unwrap().0, other);
            break;
        }
    }
    for (before, after) in before.into_iter().zip(all(database)) {
        // Several may be one and the same, or show a new string through a number that was free.
        assert!(before == after || after == Ok(other.clone()) || after == Ok(ucs2("new")), "{before:?} {after:?}");
    }
}
