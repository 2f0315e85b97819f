//! A stage behind AWS Signature Version 4: `cargo run --example sigv4 --features sigv4`, then the curl lines it prints
//! (curl 8.3 or newer: older ones neither sort parameters nor encode paths twice, as the signature wants).
//!
//! `ANY /prod/{proxy+}` answers with who is calling. The one access key may GET and POST everything but `/admin/*`.

mod process;

use axum::{Json, Router, extract::Request};
use serde_json::{Value, json};
use std::error::Error;
use tower::Layer;
use tower_gateway::{
    context::RequestContext,
    gateway::Gateway,
    policy::{ExecuteApi, Policy},
    route::{ApiMethod, Authorization, Routes},
    sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer},
    stage::Stages,
};

const ACCESS_KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

const POLICY: &str = r#"{"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": "execute-api:Invoke",
     "Resource": ["execute-api:/prod/GET/*", "execute-api:/prod/POST/*"]},
    {"Effect": "Deny", "Action": "execute-api:Invoke", "Resource": "execute-api:/prod/*/admin/*"}]}"#;

/// Echoes the caller's identity.
async fn whoami(request: Request) -> Json<Value> {
    let context = RequestContext::of(request.extensions());
    let of = |name: &str| context.and_then(|context| context.variable(&format!("identity.{name}")));
    let fields = ["accessKey", "accountId", "caller", "user", "userArn", "principalOrgId"];
    let identity: serde_json::Map<_, _> =
        fields.iter().map(|name| ((*name).to_owned(), json!(of(name)))).collect();
    Json(json!({ "method": request.method().as_str(), "path": request.uri().path(), "identity": identity }))
}

fn layer() -> Result<SigV4AuthLayer, Box<dyn Error>> {
    let api = ExecuteApi::new("us-east-1", "111122223333", "a1b2c3d4e5")?;
    let ada = Credentials::builder(ACCESS_KEY, SECRET, "arn:aws:iam::111122223333:user/ada")
        .user_id("AIDAEXAMPLE")
        .policy(Policy::identity_for(&api, POLICY)?)
        .build()?;
    Ok(SigV4AuthLayer::builder(MemoryCredentialsStore::new([ada]), api).build()?)
}

fn print_lines(base: &str) {
    let signed = format!("curl --aws-sigv4 aws:amz:us-east-1:execute-api --user {ACCESS_KEY}:{SECRET}");
    println!("listening on {base}; try");
    println!("  {signed} {base}/prod/pets                      # 200, and who you are");
    println!("  {signed} --json '{{\"name\":\"rex\"}}' {base}/prod/pets    # 200, the body is signed too");
    println!("  {signed} {base}/prod/admin/keys                # 403, an explicit deny");
    println!("  {signed} -X DELETE {base}/prod/pets/1          # 403, nothing allows it");
    println!("  curl {base}/prod/pets                          # 403 Missing Authentication Token");
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let signed = ApiMethod::new().authorization(Authorization::AwsIam);
    let routes = Routes::builder().any("/", signed.clone()).any("/{proxy+}", signed).build()?;
    let gateway = Gateway::builder().stages(Stages::single("prod", routes)?).sigv4(layer()?).build()?;
    let service = gateway.layer(Router::new().fallback(whoami));

    let listener = process::listener(3000).await?;
    print_lines(&format!("http://{}", listener.local_addr()?));
    axum::serve(listener, Router::new().fallback_service(service)).await?;
    Ok(())
}
