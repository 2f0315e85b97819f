//! Single layers on an existing router: an API key on one route, CORS on all.
//!
//! `cargo run --example one_layer`

use axum::{Router, body::Body, http::Request, routing::get};
use std::error::Error;
use tower::ServiceExt;
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    cors::Cors,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let keys = ApiKeys::builder().key(ApiKey::new("partner").value("0123456789abcdefghij")).build()?;
    let app = Router::new()
        .route("/admin", get(|| async { "secrets\n" }))
        .layer(ApiKeyLayer::new(keys.clone()))
        .route("/public", get(|| async { "news\n" }))
        .layer(Cors::new().allow_origins(["https://shop.example"]).build()?);

    for (path, key) in [("/public", None), ("/admin", None), ("/admin", Some("0123456789abcdefghij"))] {
        let request = Request::get(path).header("origin", "https://shop.example");
        let request = key.into_iter().fold(request, |request, key| request.header("x-api-key", key));
        let answer = app.clone().oneshot(request.body(Body::empty())?).await?;
        let allowed = answer.headers().get("access-control-allow-origin").cloned();
        println!(
            "GET {path} with key {key:?}: {} and Access-Control-Allow-Origin {allowed:?}",
            answer.status()
        );
    }
    // The handle changes keys while traffic flows.
    keys.set_enabled("partner", false)?;
    let request = Request::get("/admin").header("x-api-key", "0123456789abcdefghij").body(Body::empty())?;
    println!("GET /admin after the key was disabled: {}", app.oneshot(request).await?.status());
    Ok(())
}
