//! A client that signs, and this crate's own verifier behind it.

use super::*;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use tower_gateway::sigv4::{Credentials, MemoryCredentialsStore, SigV4AuthLayer, SigV4Verifier};

const NOW: i64 = 1_795_350_896;
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Signs as a user's own client does, with AWS's crate.
async fn signed(request: Request<Full<Bytes>>, secret: &str) -> Request<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let identity = aws_credential_types::Credentials::new("AKIDEXAMPLE", secret, None, None, "test").into();
    let time = std::time::UNIX_EPOCH + Duration::from_secs(NOW as u64);
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region("eu-west-1")
        .name("firehose")
        .time(time)
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let fields = parts.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let uri = parts.uri.to_string();
    let signable = SignableRequest::new("POST", uri, fields, SignableBody::Bytes(&body)).unwrap();
    let (instructions, _) = sign(signable, &params.into()).unwrap().into_parts();
    let mut request = Request::from_parts(parts, Full::from(body));
    instructions.apply_to_request_http1x(&mut request);
    request
}

/// The other side checks signatures with this crate's layer.
#[test]
fn a_signing_client_is_accepted_by_our_own_verifier() {
    let manual = ManualClock::at_unix_seconds(NOW);
    let ada =
        Credentials::builder("AKIDEXAMPLE", SECRET, "arn:aws:iam::111122223333:user/ada").build().unwrap();
    let verifier = SigV4Verifier::new("eu-west-1", "firehose").unwrap();
    let layer = SigV4AuthLayer::authenticate_only(MemoryCredentialsStore::new([ada]), verifier);
    let layer = layer.clock(manual.clock()).build().unwrap();
    for (secret, stats) in [(SECRET, [1, 0, 0]), ("another", [0, 0, 1])] {
        run(async {
            let firehose = Firehose::new([]);
            let guarded = layer.layer(tower::util::MapRequest::new(
                service_fn({
                    let firehose = firehose.clone();
                    move |request| firehose.clone().answer(request)
                }),
                |request: Request<tower_gateway::GatewayBody<Full<Bytes>>>| {
                    let (mut parts, body) = request.into_parts();
                    parts.headers.remove("authorization");
                    let read = futures_util::FutureExt::now_or_never(body.collect()).unwrap().unwrap();
                    Request::from_parts(parts, Full::from(read.to_bytes()))
                },
            ));
            let client = service_fn(move |request: Request<Full<Bytes>>| {
                let mut guarded = guarded.clone();
                async move {
                    let request = signed(request, secret).await;
                    guarded.ready().await?.call(request).await
                }
            });
            let (sink, delivery) = builder().build().unwrap();
            log(&sink, "line 0").await;
            sink.close();
            delivery.run(client).await;
            assert_eq!(counts(&sink), stats);
            assert_eq!(firehose.records().len() as u64, stats[0]);
        });
    }
}
