//! Clients as people run them, against a listening server with the machine's clock. `./test.sh` installs them; each one
//! that is absent is named on a line.

use super::support::{api, credentials, echo};
use crate::support::left_out;
use axum::Router;
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
};
use tower::Layer;
use tower_gateway::{
    route::Routes,
    sigv4::{MemoryCredentialsStore, SigV4AuthLayer},
    stage::{StageRouter, Stages},
};

/// Serves stage `prod` until the test ends; all routes show the caller.
fn serve() -> SocketAddr {
    let store = MemoryCredentialsStore::new([credentials("AKIDEXAMPLE", "ada")]);
    let signed = SigV4AuthLayer::builder(store, api()).build().unwrap();
    let inner = signed.layer(Router::new().fallback(echo));
    let service = StageRouter::new(Stages::single("prod", Routes::catch_all()).unwrap()).layer(inner);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        crate::support::run(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            axum::serve(listener, Router::new().fallback_service(service)).await
        })
    });
    address
}

fn manifest(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Runs a client and reads its lines: name, status, status of the altered request.
fn lines(command: &mut Command) -> BTreeMap<String, (String, String)> {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let line = |line: &str| {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        let statuses: Vec<_> = words.collect();
        let (altered, status) = statuses.split_last().unwrap();
        (name, (status.join(" "), altered.clone()))
    };
    text.lines().map(line).collect()
}

fn assert_all(lines: &BTreeMap<String, (String, String)>, at_least: usize) {
    let signed: Vec<_> = lines.iter().filter(|(name, _)| !name.starts_with("wrong-secret")).collect();
    for (name, (status, altered)) in &signed {
        assert_eq!(status, "200", "{name}");
        assert!(altered == "403" || altered == "-", "{name}: altered {altered}");
    }
    for (name, (status, _)) in lines.iter().filter(|(name, _)| name.starts_with("wrong-secret")) {
        assert_eq!(status, "403", "{name}");
    }
    assert!(signed.len() >= at_least, "{lines:?}");
}

#[test]
fn botocore_boto3_and_the_aws_cli() {
    let python = manifest(".venv/bin/python");
    let has_clients = Command::new(&python).args(["-c", "import boto3, awscli"]).output();
    if !has_clients.is_ok_and(|output| output.status.success()) {
        return left_out("botocore, boto3 and the AWS CLI (no .venv with them)");
    }
    let script = manifest("tests/it/sigv4/clients.py");
    assert_all(&lines(Command::new(python).arg(script).arg(format!("http://{}", serve()))), 18);
}

#[test]
fn aws4_and_the_javascript_sdk_s_signer() {
    let modules = Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients");
    let has_node = Command::new("node").arg("--version").output().is_ok();
    if !has_node || !modules.join("node_modules/aws4").exists() {
        return left_out("aws4 and @smithy/signature-v4 (no node, or not installed)");
    }
    let script = manifest("tests/it/sigv4/clients.mjs");
    let mut node = Command::new("node");
    assert_all(&lines(node.arg(script).arg(format!("http://{}", serve())).arg(modules)), 28);
}

/// `None` where there is no curl that signs.
fn curl(arguments: &[&str]) -> Option<String> {
    let mut curl = Command::new("curl");
    let scope = ["--aws-sigv4", "aws:amz:us-east-1:execute-api", "--silent", "--output", "/dev/null"];
    let output = curl.args(scope).args(["--write-out", "%{http_code}"]).args(arguments).output().ok()?;
    // 2 is an option that this curl does not know.
    (output.status.code() != Some(2)).then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

const USER: [&str; 2] = ["--user", "AKIDEXAMPLE:wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"];

/// What every curl that signs does by the rule. Before 8.3 it signs the query as it stands, neither sorted nor with the
/// `=` of a parameter without value, and it encodes paths once only.
#[test]
fn curl_where_it_follows_the_rule() {
    let base = format!("http://{}", serve());
    let url = |target: &str| format!("{base}{target}");
    if curl(&[&USER[..], &[&url("/prod/pets")]].concat()).is_none() {
        return left_out("curl (none, or one without --aws-sigv4)");
    }
    let signed =
        |arguments: &[&str], target: &str| curl(&[&USER[..], arguments, &[&url(target)]].concat()).unwrap();
    let json = ["--json", r#"{"name":"rex"}"#];
    assert_eq!(signed(&[], "/prod/pets"), "200");
    assert_eq!(signed(&json, "/prod/pets"), "200");
    assert_eq!(signed(&["--request", "DELETE"], "/prod/pets/1"), "200");
    assert_eq!(signed(&[], "/prod/pets?a=1&b=2&empty="), "200");
    assert_eq!(signed(&["--http2-prior-knowledge"], "/prod/pets"), "200", "the host is :authority");
    assert_eq!(signed(&[], "/nope/pets"), "403", "no such stage");
    let wrong = ["--user", "AKIDEXAMPLE:wrong"];
    assert_eq!(curl(&[&wrong[..], &[&url("/prod/pets")]].concat()).unwrap(), "403");
    let other = ["--header", "X-Amz-Date: 20200101T000000Z"];
    assert_eq!(signed(&other, "/prod/pets"), "403");
}
