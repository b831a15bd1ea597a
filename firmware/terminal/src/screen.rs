//! Text output: the state of the screen (UEFI 2.10, 12.4) and the escape sequences (ECMA-48, as
//! a VT100 or xterm understands them) that bring a terminal to it.

/// A size in character cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Cells in a row.
    pub columns: u16,
    /// Rows on the screen.
    pub rows: u16,
}

/// The text modes that there always are. Modes 0 and 1 have the size that the specification gives
/// them; mode 2 is the size of a graphics console of 800 by 600, which loaders like to choose.
const MODES: [Size; 3] =
    [Size { columns: 80, rows: 25 }, Size { columns: 80, rows: 50 }, Size { columns: 100, rows: 31 }];

/// The sizes that a terminal is believed: loaders draw their menus on what is left of a row and a
/// column, and make room for as many cells as there are.
const SMALLEST: Size = Size { columns: 40, rows: 16 };
const LARGEST: Size = Size { columns: 512, rows: 256 };

/// Light grey on black, the attribute after a reset.
const DEFAULT_ATTRIBUTE: u8 = 0x07;

/// Foreground colour in bits 0 to 3, background in bits 4 to 6: nothing else is defined.
const ATTRIBUTE_MASK: usize = 0x7f;

const TAB_WIDTH: u16 = 8;

/// The request names something that the screen does not have: a mode, a position, an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScreenError;

/// What the terminal shows, as far as a program on the other end can know.
///
/// A terminal window may be larger than the mode, unless the mode is that of the size that the
/// terminal has told; the cursor is kept where the mode says it is by breaking lines explicitly at
/// the last column.
#[derive(Clone, Debug)]
pub struct Screen {
    mode: usize,
    size: Size,
    /// The size of the mode behind [`MODES`].
    terminal: Option<Size>,
    attribute: u8,
    column: u16,
    row: u16,
    cursor_visible: bool,
}

impl Default for Screen {
    fn default() -> Self {
        let [size, ..] = MODES;
        Self { mode: 0, size, terminal: None, attribute: DEFAULT_ATTRIBUTE, column: 0, row: 0, cursor_visible: true }
    }
}

impl Screen {
    /// The number of modes; each smaller number is a mode.
    pub fn mode_count(&self) -> usize {
        MODES.len() + usize::from(self.terminal.is_some())
    }

    /// The size of a mode.
    ///
    /// # Errors
    /// There is no such mode.
    pub fn mode_size(&self, mode: usize) -> Result<Size, ScreenError> {
        let terminal = self.terminal.filter(|_| mode == MODES.len());
        MODES.get(mode).copied().or(terminal).ok_or(ScreenError)
    }

    /// Asks the terminal for its size: it reports the cursor where its last cell stops it
    /// (ECMA-48, DSR 6). The cursor is then where it was (DECSC, DECRC).
    pub fn ask_size(sink: &mut impl FnMut(u8)) {
        send(sink, b"\x1b7\x1b[999;999H\x1b[6n\x1b8");
    }

    /// Makes a mode of the size that the terminal told first, the current one if asked to. A size
    /// that no program could use is none.
    pub fn add_terminal(&mut self, told: Size, current: bool) {
        if self.terminal.is_some() || told.columns < SMALLEST.columns || told.rows < SMALLEST.rows {
            return;
        }
        let size = Size { columns: told.columns.min(LARGEST.columns), rows: told.rows.min(LARGEST.rows) };
        self.terminal = Some(size);
        if current {
            self.mode = MODES.len();
            self.size = size;
            self.column = self.column.min(size.columns - 1);
            self.row = self.row.min(size.rows - 1);
        }
    }

    /// The current mode.
    pub fn mode(&self) -> usize {
        self.mode
    }

    /// The current attribute: foreground in bits 0 to 3, background in bits 4 to 6.
    pub fn attribute(&self) -> u8 {
        self.attribute
    }

    /// Column and row of the cursor, from 0.
    pub fn cursor(&self) -> (u16, u16) {
        (self.column, self.row)
    }

    /// Whether the cursor is shown.
    pub fn cursor_visible(&self) -> bool {
        self.cursor_visible
    }

    /// The mode of the terminal or else mode 0, the default colours, an empty screen and a visible
    /// cursor.
    pub fn reset(&mut self, sink: &mut impl FnMut(u8)) {
        let terminal = self.terminal;
        *self = Self::default();
        if let Some(size) = terminal {
            self.add_terminal(size, true);
        }
        self.send_attribute(sink);
        send(sink, b"\x1b[?25h");
        self.clear(sink);
    }

