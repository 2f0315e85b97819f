//! Execution logs: AWS's lines in AWS's order, for what is allowed, refused by each phase, and failed.

mod events;
mod recorded;

pub(crate) use events::Events;

use crate::support::{left_out, run, vectors};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::{BodyExt, Full, StreamBody};
use proptest::prelude::*;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex},
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    clock::ManualClock,
    cors::Cors,
    filter::{FilterLayer, Verdict},
    gateway::{Gateway, GatewayBuilder},
    observe::{ApiInfo, ExecutionLog, ObserveLayer},
    payload_limit::PayloadLimitLayer,
    route::{ApiMethod, ExecutionLogging, LoggingLevel, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
    throttle::Throttle,
    timeout::TimeoutLayer,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const KEY: &str = "free-0123456789abcdefghij";
const MASKED: &str = "*******************efghij";

fn logging(level: LoggingLevel) -> ExecutionLogging {
    ExecutionLogging::new(level)
}

fn settings(level: LoggingLevel) -> MethodSettings {
    MethodSettings::new().execution_logging(logging(level))
}

fn stages(of_stage: MethodSettings) -> Stages {
    let keyed = || ApiMethod::new().api_key_required(true);
    let routes = Routes::builder()
        .method("/pets/{id}", Method::GET, keyed())
        .method("/pets/{id}", Method::POST, keyed())
        .method("/open", Method::GET, ApiMethod::new())
        .method("/open", Method::POST, ApiMethod::new())
        .method("/open", Method::OPTIONS, ApiMethod::new())
        .method("/busy", Method::GET, ApiMethod::new())
        .build()
        .unwrap();
    let busy = settings(LoggingLevel::Info).throttle(Throttle::new(1.0, 0).unwrap());
    let stage = Stage::new("prod", "v1").settings("*/*", of_stage).settings("busy/GET", busy);
    Stages::builder().deployment(Deployment::new("v1", routes)).stage(stage).build().unwrap()
}

fn plans() -> UsagePlans {
    let none = Quota::new(0, QuotaPeriod::Day).unwrap();
    let plan = |id: &str| UsagePlan::new(id);
    UsagePlans::builder()
        .plan(plan("free").throttle(Throttle::new(1_000.0, 1_000).unwrap()))
        .plan(plan("rate").throttle(Throttle::new(5.0, 0).unwrap()))
        .plan(plan("spent").quota(none))
        .attach("free", "free")
        .attach("rate", "rate")
        .attach("spent", "spent")
        .build()
        .unwrap()
}

fn keys() -> ApiKeys {
    let key = |id: &str| ApiKey::new(id).value(format!("{id}-0123456789abcdefghij"));
    ApiKeys::builder().key(key("free")).key(key("rate")).key(key("spent")).key(key("lone")).build().unwrap()
}

fn gateway(of_stage: MethodSettings, log: ExecutionLog) -> GatewayBuilder {
    let filter = FilterLayer::new(|head, _| match head.headers.contains_key("x-block") {
        true => Verdict::Block,
        false => Verdict::Pass,
    });
    let observe = ObserveLayer::new().api(ApiInfo::new("pets").id("a1b2c3")).execution_log(log);
    Gateway::builder()
        .stages(stages(of_stage))
        .api_keys(keys())
        .usage_plans(plans())
        .filter(filter)
        .cors(Cors::new().allow_origins(["*"]).build().unwrap())
        .payload_limit(PayloadLimitLayer::new(2_000))
        .timeout(TimeoutLayer::new(Duration::from_secs(1)))
        .observe(observe)
}

/// `?slow` never answers, `?fail` gives an error, `?panic` panics, everything else reads the body and answers.
async fn pets<B: http_body::Body<Data = Bytes>>(
    request: Request<B>,
) -> Result<Response<Full<Bytes>>, &'static str> {
    match request.uri().query().unwrap_or_default() {
        "slow" => std::future::pending().await,
        "fail" => return Err("broken"),
        "panic" => std::panic::resume_unwind(Box::new("handler")),
        _ => {}
    }
    let Ok(_read) = request.into_body().collect().await else { return Err("no body") };
    let answer = Response::builder().header("content-type", "text/plain").header("set-cookie", "id=1");
    Ok(answer.header("x-amzn-requestid", "backend-1").body(Full::from("cat,\ndog")).unwrap())
}

