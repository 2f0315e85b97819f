//! A quota and its calendar: which period is now. Pure: time comes as an argument.

use crate::error::ConfigError;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};

/// How long a quota lasts. Periods are calendar periods, not spans of time since the first request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum QuotaPeriod {
    /// From midnight to midnight.
    Day,
    /// Seven days, from Sunday unless an offset says otherwise.
    Week,
    /// A calendar month, from its first day unless an offset says otherwise.
    Month,
}

impl QuotaPeriod {
    /// `DAY`, `WEEK` or `MONTH`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Day => "DAY",
            Self::Week => "WEEK",
            Self::Month => "MONTH",
        }
    }

    /// Its usual length, for the `w` of `RateLimit-Policy`: a day has 86 400 seconds there, a month 30 days.
    pub(super) fn nominal_seconds(self) -> u64 {
        match self {
            Self::Day => 86_400,
            Self::Week => 604_800,
            Self::Month => 2_592_000,
        }
    }

    fn greatest_offset(self) -> u32 {
        match self {
            Self::Day => 0,
            Self::Week => 6,
            Self::Month => 27,
        }
    }
}

/// `limit` requests in each period, per key, over all stages of the plan.
///
/// ```
/// use tower_gateway::usage_plan::{Quota, QuotaPeriod};
///
/// let quota = Quota::new(1000, QuotaPeriod::Month)?.offset(14)?.time_zone("Europe/Berlin")?;
/// let window = quota.window(1_795_331_880); // 2026-11-22T07:18:00Z
/// assert_eq!(window.start_unix_seconds, 1_794_697_200); // the 15th, 00:00 in Berlin
/// assert_eq!(window.end_unix_seconds, 1_797_289_200);
/// assert!(Quota::new(10, QuotaPeriod::Day)?.offset(1).is_err());
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    limit: u64,
    calendar: Calendar,
}

/// A period: from its start up to but not including its end, in seconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "said above")]
pub struct Window {
    pub start_unix_seconds: i64,
    pub end_unix_seconds: i64,
}

impl Quota {
    /// A quota that starts on the first day of its period (a week's is Sunday), in UTC.
    ///
    /// A limit of 0 admits nothing; a plan without a quota has no limit.
    ///
    /// # Errors
    ///
    /// A limit above `i64::MAX`.
    pub fn new(limit: u64, period: QuotaPeriod) -> Result<Self, ConfigError> {
        if i64::try_from(limit).is_err() {
            return Err(ConfigError::new("quota limit", limit, "is above 9223372036854775807"));
        }
        Ok(Self { limit, calendar: Calendar { period, offset: 0, zone: TimeZone::UTC } })
    }

    /// The day on which periods start: of a week 0 to 6, 0 being Sunday; of a month *n* is day *n* + 1, 0 to 27.
    ///
    /// AWS documents two meanings of `offset`; this is the one that its validation allows (CloudFormation,
    /// `AWS::ApiGateway::UsagePlan QuotaSettings`).
    ///
    /// # Errors
    ///
    /// An offset that the period does not have; a day has none but 0.
    pub fn offset(mut self, offset: u32) -> Result<Self, ConfigError> {
        let greatest = self.calendar.period.greatest_offset();
        if offset > greatest {
            let problem = format!("must be from 0 to {greatest} in the {} period", self.period().as_str());
            return Err(ConfigError::new("quota offset", offset, problem));
        }
        self.calendar.offset = offset;
        Ok(self)
    }

    /// The time zone whose midnights count, by its IANA name. Default: UTC, as on AWS.
    ///
    /// Zones come from the machine's `/usr/share/zoneinfo`, or from the binary with the feature `tz-bundle`.
    ///
    /// # Errors
    ///
    /// No such zone.
    pub fn time_zone(mut self, name: &str) -> Result<Self, ConfigError> {
        let found = TimeZone::get(name);
        self.calendar.zone = found.map_err(|_| ConfigError::new("quota time zone", name, "is not known"))?;
        Ok(self)
    }

