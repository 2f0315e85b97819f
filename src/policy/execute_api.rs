//! ARNs of `execute-api`: the API, and one call of it.

use crate::error::ConfigError;
use std::{fmt, sync::Arc};

/// Which API a policy and its requests are about: Region, account and API id. Cheap to clone.
///
/// ```
/// use tower_gateway::policy::ExecuteApi;
///
/// let api = ExecuteApi::new("eu-west-1", "111122223333", "a1b2c3d4e5")?;
/// let arn = api.arn("v1", "GET", "/pets/7");
/// assert_eq!(arn.as_str(), "arn:aws:execute-api:eu-west-1:111122223333:a1b2c3d4e5/v1/GET/pets/7");
/// assert_eq!(arn.masked(), "arn:aws:execute-api:eu-west-1:********3333:a1b2c3d4e5/v1/GET/pets/7");
/// # Ok::<(), tower_gateway::ConfigError>(())
/// ```
#[derive(Clone, Eq)]
pub struct ExecuteApi {
    /// `arn:aws:execute-api:<region>:<account>:<api>/`
    prefix: Arc<str>,
}

/// A clone is told at a glance: it is compared on every request.
impl PartialEq for ExecuteApi {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.prefix, &other.prefix) || self.prefix == other.prefix
    }
}

/// What an API is called that nobody has named: `us-east-1`, account `000000000000`, API `local`.
impl Default for ExecuteApi {
    fn default() -> Self {
        Self { prefix: "arn:aws:execute-api:us-east-1:000000000000:local/".into() }
    }
}

const SERVICE: &str = "execute-api";
const ACCOUNT_LENGTH: usize = 12;

impl ExecuteApi {
    /// An API in the partition `aws`. Where there is no AWS account, any twelve digits will do: they only have to be
    /// the ones that the policies name.
    ///
    /// # Errors
    ///
    /// A Region or API id of other characters than letters, digits and `-`, or an account id that is not twelve
    /// digits.
    pub fn new(region: &str, account_id: &str, api_id: &str) -> Result<Self, ConfigError> {
        Self::in_partition("aws", region, account_id, api_id)
    }

    /// The same in another partition, such as `aws-cn`.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new); the partition is held to the same characters.
    pub fn in_partition(
        partition: &str,
        region: &str,
        account_id: &str,
        api_id: &str,
    ) -> Result<Self, ConfigError> {
        for (location, text) in [("partition", partition), ("Region", region), ("API id", api_id)] {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
                return Err(ConfigError::new(location, text, "is not made of letters, digits and `-`"));
            }
        }
        if account_id.len() != ACCOUNT_LENGTH || !account_id.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ConfigError::new("account id", account_id, "is not twelve digits"));
        }
        Ok(Self { prefix: format!("arn:{partition}:{SERVICE}:{region}:{account_id}:{api_id}/").into() })
    }

    fn part(&self, index: usize) -> &str {
        self.prefix.split(':').nth(index).unwrap_or_default()
    }

    /// The Region.
    pub fn region(&self) -> &str {
        self.part(3)
    }

    /// The account that owns the API.
    pub fn account_id(&self) -> &str {
        // From the end: asked on every signed request.
        self.prefix.rsplit(':').nth(1).unwrap_or_default()
    }

    /// The API id.
    pub fn api_id(&self) -> &str {
        self.part(5).trim_end_matches('/')
    }

    /// `arn:aws:execute-api:<region>:<account>:<api>/<stage>/<METHOD>/<path>`, and `…/<METHOD>/` for the root. The
    /// path is taken as it is, without its first slash. Up to 256 bytes take no allocation.
    pub fn arn(&self, stage: &str, method: &str, path: &str) -> ExecuteApiArn {
        let path = path.strip_prefix('/').unwrap_or(path);
        ExecuteApiArn::join([&self.prefix, stage, "/", method, "/", path])
    }

    /// How long [`arn`](Self::arn) is, in bytes.
    pub(super) fn arn_length(&self, stage: &str, method: &str, path: &str) -> usize {
        let path = path.strip_prefix('/').unwrap_or(path);
        self.prefix.len() + stage.len() + method.len() + path.len() + 2
    }

    /// The long form of `execute-api:/stage/METHOD/path`; `None` for anything else.
    pub(super) fn expand(&self, resource: &str) -> Option<String> {
        Some(format!("{}{}", self.prefix, short_form(resource)?))
    }
}

