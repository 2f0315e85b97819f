//! What a function of the user's sees of a request.

use http::{Extensions, HeaderMap, Method, Request, Uri};

/// What a function of yours sees of a request: a filter, a cost, a name for the caller.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the parts of http::Request")]
pub struct Head<'a> {
    pub method: &'a Method,
    pub uri: &'a Uri,
    pub headers: &'a HeaderMap,
    pub extensions: &'a Extensions,
}

impl<'a> Head<'a> {
    /// Of a request, for a test of such a function.
    pub fn of<B>(request: &'a Request<B>) -> Self {
        Self {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            extensions: request.extensions(),
        }
    }
}
