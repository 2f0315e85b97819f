//! Over a socket: what a client of hyper sees of a cut.

use super::*;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Serves one connection on 127.0.0.1 and gives back the client's end of it.
async fn connect<S>(service: S) -> TcpStream
where
    S: Service<Request<Incoming>, Response = Response<Full<Bytes>>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let served = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new())
            .http1_only()
            .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service))
            .await;
        let _closed_early = served;
    });
    TcpStream::connect(address).await.unwrap()
}

/// Everything the server says until its answer is complete.
async fn answer_of(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let count = client.read(&mut buffer).await.unwrap_or(0);
        said.extend_from_slice(&buffer[..count]);
        let text = String::from_utf8_lossy(&said).into_owned();
        if count == 0 || is_complete(&text) {
            return text;
        }
    }
}

fn is_complete(answer: &str) -> bool {
    let Some((head, body)) = answer.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse().unwrap())
}

const CHUNKED_HEAD: &[u8] = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[test]
fn over_a_socket_a_chunked_body_above_the_limit() {
    run(async {
        let mut client = connect(PayloadLimitLayer::new(5).layer(service_fn(swallow))).await;
        client.write_all(CHUNKED_HEAD).await.unwrap();
        client.write_all(b"3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n").await.unwrap();
        let answer = answer_of(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{answer}");
        assert!(answer.ends_with("\r\n\r\nHTTP content length exceeded 5 bytes."), "{answer}");
        assert!(answer.contains("content-type: text; charset=utf-8\r\n"), "{answer}");
    });
}

#[test]
fn over_a_socket_a_long_announcement_is_refused_before_the_body_is_sent() {
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&calls);
        let handler = service_fn(move |request| {
            counter.fetch_add(1, SeqCst);
            swallow(request)
        });
        let mut client = connect(PayloadLimitLayer::default().layer(handler)).await;
        // The client waits to be asked for its body, and never is.
        let head = b"POST / HTTP/1.1\r\nhost: a\r\nexpect: 100-continue\r\ncontent-length: 10485761\r\n\r\n";
        client.write_all(head).await.unwrap();
        let answer = answer_of(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(answer.contains("content-length: 44\r\n"), "{answer}");
        assert_eq!(calls.load(SeqCst), 0);
    });
}

#[test]
fn over_a_socket_a_stalled_body_is_a_408() {
    run(async {
        let clock = ManualClock::at_unix_seconds(0);
        let reading = Arc::new(tokio::sync::Notify::new());
        let started = Arc::clone(&reading);
        let handler = service_fn(move |request| {
            started.notify_one();
            swallow(request)
        });
        let layer = PayloadLimitLayer::default().clock(clock.clock());
        let mut client = connect(layer.layer(handler)).await;
        client.write_all(CHUNKED_HEAD).await.unwrap();
        client.write_all(b"3\r\nabc\r\n").await.unwrap();
        reading.notified().await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let (answer, ()) = futures_util::future::join(answer_of(&mut client), async {
            // However the server's reads are scheduled, time goes on until the client is cut off.
            for _ in 0..200 {
                clock.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
        assert!(answer.ends_with(r#"{"message":"Request Timeout"}"#), "{answer}");
    });
}

#[test]
fn over_a_socket_an_endless_body_ends() {
    run(async {
        let mut client = connect(PayloadLimitLayer::new(100_000).layer(service_fn(swallow))).await;
        client.write_all(CHUNKED_HEAD).await.unwrap();
        let (mut reader, mut writer) = client.split();
        let sending = async {
            // Ends when the server closes the connection.
            while writer.write_all(b"5\r\nabcde\r\n").await.is_ok() {}
            pending::<()>().await;
        };
        let reading = async {
            let mut head = [0; 12];
            reader.read_exact(&mut head).await.unwrap();
            head
        };
        let head = futures_util::future::select(Box::pin(reading), Box::pin(sending)).await;
        let futures_util::future::Either::Left((head, _)) = head else { unreachable!() };
        assert_eq!(&head, b"HTTP/1.1 413");
    });
}
