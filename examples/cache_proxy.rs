//! An RFC 9111 cache in front of any HTTP/1.1 server, out of `CacheLayer` and a plain hyper-util client:
//! `ORIGIN=127.0.0.1:8000 PORT=3000 cargo run --example cache_proxy`, so that any suite for HTTP caches can be run
//! against it.

mod process;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Request, Response, StatusCode, Uri, Version,
    header::{HOST, VIA},
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, Error as ClientError, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use std::{
    error::Error,
    io::{self, ErrorKind},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    GatewayBody,
    cache::{
        Cache, CacheLayer,
        rfc::{Rfc9111, SetCookie, hop_by_hop_fields},
    },
};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let origin = origin(&std::env::var("ORIGIN").unwrap_or_else(|_| "127.0.0.1:8000".to_owned()))?;
    let listener = process::listener(3000).await?;
    println!("An RFC 9111 cache at http://{} in front of {origin}. Try, twice:", listener.local_addr()?);
    println!("  curl -i http://{}/\n      -> look at Age and Cache-Status", listener.local_addr()?);
    serve(listener, origin).await?;
    Ok(())
}

/// `host:port`, and nothing else: neither a path nor a user, and no TLS.
fn origin(text: &str) -> Result<Authority, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text);
    let bare = bare.strip_suffix('/').unwrap_or(bare);
    let origin = Authority::try_from(bare).ok().filter(|origin| !origin.as_str().contains('@'));
    origin.ok_or_else(|| format!("ORIGIN={text} is not a host and port such as 127.0.0.1:8000"))
}

/// To the letter of RFC 9111, for a service that knows it; the layer's own defaults are more careful.
fn rules() -> Rfc9111 {
    Rfc9111::new()
        .heuristic_freshness(10, Duration::from_secs(24 * 3600))
        .stale_if_error(Duration::from_secs(60))
        .set_cookie(SetCookie::Store)
        .cookies_are_credentials(false)
        .forward_conditions(true)
}

/// Serves until the listener fails.
pub async fn serve(listener: TcpListener, origin: Authority) -> io::Result<()> {
    let cache = Cache::builder().rfc9111(rules()).build();
    let layer = CacheLayer::new(cache.map_err(|error| io::Error::new(ErrorKind::InvalidInput, error))?);
    let client = Client::builder(TokioExecutor::new()).build_http();
    let forward = service_fn(move |request| forward(client.clone(), origin.clone(), request));
    // The service's errors pass through the cache untouched; what the client gets for them is ours to say.
    let service = layer.layer(forward).map_result(|answer: Result<Answer, ClientError>| {
        answer.or_else(|error| Ok::<_, ClientError>(bad_gateway(&error)))
    });
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (stream, interim) = interim_answers(stream);
        let service = service.clone().map_request(move |mut request| {
            interim.forward_for(&mut request);
            // Outside of the cache, which must see what the origin sees: a client could otherwise take a field off with
            // `Connection` and have the answer stored for everybody who sends it.
            take_off_connection(request.headers_mut());
            request
        });
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
            if let Err(error) = connection.await {
                eprintln!("connection of {peer}: {error}");
            }
        });
    }
}

