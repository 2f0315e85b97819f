//! Times as signatures write them: `20261122T123456Z`, and the `Date` field's form.

use crate::context::civil_from_days;

/// The time of a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SignedTime {
    pub(super) text: [u8; 16],
    pub(super) unix_seconds: i64,
}

impl SignedTime {
    /// `YYYYMMDD'T'HHMMSS'Z'` and nothing else.
    pub(super) fn parse_basic(text: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = text.try_into().ok()?;
        let mut is_time = bytes[8] == b'T' && bytes[15] == b'Z';
        let mut two = |at: usize| {
            let (tens, ones) = (bytes[at].wrapping_sub(b'0'), bytes[at + 1].wrapping_sub(b'0'));
            is_time &= tens < 10 && ones < 10;
            i64::from(tens) * 10 + i64::from(ones)
        };
        let day = Day { year: two(0) * 100 + two(2), month: two(4), day: two(6) };
        let (hour, minute, second) = (two(9), two(11), two(13));
        let unix_seconds = day.at(hour, minute, second).filter(|_| is_time)?;
        Some(Self { text: bytes, unix_seconds })
    }

    /// `Sun, 22 Nov 2026 12:34:56 GMT`.
    pub(super) fn parse_http_date(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let weekday = words.next()?;
        let (day, month, year) = (words.next()?, words.next()?, words.next()?);
        let (time, zone) = (words.next()?, words.next()?);
        if words.next().is_some() || zone != "GMT" || weekday.len() != 4 || !weekday.ends_with(',') {
            return None;
        }
        let month = MONTHS.iter().position(|name| *name == month)? as i64 + 1;
        let day = Day { year: two(year, 4)?, month, day: two(day, 2)? };
        let mut clock = time.split(':');
        let (hour, minute, second) = (clock.next()?, clock.next()?, clock.next()?);
        let unix_seconds = day.at(two(hour, 2)?, two(minute, 2)?, two(second, 2)?)?;
        clock.next().is_none().then(|| Self::at(unix_seconds))
    }

    /// The text of a moment between the years 0 and 9999.
    pub(super) fn at(unix_seconds: i64) -> Self {
        let (year, month, day) = civil_from_days(unix_seconds.div_euclid(86_400));
        let of_day = unix_seconds.rem_euclid(86_400);
        let mut text = *b"00000000T000000Z";
        let mut put = |from: usize, to: usize, mut number: i64| {
            for byte in text[from..to].iter_mut().rev() {
                *byte = b'0' + (number.rem_euclid(10)) as u8;
                number /= 10;
            }
        };
        put(0, 4, year);
        put(4, 6, month as i64);
        put(6, 8, day);
        put(9, 11, of_day / 3600);
        put(11, 13, of_day / 60 % 60);
        put(13, 15, of_day % 60);
        Self { text, unix_seconds }
    }

    pub(super) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text).unwrap_or_default()
    }

    /// `YYYYMMDD`.
    pub(super) fn day(&self) -> &str {
        &self.as_str()[..8]
    }
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes
        .iter()
        .try_fold(0, |sum, byte| Some(sum * 10 + i64::from(byte.is_ascii_digit().then(|| byte - b'0')?)))
}

fn two(text: &str, length: usize) -> Option<i64> {
    if text.len() == length { digits(text.as_bytes()) } else { None }
}

struct Day {
    year: i64,
    month: i64,
    day: i64,
}

impl Day {
    /// Seconds since 1970, if day and time exist.
    fn at(&self, hour: i64, minute: i64, second: i64) -> Option<i64> {
        let exists = (1..=12).contains(&self.month)
            && (1..=self.days_in_month()).contains(&self.day)
            && hour < 24
            && minute < 60
            && second < 60;
        exists.then(|| self.days_since_1970() * 86_400 + hour * 3600 + minute * 60 + second)
    }

    fn days_in_month(&self) -> i64 {
        let is_leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        match self.month {
            2 => 28 + i64::from(is_leap),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        }
    }

    /// The inverse of [`civil_from_days`]; years start in March.
    fn days_since_1970(&self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let of_era = year.rem_euclid(400);
        let month = (self.month + 9) % 12;
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        year.div_euclid(400) * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_forms_mean_the_same_moment() {
        let basic = SignedTime::parse_basic(b"20261122T123456Z").unwrap();
        assert_eq!(basic.unix_seconds, 1_795_350_896);
        assert_eq!(SignedTime::parse_http_date("Sun, 22 Nov 2026 12:34:56 GMT"), Some(basic));
        assert_eq!((basic.day(), SignedTime::at(basic.unix_seconds)), ("20261122", basic));
        assert_eq!(SignedTime::parse_basic(b"20150830T123600Z").unwrap().unix_seconds, 1_440_938_160);
    }

    #[test]
    fn what_is_not_exactly_a_time_is_none() {
        for text in [
            "",
            "2026-11-22T12:34:56Z",
            "20261122T123456",
            "20261122T123456z",
            "20261122 123456Z",
            "20261322T123456Z",
            "20261131T123456Z",
            "20250229T123456Z",
            "20261100T123456Z",
            "20261122T243456Z",
            "20261122T126056Z",
            "20261122T123460Z",
            "2026112+T123456Z",
            "20261122T123456Z,20261122T123456Z",
        ] {
            assert_eq!(SignedTime::parse_basic(text.as_bytes()), None, "{text}");
        }
        for text in
            ["Sun, 22 Nov 2026 12:34:56", "Sun, 22 Nov 2026 12:34:56 UTC", "22 Nov 2026 12:34:56 GMT", ""]
        {
            assert_eq!(SignedTime::parse_http_date(text), None, "{text}");
        }
        assert!(SignedTime::parse_basic(b"20240229T000000Z").is_some());
    }

    #[test]
    fn a_day_exists_where_the_calendar_has_it() {
        for year in [1600, 1900, 1970, 2000, 2023, 2024, 2100, 9999] {
            for month in 0..=13 {
                for day in 0..=32 {
                    let days = Day { year, month: month.clamp(1, 12), day }.days_since_1970();
                    let expected = civil_from_days(days) == (year, month as usize, day);
                    assert_eq!(
                        Day { year, month, day }.at(0, 0, 0).is_some(),
                        expected,
                        "{year} {month} {day}"
                    );
                }
            }
        }
    }

    proptest! {
        #[test]
        fn every_moment_reads_back(seconds in -62_135_596_800_i64..253_402_300_800) {
            let time = SignedTime::at(seconds);
            prop_assert_eq!(SignedTime::parse_basic(time.as_str().as_bytes()), Some(time));
        }
    }
}
