//! Dates of policies: ISO 8601 in the profile of the W3C note on dates and times, or seconds since 1970.

use std::fmt;

/// Nanoseconds since 1970-01-01T00:00:00Z; wide enough for every year of four digits.
pub(super) type Instant = i128;

pub(super) const NANOS: i128 = 1_000_000_000;

/// `2012`, `2012-10`, `2012-10-17`, `2012-10-17T00:00Z`, `2012-10-17T00:00:00.5+02:00`, `1350432000`.
///
/// Four digits alone are a year in the note and a number of seconds elsewhere; AWS documents neither, and seconds are
/// what a machine writes.
pub(super) fn parse(text: &str) -> Option<Instant> {
    if let Ok(seconds) = text.parse::<i64>() {
        return Some(i128::from(seconds) * NANOS);
    }
    let (date, time) = text.split_once(['T', 't']).map_or((text, None), |(date, time)| (date, Some(time)));
    let days = parse_date(date)?;
    let nanos = time.map_or(Some(0), parse_time)?;
    Some(i128::from(days) * 86_400 * NANOS + nanos)
}

fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let year = digits(parts.next()?, 4)?;
    let month = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let day = parts.next().map_or(Some(1), |part| digits(part, 2))?;
    let valid = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
    (valid && parts.next().is_none()).then(|| days_from_civil(year, month, day))
}

/// The time of day with its zone, in nanoseconds UTC.
fn parse_time(text: &str) -> Option<i128> {
    let (clock, offset) = match text.strip_suffix(['Z', 'z']) {
        Some(clock) => (clock, 0),
        None => {
            let at = text.rfind(['+', '-'])?;
            (&text[..at], parse_offset(&text[at..])?)
        }
    };
    let mut parts = clock.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let seconds = parts.next().map_or(Some(0), parse_seconds)?;
    let valid = hour < 24 && minute < 60 && parts.next().is_none();
    valid.then(|| i128::from((hour * 60 + minute - offset) * 60) * NANOS + seconds)
}

/// `05` or `05.25`; a leap second counts as the next minute's first.
fn parse_seconds(text: &str) -> Option<i128> {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, part)| (whole, Some(part)));
    let seconds = i128::from(digits(whole, 2).filter(|seconds| *seconds <= 60)?);
    let nanos = match fraction {
        Some(part) if (1..=9).contains(&part.len()) => {
            i128::from(digits(part, part.len())?) * 10_i128.pow(9 - part.len() as u32)
        }
        Some(_) => return None,
        None => 0,
    };
    Some(seconds * NANOS + nanos)
}

/// `+02:00`, `-0530`, `+02` in minutes.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = text.split_at_checked(1).filter(|_| text.is_ascii())?;
    let minutes = match rest.len() {
        2 => digits(rest, 2)? * 60,
        4 => digits(&rest[..2], 2)? * 60 + digits(&rest[2..], 2)?,
        5 if rest.as_bytes()[2] == b':' => digits(&rest[..2], 2)? * 60 + digits(&rest[3..], 2)?,
        _ => return None,
    };
    (minutes < 24 * 60).then_some(if sign == "-" { -minutes } else { minutes })
}

/// Exactly `count` decimal digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; years start in March here.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// `2012-10-17T00:00:00Z`.
pub(super) fn write_iso(out: &mut impl fmt::Write, seconds: i64) -> fmt::Result {
    let days = seconds.div_euclid(86_400);
    let of_day = seconds.rem_euclid(86_400);
    // A first guess from the mean length of a year is at most one year off.
    let mut year = 1970 + days.div_euclid(146_097) * 400 + days.rem_euclid(146_097) * 400 / 146_097;
    while days_from_civil(year, 1, 1) > days {
        year -= 1;
    }
    while days_from_civil(year + 1, 1, 1) <= days {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days_from_civil(year, *month, 1) <= days).unwrap_or(1);
    let day = days - days_from_civil(year, month, 1) + 1;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_profile_of_the_note() {
        let seconds = |text: &str| parse(text).map(|nanos| (nanos / NANOS) as i64);
        for text in [
            "2012-10-17",
            "2012-10-17T00:00Z",
            "2012-10-17T00:00:00Z",
            "2012-10-17T02:00:00+02:00",
            "2012-10-16T18:30:00.000-05:30",
            "1350432000",
        ] {
            assert_eq!(seconds(text), Some(1_350_432_000), "{text}");
        }
        assert_eq!(seconds("2012-10"), Some(1_349_049_600));
        assert_eq!(seconds("2000-02-29T00:00:00Z"), Some(951_782_400));
        assert_eq!(parse("1969-12-31T23:59:59.5Z"), Some(-NANOS / 2));
        assert_eq!(seconds("9999-12-31T23:59:60Z"), Some(253_402_300_800));
    }

    #[test]
    fn what_is_no_date() {
        for text in [
            "",
            "not a date",
            "2012-13-01",
            "2011-02-29",
            "2012-10-17T24:00:00Z",
            "2012-10-17T00:00:00",
            "2012-10-17T00Z",
            "2012-10-17T00:00:00.Z",
            "2012-10-17T00:00:00+2",
            "2012-10-17T00:00:00+25:00",
            "2012-1-1",
            "2012-10-17-01",
            "+2012-10-17",
            "1e9",
            "2012-10-17T00:00:00\u{e9}",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(seconds in -62_167_219_200_i64..253_402_300_800) {
            let mut text = String::new();
            write_iso(&mut text, seconds).unwrap();
            prop_assert_eq!(parse(&text), Some(i128::from(seconds) * NANOS));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), near in "[0-9T:Z+.-]{0,25}") {
            let _ = (parse(&text), parse(&near));
        }
    }
}
