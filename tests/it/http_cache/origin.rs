//! The suite's origin: answers as the test's configuration says, and remembers what it saw. Written on the bare socket,
//! since it must send what a decent server would not.

use super::case::{from_latin1, list, now_ms, pause, text, to_latin1, value_of};
use serde_json::{Map, Value, json};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What is known of each test, by its token.
#[derive(Debug, Default)]
struct State {
    configs: HashMap<String, Vec<Value>>,
    seen: HashMap<String, Vec<Value>>,
}

type Shared = Arc<Mutex<State>>;

/// Serves until the runtime ends.
pub async fn serve(listener: TcpListener) {
    let state = Shared::default();
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let state = Arc::clone(&state);
        // A connection that breaks off ends its task; the test sees it on its side.
        tokio::spawn(async move { connection(stream, &state).await });
    }
}

struct Received {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

async fn connection(stream: TcpStream, state: &Shared) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = receive(&mut stream).await? {
        let Some(answer) = answer(&request, state, stream.get_mut()).await? else { break };
        stream.get_mut().write_all(&answer).await?;
    }
    Ok(())
}

async fn receive(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Received>> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(None);
        }
        let line = from_latin1(line.trim_ascii_end());
        if line.is_empty() {
            break;
        }
        lines.push(line);
    }
    let mut first = lines[0].split(' ').map(str::to_owned);
    let fields = lines[1..].iter().filter_map(|line| line.split_once(':'));
    let headers: Vec<_> =
        fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let mut body = vec![0; length.map_or(0, |(_, length)| length.parse().unwrap())];
    stream.read_exact(&mut body).await?;
    Ok(Some(Received { method: first.next().unwrap(), target: first.next().unwrap(), headers, body }))
}

/// The bytes of the answer; `None` to close the connection without one.
async fn answer(
    request: &Received,
    state: &Shared,
    stream: &mut TcpStream,
) -> std::io::Result<Option<Vec<u8>>> {
    let path = request.target.split('?').next().unwrap();
    let mut segments = path.split('/').skip(1);
    let (kind, token) = (segments.next().unwrap_or_default(), segments.next().unwrap_or_default().to_owned());
    match kind {
        "config" if request.method == "PUT" => {
            let requests = serde_json::from_slice(&request.body).unwrap();
            let known = state.lock().unwrap().configs.insert(token, requests);
            assert!(known.is_none(), "a configuration arrived twice");
            Ok(Some(plain(201, "OK")))
        }
        "state" => {
            let seen = state.lock().unwrap().seen.get(&token).cloned().unwrap_or_default();
            Ok(Some(plain(200, &Value::from(seen).to_string())))
        }
        "test" => test(request, &token, state, stream).await,
        _ => Ok(Some(plain(404, "no such resource"))),
    }
}

fn plain(status: u16, body: &str) -> Vec<u8> {
    let head = format!("HTTP/1.1 {status} -\r\nContent-Type: text/plain\r\nContent-Length: {}", body.len());
    format!("{head}\r\nDate: {}\r\n\r\n{body}", today()).into_bytes()
}

fn today() -> String {
    value_of(&json!(["Date", 0]), &Value::Null, now_ms(), "")
}

async fn test(
    request: &Received,
    token: &str,
    state: &Shared,
    stream: &mut TcpStream,
) -> std::io::Result<Option<Vec<u8>>> {
    let number = request.header("req-num").and_then(|number| number.parse::<usize>().ok());
    let (index, config) = {
        let state = state.lock().unwrap();
        let index = number.unwrap_or(state.seen.get(token).map_or(0, Vec::len) + 1) - 1;
        (index, state.configs.get(token).and_then(|requests| requests.get(index)).cloned())
    };
    let Some(config) = config else { return Ok(Some(plain(409, "no configuration"))) };
    if let Some(seconds) = config["response_pause"].as_f64() {
        pause(seconds).await;
    }
    for interim in list(&config["interim_responses"]) {
        stream.write_all(&interim_head(interim)).await?;
    }
    let answer = state.lock().unwrap().respond(request, number, index, token);
    Ok((config["disconnect"] != true).then_some(answer))
}

fn interim_head(interim: &Value) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} -\r\n", interim[0]);
    for header in list(&interim[1]) {
        head += &format!("{}: {}\r\n", text(&header[0]), text(&header[1]));
    }
    to_latin1(&(head + "\r\n"))
}

impl Received {
    fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> =
            self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    }

    fn all_headers(&self) -> Map<String, Value> {
        self.headers.iter().map(|(name, _)| (name.clone(), Value::from(self.header(name).unwrap()))).collect()
    }
}

