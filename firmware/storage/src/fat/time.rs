//! Dates and times of directory entries (Microsoft FAT specification, 6.3).

/// A date from 1980 on and a time of day, both as directory entries have them; zero for none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Timestamp {
    /// Years since 1980, month, day.
    pub date: u16,
    /// Hours, minutes, and seconds by two.
    pub time: u16,
}

/// A time of day on a date.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct DateTime {
    /// The year.
    pub year: u16,
    /// From 1.
    pub month: u8,
    /// From 1.
    pub day: u8,
    /// Up to 23.
    pub hour: u8,
    /// Up to 59.
    pub minute: u8,
    /// Up to 59.
    pub second: u8,
}

impl Timestamp {
    /// The nearest that can be told: what is before 1980 or after 2107 is the first or last date.
    pub fn new(from: DateTime) -> Self {
        let year = from.year.clamp(1980, 2107) - 1980;
        let date = year << 9 | u16::from(from.month & 0xf) << 5 | u16::from(from.day & 0x1f);
        let time = u16::from(from.hour & 0x1f) << 11 | u16::from(from.minute & 0x3f) << 5;
        Self { date, time: time | u16::from(from.second.min(59) / 2) }
    }

    /// What it says; `None` when there is no date.
    pub fn date_time(self) -> Option<DateTime> {
        let field = |value: u16, shift: u16, mask: u16| (value >> shift & mask) as u8;
        (self.date != 0).then(|| DateTime {
            year: 1980 + (self.date >> 9),
            month: field(self.date, 5, 0xf).clamp(1, 12),
            day: field(self.date, 0, 0x1f).max(1),
            hour: field(self.time, 11, 0x1f).min(23),
            minute: field(self.time, 5, 0x3f).min(59),
            second: (field(self.time, 0, 0x1f) * 2).min(58),
        })
    }
}
