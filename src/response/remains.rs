//! What a refused request leaves behind: the memory that its answer is made in.

use http::{Extensions, HeaderMap, Method, Request, Response};
use std::mem::take;

/// A larger header map goes with its request: an answer that waits for its client should not hold what a stranger had
/// allocated.
const MOST_FIELDS: usize = 48;

/// Header map and extensions of a request that goes no further, emptied. An answer has both, so one that is made of them
/// asks for less memory, and less is freed with the request. And whether it was a `HEAD`.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    headers: HeaderMap,
    extensions: Extensions,
    is_head: bool,
}

impl Remains {
    /// Nothing but whether it was a `HEAD`.
    pub(crate) fn of_head(is_head: bool) -> Self {
        Self { is_head, ..Self::default() }
    }

    #[allow(dead_code, reason = "not every feature set has a layer that refuses")]
    pub(crate) fn of<B>(request: &mut Request<B>) -> Self {
        let (mut headers, mut extensions) = (take(request.headers_mut()), take(request.extensions_mut()));
        // Repeated fields lie beside the map, and are not in its capacity.
        if headers.capacity().max(headers.len()) > MOST_FIELDS {
            headers = HeaderMap::new();
        }
        headers.clear();
        extensions.clear();
        Self { headers, extensions, is_head: *request.method() == Method::HEAD }
    }

    /// The same, of a client that is known to have sent this method.
    pub(super) fn of_method(mut self, method: &Method) -> Self {
        self.is_head |= *method == Method::HEAD;
        self
    }

    pub(super) fn is_head(&self) -> bool {
        self.is_head
    }

    /// An answer without fields, with room for `fields`.
    pub(super) fn into_response<R>(self, body: R, fields: usize) -> Response<R> {
        let mut response = Response::new(body);
        *response.headers_mut() = self.headers;
        *response.extensions_mut() = self.extensions;
        // At once: growing moves the whole map.
        response.headers_mut().reserve(fields);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{AUTHORIZATION, HOST, HeaderValue};

    #[test]
    fn nothing_of_the_request_is_left_in_it() {
        let mut request =
            Request::builder().header(HOST, "h").header(AUTHORIZATION, "secret").body(()).unwrap();
        request.headers_mut().append(AUTHORIZATION, HeaderValue::from_static("another"));
        request.extensions_mut().insert(7_u8);
        let response = Remains::of(&mut request).into_response((), 6);
        assert!(request.headers().is_empty() && request.extensions().is_empty());
        assert!(response.headers().is_empty() && response.extensions().get::<u8>().is_none());
        assert_eq!(response.headers().iter().count(), 0);
    }

    #[test]
    fn room_that_a_stranger_asked_for_is_not_kept() {
        let mut request = Request::new(());
        for number in 0..200 {
            let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
            request.headers_mut().insert(name, HeaderValue::from_static("1"));
        }
        let response = Remains::of(&mut request).into_response((), 6);
        assert!(response.headers().capacity() < MOST_FIELDS);
    }
}