    /// Changes the mode and empties the screen.
    ///
    /// # Errors
    /// There is no such mode.
    pub fn set_mode(&mut self, mode: usize, sink: &mut impl FnMut(u8)) -> Result<(), ScreenError> {
        self.size = self.mode_size(mode)?;
        self.mode = mode;
        self.clear(sink);
        Ok(())
    }

    /// Sets the colours of what is written from now on.
    ///
    /// # Errors
    /// A bit is set that no colour uses.
    pub fn set_attribute(&mut self, attribute: usize, sink: &mut impl FnMut(u8)) -> Result<(), ScreenError> {
        if attribute & !ATTRIBUTE_MASK != 0 {
            return Err(ScreenError);
        }
        let attribute = u8::try_from(attribute).map_err(|_| ScreenError)?;
        if attribute != self.attribute {
            self.attribute = attribute;
            self.send_attribute(sink);
        }
        Ok(())
    }

    /// Fills the screen with the background colour and moves the cursor to the first cell.
    pub fn clear(&mut self, sink: &mut impl FnMut(u8)) {
        send(sink, b"\x1b[2J\x1b[H");
        self.column = 0;
        self.row = 0;
    }

    /// Moves the cursor.
    ///
    /// # Errors
    /// The position is outside the screen.
    pub fn set_cursor(&mut self, column: usize, row: usize, sink: &mut impl FnMut(u8)) -> Result<(), ScreenError> {
        let column = u16::try_from(column).ok().filter(|&c| c < self.size.columns).ok_or(ScreenError)?;
        let row = u16::try_from(row).ok().filter(|&r| r < self.size.rows).ok_or(ScreenError)?;
        self.column = column;
        self.row = row;
        send(sink, b"\x1b[");
        // Sizes are three digits at most, so one more does not overflow.
        send_number(row + 1, sink);
        sink(b';');
        send_number(column + 1, sink);
        sink(b'H');
        Ok(())
    }

    /// Shows or hides the cursor.
    pub fn show_cursor(&mut self, visible: bool, sink: &mut impl FnMut(u8)) {
        self.cursor_visible = visible;
        send(sink, if visible { b"\x1b[?25h" } else { b"\x1b[?25l" });
    }

    /// Writes UCS-2 text as UTF-8, moving the cursor by the rules of UEFI 2.10, table 12.4.
    /// Returns whether every character had a glyph; one that has none is shown as a question mark.
    pub fn write(&mut self, text: impl Iterator<Item = u16>, sink: &mut impl FnMut(u8)) -> bool {
        let mut all_shown = true;
        for unit in char::decode_utf16(text) {
            match unit {
                Ok('\u{8}') => self.backspace(sink),
                Ok('\t') => self.tab(sink),
                Ok('\n') => {
                    sink(b'\n');
                    self.line_feed();
                }
                Ok('\r') => {
                    sink(b'\r');
                    self.column = 0;
                }
                Ok(glyph) if is_graphic(glyph) => self.put(glyph, sink),
                _ => {
                    all_shown = false;
                    self.put('?', sink);
                }
            }
        }
        all_shown
    }

    fn put(&mut self, glyph: char, sink: &mut impl FnMut(u8)) {
        send(sink, glyph.encode_utf8(&mut [0; 4]).as_bytes());
        self.column += 1;
        if self.column >= self.size.columns {
            // A terminal holds back its own wrap until the next character, or wraps elsewhere.
            send(sink, b"\r\n");
            self.column = 0;
            self.line_feed();
        }
    }

    fn backspace(&mut self, sink: &mut impl FnMut(u8)) {
        if let Some(column) = self.column.checked_sub(1) {
            sink(8);
            self.column = column;
        }
    }

    fn tab(&mut self, sink: &mut impl FnMut(u8)) {
        for _ in 0..TAB_WIDTH - self.column % TAB_WIDTH {
            self.put(' ', sink);
        }
    }

    /// One row down; the screen scrolls when the cursor is in the last.
    fn line_feed(&mut self) {
        if self.row + 1 < self.size.rows {
            self.row += 1;
        }
    }

    fn send_attribute(&self, sink: &mut impl FnMut(u8)) {
        send(sink, if self.attribute & 0x08 != 0 { b"\x1b[0;1;3" } else { b"\x1b[0;22;3" });
        sink(ansi_colour(self.attribute));
        send(sink, b";4");
        sink(ansi_colour(self.attribute >> 4));
        sink(b'm');
    }
}