/// What follows `execute-api:/`.
pub(super) fn short_form(resource: &str) -> Option<&str> {
    resource.strip_prefix("execute-api:/")
}

impl fmt::Debug for ExecuteApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ExecuteApi({})", self.prefix)
    }
}

/// The ARN of one call; made by [`ExecuteApi::arn`].
#[derive(Clone)]
pub struct ExecuteApiArn {
    bytes: [u8; SHORT],
    length: usize,
    /// What does not fit into `bytes`.
    long: Option<Box<str>>,
}

/// Room for the prefix and a path as long as most.
const SHORT: usize = 256;

impl ExecuteApiArn {
    fn join(parts: [&str; 6]) -> Self {
        let length = parts.iter().map(|part| part.len()).sum();
        let mut arn = Self { bytes: [0; SHORT], length, long: None };
        if length > SHORT {
            arn.long = Some(parts.concat().into());
            return arn;
        }
        let mut at = 0;
        for part in parts {
            arn.bytes[at..at + part.len()].copy_from_slice(part.as_bytes());
            at += part.len();
        }
        arn
    }

    /// The ARN.
    pub fn as_str(&self) -> &str {
        match &self.long {
            Some(text) => text,
            None => std::str::from_utf8(&self.bytes[..self.length]).unwrap_or_default(),
        }
    }

    /// The ARN as AWS shows it to a client that was refused: of the account, only the last four digits.
    pub fn masked(&self) -> String {
        mask_account(self.as_str())
    }
}

/// Replaces all but the last four digits of an ARN's account by stars.
pub(super) fn mask_account(arn: &str) -> String {
    let Some([.., account, resource]) = super::arn::split(arn) else { return arn.to_owned() };
    let account_at = arn.len() - resource.len() - 1 - account.len();
    let shown = account.len().saturating_sub(4);
    if !account.is_ascii() {
        return arn.to_owned();
    }
    format!("{}{}{}", &arn[..account_at], "*".repeat(shown), &arn[account_at + shown..])
}

impl fmt::Display for ExecuteApiArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ExecuteApiArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_and_lengths() {
        let api = ExecuteApi::in_partition("aws-cn", "cn-north-1", "111122223333", "a1").unwrap();
        assert_eq!((api.region(), api.account_id(), api.api_id()), ("cn-north-1", "111122223333", "a1"));
        assert_eq!(
            api.arn("$default", "GET", "/").as_str(),
            "arn:aws-cn:execute-api:cn-north-1:111122223333:a1/$default/GET/"
        );
        for length in [0, 195, 196, 197, 198, 199, 200, 2000] {
            let path = "x".repeat(length);
            let expected = format!("arn:aws-cn:execute-api:cn-north-1:111122223333:a1/s/GET/{path}");
            assert_eq!(api.arn("s", "GET", &format!("/{path}")).as_str(), expected);
        }
        assert_eq!(
            api.expand("execute-api:/*").unwrap(),
            "arn:aws-cn:execute-api:cn-north-1:111122223333:a1/*"
        );
        assert_eq!(api.expand("execute-api:*"), None);
    }

    #[test]
    fn what_is_no_api() {
        for (region, account, api) in [
            ("", "111122223333", "a"),
            ("eu", "11112222333", "a"),
            ("eu", "11112222333x", "a"),
            ("e:u", "111122223333", "a"),
            ("eu", "111122223333", "a/b"),
        ] {
            assert!(ExecuteApi::new(region, account, api).is_err(), "{region} {account} {api}");
        }
    }

    #[test]
    fn masks_keep_what_is_no_arn() {
        assert_eq!(mask_account("nothing"), "nothing");
        assert_eq!(mask_account("arn:aws:s3:::b"), "arn:aws:s3:::b");
    }
}
