//! The throttle that all requests of all stages share.

#[cfg(feature = "redb")]
use super::image::{read_throttle, write_throttle};
use super::{observer::PlanChange, plans::UsagePlans};
#[cfg(feature = "redb")]
use crate::codec::{Reader, Writer};
use crate::{
    error::ConfigError,
    throttle::{SharedBucket, Throttle},
};

/// Of the record's form. A reader knows no other.
#[cfg(feature = "redb")]
const VERSION: u8 = 1;

/// Its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AccountThrottle {
    pub(crate) throttle: Throttle,
    /// It only counts what it would have refused.
    pub(crate) shadow: bool,
}

impl UsagePlans {
    /// Sets the throttle that all requests of all stages share; `None` removes it, with its state and
    /// its shadow mode; what is set after that is a new one. What was spent outlives any other edit.
    ///
    /// # Errors
    ///
    /// A file that keeps the plans could not be written.
    pub fn account_throttle(&self, throttle: Option<Throttle>) -> Result<(), ConfigError> {
        self.edit_account(|old| {
            let shadow = old.is_some_and(|old| old.shadow);
            throttle.map(|throttle| AccountThrottle { throttle, shadow })
        })
    }

    /// Lets the account's throttle only count what it would have refused, or refuse again. Nothing where there is none.
    ///
    /// # Errors
    ///
    /// As [`account_throttle`](Self::account_throttle).
    pub fn shadow_account_throttle(&self, shadow: bool) -> Result<(), ConfigError> {
        self.edit_account(|old| old.map(|old| AccountThrottle { shadow, ..old }))
    }

    fn edit_account(
        &self,
        edit: impl FnOnce(Option<AccountThrottle>) -> Option<AccountThrottle>,
    ) -> Result<(), ConfigError> {
        let observers = self.edit();
        let account = edit(self.account());
        observers.tell(&PlanChange::Account(account))?;
        self.set_account(account);
        Ok(())
    }

    pub(crate) fn account(&self) -> Option<AccountThrottle> {
        let directory = self.directory();
        directory.account.as_ref().map(|SharedBucket { throttle, shadow, .. }| AccountThrottle {
            throttle: *throttle,
            shadow: *shadow,
        })
    }

    pub(super) fn set_account(&self, account: Option<AccountThrottle>) {
        let now = self.now();
        self.publish(|directory| {
            directory.account = account.map(|AccountThrottle { throttle, shadow }| {
                let old = directory.account.take().unwrap_or_else(|| SharedBucket::new(throttle));
                SharedBucket { shadow, ..old.edited(throttle, now) }
            });
        });
    }

    /// How often the account's throttle would have refused in shadow mode.
    pub fn account_shadow_count(&self) -> u64 {
        self.directory().account.as_ref().map_or(0, |account| account.slot.shadowed())
    }
}

#[cfg(feature = "redb")]
impl AccountThrottle {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut writer = Writer::new(VERSION);
        write_throttle(&mut writer, self.throttle);
        writer.flag(self.shadow).finish()
    }

    /// `None`: not such a record.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::of_version(bytes, VERSION)?;
        let account = Self { throttle: read_throttle(&mut reader)?, shadow: reader.flag()? };
        reader.end().map(|()| account)
    }
}
