//! Segments for the X-Ray daemon, over UDP.

use super::{
    super::{
        access_log::{Escaping, Sampling, is_secret_name},
        event::RequestEvent,
        layer::Observer,
        secret_path::mask_path,
    },
    SpanId, TraceContext, names,
};
use crate::context::{Ingress, RequestContext};
use http::{StatusCode, uri::Scheme};
use std::{
    fmt::{self, Write},
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

/// What the daemon wants before each document.
const HEADER: &str = "{\"format\":\"json\",\"version\":1}\n";
/// Largest document.
const MAX_SEGMENT: usize = 64 * 1024;

/// Sends a segment of every recorded request to an X-Ray daemon: an [`Observer`], of requests that passed an active
/// [`TraceLayer`](super::TraceLayer). A call of the service inside is its subsegment `integration`, where
/// [`Gateway`](crate::gateway) or an [`IntegrationTimerLayer`](crate::observe::IntegrationTimerLayer) measures it.
///
/// The URL is `https` where an [`Ingress`] says that the connection is encrypted; where there is none, what the request
/// itself says, which names a scheme over HTTP/2. `x_forwarded_for` says that `client_ip` is a trusted proxy's word.
///
/// The socket never waits: a datagram that finds no room is counted as lost.
///
/// AWS: "AWS X-Ray segment documents".
pub struct XRayDaemon {
    socket: UdpSocket,
    region: String,
    tail: Sampling,
    lost: AtomicU64,
}

impl XRayDaemon {
    /// A daemon at `address`; usually `127.0.0.1:2000`. `region` names the API's resource.
    ///
    /// # Errors
    ///
    /// The system gives no socket.
    pub fn connect(address: SocketAddr, region: impl Into<String>) -> io::Result<Self> {
        let any = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
        socket.connect(address)?;
        socket.set_nonblocking(true)?;
        Ok(Self { socket, region: region.into(), tail: Sampling::all(), lost: AtomicU64::new(0) })
    }

    /// Which of the recorded requests are sent, decided at their end: `Sampling::all().successes(0.0)?.slower_than(..)`
    /// sends slow, refused and failed ones only. Default: all.
    #[must_use]
    pub fn tail(mut self, sampling: Sampling) -> Self {
        self.tail = sampling;
        self
    }

    /// Segments that could not be sent.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// The document of one request.
    fn segment(&self, trace: &TraceContext, event: &RequestEvent<'_>) -> Result<String, fmt::Error> {
        let mut out = String::with_capacity(1024);
        out.push_str(HEADER);
        let context = event.context();
        let (api, stage) = (names::id(event.api()), context.stage().unwrap_or("-"));
        write!(out, "{{\"id\":\"{}\",\"trace_id\":\"{}\"", trace.span, trace.trace_id)?;
        if let Some(parent) = trace.parent {
            write!(out, ",\"parent_id\":\"{parent}\"")?;
        }
        member(&mut out, "name", &names::service_name(event.api(), stage));
        let start = context.arrived().unix_millis() as f64 / 1e3;
        let end = start + event.latency().as_secs_f64();
        write!(out, ",\"start_time\":{start:.3},\"end_time\":{end:.3}")?;
        member(&mut out, "origin", names::SERVICE_TYPE);
        member(&mut out, "resource_arn", &names::stage_arn(event.api(), &self.region, stage));
        push_faults(event.error_class(), event.status(), &mut out);
        push_http(event, &mut out)?;
        push_integration(event, start, &mut out)?;
        out.push_str(",\"aws\":{\"api_gateway\":{\"request_id\":\"");
        out.push_str(context.request_id());
        out.push('"');
        if let Some(account) = event.account_id() {
            member(&mut out, "account_id", account);
        }
        member(&mut out, "rest_api_id", api);
        member(&mut out, "stage", stage);
        out.push('}');
        if let Some(rule) = trace.rule() {
            out.push_str(",\"xray\":{\"sampling_rule_name\":");
            string(&mut out, rule);
            out.push('}');
        }
        out.push_str("},\"annotations\":{\"aws:api_id\":");
        string(&mut out, api);
        member(&mut out, "aws:api_stage", stage);
        out.push_str("},\"metadata\":{\"default\":{\"extended_request_id\":");
        string(&mut out, context.extended_request_id());
        member(&mut out, "request_id", context.request_id());
        out.push_str("}}}");
        Ok(out)
    }
}

fn push_faults(class: Option<u8>, status: Option<StatusCode>, out: &mut String) {
    match class {
        Some(4) => out.push_str(",\"error\":true"),
        Some(_) => out.push_str(",\"fault\":true"),
        None => {}
    }
    if status == Some(StatusCode::TOO_MANY_REQUESTS) {
        out.push_str(",\"throttle\":true");
    }
}

/// Without its query and the values of its secret variables: they are what nobody should keep. A path alone where nobody
/// named a host.
fn url(context: &RequestContext) -> String {
    let uri = context.received_uri();
    let path = mask_path(uri.path(), context, is_secret_name);
    let said = || if uri.scheme() == Some(&Scheme::HTTPS) { "https" } else { "http" };
    let by_listener = |ingress: &Ingress| if ingress.is_secure() { "https" } else { "http" };
    let scheme = context.ingress().map_or_else(said, by_listener);
    match context.domain_name() {
        Some(host) => format!("{scheme}://{host}{path}"),
        None => path.into_owned(),
    }
}

fn push_http(event: &RequestEvent<'_>, out: &mut String) -> fmt::Result {
    let context = event.context();
    out.push_str(",\"http\":{\"request\":{\"method\":");
    string(out, context.method().as_str());
    member(out, "url", &url(context));
    if let Some(address) = context.source_ip() {
        member(out, "client_ip", &address.to_string());
    }
    if context.is_forwarded() {
        out.push_str(",\"x_forwarded_for\":true");
    }
    out.push_str("},\"response\":{");
    if let Some(status) = event.status() {
        write!(out, "\"status\":{},", status.as_u16())?;
    }
    write!(out, "\"content_length\":{}}}}}", event.response_length())
}

/// The service inside, where it was called: a subsegment of its own. One that gave no answer is at fault.
fn push_integration(event: &RequestEvent<'_>, start: f64, out: &mut String) -> fmt::Result {
    let context = event.context();
    let Some(latency) = context.integration_latency() else { return Ok(()) };
    let called = start + context.integration_offset().as_secs_f64();
    let (id, end) = (SpanId::new(fastrand::u64(..)), called + latency.as_secs_f64());
    write!(out, ",\"subsegments\":[{{\"id\":\"{id}\",\"name\":\"integration\",\"namespace\":\"remote\"")?;
    write!(out, ",\"start_time\":{called:.3},\"end_time\":{end:.3}")?;
    let status = context.integration_status();
    let class = status.map_or(5, |status| (status.as_u16() / 100) as u8);
    push_faults(Some(class).filter(|class| matches!(class, 4 | 5)), status, out);
    if let Some(status) = status {
        write!(out, ",\"http\":{{\"response\":{{\"status\":{}}}}}", status.as_u16())?;
    }
    out.push_str("}]");
    Ok(())
}

fn string(out: &mut String, text: &str) {
    out.push('"');
    Escaping::Json.push(text, out);
    out.push('"');
}

fn member(out: &mut String, name: &str, value: &str) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    string(out, value);
}

impl Observer for XRayDaemon {
    fn ended(&self, event: &RequestEvent<'_>) {
        let Some(trace) = event.context().trace().filter(|trace| trace.takes_part) else { return };
        if !self.tail.takes(event) {
            return;
        }
        let sent = match self.segment(trace, event) {
            Ok(document) if document.len() <= MAX_SEGMENT => self.socket.send(document.as_bytes()).is_ok(),
            _ => false,
        };
        if !sent {
            self.lost.fetch_add(1, Relaxed);
        }
    }
}

impl fmt::Debug for XRayDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("XRayDaemon").field("region", &self.region).finish_non_exhaustive()
    }
}
