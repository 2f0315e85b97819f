//! Policy documents and requests: nothing panics, and the index decides as a look at every statement does.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_gateway::policy::{AccessRequest, ConditionValue, ExecuteApi, Policy, RequestPrincipal};

/// The first line is the action, the second the resource, the third a value, the rest the document.
fn parts(text: &str) -> Option<[&str; 4]> {
    let mut lines = text.splitn(4, '\n');
    Some([lines.next()?, lines.next()?, lines.next()?, lines.next()?])
}

fuzz_target!(|bytes: &[u8]| {
    let _ = Policy::identity(bytes);
    let Some([action, resource, value, document]) = std::str::from_utf8(bytes).ok().and_then(parts) else {
        return;
    };
    let api = ExecuteApi::new("eu-west-1", "111122223333", "a1").expect("valid");
    let values = match value.bytes().next() {
        Some(b'#') => ConditionValue::Unreadable,
        Some(b'[') => ConditionValue::List(&["a", "b*", ""]),
        Some(b'0'..=b'9') => value.parse().map_or(ConditionValue::Text(value), ConditionValue::Integer),
        Some(b'^') => ConditionValue::Binary(value.as_bytes()),
        _ => ConditionValue::Text(value),
    };
    let keys = [("k", values), ("aws:SourceIp", ConditionValue::Text(value))];
    for policy in
        [Policy::identity_for(&api, document), Policy::resource_of(&api, document)].into_iter().flatten()
    {
        for caller in
            [RequestPrincipal::Anonymous, RequestPrincipal::Aws(value), RequestPrincipal::Service(value)]
        {
            let request = AccessRequest::new(action, resource, &keys).caller(caller);
            assert_eq!(policy.evaluate(&request), policy.explain(&request).decision());
        }
    }
});