fn get(uri: &str) -> http::request::Builder {
    Request::get(uri)
}

fn keyed(uri: &str, key: &'static str) -> Request<Full<Bytes>> {
    get(uri).header("x-api-key", key).body(Full::default()).unwrap()
}

/// The lines of one request; the extended id in them is replaced.
fn lines(gateway: GatewayBuilder, request: Request<Full<Bytes>>) -> Vec<String> {
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        let clock = ManualClock::at_unix_seconds(1_795_331_880);
        let service = gateway.clock(clock.clock()).build().unwrap().layer(service_fn(pets));
        run(async {
            let ask = tokio::task::LocalSet::new();
            let asked = ask.run_until(async {
                let answer = tokio::task::spawn_local(service.oneshot(request));
                tokio::task::yield_now().await;
                clock.advance(Duration::from_secs(2));
                if let Ok(Ok(answer)) = answer.await {
                    answer.into_body().collect().await.unwrap();
                }
            });
            asked.await;
        });
    });
    let lines = events.lines();
    let cut = |line: &String| match line.split_once("Extended Request Id: ") {
        Some((start, id)) if id.len() == 16 => format!("{start}Extended Request Id: XID"),
        _ => line.clone(),
    };
    lines.iter().map(cut).collect()
}

fn at(level: LoggingLevel, request: Request<Full<Bytes>>) -> Vec<String> {
    lines(gateway(settings(level), ExecutionLog::new()), request)
}

#[test]
fn an_allowed_request_with_a_key() {
    assert_eq!(
        at(LoggingLevel::Info, keyed("/prod/pets/7", KEY)),
        [
            "I Extended Request Id: XID",
            &format!("I Verifying Usage Plan for request: ID. API Key: {MASKED} API Stage: a1b2c3/prod"),
            &format!("I Usage Plan check succeeded for API Key {MASKED} and API Stage a1b2c3/prod"),
            "I Starting execution for request: ID",
            "I HTTP Method: GET, Resource Path: /pets/7",
            &format!("I API Key: {MASKED}"),
            "I Received response. Status: 200, Integration latency: 0 ms",
            "I Successfully completed execution",
            "I Method completed with status: 200",
            "I AWS Integration Endpoint RequestId : backend-1",
        ]
    );
}

#[test]
fn a_data_trace_shows_heads_and_bodies_without_credentials() {
    let traced = MethodSettings::new().execution_logging(logging(LoggingLevel::Info).data_trace(true));
    let request = Request::post("/prod/pets/7?a=1&token=secret")
        .header("x-api-key", KEY)
        .header("authorization", "Bearer 0123456789abcdef7c8ada")
        .header("x-own", "mine")
        .header("x-goog-api-key", "secret")
        .body(Full::from("{\"name\":\"rex\"}"))
        .unwrap();
    let lines = lines(gateway(traced, ExecutionLog::new().redact(["X-Own"])), request);
    let headers = format!(
        "{{x-api-key={MASKED}, authorization=***********************7c8ada, x-own=******, x-goog-api-key=******}}"
    );
    let uri = "/pets/7?a=1&token=******";
    assert_eq!(
        lines,
        [
            "I Extended Request Id: XID",
            &format!("I Verifying Usage Plan for request: ID. API Key: {MASKED} API Stage: a1b2c3/prod"),
            &format!("I Usage Plan check succeeded for API Key {MASKED} and API Stage a1b2c3/prod"),
            "I Starting execution for request: ID",
            "I HTTP Method: POST, Resource Path: /pets/7",
            &format!("I API Key: {MASKED}"),
            "I Method request path: {id=7}",
            "I Method request query string: {a=1, token=******}",
            &format!("I Method request headers: {headers}"),
            "I Method request body before transformations: {\"name\":\"rex\"}",
            &format!("I Endpoint request URI: {uri}"),
            &format!("I Endpoint request headers: {headers}"),
            "I Endpoint request body after transformations: {\"name\":\"rex\"}",
            &format!("I Sending request to {uri}"),
            "I Received response. Status: 200, Integration latency: 0 ms",
            "I Endpoint response headers: {content-type=text/plain, set-cookie=******, x-amzn-requestid=backend-1}",
            "I Endpoint response body before transformations: cat,\\u000adog",
            "I Method response body after transformations: cat,\\u000adog",
            &lines[18],
            "I Successfully completed execution",
            "I Method completed with status: 200",
            "I AWS Integration Endpoint RequestId : backend-1",
        ]
    );
    assert!(
        lines[18].starts_with("I Method response headers: {content-type=text/plain, set-cookie=******, ")
    );
    assert!(lines.iter().all(|line| !line.contains("secret") && !line.contains(KEY)));
}

