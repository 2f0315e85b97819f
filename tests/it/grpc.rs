//! A tonic server behind the gateway: a tonic client speaks to it over real HTTP/2.

use crate::support::run;
use bytes::{Buf, BufMut, Bytes};
use futures_util::{StreamExt, future::join_all, stream};
use http::{Method, Request, Response, Uri, uri::PathAndQuery};
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::{
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use std::{
    convert::Infallible,
    task::{Context, Poll},
    time::Duration,
};
use tonic::{
    Code, Status, Streaming,
    body::Body as TonicBody,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};
use tower::{Layer, Service, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    gateway::{Gateway, GatewayBuilder},
    payload_limit::PayloadLimitLayer,
    response::{GatewayResponse, GatewayResponses, ResponseType},
    route::{ApiMethod, Routes},
    stage::{CustomDomain, Deployment, Stage, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{UsagePlan, UsagePlans},
};

const KEY: &str = "0123456789abcdefghij";

/// Messages are text as it is.
#[derive(Clone, Copy, Debug, Default)]
struct Text;

impl Codec for Text {
    type Encode = String;
    type Decode = String;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Text {
    type Item = String;
    type Error = Status;

    fn encode(&mut self, item: String, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(item.as_bytes());
        Ok(())
    }
}

impl Decoder for Text {
    type Item = String;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<String>, Status> {
        let bytes = buffer.copy_to_bytes(buffer.remaining());
        String::from_utf8(bytes.to_vec()).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

async fn say(request: tonic::Request<String>) -> Result<tonic::Response<String>, Status> {
    match request.into_inner().as_str() {
        "nobody" => Err(Status::not_found("no such pet")),
        "wait" => std::future::pending().await,
        name => Ok(tonic::Response::new(format!("hello {name}"))),
    }
}

/// Answers each message as it comes; an error of the stream ends it.
async fn chat(
    request: tonic::Request<Streaming<String>>,
) -> Result<tonic::Response<stream::BoxStream<'static, Result<String, Status>>>, Status> {
    let answers = request.into_inner().map(|text| text.map(|text| text.to_uppercase()));
    Ok(tonic::Response::new(answers.boxed()))
}

/// What tonic generates for a service with two methods.
async fn pets(request: Request<GatewayBody<Incoming>>) -> Result<Response<TonicBody>, Infallible> {
    let request = request.map(TonicBody::new);
    let mut grpc = tonic::server::Grpc::new(Text);
    Ok(match request.uri().path() {
        "/shop.Pets/Say" => grpc.unary(service_fn(say), request).await,
        "/shop.Pets/Chat" => grpc.streaming(service_fn(chat), request).await,
        _ => Status::unimplemented("").into_http(),
    })
}

/// Serves one connection in a task and gives back the client's end.
async fn connected<S, R, B>(service: S) -> SendRequest<B>
where
    S: Service<Request<Incoming>, Response = Response<R>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    R: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    B: http_body::Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Unpin
        + Send
        + 'static,
{
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let builder = auto::Builder::new(TokioExecutor::new()).http2_only();
        let _closed = builder.serve_connection(TokioIo::new(server), TowerToHyperService::new(service)).await;
    });
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(client));
    let (send, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    send
}

/// The connection as tonic's client wants it.
#[derive(Clone)]
struct Connection(SendRequest<TonicBody>);

impl Service<Request<TonicBody>> for Connection {
    type Response = Response<Incoming>;
    type Error = hyper::Error;
    type Future = std::pin::Pin<Box<dyn Future<Output = hyper::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<TonicBody>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}

async fn client(gateway: &Gateway) -> tonic::client::Grpc<Connection> {
    let connection = Connection(connected(gateway.layer(service_fn(pets))).await);
    tonic::client::Grpc::with_origin(connection, Uri::from_static("http://api.example"))
}

fn gateway(clock: &ManualClock, throttle: Throttle) -> Gateway {
    builder(clock, throttle).build().unwrap()
}

fn builder(clock: &ManualClock, throttle: Throttle) -> GatewayBuilder {
    let keyed = ApiMethod::new().api_key_required(true);
    let routes = Routes::builder()
        .method("/shop.Pets/Say", Method::POST, keyed)
        .method("/shop.Pets/Chat", Method::POST, ApiMethod::new())
        .build()
        .unwrap();
    let plans = UsagePlans::builder()
        .plan(UsagePlan::new("p").throttle(throttle))
        .attach("p", "k")
        .clock(clock.clock())
        .build()
        .unwrap();
    Gateway::builder()
        .routes(routes)
        .api_keys(ApiKeys::builder().key(ApiKey::new("k").value(KEY)).build().unwrap())
        .usage_plans(plans)
        .payload_limit(PayloadLimitLayer::new(1_000))
        .timeout(TimeoutLayer::new(Duration::from_secs(5)))
        .clock(clock.clock())
}

fn with_key(text: &str) -> tonic::Request<String> {
    let mut request = tonic::Request::new(text.to_owned());
    request.metadata_mut().insert("x-api-key", KEY.parse().unwrap());
    request
}

async fn ask(
    client: &mut tonic::client::Grpc<Connection>,
    request: tonic::Request<String>,
) -> Result<tonic::Response<String>, Status> {
    client.ready().await.unwrap();
    client.unary(request, PathAndQuery::from_static("/shop.Pets/Say"), Text).await
}

#[test]
fn calls_pass_with_their_trailers_and_refusals_are_statuses() {
    run(async {
        let clock = ManualClock::at_unix_seconds(0);
        let mut client = client(&gateway(&clock, Throttle::new(1.0, 2).unwrap())).await;
        let answer = ask(&mut client, with_key("ada")).await.unwrap();
        assert_eq!(answer.metadata().get("x-amzn-requestid").unwrap().len(), 36);
        assert_eq!(answer.metadata().get("ratelimit").unwrap(), "\"throttle\";r=1;t=1");
        assert_eq!(answer.into_inner(), "hello ada");
        let own = ask(&mut client, with_key("nobody")).await.unwrap_err();
        assert_eq!((own.code(), own.message()), (Code::NotFound, "no such pet"), "the service's own status");
        let fast = ask(&mut client, with_key("ada")).await.unwrap_err();
        assert!(fast.message().contains("429 Too Many Requests"), "{fast:?}");
        let nobody = ask(&mut client, tonic::Request::new("ada".to_owned())).await.unwrap_err();
        assert!(nobody.message().contains("403 Forbidden"), "{nobody:?}");
        clock.advance(Duration::from_secs(9));
        let late = ask(&mut client, with_key("wait"));
        let ticking = async {
            loop {
                tokio::task::yield_now().await;
                clock.advance(Duration::from_secs(1));
            }
        };
        let late = tokio::select! { late = late => late.unwrap_err(), () = ticking => unreachable!() };
        assert!(late.message().contains("504 Gateway Timeout"), "{late:?}");
    });
}

#[test]
fn gateway_responses_can_be_statuses_of_grpc() {
    run(async {
        let status = |code: &str| {
            let source = format!("'{code}'");
            GatewayResponse::new()
                .status(200)
                .header("grpc-status", &source)
                .header("grpc-message", "context.error.message")
                .template("application/grpc", "")
        };
        let responses = GatewayResponses::new()
            .with(ResponseType::Throttled, &status("8"))
            .and_then(|responses| responses.with(ResponseType::Default4xx, &status("7")))
            .unwrap();
        let clock = ManualClock::at_unix_seconds(0);
        let gateway = builder(&clock, Throttle::new(1.0, 1).unwrap()).gateway_responses(responses);
        let mut client = client(&gateway.build().unwrap()).await;
        ask(&mut client, with_key("ada")).await.unwrap();
        let fast = ask(&mut client, with_key("ada")).await.unwrap_err();
        assert_eq!((fast.code(), fast.message()), (Code::ResourceExhausted, "Too Many Requests"));
        assert_eq!(fast.metadata().get("retry-after").unwrap(), "1");
        let nobody = ask(&mut client, tonic::Request::new("ada".to_owned())).await.unwrap_err();
        assert_eq!((nobody.code(), nobody.message()), (Code::PermissionDenied, "Forbidden"));
    });
}

#[test]
fn streams_flow_both_ways_and_are_counted() {
    run(async {
        let clock = ManualClock::at_unix_seconds(0);
        let mut client = client(&gateway(&clock, Throttle::new(1.0, 1).unwrap())).await;
        let path = PathAndQuery::from_static("/shop.Pets/Chat");
        let messages = stream::iter(["first".to_owned(), "second".to_owned()]);
        client.ready().await.unwrap();
        let answer = client.streaming(tonic::Request::new(messages), path.clone(), Text).await.unwrap();
        let answers: Vec<_> = answer.into_inner().map(Result::unwrap).collect().await;
        assert_eq!(answers, ["FIRST", "SECOND"]);
        // 40 messages of 30 bytes, with five of framing each: cut at 1,000.
        let many = stream::iter((0..40).map(|_| "x".repeat(30)));
        client.ready().await.unwrap();
        let cut = match client.streaming(tonic::Request::new(many), path, Text).await {
            Err(status) => status,
            Ok(answer) => {
                answer.into_inner().fold(None, |_, last| async { Some(last) }).await.unwrap().unwrap_err()
            }
        };
        assert_ne!(cut.code(), Code::Ok, "{cut:?}");
        assert_eq!(
            ask(&mut client, with_key("ada")).await.unwrap().into_inner(),
            "hello ada",
            "the connection lives"
        );
    });
}

/// A body that does not know its length.
fn chunks(chunks: &'static [&'static str]) -> http_body_util::combinators::BoxBody<Bytes, Infallible> {
    let frame = |chunk: &&'static str| Ok(Frame::data(Bytes::from_static(chunk.as_bytes())));
    BodyExt::boxed(StreamBody::new(stream::iter(chunks.iter().map(frame))))
}

#[test]
fn many_requests_of_one_connection_never_mix() {
    run(async {
        let stages = Stages::builder()
            .deployment(Deployment::catch_all("all"))
            .stage(Stage::new("prod", "all"))
            .domain(CustomDomain::new("shop.example").mapping("", "prod"))
            .build()
            .unwrap();
        let gateway =
            Gateway::builder().stages(stages).payload_limit(PayloadLimitLayer::new(10)).build().unwrap();
        let echo = service_fn(|request: Request<GatewayBody<Incoming>>| async {
            let path = request.uri().path().to_owned();
            let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(format!("{path} {}", body.len()))))
        });
        let connection = connected(gateway.layer(echo)).await;
        let ask = async |method: Method, uri: &'static str, body| {
            let request = Request::builder().method(method).uri(uri).body(body).unwrap();
            let answer = connection.clone().send_request(request).await.unwrap();
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            (status, String::from_utf8(body.to_vec()).unwrap())
        };
        let forbidden = || (403, r#"{"message":"Forbidden"}"#.to_owned());
        let answers = join_all([
            ask(Method::POST, "http://a.example/prod/pets", chunks(&["12345", "67890"])),
            ask(Method::POST, "http://a.example/prod/pets", chunks(&["12345", "67890", "1"])),
            ask(Method::GET, "http://shop.example/pets", chunks(&[])),
            ask(Method::GET, "http://a.example/nowhere/pets", chunks(&[])),
            ask(Method::GET, "http://a.example/prod/%2e%2e/pets", chunks(&[])),
            ask(Method::CONNECT, "a.example:443", chunks(&[])),
        ]);
        let answers = answers.await;
        assert_eq!(answers[0], (200, "/pets 10".to_owned()));
        assert_eq!(answers[1], (413, "HTTP content length exceeded 10 bytes.".to_owned()));
        assert_eq!(answers[2], (200, "/pets 0".to_owned()));
        assert_eq!(answers[3], forbidden());
        assert_eq!(answers[4], (400, r#"{"message":"Bad Request"}"#.to_owned()));
        assert_eq!(answers[5], forbidden());
    });
}
