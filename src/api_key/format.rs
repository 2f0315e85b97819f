//! The form of key values: the limits, generation, and a form of your own that rejects garbage early.

use crate::error::ConfigError;

/// Fewest characters of a key value.
pub(super) const MIN_VALUE: usize = 20;
/// Most characters of a key value.
pub(super) const MAX_VALUE: usize = 128;

/// Length of a generated value without a form of your own, as on AWS.
const GENERATED: usize = 40;
/// Random characters of a formatted value: 190 bits.
const RANDOM: usize = 32;
/// Characters of the checksum: 62^6 is more than 2^32.
const CHECKSUM: usize = 6;

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const BASE36: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// 20 to 128 visible ASCII characters.
pub(super) fn has_key_form(value: &[u8]) -> bool {
    // All bytes are looked at, which is faster than stopping at the first that is wrong.
    let all_visible = || value.iter().fold(true, |visible, byte| visible & byte.is_ascii_graphic());
    (MIN_VALUE..=MAX_VALUE).contains(&value.len()) && all_visible()
}

/// A form of your own for key values: `prefix_`, 32 random characters, and a checksum of 6.
///
/// Set by [`ApiKeysBuilder::format`](super::ApiKeysBuilder::format), it is strict: what lacks the prefix or has a
/// wrong checksum is refused without digest or look-up, and secret scanners can find leaked keys. The checksum
/// (CRC-32) protects against typing errors and noise, not against forgery: that is the look-up's part.
///
/// ```
/// use tower_gateway::api_key::{ApiKey, ApiKeys, KeyFormat};
///
/// let format = KeyFormat::new("petshop_live")?;
/// let keys = ApiKeys::builder().format(format.clone()).build()?;
/// let created = keys.add(ApiKey::new("k1"))?;
/// let value = created.expose_value();
/// assert!(value.starts_with("petshop_live_") && value.len() == 12 + 1 + 32 + 6);
/// assert!(format.accepts(value.as_bytes()));
/// assert!(!format.accepts(b"petshop_live_0000000000000000000000000000000000000x"));
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyFormat {
    /// With the underscore.
    prefix: Box<str>,
}

impl KeyFormat {
    /// A form with a prefix of 1 to 89 characters from `A-Z a-z 0-9 _ -`.
    ///
    /// # Errors
    ///
    /// Any other prefix.
    pub fn new(prefix: &str) -> Result<Self, ConfigError> {
        const LONGEST: usize = MAX_VALUE - RANDOM - CHECKSUM - 1;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
        if (1..=LONGEST).contains(&prefix.len()) && prefix.bytes().all(allowed) {
            return Ok(Self { prefix: format!("{prefix}_").into() });
        }
        Err(ConfigError::new("API key prefix", prefix, "must be 1 to 89 characters of `A-Z a-z 0-9 _ -`"))
    }

    /// Whether a value has the form: prefix, length, characters, checksum.
    pub fn accepts(&self, value: &[u8]) -> bool {
        let Some(rest) = value.strip_prefix(self.prefix.as_bytes()) else { return false };
        rest.len() == RANDOM + CHECKSUM
            && rest.iter().all(u8::is_ascii_alphanumeric)
            && value[value.len() - CHECKSUM..] == checksum(&value[..value.len() - CHECKSUM])
    }

    fn generate(&self) -> Result<String, ConfigError> {
        let mut value = format!("{}{}", self.prefix, random_text(BASE62, RANDOM)?);
        let checksum = checksum(value.as_bytes());
        value.extend(checksum.map(char::from));
        Ok(value)
    }
}

/// A new value: of the given form, or 40 alphanumeric characters (238 bits) as AWS makes them.
pub(super) fn generate_value(format: Option<&KeyFormat>) -> Result<String, ConfigError> {
    format.map_or_else(|| random_text(BASE62, GENERATED), KeyFormat::generate)
}