#[test]
fn path_variables_of_a_secrets_name_are_stars_in_every_line() {
    let routes = Routes::builder().method("/reset/{apiKey}/{id}", Method::GET, ApiMethod::new()).method(
        "/shared/{token+}",
        Method::GET,
        ApiMethod::new(),
    );
    let stages = Stages::single("prod", routes.build().unwrap()).unwrap();
    let ask = |path: &str| {
        let log = ExecutionLog::new().logging(logging(LoggingLevel::Info).data_trace(true));
        let observe = ObserveLayer::new().execution_log(log);
        let gateway = Gateway::builder().stages(stages.clone()).observe(observe);
        let request = get(&format!("/prod{path}")).header("x-goog-api-key", "AIzaSy");
        let request = request.header("referer", format!("https://app/prod{path}/done?a=1"));
        let mut lines = lines(gateway, request.body(Full::default()).unwrap());
        let shown = path.replace("/7/", "/******/").replace("/a/b", "/******");
        let referer = format!("referer=https://app/prod{shown}/done?a=1");
        assert_eq!(lines.iter().filter(|line| line.contains(&referer)).count(), 2, "{lines:?}");
        lines.retain(|line| line.contains(" path: ") || line.contains("Path: ") || line.contains("URI: "));
        lines
    };
    let wanted = |path: &str, variables: &str| {
        [
            format!("I HTTP Method: GET, Resource Path: {path}"),
            format!("I Method request path: {{{variables}}}"),
            format!("I Endpoint request URI: {path}"),
        ]
    };
    assert_eq!(ask("/reset/7/7x"), wanted("/reset/******/7x", "apiKey=******, id=7x"));
    assert_eq!(ask("/shared/a/b"), wanted("/shared/******", "token=******"));
}

