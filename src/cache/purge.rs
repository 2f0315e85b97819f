//! Taking entries out: one, those of a method, those of a stage, those with a tag.

use super::{
    codec,
    core::Core,
    credentials::Credentials,
    flight::Flight,
    key::{
        KeyReader, StoreKey, caller_part, header_part, host_part, path_part, query_part, tag,
        whole_query_part,
    },
    store::StoredValue,
};
use crate::{
    clock::Timestamp,
    store::{Acknowledgement, StoreError},
};
use bytes::{Buf, BufMut, Bytes};
use http::{HeaderName, HeaderValue, Method};
use std::{sync::Arc, time::Duration};

/// The form in which purges travel.
const PURGE_VERSION: u8 = 2;

/// Which entries are to go; every step narrows it. What is on its way from the service when a purge comes is not
/// stored either.
///
/// A purge looks at every entry: some milliseconds for 100,000 of them, a shard at a time.
///
/// ```
/// use http::{HeaderName, HeaderValue, Method};
/// use tower_gateway::cache::{Cache, Purge};
///
/// let cache = Cache::builder().build()?;
/// cache.purge(&Purge::all().stage("prod"));
/// cache.purge(&Purge::all().stage("prod").resource("/pets/{id}").method(&Method::GET));
/// cache.purge(&Purge::all().path("/pets/7"));
/// cache.purge(&Purge::all().resource("/pets/{id}").path_parameter("id", "7"));
/// cache.purge(&Purge::all().principal("ada"));
/// cache.purge(&Purge::all().tag("pet-7").softly());
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Purge {
    stage: Option<Vec<u8>>,
    resource: Option<Vec<u8>>,
    method: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    /// Encodings of which the key must have each.
    parameters: Vec<Vec<u8>>,
    headers: Vec<Field>,
    tag: Option<Box<str>>,
    /// The one under this key.
    key: Option<Box<[u8]>>,
    softly: bool,
}

/// A declared header field with its value. Whether it stands in a key as it is or in digest is known to that key alone: an
/// authorizer may have gone by it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Field {
    /// `None`: it is a credential wherever it stands.
    clear: Option<Vec<u8>>,
    digest: Vec<u8>,
    /// Of this field.
    name: Option<HeaderName>,
}

impl Field {
    fn is_in(&self, tail: KeyReader<'_>) -> bool {
        tail.contains(&self.digest) || self.clear.as_ref().is_some_and(|clear| tail.contains(clear))
    }
}

impl Purge {
    /// Everything.
    pub fn all() -> Self {
        Self::default()
    }

    /// Entries of a stage.
    #[must_use]
    pub fn stage(mut self, name: &str) -> Self {
        self.stage = Some(name.into());
        self
    }

    /// Entries of a resource, by its template (`/pets/{id}`), or of a `cacheNamespace`.
    #[must_use]
    pub fn resource(mut self, path: &str) -> Self {
        self.resource = Some(path.into());
        self
    }

    /// Entries of a method.
    #[must_use]
    pub fn method(mut self, method: &Method) -> Self {
        self.method = Some(method.as_str().into());
        self
    }

    /// Entries of a path, as the service sees it (without stage and base path). Entries whose key has declared
    /// parameters only have no path.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Entries of exactly this query; `None`: of no query. For keys with the whole query.
    #[must_use]
    pub fn query(mut self, query: Option<&str>) -> Self {
        self.parameters.push(whole_query_part(query));
        self
    }

