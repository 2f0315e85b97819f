//! What a cache is set to.

use super::{
    Cache,
    aws::{AwsRules, InvalidationRequest},
    core::{Core, Limits, Parts},
    credentials::Credentials,
    memory::MemoryCacheStore,
    rfc::Rfc9111,
    rules::Rules,
    store::CacheStore,
    tier::{CacheTier, Tier},
};
use crate::{
    clock::Clock,
    error::ConfigError,
    route::{CacheKey, CacheSettings},
    store::StoreOptions,
};
use http::{HeaderName, StatusCode};
use std::{sync::Arc, time::Duration};

/// AWS's largest cacheable response.
const DEFAULT_ENTRY_LIMIT: usize = 1_048_576;
const DEFAULT_CAPACITY: u64 = 64 * 1024 * 1024;
/// What an entry of the largest body may weigh beside it: fields, key, tables.
const ENTRY_ALLOWANCE: u64 = 64 * 1024;
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
const DEFAULT_HIT_FOR_MISS: Duration = Duration::from_secs(120);

/// Builds a [`Cache`]; every step says its default.
#[derive(Debug)]
pub struct CacheBuilder {
    capacity: u64,
    aws: AwsRules,
    rules: Option<Box<dyn Rules>>,
    store: Option<Arc<dyn CacheStore>>,
    tier: Option<Arc<dyn CacheTier>>,
    tier_options: StoreOptions,
    clock: Clock,
    limits: Limits,
    settings: CacheSettings,
    ttl: Option<Duration>,
    key: CacheKey,
    credentials: Vec<HeaderName>,
    strips_tags: bool,
    #[cfg(feature = "cache-encryption")]
    keys: Option<super::seal::EncryptionKeys>,
}

impl Default for CacheBuilder {
    fn default() -> Self {
        Self {
            capacity: DEFAULT_CAPACITY,
            aws: AwsRules::default(),
            rules: None,
            store: None,
            tier: None,
            tier_options: StoreOptions::new(),
            clock: Clock::system(),
            limits: Limits {
                entry: DEFAULT_ENTRY_LIMIT,
                wait: DEFAULT_WAIT,
                lock_age: DEFAULT_WAIT,
                hit_for_miss: DEFAULT_HIT_FOR_MISS,
                coalesces: true,
                finish_abandoned: false,
            },
            settings: CacheSettings::new(),
            ttl: None,
            key: CacheKey::new(),
            credentials: Vec::new(),
            strips_tags: false,
            #[cfg(feature = "cache-encryption")]
            keys: None,
        }
    }
}

impl CacheBuilder {
    /// Memory for entries in bytes, with what each entry costs beside its body. Default: 64 MiB. At least twice the
    /// largest entry. Not used with a [`store`](Self::store) of your own.
    ///
    /// Bodies that are on their way and might be stored hold memory beside it: all together up to a quarter of the
    /// store's capacity, or two of the longest where that is more. Where they would be more, those that have stood still
    /// for longest, of the larger ones, are not stored, and not shared with newcomers; their readers get them all the
    /// same.
    #[must_use]
    pub fn capacity(mut self, bytes: u64) -> Self {
        self.capacity = bytes;
        self
    }

    /// Longest body that is stored, in bytes. A longer one passes untouched. Default: 1,048,576, AWS's limit. Answers of
    /// one URL for other values of the fields that `Vary` names share the room of two such; the oldest of them make room.
    #[must_use]
    pub fn entry_limit(mut self, bytes: usize) -> Self {
        self.limits.entry = bytes;
        self
    }

