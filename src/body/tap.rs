//! Tells the context of a request of the bytes of its body, as they are read.

use crate::context::RequestContext;
use bytes::Bytes;
use http_body::Frame;

#[derive(Debug)]
pub(super) struct Tap(RequestContext);

impl Tap {
    /// `None` where somebody counts already.
    pub(super) fn new(context: RequestContext) -> Option<Self> {
        context.begin_request_count().then_some(Self(context))
    }

    pub(super) fn saw(&self, frame: &Frame<Bytes>) {
        if let Some(data) = frame.data_ref() {
            self.0.saw_request_data(data);
        }
    }
}
