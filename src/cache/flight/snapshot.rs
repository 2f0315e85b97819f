//! The request that a call was made for, which itself goes to the service.

use crate::{
    cache::{
        codec::{put_fields, take_fields},
        rules::RequestView,
    },
    context::RequestContext,
};
use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use std::{borrow::Cow, fmt, sync::LazyLock};

/// A request as it arrived.
pub(crate) struct RequestSnapshot {
    pub(crate) method: Method,
    pub(crate) context: Option<RequestContext>,
    kept: Kept,
}

enum Kept {
    Whole(Box<Whole>),
    /// The fields alone, in one piece of memory.
    Packed(Vec<u8>),
}

#[derive(Default)]
struct Whole {
    uri: Uri,
    headers: HeaderMap,
}

/// What rules see that do not look at the request.
static NOTHING: LazyLock<Whole> = LazyLock::new(Whole::default);

/// Shows nothing of the fields.
impl fmt::Debug for RequestSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestSnapshot").field("method", &self.method).finish_non_exhaustive()
    }
}

/// What a field is written with beside its texts.
const FIELD: usize = 9;

impl RequestSnapshot {
    /// All of it.
    pub(crate) fn whole(request: RequestView<'_>) -> Self {
        let whole = Whole { uri: request.uri.clone(), headers: request.headers.clone() };
        Self::of(request, Kept::Whole(Box::new(whole)))
    }

    /// For rules that do not look at it: the fields alone are kept, for a `Vary` that may come, in a form that takes
    /// one allocation to make. [`view`](Self::view) has none.
    pub(crate) fn packed(request: RequestView<'_>) -> Self {
        let text = |(name, value): (&http::HeaderName, &http::HeaderValue)| name.as_str().len() + value.len();
        let length = request.headers.iter().map(|field| FIELD + text(field)).sum::<usize>();
        let mut packed = Vec::with_capacity(size_of::<u32>() + length);
        put_fields(&mut packed, request.headers);
        Self::of(request, Kept::Packed(packed))
    }

    fn of(request: RequestView<'_>, kept: Kept) -> Self {
        Self { method: request.method.clone(), context: request.context.cloned(), kept }
    }

    pub(crate) fn view(&self) -> RequestView<'_> {
        let whole = match &self.kept {
            Kept::Whole(whole) => whole,
            Kept::Packed(_) => &*NOTHING,
        };
        RequestView {
            method: &self.method,
            uri: &whole.uri,
            headers: &whole.headers,
            context: self.context.as_ref(),
            extensions: None,
            has_body: false,
        }
    }

    /// Its fields, in whatever form they are kept.
    pub(crate) fn headers(&self) -> Cow<'_, HeaderMap> {
        match &self.kept {
            Kept::Whole(whole) => Cow::Borrowed(&whole.headers),
            // What was written just now can be read.
            Kept::Packed(packed) => {
                Cow::Owned(take_fields(&mut Bytes::copy_from_slice(packed)).unwrap_or_default())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderValue, Request};

    #[test]
    fn both_forms_have_the_same_fields() {
        let mut request =
            Request::get("/pets?x=1").header("a", "1").header("b", "").header("a", "2").body(()).unwrap();
        request.headers_mut().append("b", HeaderValue::from_bytes(b"\xff").unwrap());
        let view = RequestView {
            method: request.method(),
            uri: request.uri(),
            headers: request.headers(),
            context: None,
            extensions: None,
            has_body: false,
        };
        let (whole, packed) = (RequestSnapshot::whole(view), RequestSnapshot::packed(view));
        assert!(matches!(&packed.kept, Kept::Packed(text) if text.len() == text.capacity()));
        assert_eq!(&*whole.headers(), request.headers());
        assert_eq!(&*packed.headers(), request.headers());
        assert_eq!((whole.view().uri, whole.view().headers), (request.uri(), request.headers()));
        assert!(packed.view().headers.is_empty());
        assert!(!format!("{whole:?}{packed:?}").contains('1'));
    }
}