async fn forward(
    client: Client<HttpConnector, Incoming>,
    origin: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, ClientError> {
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = Some(Scheme::HTTP);
    target.authority = Some(origin);
    // What has no absolute form (`OPTIONS *`) is left without one, which the client refuses to send.
    if let Ok(target) = Uri::from_parts(target) {
        *request.uri_mut() = target;
    }
    *request.version_mut() = Version::HTTP_11;
    request.headers_mut().remove(HOST);
    request.headers_mut().append(VIA, OURS);
    let mut answer = client.request(request).await?;
    take_off_connection(answer.headers_mut());
    answer.headers_mut().append(VIA, OURS);
    *answer.version_mut() = Version::HTTP_11;
    Ok(answer)
}

/// What a proxy owes every message: `Via` tells that it was here, and the fields of the connection leave.
const OURS: HeaderValue = HeaderValue::from_static("1.1 tower-gateway");

fn take_off_connection(headers: &mut HeaderMap) {
    hop_by_hop_fields(headers).into_iter().for_each(|name| {
        headers.remove(name);
    });
}

type Answer = Response<GatewayBody<Incoming>>;

fn bad_gateway(error: &ClientError) -> Answer {
    eprintln!("the origin does not answer: {error}");
    let mut answer = Response::new(GatewayBody::from(Bytes::from_static(b"Bad Gateway\n")));
    *answer.status_mut() = StatusCode::BAD_GATEWAY;
    answer
}

/// Interim answers (103 and the like): hyper's server sends none, so they are written to the socket beside it, which
/// is sound while nothing of an answer is on its way, and the request that they belong to is still to be answered.
fn interim_answers(stream: TcpStream) -> (Connection, Interim) {
    let shared = Arc::new(Shared { stream, pending: Mutex::default() });
    let interim = Interim(Arc::downgrade(&shared));
    (Connection(shared), interim)
}

struct Shared {
    stream: TcpStream,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    /// The number of the request that came last on this connection.
    request: u64,
    /// Its answer has begun: what comes from now on, such as from a refresh behind a stale answer, is for nobody.
    is_answered: bool,
    /// Interim answers that are not written yet.
    bytes: Vec<u8>,
    /// hyper holds bytes of an answer back: nothing may come between them.
    hyper_waits: bool,
}

/// Does not keep the connection open: a call of the service may outlive its client.
#[derive(Clone)]
struct Interim(Weak<Shared>);

impl Interim {
    fn forward_for<B>(&self, request: &mut Request<B>) {
        let Some(number) = self.0.upgrade().map(|shared| shared.begin()) else { return };
        // A client of HTTP/1.0 does not know them.
        if request.version() == Version::HTTP_11 {
            let shared = self.0.clone();
            hyper::ext::on_informational(request, move |answer| {
                if let Some(shared) = shared.upgrade() {
                    shared.send(number, answer.status(), answer.headers());
                }
            });
        }
    }
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come: its number.
    fn begin(&self) -> u64 {
        let mut pending = self.pending();
        pending.request += 1;
        pending.is_answered = false;
        pending.request
    }

    fn send(&self, request: u64, status: StatusCode, headers: &HeaderMap) {
        let mut pending = self.pending();
        let is_late = pending.request != request || pending.is_answered || pending.hyper_waits;
        if is_late || status == StatusCode::CONTINUE || status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        let reason = status.canonical_reason().unwrap_or("-");
        pending.bytes.extend_from_slice(format!("HTTP/1.1 {} {reason}\r\n", status.as_u16()).as_bytes());
        for (name, value) in headers {
            let parts: [&[u8]; 4] = [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"];
            parts.iter().for_each(|part| pending.bytes.extend_from_slice(part));
        }
        pending.bytes.extend_from_slice(b"\r\n");
        // What does not go now goes before hyper's next byte.
        let _ = self.drain(&mut pending);
    }

    fn drain(&self, pending: &mut Pending) -> io::Result<()> {
        while !pending.bytes.is_empty() {
            let written = self.stream.try_write(&pending.bytes)?;
            pending.bytes.drain(..written);
        }
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut pending = self.pending();
        // hyper itself says 100 before an answer.
        pending.is_answered |= !bytes.starts_with(b"HTTP/1.1 100");
        let written = self.drain(&mut pending).and_then(|()| self.stream.try_write(bytes));
        pending.hyper_waits = !matches!(written, Ok(written) if written == bytes.len());
        written
    }
}

/// The client's connection as hyper sees it.
struct Connection(Arc<Shared>);

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let stream = &self.0.stream;
        loop {
            ready!(stream.poll_read_ready(cx))?;
            match stream.try_read(buf.initialize_unfilled()) {
                Ok(count) => {
                    buf.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.stream.poll_write_ready(cx))?;
            match self.0.write(bytes) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                result => return Poll::Ready(result),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Both halves close when the connection is dropped.
        Poll::Ready(Ok(()))
    }
}
