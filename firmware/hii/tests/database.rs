//! What images hand in, and what they find.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use hii::{Database, Error, Font, Kind, List};
use support::{GUID_PACKAGE, STRINGS, all_blocks, layout, list, package, seed, strings, ucs2};

fn with(list: &[u8]) -> (Database, hii::Handle) {
    let mut database = Database::new();
    let handle = database.add(List::parse(list).unwrap(), 0x1234, None).unwrap();
    (database, handle)
}

fn text(database: &Database, handle: hii::Handle, language: &str, id: u16) -> Result<String, Error> {
    let (text, _) = database.string(handle, language.as_bytes(), id)?;
    let units: Vec<u16> = text.as_chunks().0.iter().map(|pair| u16::from_le_bytes(*pair)).collect();
    let (nul, units) = units.split_last().unwrap();
    assert_eq!(*nul, 0);
    Ok(String::from_utf16(units).unwrap())
}

const ALL: [(u16, &str); 18] = [
    (1, "English"),
    (2, "bold"),
    (3, "three"),
    (4, ""),
    (5, "five"),
    (6, "six"),
    (7, "seven"),
    (8, "English"),
    (11, "eleven"),
    (12, "tén"),
    (13, "thirteen"),
    (14, "English"),
    (20, "twenty"),
    (9, "-"),
    (10, "-"),
    (15, "-"),
    (19, "-"),
    (21, "-"),
];

#[test]
fn a_block_of_each_type() {
    let (database, handle) = with(&seed());
    for (id, expected) in ALL {
        let expected = if expected == "-" { Err(Error::NotFound) } else { Ok(expected.to_owned()) };
        assert_eq!(text(&database, handle, "en-US", id), expected, "{id}");
    }
    assert_eq!(text(&database, handle, "EN-us", 3).unwrap(), "three", "languages have no case");
    assert_eq!(text(&database, handle, "en-US", 0), Err(Error::NotFound));
    assert_eq!(text(&database, handle, "fr", 1).unwrap(), "français");
    assert_eq!(text(&database, handle, "fr", 3), Err(Error::InvalidLanguage), "there in another language");
    assert_eq!(text(&database, handle, "de", 3), Err(Error::InvalidLanguage), "no such language");
    assert_eq!(text(&database, handle, "fr", 99), Err(Error::NotFound), "there in none");
    assert_eq!(text(&database, handle + 1, "fr", 1), Err(Error::NotFound), "no such list");
}

#[test]
fn fonts() {
    let (mut database, handle) = with(&seed());
    let name = ucs2("Serif");
    let serif = Font { style: 1, size: 19, name: &name };
    let font = |database: &Database, id| {
        let (_, font) = database.string(handle, b"en-US", id).unwrap();
        font.map(|font| (font.style, font.size, font.name.to_vec()))
    };
    let as_found = Some((1, 19, name.clone()));
    assert_eq!(font(&database, 1), None);
    for id in [2, 5, 7, 13] {
        assert_eq!(font(&database, id), as_found, "{id}");
    }
    database.set_string(handle, b"en-US", 2, &ucs2("x"), None).unwrap();
    assert_eq!(font(&database, 2), as_found, "a string keeps its font");
    let length = database.export(None).unwrap().len();
    let id = database.new_string(handle, b"en-US", None, &ucs2("y"), Some(&serif)).unwrap();
    assert_eq!(font(&database, id), as_found);
    assert_eq!(database.export(None).unwrap().len(), length + 6, "a known font is not described again");
    let other = Font { size: 20, ..serif };
    database.set_string(handle, b"en-US", 1, &ucs2("z"), Some(&other)).unwrap();
    assert_eq!(font(&database, 1), Some((1, 20, name.clone())));
    assert_eq!(font(&database, 2), as_found);
}

#[test]
fn languages() {
    let (database, handle) = with(&seed());
    assert_eq!(database.languages(handle).unwrap(), b"en-US;fr;de;fr\0");
    assert_eq!(database.secondary_languages(handle, b"en-us").unwrap(), b"fr;de\0");
    assert_eq!(database.secondary_languages(handle, b"fr").unwrap(), b"\0");
    assert_eq!(database.secondary_languages(handle, b"de"), Err(Error::InvalidLanguage));
    assert_eq!(database.languages(handle + 1), Err(Error::NotFound));
}

