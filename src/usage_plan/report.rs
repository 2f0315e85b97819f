//! Usage reports in the shape of AWS's GetUsage.

use super::{
    days::PastDay,
    directory::PlanState,
    plans::{UsagePlans, not_attached, subject_of_key},
    quota::Quota,
    store::StoredUsage,
};
use crate::{error::ConfigError, response::json_string};

/// Use of one day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DailyUsage {
    /// What was charged on the day.
    pub used: u64,
    /// What was left of the period's quota at the end of the day, or is left now; `None` without a quota.
    pub remaining: Option<u64>,
}

/// Use per key and calendar day, oldest day first (AWS: `GetUsage`). Days are days of the quota's time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsageReport {
    plan_id: String,
    start_date: String,
    end_date: String,
    range: (i32, i32),
    position: Option<String>,
    unknown: u64,
    items: Vec<(String, Vec<DailyUsage>)>,
}

impl UsageReport {
    pub(super) fn new(plan_id: &str, start: &str, end: &str) -> Result<Self, ConfigError> {
        let range = UsagePlans::parse_range(start, end)?;
        let (start_date, end_date) = (start.to_owned(), end.to_owned());
        Ok(Self {
            plan_id: plan_id.to_owned(),
            start_date,
            end_date,
            range,
            position: None,
            unknown: 0,
            items: Vec::new(),
        })
    }

    /// Keys with one entry per day of the range.
    pub fn items(&self) -> impl Iterator<Item = (&str, &[DailyUsage])> {
        self.items.iter().map(|(key, days)| (key.as_str(), days.as_slice()))
    }

    /// The days of one key.
    pub fn of(&self, key_id: &str) -> Option<&[DailyUsage]> {
        self.items.iter().find(|(key, _)| key == key_id).map(|(_, days)| days.as_slice())
    }

    /// Where the next page starts; `None` on the last.
    pub fn position(&self) -> Option<&str> {
        self.position.as_deref()
    }

    /// Of what processes have in hand, it is not known yet whether it is used. 0 in reports of one process.
    pub fn unknown(&self) -> u64 {
        self.unknown
    }

    pub(super) fn range(&self) -> (i32, i32) {
        self.range
    }

    /// The days of one key as a store knows them. What was left at the end of a day follows from what was used later,
    /// in the present period, and from what had been used by then in others.
    pub(super) fn with_stored(
        mut self,
        plan: &PlanState,
        key_id: &str,
        stored: &StoredUsage,
        unix: i64,
    ) -> Self {
        let present = plan.span(unix).window_day;
        let days = (self.range.0..=self.range.1).map(|day| {
            let used = used_in(stored, day..day + 1);
            let remaining = plan.quota().map(|quota| {
                let span = plan.calendar().span_of_day(day);
                let by_then = used_in(stored, span.window_day..day + 1);
                match stored.remaining.filter(|_| span.window_day == present) {
                    Some(left) => left.saturating_add(used_in(stored, day + 1..span.next_window_day)),
                    None => quota.limit().saturating_sub(by_then),
                }
            });
            DailyUsage { used, remaining }
        });
        self.items.push((key_id.to_owned(), days.collect()));
        self.unknown = stored.unknown;
        self
    }

    /// The document of GetUsage; the map is called `values` on the wire. A day is `[used, remaining]`, and `[used]`
    /// where the plan has no quota.
    pub fn to_json(&self) -> String {
        let field = |name: &str, text: &str| format!("\"{name}\":{}", json_string(text));
        let mut parts = vec![
            field("usagePlanId", &self.plan_id),
            field("startDate", &self.start_date),
            field("endDate", &self.end_date),
        ];
        parts.extend(self.position.iter().map(|position| field("position", position)));
        let values: Vec<_> = self
            .items
            .iter()
            .map(|(key, days)| format!("{}:{}", json_string(key), json_days(days)))
            .collect();
        parts.push(format!("\"values\":{{{}}}", values.join(",")));
        format!("{{{}}}", parts.join(","))
    }

