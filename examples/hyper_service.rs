//! The gateway around a plain hyper service, no axum: `cargo run --example hyper_service`.

mod process;

use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use std::{convert::Infallible, error::Error};
use tower::{Layer, service_fn};
use tower_gateway::{
    GatewayBody,
    context::{PeerAddr, RequestContext},
    gateway::Gateway,
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, Routes},
    stage::Stages,
};

async fn hello(request: Request<GatewayBody<Incoming>>) -> Result<Response<Full<Bytes>>, Infallible> {
    let context = RequestContext::of(request.extensions());
    let name = context.and_then(|context| context.path_parameter("name")).unwrap_or("nobody");
    let from = context.and_then(RequestContext::source_ip);
    Ok(Response::new(Full::from(format!("hello {name}, you call from {from:?}\n"))))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let routes = Routes::builder().any("/hello/{name}", ApiMethod::new()).build()?;
    let gateway = Gateway::builder()
        .stages(Stages::single("prod", routes)?)
        .payload_limit(PayloadLimitLayer::new(1024))
        .build()?;
    let service = gateway.layer(service_fn(hello));

    let listener = process::listener(3000).await?;
    let base = format!("http://{}", listener.local_addr()?);
    println!(
        "Try:\n  curl -i {base}/prod/hello/world\n      -> 200\n  curl -i {base}/prod/bye\n      -> 403 {{\"message\":\"Missing Authentication Token\"}}"
    );
    loop {
        let (stream, peer) = listener.accept().await?;
        // The connection's address is the server's to tell.
        let service = tower::util::MapRequest::new(service.clone(), move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(PeerAddr(peer));
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
