//! What a request says about condition keys: typed values, borrowed.

use super::ConditionKey;
use std::{fmt, net::IpAddr};

/// Where the engine asks for the values of condition keys. A look-up allocates nothing: values are borrowed.
///
/// Implemented for arrays and vectors of `(name, value)`, for `()` (no key at all), for references, and for pairs of
/// providers, of which the first that has the key answers.
///
/// ```
/// use std::net::IpAddr;
/// use tower_gateway::policy::{ConditionKey, ConditionKeys, ConditionValue};
///
/// struct Peer(IpAddr);
///
/// impl ConditionKeys for Peer {
///     fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
///         match key {
///             ConditionKey::SourceIp => Some(ConditionValue::Ip(self.0)),
///             other if other.is("shop:Tenant") => Some(ConditionValue::Text("acme")),
///             _ => None,
///         }
///     }
/// }
/// ```
pub trait ConditionKeys {
    /// The value of a key; `None` where the request does not have it.
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>>;
}

/// The value of a condition key.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub enum ConditionValue<'a> {
    /// A text. Operators of numbers, dates, booleans and addresses read it as what they compare.
    Text(&'a str),
    /// A whole number.
    Integer(i64),
    /// Any number.
    Decimal(f64),
    /// A boolean.
    Bool(bool),
    /// An address; IPv4 addresses mapped into IPv6 are compared as IPv4.
    Ip(IpAddr),
    /// A point in time, in seconds since 1970-01-01T00:00:00Z.
    Time(i64),
    /// Bytes, for `BinaryEquals`.
    Binary(&'a [u8]),
    /// Several texts; an empty list is an absent key.
    List(&'a dyn TextList),
    /// The request has the key, but its value cannot be told (two `User-Agent` fields): no condition on it can be
    /// evaluated, so that a `Deny` applies and an `Allow` does not.
    Unreadable,
}

/// The texts of a key with several values.
pub trait TextList {
    /// The text at `index`, from 0; `None` behind the last.
    fn text(&self, index: usize) -> Option<&str>;
}

impl<T: AsRef<str>> TextList for [T] {
    fn text(&self, index: usize) -> Option<&str> {
        self.get(index).map(AsRef::as_ref)
    }
}

impl<T: AsRef<str>> TextList for &[T] {
    fn text(&self, index: usize) -> Option<&str> {
        (**self).text(index)
    }
}

impl<T: AsRef<str>> TextList for Vec<T> {
    fn text(&self, index: usize) -> Option<&str> {
        self.as_slice().text(index)
    }
}

impl<T: AsRef<str>> TextList for std::sync::Arc<[T]> {
    fn text(&self, index: usize) -> Option<&str> {
        (**self).text(index)
    }
}

impl<T: AsRef<str>, const N: usize> TextList for [T; N] {
    fn text(&self, index: usize) -> Option<&str> {
        self.as_slice().text(index)
    }
}

impl fmt::Debug for ConditionValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Decimal(number) => write!(f, "{number}"),
            Self::Bool(flag) => write!(f, "{flag}"),
            Self::Ip(address) => write!(f, "{address}"),
            Self::Time(seconds) => write!(f, "@{seconds}"),
            Self::Binary(bytes) => write!(f, "{bytes:?}"),
            Self::List(list) => f.debug_list().entries((0..).map_while(|at| list.text(at))).finish(),
            Self::Unreadable => f.write_str("unreadable"),
        }
    }
}

impl ConditionKeys for () {
    fn value<'a>(&'a self, _: &ConditionKey) -> Option<ConditionValue<'a>> {
        None
    }
}

impl<K: ConditionKeys + ?Sized> ConditionKeys for &K {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        (**self).value(key)
    }
}

impl<A: ConditionKeys, B: ConditionKeys> ConditionKeys for (A, B) {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        self.0.value(key).or_else(|| self.1.value(key))
    }
}

impl<N: AsRef<str>> ConditionKeys for [(N, ConditionValue<'_>)] {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        self.iter().find(|(name, _)| key.is(name.as_ref())).map(|(_, value)| *value)
    }
}

impl<N: AsRef<str>, const L: usize> ConditionKeys for [(N, ConditionValue<'_>); L] {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        self.as_slice().value(key)
    }
}

impl<N: AsRef<str>> ConditionKeys for Vec<(N, ConditionValue<'_>)> {
    fn value<'a>(&'a self, key: &ConditionKey) -> Option<ConditionValue<'a>> {
        self.as_slice().value(key)
    }
}

impl ConditionValue<'_> {
    /// Calls `then` with the value as text; `None` for what is not one text.
    pub(super) fn with_text<T>(self, then: impl FnOnce(&str) -> T) -> Option<T> {
        let mut buffer = StackText::default();
        let written = match self {
            Self::Text(text) => return Some(then(text)),
            Self::Binary(bytes) => return std::str::from_utf8(bytes).ok().map(then),
            Self::List(_) | Self::Unreadable => return None,
            Self::Bool(flag) => return Some(then(if flag { "true" } else { "false" })),
            Self::Integer(number) => fmt::write(&mut buffer, format_args!("{number}")),
            Self::Decimal(number) => fmt::write(&mut buffer, format_args!("{number}")),
            Self::Ip(address) => fmt::write(&mut buffer, format_args!("{}", address.to_canonical())),
            Self::Time(seconds) => super::date::write_iso(&mut buffer, seconds),
        };
        written.ok().map(|()| then(buffer.as_str()))
    }

    pub(super) fn is_empty_list(self) -> bool {
        matches!(self, Self::List(list) if list.text(0).is_none())
    }
}

/// A short text on the stack; what does not fit is an error.
struct StackText {
    bytes: [u8; 64],
    length: usize,
}

impl Default for StackText {
    fn default() -> Self {
        Self { bytes: [0; 64], length: 0 }
    }
}

impl StackText {
    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

impl fmt::Write for StackText {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_one_text() {
        let text = |value: ConditionValue<'_>| value.with_text(str::to_owned);
        assert_eq!(text(ConditionValue::Integer(-7)).as_deref(), Some("-7"));
        assert_eq!(text(ConditionValue::Decimal(1.5)).as_deref(), Some("1.5"));
        assert_eq!(text(ConditionValue::Bool(true)).as_deref(), Some("true"));
        assert_eq!(text(ConditionValue::Ip("::ffff:10.0.0.1".parse().unwrap())).as_deref(), Some("10.0.0.1"));
        assert_eq!(text(ConditionValue::Time(1_350_432_000)).as_deref(), Some("2012-10-17T00:00:00Z"));
        assert_eq!(text(ConditionValue::List(&["a"])), None);
        assert_eq!(text(ConditionValue::Unreadable), None);
        assert_eq!(text(ConditionValue::Decimal(f64::MAX)), None, "longer than any number a policy holds");
    }

    #[test]
    fn the_first_provider_answers() {
        let first = [("k", ConditionValue::Integer(1))];
        let second = vec![("K", ConditionValue::Integer(2)), ("l", ConditionValue::Integer(3))];
        let both = (first, &second);
        let number = |name: &str| both.value(&ConditionKey::new(name)).map(|value| format!("{value:?}"));
        assert_eq!(
            (number("k").as_deref(), number("L").as_deref(), number("m")),
            (Some("1"), Some("3"), None)
        );
    }
}