    pub(super) fn with_key(
        mut self,
        plans: &UsagePlans,
        plan: &PlanState,
        key_id: &str,
    ) -> Result<Self, ConfigError> {
        let (subject, unix) = (subject_of_key(key_id), plans.now().unix_seconds());
        let days = {
            let shard = plans.table().lock(subject);
            let index = shard.find(subject, |slot| slot == plan.slot).ok_or_else(|| not_attached(key_id))?;
            shard.days(index, plan, unix)
        };
        let periods = Periods::new(plan, self.range);
        self.items.push((key_id.to_owned(), periods.daily(&days)));
        Ok(self)
    }

    /// All attached keys from a place (shard, entry) on, at most `limit`.
    pub(super) fn with_all(
        mut self,
        plans: &UsagePlans,
        plan: &PlanState,
        from: (usize, u32),
        limit: usize,
    ) -> Self {
        let (unix, periods) = (plans.now().unix_seconds(), Periods::new(plan, self.range));
        let (mut at, mut start) = from;
        while let Some(shard) = plans.table().shard(at) {
            // Requests of the shard wait for as long as it takes to copy, and no longer.
            let wanted = (limit - self.items.len()).saturating_add(1);
            let copied: Vec<_> = shard
                .attached(plan.slot, start)
                .take(wanted)
                .map(|(index, key_id)| (index, key_id.to_owned(), shard.days(index, plan, unix)))
                .collect();
            drop(shard);
            for (index, key_id, days) in copied {
                if self.items.len() == limit {
                    self.position = Some(format!("{at}.{index}"));
                    return self;
                }
                self.items.push((key_id, periods.daily(&days)));
            }
            (at, start) = (at + 1, 0);
        }
        self
    }

    pub(super) fn parse_position(text: &str) -> Result<(usize, u32), ConfigError> {
        let parsed =
            text.split_once('.').and_then(|(shard, index)| Some((shard.parse().ok()?, index.parse().ok()?)));
        parsed.ok_or_else(|| ConfigError::new("usage position", text, "is not a position of a report"))
    }
}

fn used_in(stored: &StoredUsage, days: std::ops::Range<i32>) -> u64 {
    let used = stored.days.iter().filter(|used| days.contains(&used.day)).map(|used| used.units);
    u64::try_from(used.sum::<i64>()).unwrap_or(0)
}

fn json_days(days: &[DailyUsage]) -> String {
    let pair = |day: &DailyUsage| match day.remaining {
        Some(remaining) => format!("[{},{remaining}]", day.used),
        None => format!("[{}]", day.used),
    };
    format!("[{}]", days.iter().map(pair).collect::<Vec<_>>().join(","))
}

/// The days of a range, each with the first day of its period: the calendar is asked once for each.
struct Periods {
    days: Vec<(i32, i32)>,
    limit: Option<u64>,
}

impl Periods {
    fn new(plan: &PlanState, (start, end): (i32, i32)) -> Self {
        let limit = plan.quota().map(Quota::limit);
        let first = |day| limit.map_or(day, |_| plan.calendar().span_of_day(day).window_day);
        Self { days: (start..=end).map(|day| (day, first(day))).collect(), limit }
    }

    /// One entry for each day of the range. A day without use has what the day before left, or a new period's limit.
    fn daily(&self, used: &[PastDay]) -> Vec<DailyUsage> {
        self.days.iter().map(|day| self.on_day(used, *day)).collect()
    }

    fn on_day(&self, used: &[PastDay], (day, first_of_period): (i32, i32)) -> DailyUsage {
        let until = used.partition_point(|past| past.day <= day);
        let last = used[..until].last();
        let left = last.filter(|last| last.day >= first_of_period).and_then(|last| last.left);
        let left = left.map(|left| u64::try_from(left).unwrap_or(0));
        DailyUsage {
            used: last.filter(|last| last.day == day).map_or(0, |last| last.used),
            remaining: self.limit.map(|limit| left.unwrap_or(limit)),
        }
    }
}