/// A new id: 10 characters, as on AWS.
pub(super) fn generate_id() -> Result<String, ConfigError> {
    random_text(BASE36, 10)
}

/// Characters from the system's generator, each equally likely: bytes past the last full round of the alphabet are
/// thrown away.
fn random_text(alphabet: &[u8], length: usize) -> Result<String, ConfigError> {
    let fair = 256 - 256 % alphabet.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0; 64];
        getrandom::fill(&mut bytes).map_err(no_randomness)?;
        let fair_bytes = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let characters = fair_bytes.map(|byte| char::from(alphabet[byte % alphabet.len()]));
        text.extend(characters.take(length - text.len()));
    }
    Ok(text)
}

fn no_randomness(error: getrandom::Error) -> ConfigError {
    ConfigError::of_system("API key", "", "the system gives no random bytes", error)
}

fn checksum(text: &[u8]) -> [u8; CHECKSUM] {
    let mut rest = crc32(text);
    let mut digits = [0; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

/// CRC-32 as in zip and PNG (reflected, polynomial 0xedb88320).
fn crc32(bytes: &[u8]) -> u32 {
    static TABLE: [u32; 256] = crc_table();
    !bytes.iter().fold(!0, |crc: u32, byte| TABLE[((crc ^ u32::from(*byte)) & 0xff) as usize] ^ (crc >> 8))
}

const fn crc_table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut crc = index as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[index] = crc;
        index += 1;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    #[test]
    fn crc_32_is_the_common_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(checksum(b""), *b"000000");
    }

    #[test]
    fn the_plain_form_is_20_to_128_visible_characters() {
        assert!(has_key_form(&[b'!'; 20]) && has_key_form(&[b'~'; 128]));
        for bad in [vec![b'a'; 19], vec![b'a'; 129], vec![], vec![0xc3; 30]] {
            assert!(!has_key_form(&bad), "{bad:?}");
        }
        for byte in [b' ', b'\t', 0x7f, 0x1f, 0x80, 0xff] {
            let mut value = [b'a'; 30];
            value[29] = byte;
            assert!(!has_key_form(&value), "{byte:#x}");
        }
    }

    #[test]
    fn generated_texts_have_their_length_and_alphabet_and_never_repeat() {
        let values: HashSet<_> = (0..200).map(|_| generate_value(None).unwrap()).collect();
        assert_eq!(values.len(), 200);
        assert!(
            values.iter().all(|value| value.len() == 40 && value.bytes().all(|b| b.is_ascii_alphanumeric()))
        );
        let seen: HashSet<_> = values.iter().flat_map(|value| value.bytes()).collect();
        assert_eq!(seen.len(), 62, "every character of the alphabet turns up");
        let id = generate_id().unwrap();
        assert!(id.len() == 10 && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    }

    #[test]
    fn prefixes_that_make_no_key_are_refused() {
        for bad in ["", "a b", "é", "a.b", &"p".repeat(90)] {
            assert_eq!(KeyFormat::new(bad).unwrap_err().value(), bad);
        }
        let longest = KeyFormat::new(&"p".repeat(89)).unwrap().generate().unwrap();
        assert_eq!(longest.len(), 128);
        assert!(has_key_form(longest.as_bytes()));
    }

    proptest! {
        #[test]
        fn any_changed_character_is_noticed(at in 0usize..45, byte in 0u8..) {
            let format = KeyFormat::new("shop_x").unwrap();
            let value = format.generate().unwrap().into_bytes();
            prop_assert_eq!(value.len(), 45);
            prop_assert!(format.accepts(&value));
            let mut other = value.clone();
            other[at] = byte;
            prop_assert_eq!(format.accepts(&other), other == value);
            prop_assert!(!format.accepts(&value[..at]));
        }

        #[test]
        fn garbage_never_panics(value in proptest::collection::vec(any::<u8>(), 0..140)) {
            let accepted = KeyFormat::new("p").unwrap().accepts(&value);
            prop_assert!(!accepted);
        }
    }
}
