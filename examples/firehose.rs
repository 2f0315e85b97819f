//! Access logs to a Firehose stream: `cargo run --example firehose --features firehose,sigv4,gateway`.
//!
//! The client signs with AWS's crate `aws-sigv4`, as it would for the real Firehose. So that it runs anywhere, the
//! endpoint is one of its own in the same process: it checks every signature with `SigV4AuthLayer`, loses every third
//! record, so that the sink has something to send again, and shows what it took under `/delivered`.

mod process;

use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use axum::{
    Json, Router,
    body::Body,
    extract::{ConnectInfo, State},
    routing::get,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};
use std::{
    error::Error,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, UNIX_EPOCH},
};
use tower::{Layer, service_fn};
use tower_gateway::{
    clock::Clock,
    gateway::Gateway,
    observe::{AccessLog, AccessLogFormat, AccessLogLayer, FirehoseSink, LogApi, LogPreset},
    route::{ApiMethod, Routes},
    sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer, SigV4Verifier},
    stage::Stages,
};

const REGION: &str = "eu-west-1";
const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

type Failure = Box<dyn Error + Send + Sync>;

/// What Firehose wants: Signature Version 4 over the whole request.
fn signed(mut request: Request<Bytes>) -> Result<Request<Bytes>, Failure> {
    let identity = aws_credential_types::Credentials::new(ACCESS_KEY, SECRET, None, None, "example").into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("firehose")
        .time(UNIX_EPOCH + Duration::from_millis(Clock::system().now().unix_millis() as u64))
        .settings(SigningSettings::default())
        .build()?;
    let fields =
        request.headers().iter().filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)));
    let body = SignableBody::Bytes(request.body());
    let signable = SignableRequest::new(request.method().as_str(), request.uri().to_string(), fields, body)?;
    let (instructions, _signature) = sign(signable, &params.into())?.into_parts();
    instructions.apply_to_request_http1x(&mut request);
    Ok(request)
}

type Taken = Arc<Mutex<Vec<String>>>;

/// Takes records, but of every call with more than one the third.
async fn put_record_batch(State(taken): State<Taken>, body: Bytes) -> Json<Value> {
    let call: Value = serde_json::from_slice(&body).unwrap_or_default();
    let records = call["Records"].as_array().cloned().unwrap_or_default();
    let mut taken = taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut failed = 0;
    let mut answers = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let data = BASE64_STANDARD.decode(record["Data"].as_str().unwrap_or_default()).unwrap_or_default();
        if records.len() > 1 && index % 3 == 2 {
            failed += 1;
            answers.push(json!({ "ErrorCode": "ServiceUnavailableException", "ErrorMessage": "Slow down." }));
        } else {
            answers.push(json!({ "RecordId": taken.len().to_string() }));
            taken.push(String::from_utf8_lossy(&data).into_owned());
        }
    }
    Json(json!({ "FailedPutCount": failed, "RequestResponses": answers }))
}

/// A Firehose behind the signatures that AWS's would ask for.
async fn firehose(taken: Taken) -> Result<SocketAddr, Box<dyn Error>> {
    let writer = Credentials::builder(ACCESS_KEY, SECRET, "arn:aws:iam::111122223333:user/pets").build()?;
    let verifier = SigV4Verifier::new(REGION, "firehose")?;
    let guard = SigV4AuthLayer::authenticate_only(MemoryCredentialsStore::new([writer]), verifier).build()?;
    let service = Router::new().fallback(put_record_batch).with_state(taken);
    // The layer hands on its own body type; axum's comes back here.
    let service =
        guard.layer(tower::util::MapRequest::new(service, |request: Request<_>| request.map(Body::new)));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback_service(service)).await });
    Ok(address)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = process::listener(3000).await?;
    let taken = Taken::default();
    let endpoint = format!("http://{}", firehose(Arc::clone(&taken)).await?);

    let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
    let signing = service_fn(move |request: Request<Bytes>| {
        let client = client.clone();
        async move { Ok::<_, Failure>(client.request(signed(request)?.map(Full::new)).await?) }
    });
    let (sink, delivery) = FirehoseSink::new("amazon-apigateway-pets", &endpoint.parse()?)?;
    let delivering = tokio::spawn(delivery.run(signing));

    let routes = Routes::builder().method("/pets", http::Method::GET, ApiMethod::new()).build()?;
    let log = AccessLog::new(AccessLogFormat::preset(LogApi::Rest, LogPreset::Json), sink.clone());
    let peer = |extensions: &http::Extensions| Some(extensions.get::<ConnectInfo<SocketAddr>>()?.0.ip());
    let gateway = Gateway::builder().stages(Stages::single("prod", routes)?).peer_addr(peer);
    let gateway = gateway.observe(AccessLogLayer::new(log));
    let shop =
        gateway.build()?.layer(Router::new().route("/pets", get(|| async { Json(json!(["dog", "cat"])) })));
    let delivered =
        get(move || async move { taken.lock().unwrap_or_else(std::sync::PoisonError::into_inner).concat() });
    let app = Router::new().route("/delivered", delivered).fallback_service(shop);

    let base = format!("http://{}", listener.local_addr()?);
    println!("The pet shop is at {base}. Try:");
    println!("  curl '{base}/prod/pets?[1-5]'   # five entries in one batch; the third has to be sent again");
    println!("  curl {base}/prod/dogs           # 403, an entry too");
    println!("  curl {base}/delivered           # what Firehose took, a second later");
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    process::finish(axum::serve(listener, app).with_graceful_shutdown(process::asked_to_stop())).await?;
    // Nothing that was logged is lost.
    sink.close();
    delivering.await?;
    println!("{:?}", sink.stats());
    Ok(())
}
