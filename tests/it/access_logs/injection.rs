//! Whatever a client sends, a line stays one line and valid JSON.

use super::*;

/// A service that lets a client choose every value that it can.
fn forgeable(
    format: AccessLogFormat,
    kept: &Kept,
) -> impl Service<Request<Full<Bytes>>, Response: Send, Error = Infallible> + Clone {
    let routes = Routes::builder().any("/{proxy+}", ApiMethod::new()).build().unwrap();
    let principal = PrincipalLayer::new(|head| {
        head.headers.get("x-user").map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    let gateway = Gateway::builder().stages(Stages::single("$default", routes).unwrap()).principal(principal);
    AccessLogLayer::new(kept.log(format)).layer(gateway.build().unwrap().layer(service_fn(pets)))
}

const FORGEABLE: [(&str, &str); 8] = [
    ("id", "requestId"),
    ("method", "httpMethod"),
    ("path", "path"),
    ("host", "domainName"),
    ("prefix", "domainPrefix"),
    ("agent", "identity.userAgent"),
    ("user", "authorizer.principalId"),
    ("status", "status"),
];

fn hostile(agent: &[u8], user: &[u8], path: &str, method: &str) -> Option<Request<Full<Bytes>>> {
    let request = Request::builder()
        .method(method)
        .uri(http::Uri::builder().path_and_query(format!("/{path}")).build().ok()?)
        .header("user-agent", HeaderValue::from_bytes(agent).ok()?)
        .header("host", HeaderValue::from_bytes(user).ok()?)
        .header("x-user", HeaderValue::from_bytes(user).ok()?);
    request.body(Full::default()).ok()
}

fn line_of(format: AccessLogFormat, request: Request<Full<Bytes>>) -> String {
    let kept = Kept::default();
    let service = forgeable(format, &kept);
    run(async { drop(service.oneshot(request).await.unwrap()) });
    let lines = kept.lines();
    assert_eq!(lines.len(), 1);
    lines[0].clone()
}

fn is_one_line(line: &str) -> bool {
    !line.contains(|character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}'))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn no_client_can_forge_a_line(
        agent in prop::collection::vec(any::<u8>(), 0..40),
        user in "[\"\\\\\\t\u{1b}\u{9b}\u{2028}\u{202e}a-c<>&',{}:äß-]{0,20}",
        path in "[!-~&&[^?#]]{0,20}",
        method in "[A-Z]{1,8}",
    ) {
        let agent: Vec<u8> = agent.into_iter().filter(|byte| *byte >= 0x20 && *byte != 0x7f || *byte == b'\t').collect();
        let user: String = user.chars().filter(|character| *character != '\u{1b}').collect();
        let make = || hostile(&agent, user.as_bytes(), &path, &method);
        prop_assume!(make().is_some());
        let object = AccessLogFormat::json_object(FORGEABLE).unwrap();
        let line = line_of(object, make().unwrap());
        prop_assert!(is_one_line(&line), "{line}");
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        let agent_text = String::from_utf8_lossy(&agent);
        prop_assert_eq!(read["agent"].as_str(), Some(&*agent_text).filter(|text| !text.is_empty()));
        prop_assert_eq!(read["method"].as_str(), Some(&*method));
        let text = FORGEABLE.map(|(_, name)| format!("\"$context.{name}\"")).join(" ");
        for escaping in [Escaping::AwsExact, Escaping::Quoted, Escaping::Xml, Escaping::Csv] {
            let format = AccessLogFormat::new(LogApi::Rest, &text).unwrap().escaping(escaping);
            let line = line_of(format, make().unwrap());
            prop_assert!(is_one_line(&line), "{line}");
        }
    }
}

#[test]
fn quotes_control_characters_and_invalid_utf_8_stay_in_their_field() {
    let request =
        || hostile(b"a\"b\\c\tM\xff\xc2\x9b", "x\"\u{9b}31m\u{2028}".as_bytes(), "p\"q", "GET").unwrap();
    let object = AccessLogFormat::json_object([
        ("id", "requestId"),
        ("a", "identity.userAgent"),
        ("u", "authorizer.principalId"),
        ("s", "status"),
        ("no", "authorizer.nothing"),
    ]);
    let line = line_of(object.unwrap(), request());
    assert_eq!(
        line,
        "{\"id\":\"ID\",\"a\":\"a\\\"b\\\\c\\u0009M\u{fffd}\\u009b\",\"u\":\"x\\\"\\u009b31m\\u2028\",\"s\":200,\"no\":null}"
    );
    let exact =
        AccessLogFormat::new(LogApi::Rest, "$context.requestId [$context.authorizer.principalId]").unwrap();
    assert_eq!(
        line_of(exact.escaping(Escaping::AwsExact), request()),
        "ID [x\"\\u009b31m\\u2028]",
        "as on AWS, in one line"
    );
}
