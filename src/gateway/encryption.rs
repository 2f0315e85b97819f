//! Cached values that are to be encrypted and cannot be: what is asked is known only where stages and cache meet.

use super::{BuildError, Phases, builder::conflict};
use crate::route::MethodSettings;

impl Phases {
    /// For a cache without keys: no stage asks for encryption.
    pub(super) fn check_encryption(&self) -> Result<(), BuildError> {
        let names = self.stages.stage_names().into_iter();
        let mut stages = names.filter_map(|name| Some((self.stages.stage(&name)?, name)));
        match stages.find_map(|(stage, name)| {
            Some((stage.all_settings().find(|(_, own)| asks(own))?.0.to_owned(), name))
        }) {
            Some((method, stage)) => conflict(
                format!("`data_encrypted` of `{method}` on stage `{stage}`"),
                "cache",
                "the cache has no keys to encrypt with, and would store nothing",
            ),
            None => Ok(()),
        }
    }
}

fn asks(settings: &MethodSettings) -> bool {
    settings.caching.is_some_and(|caching| caching.enabled && caching.data_encrypted)
}
