//! Ends that only a real connection has: upgrades, panics, clients that leave.

use super::*;

/// Serves `app` with axum, its own log outside, and gives back the address.
async fn served(kept: &Kept, app: Router) -> std::net::SocketAddr {
    let text = "$context.requestId $context.httpMethod $context.path $context.status $context.responseLength $context.outcome";
    let log = AccessLogLayer::new(kept.log(AccessLogFormat::new(LogApi::Rest, text).unwrap()));
    let app = Router::new().fallback_service(ServiceBuilder::new().layer(log).service(app));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

async fn exchange(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{head}\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _a_panic_closes_it = stream.read_to_string(&mut answer).await;
    answer
}

/// The same inside of a gateway.
async fn served_by_gateway(kept: &Kept, app: Router) -> std::net::SocketAddr {
    let text = "$context.requestId $context.httpMethod $context.path $context.status $context.responseLength $context.outcome $context.requestLength";
    let log = kept.log(AccessLogFormat::new(LogApi::Rest, text).unwrap());
    let gateway = Gateway::builder().observe(AccessLogLayer::new(log)).build().unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = Router::new().fallback_service(gateway.layer(app));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    address
}

#[test]
fn a_gateway_tells_of_upgrades_chunked_bodies_panics_and_answers_without_a_body() {
    async fn switch(request: axum::extract::Request) -> Response<Body> {
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            let mut stream = hyper_util::rt::TokioIo::new(upgraded);
            stream.write_all(b"after the switch").await.unwrap();
        });
        let answer =
            Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        answer.body(Body::empty()).unwrap()
    }
    let app = Router::new()
        .route("/pets", get_route(|| async { "cat, dog" }).post(|body: Bytes| async move { body }))
        .route("/none", get_route(|| async { http::StatusCode::NOT_MODIFIED }))
        .route("/panic", get_route(|| async { std::panic::resume_unwind(Box::new("handler")) as () }))
        .route("/switch", get_route(switch));
    run(async {
        let kept = Kept::default();
        let address = served_by_gateway(&kept, app).await;
        exchange(address, "GET /pets HTTP/1.1").await;
        exchange(address, "HEAD /pets HTTP/1.1").await;
        exchange(address, "GET /none HTTP/1.1").await;
        exchange(address, "GET /panic HTTP/1.1").await;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head =
            "POST /pets HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(format!("{head}3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with("abcdefg"), "{answer}");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let upgrade = "GET /switch HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: echo\r\n\r\n";
        stream.write_all(upgrade.as_bytes()).await.unwrap();
        answer.clear();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 101") && answer.ends_with("after the switch"), "{answer}");
        assert_eq!(
            kept.lines(),
            [
                "ID GET /pets 200 8 complete -",
                "ID HEAD /pets 200 0 complete -",
                "ID GET /none 304 0 complete -",
                "ID GET /panic - 0 panicked -",
                "ID POST /pets 200 7 complete 7",
                "ID GET /switch 101 0 complete -",
            ]
        );
    });
}

/// A stream that never ends, of which servers ask nothing.
async fn nothing_announced() -> Response<Body> {
    let stream = futures_util::stream::pending::<Result<Bytes, Infallible>>();
    Response::builder().header("content-length", "0").body(Body::from_stream(stream)).unwrap()
}

#[test]
fn over_a_socket_every_end_is_told_once() {
    let gone = Arc::new(Notify::new());
    let told = Arc::clone(&gone);
    let endless = move || {
        let told = Arc::clone(&told);
        async move {
            struct Tell(Arc<Notify>);
            impl Drop for Tell {
                fn drop(&mut self) {
                    self.0.notify_one();
                }
            }
            let tell = Tell(told);
            let stream = futures_util::stream::unfold(tell, |tell| async {
                tokio::task::yield_now().await;
                Some((Ok::<_, Infallible>(Bytes::from_static(&[b'x'; 4096])), tell))
            });
            Body::from_stream(stream)
        }
    };
    let app = Router::new()
        .route("/pets", get_route(|| async { "cat, dog" }))
        .route("/none", get_route(|| async { http::StatusCode::NOT_MODIFIED }))
        .route("/zero", get_route(nothing_announced))
        .route("/endless", get_route(endless))
        .route("/panic", get_route(|| async { std::panic::resume_unwind(Box::new("handler")) as () }));
    run(async {
        let kept = Kept::default();
        let address = served(&kept, app).await;
        assert!(exchange(address, "GET /pets HTTP/1.1").await.ends_with("cat, dog"));
        exchange(address, "HEAD /pets HTTP/1.1").await;
        exchange(address, "GET /none HTTP/1.1").await;
        exchange(address, "GET /zero HTTP/1.1").await;
        exchange(address, "GET /panic HTTP/1.1").await;
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /endless HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 1000]).await.unwrap();
        drop(stream);
        gone.notified().await;
        tokio::task::yield_now().await;
        let lines = kept.lines();
        assert_eq!(
            lines[..5],
            [
                "ID GET /pets 200 8 complete",
                "ID HEAD /pets 200 0 complete",
                "ID GET /none 304 0 complete",
                "ID GET /zero 200 0 complete",
                "ID GET /panic - 0 panicked"
            ]
        );
        assert!(
            lines[5].starts_with("ID GET /endless 200 ") && lines[5].ends_with(" client_closed"),
            "{}",
            lines[5]
        );
        assert_eq!(lines.len(), 6);
    });
}
