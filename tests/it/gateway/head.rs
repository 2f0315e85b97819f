//! A refused `HEAD`: the fields of its answer, and no body. Over HTTP/2 a body would be an error of the protocol.

use super::*;
use hyper::client::conn::http2;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use tower_gateway::response::{GatewayResponse, GatewayResponseLayer, GatewayResponses, ResponseType};

fn head(path: &str) -> Request<Full<Bytes>> {
    Request::head(path).body(Full::default()).unwrap()
}

/// Status, `Content-Length` and body.
async fn told<B: Body<Error: std::fmt::Debug>>(answer: Response<B>) -> (u16, String, Bytes) {
    let length = answer.headers()["content-length"].to_str().unwrap().to_owned();
    (answer.status().as_u16(), length, answer.into_body().collect().await.unwrap().to_bytes())
}

#[test]
fn over_http2_it_is_an_answer_and_no_error() {
    let own = GatewayResponse::new().template("application/json", "{}");
    let responses = || GatewayResponses::new().with(ResponseType::MissingAuthenticationToken, &own).unwrap();
    run(async {
        for (builder, length) in
            [(full_gateway(), "42"), (full_gateway().gateway_responses(responses()), "2")]
        {
            let service = builder.build().unwrap().layer(Strict::default());
            let (client, server) = tokio::io::duplex(64 * 1024);
            let serving = async move {
                let connection = auto::Builder::new(TokioExecutor::new());
                connection.serve_connection(TokioIo::new(server), TowerToHyperService::new(service)).await
            };
            tokio::spawn(serving);
            let (mut sender, connection) =
                http2::handshake(TokioExecutor::new(), TokioIo::new(client)).await.unwrap();
            tokio::spawn(connection);
            let answer = sender.send_request(head("http://a.example/prod/pets")).await.unwrap();
            assert_eq!(told(answer).await, (403, length.to_owned(), Bytes::new()));
        }
    });
}

#[test]
fn no_layer_that_refuses_sends_a_body() {
    let pending = || service_fn(|_| std::future::pending::<Result<Response<Full<Bytes>>, Infallible>>());
    let time = ManualClock::at_unix_seconds(0);
    let at_once = TimeoutLayer::new(Duration::ZERO).clock(time.clock());
    let any = Routes::builder().any("/pets", ApiMethod::new()).build().unwrap();
    let gateway =
        Gateway::builder().routes(any).clock(time.clock()).timeout(at_once.clone()).build().unwrap();
    run(async {
        let alone = at_once.layer(service_fn(|_: Request<Full<Bytes>>| pending().oneshot(())));
        assert_eq!(told(alone.oneshot(head("/pets")).await.unwrap()).await, (504, "41".into(), Bytes::new()));
        let inner = service_fn(|_: Request<GatewayBody<Full<Bytes>>>| pending().oneshot(()));
        let answer = gateway.layer(inner).oneshot(head("/pets")).await.unwrap();
        assert_eq!(told(answer).await, (504, "41".into(), Bytes::new()));
        let long = || PayloadLimitLayer::new(3).layer(Strict::default());
        let mut large = Request::head("/pets").body(Full::<Bytes>::from("four")).unwrap();
        large.headers_mut().insert("content-length", "4".parse().unwrap());
        let length = "HTTP content length exceeded 3 bytes.".len().to_string();
        let answer = long().oneshot(large.clone()).await.unwrap();
        assert_eq!(told(answer).await, (413, length.clone(), Bytes::new()));
        let answer = GatewayResponseLayer::default().layer(long()).oneshot(large).await.unwrap();
        assert_eq!(told(answer).await, (413, length, Bytes::new()));
    });
}
