//! Outside cases: what a browser makes of answers, and what ours must be.

use super::{
    browser::{self, Browser},
    *,
};
use crate::support::vectors;
use serde_json::Value;

/// A case, with words for what is missing.
struct Case<'a>(&'a Value);

impl<'a> Case<'a> {
    fn at(&self, pointer: &str) -> &'a Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self, pointer: &str) -> &'a str {
        self.at(pointer).as_str().unwrap_or_default()
    }

    fn texts(&self, pointer: &str) -> Vec<&'a str> {
        self.at(pointer).as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn expects(&self, name: &str) -> bool {
        self.at(name).as_bool().unwrap_or_else(|| panic!("{}: no {name}", self.text("/id")))
    }

    fn browser(&self) -> Browser {
        let credentials = self.text("/request/credentials") == "include";
        Browser { origin: self.text("/request/headers/Origin").to_owned(), credentials }
    }

    fn answer(&self) -> Vec<(String, String)> {
        let pair =
            |field: &Value| (field[0].as_str().unwrap().to_owned(), field[1].as_str().unwrap().to_owned());
        self.at("/response_headers").as_array().unwrap().iter().map(pair).collect()
    }

    fn requested_names(&self) -> Vec<&'a str> {
        let names = self.text("/request/headers/Access-Control-Request-Headers");
        names.split(',').filter(|name| !name.is_empty()).collect()
    }

    fn goes_on(&self, status: u16, answer: &browser::Fields) -> bool {
        let method = self.text("/request/headers/Access-Control-Request-Method");
        self.browser().goes_on(status, answer, method, &self.requested_names())
    }

    fn layer(&self) -> CorsLayer {
        Cors::new()
            .allow_origins(self.texts("/gateway_allows/origins"))
            .allow_methods(self.texts("/gateway_allows/methods"))
            .allow_headers(self.texts("/gateway_allows/headers"))
            .allow_credentials(self.at("/gateway_allows/credentials").as_bool().unwrap_or(false))
            .build()
            .unwrap()
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.text("/request/method"));
        for (name, value) in self.at("/request/headers").as_object().unwrap() {
            request = request.header(name, value.as_str().unwrap());
        }
        request.body(Full::default()).unwrap()
    }
}

#[test]
fn outside_vectors() {
    let Some(file) = vectors("cors/cases.json") else { return };
    let judged = file["cases"].as_array().unwrap().iter().map(Case).map(|case| judge(&case)).count();
    assert_eq!(judged, 99);
}

fn judge(case: &Case<'_>) {
    let id = case.text("/id");
    match case.text("/feature") {
        "browser-check-origin" | "browser-check-credentials" => {
            let reads = case.browser().lets_script_read(&case.answer());
            assert_eq!(reads, case.expects("/browser_lets_script_read"), "{id}");
        }
        "preflight-status" | "preflight-wildcard" => {
            let status = case.at("/response_status").as_u64().unwrap() as u16;
            assert_eq!(case.goes_on(status, &case.answer()), case.expects("/browser_goes_on"), "{id}");
        }
        "browser-preflight-needed" => {
            let needed =
                browser::needs_preflight(case.text("/client_header/0"), case.text("/client_header/1"));
            assert_eq!(needed, case.expects("/browser_sends_preflight"), "{id}");
        }
        "browser-expose" => {
            for (name, seen) in case.at("/script_sees").as_object().unwrap() {
                let sees = case.browser().script_sees(&case.answer(), name);
                assert_eq!(sees.as_deref(), seen.as_str(), "{id} {name}");
            }
        }
        "gateway-preflight" | "gateway-origin" => judge_gateway(case),
        other => panic!("{id}: what is {other}?"),
    }
}

fn judge_gateway(case: &Case<'_>) {
    let id = case.text("/id");
    let (answer, calls) = run(through(case.layer(), case.request()));
    let fields = fields(answer.headers());
    check_required(case, answer.status(), &fields);
    if !case.at("/client_header").is_null() {
        let header = (case.text("/client_header/0"), case.text("/client_header/1"));
        assert!(browser::needs_preflight(header.0, header.1), "{id}");
    }
    // Whatever the file asks for: the browser must come to what the configuration says.
    let origin_allowed = case.texts("/gateway_allows/origins").contains(&&*case.browser().origin);
    assert_eq!(case.browser().lets_script_read(&fields), origin_allowed, "{id}");
    if !case.text("/request/headers/Access-Control-Request-Method").is_empty() {
        assert_eq!((answer.status(), calls), (StatusCode::NO_CONTENT, 0), "{id}");
        assert_eq!(case.goes_on(204, &fields), origin_allowed && configured(case), "{id}");
    }
    check_then(case, &fields);
}

fn configured(case: &Case<'_>) -> bool {
    let method = case.text("/request/headers/Access-Control-Request-Method");
    let methods = case.texts("/gateway_allows/methods");
    let names = case.texts("/gateway_allows/headers");
    let listed = |name: &&str| names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name));
    (methods.contains(&method) || ["GET", "HEAD", "POST"].contains(&method))
        && case.requested_names().iter().all(listed)
}

/// `require`: each key is a sentence of the file's own small language.
fn check_required(case: &Case<'_>, status: StatusCode, fields: &browser::Fields) {
    let id = case.text("/id");
    let value =
        |name: &str| fields.iter().find(|field| field.0.eq_ignore_ascii_case(name)).map(|field| &*field.1);
    let items = |name: &str| value(name).unwrap_or_default().split(',').map(str::trim).collect::<Vec<_>>();
    for (key, wanted) in case.at("/require").as_object().unwrap() {
        let (name, rule) = key.split_once(' ').unwrap_or((key, "is one of"));
        let wanted_texts = Case(wanted).texts("");
        let fulfilled = match rule {
            _ if key == "note" => true,
            _ if key == "status" => wanted == "2xx" && status.is_success(),
            "is one of" => wanted_texts.contains(&value(name).unwrap_or_default()),
            "contains" => items(name).contains(&wanted.as_str().unwrap()),
            "must not contain" => !items(name).contains(&wanted.as_str().unwrap()),
            "must not match the request" => {
                value(name).is_none_or(|value| value != "*" && value != case.browser().origin)
            }
            "covers (case-insensitive)" => {
                wanted_texts.iter().all(|text| items(name).iter().any(|item| item.eq_ignore_ascii_case(text)))
            }
            _ => panic!("{id}: what is {key}?"),
        };
        assert!(fulfilled, "{id}: {key} {wanted}, but {fields:?}");
    }
}

/// `then`: what the browser does next.
fn check_then(case: &Case<'_>, fields: &browser::Fields) {
    let id = case.text("/id");
    if let Some(goes_on) = case.at("/then/browser_goes_on").as_bool() {
        assert_eq!(case.goes_on(204, fields), goes_on, "{id}");
    }
    if let Some(reads) = case.at("/then/browser_lets_script_read").as_bool() {
        let request =
            Request::builder().method(case.text("/then/method")).header("origin", case.browser().origin);
        let (answer, calls) = run(through(case.layer(), request.body(Full::default()).unwrap()));
        assert_eq!(
            (case.browser().lets_script_read(&self::fields(answer.headers())), calls),
            (reads, 1),
            "{id}"
        );
    }
}
