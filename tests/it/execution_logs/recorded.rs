//! The lines of test invocations recorded from AWS.

use super::*;

/// Every recorded log of a test invocation: `line00`, `line01`, ...
fn recorded_logs(value: &serde_json::Value, found: &mut Vec<Vec<String>>) {
    if value["line00"].is_string() {
        let lines = value.as_object().unwrap().values().filter_map(|line| line.as_str()?.split_once(" : "));
        found.push(lines.map(|(_date, line)| line.replace("<request-id-1>", "ID")).collect());
        return;
    }
    match value {
        serde_json::Value::Object(members) => {
            members.values().for_each(|member| recorded_logs(member, found));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| recorded_logs(item, found)),
        _ => {}
    }
}

/// Of `GET /`, whose integration fails. Why it fails there cannot happen here; all else is equal, in its order.
#[test]
fn recorded_execution_logs_have_our_lines() {
    let Some(recorded) = vectors("apigateway-recorded/snapshots/test_apigateway_api.json") else { return };
    let mut logs = Vec::new();
    recorded_logs(&recorded, &mut logs);
    if logs.is_empty() {
        return left_out("recorded execution logs (none in these vectors)");
    }
    let traced = ExecutionLog::new().logging(logging(LoggingLevel::Info).data_trace(true));
    let routes = Routes::builder().method("/", Method::GET, ApiMethod::new()).build().unwrap();
    for log in logs {
        let gateway =
            Gateway::builder().routes(routes.clone()).timeout(TimeoutLayer::new(Duration::from_secs(1)));
        let observe = ObserveLayer::new().execution_log(traced.clone());
        let request = get("/?slow").body(Full::default()).unwrap();
        let ours = lines(gateway.observe(observe), request);
        let ours: Vec<_> =
            ours.iter().map(|line| line[2..].replace("{slow=}", "{}").replace("504", "500")).collect();
        let why =
            |line: &str| line.split_once(" due to ").map_or(line.to_owned(), |(what, _)| what.to_owned());
        let mut left = ours.iter().map(|line| why(line));
        for line in &log {
            let line = why(line);
            assert!(left.any(|own| own == line), "{line} is not in its place in {ours:#?}");
        }
        assert_eq!(log.first().unwrap(), "Starting execution for request: ID");
        assert!(log.len() >= 8, "{log:?}");
    }
}