#[test]
fn a_language_gets_its_name_once() {
    let (mut database, handle) = with(&seed());
    let name_of = |database: &Database, place| {
        let (_, package) = database.package(handle, place).unwrap();
        u16::from_le_bytes([package[44], package[45]])
    };
    let (deutsch, andere) = (ucs2("Deutsch"), ucs2("andere"));
    assert_eq!(database.new_string(handle, b"de", Some(&deutsch), &ucs2("neu"), None), Ok(22));
    let place = (0..).take_while(|place| database.package(handle, *place).is_some()).last().unwrap();
    assert_eq!(name_of(&database, place), 21);
    assert_eq!(text(&database, handle, "de", 21).unwrap(), "Deutsch");
    assert_eq!(text(&database, handle, "de", 22).unwrap(), "neu");
    assert_eq!(database.new_string(handle, b"de", Some(&andere), &ucs2("noch"), None), Ok(23), "it has one");
    assert_eq!(name_of(&database, place), 21);
    assert_eq!(database.new_string(handle, b"it", None, &ucs2("uno"), None), Ok(24));
    assert_eq!(name_of(&database, place + 1), 0);
    assert_eq!(database.new_string(handle, b"it", Some(&andere), &ucs2("due"), None), Ok(26), "it had none");
    assert_eq!(name_of(&database, place + 1), 25);
    assert_eq!(text(&database, handle, "it", 24).unwrap(), "uno");
}

#[test]
fn a_language_may_have_several_packages() {
    let one = [&[0x14][..], &ucs2("one"), &[0]].concat();
    let two = [&[0x22, 1, 0x14][..], &ucs2("two"), &[0]].concat();
    let (mut database, handle) = with(&list(&[strings("en", &one), strings("EN", &two)]));
    assert_eq!(text(&database, handle, "en", 1).unwrap(), "one");
    assert_eq!(text(&database, handle, "en", 2).unwrap(), "two");
    assert_eq!(text(&database, handle, "en", 3), Err(Error::NotFound));
    database.set_string(handle, b"en", 2, &ucs2("zwei"), None).unwrap();
    assert_eq!(text(&database, handle, "en", 2).unwrap(), "zwei");
    assert_eq!(text(&database, handle, "en", 1).unwrap(), "one");
}

#[test]
fn strings_are_added_and_changed() {
    let (mut database, handle) = with(&seed());
    let id = database.new_string(handle, b"fr", None, &ucs2("nouveau"), None).unwrap();
    assert_eq!(id, 21, "free in all languages");
    assert_eq!(text(&database, handle, "fr", 21).unwrap(), "nouveau");
    assert_eq!(text(&database, handle, "fr", 3), Err(Error::InvalidLanguage), "what lies between is left out");
    assert_eq!(text(&database, handle, "en-US", 21), Err(Error::InvalidLanguage));
    database.set_string(handle, b"en-US", 21, &ucs2("new"), None).unwrap();
    assert_eq!(text(&database, handle, "en-US", 21).unwrap(), "new");
    let left_out = database.set_string(handle, b"en-US", 17, &ucs2("x"), None);
    assert_eq!(left_out, Err(Error::NotFound), "there in no language");
    // One that is left out in the middle, and one of several in a block.
    database.set_string(handle, b"fr", 12, &ucs2("douze"), None).unwrap();
    database.set_string(handle, b"en-US", 12, &ucs2("twelve"), None).unwrap();
    assert_eq!(text(&database, handle, "en-US", 12).unwrap(), "twelve");
    assert_eq!(text(&database, handle, "fr", 12).unwrap(), "douze");
    assert_eq!(text(&database, handle, "fr", 21).unwrap(), "nouveau", "what follows keeps its number");
    for (id, expected) in ALL.iter().filter(|(id, text)| *id != 12 && *id != 21 && *text != "-") {
        assert_eq!(text(&database, handle, "en-US", *id).unwrap(), *expected, "{id}");
    }
    assert_eq!(database.set_string(handle, b"de", 1, &ucs2("x"), None), Err(Error::NotFound));
    let id = database.new_string(handle, b"de", None, &ucs2("neu"), None).unwrap();
    assert_eq!(id, 22);
    assert_eq!(text(&database, handle, "de", 22).unwrap(), "neu");
    assert_eq!(database.languages(handle).unwrap(), b"en-US;fr;de;fr;de\0");
}

