//! An HTTP API behind a JWT authorizer: `cargo run --example jwt --features jwt`, then the curl lines it prints.
//!
//! With `$JWT_ISSUER`, `$JWT_AUDIENCE` and `$JWKS_FILE` it takes the tokens of that issuer; without any of them it makes
//! a key pair and tokens of its own. It listens on `$PORT`, 3000 by default.

mod process;

use axum::{Extension, Json, Router, routing::get};
use http::Method;
use jsonwebtoken::{EncodingKey, Header, jwk::Jwk};
use rcgen::{KeyPair, PKCS_RSA_SHA256, RsaKeySize};
use serde_json::{Value, json};
use std::error::Error;
use tower::Layer;
use tower_gateway::{
    clock::Clock,
    context::{ApiKind, RequestContext},
    gateway::Gateway,
    jwt::{JwkSet, JwkSource, JwtAuthorizer, JwtAuthorizerLayer, JwtVerifier},
    route::{ApiMethod, Authorization, Routes},
    stage::Stages,
};

/// The claims as the token carried them.
async fn me(Extension(context): Extension<RequestContext>) -> Json<Value> {
    let claims = context.authorizer().and_then(|authorizer| authorizer.token_claims());
    Json(claims.and_then(|claims| serde_json::from_str(claims.as_json()).ok()).unwrap_or_default())
}

async fn admin(Extension(context): Extension<RequestContext>) -> String {
    let name = context.principal().map(|principal| principal.id().to_owned());
    format!("hello {}, you are an administrator\n", name.unwrap_or_default())
}

fn routes() -> Result<Routes, tower_gateway::ConfigError> {
    let method = || ApiMethod::new().authorization(Authorization::jwt("accounts"));
    Routes::builder()
        .method("/me", Method::GET, method())
        .method("/admin", Method::GET, method().authorization_scopes(["admin"]))
        .build()
}

/// An issuer: what it is called, for whom its tokens are, and its keys.
struct Issuer {
    name: String,
    audience: String,
    keys: JwkSource,
}

fn issuer_of_the_environment() -> Result<Option<Issuer>, Box<dyn Error>> {
    let names = ["JWT_ISSUER", "JWT_AUDIENCE", "JWKS_FILE"];
    let [name, audience, file] = names.map(|name| std::env::var(name).ok().filter(|text| !text.is_empty()));
    match (name, audience, file) {
        (Some(name), Some(audience), Some(file)) => {
            let keys = JwkSource::file(&file).map_err(|error| format!("JWKS_FILE={file}: {error}"))?;
            Ok(Some(Issuer { name, audience, keys }))
        }
        (None, None, None) => Ok(None),
        (name, audience, file) => {
            let there = [name, audience, file].map(|value| value.is_some());
            let missing = names.iter().zip(there).filter(|(_, is_there)| !is_there).map(|(name, _)| *name);
            let missing = missing.collect::<Vec<_>>().join(", ");
            Err(format!("an issuer of yours needs {} together; missing: {missing}", names.join(", ")).into())
        }
    }
}

/// Who has which token.
type Tokens = Vec<(&'static str, String)>;

/// An issuer of our own, and tokens to try.
fn own_issuer() -> Result<(Issuer, Tokens), Box<dyn Error>> {
    let (name, audience) = ("https://issuer.example".to_owned(), "client-1".to_owned());
    let pair = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    let key = EncodingKey::from_rsa_pem(pair.serialize_pem().as_bytes())?;
    let mut jwk = Jwk::from_encoding_key(&key, jsonwebtoken::Algorithm::RS256)?;
    jwk.common.key_id = Some("key-1".to_owned());
    let keys = JwkSource::fixed(JwkSet::from_json(&json!({"keys": [jwk]}).to_string())?);
    let now = Clock::system().now().unix_seconds();
    let token = |audience: &str, scope: &str, life: i64| {
        let mut header = Header::new(jsonwebtoken::Algorithm::RS256);
        header.kid = Some("key-1".to_owned());
        let claims = json!({"iss": name, "aud": audience, "sub": "ada", "scope": scope, "iat": now - 60, "exp": now + life});
        jsonwebtoken::encode(&header, &claims, &key)
    };
    let tokens = vec![
        ("a user", token(&audience, "openid", 3600)?),
        ("an administrator", token(&audience, "openid admin", 3600)?),
        ("an expired user", token(&audience, "openid", -1)?),
        ("another audience", token("client-2", "openid", 3600)?),
    ];
    Ok((Issuer { name, audience, keys }, tokens))
}

fn authorizer(issuer: Issuer) -> Result<JwtAuthorizer, tower_gateway::ConfigError> {
    let verifier = JwtVerifier::builder(issuer.name).audience(issuer.audience).build()?;
    JwtAuthorizer::builder(verifier, issuer.keys).build()
}

fn print_curl_lines(base: &str, tokens: &[(&str, String)]) {
    println!(
        "The API is at {base}. Try:\n\n  curl -i {base}/prod/me\n      -> 401, www-authenticate: Bearer\n"
    );
    for (who, token) in tokens {
        for path in ["me", "admin"] {
            println!("  curl -i -H 'Authorization: Bearer {token}' {base}/prod/{path}\n      -> {who}\n");
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = process::port(3000)?;
    let (issuer, tokens) = match issuer_of_the_environment()? {
        Some(issuer) => (issuer, Vec::new()),
        None => own_issuer()?,
    };
    let layer = JwtAuthorizerLayer::new("accounts", authorizer(issuer)?);
    let api = Router::new().route("/me", get(me)).route("/admin", get(admin));
    let gateway = Gateway::builder()
        .api_kind(ApiKind::Http)
        .stages(Stages::single("prod", routes()?)?)
        .jwt_authorizer(layer)
        .build()?;

    let listener = process::listen(port).await?;
    print_curl_lines(&format!("http://{}", listener.local_addr()?), &tokens);
    axum::serve(listener, Router::new().fallback_service(gateway.layer(api))).await?;
    Ok(())
}
