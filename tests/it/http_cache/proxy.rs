//! The example itself: what one client must not do to another, and what a connection must not carry.

use super::{cache_proxy, listener};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

type Stream = BufReader<TcpStream>;

/// The proxy in front of an origin that answers the n-th request, from 1, by its head in lower case.
async fn proxied(script: fn(usize, &str) -> String) -> Stream {
    let (origin, address) = listener().await;
    tokio::spawn(async move {
        let calls = Arc::new(AtomicUsize::new(0));
        loop {
            let (stream, _) = origin.accept().await.unwrap();
            tokio::spawn(answer(BufReader::new(stream), Arc::clone(&calls), script));
        }
    });
    let (listener, proxy): (_, SocketAddr) = listener().await;
    tokio::spawn(cache_proxy::serve(listener, address.to_string().parse().unwrap()));
    BufReader::new(TcpStream::connect(proxy).await.unwrap())
}

async fn answer(mut stream: Stream, calls: Arc<AtomicUsize>, script: fn(usize, &str) -> String) {
    while let Some(head) = head(&mut stream).await {
        let text = script(calls.fetch_add(1, SeqCst) + 1, &head);
        stream.write_all(text.as_bytes()).await.unwrap();
    }
}

/// `None`: the connection was closed.
async fn head(stream: &mut Stream) -> Option<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).await.unwrap() == 0 {
            return None;
        }
    }
    Some(head.to_ascii_lowercase())
}

/// The head of the first answer that comes, and its body.
async fn ask(stream: &mut Stream, fields: &str) -> (String, String) {
    let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let head = head(stream).await.unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap_or("0");
    let mut body = vec![0; length.parse().unwrap()];
    stream.read_exact(&mut body).await.unwrap();
    (head, String::from_utf8(body).unwrap())
}

#[tokio::test]
async fn a_client_cannot_have_an_answer_stored_for_fields_that_the_origin_has_not_seen() {
    let mut client = proxied(|number, head| {
        let language = if head.contains("accept-language: fr") { "fr" } else { "en" };
        let fields = "Vary: Accept-Language\r\nCache-Control: max-age=60\r\nContent-Length: 3";
        format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{language}{number}")
    })
    .await;
    let (_, poisoned) = ask(&mut client, "Accept-Language: fr\r\nConnection: accept-language\r\n").await;
    assert_eq!(poisoned, "en1");
    assert_eq!(ask(&mut client, "Accept-Language: fr\r\n").await.1, "fr2");
    assert_eq!(ask(&mut client, "").await.1, "en1", "what it got is the answer to no language");
    assert_eq!(ask(&mut client, "Accept-Language: fr\r\n").await.1, "fr2");
}

#[tokio::test]
async fn an_interim_answer_of_a_refresh_is_for_nobody() {
    let mut client = proxied(|number, _| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
        let fields = "Age: 9\r\nCache-Control: max-age=1, stale-while-revalidate=3600\r\nContent-Length: 1";
        let interim = if number == 2 || number == 1 { hints } else { "" };
        format!("{interim}HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{number}")
    })
    .await;
    let (first, _) = ask(&mut client, "").await;
    assert!(first.starts_with("http/1.1 103"), "the one who called gets it: {first}");
    let answer = head(&mut client).await.unwrap();
    assert!(answer.starts_with("http/1.1 200"), "{answer}");
    assert_eq!(client.read_u8().await.unwrap(), b'1');
    // Until the refresh is over, whose interim answer has come before.
    loop {
        let (head, body) = ask(&mut client, "").await;
        assert!(head.starts_with("http/1.1 200"), "{head}");
        if body != "1" {
            break;
        }
    }
}
