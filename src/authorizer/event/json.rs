//! Events as JSON, member for member as AWS sends them.

use super::{EventForm, Inner};
use crate::{
    authorizer::query,
    context::RequestContext,
    percent::{Plus, decode_lossy},
    route::Declared,
};
use http::{HeaderMap, HeaderName, header};
use serde_json::{Map, Value, json};

/// The stage of an API that has none to name.
const DEFAULT_STAGE: &str = "$default";

pub(super) fn event(inner: &Inner) -> Value {
    match inner.form {
        EventForm::Token => json!({
            "type": "TOKEN",
            "authorizationToken": inner.identity.first(),
            "methodArn": inner.method_arn,
        }),
        EventForm::RestRequest => rest_request(inner),
        EventForm::Http1 => http_1(inner),
        EventForm::Http2 => http_2(inner),
    }
}

fn rest_request(inner: &Inner) -> Value {
    let parameters: Vec<_> = query_texts(inner);
    let mut event = common_1(inner, rest_name);
    event["multiValueHeaders"] = all_values(headers(&inner.headers, rest_name));
    event["multiValueQueryStringParameters"] = all_values(parameters);
    event
}

fn http_1(inner: &Inner) -> Value {
    let mut event = common_1(inner, HeaderName::as_str);
    let identity = inner.identity.join(",");
    event["version"] = "1.0".into();
    event["authorizationToken"] = identity.as_str().into();
    event["identitySource"] = identity.into();
    event["requestContext"]["resourceId"] = route_key(&inner.context).into();
    event
}

/// What REST requests and payload format 1.0 share.
fn common_1(inner: &Inner, name: fn(&HeaderName) -> &str) -> Value {
    let context = &inner.context;
    json!({
        "type": "REQUEST",
        "methodArn": inner.method_arn,
        "resource": resource_path(context),
        "path": &*inner.path,
        "httpMethod": context.method().as_str(),
        "headers": last_values(headers(&inner.headers, name)),
        "queryStringParameters": last_values(query_texts(inner)),
        "pathParameters": path_parameters(context, str::to_owned),
        "stageVariables": stage_variables(context),
        "requestContext": request_context_1(inner),
    })
}

fn request_context_1(inner: &Inner) -> Value {
    let context = &inner.context;
    let host = host(inner);
    let mut identity = json!({"sourceIp": source_ip(context), "userAgent": user_agent(inner)});
    if let Some(key) = context.api_key() {
        identity["apiKey"] = key.expose_value().into();
    }
    if let Some(certificate) = client_certificate(context) {
        identity["clientCert"] = certificate;
    }
    json!({
        "resourceId": resource_id(resource_path(context)),
        "resourcePath": resource_path(context),
        "httpMethod": context.method().as_str(),
        "extendedRequestId": context.extended_request_id(),
        "requestTime": context.variable("requestTime"),
        "path": context.received_uri().path(),
        "accountId": inner.api.account_id(),
        "protocol": context.variable("protocol"),
        "stage": stage(context),
        "domainPrefix": domain_prefix(&host),
        "requestTimeEpoch": context.arrived().unix_millis(),
        "requestId": context.request_id(),
        "identity": identity,
        "domainName": host,
        "apiId": inner.api.api_id(),
    })
}

fn http_2(inner: &Inner) -> Value {
    let context = &inner.context;
    let received = context.received_uri();
    let mut event = json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": inner.method_arn,
        "identitySource": (!inner.identity.is_empty()).then_some(&inner.identity),
        "routeKey": route_key(context),
        "rawPath": decoded(received.path()),
        "rawQueryString": received.query().unwrap_or_default(),
        "headers": joined_headers(&inner.headers),
        "requestContext": request_context_2(inner),
    });
    let optional = [
        ("cookies", Value::from(cookies(&inner.headers))),
        ("queryStringParameters", joined(query_texts(inner))),
        ("pathParameters", path_parameters(context, decoded)),
        ("stageVariables", stage_variables(context)),
    ];
    for (name, value) in optional {
        if value.as_object().is_some_and(|map| !map.is_empty())
            || value.as_array().is_some_and(|list| !list.is_empty())
        {
            event[name] = value;
        }
    }
    event
}

fn request_context_2(inner: &Inner) -> Value {
    let context = &inner.context;
    let host = host(inner);
    json!({
        "accountId": inner.api.account_id(),
        "apiId": inner.api.api_id(),
        "authentication": client_certificate(context).map(|certificate| json!({"clientCert": certificate})),
        "domainName": host,
        "domainPrefix": domain_prefix(&host),
        "http": {
            "method": context.method().as_str(),
            "path": decoded(context.received_uri().path()),
            "protocol": context.variable("protocol"),
            "sourceIp": source_ip(context),
            "userAgent": user_agent(inner),
        },
        "requestId": context.request_id(),
        "routeKey": route_key(context),
        "stage": stage(context),
        "time": context.variable("requestTime"),
        "timeEpoch": context.arrived().unix_millis(),
    })
}

/// Recorded: these two have capitals whatever the client sent.
fn rest_name(name: &HeaderName) -> &str {
    match *name {
        header::AUTHORIZATION => "Authorization",
        header::USER_AGENT => "User-Agent",
        _ => name.as_str(),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn decoded(text_in_url: &str) -> String {
    decode_lossy(text_in_url, Plus::Literal).into_owned()
}

fn headers(headers: &HeaderMap, name: fn(&HeaderName) -> &str) -> Vec<(String, String)> {
    headers.iter().map(|(own, value)| (name(own).to_owned(), text(value.as_bytes()))).collect()
}

fn query_texts(inner: &Inner) -> Vec<(String, String)> {
    query::pairs(inner.query.as_deref()).map(|(name, value)| (text(&name), text(&value))).collect()
}

fn last_values(pairs: Vec<(String, String)>) -> Value {
    pairs.into_iter().map(|(name, value)| (name, Value::from(value))).collect::<Map<_, _>>().into()
}

fn all_values(pairs: Vec<(String, String)>) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        if let Value::Array(values) = map.entry(name).or_insert_with(|| json!([])) {
            values.push(value.into());
        }
    }
    map.into()
}