#[test]
fn each_phase_that_refuses_says_so_in_its_place() {
    let ask = |request| {
        let lines = at(LoggingLevel::Info, request);
        assert_eq!(lines[0], "I Extended Request Id: XID");
        lines[1..].join("\n")
    };
    let refused = |line: &str, status: u16| format!("E {line}\nI Method completed with status: {status}");
    let blocked = get("/prod/open").header("x-block", "1").body(Full::default()).unwrap();
    assert_eq!(ask(blocked), refused("Execution failed: FilterLayer refused with Filtered", 403));
    let large = Request::post("/prod/open").header("content-length", "2001").body(Full::default()).unwrap();
    assert_eq!(
        ask(large),
        refused("Execution failed: PayloadLimitLayer refused with ContentLengthTooLarge", 413)
    );

    let plan = |key: &str| {
        format!("I Verifying Usage Plan for request: ID. API Key: {key} API Stage: a1b2c3/prod\n")
    };
    let keyless = get("/prod/pets/7").body(Full::default()).unwrap();
    let not = "not authorized because method 'GET /pets/{id}' requires API Key and";
    assert_eq!(ask(keyless), plan("") + &refused(&format!("API Key  {not} no API Key was sent"), 403));
    let no_plan = "API Key is not associated with a Usage Plan for API Stage a1b2c3/prod: No Usage Plan found for key and API Stage";
    for key in ["lone-0123456789abcdefghij", "none-0123456789abcdefghij"] {
        let wanted = plan(MASKED) + &refused(&format!("API Key {MASKED} {not} {no_plan}"), 403);
        assert_eq!(ask(keyed("/prod/pets/7", key)), wanted);
    }
    let throttled = format!(
        "API Key {MASKED} exceeded throttle limit for API Stage a1b2c3/prod: Key throttle limit exceeded for Usage Plan ID rate, RestApi a1b2c3, Stage prod, Resource /pets/{{id}}, HttpMethod GET. Limit: 5.00 Burst: 0"
    );
    assert_eq!(
        ask(keyed("/prod/pets/7", "rate-0123456789abcdefghij")),
        plan(MASKED) + &refused(&throttled, 429)
    );
    let masked = format!("*{MASKED}");
    let spent = format!(
        "API Key {masked} exceeded quota limit for API Stage a1b2c3/prod: Key quota exhausted for Usage Plan ID spent. Limit: 0 Period: DAY"
    );
    assert_eq!(
        ask(keyed("/prod/pets/7", "spent-0123456789abcdefghij")),
        plan(&masked) + &refused(&spent, 429)
    );
    let busy = "Key throttle limit exceeded for RestApi a1b2c3, Stage prod, Resource /busy, HttpMethod GET. Limit: 1.00 Burst: 0";
    assert_eq!(ask(get("/prod/busy").body(Full::default()).unwrap()), plan("") + &refused(busy, 429));
}

#[test]
fn what_fails_in_the_service_is_said() {
    let open = "I Extended Request Id: XID\n\
        I Verifying Usage Plan for request: ID. API Key:  API Stage: a1b2c3/prod\n\
        I API Key  authorized because method 'GET /open' does not require API Key. Request will not contribute to throttle or quota limits\n\
        I Usage Plan check succeeded for API Key  and API Stage a1b2c3/prod\n\
        I Starting execution for request: ID\n\
        I HTTP Method: GET, Resource Path: /open\n";
    let ask = |query: &str| {
        at(LoggingLevel::Info, get(&format!("/prod/open?{query}")).body(Full::default()).unwrap()).join("\n")
    };
    let timeout = "E Execution failed due to a timeout error\nI Method completed with status: 504";
    assert_eq!(ask("slow"), open.to_owned() + timeout);
    let network = "E Execution failed due to a network error communicating with endpoint";
    assert_eq!(ask("fail"), open.to_owned() + network);
    assert_eq!(ask("panic"), open.to_owned() + "E Execution failed due to an internal error");
    let options = Request::options("/prod/open?panic").body(Full::default()).unwrap();
    assert_eq!(
        at(LoggingLevel::Info, options).join("\n"),
        open.replace("GET", "OPTIONS") + "E Execution failed due to an internal error",
        "a method like others, and no preflight"
    );
    let preflight = Request::options("/prod/open")
        .header("origin", "https://a.example")
        .header("access-control-request-method", "GET")
        .body(Full::default())
        .unwrap();
    let log = ExecutionLog::new().logging(logging(LoggingLevel::Info));
    assert_eq!(
        lines(gateway(MethodSettings::new(), log), preflight),
        ["I Extended Request Id: XID", "I Method completed with status: 204"]
    );
}

