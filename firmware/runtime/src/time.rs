//! `EFI_TIME` (UEFI 2.10, section 8.3) and the seconds of a PL031.
//!
//! The clock counts seconds of UTC since 1970 in 32 bits. The zone and the daylight bits that
//! `SetTime()` gives are kept beside it: local time is UTC minus `TimeZone` minutes. Days are those of
//! the Gregorian calendar.

use r_efi::efi::{self, Time};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// What `SetTime()` sets that the clock cannot hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct Zone {
    /// Minutes that UTC is ahead of local time, -1440 to 1440, or `EFI_UNSPECIFIED_TIMEZONE`.
    pub timezone: i16,
    /// `EFI_TIME_ADJUST_DAYLIGHT`, `EFI_TIME_IN_DAYLIGHT`.
    pub daylight: u8,
}

impl Zone {
    /// Before anybody has set one.
    pub const UNSPECIFIED: Self = Self { timezone: efi::UNSPECIFIED_TIMEZONE, daylight: 0 };

    /// Whether both are in the ranges that `EFI_TIME` gives them.
    #[must_use]
    pub fn is_valid(self) -> bool {
        ((-1440..=1440).contains(&self.timezone) || self.timezone == efi::UNSPECIFIED_TIMEZONE)
            && self.daylight & !(efi::TIME_ADJUST_DAYLIGHT | efi::TIME_IN_DAYLIGHT) == 0
    }

    fn seconds(self) -> i64 {
        if self.timezone == efi::UNSPECIFIED_TIMEZONE { 0 } else { i64::from(self.timezone).wrapping_mul(MINUTE) }
    }
}

/// The local time in `zone` when the clock shows `seconds`.
#[must_use]
pub fn from_clock(seconds: u32, zone: Zone) -> Time {
    let local = i64::from(seconds).wrapping_sub(zone.seconds());
    let (year, month, day) = date(local.div_euclid(DAY));
    let second = local.rem_euclid(DAY);
    let field = |value: i64| u8::try_from(value).unwrap_or_default();
    Time {
        year,
        month,
        day,
        hour: field(second / HOUR),
        minute: field(second % HOUR / MINUTE),
        second: field(second % MINUTE),
        pad1: 0,
        nanosecond: 0,
        timezone: zone.timezone,
        daylight: zone.daylight,
        pad2: 0,
    }
}

/// What the clock must show for it to be `time`; `None` if a field of `time` is out of range, or the
/// clock cannot hold the time. Fractions of a second are dropped.
#[must_use]
pub fn to_clock(time: &Time) -> Option<(u32, Zone)> {
    if !is_valid(time) {
        return None;
    }
    let zone = zone(time);
    let seconds = days(time.year, time.month, time.day)
        .wrapping_mul(DAY)
        .wrapping_add(i64::from(time.hour).wrapping_mul(HOUR))
        .wrapping_add(i64::from(time.minute).wrapping_mul(MINUTE))
        .wrapping_add(i64::from(time.second))
        .wrapping_add(zone.seconds());
    Some((u32::try_from(seconds).ok()?, zone))
}

/// Whether every field is in the range that `EFI_TIME` gives it.
#[must_use]
pub fn is_valid(time: &Time) -> bool {
    (1900..=9999).contains(&time.year)
        && (1..=12).contains(&time.month)
        && (1..=days_of_month(time.year, time.month)).contains(&time.day)
        && time.hour < 24
        && time.minute < 60
        && time.second < 60
        && time.nanosecond < 1_000_000_000
        && zone(time).is_valid()
}

fn zone(time: &Time) -> Zone {
    Zone { timezone: time.timezone, daylight: time.daylight }
}

