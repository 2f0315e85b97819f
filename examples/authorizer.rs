//! A TOKEN authorizer before a pet shop: `cargo run --example authorizer --features authorizer`, then the curl lines it prints.

mod process;

use axum::{Json, Router, extract::Request, http::Method, routing::get};
use serde_json::{Value, json};
use std::error::Error;
use tower::Layer;
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    context::RequestContext,
    gateway::Gateway,
    route::{ApiMethod, Authorization, Routes},
    stage::Stages,
};

/// Whoever the authorizer has let in, and what it said about them.
async fn pets(request: Request) -> Json<Value> {
    let known = RequestContext::of(request.extensions()).and_then(RequestContext::authorizer);
    let principal = known.and_then(|known| known.principal_id());
    let plan = known.and_then(|known| known.value("plan")).map(|plan| plan.as_str());
    Json(json!({ "pets": ["dog", "cat"], "for": principal, "plan": plan }))
}

/// The bare token says what to do; a real function would look it up or verify it.
async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    println!("the authorizer is asked about {}", event.method_arn());
    // Every method of the stage: the answer is cached and serves the next method too.
    let all = ["arn:aws:execute-api:*:*:*/prod/*"];
    match event.authorization_token() {
        "allow" => Ok(AuthorizerAnswer::allow("ada", all).context("plan", "gold")),
        "deny" => Ok(AuthorizerAnswer::deny("bob", all)),
        "unauthorized" => Err("Unauthorized"),
        // What a Lambda function returns that has forgotten principal and policy.
        _ => Ok(AuthorizerAnswer::from_json("{}")),
    }
}

fn app() -> Result<Router, Box<dyn Error>> {
    let method = ApiMethod::new().authorization(Authorization::custom("pets"));
    let routes = Routes::builder().method("/pets", Method::GET, method).build()?;
    let authorizer = Authorizer::token("pets", authorizer_fn(who)).build()?;
    let gateway = Gateway::builder()
        .stages(Stages::single("prod", routes)?)
        .authorizer(AuthorizerLayer::new(authorizer))
        .build()?;
    let service = gateway.layer(Router::new().route("/pets", get(pets)));
    Ok(Router::new().fallback_service(service))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let listener = process::listener(3000).await?;
    let base = format!("http://{}", listener.local_addr()?);
    println!("The pet shop is at {base}. Try:\n");
    for (token, answer) in [
        (Some("allow"), "200, the pets; the second time within 300 s without asking the authorizer"),
        (
            Some("deny"),
            r#"403 {"Message":"User is not authorized to access this resource with an explicit deny"}"#,
        ),
        (Some("unauthorized"), r#"401 {"message":"Unauthorized"}"#),
        (Some("anything"), r#"500 {"message":null}: a malformed answer"#),
        (None, r#"401 {"message":"Unauthorized"}: the authorizer is not asked"#),
    ] {
        let header = token.map(|token| format!("-H 'Authorization: {token}' ")).unwrap_or_default();
        println!("  curl -i {header}{base}/prod/pets\n      -> {answer}\n");
    }
    axum::serve(listener, app()?).await?;
    Ok(())
}
