//! The configuration, as it is written.

use super::{layer::CorsLayer, policy::Policy};
use crate::error::ConfigError;

/// What becomes of CORS headers that the service set itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackEndHeaders {
    /// They are removed from every answer, allowed origin or not, as HTTP APIs do. The default.
    #[default]
    Replace,
    /// An answer that has an `Access-Control-Allow-Origin` keeps its CORS headers and gets none of ours (a mix could
    /// allow more than either side meant); other answers get ours. As REST APIs do.
    Keep,
}

/// What other origins may do: `corsConfiguration` of an HTTP API. See the [module docs](super).
///
/// Allows no origin until told. Each list replaces the one set before.
///
/// ```
/// use tower_gateway::cors::Cors;
///
/// let open = Cors::new().allow_origins(["*"]).allow_methods(["*"]).allow_headers(["*", "authorization"]);
/// assert!(open.clone().build().is_ok());
/// let error = open.allow_credentials(true).build().unwrap_err();
/// assert_eq!(error.problem(), "allow-credentials is not supported if 'allow-origin' is *");
/// ```
#[derive(Clone, Debug, Default)]
pub struct Cors {
    pub(super) origins: Vec<String>,
    pub(super) methods: Vec<String>,
    pub(super) headers: Vec<String>,
    pub(super) expose: Vec<String>,
    pub(super) max_age: Option<i32>,
    pub(super) credentials: bool,
    pub(super) private_network: bool,
    pub(super) back_end: BackEndHeaders,
}

impl Cors {
    /// Nobody is allowed anything.
    pub fn new() -> Self {
        Self::default()
    }

    /// `allowOrigins`: origins as browsers send them (`https://shop.example`, `http://localhost:3000`), `https://*` or
    /// `http://*` for every origin of a scheme, `*` for all.
    ///
    /// `*` cannot go with credentials. A scheme wildcard can, as on AWS: then every site of that scheme may act in
    /// the user's name, so think twice. `null` (sandboxed frames, `file:` pages) is matched by `*` without
    /// credentials, or when listed, which credentials forbid.
    #[must_use]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.origins = texts(origins);
        self
    }

    /// `allowMethods`: methods that a page may use, or `*`. Case counts: browsers send `PATCH` as the page wrote it,
    /// so `patch` is another method. `GET`, `HEAD` and `POST` are always allowed by browsers. Default: none.
    #[must_use]
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.methods = texts(methods);
        self
    }

    /// `allowHeaders`: request headers that a page may set, or `*`. Browsers do not count `Authorization` as part of
    /// `*`: list it as well (`["*", "authorization"]`). Default: none but those every page may set.
    #[must_use]
    pub fn allow_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.headers = texts(names);
        self
    }

    /// `exposeHeaders`: headers of the answer that a page may read, or `*`. Default: none but those every page may read,
    /// such as `Content-Type`. With credentials, `*` stands for the request ids, `RateLimit` and whatever the answer has
    /// when CORS sees it: name what gateway responses and `explanation_id` add further outside.
    #[must_use]
    pub fn expose_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.expose = texts(names);
        self
    }

    /// `maxAge`: how many seconds a browser may keep the answer to a preflight, -1 to 86400. Default: not sent, and
    /// browsers take 5. No keeping is 0; -1 is sent as it is, and browsers differ about it. Chromium keeps for 7200 at
    /// most.
    #[must_use]
    pub fn max_age(mut self, seconds: i32) -> Self {
        self.max_age = Some(seconds);
        self
    }

    /// `allowCredentials`: whether a page may send cookies and other credentials of the user and read the answer.
    /// Default: no.
    #[must_use]
    pub fn allow_credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Whether `Access-Control-Request-Private-Network: true` is answered with
    /// `Access-Control-Allow-Private-Network: true`. No longer part of the standard; older Chromium versions ask
    /// before a public page may call a private address. Default: no.
    #[must_use]
    pub fn allow_private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }

    /// What becomes of CORS headers that the service set itself. Default: [`BackEndHeaders::Replace`].
    #[must_use]
    pub fn back_end_headers(mut self, what: BackEndHeaders) -> Self {
        self.back_end = what;
        self
    }

    /// A layer with this configuration for every resource.
    ///
    /// # Errors
    ///
    /// `*` or `null` with credentials; an origin that no browser sends (a path, upper case, a default port, other
    /// wildcards); a method or header name that is not a token; a method in a case that browsers change (`get`);
    /// a max age out of range.
    pub fn build(self) -> Result<CorsLayer, ConfigError> {
        CorsLayer::new(self)
    }

    /// What is allowed to be configured but probably not meant, one sentence each; for a log line at start-up.
    pub fn warnings(&self) -> Vec<&'static str> {
        let has = |list: &[String], wanted: &str| list.iter().any(|item| item.eq_ignore_ascii_case(wanted));
        let scheme_wildcard = has(&self.origins, "https://*") || has(&self.origins, "http://*");
        let all_but_one = has(&self.headers, "*") && !has(&self.headers, "authorization");
        let faults = [
            (
                self.credentials && scheme_wildcard,
                "a scheme wildcard with credentials lets every site of that scheme act in the user's name",
            ),
            (
                all_but_one,
                "`*` in allow_headers does not cover `Authorization`: list it as well if pages send it",
            ),
            (
                self.methods.iter().any(|method| method == "patch"),
                "`patch` is not `PATCH`: browsers send it as the page wrote it",
            ),
        ];
        faults.into_iter().filter_map(|(found, sentence)| found.then_some(sentence)).collect()
    }

    pub(super) fn compile(self) -> Result<Policy, ConfigError> {
        self.check()?;
        Policy::compile(&self)
    }

    fn check(&self) -> Result<(), ConfigError> {
        check_list("allow_methods", &self.methods, method_fault)?;
        check_list("allow_headers", &self.headers, name_fault)?;
        check_list("expose_headers", &self.expose, name_fault)?;
        match self.max_age {
            Some(seconds) if !(-1..=86_400).contains(&seconds) => {
                Err(ConfigError::new("max_age", seconds, "is not between -1 and 86400 seconds"))
            }
            _ => Ok(()),
        }
    }
}

fn texts(items: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<String> {
    items.into_iter().map(|item| item.as_ref().to_owned()).collect()
}

fn check_list(
    location: &'static str,
    items: &[String],
    fault: fn(&str) -> Option<&'static str>,
) -> Result<(), ConfigError> {
    match items.iter().find_map(|item| Some((item, fault(item)?))) {
        Some((item, problem)) => Err(ConfigError::new(location, item, problem)),
        None => Ok(()),
    }
}

fn name_fault(name: &str) -> Option<&'static str> {
    (!is_token(name.as_bytes())).then_some("is not a header name")
}

/// Browsers turn these to upper case before they compare, so another spelling would never match.
const NORMALISED: [&str; 6] = ["DELETE", "GET", "HEAD", "OPTIONS", "POST", "PUT"];

fn method_fault(method: &str) -> Option<&'static str> {
    if !is_token(method.as_bytes()) {
        return Some("is not a method");
    }
    let changed = |normal: &&str| **normal != *method && normal.eq_ignore_ascii_case(method);
    NORMALISED.iter().any(changed).then_some("browsers send this method in upper case, and case counts")
}

/// RFC 9110 section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte))
}
