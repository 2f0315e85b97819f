//! What `Cache-Control` says, on a request and on an answer (RFC 9111 section 5.2, RFC 5861, RFC 8246).

use super::lexer::{Directive, Directives, Value, delta_seconds, is_space};
use http::{
    HeaderMap, HeaderName,
    header::{CACHE_CONTROL, PRAGMA},
};

/// The directives of a request. Durations are seconds.
///
/// A directive that is repeated counts as first written. `max-age` with an invalid value is `max-age=0`: the client
/// wanted something young. An invalid `min-fresh`, `max-stale` or `stale-if-error` is as good as absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestControl {
    /// `no-store`: neither the request nor its answer may be kept.
    pub no_store: bool,
    /// `no-cache`, or `Pragma: no-cache` where the request has no `Cache-Control`: ask the service first.
    pub no_cache: bool,
    /// `only-if-cached`: a stored answer or a 504.
    pub only_if_cached: bool,
    /// `max-age`: how old an answer may be.
    pub max_age: Option<u32>,
    /// `min-fresh`: for how long an answer must stay fresh.
    pub min_fresh: Option<u32>,
    /// `max-stale`: how far past its lifetime an answer may be; without a value, however far.
    pub max_stale: Option<u32>,
    /// `stale-if-error`: how far past its lifetime an answer may be where the service fails.
    pub stale_if_error: Option<u32>,
}

impl RequestControl {
    /// Reads the request's fields. Allocates nothing.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            Directives::new(line.as_bytes()).for_each(|directive| control.read(&directive));
        }
        if !headers.contains_key(CACHE_CONTROL) {
            control.no_cache = headers.get_all(PRAGMA).iter().any(|line| {
                Directives::new(line.as_bytes()).any(|pragma| pragma.name.eq_ignore_ascii_case(b"no-cache"))
            });
        }
        control
    }

    fn read(&mut self, directive: &Directive<'_>) {
        let is = |name: &[u8]| directive.name.eq_ignore_ascii_case(name);
        if is(b"no-store") {
            self.no_store = true;
        } else if is(b"no-cache") {
            self.no_cache = true;
        } else if is(b"only-if-cached") {
            self.only_if_cached = true;
        } else if is(b"max-age") {
            self.max_age = self.max_age.or(Some(seconds(directive.value).unwrap_or(0)));
        } else if is(b"min-fresh") {
            self.min_fresh = self.min_fresh.or(seconds(directive.value));
        } else if is(b"max-stale") {
            let any = (directive.value == Value::None).then_some(u32::MAX);
            self.max_stale = self.max_stale.or(any).or(seconds(directive.value));
        } else if is(b"stale-if-error") {
            self.stale_if_error = self.stale_if_error.or(seconds(directive.value));
        }
    }
}

/// A directive that may name fields instead of meaning the whole answer: `private`, `no-cache`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Qualified {
    /// Not said.
    #[default]
    Absent,
    /// Said of these fields only.
    Fields(Vec<HeaderName>),
    /// Said of the whole answer. A list of fields that cannot be read, or is empty, counts as this.
    Whole,
}

impl Qualified {
    /// The fields it names.
    pub fn fields(&self) -> &[HeaderName] {
        if let Self::Fields(names) = self { names } else { &[] }
    }

    pub(super) fn add(&mut self, value: Value<'_>) {
        let names = if let Value::Text(list) = value { field_names(list) } else { None };
        match (std::mem::take(self), names) {
            (Self::Whole, _) | (_, None) => *self = Self::Whole,
            (Self::Absent, Some(names)) => *self = Self::Fields(names),
            (Self::Fields(mut known), Some(names)) => {
                known.extend(names);
                *self = Self::Fields(known);
            }
        }
    }
}

fn field_names(list: &[u8]) -> Option<Vec<HeaderName>> {
    let items = list.split(|byte| *byte == b',').map(trim).filter(|item| !item.is_empty());
    let names = items.map(|item| HeaderName::from_bytes(item).ok()).collect::<Option<Vec<_>>>()?;
    (!names.is_empty()).then_some(names)
}

pub(in crate::cache) fn trim(mut text: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = text
        && is_space(*first)
    {
        text = rest;
    }
    while let [rest @ .., last] = text
        && is_space(*last)
    {
        text = rest;
    }
    text
}

/// The directives of an answer. Durations are seconds.
///
/// A directive that is repeated counts as first written (RFC 9111 section 4.2.1). A duration with an invalid value
/// is zero, so that the answer counts as stale. Unknown directives are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ResponseControl {
    /// `no-store`.
    pub no_store: bool,
    /// `no-cache`: the stored answer may be used only after the service has been asked.
    pub no_cache: Qualified,
    /// `private`: not for a shared cache.
    pub private: Qualified,
    /// `public`.
    pub public: bool,
    /// `must-revalidate`: never to be used stale.
    pub must_revalidate: bool,
    /// `proxy-revalidate`: the same, for shared caches.
    pub proxy_revalidate: bool,
    /// `must-understand`: keep it only where its status is understood; overrides `no-store` there.
    pub must_understand: bool,
    /// `immutable`: does not change while fresh.
    pub immutable: bool,
    /// `max-age`.
    pub max_age: Option<u32>,
    /// `s-maxage`: `max-age` for shared caches.
    pub s_maxage: Option<u32>,
    /// `stale-while-revalidate`.
    pub stale_while_revalidate: Option<u32>,
    /// `stale-if-error`.
    pub stale_if_error: Option<u32>,
    /// A quoted string had no end: what it swallowed is unknown, so nothing may be kept.
    pub malformed: bool,
}

impl ResponseControl {
    /// Reads the lines of `Cache-Control`.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut control = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            Directives::new(line.as_bytes()).for_each(|directive| control.read(&directive));
        }
        control
    }

    /// Whether it may never be used stale by a shared cache (RFC 9111 section 4.2.4).
    pub fn forbids_stale(&self) -> bool {
        self.must_revalidate || self.proxy_revalidate || self.s_maxage.is_some()
    }

    pub(super) fn read(&mut self, directive: &Directive<'_>) {
        self.malformed |= directive.value == Value::Unterminated;
        match self.duration(directive.name) {
            Some(duration) => *duration = duration.or(Some(seconds(directive.value).unwrap_or(0))),
            None => self.switch(directive),
        }
    }

    pub(super) fn duration(&mut self, name: &[u8]) -> Option<&mut Option<u32>> {
        let is = |wanted: &[u8]| name.eq_ignore_ascii_case(wanted);
        if is(b"max-age") {
            Some(&mut self.max_age)
        } else if is(b"s-maxage") {
            Some(&mut self.s_maxage)
        } else if is(b"stale-while-revalidate") {
            Some(&mut self.stale_while_revalidate)
        } else if is(b"stale-if-error") {
            Some(&mut self.stale_if_error)
        } else {
            None
        }
    }

    pub(super) fn switch(&mut self, directive: &Directive<'_>) {
        let is = |wanted: &[u8]| directive.name.eq_ignore_ascii_case(wanted);
        if is(b"no-cache") {
            self.no_cache.add(directive.value);
        } else if is(b"private") {
            self.private.add(directive.value);
        } else {
            self.no_store |= is(b"no-store");
            self.public |= is(b"public");
            self.must_revalidate |= is(b"must-revalidate");
            self.proxy_revalidate |= is(b"proxy-revalidate");
            self.must_understand |= is(b"must-understand");
            self.immutable |= is(b"immutable");
        }
    }
}

fn seconds(value: Value<'_>) -> Option<u32> {
    if let Value::Text(text) = value { delta_seconds(text) } else { None }
}
