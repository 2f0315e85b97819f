//! The suite's client: sends what its `fetch` would send, and judges what comes back.

use super::{
    case::{Case, from_latin1, is_setup, list, now_ms, pause, text, to_latin1, value_of},
    verdict::{Failure, Verdict, ensure},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{net::TcpStream, sync::Semaphore};

/// An answer as JavaScript sees it: fields of one name are one text.
#[derive(Debug)]
pub struct Seen {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
    interim: Vec<(u16, Vec<String>)>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<String> {
        let named = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        let values: Vec<&str> = named.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn count(&self, name: &str) -> Option<usize> {
        self.header(name).and_then(|value| value.parse().ok())
    }
}

/// Exchanges that follow each other without a pause must do so at once, as some of their answers are fresh for two
/// seconds only: a case keeps its turn until it pauses, however many others wait.
static TURNS: Semaphore = Semaphore::const_new(8);

/// Runs one case through the cache at `proxy`.
pub async fn run(case: &Case, proxy: SocketAddr) -> Verdict {
    let mut turn = Some(TURNS.acquire().await.unwrap());
    let token = token();
    let put = Request::put(format!("/config/{token}")).header("content-type", "application/json");
    let config = put.body(Full::from(Value::from(case.requests.clone()).to_string())).unwrap();
    let stored = send(config, proxy).await?;
    ensure(true, stored.status == 201, || format!("PUT config resulted in {}", stored.status))?;
    let mut seen: Vec<Seen> = Vec::new();
    for (index, exchange) in case.requests.iter().enumerate() {
        let request = request(case, exchange, index, &token, seen.last());
        let answer = send(request, proxy).await?;
        check_answer(exchange, index + 1, &answer, &token)?;
        seen.push(answer);
        if exchange["pause_after"] == true {
            drop(turn.take());
            pause(3.0).await;
            turn = Some(TURNS.acquire().await.unwrap());
        }
    }
    let state = send(Request::get(format!("/state/{token}")).body(Full::default()).unwrap(), proxy).await?;
    check_origin(case, &seen, list(&serde_json::from_str(&state.body).unwrap()))
}

/// As long as the suite's, and different for every run of a case.
fn token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{:08x}-0000-4000-8000-{:012x}", std::process::id(), NEXT.fetch_add(1, Relaxed))
}

fn request(
    case: &Case,
    exchange: &Value,
    index: usize,
    token: &str,
    before: Option<&Seen>,
) -> Request<Full<Bytes>> {
    let name = exchange["filename"].as_str().map_or_else(String::new, |name| format!("/{name}"));
    let query = exchange["query_arg"].as_str().map_or_else(String::new, |query| format!("?{query}"));
    let method = exchange["request_method"].as_str().unwrap_or("GET");
    let mut request = Request::builder().method(method).uri(format!("/test/{token}{name}{query}"));
    for (name, value) in fields(case, exchange, index, before) {
        request = request.header(name, http::HeaderValue::from_bytes(&to_latin1(&value)).unwrap());
    }
    request.body(Full::from(exchange["request_body"].as_str().unwrap_or_default().to_owned())).unwrap()
}

/// What `fetch` sends: fields of one name in one line, its own defaults where the test says nothing.
fn fields(case: &Case, exchange: &Value, index: usize, before: Option<&Seen>) -> Vec<(String, String)> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: &str| {
        let value = value.trim_matches([' ', '\t']);
        match fields.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
            Some((_, known)) => *known = format!("{known}, {value}"),
            None => fields.push((name.to_owned(), value.to_owned())),
        }
    };
    add("Pragma", "foo");
    add("Cache-Control", "nothing-to-see-here");
    for header in list(&exchange["request_headers"]) {
        add(&text(&header[0]), &sent_value(header, exchange, before));
    }
    add("Test-Name", &case.name);
    add("Test-ID", &case.id);
    add("Req-Num", &(index + 1).to_string());
    let defaults = [("accept", "*/*"), ("accept-language", "*"), ("accept-encoding", "gzip, deflate")];
    let of_body =
        exchange["request_body"].is_string().then_some(("content-type", "text/plain;charset=UTF-8"));
    for (name, value) in defaults.into_iter().chain(of_body) {
        if !fields.iter().any(|(known, _)| known.eq_ignore_ascii_case(name)) {
            fields.push((name.to_owned(), value.to_owned()));
        }
    }
    fields
}

/// `If-Modified-Since` may be meant relative to the time of the answer before.
fn sent_value(header: &Value, exchange: &Value, before: Option<&Seen>) -> String {
    let is_magic =
        exchange["magic_ims"] == true && text(&header[0]).eq_ignore_ascii_case("if-modified-since");
    if !is_magic {
        return text(&header[1]);
    }
    let now = before.and_then(|seen| seen.header("server-now")).and_then(|now| now.parse().ok());
    value_of(header, exchange, now.unwrap_or_else(now_ms), "")
}

