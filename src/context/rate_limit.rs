//! What the answer says of the limits of a plan, kept as numbers until the answer is written.

use http::HeaderValue;

/// Largest integer of a structured field (RFC 9651 section 3.3.1).
const GREATEST: u64 = 999_999_999_999_999;
/// The longest `RateLimit` field: both items with numbers of 15 digits and 10 for the tokens.
pub(crate) const FIELD_LEN: usize = 96;

/// What a client is told of the limits of its plan.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Announced {
    /// Tokens left, and whole seconds until the bucket is full if it ever is.
    pub(crate) throttle: Option<(u32, Option<u64>)>,
    /// Requests left, and seconds until the period ends.
    pub(crate) quota: Option<(u64, u64)>,
}

/// The two fields of an answer (draft-ietf-httpapi-ratelimit-headers).
#[derive(Clone, Debug)]
pub(crate) struct RateLimit {
    /// `RateLimit-Policy`, made when the plan was put.
    pub(crate) policy: HeaderValue,
    pub(crate) announced: Announced,
}

impl Announced {
    /// Writes the `RateLimit` field; how many bytes it has, 0 where there is nothing to say.
    pub(crate) fn write(&self, out: &mut [u8; FIELD_LEN]) -> usize {
        let mut text = Text { out, length: 0 };
        if let Some((left, full_in)) = self.throttle {
            text.item(b"\"throttle\";r=", left.into(), full_in);
        }
        if let Some((left, reset_in)) = self.quota {
            if text.length > 0 {
                text.push(b", ");
            }
            text.item(b"\"quota\";r=", left, Some(reset_in));
        }
        text.length
    }
}

struct Text<'a> {
    out: &'a mut [u8; FIELD_LEN],
    length: usize,
}

impl Text<'_> {
    fn item(&mut self, head: &[u8], left: u64, seconds: Option<u64>) {
        self.push(head);
        self.number(left);
        if let Some(seconds) = seconds {
            self.push(b";t=");
            self.number(seconds);
        }
    }

    fn number(&mut self, number: u64) {
        self.push(itoa::Buffer::new().format(number.min(GREATEST)).as_bytes());
    }

    fn push(&mut self, text: &[u8]) {
        let end = self.length + text.len();
        if let Some(place) = self.out.get_mut(self.length..end) {
            place.copy_from_slice(text);
            self.length = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(announced: Announced) -> String {
        let mut out = [0; FIELD_LEN];
        let length = announced.write(&mut out);
        String::from_utf8(out[..length].to_vec()).unwrap()
    }

    #[test]
    fn fields_have_the_form_of_the_draft() {
        let both = Announced { throttle: Some((19, Some(1))), quota: Some((999, 86_400)) };
        assert_eq!(field(both), r#""throttle";r=19;t=1, "quota";r=999;t=86400"#);
        assert_eq!(field(Announced { throttle: Some((0, None)), quota: None }), r#""throttle";r=0"#);
        assert_eq!(field(Announced { throttle: None, quota: Some((7, 1)) }), r#""quota";r=7;t=1"#);
        let large =
            Announced { throttle: Some((u32::MAX, Some(u64::MAX))), quota: Some((u64::MAX, u64::MAX)) };
        let text =
            r#""throttle";r=4294967295;t=999999999999999, "quota";r=999999999999999;t=999999999999999"#;
        assert_eq!(field(large), text);
        assert!(text.len() <= FIELD_LEN);
        assert_eq!(field(Announced::default()), "");
    }
}
