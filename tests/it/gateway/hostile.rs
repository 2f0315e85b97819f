//! Hostile input over a socket gets the documented bytes.

use super::*;

/// Sends raw bytes to the gateway behind hyper, and gives back the raw answer.
async fn over_a_socket(bytes: &[u8]) -> String {
    let service = full_gateway()
        .payload_limit(PayloadLimitLayer::new(1_000).header_limit(2_000).url_limit(500))
        .timeout(TimeoutLayer::new(Duration::from_secs(5)))
        .build()
        .unwrap()
        .layer(service_fn(|request: Request<GatewayBody<hyper::body::Incoming>>| async {
            // A handler that swallows every error of the body.
            let context = RequestContext::of(request.extensions()).cloned();
            let length = request.into_body().collect().await.map_or(0, |body| body.to_bytes().len());
            assert!(context.is_some());
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(length.to_string())))
        }));
    let (answer, _closed) = over_hyper(service, bytes).await;
    answer
}

/// Requests, and the beginning and end of what they are answered.
fn documented() -> Vec<(String, &'static str, &'static str)> {
    let forbidden = r#"{"message":"Forbidden"}"#;
    let head = |path: &str, headers: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n")
    };
    let chunked = |chunks: &str| {
        format!(
            "POST /prod/open HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}"
        )
    };
    let long_chunk = format!("258\r\n{}\r\n", "x".repeat(0x258));
    let key = format!("x-api-key: {FREE}\r\n");
    vec![
        (head("/prod/pets", &key), "HTTP/1.1 200 OK", "0"),
        (head("/prod/pets", ""), "HTTP/1.1 403 Forbidden", forbidden),
        (head("/prod/pets", &format!("{key}{key}")), "HTTP/1.1 403 Forbidden", forbidden),
        (head("/prod/pets", "x-api-key: \u{e9}\r\n"), "HTTP/1.1 403 Forbidden", forbidden),
        (head("/prod/pets", "x-api-key:\r\n"), "HTTP/1.1 403 Forbidden", forbidden),
        (head("/prod/open", "authorization: x\r\nauthorization: y\r\n"), "HTTP/1.1 200 OK", "0"),
        (
            head("/prod/open", "x-forwarded-for: garbage\r\nx-forwarded-for: \u{ff}\r\n"),
            "HTTP/1.1 200 OK",
            "0",
        ),
        (
            head("/prod/open", "origin: https://shop.example\r\norigin: https://evil.example\r\n"),
            "HTTP/1.1 200 OK",
            "0",
        ),
        (head("/prod//open", ""), "HTTP/1.1 200 OK", "0"),
        (head("/prod/../open", ""), "HTTP/1.1 400 Bad Request", r#"{"message":"Bad Request"}"#),
        (head("/prod/%2e%2e/open", ""), "HTTP/1.1 400 Bad Request", r#"{"message":"Bad Request"}"#),
        (head("/prod/open%", ""), "HTTP/1.1 400 Bad Request", r#"{"message":"Bad Request"}"#),
        (
            "CONNECT a:443 HTTP/1.1\r\nhost: a:443\r\nconnection: close\r\n\r\n".to_owned(),
            "HTTP/1.1 403 Forbidden",
            forbidden,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned(),
            "HTTP/1.1 403 Forbidden",
            forbidden,
        ),
        (
            head(&format!("/prod/open?{}", "x".repeat(600)), ""),
            "HTTP/1.1 414 URI Too Long",
            r#"{"message":"Request URI too long"}"#,
        ),
        (
            head("/prod/open", &format!("x-long: {}\r\n", "x".repeat(2_000))),
            "HTTP/1.1 431 Request Header Fields Too Large",
            r#"{"message":"Request Header Fields Too Large"}"#,
        ),
        (chunked(&format!("{long_chunk}0\r\n\r\n")), "HTTP/1.1 200 OK", "600"),
        (
            chunked(&format!("{long_chunk}{long_chunk}{long_chunk}")),
            "HTTP/1.1 413 Payload Too Large",
            "HTTP content length exceeded 1000 bytes.",
        ),
        (
            head("/prod/open", "content-length: 1001\r\n"),
            "HTTP/1.1 413 Payload Too Large",
            "HTTP content length exceeded 1000 bytes.",
        ),
    ]
}

#[test]
fn hostile_input_over_hyper_gets_the_documented_bytes() {
    run(async {
        for (bytes, status, body) in documented() {
            let answer = over_a_socket(bytes.as_bytes()).await;
            assert!(answer.starts_with(status), "{bytes}\n{answer}");
            assert!(answer.ends_with(body), "{bytes}\n{answer}");
            assert!(!answer.contains("evil.example"), "{answer}");
        }
        // What hyper refuses by itself is only a 4xx.
        for bytes in [
            "GET /prod/open HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            "G\0T / HTTP/1.1\r\n\r\n",
        ] {
            assert!(over_a_socket(bytes.as_bytes()).await.starts_with("HTTP/1.1 4"), "{bytes}");
        }
    });
}