fn days_of_month(year: u16, month: u8) -> u8 {
    let leap = year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to the given date.
///
/// The year is made to begin in March, so that the leap day is its last day: month `m` (March is 0)
/// then begins on day `(153 * m + 2) / 5`, because five months from March have 153 days.
fn days(year: u16, month: u8, day: u8) -> i64 {
    let (year, month) = (i64::from(year), i64::from(month));
    let (year, month) =
        if month < 3 { (year.wrapping_sub(1), month.wrapping_add(9)) } else { (year, month.wrapping_sub(3)) };
    let day = i64::from(day).wrapping_sub(1);
    let day_of_year = month.wrapping_mul(153).wrapping_add(2) / 5;
    days_before(year).wrapping_add(day_of_year).wrapping_add(day).wrapping_sub(EPOCH)
}

/// Days from 0000-03-01 to 1 March of `year`.
fn days_before(year: i64) -> i64 {
    year.wrapping_mul(365)
        .wrapping_add(year.div_euclid(4))
        .wrapping_sub(year.div_euclid(100))
        .wrapping_add(year.div_euclid(400))
}

/// Days from 0000-03-01 to 1970-01-01.
const EPOCH: i64 = 719_468;

/// Year, month and day that are `days` after 1970-01-01.
fn date(days: i64) -> (u16, u8, u8) {
    let days = days.wrapping_add(EPOCH);
    // 400 years have 146,097 days. The estimate is never too early, and at most one year too late.
    let estimate = days.wrapping_mul(400).wrapping_add(591).div_euclid(146_097);
    let year = if days_before(estimate) > days { estimate.wrapping_sub(1) } else { estimate };
    let day_of_year = days.wrapping_sub(days_before(year));
    let month = day_of_year.wrapping_mul(5).wrapping_add(2) / 153;
    let day = day_of_year.wrapping_sub(month.wrapping_mul(153).wrapping_add(2) / 5);
    let (year, month) =
        if month < 10 { (year, month.wrapping_add(3)) } else { (year.wrapping_add(1), month.wrapping_sub(9)) };
    (
        u16::try_from(year).unwrap_or_default(),
        u8::try_from(month).unwrap_or_default(),
        u8::try_from(day.wrapping_add(1)).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const UTC: Zone = Zone { timezone: 0, daylight: 0 };

    fn at(year: u16, month: u8, day: u8, hour: u8, minute: u8, second: u8) -> Time {
        Time { year, month, day, hour, minute, second, ..from_clock(0, UTC) }
    }

    fn fields(time: &Time) -> (u16, u8, u8, u8, u8, u8) {
        (time.year, time.month, time.day, time.hour, time.minute, time.second)
    }

    #[test]
    fn every_day_follows_the_one_before() {
        // Miri is slow, and ten years have two leap days.
        let last = if cfg!(miri) { 3_653 } else { u32::MAX / 86_400 };
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for number in 0..last {
            let noon = number.saturating_mul(86_400).saturating_add(43_200);
            let time = from_clock(noon, UTC);
            assert_eq!(fields(&time), (year, month, day, 12, 0, 0));
            assert_eq!(to_clock(&time), Some((noon, UTC)));
            day += 1;
            if day > days_of_month(year, month) {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
        assert_eq!((year, month, day), if cfg!(miri) { (1980, 1, 2) } else { (2106, 2, 7) });
    }

    #[test]
    fn dates_that_others_have_computed() {
        for (seconds, expected) in [
            (0, (1970, 1, 1, 0, 0, 0)),
            (951_782_400, (2000, 2, 29, 0, 0, 0)),
            (1_000_000_000, (2001, 9, 9, 1, 46, 40)),
            (0x7fff_ffff, (2038, 1, 19, 3, 14, 7)),
            (4_107_542_400, (2100, 3, 1, 0, 0, 0)),
            (u32::MAX, (2106, 2, 7, 6, 28, 15)),
        ] {
            assert_eq!(fields(&from_clock(seconds, UTC)), expected);
        }
    }

    #[test]
    fn a_zone_shifts_what_is_shown_and_not_the_clock() {
        let mut time = at(2001, 9, 9, 3, 46, 40);
        time.timezone = -120;
        let (seconds, zone) = to_clock(&time).unwrap();
        assert_eq!(seconds, 1_000_000_000);
        assert_eq!(fields(&from_clock(seconds, zone)), fields(&time));
        let before = from_clock(0, Zone { timezone: 1440, daylight: 3 });
        assert_eq!(fields(&before), (1969, 12, 31, 0, 0, 0));
        assert_eq!((before.timezone, before.daylight), (1440, 3));
        assert_eq!(to_clock(&before).unwrap().0, 0);
        assert_eq!(from_clock(0, Zone::UNSPECIFIED).timezone, efi::UNSPECIFIED_TIMEZONE);
    }

    #[test]
    fn fields_out_of_range_are_refused() {
        let good = at(2024, 2, 29, 23, 59, 59);
        assert!(is_valid(&good) && to_clock(&good).is_some());
        let bad = [
            Time { year: 1899, ..good },
            Time { year: 10_000, ..good },
            Time { year: 2023, ..good },
            Time { year: 2100, ..good },
            Time { month: 0, ..good },
            Time { month: 13, ..good },
            Time { day: 0, ..good },
            Time { month: 4, day: 31, ..good },
            Time { hour: 24, ..good },
            Time { minute: 60, ..good },
            Time { second: 60, ..good },
            Time { nanosecond: 1_000_000_000, ..good },
            Time { timezone: 1441, ..good },
            Time { timezone: -1441, ..good },
            Time { daylight: 4, ..good },
        ];
        for time in bad {
            assert!(!is_valid(&time) && to_clock(&time).is_none(), "{time:?}");
        }
        for time in [Time { year: 1969, ..at(1969, 12, 31, 23, 59, 59) }, at(2106, 2, 7, 6, 28, 16)] {
            assert!(is_valid(&time) && to_clock(&time).is_none(), "{time:?}");
        }
    }
}
