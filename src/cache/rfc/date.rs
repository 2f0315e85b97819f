//! HTTP-date in its three formats (RFC 9110 section 5.6.7), read strictly, and the written form.

/// Seconds since 1970-01-01T00:00:00Z of an HTTP-date, or `None` where the text is none.
///
/// All three formats are read: `Sun, 06 Nov 1994 08:49:37 GMT`, the obsolete `Sunday, 06-Nov-94 08:49:37 GMT` and
/// `Sun Nov  6 08:49:37 1994`. Names of days, months and the zone are read in any case; widths, separators and `GMT`
/// must be exact, the day must exist in its month, and a leap second counts as the second after it. A two-digit year
/// that would lie more than 50 years after `now` belongs to the century before. Whether the name of the day fits is
/// not checked, as the date does not depend on it.
///
/// ```
/// use tower_gateway::cache::rfc::parse_http_date;
///
/// assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 08:49:37 GMT", 0), Some(784_111_777));
/// assert_eq!(parse_http_date(b"Sun, 06 Nov 1994 8:49:37 GMT", 0), None);
/// assert_eq!(parse_http_date(b"0", 0), None);
/// ```
pub fn parse_http_date(text: &[u8], now: i64) -> Option<i64> {
    Reader(text)
        .imf_fixdate()
        .or_else(|| Reader(text).rfc850_date(now))
        .or_else(|| Reader(text).asctime_date())
}

/// The preferred format of `seconds` since 1970, for years 0 to 9999; outside of them, the nearest of these.
pub(crate) fn format_http_date(seconds: i64) -> [u8; 29] {
    let seconds = seconds.clamp(days_from_civil(0, 1, 1) * DAY, days_from_civil(10_000, 1, 1) * DAY - 1);
    let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    let (year, month, day) = civil_from_days(days);
    let mut out = *b"Thu, 01 Jan 1970 00:00:00 GMT";
    // 1970-01-01 was a Thursday.
    out[..3].copy_from_slice(&DAYS[(days + 4).rem_euclid(7) as usize].as_bytes()[..3]);
    write_digits(&mut out[5..7], day);
    out[8..11].copy_from_slice(MONTHS[month as usize - 1].as_bytes());
    write_digits(&mut out[12..16], year);
    write_digits(&mut out[17..19], time / 3600);
    write_digits(&mut out[20..22], time / 60 % 60);
    write_digits(&mut out[23..25], time % 60);
    out
}

const DAY: i64 = 86_400;
const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

fn write_digits(out: &mut [u8], mut value: i64) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn imf_fixdate(&mut self) -> Option<i64> {
        self.day_name(3)?;
        self.literal(b", ")?;
        let day = self.digits(2)?;
        self.literal(b" ")?;
        let month = self.month()?;
        self.literal(b" ")?;
        let year = self.digits(4)?;
        self.literal(b" ")?;
        let time = self.time()?;
        self.literal(b" GMT")?;
        self.finish(year, month, day, time)
    }

    fn rfc850_date(&mut self, now: i64) -> Option<i64> {
        self.day_name(usize::MAX)?;
        self.literal(b", ")?;
        let day = self.digits(2)?;
        self.literal(b"-")?;
        let month = self.month()?;
        self.literal(b"-")?;
        let year = full_year(self.digits(2)?, now);
        self.literal(b" ")?;
        let time = self.time()?;
        self.literal(b" GMT")?;
        self.finish(year, month, day, time)
    }

    fn asctime_date(&mut self) -> Option<i64> {
        self.day_name(3)?;
        self.literal(b" ")?;
        let month = self.month()?;
        self.literal(b" ")?;
        let day = if self.literal(b" ").is_some() { self.digits(1)? } else { self.digits(2)? };
        self.literal(b" ")?;
        let time = self.time()?;
        self.literal(b" ")?;
        let year = self.digits(4)?;
        self.finish(year, month, day, time)
    }

    /// A day's name, cut to `length`.
    fn day_name(&mut self, length: usize) -> Option<()> {
        DAYS.iter().find_map(|name| self.literal(&name.as_bytes()[..length.min(name.len())]))
    }

    fn month(&mut self) -> Option<i64> {
        (1..).zip(MONTHS).find_map(|(number, name)| self.literal(name.as_bytes()).map(|()| number))
    }

    /// Seconds since midnight.
    fn time(&mut self) -> Option<i64> {
        let hour = self.digits(2)?;
        self.literal(b":")?;
        let minute = self.digits(2)?;
        self.literal(b":")?;
        let second = self.digits(2)?;
        (hour < 24 && minute < 60 && second <= 60).then_some(hour * 3600 + minute * 60 + second)
    }

    /// Exactly `count` digits.
    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits
            .iter()
            .try_fold(0, |value, digit| digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0')))
    }

    fn literal(&mut self, text: &[u8]) -> Option<()> {
        let (head, rest) = self.0.split_at_checked(text.len())?;
        head.eq_ignore_ascii_case(text).then(|| self.0 = rest)
    }

    fn finish(&self, year: i64, month: i64, day: i64, time: i64) -> Option<i64> {
        let valid = self.0.is_empty() && (1..=days_in_month(year, month)).contains(&day);
        valid.then(|| days_from_civil(year, month, day) * DAY + time)
    }
}

fn full_year(two_digits: i64, now: i64) -> i64 {
    let this_year = civil_from_days(now.div_euclid(DAY)).0;
    let year = this_year.div_euclid(100) * 100 + two_digits;
    if year > this_year + 50 { year - 100 } else { year }
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 in the proleptic Gregorian calendar; the year is taken to begin in March, so that the leap
/// day is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = (shifted + 2) % 12 + 1;
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}
