//! CORS as a real browser sees it: Chromium, pages of two origins, and an API behind the gateway on a third.

use crate::support::run;
use axum::{
    Router,
    extract::State,
    response::Html,
    routing::{get, post},
};
use http::{Method, Request};
use serde_json::{Value, json};
use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{net::TcpListener, sync::mpsc};
use tower::{Layer, service_fn};
use tower_gateway::{
    GatewayBody,
    api_key::{ApiKey, ApiKeys},
    cors::Cors,
    gateway::Gateway,
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, Routes},
    throttle::Throttle,
    usage_plan::{UsagePlan, UsagePlans},
};

const KEY: &str = "0123456789abcdefghij";

/// The browser, where there is one.
pub(crate) fn chromium() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found =
        names.iter().flat_map(|name| std::env::split_paths(&path).map(move |folder| folder.join(name)));
    found.into_iter().find(|candidate| candidate.is_file())
}

/// A running browser with a profile of its own; both are gone when the test is.
struct Browser {
    process: Child,
    profile: PathBuf,
}

impl Browser {
    fn open(program: PathBuf, page: &str) -> Self {
        let profile = std::env::temp_dir().join(format!("tower-gateway-browser-{}", std::process::id()));
        let mut command = Command::new(program);
        command
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .args(["--disable-dev-shm-usage", "--no-proxy-server", "--remote-debugging-port=0"])
            .arg(format!("--user-data-dir={}", profile.display()))
            .arg(page)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self { process: command.spawn().unwrap(), profile }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _gone = self.process.kill();
        let _reaped = self.process.wait();
        let _removed = std::fs::remove_dir_all(&self.profile);
    }
}

/// Fetches each case from the API, tells its own server what it may know of the answers, and goes on to the same page
/// of the other origin.
const PAGE: &str = r#"<!doctype html><script>
async function ask([name, path, options]) {
  try {
    const answer = await fetch("API" + path, options);
    const seen = ["x-amzn-requestid", "retry-after", "ratelimit-policy"].filter(name => answer.headers.has(name));
    return [name, answer.status, await answer.text(), seen];
  } catch (error) {
    return [name, error.name];
  }
}
(async () => {
  const results = [];
  for (const one of CASES) results.push(await ask(one));
  await fetch("/report", { method: "POST", body: JSON.stringify(results) });
  if (location.hostname == "127.0.0.1") location.href = "http://localhost:" + location.port + "/";
})();
</script>"#;

fn cases() -> Value {
    json!([
        ["simple", "/open", {}],
        ["with credentials", "/open", { "credentials": "include" }],
        ["allowed method", "/open", { "method": "PUT" }],
        ["other method", "/open", { "method": "DELETE" }],
        ["other header", "/open", { "headers": { "x-other": "1" } }],
        ["too large", "/open", { "method": "PUT", "body": "0123456789a" }],
        ["key", "/pets", { "headers": { "x-api-key": KEY } }],
        ["key again", "/pets", { "headers": { "x-api-key": KEY } }],
        ["no key", "/pets", {}],
        ["no route", "/nothing", {}],
    ])
}

/// What the page of the allowed origin may read: refusals as well as answers.
fn readable() -> Value {
    let id = ["x-amzn-requestid"];
    json!([
        ["simple", 200, "GET", id],
        ["with credentials", 200, "GET", id],
        ["allowed method", 200, "PUT", id],
        ["other method", "TypeError"],
        ["other header", "TypeError"],
        ["too large", 413, "HTTP content length exceeded 10 bytes.", id],
        ["key", 200, "GET", id],
        ["key again", 429, r#"{"message":"Too Many Requests"}"#, ["x-amzn-requestid", "retry-after"]],
        ["no key", 403, r#"{"message":"Forbidden"}"#, id],
        ["no route", 403, r#"{"message":"Missing Authentication Token"}"#, id],
    ])
}

fn gateway(origin: &str) -> Gateway {
    let routes = Routes::builder()
        .any("/open", ApiMethod::new())
        .method("/pets", Method::GET, ApiMethod::new().api_key_required(true))
        .build()
        .unwrap();
    let cors = Cors::new()
        .allow_origins([origin])
        .allow_methods(["GET", "PUT"])
        .allow_headers(["x-api-key"])
        .expose_headers(["x-amzn-requestid", "retry-after"])
        .allow_credentials(true)
        .build()
        .unwrap();
    let once = UsagePlan::new("once").throttle(Throttle::new(0.001, 1).unwrap());
    Gateway::builder()
        .routes(routes)
        .cors(cors)
        .payload_limit(PayloadLimitLayer::new(10))
        .api_keys(ApiKeys::builder().key(ApiKey::new("k").value(KEY)).build().unwrap())
        .usage_plans(UsagePlans::builder().plan(once).attach("once", "k").build().unwrap())
        .build()
        .unwrap()
}

/// Serves a router in a task, and says where.
async fn served(listener: TcpListener, router: Router) {
    tokio::spawn(async move { axum::serve(listener, router).await });
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    (listener, origin)
}

/// The two pages' reports, in the order in which they came.
async fn reports(program: PathBuf, calls: Arc<AtomicUsize>) -> [Value; 2] {
    let ((pages, page_origin), (api, api_origin)) = (listener().await, listener().await);
    let service = service_fn(move |request: Request<GatewayBody<axum::body::Body>>| {
        calls.fetch_add(1, SeqCst);
        let method = request.method().to_string();
        async move {
            Ok::<_, std::convert::Infallible>(axum::response::Response::new(axum::body::Body::from(method)))
        }
    });
    served(api, Router::new().fallback_service(gateway(&page_origin).layer(service))).await;
    let page = PAGE.replace("API", &api_origin).replace("CASES", &cases().to_string());
    let (report, mut reported) = mpsc::unbounded_channel();
    let router = Router::new()
        .route("/", get(move || async move { Html(page.clone()) }))
        .route(
            "/report",
            post(|State(report): State<mpsc::UnboundedSender<String>>, body: String| async move {
                let _test_has_ended = report.send(body);
            }),
        )
        .with_state(report);
    served(pages, router).await;
    let _browser = Browser::open(program, &page_origin);
    let mut next = async || serde_json::from_str(&reported.recv().await.unwrap()).unwrap();
    [next().await, next().await]
}

#[test]
fn pages_read_what_their_origin_is_allowed() {
    let Some(program) = chromium() else {
        crate::support::left_out("CORS in a real browser (no chromium here)");
        return;
    };
    run(async {
        let calls = Arc::new(AtomicUsize::new(0));
        #[allow(clippy::disallowed_methods, reason = "a browser that hangs must not hang the tests")]
        let reports =
            tokio::time::timeout(Duration::from_secs(100), reports(program, Arc::clone(&calls))).await;
        let [allowed, other] = reports.expect("Chromium did not report in time");
        assert_eq!(allowed, readable());
        for result in other.as_array().unwrap() {
            assert_eq!(result[1], "TypeError", "{result}: not a word for a page of another origin");
        }
        // Of the allowed page three to /open and one with its key; of the other two that need no preflight.
        assert_eq!(calls.load(SeqCst), 6, "no preflight reaches the service, and no request that failed one");
    });
}