#[test]
fn numbers_and_lengths_run_out() {
    let (mut database, handle) = with(&list(&[strings("en", &[0x21, 0xfe, 0xff, 0])]));
    assert_eq!(database.new_string(handle, b"en", None, &ucs2("last"), None), Ok(u16::MAX));
    assert_eq!(database.new_string(handle, b"en", None, &ucs2("none"), None), Err(Error::OutOfResources));
    assert!(List::parse(&list(&[strings("en", &[0x21, 0xff, 0xff, 0x14, 0, 0, 0])])).is_err());
    if cfg!(miri) {
        return;
    }
    // A package has a length of 24 bits; the language that was made for the string goes again.
    let long = vec![1; 1 << 24];
    let (mut database, handle) = with(&seed());
    assert_eq!(database.new_string(handle, b"de", None, &long, None), Err(Error::OutOfResources));
    assert_eq!(database.languages(handle).unwrap(), b"en-US;fr;de;fr\0");
}

#[test]
fn duplicates_in_a_circle_are_no_strings() {
    let (database, handle) = with(&list(&[strings("en", &[0x20, 2, 0, 0x20, 1, 0, 0x20, 3, 0, 0x20, 9, 0, 0])]));
    for id in 1..=4 {
        assert!(text(&database, handle, "en", id).is_err());
    }
}

#[test]
fn compressed_text() {
    let of = |bytes: &[u8]| {
        let blocks = [&[0x10][..], bytes, &[0, 0x14], &ucs2("next"), &[0]].concat();
        let (database, handle) = with(&list(&[strings("en", &blocks)]));
        assert_eq!(text(&database, handle, "en", 2).unwrap(), "next");
        text(&database, handle, "en", 1).unwrap()
    };
    // The examples of the standard (UTS 6, 9).
    assert_eq!(of(b"\xd6\x6c\x20\x66\x6c\x69\x65\xdf\x74"), "Öl fließt");
    assert_eq!(of(b"\x12\x9c\xbe\xc1\xba\xb2\xb0"), "Москва");
    // A window that is defined, characters quoted from windows and by themselves, and those of UTF-16.
    assert_eq!(of(b"\x1a\xfba\xb1\x80"), "aΡ\u{370}");
    assert_eq!(of(b"\x19\x41\xa5"), "\u{20a5}");
    assert_eq!(of(b"\x18\x68\x80"), "\u{e000}");
    assert_eq!(of(b"\x01a\x06b\x03\xb0x\x0e\x26\x3a"), "a\u{20e2}\u{430}x☺");
    assert_eq!(of(b"\x0f\x4e\x00\xf0\xe1\x23\xe3\x9c"), "一\u{e123}\u{61c}");
    assert_eq!(of(b"\x0f\x4e\x00\xe9\x0a\x80"), "一\u{500}");
    // Above the first plane.
    assert_eq!(of(b"\x0b\x03\xec\x80"), "\u{2f600}");
    assert_eq!(of(b"\x0f\xf1\x03\xec\x80"), "\u{2f600}");
    for bad in [&b"\x0c\0"[..], b"\x18\0\0", b"\x18\xa8\0", b"\x0f\xf2\0", b"\x0e\x26", b"abc", b"\x0f\x4e\x00\0"] {
        let package = strings("en", &[&[0x10][..], bad].concat());
        assert!(List::parse(&list(&[package])).is_err(), "{bad:?}");
    }
}

#[test]
fn keyboard_layouts() {
    let (mut database, handle) = with(&seed());
    let first = database.layout(0).unwrap();
    assert_eq!((first.guid, first.bytes), (u128::from_le_bytes([7; 16]), &layout(7, 1)[..]));
    assert_eq!(database.layout(1).unwrap().guid, u128::from_le_bytes([8; 16]));
    assert!(database.layout(2).is_none());
    let short = package(support::KEYBOARD, &[&[3, 0][..], &layout(1, 0), &layout(2, 0)[..22]].concat());
    database.update(handle, List::parse(&list(&[short])).unwrap()).unwrap();
    assert_eq!(database.layout(0).unwrap().guid, u128::from_le_bytes([1; 16]));
    assert!(database.layout(1).is_none(), "it does not fit");
}