    /// Entries whose declared query parameter has exactly this value, as received.
    #[must_use]
    pub fn query_parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push(query_part(name, value));
        self
    }

    /// Entries whose declared path variable ([`CacheKey::path`](crate::route::CacheKey::path)) has exactly this value, as
    /// received: one pet of `/pets/{id}` where the key is its `id` alone, and has no [`path`](Self::path).
    #[must_use]
    pub fn path_parameter(mut self, name: &str, value: &str) -> Self {
        self.parameters.push(path_part(name, value));
        self
    }

    /// Entries whose declared header field ([`CacheKey::header`](crate::route::CacheKey::header)) has exactly this one
    /// value: also a credential, by its text. To other processes the text travels in digest, and beside it as it is
    /// unless the field is one of the usual credentials or [named](super::CacheBuilder::credential) as one.
    #[must_use]
    pub fn header(mut self, name: &HeaderName, value: &HeaderValue) -> Self {
        let [clear, digest] = [false, true].map(|is_secret| header_part(name, value, is_secret));
        self.headers.push(Field { clear: Some(clear), digest, name: Some(name.clone()) });
        self
    }

    /// Entries of a host, in any case, with its port unless that is the default of the URI's scheme. For keys with a path.
    #[must_use]
    pub fn host(mut self, host: &str) -> Self {
        self.parameters.push(host_part(host));
        self
    }

    /// Entries of one caller, by the id of its principal.
    #[must_use]
    pub fn principal(mut self, id: &str) -> Self {
        self.parameters.push(caller_part(tag::PRINCIPAL, id));
        self
    }

    /// Entries of one verified API key, by its id.
    #[must_use]
    pub fn api_key(mut self, id: &str) -> Self {
        self.parameters.push(caller_part(tag::API_KEY, id));
        self
    }

    /// Entries whose answer had the tag in `Surrogate-Key` or `Cache-Tag`.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Entries become stale at this moment and are not dropped: the RFC 9111 mode may confirm them, or serve them while
    /// the service fails, for as long as it would after they had expired. A process that takes such an entry out of a
    /// second tier later does not know when the purge was, and counts from when the answer was asked for. In AWS mode a
    /// stale entry is never served.
    #[must_use]
    pub fn softly(mut self) -> Self {
        self.softly = true;
        self
    }

    /// What is under one key.
    pub(super) fn exactly(key: &[u8]) -> Self {
        Self { key: Some(key.into()), ..Self::default() }
    }

    /// The same for a cache whose keys have its credentials in digest only.
    fn hiding(&self, credentials: &Credentials) -> Self {
        let mut hidden = self.clone();
        for field in &mut hidden.headers {
            let is_credential = field.name.take().is_some_and(|name| credentials.has(&name));
            field.clear = field.clear.take().filter(|_| !is_credential);
        }
        hidden
    }

    pub(super) fn is_soft(&self) -> bool {
        self.softly
    }

    pub(super) fn means_key(&self, key: &[u8]) -> bool {
        if self.key.as_deref().is_some_and(|own| own != key) {
            return false;
        }
        let Some((head, tail)) = KeyReader::head(key) else { return false };
        let is = |wanted: &Option<Vec<u8>>, own: &[u8]| wanted.as_ref().is_none_or(|wanted| wanted == own);
        is(&self.stage, head.stage)
            && is(&self.resource, head.namespace)
            && is(&self.method, head.method)
            && is(&self.path, head.path)
            && self.parameters.iter().all(|parameter| tail.contains(parameter))
            && self.headers.iter().all(|field| field.is_in(tail))
    }

    pub(super) fn means(&self, key: &[u8], value: &StoredValue) -> bool {
        let has_tag =
            |tag: &str| value.0.entries().iter().any(|entry| entry.meta.tags.iter().any(|own| **own == *tag));
        self.means_key(key) && self.tag.as_deref().is_none_or(has_tag)
    }

    /// Whether a value that is meant stays, as what it becomes here. `None`: it is not meant.
    fn applied(&self, key: &[u8], value: &StoredValue, now: Timestamp) -> Option<bool> {
        if !self.means(key, value) {
            return None;
        }
        if self.softly {
            value.0.entries().iter().for_each(|entry| entry.meta.purge_softly(now, Duration::ZERO));
        }
        Some(self.softly)
    }

    /// How many bytes it says what is to go with.
    pub(super) fn size(&self) -> usize {
        let parts = [&self.stage, &self.resource, &self.method, &self.path];
        let texts = [self.tag.as_deref().map(str::as_bytes), self.key.as_deref()];
        let parts = parts.into_iter().map(Option::as_deref).chain(texts).flatten();
        let fields = self.headers.iter().flat_map(|field| field.clear.iter().chain([&field.digest]));
        parts.chain(self.parameters.iter().chain(fields).map(Vec::as_slice)).map(<[u8]>::len).sum()
    }

    /// For other processes.
    pub(super) fn to_bytes(&self) -> Bytes {
        let mut out = vec![PURGE_VERSION, u8::from(self.softly)];
        let tag = self.tag.as_deref().map(str::as_bytes);
        let parts = [&self.stage, &self.resource, &self.method, &self.path].map(|part| part.as_deref());
        for part in parts.into_iter().chain([tag, self.key.as_deref()]) {
            out.put_u8(u8::from(part.is_some()));
            part.into_iter().for_each(|part| codec::put_text(&mut out, part));
        }
        out.put_u32(self.headers.len() as u32);
        for Field { clear, digest, .. } in &self.headers {
            codec::put_text(&mut out, clear.as_deref().unwrap_or_default());
            codec::put_text(&mut out, digest);
        }
        self.parameters.iter().for_each(|parameter| codec::put_text(&mut out, parameter));
        out.into()
    }

    /// `None`: of another version, or nonsense.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut bytes = Bytes::copy_from_slice(bytes);
        if bytes.try_get_u8().ok()? != PURGE_VERSION {
            return None;
        }
        let softly = codec::take_bool(&mut bytes)?;
        let mut part = || match codec::take_bool(&mut bytes)? {
            true => Some(Some(codec::take_text(&mut bytes)?.to_vec())),
            false => Some(None),
        };
        let [stage, resource, method, path, tag, key] =
            [part()?, part()?, part()?, part()?, part()?, part()?];
        let tag = tag.map(String::from_utf8).transpose().ok()?.map(String::into_boxed_str);
        let key = key.map(Vec::into_boxed_slice);
        let headers =
            (0..bytes.try_get_u32().ok()?).map(|_| take_field(&mut bytes)).collect::<Option<_>>()?;
        let mut parameters = Vec::new();
        while !bytes.is_empty() {
            parameters.push(codec::take_text(&mut bytes)?.to_vec());
        }
        Some(Self { stage, resource, method, path, parameters, headers, tag, key, softly })
    }

    fn means_flight(&self, flight: &Flight) -> bool {
        self.means_key(flight.key().primary.borrowed().bytes())
            && self.tag.as_deref().is_none_or(|tag| flight.has_tag(tag))
    }
}

