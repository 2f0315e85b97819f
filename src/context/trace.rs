//! A request's place in its trace.

use std::{fmt, sync::Arc};

/// 128 bits; X-Ray writes it `1-5759e988-bd862e3fe1be46a994272793`, W3C as 32 digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceId(u128);

/// 64 bits, never zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpanId(u64);

impl TraceId {
    /// A new trace: X-Ray wants its first half to begin with the time.
    pub(crate) fn new(unix_seconds: i64, random: u128) -> Self {
        Self(u128::from(unix_seconds as u32) << 96 | random & (u128::MAX >> 32))
    }

    pub(crate) fn checked(bits: u128) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    /// `1-` 8 digits `-` 24 digits.
    pub(crate) fn parse_root(text: &str) -> Option<Self> {
        let (time, rest) = text.strip_prefix("1-")?.split_once('-')?;
        let (time, rest) = (hex(time, 8)?, hex(rest, 24)?);
        Self::checked(time << 96 | rest)
    }

    /// As W3C and OpenTelemetry write it.
    pub fn to_hex(self) -> String {
        format!("{:032x}", self.0)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1-{:08x}-{:024x}", (self.0 >> 96) as u32, self.0 & (u128::MAX >> 32))
    }
}

impl SpanId {
    pub(crate) fn new(random: u64) -> Self {
        Self(random.max(1))
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bits = u64::try_from(hex(text, 16)?).ok()?;
        (bits != 0).then_some(Self(bits))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Exactly so many hexadecimal digits; `from_str_radix` alone takes a sign.
pub(crate) fn hex(text: &str, digits: usize) -> Option<u128> {
    let valid = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if valid { u128::from_str_radix(text, 16).ok() } else { None }
}

/// A request's place in its trace; found in its [`RequestContext`](super::RequestContext::trace).
#[derive(Clone, Debug)]
pub struct TraceContext {
    pub(crate) trace_id: TraceId,
    pub(crate) parent: Option<SpanId>,
    pub(crate) span: SpanId,
    pub(crate) sampled: bool,
    pub(crate) takes_part: bool,
    pub(crate) rule: Option<Arc<str>>,
    pub(crate) extra: String,
}

impl TraceContext {
    /// The trace.
    pub fn trace_id(&self) -> TraceId {
        self.trace_id
    }

    /// The caller's span.
    pub fn parent(&self) -> Option<SpanId> {
        self.parent
    }

    /// The gateway's own span.
    pub fn span_id(&self) -> SpanId {
        self.span
    }

    /// Whether the trace is recorded.
    pub fn is_sampled(&self) -> bool {
        self.sampled
    }

    /// The rule that decided so; `None` where the client did.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }
}