/// Whether every character of the text can be shown or moves the cursor.
pub fn has_glyph(text: impl Iterator<Item = u16>) -> bool {
    char::decode_utf16(text).all(|unit| unit.is_ok_and(|c| is_graphic(c) || matches!(c, '\u{8}' | '\t' | '\n' | '\r')))
}

/// Anything but the control characters of both ranges: an escape sequence in the text would move
/// the cursor behind the screen's back.
fn is_graphic(c: char) -> bool {
    !c.is_control()
}

/// UEFI's colours are blue, green, red in bits 0 to 2; ECMA-48 has red first and blue last.
fn ansi_colour(efi: u8) -> u8 {
    b'0' + ((efi & 1) << 2 | efi & 2 | (efi & 4) >> 2)
}

fn send(sink: &mut impl FnMut(u8), bytes: &[u8]) {
    for &byte in bytes {
        sink(byte);
    }
}

fn send_number(number: u16, sink: &mut impl FnMut(u8)) {
    let mut divisor = 10_000;
    let mut begun = false;
    while divisor > 0 {
        // A single decimal digit fits.
        let digit = (number / divisor % 10) as u8;
        begun |= digit != 0 || divisor == 1;
        if begun {
            sink(b'0' + digit);
        }
        divisor /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Terminal {
        screen: Screen,
        sent: Vec<u8>,
    }

    impl Terminal {
        fn new() -> Self {
            Self { screen: Screen::default(), sent: Vec::new() }
        }

        fn write(&mut self, text: &str) -> bool {
            let units: Vec<u16> = text.encode_utf16().collect();
            self.screen.write(units.into_iter(), &mut |b| self.sent.push(b))
        }

        fn sent(&self) -> &str {
            core::str::from_utf8(&self.sent).unwrap()
        }
    }

    #[test]
    fn text_moves_the_cursor_and_becomes_utf8() {
        let mut t = Terminal::new();
        assert!(t.write("hé─€"));
        assert_eq!(t.sent(), "hé─€");
        assert_eq!(t.screen.cursor(), (4, 0));
        assert!(t.write("\n"));
        assert_eq!(t.screen.cursor(), (4, 1), "a line feed keeps the column");
        assert!(t.write("\r"));
        assert_eq!(t.screen.cursor(), (0, 1));
        t.write("\u{8}");
        assert_eq!(t.screen.cursor(), (0, 1), "a backspace stops at the margin");
        t.write("ab\u{8}");
        assert_eq!(t.screen.cursor(), (1, 1));
        t.write("\t");
        assert_eq!(t.screen.cursor(), (8, 1));
    }

    #[test]
    fn a_full_line_wraps_and_the_last_row_scrolls() {
        let mut t = Terminal::new();
        t.write(&"x".repeat(79));
        assert_eq!(t.screen.cursor(), (79, 0));
        t.write("x");
        assert_eq!(t.screen.cursor(), (0, 1));
        assert!(t.sent().ends_with("x\r\n"));
        t.write(&"\n".repeat(40));
        assert_eq!(t.screen.cursor(), (0, 24));
        t.write(&"y".repeat(80));
        assert_eq!(t.screen.cursor(), (0, 24));
    }

    #[test]
    fn what_has_no_glyph_is_reported_and_marked() {
        let mut t = Terminal::new();
        assert!(!t.screen.write([0x41, 0xd800, 0x42].into_iter(), &mut |b| t.sent.push(b)));
        assert_eq!(t.sent(), "A?B");
        assert!(!t.write("\x1b[2J\u{9b}"));
        assert_eq!(t.sent(), "A?B?[2J?");
        assert!(!has_glyph([0xdc00].into_iter()));
        assert!(!has_glyph([0x1b].into_iter()));
        assert!(has_glyph("a\r\n\u{8}─".encode_utf16()));
    }

    #[test]
    fn modes_have_sizes_and_clear_the_screen() {
        let mut t = Terminal::new();
        t.write("abc");
        t.sent.clear();
        assert_eq!(t.screen.set_mode(2, &mut |b| t.sent.push(b)), Ok(()));
        assert_eq!(t.sent(), "\x1b[2J\x1b[H");
        assert_eq!((t.screen.mode(), t.screen.cursor()), (2, (0, 0)));
        t.write(&"x".repeat(99));
        assert_eq!(t.screen.cursor(), (99, 0));
        assert_eq!(t.screen.set_mode(3, &mut |_| ()), Err(ScreenError));
        assert_eq!(t.screen.mode(), 2);
        assert_eq!(t.screen.mode_count(), 3);
        assert_eq!(t.screen.mode_size(1), Ok(Size { columns: 80, rows: 50 }));
        assert_eq!(t.screen.mode_size(usize::MAX), Err(ScreenError));
    }

    #[test]
    fn the_terminal_s_size_is_one_more_mode() {
        let size = |columns, rows| Size { columns, rows };
        let mut t = Terminal::new();
        Screen::ask_size(&mut |b| t.sent.push(b));
        assert_eq!(t.sent(), "\x1b7\x1b[999;999H\x1b[6n\x1b8");
        t.write("abc");
        t.screen.add_terminal(size(80, 24), false);
        assert_eq!((t.screen.mode(), t.screen.mode_count()), (0, 4));
        assert_eq!((t.screen.mode_size(2), t.screen.mode_size(3)), (Ok(size(100, 31)), Ok(size(80, 24))));
        assert_eq!(t.screen.mode_size(4), Err(ScreenError));
        assert_eq!(t.screen.set_cursor(0, 24, &mut |_| ()), Ok(()), "what is current stays");

        let mut t = Terminal::new();
        t.write("abc");
        t.screen.add_terminal(size(120, 40), true);
        assert_eq!((t.screen.mode(), t.screen.cursor()), (3, (3, 0)), "the text stays where it is");
        assert_eq!(t.screen.set_cursor(119, 39, &mut |_| ()), Ok(()));
        assert_eq!(t.screen.set_mode(0, &mut |_| ()), Ok(()));
        assert_eq!(t.screen.set_cursor(0, 25, &mut |_| ()), Err(ScreenError));
        t.screen.reset(&mut |_| ());
        assert_eq!((t.screen.mode(), t.screen.mode_count()), (3, 4));
        t.screen.add_terminal(size(90, 30), false);
        assert_eq!(t.screen.mode_size(3), Ok(size(120, 40)), "what programs know of a mode stays");
        assert_eq!(t.screen.set_cursor(119, 39, &mut |_| ()), Ok(()));
    }

    #[test]
    fn a_terminal_is_not_believed_every_size() {
        let size = |columns, rows| Size { columns, rows };
        for told in [size(39, 24), size(80, 15), size(0, 2)] {
            let mut screen = Screen::default();
            screen.add_terminal(told, true);
            assert_eq!((screen.mode(), screen.mode_count()), (0, 3), "{told:?}");
        }
        for (told, taken) in [(size(40, 16), size(40, 16)), (size(u16::MAX, u16::MAX), size(512, 256))] {
            let mut screen = Screen::default();
            assert_eq!(screen.set_cursor(79, 24, &mut |_| ()), Ok(()));
            screen.add_terminal(told, true);
            assert_eq!((screen.mode(), screen.mode_size(3)), (3, Ok(taken)));
            assert_eq!(screen.cursor(), (79.min(taken.columns - 1), 24.min(taken.rows - 1)));
        }
    }

    #[test]
    fn positions_are_checked_and_count_from_one_on_the_wire() {
        let mut t = Terminal::new();
        assert_eq!(t.screen.set_cursor(79, 24, &mut |b| t.sent.push(b)), Ok(()));
        assert_eq!(t.sent(), "\x1b[25;80H");
        assert_eq!(t.screen.set_cursor(80, 0, &mut |_| ()), Err(ScreenError));
        assert_eq!(t.screen.set_cursor(0, 25, &mut |_| ()), Err(ScreenError));
        assert_eq!(t.screen.set_cursor(usize::MAX, 0, &mut |_| ()), Err(ScreenError));
        assert_eq!(t.screen.cursor(), (79, 24));
    }

    #[test]
    fn attributes_become_colours() {
        let mut t = Terminal::new();
        // Yellow (red and green, bright) on blue.
        assert_eq!(t.screen.set_attribute(0x1e, &mut |b| t.sent.push(b)), Ok(()));
        assert_eq!(t.sent(), "\x1b[0;1;33;44m");
        t.sent.clear();
        assert_eq!(t.screen.set_attribute(0x1e, &mut |b| t.sent.push(b)), Ok(()));
        assert_eq!(t.sent(), "");
        assert_eq!(t.screen.set_attribute(0x80, &mut |_| ()), Err(ScreenError));
        assert_eq!(t.screen.attribute(), 0x1e);
        t.screen.show_cursor(false, &mut |b| t.sent.push(b));
        assert!(!t.screen.cursor_visible());
        t.screen.reset(&mut |b| t.sent.push(b));
        assert_eq!(t.sent(), "\x1b[?25l\x1b[0;22;37;40m\x1b[?25h\x1b[2J\x1b[H");
        assert_eq!((t.screen.attribute(), t.screen.cursor_visible()), (0x07, true));
    }
}
