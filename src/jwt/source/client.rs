//! Any HTTP client that is a tower service, as a fetcher of small JSON documents.

use crate::clock::Clock;
use bytes::Buf;
use http::{Request, Response, StatusCode, Uri, header::ACCEPT};
use http_body::Body;
use std::{
    fmt,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::Duration,
};
use tower_service::Service;

type Fetched = Pin<Box<dyn Future<Output = Option<String>> + Send>>;
type FetchFn = dyn Fn(Uri, usize) -> Fetched + Send + Sync;

/// An HTTP client for key sets and discovery documents: any tower service that answers HTTP requests.
///
/// It need not time out or limit anything; [`RemoteJwks`](super::RemoteJwks) does. It should not follow redirects to
/// places that you do not trust.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use std::convert::Infallible;
/// use tower_gateway::jwt::JwksClient;
///
/// let client = tower::service_fn(|request: Request<Empty<Bytes>>| async move {
///     assert_eq!(request.uri().path(), "/.well-known/jwks.json");
///     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(r#"{"keys":[]}"#)))
/// });
/// let client = JwksClient::new(client);
/// ```
#[derive(Clone)]
pub struct JwksClient(Arc<FetchFn>);

impl JwksClient {
    /// Wraps a service. It is cloned for each request, and the clone polled ready.
    pub fn new<S, B, R>(service: S) -> Self
    where
        S: Service<Request<B>, Response = Response<R>> + Clone + Send + Sync + 'static,
        S::Future: Send,
        B: Default + Send + 'static,
        R: Body + Send + 'static,
        R::Data: Send,
    {
        Self(Arc::new(move |uri, limit| Box::pin(get::<S, B, R>(service.clone(), uri, limit))))
    }

    /// The body of `GET uri`: of an answer 200, in UTF-8, at most `limit` bytes, within `timeout`.
    pub(super) async fn fetch(
        &self,
        uri: Uri,
        limit: usize,
        timeout: Duration,
        clock: &Clock,
    ) -> Option<String> {
        let mut answer = (self.0)(uri, limit);
        let mut deadline = pin!(clock.sleep(timeout));
        poll_fn(|cx| match answer.as_mut().poll(cx) {
            Poll::Ready(body) => Poll::Ready(body),
            Poll::Pending => deadline.as_mut().poll(cx).map(|()| None),
        })
        .await
    }
}

impl fmt::Debug for JwksClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JwksClient(..)")
    }
}

async fn get<S, B, R>(mut service: S, uri: Uri, limit: usize) -> Option<String>
where
    S: Service<Request<B>, Response = Response<R>>,
    B: Default,
    R: Body,
{
    poll_fn(|cx| service.poll_ready(cx)).await.ok()?;
    let mut request = Request::new(B::default());
    *request.uri_mut() = uri;
    request.headers_mut().insert(ACCEPT, http::HeaderValue::from_static("application/json"));
    let response = service.call(request).await.ok()?;
    if response.status() != StatusCode::OK {
        return None;
    }
    String::from_utf8(collect(response.into_body(), limit).await?).ok()
}

async fn collect<R: Body>(body: R, limit: usize) -> Option<Vec<u8>> {
    let mut body = pin!(body);
    let mut bytes = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(mut data) = frame.ok()?.into_data() else { continue };
        if bytes.len() + data.remaining() > limit {
            return None;
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            let length = chunk.len();
            bytes.extend_from_slice(chunk);
            data.advance(length);
        }
    }
    Some(bytes)
}