    /// Requests per period.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The kind of period.
    pub fn period(&self) -> QuotaPeriod {
        self.calendar.period
    }

    #[cfg(any(feature = "redb", feature = "redis"))]
    pub(super) fn start_offset(&self) -> u32 {
        self.calendar.offset
    }

    /// Zones are always found by name.
    #[cfg(any(feature = "redb", feature = "redis"))]
    pub(super) fn zone_name(&self) -> &str {
        self.calendar.zone.iana_name().unwrap_or("UTC")
    }

    /// The period that contains an instant, given in seconds since 1970-01-01T00:00:00Z.
    pub fn window(&self, unix_seconds: i64) -> Window {
        let span = self.calendar.span(unix_seconds);
        Window { start_unix_seconds: span.window_start, end_unix_seconds: span.window_end }
    }

    pub(super) fn calendar(&self) -> &Calendar {
        &self.calendar
    }
}

/// How days and periods follow each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Calendar {
    period: QuotaPeriod,
    offset: u32,
    zone: TimeZone,
}

/// The day and the period of an instant. Days are counted from 1970-01-01; a period is named by its first day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) day_start: i64,
    pub(super) day_end: i64,
    pub(super) day: i32,
    pub(super) window_day: i32,
    /// First day of the next period.
    pub(super) next_window_day: i32,
    pub(super) window_start: i64,
    pub(super) window_end: i64,
}

impl Span {
    /// Everything in a span holds for a whole day.
    pub(super) fn holds_at(&self, unix: i64) -> bool {
        (self.day_start..self.day_end).contains(&unix)
    }
}

/// Calendar instants are kept within the years 1 to 9000, where all of the arithmetic below is defined.
const FIRST: i64 = -62_100_000_000;
const LAST: i64 = 221_800_000_000;
const EPOCH: Date = Date::constant(1970, 1, 1);

impl Calendar {
    /// Of plans without a quota: only days matter.
    pub(super) fn utc_days() -> Self {
        Self { period: QuotaPeriod::Day, offset: 0, zone: TimeZone::UTC }
    }

    pub(super) fn span(&self, unix: i64) -> Span {
        let unix = unix.clamp(FIRST, LAST);
        let date = self.date_at(unix);
        let first = self.first_of_period(date);
        let next = self.next_period(first);
        Span {
            day_start: self.start_of(date),
            day_end: self.start_of(tomorrow(date)),
            day: number_of(date),
            window_day: number_of(first),
            next_window_day: number_of(next),
            window_start: self.start_of(first),
            window_end: self.start_of(next),
        }
    }

    /// The span of a day by its number.
    pub(super) fn span_of_day(&self, day: i32) -> Span {
        self.span(self.start_of(date_of(day)))
    }

    /// The date at an instant. A clock that is set back across midnight shows yesterday again; days are told apart
    /// by their first instant, so that they do not overlap.
    fn date_at(&self, unix: i64) -> Date {
        let Ok(instant) = Timestamp::from_second(unix) else { return EPOCH };
        let shown = self.zone.to_datetime(instant).date();
        let next = tomorrow(shown);
        if unix >= self.start_of(next) { next } else { shown }
    }

    /// The first instant of a day; not always 00:00. A day that a zone skipped starts, empty, with the next.
    fn start_of(&self, date: Date) -> i64 {
        let noon_or_later = date.to_zoned_datetime(self.zone.clone());
        let start = noon_or_later.and_then(|zoned| zoned.start_of_day());
        start.map_or(0, |zoned| zoned.timestamp().as_second())
    }

    fn first_of_period(&self, date: Date) -> Date {
        let offset = self.offset as i64;
        match self.period {
            QuotaPeriod::Day => date,
            QuotaPeriod::Week => {
                let weekday = i64::from(date.weekday().to_sunday_zero_offset());
                date.checked_sub((weekday - offset).rem_euclid(7).days()).unwrap_or(date)
            }
            QuotaPeriod::Month => {
                let back = i64::from(i64::from(date.day()) <= offset);
                let month = date.first_of_month().checked_sub(back.months()).unwrap_or(date);
                month.checked_add(offset.days()).unwrap_or(date)
            }
        }
    }