#[test]
fn error_level_logs_failures_alone_and_whole_with_a_data_trace() {
    assert_eq!(at(LoggingLevel::Error, keyed("/prod/pets/7", KEY)), [""; 0]);
    let slow = || get("/prod/open?slow").body(Full::default()).unwrap();
    assert_eq!(
        at(LoggingLevel::Error, slow()),
        ["E Execution failed due to a timeout error", "I Method completed with status: 504"]
    );
    let traced = MethodSettings::new().execution_logging(logging(LoggingLevel::Error).data_trace(true));
    let whole = lines(gateway(traced, ExecutionLog::new()), slow());
    assert!(whole.contains(&"I Method request headers: {}".to_owned()), "{whole:?}");
    assert!(whole.contains(&"I Sending request to /open?slow".to_owned()), "{whole:?}");
    assert_eq!(lines(gateway(traced, ExecutionLog::new()), keyed("/prod/pets/7", KEY)), [""; 0]);
}

#[test]
fn a_method_s_setting_comes_before_the_stage_s_and_the_log_s_is_for_the_rest() {
    assert_eq!(at(LoggingLevel::Off, keyed("/prod/pets/7", KEY)), [""; 0]);
    let busy = || get("/prod/busy").body(Full::default()).unwrap();
    assert_eq!(at(LoggingLevel::Off, busy()).last().unwrap(), "I Method completed with status: 429");
    let by_default = |request| {
        let log = ExecutionLog::new().logging(logging(LoggingLevel::Error));
        lines(gateway(MethodSettings::new(), log), request)
    };
    let unknown = get("/prod/nothing").body(Full::default()).unwrap();
    assert_eq!(
        by_default(unknown),
        ["E Execution failed: StageRouter refused with NoRoute", "I Method completed with status: 403"]
    );
    assert_eq!(by_default(get("/prod/open?slow").body(Full::default()).unwrap()).len(), 2);
}

#[test]
fn bodies_are_cut_and_binary_ones_are_not_shown() {
    let traced = MethodSettings::new().execution_logging(logging(LoggingLevel::Info).data_trace(true));
    let body_line = |log: ExecutionLog, body: Vec<u8>| {
        let request = Request::post("/prod/open").body(Full::from(body)).unwrap();
        let lines = lines(gateway(traced, log), request);
        let start = "I Method request body before transformations: ";
        lines.iter().find_map(|line| line.strip_prefix(start).map(str::to_owned)).unwrap()
    };
    let long = body_line(ExecutionLog::new(), vec![b'x'; 1_900]);
    let shown = 1_024 - "Method request body before transformations: ".len();
    assert_eq!(long, format!("{} [TRUNCATED]", "x".repeat(shown)));
    assert_eq!(body_line(ExecutionLog::new().max_body_bytes(3), b"abcdef".to_vec()), "abc [TRUNCATED]");
    assert_eq!(body_line(ExecutionLog::new().max_body_bytes(0), b"abcdef".to_vec()), " [TRUNCATED]");
    assert_eq!(body_line(ExecutionLog::new(), vec![0xff, 0xfe]), "[Binary Data]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_client_can_forge_a_line(
        value in prop::collection::vec(any::<u8>(), 0..40),
        path in "[!-~&&[^?#]]{0,20}",
        body in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let value: Vec<u8> = value.into_iter().filter(|byte| *byte >= 0x20 && *byte != 0x7f || *byte == b'\t').collect();
        let traced = logging(LoggingLevel::Info).data_trace(true);
        let settings = MethodSettings::new().execution_logging(traced);
        for path in [format!("/prod/{path}"), "/prod/open".to_owned()] {
            let uri = http::Uri::builder().path_and_query(format!("{path}?{}", path.replace('/', "&"))).build();
            prop_assume!(uri.is_ok());
            let request = Request::post(uri.unwrap())
                .header("x-own", HeaderValue::from_bytes(&value).unwrap())
                .body(Full::from(body.clone()))
                .unwrap();
            let lines = lines(gateway(settings, ExecutionLog::new().logging(traced)), request);
            prop_assert!(lines.len() >= 3);
            for line in lines {
                prop_assert!(!line.contains(|character: char| character.is_control() || character == '\u{2028}'), "{line}");
            }
        }
    }
}