/// Values of one name joined with `,`.
fn joined(pairs: Vec<(String, String)>) -> Value {
    let mut map = Map::new();
    for (name, value) in pairs {
        match map.get_mut(&name) {
            Some(Value::String(known)) => {
                known.push(',');
                known.push_str(&value);
            }
            _ => {
                map.insert(name, value.into());
            }
        }
    }
    map.into()
}

fn joined_headers(fields: &HeaderMap) -> Value {
    let mut pairs = headers(fields, HeaderName::as_str);
    pairs.retain(|(name, _)| name != "cookie");
    joined(pairs)
}

fn cookies(fields: &HeaderMap) -> Vec<String> {
    let values = fields.get_all(header::COOKIE).iter().map(|value| text(value.as_bytes()));
    let split =
        |value: String| -> Vec<String> { value.split(';').map(|part| part.trim().to_owned()).collect() };
    values.flat_map(split).filter(|cookie| !cookie.is_empty()).collect()
}

fn declared(context: &RequestContext) -> Option<&Declared> {
    Some(context.route()?.declared())
}

fn resource_path(context: &RequestContext) -> &str {
    context.resource_path().unwrap_or(context.received_uri().path())
}

fn route_key(context: &RequestContext) -> String {
    context.route_key().unwrap_or_else(|| "$default".to_owned())
}

fn path_parameters(context: &RequestContext, form: fn(&str) -> String) -> Value {
    let names = declared(context).map_or(&[][..], |method| &method.variables);
    let pairs =
        names.iter().filter_map(|name| Some((name.to_string(), form(context.path_parameter(name)?).into())));
    pairs.collect::<Map<_, _>>().into()
}

fn stage_variables(context: &RequestContext) -> Value {
    let stage = context.route().and_then(|route| route.scope.stage.as_ref());
    let pairs = stage.into_iter().flat_map(|stage| stage.variables.iter());
    pairs.map(|(name, value)| (name.clone(), Value::from(value.as_str()))).collect::<Map<_, _>>().into()
}

fn stage(context: &RequestContext) -> &str {
    context.stage().unwrap_or(DEFAULT_STAGE)
}

fn source_ip(context: &RequestContext) -> Option<String> {
    context.source_ip().map(|address| address.to_string())
}

fn user_agent(inner: &Inner) -> Option<String> {
    inner.headers.get(header::USER_AGENT).map(|value| text(value.as_bytes()))
}

/// The name the client called, without its port.
fn host(inner: &Inner) -> String {
    let uri = inner.context.received_uri().host().map(str::to_owned);
    let field = || inner.headers.get(header::HOST).map(|value| text(value.as_bytes()));
    let host = uri.or_else(field).unwrap_or_default();
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name.to_owned(),
        _ => host,
    }
}

fn domain_prefix(host: &str) -> &str {
    host.split('.').next().unwrap_or_default()
}

/// Members of the client's certificate, where one was verified.
fn client_certificate(context: &RequestContext) -> Option<Value> {
    let member = |name: &str| context.variable(&format!("identity.clientCert.{name}"));
    Some(json!({
        "clientCertPem": member("clientCertPem"),
        "subjectDN": member("subjectDN")?,
        "issuerDN": member("issuerDN"),
        "serialNumber": member("serialNumber"),
        "validity": {"notBefore": member("validity.notBefore"), "notAfter": member("validity.notAfter")},
    }))
}

/// AWS's ids are six characters drawn when a resource is made. Ours are derived from its path, so they stay the same.
fn resource_id(resource_path: &str) -> String {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = resource_path.bytes().fold(0xcbf2_9ce4_8422_2325, fold);
    let mut digit = || {
        let index = (hash % 36) as usize;
        hash /= 36;
        char::from(DIGITS[index])
    };
    (0..6).map(|_| digit()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_names_are_shown_as_each_form_does() {
        let pairs =
            || vec![("a".to_owned(), "1".to_owned()), ("b".into(), "x".into()), ("a".into(), "2".into())];
        assert_eq!(last_values(pairs()), json!({"a": "2", "b": "x"}));
        assert_eq!(all_values(pairs()), json!({"a": ["1", "2"], "b": ["x"]}));
        assert_eq!(joined(pairs()), json!({"a": "1,2", "b": "x"}));
    }

    #[test]
    fn cookies_leave_the_headers() {
        let mut fields = HeaderMap::new();
        fields.append("cookie", "c1=a; c2=b".parse().unwrap());
        fields.append("cookie", "c3=c;".parse().unwrap());
        fields.append("x", "1".parse().unwrap());
        fields.append("x", "2".parse().unwrap());
        assert_eq!(cookies(&fields), ["c1=a", "c2=b", "c3=c"]);
        assert_eq!(joined_headers(&fields), json!({"x": "1,2"}));
    }

    #[test]
    fn resource_ids_have_aws_form_and_differ() {
        let (root, pets) = (resource_id("/"), resource_id("/pets"));
        assert_ne!(root, pets);
        for id in [root, pets] {
            assert!(id.len() == 6 && id.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{id}");
        }
    }
}