fn take_field(bytes: &mut Bytes) -> Option<Field> {
    // No encoding of a field is empty.
    let clear = Some(codec::take_text(bytes)?.to_vec()).filter(|clear| !clear.is_empty());
    Some(Field { clear, digest: codec::take_text(bytes)?.to_vec(), name: None })
}

impl Core {
    /// First what is on its way, then what is stored: an answer that lands in between is stored before this looks, or not
    /// at all.
    pub(super) fn purge(&self, purge: &Purge) -> u64 {
        self.purge_flights(purge);
        let (mut purged, now) = (0, self.clock.now());
        self.store.retain(&mut |key, value| {
            let Some(stays) = purge.applied(key, value, now) else { return true };
            purged += value.0.entries().len() as u64;
            stays
        });
        purged
    }

    fn purge_flights(&self, purge: &Purge) {
        self.count_purge();
        for flight in self.flights.all().iter().filter(|flight| purge.means_flight(flight)) {
            self.overtake(flight);
        }
        self.let_updates_pass();
    }

    /// Its answer is not stored, and nobody else waits for it.
    fn overtake(&self, flight: &Arc<Flight>) {
        flight.supersede();
        self.flights.remove(flight);
    }

    /// Here, and behind the caller's back everywhere else.
    pub(super) fn purge_and_tell(&self, purge: &Purge) -> u64 {
        let purge = &purge.hiding(&self.credentials);
        if let Some(tier) = &self.tier {
            tier.tell(purge);
        }
        self.purge(purge)
    }

    /// The same for a request, which waits for no disk.
    pub(super) fn purge_behind(&self, purge: &Purge) {
        let purge = purge.hiding(&self.credentials);
        if let Some(tier) = &self.tier {
            tier.tell(&purge);
        }
        self.purge_heard(purge);
    }

    /// One that another process has told: whoever hears for it waits for no disk either.
    pub(super) fn purge_heard(&self, purge: Purge) {
        self.purge_flights(&purge);
        let now = self.clock.now();
        self.store.retain_behind(Arc::new(move |key, value| purge.applied(key, value, now).unwrap_or(true)));
    }

    /// Here, and then everywhere else.
    pub(super) async fn purge_everywhere(
        &self,
        purge: &Purge,
        within: Duration,
    ) -> Result<Acknowledgement, StoreError> {
        let (begun, purge) = (self.clock.now(), &purge.hiding(&self.credentials));
        let told = self.tier.as_ref().map(|tier| (tier, tier.tell(purge)));
        self.purge(purge);
        let Some((tier, step)) = told else { return Ok(Acknowledgement::alone()) };
        let number = tier.numbered(step, within).await?;
        tier.acknowledged(number, within.saturating_sub(self.clock.now().since(begun))).await
    }

    /// What is under one key, here and behind the caller's back everywhere else.
    pub(super) fn invalidate_key(&self, key: StoreKey<'_>) {
        if let Some(tier) = &self.tier {
            tier.tell(&Purge::exactly(key.bytes()));
        }
        self.forget_key(key);
    }

    /// What is under one key, here.
    pub(super) fn forget_key(&self, key: StoreKey<'_>) {
        self.count_purge_of(key);
        for flight in
            self.flights.all().iter().filter(|flight| flight.key().primary.borrowed().bytes() == key.bytes())
        {
            self.overtake(flight);
        }
        let _guard = self.update(key);
        self.store.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn field(clear: Option<&str>) -> Field {
        let clear = clear.map(|text| format!("h{text}").into_bytes());
        Field { clear, digest: b"d".to_vec(), name: None }
    }

    proptest! {
        #[test]
        fn a_purge_travels_whole(
            texts in proptest::collection::vec(proptest::option::of("[a-z/]{0,4}"), 6),
            softly: bool,
            bytes in proptest::collection::vec(any::<u8>(), 0..60),
        ) {
            let part = |index: usize| texts[index].clone().map(String::into_bytes);
            let purge = Purge {
                stage: part(0),
                resource: part(1),
                method: part(2),
                path: part(3),
                parameters: texts.iter().flatten().map(|text| query_part("p", text)).collect(),
                headers: texts.iter().map(|text| field(text.as_deref())).collect(),
                tag: texts[4].as_deref().map(Box::from),
                key: part(5).map(Vec::into_boxed_slice),
                softly,
            };
            let text = purge.to_bytes();
            let read = Purge::from_bytes(&text).unwrap();
            prop_assert_eq!(format!("{read:?}"), format!("{purge:?}"));
            let _garbage = Purge::from_bytes(&bytes);
            for cut in 0..text.len() {
                let _part = Purge::from_bytes(&text[..cut]);
            }
        }
    }
}
