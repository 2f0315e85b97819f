//! Which requests need a key, and where it is taken from. Answers are tested in `tests/it/api_keys.rs`.

use super::*;
use crate::{
    api_key::ApiKey,
    clock::ManualClock,
    route::{ApiMethod, MatchedRoute, StageScope},
};
use http::Method;

const VALUE: &str = "0123456789abcdefghij";

fn keys() -> ApiKeys {
    ApiKeys::builder().key(ApiKey::new("k1").value(VALUE).customer_id("acme")).build().unwrap()
}

fn routes() -> Routes {
    Routes::builder()
        .method("/open", Method::GET, ApiMethod::new())
        .method("/closed", Method::GET, ApiMethod::new().api_key_required(true))
        .build()
        .unwrap()
}

fn request(path: &str, key: Option<&str>) -> Request<()> {
    let request = Request::builder().uri(path);
    key.map_or(Request::builder().uri(path), |key| request.header("x-api-key", key)).body(()).unwrap()
}

/// What the layer decides, and the id that it sets.
fn decide(layer: &ApiKeyLayer, request: &mut Request<()>) -> Result<Option<String>, Cause> {
    let context = layer.config.context.find_or_create(request);
    layer.config.decide(&context, request)?;
    Ok(context.api_key().map(|key| key.id().to_owned()))
}

fn without_key(layer: &ApiKeyLayer, path: &str) -> Result<Option<String>, Cause> {
    decide(layer, &mut request(path, None))
}

const MISSING: Result<Option<String>, Cause> = Err(Cause::ApiKeyMissing);

#[test]
fn alone_every_request_needs_a_key() {
    let layer = ApiKeyLayer::new(keys());
    assert_eq!(without_key(&layer, "/open"), MISSING);
    assert_eq!(decide(&layer, &mut request("/x", Some(VALUE))), Ok(Some("k1".to_owned())));
    assert_eq!(without_key(&layer.require(KeyRequirement::PerMethod), "/open"), MISSING, "fails closed");
}

#[test]
fn with_a_table_the_method_decides_and_the_unknown_is_closed() {
    let layer = ApiKeyLayer::new(keys()).routes(&routes());
    assert_eq!(without_key(&layer, "/open"), Ok(None));
    assert_eq!(decide(&layer, &mut request("/open", Some("garbage"))), Ok(None));
    assert_eq!(decide(&layer, &mut request("/open", Some(VALUE))), Ok(None), "null where none is needed");
    assert_eq!(without_key(&layer, "/closed"), MISSING);
    assert_eq!(without_key(&layer, "/forgotten"), MISSING);
    let mut post = request("/open", None);
    *post.method_mut() = Method::POST;
    assert_eq!(decide(&layer, &mut post), MISSING);
    assert_eq!(without_key(&layer.require(KeyRequirement::Always), "/open"), MISSING);
}

/// A request that an outer layer matched to `ANY /{proxy+}` of a table that knows nothing of keys.
fn matched(stage: bool, required: bool) -> Request<()> {
    let table =
        Routes::builder().any("/{proxy+}", ApiMethod::new().api_key_required(required)).build().unwrap();
    let (method, params) = table.search(Some(&Method::GET), "/closed").unwrap();
    let alone = table.scope();
    let scope = StageScope {
        name: "prod".into(),
        deployment_id: "d1".into(),
        variables: Arc::default(),
        canary: None,
        has_own_cache: false,
    };
    let staged =
        Scope { stage: stage.then_some(scope), routes: table.clone(), settings: alone.settings.clone() };
    let mut request = request("/closed", None);
    let context = ContextConfig::default().find_or_create(&mut request);
    context.set_route(MatchedRoute { scope: Arc::new(staged), method, params, base: Some(0) });
    request
}

#[test]
fn behind_a_stage_its_table_decides() {
    for layer in [ApiKeyLayer::new(keys()), ApiKeyLayer::new(keys()).routes(&routes())] {
        assert_eq!(decide(&layer, &mut matched(true, false)), Ok(None));
        assert_eq!(decide(&layer, &mut matched(true, true)), MISSING);
    }
    let always = ApiKeyLayer::new(keys()).require(KeyRequirement::Always);
    assert_eq!(decide(&always, &mut matched(true, false)), MISSING);
}

#[test]
fn another_layers_table_without_a_stage_opens_nothing() {
    assert_eq!(decide(&ApiKeyLayer::new(keys()), &mut matched(false, false)), MISSING);
    assert_eq!(decide(&ApiKeyLayer::new(keys()).routes(&routes()), &mut matched(false, false)), MISSING);
}

#[test]
fn the_authorizers_key_counts_alone_where_it_is_the_source() {
    let layer = ApiKeyLayer::new(keys()).source(ApiKeySource::Authorizer);
    assert_eq!(decide(&layer, &mut request("/", Some(VALUE))), MISSING, "the header is ignored");
    let with = |value: &str| {
        let mut request = request("/", Some("garbage"));
        request.headers_mut().append("x-api-key", HeaderValue::from_static("twice"));
        request.extensions_mut().insert(UsageIdentifierKey::new(value));
        let decided = decide(&layer, &mut request);
        assert!(request.headers().get_all("x-api-key").iter().all(HeaderValue::is_sensitive));
        decided
    };
    assert_eq!(with(VALUE), Ok(Some("k1".to_owned())));
    assert_eq!(with("\n"), Err(Cause::ApiKeyMalformed));
    assert_eq!(with("another-value-0123456789"), Err(Cause::ApiKeyUnknown));
    let by_header = ApiKeyLayer::new(keys());
    let mut request = request("/", None);
    request.extensions_mut().insert(UsageIdentifierKey::new(VALUE));
    assert_eq!(decide(&by_header, &mut request), MISSING, "and the other way round");
}

#[test]
fn the_proof_has_the_id_the_customer_and_the_value() {
    let layer = ApiKeyLayer::new(keys());
    let mut request = request("/", Some(VALUE));
    let context = layer.config.context.find_or_create(&mut request);
    layer.config.decide(&context, &mut request).unwrap();
    let key = context.api_key().unwrap();
    assert_eq!((key.id(), key.customer_id(), key.expose_value()), ("k1", Some("acme"), VALUE));
    assert_eq!(key.subject(), crate::context::subject("key", "k1"));
    assert!(!format!("{context:?} {request:?}").contains(VALUE));
}

#[test]
fn the_end_of_a_rotation_goes_by_the_keys_clock_or_the_layers() {
    let (manual, other) = (ManualClock::at_unix_seconds(1_000), ManualClock::at_unix_seconds(1_000));
    let keys = ApiKeys::builder().clock(manual.clock()).key(ApiKey::new("k1").value(VALUE)).build().unwrap();
    let minute = std::time::Duration::from_secs(60);
    let _shown = keys.rotate("k1", None, minute).unwrap();
    let layers = [ApiKeyLayer::new(keys.clone()), ApiKeyLayer::new(keys).clock(other.clock())];
    let both = || layers.each_ref().map(|layer| decide(layer, &mut request("/", Some(VALUE))).is_ok());
    assert_eq!(both(), [true, true]);
    manual.advance(minute);
    assert_eq!(both(), [false, true]);
    other.advance(minute);
    let causes = layers.each_ref().map(|layer| decide(layer, &mut request("/", Some(VALUE))));
    assert_eq!(causes, [Err(Cause::ApiKeyDisabled), Err(Cause::ApiKeyDisabled)]);
}
