//! Device paths as text and back (UEFI 2.11, section 10.6), as EDK2 writes them.
//!
//! A node of a type or a length that has no form of its own is written by its type, its sub-type and its bytes.

mod forms;

use alloc::vec::Vec;
use core::fmt::{self, Write};

use super::{DevicePath, END_INSTANCE, Error, HEADER_LEN, MEDIA_FILE_PATH, Node, TYPE_END, TYPE_MEDIA, end_node};
use forms::{FORMS, Field, Form, Names};

/// What nodes without a form are called, by their type; others are `Path`.
const GENERIC: [(&str, u8); 5] = [("HardwarePath", 1), ("AcpiPath", 2), ("Msg", 3), ("MediaPath", 4), ("BbsPath", 5)];
const ANY: &str = "Path";

const COMMA: u16 = b',' as u16;
const SLASH: u16 = b'/' as u16;
const OPEN: u16 = b'(' as u16;
const CLOSE: u16 = b')' as u16;

/// How much the text says.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Style {
    /// What is only to be read may leave parameters out.
    pub display_only: bool,
    /// Terminal types by their names in place of their GUIDs.
    pub allow_shortcuts: bool,
}

/// The text of one node, NUL at its end.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn of_node(node: Node<'_>, style: Style) -> Result<Vec<u16>, Error> {
    let mut text = Text::default();
    write_node(&mut text, node, style).map_err(|_| Error::OutOfMemory)?;
    text.finish()
}

/// The text of a path, NUL at its end: a slash between nodes, a comma between instances.
///
/// # Errors
/// [`Error::OutOfMemory`].
pub fn of_path(path: DevicePath<'_>, style: Style) -> Result<Vec<u16>, Error> {
    let mut text = Text::default();
    for node in path.nodes() {
        if !text.units.is_empty() && !node.header.is_end_instance() && text.units.last() != Some(&COMMA) {
            text.push(SLASH)?;
        }
        write_node(&mut text, node, style).map_err(|_| Error::OutOfMemory)?;
    }
    text.finish()
}

/// The node of a text: what is no form's is the path of a file. `None` when it has a form's name and is otherwise not as
/// that.
pub fn to_node(text: &[u16]) -> Option<Vec<u8>> {
    let Some((name, parameters)) = split_call(text) else { return file_path(text) };
    let mut known = false;
    for form in FORMS.iter().filter(|form| is(name, form.name)) {
        known = true;
        if let Some(node) = parse_form(form, parameters) {
            return Some(node);
        }
    }
    if known {
        return None;
    }
    let mut parameters = Parameters(Some(parameters));
    let kind = match GENERIC.iter().find(|(generic, _)| is(name, generic)) {
        Some((_, kind)) => *kind,
        None if is(name, ANY) => number(parameters.next(), 1)?.to_le_bytes()[0],
        None => return file_path(text),
    };
    let sub_kind = number(parameters.next(), 1)?.to_le_bytes()[0];
    let data = bytes(parameters.next())?;
    parameters.end()?;
    node(kind, sub_kind, &data)
}

/// The device path of a text, End Entire included.
pub fn to_path(text: &[u16]) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut depth = 0usize;
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.iter().position(|unit| match *unit {
            OPEN => {
                depth += 1;
                false
            }
            CLOSE => {
                depth = depth.saturating_sub(1);
                false
            }
            COMMA | SLASH => depth == 0,
            _ => false,
        });
        let (text, behind) = rest.split_at(end.unwrap_or(rest.len()));
        if !text.is_empty() {
            append(&mut path, &to_node(text)?)?;
        }
        if behind.first() == Some(&COMMA) {
            append(&mut path, &end_node(END_INSTANCE))?;
        }
        rest = behind.get(1..).unwrap_or_default();
    }
    append(&mut path, &end_node(super::END_ENTIRE))?;
    // What an opening parenthesis hides is no part of a name.
    (depth == 0 && path.len() <= super::MAX_LEN).then_some(path)
}

/// Text that grows as there is memory.
#[derive(Default)]
struct Text {
    units: Vec<u16>,
}

impl Text {
    fn push(&mut self, unit: u16) -> Result<(), Error> {
        self.units.try_reserve(1)?;
        self.units.push(unit);
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<u16>, Error> {
        self.push(0)?;
        Ok(self.units)
    }
}

impl Write for Text {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.encode_utf16().try_for_each(|unit| self.push(unit)).map_err(|_| fmt::Error)
    }
}