/// The suite gives up after ten seconds.
#[allow(clippy::disallowed_methods, reason = "the suite's own time is real")]
async fn send(request: Request<Full<Bytes>>, proxy: SocketAddr) -> Result<Seen, Failure> {
    let answer = tokio::time::timeout(Duration::from_secs(10), exchange(request, proxy)).await;
    let answer = answer.map_err(|_| Failure::Harness("AbortError".to_owned()))?;
    answer.map_err(|error| Failure::Harness(error.to_string()))
}

type Error = Box<dyn std::error::Error + Send + Sync>;

async fn exchange(mut request: Request<Full<Bytes>>, proxy: SocketAddr) -> Result<Seen, Error> {
    let stream = TcpStream::connect(proxy).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let interim = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&interim);
    hyper::ext::on_informational(&mut request, move |answer| {
        let names = answer.headers().keys().map(|name| name.as_str().to_owned()).collect();
        collected.lock().unwrap().push((answer.status().as_u16(), names));
    });
    request.headers_mut().insert("host", proxy.to_string().parse()?);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    let interim = std::mem::take(&mut *interim.lock().unwrap());
    Ok(seen(&Response::from_parts(head, body), interim))
}

fn seen(answer: &Response<Bytes>, interim: Vec<(u16, Vec<String>)>) -> Seen {
    let headers = answer.headers().iter();
    Seen {
        status: answer.status().as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), from_latin1(value.as_bytes())))
            .collect(),
        body: String::from_utf8_lossy(answer.body()).into_owned(),
        interim,
    }
}

/// What can be judged as soon as the answer is there; the first thing that is wrong ends the test.
fn check_answer(exchange: &Value, number: usize, answer: &Seen, token: &str) -> Verdict {
    no_retry(answer)?;
    check_source(exchange, number, answer)?;
    check_status(exchange, number, answer)?;
    check_fields(exchange, number, answer)?;
    check_missing_fields(exchange, number, answer)?;
    check_interim(exchange, answer)?;
    check_body(exchange, number, answer, token)
}

fn no_retry(answer: &Seen) -> Verdict {
    let numbers = answer.header("request-numbers").unwrap_or_default();
    let mut numbers: Vec<&str> = numbers.split(' ').collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    ensure(true, numbers.len() == all, || "retry".to_owned())
}

fn check_source(exchange: &Value, number: usize, answer: &Seen) -> Verdict {
    let setup = is_setup(exchange, "expected_type");
    let count = answer.count("server-request-count");
    match exchange["expected_type"].as_str() {
        Some("cached") if answer.status == 304 && count.is_none() => Ok(()),
        Some("cached") => ensure(setup, count.is_some_and(|count| count < number), || {
            format!("answer {number} does not come from the cache")
        }),
        Some("not_cached") => {
            ensure(setup, count == Some(number), || format!("answer {number} comes from the cache"))
        }
        _ => Ok(()),
    }
}

fn check_status(exchange: &Value, number: usize, answer: &Seen) -> Verdict {
    let got = answer.status;
    let is = |setup: bool, wanted: u64| {
        ensure(setup, u64::from(got) == wanted, || format!("answer {number} has status {got}, not {wanted}"))
    };
    match (exchange.get("expected_status"), exchange["response_status"][0].as_u64()) {
        (Some(Value::Null), _) => Ok(()),
        (Some(wanted), _) => is(is_setup(exchange, "expected_status"), wanted.as_u64().unwrap()),
        (None, Some(wanted)) => is(true, wanted),
        (None, None) if got == 999 => ensure(is_setup(exchange, "expected_type"), false, || {
            format!("request {number} should have been conditional")
        }),
        (None, None) => is(true, 200),
    }
}

fn check_fields(exchange: &Value, number: usize, answer: &Seen) -> Verdict {
    let setup = is_setup(exchange, "expected_response_headers");
    for header in list(&exchange["expected_response_headers"]) {
        let name = text(header.get(0).unwrap_or(header));
        let got = answer.header(&name);
        let holds = match (header.as_array().map(Vec::as_slice), &got) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some([_, operator, limit]), Some(got)) if operator == ">" => {
                got.parse::<i64>().is_ok_and(|got| got > limit.as_i64().unwrap())
            }
            (Some([_, operator, other]), _) if operator == "=" => got == answer.header(&text(other)),
            (Some(_), Some(got)) => *got == expected_value(header, exchange, answer),
        };
        ensure(setup, holds, || format!("answer {number} has {name}: {got:?}, wanted {header}"))?;
    }
    Ok(())
}

fn expected_value(header: &Value, exchange: &Value, answer: &Seen) -> String {
    let now = answer.header("server-now").and_then(|now| now.parse().ok()).unwrap_or_default();
    value_of(header, exchange, now, &answer.header("server-base-url").unwrap_or_default())
}