    /// How long an answer is used, where the method's own settings do not say. Default: 300 s; any value, AWS allows
    /// up to 3600 s. Zero switches caching off. Wins over that of [`settings`](Self::settings), in whatever order the two
    /// are set.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Settings of methods that have none of their own (`MethodSettings::caching` on a stage or in `Routes`). They
    /// hold for `GET` only. Default: [`CacheSettings::new`].
    #[must_use]
    pub fn settings(mut self, settings: CacheSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The key of methods that declare none (`ApiMethod::cache_key`). Default: host, path and whole query.
    #[must_use]
    pub fn key(mut self, key: CacheKey) -> Self {
        self.key = key;
        self
    }

    /// Which statuses are stored. Default: 200, 203, 204, 300, 301, 308, and every one with
    /// [`aws_exact`](Self::aws_exact), in whatever order the two are set. Parts (206) and answers to one client's
    /// range or condition (304, 412, 416) never are.
    #[must_use]
    pub fn statuses(mut self, is_stored: impl Fn(StatusCode) -> bool + Send + Sync + 'static) -> Self {
        self.aws.statuses = Some(Arc::new(is_stored));
        self
    }

    /// As AWS does it: errors of the service are stored for the full TTL, and the service's `Cache-Control`,
    /// `Set-Cookie` and `Vary` have no influence. Refusals of gateway layers are never stored. Default: no.
    ///
    /// Credentials are still kept apart; that is switched off for each method alone, by
    /// [`CacheKey::shared_between_callers`].
    #[must_use]
    pub fn aws_exact(mut self, exact: bool) -> Self {
        self.aws.heeds_service = !exact;
        self
    }

    /// Who may invalidate an entry by `Cache-Control: max-age=0`, where settings require authorization (AWS:
    /// `execute-api:InvalidateCache`). Default: nobody. The function should believe what outer layers established,
    /// such as the context's principal, and no header that a client could have set.
    #[must_use]
    pub fn may_invalidate(
        mut self,
        may: impl Fn(InvalidationRequest<'_>) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.aws.may_invalidate = Some(Arc::new(may));
        self
    }

    /// Lets callers invalidate whose policies allow `execute-api:InvalidateCache` on the ARN of the call, as on AWS:
    /// the policies that `sigv4` asks for `execute-api:Invoke`, in the same way. Give it the layer that stands outside,
    /// which must have verified the signature. A caller that it does not know, and every caller of a layer that
    /// [only authenticates](crate::sigv4::SigV4AuthLayer::authenticate_only), may not. In place of
    /// [`may_invalidate`](Self::may_invalidate).
    #[cfg(feature = "sigv4")]
    #[must_use]
    pub fn may_invalidate_by_policy(self, sigv4: &crate::sigv4::SigV4AuthLayer) -> Self {
        let sigv4 = sigv4.clone();
        self.may_invalidate(move |request| super::aws::is_permitted(&sigv4, &request))
    }

    /// A header field that is a credential, beside `Authorization`, `Proxy-Authorization`, `Cookie`, `x-api-key` and
    /// `x-amz-security-token`: requests that carry it are cached only where it is in the key, where it stands as a digest
    /// (in the RFC 9111 mode also where the answer says that it may be shared).
    #[must_use]
    pub fn credential(mut self, name: HeaderName) -> Self {
        self.credentials.push(name);
        self
    }

    /// Takes `Surrogate-Key` and `Cache-Tag` off every answer to a client. Default: no.
    #[must_use]
    pub fn strip_tags(mut self, strip: bool) -> Self {
        self.strips_tags = strip;
        self
    }

    /// Whether requests for one key that arrive together share one call to the service. Default: yes. AWS: no.
    #[must_use]
    pub fn coalesce(mut self, coalesce: bool) -> Self {
        self.limits.coalesces = coalesce;
        self
    }

    /// How long a request waits for the head of a call that another request began; then it makes its own, whose answer is
    /// not stored. A call that is older than that is not waited for by newcomers: the first of them makes a new one, and
    /// what the older one brings is stored if it comes first. Default: 5 s.
    ///
    /// Other times go by it. For half of it a request waits for a call of another process (see [`tier`](super::tier)),
    /// and for the rest for one of its own process. For a twentieth of it a request waits to learn that a body of unknown
    /// length is not too large to be shared. For twelve times as long, one reader of a body that is too large may hold up
    /// the others.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.limits.wait = timeout;
        self.limits.lock_age = timeout;
        self
    }

    /// How long it is remembered that an answer was not storable: so long, requests for that key do not wait for each
    /// other. A storable answer ends it. Default: 120 s.
    #[must_use]
    pub fn hit_for_miss(mut self, time: Duration) -> Self {
        self.limits.hit_for_miss = time;
        self
    }

    /// Whether a call is finished, and its answer stored, when every client that waited for it is gone. Needs a tokio
    /// runtime. Default: no, the call ends with the last client, as it would without a cache; where all
    /// bytes are there that were announced, only the body's end is waited for.
    #[must_use]
    pub fn finish_abandoned(mut self, finish: bool) -> Self {
        self.limits.finish_abandoned = finish;
        self
    }

    /// A store of your own. Default: a [`MemoryCacheStore`] of the given [`capacity`](Self::capacity).
    #[must_use]
    pub fn store(mut self, store: impl CacheStore) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// A second place for entries, behind the store, that several processes share; see [`tier`](super::tier). Only the
    /// first layer of this cache, and layers with a [`namespace`](super::CacheLayer::namespace), use it: so the processes
    /// must mean the same by that. Needs a tokio runtime where requests are served. Default: none.
    #[must_use]
    pub fn second_tier(mut self, tier: impl CacheTier) -> Self {
        self.tier = Some(Arc::new(tier));
        self
    }

    /// How long a request waits for the second tier to answer before it goes on without, and after how many failures it
    /// is left alone for a while. Its failure policy means nothing here. Default: [`StoreOptions::new`], 20 ms and 5.
    #[must_use]
    pub fn tier_options(mut self, options: StoreOptions) -> Self {
        self.tier_options = options;
        self
    }

    /// The clock of TTLs and waits. Default: the system's, whose timers need a tokio runtime with time enabled.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// The keys for methods whose settings ask for encryption. Keep a clone to rotate them.
    #[cfg(feature = "cache-encryption")]
    #[must_use]
    pub fn encryption(mut self, keys: super::seal::EncryptionKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// The rules of RFC 9111 in place of AWS's: the service's and the client's words count, and no TTL; see
    /// [`rfc`](super::rfc). [`aws_exact`](Self::aws_exact), [`statuses`](Self::statuses) and
    /// [`may_invalidate`](Self::may_invalidate) have no meaning there, and are an error beside it: whether a client may ask
    /// for a fresh answer is said by [`Rfc9111::honor_request_directives`].
    #[must_use]
    pub fn rfc9111(mut self, rules: Rfc9111) -> Self {
        self.rules = Some(Box::new(rules));
        self
    }

    /// Makes the cache.
    ///
    /// # Errors
    ///
    /// A capacity of less than twice the largest entry; settings that ask for encryption without keys; a step of AWS mode
    /// beside [`rfc9111`](Self::rfc9111). (Settings of a stage:
    /// a `BuildError` of the gateway; where they come later, their methods are not cached, for the reason
    /// [`NotEncrypted`](super::NoCacheReason::NotEncrypted).)
    pub fn build(self) -> Result<Cache, ConfigError> {
        self.check_encryption()?;
        self.check_mode()?;
        let store = match self.store {
            Some(store) => store,
            None => {
                let largest = (self.limits.entry as u64).saturating_add(ENTRY_ALLOWANCE);
                Arc::new(MemoryCacheStore::new(self.capacity, largest)?)
            }
        };
        let rules = self.rules.unwrap_or_else(|| Box::new(self.aws));
        Ok(Cache::new(Core::new(Parts {
            credentials: Credentials::new(self.credentials, !rules.heeds_cookies()),
            rules,
            store,
            tier: self.tier.map(|tier| Tier::new(tier, self.tier_options, self.clock.clone())),
            clock: self.clock,
            limits: self.limits,
            settings: CacheSettings { ttl: self.ttl.unwrap_or(self.settings.ttl), ..self.settings },
            key: self.key,
            strips_tags: self.strips_tags,
            #[cfg(feature = "cache-encryption")]
            keys: self.keys,
        })))
    }

    /// Who says who may invalidate must not believe that it holds where nobody asks.
    fn check_mode(&self) -> Result<(), ConfigError> {
        let AwsRules { statuses, heeds_service, may_invalidate } = &self.aws;
        let steps = [
            ("aws_exact", !heeds_service),
            ("statuses", statuses.is_some()),
            ("may_invalidate", may_invalidate.is_some()),
        ];
        match steps.iter().find(|(_, is_set)| self.rules.is_some() && *is_set) {
            Some((step, _)) => {
                Err(ConfigError::new("cache rules", *step, "means nothing beside the rules of RFC 9111"))
            }
            None => Ok(()),
        }
    }

    fn check_encryption(&self) -> Result<(), ConfigError> {
        #[cfg(feature = "cache-encryption")]
        let has_keys = self.keys.is_some();
        #[cfg(not(feature = "cache-encryption"))]
        let has_keys = false;
        if self.settings.data_encrypted && !has_keys {
            return Err(ConfigError::new(
                "cache settings",
                "data_encrypted",
                "there are no keys to encrypt with",
            ));
        }
        Ok(())
    }
}
