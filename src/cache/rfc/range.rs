//! Byte ranges of a complete stored body (RFC 9110 section 14).

use super::control::trim;
use std::ops::Range;

/// What a `Range` field asks of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ByteRange {
    /// The whole body: another unit, a field that is not well-formed, or several ranges, which a server may ignore
    /// (RFC 9110 section 14.2) and which are a well-known way to make it work.
    Whole,
    /// These bytes: never empty, and within the body.
    Part(Range<usize>),
    /// No byte of the body: 416.
    Unsatisfiable,
}

/// Reads a `Range` field for a body of `length` bytes.
///
/// ```
/// use tower_gateway::cache::rfc::{ByteRange, byte_range};
///
/// assert_eq!(byte_range(b"bytes=0-1", 11), ByteRange::Part(0..2));
/// assert_eq!(byte_range(b"bytes=-1", 11), ByteRange::Part(10..11));
/// assert_eq!(byte_range(b"bytes=11-", 11), ByteRange::Unsatisfiable);
/// assert_eq!(byte_range(b"bytes=0-1, 3-4", 11), ByteRange::Whole);
/// ```
pub fn byte_range(field: &[u8], length: usize) -> ByteRange {
    parse(field).map_or(ByteRange::Whole, |spec| spec.within(length))
}

/// One range as written.
enum Spec {
    FromTo(u64, Option<u64>),
    Last(u64),
}

impl Spec {
    fn within(self, length: usize) -> ByteRange {
        let length = length as u64;
        let (start, end) = match self {
            Self::FromTo(first, last) => {
                (first, last.map_or(length, |last| last.saturating_add(1)).min(length))
            }
            Self::Last(count) => (length.saturating_sub(count), length),
        };
        // Both are at most `length`, which was a usize.
        if start < end { ByteRange::Part(start as usize..end as usize) } else { ByteRange::Unsatisfiable }
    }
}

fn parse(field: &[u8]) -> Option<Spec> {
    let (unit, set) = field.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let mut specs = set.split(|byte| *byte == b',').map(trim).filter(|spec| !spec.is_empty());
    let spec = specs.next().filter(|_| specs.next().is_none())?;
    let dash = spec.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (&spec[..dash], &spec[dash + 1..]);
    match (first, last) {
        (b"", last) => Some(Spec::Last(position(last)?)),
        (first, b"") => Some(Spec::FromTo(position(first)?, None)),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Spec::FromTo(first, Some(last)))
        }
    }
}

/// Digits only; what is too large for any body is as good as the largest.
fn position(digits: &[u8]) -> Option<u64> {
    let valid = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    valid.then(|| digits.iter().fold(0, add))
}