fn write_node(text: &mut Text, node: Node<'_>, style: Style) -> fmt::Result {
    let header = node.header;
    if header.is_end_instance() {
        return text.write_str(",");
    }
    let data = node.data();
    if (header.kind, header.sub_kind) == (TYPE_MEDIA, MEDIA_FILE_PATH) {
        let units = data.as_chunks::<2>().0.iter().map(|unit| u16::from_le_bytes(*unit));
        let mut units = units.take_while(|unit| *unit != 0);
        return units.try_for_each(|unit| text.push(unit)).map_err(|_| fmt::Error);
    }
    if let Some(form) = FORMS.iter().find(|form| form.describes(node, style)) {
        write!(text, "{}(", form.name)?;
        for (index, field) in form.fields.iter().enumerate() {
            match field {
                Field::Detail if style.display_only => break,
                Field::Detail => continue,
                Field::Rest { at } if data.len() <= usize::from(*at) => break,
                _ if index != 0 => text.write_str(",")?,
                _ => {}
            }
            write_field(text, *field, data)?;
        }
        return text.write_str(")");
    }
    match GENERIC.iter().find(|(_, kind)| *kind == header.kind) {
        Some((name, _)) => write!(text, "{name}({}", header.sub_kind)?,
        None => write!(text, "{ANY}({},{}", header.kind, header.sub_kind)?,
    }
    if !data.is_empty() {
        text.write_str(",")?;
    }
    write_bytes(text, data)?;
    text.write_str(")")
}

fn write_field(text: &mut Text, field: Field, data: &[u8]) -> fmt::Result {
    match field {
        Field::Hex { at, width, digits } => write!(text, "0x{:0width$X}", read(data, at, width), width = digits.into()),
        Field::OrDefault { at, width } if read(data, at, width) == 0 => text.write_str("DEFAULT"),
        Field::Decimal { at, width } | Field::OrDefault { at, width } => write!(text, "{}", read(data, at, width)),
        Field::Choice { at, names } | Field::Setting { at, names } => {
            text.write_str(named(names, data, at).unwrap_or("x"))
        }
        Field::Guid { at } => write_in_order(text, data, at, GUID_ORDER),
        Field::Eui64 { at } => write_in_order(text, data, at, EUI64_ORDER),
        Field::EisaId { at } => {
            let id = read(data, at, 4);
            if id & 0xffff == PNP { write!(text, "PNP{:04X}", id >> 16) } else { write!(text, "0x{id:08X}") }
        }
        Field::Word(word) => text.write_str(word.first()),
        Field::Rest { at } => write_bytes(text, data.get(at.into()..).unwrap_or_default()),
        Field::Detail => Ok(()),
    }
}

/// The name of a byte of the node, if it has one.
fn named(names: Names, data: &[u8], at: u8) -> Option<&'static str> {
    names.list().get(usize::from(*data.get(usize::from(at))?)).copied()
}

/// The three letters of an EISA identifier.
const PNP: u64 = 0x41d0;

/// Where the bytes of a GUID are in memory, each as a digit, in the order in which text has them.
const GUID_ORDER: &[u8] = b"3210-54-76-89-abcdef";
/// Those of an EUI-64.
const EUI64_ORDER: &[u8] = b"7-6-5-4-3-2-1-0";

/// What a digit of an order stands for; `None` for a hyphen.
fn place(at: u8, digit: u8) -> Option<usize> {
    Some(usize::from(at) + char::from(digit).to_digit(16)? as usize)
}

fn write_in_order(text: &mut Text, data: &[u8], at: u8, order: &[u8]) -> fmt::Result {
    order.iter().try_for_each(|digit| match place(at, *digit) {
        Some(place) => write_bytes(text, data.get(place..=place).unwrap_or_default()),
        None => text.write_str("-"),
    })
}

fn write_bytes(text: &mut Text, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(text, "{byte:02X}"))
}

/// A little-endian number of up to eight bytes; the node has them.
fn read(data: &[u8], at: u8, width: u8) -> u64 {
    let bytes = data.get(at.into()..).unwrap_or_default().iter().take(width.into());
    bytes.rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl Form {
    fn has_rest(&self) -> bool {
        matches!(self.fields.last(), Some(Field::Rest { .. }))
    }

    fn describes(&self, node: Node<'_>, style: Style) -> bool {
        let (data, len) = (node.data(), usize::from(self.len));
        let choice = |field: &Field| match *field {
            Field::Choice { at, names } => named(names, data, at).is_some(),
            _ => true,
        };
        (self.kind, self.sub_kind) == (node.header.kind, node.header.sub_kind)
            && (data.len() == len || self.has_rest() && data.len() > len)
            && data.get(self.fixed_at.into()..).is_some_and(|data| data.starts_with(self.fixed))
            && self.fields.iter().all(choice)
            && (style.allow_shortcuts || !self.shortcut)
    }
}

/// Name and parameters of `name(parameters)`. What follows counts for nothing, as in EDK2.
fn split_call(text: &[u16]) -> Option<(&[u16], &[u16])> {
    let open = text.iter().position(|unit| *unit == OPEN)?;
    let close = text.iter().position(|unit| *unit == CLOSE)?;
    Some((text.get(..open)?, text.get(open + 1..close)?))
}

fn is(text: &[u16], word: &str) -> bool {
    text.iter().copied().eq(word.encode_utf16())
}

/// The parameters that are left, comma between them.
struct Parameters<'a>(Option<&'a [u16]>);