#[test]
fn a_bare_layer_logs_what_the_context_knows() {
    let log = ExecutionLog::new().logging(logging(LoggingLevel::Info).data_trace(true));
    let service = ObserveLayer::new().execution_log(log).layer(service_fn(pets));
    let events = Events::default();
    tracing::subscriber::with_default(events.clone(), || {
        run(async {
            let request = get("/a?b=c").header("cookie", "x").body(Full::<Bytes>::default()).unwrap();
            service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        });
    });
    let lines = events.lines();
    assert!(lines.contains(&"I Method request headers: {cookie=******}".to_owned()), "{lines:?}");
    assert!(
        lines.contains(&"I Method response body after transformations: cat,\\u000adog".to_owned()),
        "{lines:?}"
    );
    assert_eq!(lines.last().unwrap(), "I Method completed with status: 200");
}

/// What a request allocates, body read.
fn allocations(gateway: GatewayBuilder) -> u64 {
    let mut service = gateway.build().unwrap().layer(service_fn(|_: Request<_>| {
        std::future::ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("cat"))))
    }));
    let mut once = || {
        let request = keyed("/prod/pets/7", KEY);
        let measured = allocation_counter::measure(|| {
            let ready =
                futures_util::FutureExt::now_or_never(ServiceExt::ready(&mut service)).unwrap().unwrap();
            let answer =
                futures_util::FutureExt::now_or_never(tower::Service::call(ready, request)).unwrap().unwrap();
            drop(futures_util::FutureExt::now_or_never(answer.into_body().collect()));
        });
        measured.count_total
    };
    once();
    once()
}

#[test]
fn what_is_off_or_heard_by_nobody_allocates_nothing() {
    let observed = |log: Option<ExecutionLog>, level| {
        let observe = ObserveLayer::new().observer(|_: &tower_gateway::observe::RequestEvent<'_>| ());
        let observe = log.into_iter().fold(observe, ObserveLayer::execution_log);
        gateway(settings(level), ExecutionLog::new()).observe(observe)
    };
    let without = allocations(observed(None, LoggingLevel::Off));
    let off = || observed(Some(ExecutionLog::new()), LoggingLevel::Off);
    assert_eq!(tracing::subscriber::with_default(Events::default(), || allocations(off())), without);
    let unheard = allocations(observed(Some(ExecutionLog::new()), LoggingLevel::Info));
    assert_eq!(unheard, without, "no subscriber");
    let on = observed(Some(ExecutionLog::new()), LoggingLevel::Info);
    let heard = tracing::subscriber::with_default(Events::default(), || allocations(on));
    println!("{without} allocations off or unheard, {heard} at INFO");
    assert!(heard > without);
}

#[test]
fn chunked_requests_are_counted_as_they_are_read() {
    let told = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&told);
    let observe = ObserveLayer::new().observer(move |event: &tower_gateway::observe::RequestEvent<'_>| {
        let length = |name| event.variable(name).map(|text| text.into_owned());
        kept.lock().unwrap().push((length("requestLength"), length("dataProcessed")));
    });
    let service = Gateway::builder().observe(observe).build().unwrap().layer(service_fn(pets));
    let frames =
        ["four", "", "seventh"].map(|data| Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(data))));
    let body = StreamBody::new(futures_util::stream::iter(frames));
    run(async {
        let request = Request::post("/upload").body(http_body_util::combinators::BoxBody::new(body)).unwrap();
        service.clone().oneshot(request).await.unwrap().into_body().collect().await.unwrap();
        let none = http_body_util::combinators::BoxBody::new(http_body_util::Empty::new());
        let request = Request::post("/upload").body(none).unwrap();
        service.oneshot(request).await.unwrap().into_body().collect().await.unwrap();
    });
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(*told.lock().unwrap(), [(text("11"), text("19")), (None, text("8"))]);
}