fn check_missing_fields(exchange: &Value, number: usize, answer: &Seen) -> Verdict {
    let setup = is_setup(exchange, "expected_response_headers_missing");
    for header in list(&exchange["expected_response_headers_missing"]) {
        let got = answer.header(header.as_str().unwrap_or_else(|| header[0].as_str().unwrap()));
        let absent = match header[1].as_str() {
            None => got.is_none(),
            Some(value) => !got.as_ref().is_some_and(|got| got.contains(value)),
        };
        ensure(setup, absent, || format!("answer {number} has {header}: {got:?}"))?;
    }
    Ok(())
}

fn check_interim(exchange: &Value, answer: &Seen) -> Verdict {
    let Some(wanted) = exchange["expected_interim_responses"].as_array() else { return Ok(()) };
    let setup = is_setup(exchange, "expected_interim_responses");
    let same = |(wanted, got): (&Value, &(u16, Vec<String>))| {
        let named =
            list(&wanted[1]).iter().all(|header| got.1.contains(&text(&header[0]).to_ascii_lowercase()));
        wanted[0] == got.0 && named
    };
    let all = wanted.len() == answer.interim.len() && wanted.iter().zip(&answer.interim).all(same);
    ensure(setup, all, || format!("interim answers are {:?}, wanted {wanted:?}", answer.interim))
}

fn check_body(exchange: &Value, number: usize, answer: &Seen, token: &str) -> Verdict {
    if exchange["check_body"] == false {
        return Ok(());
    }
    let is = |setup: bool, wanted: &str| {
        ensure(setup, answer.body == wanted, || {
            format!("answer {number} is {:?}, not {wanted:?}", answer.body)
        })
    };
    match (exchange.get("expected_response_text"), exchange["response_body"].as_str()) {
        (Some(Value::String(wanted)), _) => is(is_setup(exchange, "expected_response_text"), wanted),
        (Some(_), _) => Ok(()),
        (None, Some(wanted)) => is(true, wanted),
        (None, None) if matches!(answer.status, 204 | 304) || exchange["request_method"] == "HEAD" => Ok(()),
        (None, None) => is(true, token),
    }
}

/// What only the origin can tell: which requests arrived, how they looked, and what the client should have seen.
fn check_origin(case: &Case, seen: &[Seen], state: &[Value]) -> Verdict {
    let mut arrived = state.iter();
    for (index, exchange) in case.requests.iter().enumerate() {
        if exchange["expected_type"] == "cached" {
            continue;
        }
        let received = arrived.next();
        check_arrival(exchange, index + 1, received)?;
        if let Some(received) = received {
            check_request(exchange, index + 1, received)?;
            check_forwarded(&seen[index], index + 1, received)?;
        }
    }
    Ok(())
}

fn check_arrival(exchange: &Value, number: usize, received: Option<&Value>) -> Verdict {
    let setup = is_setup(exchange, "expected_type");
    let condition = match exchange["expected_type"].as_str() {
        Some("not_cached") => {
            let it_is = received.is_some_and(|received| received["request_num"] == number);
            return ensure(setup, it_is, || format!("request {number} did not arrive"));
        }
        Some("etag_validated") => "if-none-match",
        Some("lm_validated") => "if-modified-since",
        _ => return Ok(()),
    };
    let has = received.is_some_and(|received| received["request_headers"].get(condition).is_some());
    ensure(setup, has, || format!("request {number} arrived without {condition}"))
}

fn check_request(exchange: &Value, number: usize, received: &Value) -> Verdict {
    let got = |header: &Value| {
        let name = text(header.get(0).unwrap_or(header)).to_ascii_lowercase();
        received["request_headers"].get(name).cloned()
    };
    for header in list(&exchange["expected_request_headers"]) {
        let holds = got(header).is_some_and(|got| header.get(1).is_none_or(|wanted| got == *wanted));
        let setup = is_setup(exchange, "expected_request_headers");
        ensure(setup, holds, || format!("request {number} has {:?}, wanted {header}", got(header)))?;
    }
    for header in list(&exchange["expected_request_headers_missing"]) {
        let fails = got(header).is_some_and(|got| header.get(1).is_none_or(|unwanted| got == *unwanted));
        let setup = is_setup(exchange, "expected_request_headers_missing");
        ensure(setup, !fails, || format!("request {number} has {header}"))?;
    }
    let method = exchange["expected_method"].as_str();
    let same = method.is_none_or(|method| received["request_method"] == method);
    ensure(is_setup(exchange, "expected_method"), same, || format!("request {number} came as {received}"))
}

/// Every field the origin cares about reached the client as it was sent.
fn check_forwarded(seen: &Seen, number: usize, received: &Value) -> Verdict {
    for header in list(&received["response_headers"]).iter().filter(|header| header[0] != "Date") {
        let got = seen.header(&text(&header[0]));
        let same = got.as_deref() == header[1].as_str();
        ensure(true, same, || format!("answer {number} has {got:?}, sent was {header}"))?;
    }
    Ok(())
}