impl<'a> Parameters<'a> {
    /// The next one, empty when there is none: the specification has all of them optional.
    fn next(&mut self) -> &'a [u16] {
        let Some(text) = self.0.take() else { return &[] };
        let Some(end) = text.iter().position(|unit| *unit == COMMA) else { return text };
        self.0 = text.get(end + 1..);
        text.get(..end).unwrap_or_default()
    }

    /// None is left.
    fn end(self) -> Option<()> {
        self.0.is_none_or(<[u16]>::is_empty).then_some(())
    }
}

fn parse_form(form: &Form, parameters: &[u16]) -> Option<Vec<u8>> {
    let mut parameters = Parameters(Some(parameters));
    let mut data = Vec::new();
    data.try_reserve_exact(form.len.into()).ok()?;
    data.resize(form.len.into(), 0);
    put(&mut data, form.fixed_at, form.fixed)?;
    for field in form.fields {
        parse_field(*field, &mut parameters, &mut data)?;
    }
    parameters.end()?;
    node(form.kind, form.sub_kind, &data)
}

fn parse_field(field: Field, parameters: &mut Parameters<'_>, data: &mut Vec<u8>) -> Option<()> {
    if matches!(field, Field::Detail) {
        return Some(());
    }
    let text = parameters.next();
    let (at, width, value) = match field {
        Field::OrDefault { at, width } if is(text, "DEFAULT") => (at, width, 0),
        Field::Hex { at, width, .. } | Field::Decimal { at, width } | Field::OrDefault { at, width } => {
            (at, width, number(text, width)?)
        }
        Field::Choice { at, names } | Field::Setting { at, names } => {
            (at, 1, names.list().iter().position(|name| is(text, name))? as u64)
        }
        Field::Guid { at } => return parse_in_order(text, data, at, GUID_ORDER),
        Field::Eui64 { at } => return parse_in_order(text, data, at, EUI64_ORDER),
        Field::EisaId { at } => match text.split_at_checked(3) {
            Some((letters, digits)) if is(letters, "PNP") => (at, 4, digits_of(digits, 16, 2)? << 16 | PNP),
            _ => (at, 4, number(text, 4)?),
        },
        Field::Word(word) => return is(text, word.first()).then_some(()),
        Field::Rest { .. } => {
            let bytes = bytes(text)?;
            data.try_reserve(bytes.len()).ok()?;
            data.extend(bytes);
            return Some(());
        }
        Field::Detail => return Some(()),
    };
    put(data, at, value.to_le_bytes().get(..width.into())?)
}

fn put(data: &mut [u8], at: u8, bytes: &[u8]) -> Option<()> {
    let at = usize::from(at);
    data.get_mut(at..at + bytes.len())?.copy_from_slice(bytes);
    Some(())
}

/// A number that fits into `width` bytes, with spaces before it; what is empty is zero.
fn number(text: &[u16], width: u8) -> Option<u64> {
    match text {
        [0x20, text @ ..] => number(text, width),
        [] => Some(0),
        [0x30, 0x78 | 0x58, digits @ ..] => digits_of(digits, 16, width),
        digits => digits_of(digits, 10, width),
    }
}

fn digits_of(text: &[u16], base: u32, width: u8) -> Option<u64> {
    let most = u64::MAX >> (64 - 8 * u32::from(width.clamp(1, 8)));
    let value = text.iter().try_fold(0u64, |value, unit| {
        let digit = char::from_u32((*unit).into())?.to_digit(base)?;
        value.checked_mul(base.into())?.checked_add(digit.into())
    })?;
    (!text.is_empty() && value <= most).then_some(value)
}

fn bytes(text: &[u16]) -> Option<Vec<u8>> {
    let (pairs, odd) = text.as_chunks::<2>();
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(pairs.len()).ok()?;
    for pair in pairs {
        bytes.push(digits_of(pair, 16, 1)?.to_le_bytes()[0]);
    }
    odd.is_empty().then_some(bytes)
}

fn parse_in_order(mut text: &[u16], data: &mut [u8], at: u8, order: &[u8]) -> Option<()> {
    for digit in order {
        let Some(place) = place(at, *digit) else {
            text = text.strip_prefix(&[b'-'.into()])?;
            continue;
        };
        let (pair, behind) = text.split_at_checked(2)?;
        *data.get_mut(place)? = digits_of(pair, 16, 1)?.to_le_bytes()[0];
        text = behind;
    }
    text.is_empty().then_some(())
}

fn file_path(text: &[u16]) -> Option<Vec<u8>> {
    let mut data = Vec::new();
    data.try_reserve_exact((text.len() + 1) * 2).ok()?;
    data.extend(text.iter().chain(&[0]).flat_map(|unit| unit.to_le_bytes()));
    node(TYPE_MEDIA, MEDIA_FILE_PATH, &data)
}

fn node(kind: u8, sub_kind: u8, data: &[u8]) -> Option<Vec<u8>> {
    let len = u16::try_from(data.len() + HEADER_LEN).ok()?;
    if kind == TYPE_END {
        return None;
    }
    let [low, high] = len.to_le_bytes();
    super::concat(&[&[kind, sub_kind, low, high], data]).ok()
}

fn append(path: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    path.try_reserve(bytes.len()).ok()?;
    path.extend_from_slice(bytes);
    Some(())
}