    fn next_period(&self, first: Date) -> Date {
        let length = match self.period {
            QuotaPeriod::Day => 1.day(),
            QuotaPeriod::Week => 7.days(),
            QuotaPeriod::Month => 1.month(),
        };
        first.checked_add(length).unwrap_or(first)
    }
}

fn tomorrow(date: Date) -> Date {
    date.tomorrow().unwrap_or(date)
}

fn number_of(date: Date) -> i32 {
    (date.duration_since(EPOCH).as_hours() / 24) as i32
}

pub(super) fn date_of(day: i32) -> Date {
    EPOCH.checked_add(i64::from(day).days()).unwrap_or(EPOCH)
}

/// A day's number from `2026-11-22`.
pub(super) fn parse_day(location: &'static str, text: &str) -> Result<i32, ConfigError> {
    let digits = text.len() == 10 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-');
    let parsed = text.parse::<Date>().ok().filter(|_| digits);
    parsed.map(number_of).ok_or_else(|| ConfigError::new(location, text, "is not a date like 2026-11-22"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().unwrap().as_second()
    }

    fn window(quota: &Quota, now: &str) -> (String, String) {
        let window = quota.window(at(now));
        let text = |unix| Timestamp::from_second(unix).unwrap().to_string();
        (text(window.start_unix_seconds), text(window.end_unix_seconds))
    }

    fn quota(period: QuotaPeriod) -> Quota {
        Quota::new(1, period).unwrap()
    }

    fn pair(start: &str, end: &str) -> (String, String) {
        (start.to_owned(), end.to_owned())
    }

    #[test]
    fn months_end_where_the_calendar_says() {
        let month = quota(QuotaPeriod::Month);
        let february = pair("2024-02-01T00:00:00Z", "2024-03-01T00:00:00Z");
        assert_eq!(window(&month, "2024-02-01T00:00:00Z"), february);
        assert_eq!(window(&month, "2024-02-29T23:59:59Z"), february);
        assert_eq!(window(&month, "2024-03-01T00:00:00Z").0, "2024-03-01T00:00:00Z");
        assert_eq!(
            window(&month, "2026-12-31T23:59:59Z"),
            pair("2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z")
        );
    }

    #[test]
    fn offsets_are_start_days() {
        let month = quota(QuotaPeriod::Month).offset(27).unwrap();
        assert_eq!(
            window(&month, "2023-02-27T23:59:59Z"),
            pair("2023-01-28T00:00:00Z", "2023-02-28T00:00:00Z")
        );
        assert_eq!(
            window(&month, "2023-02-28T00:00:00Z"),
            pair("2023-02-28T00:00:00Z", "2023-03-28T00:00:00Z")
        );
        // 2026-11-22 is a Sunday.
        let week = quota(QuotaPeriod::Week);
        assert_eq!(
            window(&week, "2026-11-22T00:00:00Z"),
            pair("2026-11-22T00:00:00Z", "2026-11-29T00:00:00Z")
        );
        let monday = week.offset(1).unwrap();
        assert_eq!(
            window(&monday, "2026-11-22T23:59:59Z"),
            pair("2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z")
        );
    }

    #[test]
    fn offsets_outside_of_the_period_are_refused() {
        for (period, offset) in [(QuotaPeriod::Day, 1), (QuotaPeriod::Week, 7), (QuotaPeriod::Month, 28)] {
            let error = quota(period).offset(offset).unwrap_err();
            assert_eq!((error.location(), error.value()), ("quota offset", &*offset.to_string()));
        }
        assert!(quota(QuotaPeriod::Day).offset(0).is_ok());
        assert!(quota(QuotaPeriod::Day).time_zone("Mars/Olympus").is_err());
        assert!(Quota::new(u64::MAX, QuotaPeriod::Day).is_err());
    }

    #[test]
    fn days_have_23_to_25_hours_where_clocks_are_changed() {
        let hours = |zone: &str, now: &str| {
            let window = quota(QuotaPeriod::Day).time_zone(zone).unwrap().window(at(now));
            (window.end_unix_seconds - window.start_unix_seconds) as f64 / 3600.0
        };
        assert_eq!(hours("Europe/Berlin", "2026-03-29T12:00:00Z"), 23.0);
        assert_eq!(hours("Europe/Berlin", "2026-10-25T12:00:00Z"), 25.0);
        assert_eq!(hours("Europe/Berlin", "2026-11-22T12:00:00Z"), 24.0);
        // Midnight itself is skipped, or comes an hour late.
        assert_eq!(hours("America/Sao_Paulo", "2018-11-04T12:00:00Z"), 23.0);
        assert_eq!(hours("America/Sao_Paulo", "2018-02-17T12:00:00Z"), 25.0);
        assert_eq!(hours("Africa/Cairo", "2024-04-26T12:00:00Z"), 23.0);
        assert_eq!(hours("Australia/Lord_Howe", "2024-04-06T22:00:00Z"), 24.5);
        // Samoa had no 30th of December in 2011.
        assert_eq!(hours("Pacific/Apia", "2011-12-30T09:00:00Z"), 24.0);
        assert_eq!(hours("Pacific/Apia", "2011-12-30T11:00:00Z"), 24.0);
    }

    #[test]
    fn days_are_named_and_parsed() {
        assert_eq!(parse_day("date", "1970-01-02").unwrap(), 1);
        assert_eq!(date_of(20_779).to_string(), "2026-11-22");
        for nonsense in ["", "2026-13-01", "2026-02-30", "20261122", "+02026-01-1", "2026-11-22T00:00"] {
            assert_eq!(parse_day("date", nonsense).unwrap_err().value(), nonsense);
        }
    }

    #[test]
    fn no_instant_is_out_of_range() {
        for unix in [i64::MIN, FIRST, 0, LAST, i64::MAX] {
            let window = quota(QuotaPeriod::Month).window(unix);
            assert!(window.start_unix_seconds < window.end_unix_seconds, "{unix}");
        }
    }

    const ZONES: [&str; 10] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/Sao_Paulo",
        "Africa/Cairo",
        "America/St_Johns",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "America/Toronto",
        "Asia/Kathmandu",
    ];

    proptest! {
        /// Windows tile the time line: each instant is in exactly one, and one ends where the next begins.
        #[test]
        fn windows_tile_the_time_line(
            year in 1900_i64..2100,
            second in 0_i64..31_600_000,
            zone in 0..ZONES.len(),
            kind in 0..3_usize,
            offset in 0_u32..28,
        ) {
            let period = [QuotaPeriod::Day, QuotaPeriod::Week, QuotaPeriod::Month][kind];
            let quota = quota(period)
                .offset(offset % (period.greatest_offset() + 1)).unwrap()
                .time_zone(ZONES[zone]).unwrap();
            let now = (year - 1970) * 31_556_952 + second;
            let window = quota.window(now);
            prop_assert!(window.start_unix_seconds <= now && now < window.end_unix_seconds);
            prop_assert_eq!(quota.window(window.start_unix_seconds), window);
            prop_assert_eq!(quota.window(window.end_unix_seconds - 1), window);
            prop_assert_eq!(quota.window(window.end_unix_seconds).start_unix_seconds, window.end_unix_seconds);
            prop_assert_eq!(quota.window(window.start_unix_seconds - 1).end_unix_seconds, window.start_unix_seconds);
            let span = quota.calendar.span(now);
            prop_assert!(span.holds_at(now) && span.day_start >= window.start_unix_seconds && span.day_end <= window.end_unix_seconds);
            prop_assert_eq!(quota.calendar.span_of_day(span.day), span);
        }
    }
}
