//! Text input: the bytes that a terminal sends for a key, decoded as UEFI keys.
//!
//! Understood are the sequences of UEFI 2.10, appendix B (VT100+ and VT-UTF8), and those of
//! xterm and the Linux console, which is what people have in front of them. Among the keys comes
//! what a terminal answers when it is asked where its cursor is.

use crate::screen::Size;

/// EFI scan codes (UEFI 2.10, table 12.2 and 12.3).
pub mod scan {
    #![expect(missing_docs, reason = "each is the key that it is named for")]
    pub const NONE: u16 = 0x00;
    pub const UP: u16 = 0x01;
    pub const DOWN: u16 = 0x02;
    pub const RIGHT: u16 = 0x03;
    pub const LEFT: u16 = 0x04;
    pub const HOME: u16 = 0x05;
    pub const END: u16 = 0x06;
    pub const INSERT: u16 = 0x07;
    pub const DELETE: u16 = 0x08;
    pub const PAGE_UP: u16 = 0x09;
    pub const PAGE_DOWN: u16 = 0x0a;
    pub const F1: u16 = 0x0b;
    pub const F2: u16 = 0x0c;
    pub const F3: u16 = 0x0d;
    pub const F4: u16 = 0x0e;
    pub const F5: u16 = 0x0f;
    pub const F6: u16 = 0x10;
    pub const F7: u16 = 0x11;
    pub const F8: u16 = 0x12;
    pub const F9: u16 = 0x13;
    pub const F10: u16 = 0x14;
    pub const F11: u16 = 0x15;
    pub const F12: u16 = 0x16;
    pub const ESC: u16 = 0x17;
}

const ESC: u8 = 0x1b;
const DEL: u8 = 0x7f;

/// The modifier keys that a terminal reports with a key; it reports them only with some.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Modifiers {
    /// A shift key.
    pub shift: bool,
    /// A control key.
    pub control: bool,
    /// An alt key.
    pub alt: bool,
}

/// A key: a scan code, or a character with scan code 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// The EFI scan code.
    pub scan: u16,
    /// The UCS-2 character, 0 for a key that has none.
    pub char: u16,
    /// The modifiers, where the terminal tells them.
    pub modifiers: Modifiers,
}

impl Key {
    fn scan(scan: u16) -> Self {
        Self { scan, char: 0, modifiers: Modifiers::default() }
    }

