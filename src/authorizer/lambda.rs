//! A function behind the Lambda Invoke API.

use super::{AuthorizerAnswer, AuthorizerError, AuthorizerEvent, flight::BoxFuture};
use crate::error::ConfigError;
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, header::CONTENT_TYPE, uri::PathAndQuery,
};
use http_body::Body;
use std::{
    error::Error,
    fmt,
    future::poll_fn,
    marker::PhantomData,
    pin::pin,
    task::{Context, Poll},
};
use tower_service::Service;

static FUNCTION_ERROR: HeaderName = HeaderName::from_static("x-amz-function-error");
static INVOCATION_TYPE: HeaderName = HeaderName::from_static("x-amz-invocation-type");

/// Largest answer that is read; what reads answers has the same limit.
const MAX_ANSWER: usize = super::answer::MAX_ANSWER;

/// A Lambda function, or anything that speaks its Invoke API, as the function of an authorizer:
/// `POST <endpoint>/2015-03-31/functions/<function>/invocations` with the event as its body.
///
/// `C` is any HTTP client that is a tower service; it connects, retries, and signs the request where the endpoint is
/// AWS's. `B` is its request body. What the function throws (`X-Amz-Function-Error`) has its `errorMessage` read:
/// exactly `Unauthorized` is answered with 401.
///
/// ```
/// use bytes::Bytes;
/// use http::{Request, Response};
/// use http_body_util::Full;
/// use std::convert::Infallible;
/// use tower::service_fn;
/// use tower_gateway::authorizer::{Authorizer, LambdaInvoke};
///
/// // A real client has hyper or reqwest inside.
/// let client = service_fn(|request: Request<Full<Bytes>>| async move {
///     assert_eq!(request.uri(), "http://127.0.0.1:9001/2015-03-31/functions/pets-authorizer/invocations");
///     Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("{}")))
/// });
/// let function = LambdaInvoke::new(client, &"http://127.0.0.1:9001".parse()?, "pets-authorizer")?;
/// let authorizer = Authorizer::token("pets", function).build()?;
/// # let _ = authorizer;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// AWS: "Invoke" in the Lambda API reference.
pub struct LambdaInvoke<C, B> {
    client: C,
    uri: Uri,
    body: PhantomData<fn(B)>,
}

impl<C, B> LambdaInvoke<C, B> {
    /// `endpoint` is scheme and authority, with a path before the API's own if there is one; `function` a name, an
    /// ARN, or a partial ARN.
    ///
    /// # Errors
    ///
    /// An endpoint without scheme or authority, or with a query; a function of other characters than those of names
    /// and ARNs.
    pub fn new(client: C, endpoint: &Uri, function: &str) -> Result<Self, ConfigError> {
        let named = |byte: u8| byte.is_ascii_alphanumeric() || b"-_:$.".contains(&byte);
        if function.is_empty() || !function.bytes().all(named) {
            return Err(ConfigError::new("Lambda function", function, "is neither a name nor an ARN"));
        }
        let uri = invocations(endpoint, function);
        let uri = uri.ok_or_else(|| ConfigError::new("Lambda endpoint", endpoint, "is not a base URL"))?;
        Ok(Self { client, uri, body: PhantomData })
    }
}

fn invocations(endpoint: &Uri, function: &str) -> Option<Uri> {
    if endpoint.query().is_some() {
        return None;
    }
    let base = endpoint.path().trim_end_matches('/');
    let path = format!("{base}/2015-03-31/functions/{function}/invocations");
    let mut parts = endpoint.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(path).ok()?);
    Uri::from_parts(parts).ok().filter(|uri| uri.scheme().is_some() && uri.authority().is_some())
}

impl<C: Clone, B> Clone for LambdaInvoke<C, B> {
    fn clone(&self) -> Self {
        Self { client: self.client.clone(), uri: self.uri.clone(), body: PhantomData }
    }
}

impl<C, B> fmt::Debug for LambdaInvoke<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LambdaInvoke").field("uri", &self.uri).finish_non_exhaustive()
    }
}

impl<C, B, R> Service<AuthorizerEvent> for LambdaInvoke<C, B>
where
    C: Service<Request<B>, Response = Response<R>>,
    C::Error: fmt::Display,
    C::Future: Send + 'static,
    B: From<Bytes>,
    R: Body + Send + 'static,
    R::Data: Send,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    type Response = AuthorizerAnswer;
    type Error = AuthorizerError;
    type Future = BoxFuture<Result<AuthorizerAnswer, AuthorizerError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), AuthorizerError>> {
        self.client.poll_ready(cx).map_err(unreachable)
    }

    fn call(&mut self, event: AuthorizerEvent) -> Self::Future {
        let mut request = Request::new(B::from(Bytes::from(event.to_json())));
        *request.method_mut() = http::Method::POST;
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(INVOCATION_TYPE.clone(), HeaderValue::from_static("RequestResponse"));
        #[cfg(feature = "tracing")]
        super::trace::called(&event, &request);
        let answered = self.client.call(request);
        Box::pin(async move {
            let (parts, body) = answered.await.map_err(unreachable)?.into_parts();
            event.notes().answered(parts.status, &parts.headers);
            if !parts.status.is_success() {
                return Err(AuthorizerError::Unreachable(format!("status {}", parts.status.as_u16())));
            }
            payload(&parts.headers, collect(body).await?)
        })
    }
}

fn unreachable(error: impl fmt::Display) -> AuthorizerError {
    AuthorizerError::Unreachable(error.to_string())
}

/// What the function returned, or what it threw.
fn payload(headers: &HeaderMap, body: Vec<u8>) -> Result<AuthorizerAnswer, AuthorizerError> {
    if !headers.contains_key(&FUNCTION_ERROR) {
        return Ok(AuthorizerAnswer::from_json(body));
    }
    let thrown: Option<serde_json::Value> = serde_json::from_slice(&body).ok();
    let message = thrown.as_ref().and_then(|thrown| thrown["errorMessage"].as_str());
    Err(message
        .map_or_else(|| AuthorizerError::Failed("without a message".to_owned()), AuthorizerError::thrown))
}

async fn collect<R>(body: R) -> Result<Vec<u8>, AuthorizerError>
where
    R: Body,
    R::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut body = pin!(body);
    let mut collected = Vec::new();
    while let Some(frame) = poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
        let Ok(data) = frame.map_err(|error| unreachable(error.into()))?.into_data() else { continue };
        append(&mut collected, data)?;
    }
    Ok(collected)
}

fn append(collected: &mut Vec<u8>, mut data: impl bytes::Buf) -> Result<(), AuthorizerError> {
    if collected.len() + data.remaining() > MAX_ANSWER {
        return Err(AuthorizerError::Malformed(format!("longer than {MAX_ANSWER} bytes")));
    }
    while data.has_remaining() {
        let chunk = data.chunk();
        collected.extend_from_slice(chunk);
        let length = chunk.len();
        data.advance(length);
    }
    Ok(())
}
