//! A plan as a record for stores outside of the process.

use super::{
    plan::{MethodThrottle, ThrottleScope, UsagePlan},
    quota::{Quota, QuotaPeriod},
};
use crate::{
    codec::{Reader, Writer},
    error::ConfigError,
    store::FailurePolicy,
    throttle::Throttle,
};

/// Of the record's form. A reader knows no other.
const VERSION: u8 = 1;

impl UsagePlan {
    /// As a record for a store outside of the process.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION);
        writer.text(self.id());
        writer.option(self.display_name(), |writer, name| {
            writer.text(name);
        });
        writer.option(self.general_throttle(), write_throttle);
        writer.option(self.general_quota(), write_quota);
        writer.list(self.stages().iter(), |writer, stage| {
            writer.text(stage);
        });
        writer.list(self.methods().iter(), |writer, method| {
            write_throttle(writer.text(&method.stage).text(&method.key), method.throttle);
        });
        writer.flag(self.scope() == ThrottleScope::KeyAndMethod);
        writer.flag(self.throttle_is_shadow()).flag(self.quota_is_shadow());
        writer.option(self.failure_policy(), write_policy);
        writer.finish()
    }

    /// `None`: not such a record.
    ///
    /// # Errors
    ///
    /// The record is one, but the plan cannot be made here: a machine without the time zone.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Option<Self>, ConfigError> {
        let Some((plan, quota)) = read(bytes) else { return Ok(None) };
        let Some(quota) = quota else { return Ok(Some(plan)) };
        Ok(Some(plan.quota(quota.build()?)))
    }
}

pub(super) fn write_throttle(writer: &mut Writer, throttle: Throttle) {
    writer.u64(throttle.nano_rate()).u32(throttle.burst_limit());
}

fn write_policy(writer: &mut Writer, policy: FailurePolicy) {
    writer.u8(match policy {
        FailurePolicy::Allow => 0,
        FailurePolicy::Deny => 1,
        FailurePolicy::Degrade => 2,
    });
}

fn read_policy(reader: &mut Reader<'_>) -> Option<FailurePolicy> {
    match reader.u8()? {
        0 => Some(FailurePolicy::Allow),
        1 => Some(FailurePolicy::Deny),
        2 => Some(FailurePolicy::Degrade),
        _ => None,
    }
}

pub(super) fn read_throttle(reader: &mut Reader<'_>) -> Option<Throttle> {
    Throttle::from_nano_rate(reader.u64()?, reader.u32()?)
}

fn write_quota(writer: &mut Writer, quota: &Quota) {
    let period = match quota.period() {
        QuotaPeriod::Day => 0,
        QuotaPeriod::Week => 1,
        QuotaPeriod::Month => 2,
    };
    writer.u64(quota.limit()).u8(period).u32(quota.start_offset()).text(quota.zone_name());
}

/// A quota whose time zone is not looked up yet.
struct QuotaRecord<'a> {
    limit: u64,
    period: QuotaPeriod,
    offset: u32,
    zone: &'a str,
}

impl<'a> QuotaRecord<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let limit = reader.u64()?;
        let period = match reader.u8()? {
            0 => QuotaPeriod::Day,
            1 => QuotaPeriod::Week,
            2 => QuotaPeriod::Month,
            _ => return None,
        };
        Some(Self { limit, period, offset: reader.u32()?, zone: reader.text()? })
    }

    fn build(self) -> Result<Quota, ConfigError> {
        Quota::new(self.limit, self.period)?.offset(self.offset)?.time_zone(self.zone)
    }
}

fn read(bytes: &[u8]) -> Option<(UsagePlan, Option<QuotaRecord<'_>>)> {
    let mut reader = Reader::of_version(bytes, VERSION)?;
    let mut plan = UsagePlan::new(reader.text()?);
    if let Some(name) = reader.option(Reader::text)? {
        plan = plan.name(name);
    }
    if let Some(throttle) = reader.option(read_throttle)? {
        plan = plan.throttle(throttle);
    }
    let quota = reader.option(QuotaRecord::read)?;
    for stage in reader.list(Reader::text)? {
        plan = plan.stage(stage);
    }
    for method in reader.list(read_method)? {
        plan = plan.method_throttle(&method.stage, &method.key, method.throttle);
    }
    if reader.flag()? {
        plan = plan.throttle_scope(ThrottleScope::KeyAndMethod);
    }
    plan = plan.shadow_throttle(reader.flag()?).shadow_quota(reader.flag()?);
    if let Some(policy) = reader.option(read_policy)? {
        plan = plan.store_failure(policy);
    }
    reader.end()?;
    Some((plan, quota))
}

fn read_method(reader: &mut Reader<'_>) -> Option<MethodThrottle> {
    let (stage, key) = (reader.text()?.to_owned(), reader.text()?.to_owned());
    Some(MethodThrottle { stage, key, throttle: read_throttle(reader)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plan() -> UsagePlan {
        let throttle = Throttle::new(0.000_000_001, 3).unwrap();
        UsagePlan::new("gold")
            .name("Gold")
            .throttle(throttle)
            .quota(Quota::new(9, QuotaPeriod::Week).unwrap().offset(2).unwrap())
            .stage("prod")
            .stage("test")
            .method_throttle("prod", "pets/GET", Throttle::new(1e9, u32::MAX).unwrap())
            .throttle_scope(ThrottleScope::KeyAndMethod)
            .shadow_quota(true)
            .store_failure(FailurePolicy::Deny)
    }

    #[test]
    fn it_comes_back_whole() {
        let berlin = Quota::new(1, QuotaPeriod::Month).unwrap().time_zone("Europe/Berlin").unwrap();
        for plan in [plan(), UsagePlan::new("empty"), UsagePlan::new("b").quota(berlin)] {
            let bytes = plan.to_bytes();
            assert_eq!(UsagePlan::from_bytes(&bytes).unwrap(), Some(plan));
            for cut in 0..bytes.len() {
                assert_eq!(UsagePlan::from_bytes(&bytes[..cut]).unwrap(), None);
            }
        }
    }

    #[test]
    fn an_unknown_time_zone_is_named() {
        let bytes = plan().to_bytes();
        let at = bytes.windows(3).position(|window| window == b"UTC").unwrap();
        let other = [&bytes[..at], b"XYZ", &bytes[at + 3..]].concat();
        assert_eq!(UsagePlan::from_bytes(&other).unwrap_err().value(), "XYZ");
    }

    proptest! {
        #[test]
        fn changed_bytes_never_panic(at in 0_usize..120, byte: u8) {
            let mut bytes = plan().to_bytes();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _whatever = UsagePlan::from_bytes(&bytes);
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..90)) {
            let _whatever = UsagePlan::from_bytes(&bytes);
        }
    }
}