#[test]
fn lists_come_and_go() {
    let (mut database, first) = with(&seed());
    let guid = u128::from_le_bytes(*b"fedcba9876543210");
    let other = list(&[strings("en", &[0])]);
    let second = database.add(List::parse(&other).unwrap(), 0, Some(&[0x7f, 0xff, 4, 0])).unwrap();
    let listed = |database: &Database, kind: Result<Kind, Error>| {
        let (kind, mut last, mut found) = (kind.unwrap(), 0, Vec::new());
        while let Some(handle) = database.next(last, &kind) {
            found.push(handle);
            last = handle;
        }
        found
    };
    assert_eq!(listed(&database, Ok(Kind::ALL)), [first, second]);
    assert_eq!(listed(&database, Kind::new(STRINGS, None)), [first, second]);
    assert_eq!(listed(&database, Kind::new(8, None)), [second], "the device path");
    assert_eq!(listed(&database, Kind::new(GUID_PACKAGE, Some(guid))), [first]);
    assert_eq!(listed(&database, Kind::new(GUID_PACKAGE, Some(guid + 1))), []);
    assert!(Kind::new(GUID_PACKAGE, None).is_err() && Kind::new(STRINGS, Some(guid)).is_err());

    assert_eq!(database.export(Some(first)).unwrap(), seed());
    let mut both = seed();
    both.extend(list(&[strings("en", &[0]), package(8, &[0x7f, 0xff, 4, 0])]));
    assert_eq!(database.export(None).unwrap(), both);

    // Packages of the kinds of the new list go; a GUID package with another GUID stays.
    let new = [package(GUID_PACKAGE, b"0123456789abcdefX"), strings("de", &[0])];
    assert_eq!(database.update(first, List::parse(&list(&new)).unwrap()), Ok(2));
    let left: Vec<_> = (0..).map_while(|place| Some(database.package(first, place)?.1.to_vec())).collect();
    assert_eq!(left.len(), 4);
    assert_eq!(left[2..], new);
    assert!(left[0].ends_with(b"and more"));

    assert_eq!(database.driver(first), Ok(0x1234));
    database.remove(first).unwrap();
    assert_eq!(database.remove(first), Err(Error::NotFound));
    assert_eq!(database.export(Some(first)), Err(Error::NotFound));
    let third = database.add(List::parse(&other).unwrap(), 0, None).unwrap();
    assert!(third != first && third != second, "a handle is not used again");
}

#[test]
fn malformed_lists_are_refused() {
    assert!(List::parse(&list(&[])).is_ok());
    let whole = list(&[strings("en", &all_blocks())]);
    for length in 0..whole.len() {
        assert!(List::parse(&whole[..length]).is_err(), "cut to {length}");
    }
    let content = |change: fn(&mut Vec<u8>)| {
        let mut package = strings("en", &[0]);
        change(&mut package);
        List::parse(&list(&[package]))
    };
    assert!(content(|_| ()).is_ok());
    assert!(content(|bytes| bytes[4] = 45).is_err(), "a header that ends in its fields");
    assert!(content(|bytes| bytes[4] = 48).is_err(), "a language without NUL");
    assert!(content(|bytes| bytes[4] = 200).is_err(), "a header that ends behind the package");
    assert!(content(|bytes| bytes[8] = 48).is_err(), "blocks in the header");
    assert!(content(|bytes| bytes[8] = 51).is_err(), "blocks behind the package");
    assert!(content(|bytes| bytes[49] = 0x33).is_err(), "a block of no type");
    assert!(content(|bytes| bytes[49] = 0x14).is_err(), "a string without end");
    assert!(List::parse(&list(&[strings("en", &[0x31, 0x40, 3, 0, 0])])).is_err(), "a block shorter than its header");
    assert!(List::parse(&list(&[package(GUID_PACKAGE, &[0; 15])])).is_err());
    assert!(List::parse(&list(&[vec![3, 0, 0, 2]])).is_err(), "a package shorter than its header");
}