    fn char(char: u16) -> Self {
        Self { scan: scan::NONE, char, modifiers: Modifiers::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ground,
    /// After an escape: a key of its own if nothing follows.
    Escape,
    /// After `ESC [`, with the parameters so far and the index of the one being read.
    Control {
        parameters: [u16; 2],
        index: usize,
    },
    /// After `ESC [ [`, as the Linux console begins F1 to F5.
    LinuxFunction,
    /// After `ESC O`.
    SingleShift,
    /// Inside a UTF-8 character.
    Utf8 {
        value: u32,
        minimum: u32,
        missing: u8,
    },
}

/// Turns bytes into keys, one byte at a time.
#[derive(Clone, Debug)]
pub struct KeyDecoder {
    state: State,
    report: Option<Size>,
}

impl KeyDecoder {
    /// A decoder that has seen nothing yet.
    pub const fn new() -> Self {
        Self { state: State::Ground, report: None }
    }
}

impl Default for KeyDecoder {
    fn default() -> Self {
        Self::new()
    }
}

impl KeyDecoder {
    /// Whether bytes have been taken that may yet become a key.
    pub fn is_pending(&self) -> bool {
        self.state != State::Ground
    }

    /// The cursor's position that the terminal reported last, if none has taken it yet: row and
    /// column from 1, which are the size of a screen whose last cell the cursor is in.
    pub fn take_report(&mut self) -> Option<Size> {
        self.report.take()
    }

    /// Takes a byte, and returns the key that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Key> {
        let state = core::mem::replace(&mut self.state, State::Ground);
        match state {
            State::Ground => self.ground(byte),
            State::Escape => self.escape(byte),
            State::Control { parameters, index } => self.control(byte, parameters, index),
            State::LinuxFunction => {
                let offset = byte.checked_sub(b'A').filter(|&n| n < 5)?;
                Some(Key::scan(scan::F1 + u16::from(offset)))
            }
            State::SingleShift => single_shift(byte).map(Key::scan),
            State::Utf8 { value, minimum, missing } => self.utf8(byte, value, minimum, missing),
        }
    }

    /// Nothing more came for as long as a terminal would need to finish a sequence: an escape
    /// that stands alone is the key of that name, any other beginning is dropped.
    pub fn time_out(&mut self) -> Option<Key> {
        let state = core::mem::replace(&mut self.state, State::Ground);
        (state == State::Escape).then(|| Key::scan(scan::ESC))
    }

    fn ground(&mut self, byte: u8) -> Option<Key> {
        self.state = match byte {
            ESC => State::Escape,
            // The backspace key of today's terminals.
            DEL => return Some(Key::char(8)),
            // Control and a letter. What other keys send too is taken for those.
            1..=7 | 11 | 12 | 14..=26 => {
                let modifiers = Modifiers { control: true, ..Modifiers::default() };
                return Some(Key { modifiers, ..Key::char(byte.into()) });
            }
            8..=10 | 13 | 28..0x80 => return Some(Key::char(byte.into())),
            0xc2..=0xdf => State::Utf8 { value: u32::from(byte & 0x1f), minimum: 0x80, missing: 1 },
            0xe0..=0xef => State::Utf8 { value: u32::from(byte & 0x0f), minimum: 0x800, missing: 2 },
            0xf0..=0xf4 => State::Utf8 { value: u32::from(byte & 0x07), minimum: 0x1_0000, missing: 3 },
            _ => State::Ground,
        };
        None
    }

    fn escape(&mut self, byte: u8) -> Option<Key> {
        match byte {
            ESC => {
                self.state = State::Escape;
                return Some(Key::scan(scan::ESC));
            }
            b'[' => {
                self.state = State::Control { parameters: [0; 2], index: 0 };
                return None;
            }
            b'O' => {
                self.state = State::SingleShift;
                return None;
            }
            _ => {}
        }
        let scan = match byte {
            b'1'..=b'9' => scan::F1 + u16::from(byte - b'1'),
            b'0' => scan::F10,
            b'!' => scan::F11,
            b'@' => scan::F12,
            b'h' => scan::HOME,
            b'k' => scan::END,
            b'+' => scan::INSERT,
            b'-' => scan::DELETE,
            b'?' => scan::PAGE_UP,
            b'/' => scan::PAGE_DOWN,
            // A terminal sends a key held with alt as an escape and the key.
            _ => {
                let mut key = self.ground(byte)?;
                key.modifiers.alt = true;
                return Some(key);
            }
        };
        Some(Key::scan(scan))
    }

    fn control(&mut self, byte: u8, mut parameters: [u16; 2], index: usize) -> Option<Key> {
        match byte {
            b'0'..=b'9' => {
                if let Some(parameter) = parameters.get_mut(index) {
                    *parameter = parameter.saturating_mul(10).saturating_add(u16::from(byte - b'0'));
                }
                self.state = State::Control { parameters, index };
                None
            }
            b';' => {
                self.state = State::Control { parameters, index: index.saturating_add(1) };
                None
            }
            b'[' if index == 0 && parameters == [0; 2] => {
                self.state = State::LinuxFunction;
                None
            }
            ESC => {
                self.state = State::Escape;
                None
            }
            // The rest of the parameter and intermediate bytes of ECMA-48: part of a sequence
            // that is no key.
            0x20..0x40 => {
                self.state = State::Control { parameters: [u16::MAX; 2], index: 2 };
                None
            }
            _ => {
                let [first, second] = parameters;
                // The report of a cursor (ECMA-48, CPR). With 1 it is F3 and its modifiers.
                if byte == b'R' && index == 1 && first > 1 {
                    self.report = Some(Size { columns: second, rows: first });
                }
                let scan = match byte {
                    b'~' => numbered(first),
                    b'P'..=b'S' | b'A'..=b'D' | b'H' | b'F' if first <= 1 => single_shift(byte),
                    _ => None,
                }?;
                Some(Key { scan, char: 0, modifiers: modifiers(second) })
            }
        }
    }

    fn utf8(&mut self, byte: u8, value: u32, minimum: u32, missing: u8) -> Option<Key> {
        if byte & 0xc0 != 0x80 {
            // The character was cut short; this byte begins something new.
            return self.ground(byte);
        }
        let value = value << 6 | u32::from(byte & 0x3f);
        if missing > 1 {
            self.state = State::Utf8 { value, minimum, missing: missing - 1 };
            return None;
        }
        // Overlong forms and surrogates are no characters; UCS-2 has none above its plane.
        let char = char::from_u32(value).filter(|_| value >= minimum)?;
        u16::try_from(u32::from(char)).ok().map(Key::char)
    }
}

/// The final byte of `ESC O` and of `ESC [`, with or without modifiers.
fn single_shift(byte: u8) -> Option<u16> {
    Some(match byte {
        b'A' => scan::UP,
        b'B' => scan::DOWN,
        b'C' => scan::RIGHT,
        b'D' => scan::LEFT,
        b'H' => scan::HOME,
        b'F' => scan::END,
        b'P' => scan::F1,
        b'Q' => scan::F2,
        b'R' => scan::F3,
        b'S' => scan::F4,
        _ => return None,
    })
}

/// The number of `ESC [ number ~`.
fn numbered(number: u16) -> Option<u16> {
    Some(match number {
        1 | 7 => scan::HOME,
        2 => scan::INSERT,
        3 => scan::DELETE,
        4 | 8 => scan::END,
        5 => scan::PAGE_UP,
        6 => scan::PAGE_DOWN,
        // The numbers skip where the VT220 had gaps between its keys.
        11..=15 => scan::F1 + (number - 11),
        17..=21 => scan::F6 + (number - 17),
        23 | 24 => scan::F11 + (number - 23),
        _ => return None,
    })
}

/// xterm's modifier parameter: one more than the sum of shift (1), alt (2) and control (4).
fn modifiers(parameter: u16) -> Modifiers {
    let bits = parameter.saturating_sub(1);
    Modifiers { shift: bits & 1 != 0, alt: bits & 2 != 0, control: bits & 4 != 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<(u16, u16)> {
        let mut decoder = KeyDecoder::default();
        let mut keys: Vec<_> = bytes.iter().filter_map(|&b| decoder.push(b)).collect();
        keys.extend(decoder.time_out());
        assert!(!decoder.is_pending());
        keys.into_iter().map(|key| (key.scan, key.char)).collect()
    }

    fn one(bytes: &[u8]) -> Key {
        let mut decoder = KeyDecoder::default();
        let (last, rest) = bytes.split_last().unwrap();
        for &byte in rest {
            assert_eq!(decoder.push(byte), None);
            assert!(decoder.is_pending());
        }
        let key = decoder.push(*last).unwrap();
        assert!(!decoder.is_pending());
        key
    }

    #[test]
    fn characters() {
        assert_eq!(keys(b"a\r\t\x03"), [(0, 0x61), (0, 13), (0, 9), (0, 3)]);
        assert_eq!(keys(b"\x7f\x08"), [(0, 8), (0, 8)]);
        assert_eq!(keys("é─€".as_bytes()), [(0, 0xe9), (0, 0x2500), (0, 0x20ac)]);
        assert_eq!(keys(b"\0"), []);
    }

    #[test]
    fn what_is_no_ucs2_character_is_dropped() {
        assert_eq!(keys("😀x".as_bytes()), [(0, 0x78)]);
        assert_eq!(keys(b"\xe2\x94a"), [(0, 0x61)], "cut short");
        assert_eq!(keys(b"\xe0\x80\x80a"), [(0, 0x61)], "overlong");
        assert_eq!(keys(b"\xed\xa0\x80a"), [(0, 0x61)], "surrogate");
        assert_eq!(keys(b"\xc3"), [], "never finished");
    }

    #[test]
    fn sequences() {
        let table: [(&[u8], u16); 22] = [
            (b"\x1b[A", scan::UP),
            (b"\x1b[B", scan::DOWN),
            (b"\x1b[C", scan::RIGHT),
            (b"\x1bOD", scan::LEFT),
            (b"\x1b[H", scan::HOME),
            (b"\x1bOF", scan::END),
            (b"\x1b[1~", scan::HOME),
            (b"\x1b[2~", scan::INSERT),
            (b"\x1b[3~", scan::DELETE),
            (b"\x1b[4~", scan::END),
            (b"\x1b[5~", scan::PAGE_UP),
            (b"\x1b[6~", scan::PAGE_DOWN),
            (b"\x1bOP", scan::F1),
            (b"\x1b[[E", scan::F5),
            (b"\x1b[15~", scan::F5),
            (b"\x1b[17~", scan::F6),
            (b"\x1b[21~", scan::F10),
            (b"\x1b[24~", scan::F12),
            (b"\x1b1", scan::F1),
            (b"\x1b9", scan::F9),
            (b"\x1b0", scan::F10),
            (b"\x1b/", scan::PAGE_DOWN),
        ];
        for (bytes, scan) in table {
            assert_eq!(one(bytes), Key::scan(scan), "{bytes:?}");
        }
    }

    #[test]
    fn modifiers_come_with_the_sequence_or_as_an_escape() {
        let key = one(b"\x1b[1;6A");
        assert_eq!(key.scan, scan::UP);
        assert_eq!(key.modifiers, Modifiers { shift: true, control: true, alt: false });
        let key = one(b"\x1b[3;3~");
        assert_eq!((key.scan, key.modifiers.alt), (scan::DELETE, true));
        let key = one(b"\x1bx");
        assert_eq!((key.char, key.modifiers.alt), (0x78, true));
        let key = one(b"\x03");
        assert_eq!((key.char, key.modifiers), (3, Modifiers { control: true, ..Modifiers::default() }));
        for byte in b"\x08\t\n\r a\x7f" {
            assert_eq!(one(&[*byte]).modifiers, Modifiers::default(), "{byte:#x}");
        }
    }

    #[test]
    fn escape_alone_is_a_key_after_the_time_out() {
        assert_eq!(keys(b"\x1b"), [(scan::ESC, 0)]);
        assert_eq!(keys(b"\x1b\x1b"), [(scan::ESC, 0), (scan::ESC, 0)]);
        assert_eq!(keys(b"\x1b\x1b[A"), [(scan::ESC, 0), (scan::UP, 0)]);
        assert_eq!(keys(b"\x1b["), [], "the beginning of a sequence is none");
    }

    #[test]
    fn the_report_of_a_cursor_is_no_key() {
        let report = |bytes: &[u8]| {
            let mut decoder = KeyDecoder::default();
            let keys: Vec<_> = bytes.iter().filter_map(|&b| decoder.push(b)).map(|key| (key.scan, key.char)).collect();
            (decoder.take_report().map(|size| (size.rows, size.columns)), keys, decoder.take_report())
        };
        assert_eq!(report(b"a\x1b[24;80Rb"), (Some((24, 80)), vec![(0, 0x61), (0, 0x62)], None));
        assert_eq!(report(b"\x1b[1;5R"), (None, vec![(scan::F3, 0)], None), "control and F3");
        assert_eq!(report(b"\x1b[R"), (None, vec![(scan::F3, 0)], None));
        for bytes in [&b"\x1b[24R"[..], b"\x1b[24;80;1R", b"\x1b[?24;80R", b"\x1b[24;80S", b"\x1b[24;80"] {
            assert_eq!(report(bytes), (None, vec![], None), "{bytes:?}");
        }
        assert_eq!(report(b"\x1b[99999;99999R").0, Some((u16::MAX, u16::MAX)));
    }

    #[test]
    fn sequences_that_are_no_key_disappear_whole() {
        assert_eq!(keys(b"\x1b[?1;2cx"), [(0, 0x78)]);
        assert_eq!(keys(b"\x1b[24;80Rx"), [(0, 0x78)]);
        assert_eq!(keys(b"\x1b[999999999999~x"), [(0, 0x78)]);
        assert_eq!(keys(b"\x1b[1;2;3;4;5;6;7Zx"), [(0, 0x78)]);
        assert_eq!(keys(b"\x1b[\x1b[A"), [(scan::UP, 0)]);
        assert_eq!(keys(b"\x1bO\rx"), [(0, 0x78)]);
    }
}