/// The answer's fields in their order, a repeated name with several values.
#[derive(Default)]
struct Fields(Vec<(String, Vec<String>)>);

impl Fields {
    fn add(&mut self, name: &str, value: String) -> &[String] {
        let at = self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name));
        let at = at.unwrap_or_else(|| {
            self.0.push((name.to_owned(), Vec::new()));
            self.0.len() - 1
        });
        self.0[at].1.push(value);
        &self.0[at].1
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

impl State {
    fn respond(&mut self, request: &Received, number: Option<usize>, index: usize, token: &str) -> Vec<u8> {
        let seen = self.seen.entry(token.to_owned()).or_default();
        let (before, after) = self.configs.get_mut(token).unwrap().split_at_mut(index);
        let (config, now) = (&mut after[0], now_ms());
        let status = status(request, config, before.last());
        let mut fields = Fields::default();
        fields.add("Server-Base-Url", request.target.clone());
        fields.add("Server-Request-Count", (seen.len() + 1).to_string());
        fields.add(
            "Client-Request-Count",
            number.map_or_else(|| "NaN".to_owned(), |number| number.to_string()),
        );
        fields.add("Server-Now", now.to_string());
        let saved = configured_fields(&mut fields, request, config, now);
        seen.push(json!({
            "request_num": number, "request_method": request.method, "request_headers": request.all_headers(),
            "response_headers": saved,
        }));
        let numbers: Vec<String> = seen.iter().map(|entry| entry["request_num"].to_string()).collect();
        fields.add("Request-Numbers", numbers.join(" "));
        bytes(request, &status, fields, config["response_body"].as_str().unwrap_or(token))
    }
}

/// Adds what the test wants the answer to say; gives back what the client must see of it. What was sent stays in the
/// configuration, so that a later exchange can tell whether it comes back as a condition.
fn configured_fields(fields: &mut Fields, request: &Received, config: &mut Value, now: i64) -> Vec<Value> {
    let mut saved: Vec<(String, Vec<String>)> = Vec::new();
    for at in 0..list(&config["response_headers"]).len() {
        let header = config["response_headers"][at].clone();
        let (name, value) = (text(&header[0]), value_of(&header, config, now, &request.target));
        config["response_headers"][at][1] = Value::from(value.clone());
        let values = fields.add(&name, value).to_vec();
        if header.get(2).is_none_or(|checked| *checked == true) {
            saved.retain(|(known, _)| *known != name);
            saved.push((name, values));
        }
    }
    saved.into_iter().map(|(name, values)| json!([name, values.join(", ")])).collect()
}

/// A test that expects a validation gets a 304 for it, and a status of its own otherwise.
fn status(request: &Received, config: &Value, previous: Option<&Value>) -> String {
    if config["expected_type"].as_str().is_some_and(|expected| expected.ends_with("validated")) {
        let validated = is_validated(request, previous.unwrap());
        return if validated { "304 Not Modified" } else { "999 304 Not Generated" }.to_owned();
    }
    match &config["response_status"] {
        Value::Array(status) => format!("{} {}", status[0], text(&status[1])),
        _ => "200 OK".to_owned(),
    }
}

fn is_validated(request: &Received, previous: &Value) -> bool {
    let sent = |name: &str| {
        let mut headers = list(&previous["response_headers"]).iter();
        headers.rfind(|header| text(&header[0]).eq_ignore_ascii_case(name)).map(|header| text(&header[1]))
    };
    let pairs = [("if-modified-since", "Last-Modified"), ("if-none-match", "ETag")];
    pairs.iter().any(|(condition, validator)| {
        sent(validator).is_some_and(|sent| request.header(condition).is_some_and(|got| sent == got))
    })
}

fn bytes(request: &Received, status: &str, mut fields: Fields, body: &str) -> Vec<u8> {
    let has_body = request.method != "HEAD" && !status.starts_with("204") && !status.starts_with("304");
    for (name, value) in [("Content-Type", "text/plain".to_owned()), ("Date", today())] {
        if !fields.has(name) {
            fields.add(name, value);
        }
    }
    if has_body && !fields.has("Content-Length") {
        fields.add("Content-Length", body.len().to_string());
    }
    let mut head = format!("HTTP/1.1 {status}\r\n");
    for (name, values) in &fields.0 {
        values.iter().for_each(|value| head += &format!("{name}: {value}\r\n"));
    }
    let mut out = to_latin1(&(head + "\r\n"));
    if has_body {
        out.extend_from_slice(body.as_bytes());
    }
    out
}
