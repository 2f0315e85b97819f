//! Authorizers that wait: the service that was ready is called, and who hangs up is nobody's loss.

use super::{Record, authorized, stages};
use crate::{
    jwt::{self, NOW, authorizer, clock, key_set, signers, token, with_token},
    sigv4::support::Signer,
    support::{Strict, get, run},
};
use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderValue, Request, Response};
use http_body_util::{Channel, Empty, Full};
use serde_json::json;
use std::{convert::Infallible, sync::Arc};
use tokio::sync::Semaphore;
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    authorizer::{Authorizer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    gateway::GatewayBuilder,
    jwt::{JwkSource, JwksClient, JwtAuthorizerLayer, RemoteJwks},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

/// Closed at first; every permit lets one call through.
fn gate() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(0))
}

fn plans() -> UsagePlans {
    let plan = |id: &str| {
        let quota = Quota::new(100, QuotaPeriod::Day).unwrap();
        UsagePlan::new(id).throttle(Throttle::new(10.0, 10).unwrap()).quota(quota)
    };
    let plans = UsagePlans::builder().clock(clock().1).plan(plan("gold")).plan(plan("basic"));
    plans.attach("gold", "gold").attach("basic", "basic").build().unwrap()
}

fn is_uncharged(plans: &UsagePlans) -> bool {
    let used = plans.usage("gold", None, "2027-01-15", "2027-01-15").unwrap().to_json();
    !used.contains("[1,")
}

/// An authorizer function behind a gate.
fn held(record: &Record, gate: &Arc<Semaphore>) -> AuthorizerLayer {
    let (record, gate) = (record.clone(), Arc::clone(gate));
    let function = authorizer_fn(move |event: AuthorizerEvent| {
        record.note(event.authorization_token());
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            super::judge(event.authorization_token())
        }
    });
    AuthorizerLayer::new(Authorizer::token("custom", function).clock(clock().1).build().unwrap())
}

/// An issuer whose keys come when the gate opens.
fn slow_keys(gate: &Arc<Semaphore>) -> JwtAuthorizerLayer {
    let gate = Arc::clone(gate);
    let client = JwksClient::new(service_fn(move |_: Request<Empty<Bytes>>| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.unwrap().forget();
            let keys = key_set(&[&signers()[0]]);
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(keys)))
        }
    }));
    let remote = RemoteJwks::url("https://issuer.example/keys", client).unwrap().clock(clock().1);
    JwtAuthorizerLayer::new("jwt", authorizer(JwkSource::remote(remote), clock().1).build().unwrap())
}

fn gateway(plans: &UsagePlans) -> GatewayBuilder {
    authorized(&Record::default()).stages(stages()).usage_plans(plans.clone())
}

fn keyed(mut request: Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    request.headers_mut().insert("x-api-key", HeaderValue::from_static(super::GOLD));
    request
}

fn custom(who: &str) -> Request<Full<Bytes>> {
    keyed(super::with_field(get("/prod/keyed/custom"), "authorization", who))
}

async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[test]
fn a_service_is_called_ready_after_the_function_was_waited_for() {
    let (record, gate, plans, strict) = (Record::default(), gate(), plans(), Strict::default());
    let service = gateway(&plans).authorizer(held(&record, &gate)).build().unwrap().layer(strict.clone());
    run(async {
        let callers = ["ada", "bob", "ada", "bob", "nobody"];
        let mut asked = callers.map(|who| Box::pin(service.clone().oneshot(custom(who))));
        for one in &mut asked {
            settle().await;
            assert!(one.now_or_never().is_none());
        }
        assert_eq!(strict.called(), 0);
        assert!(is_uncharged(&plans), "nothing is charged before it is known who calls");
        gate.add_permits(3);
        let statuses = asked.map(|one| async { one.await.unwrap().status().as_u16() });
        assert_eq!(futures_util::future::join_all(statuses).await, [200, 200, 200, 200, 401]);
        assert_eq!((strict.called(), record.take()), (4, vec!["ada".into(), "bob".into(), "nobody".into()]));
    });
}

#[test]
fn a_service_is_called_ready_after_keys_were_waited_for() {
    let (gate, strict) = (gate(), Strict::default());
    let service = gateway(&plans()).jwt_authorizer(slow_keys(&gate)).build().unwrap().layer(strict.clone());
    run(async {
        let of = |who: &str| with_token("/prod/jwt", &token(&json!({"sub": who})));
        let requests = [of("ada"), of("bob"), jwt::with_token("/prod/jwt", "a.b.c")];
        let asked = requests.map(|request| tokio::spawn(service.clone().oneshot(request)));
        settle().await;
        assert_eq!(strict.called(), 0);
        gate.add_permits(1);
        let mut statuses = Vec::new();
        for one in asked {
            statuses.push(one.await.unwrap().unwrap().status().as_u16());
        }
        assert_eq!((statuses, strict.called()), (vec![200, 200, 401], 2));
    });
}

#[test]
fn a_service_is_called_ready_after_a_signed_body_was_waited_for() {
    let strict = Strict::default();
    let service = gateway(&plans()).build().unwrap().layer(strict.clone());
    let post = |body: Channel<Bytes>| {
        let signer = Signer { time: NOW, ..Signer::default() };
        signer.sign("POST", "/prod/signed", "rex").map(|_| body)
    };
    run(async {
        for (sent, status) in [("rex", 200), ("tom", 403)] {
            let (mut sender, body) = Channel::<Bytes>::new(2);
            let mut asked = Box::pin(service.clone().oneshot(post(body)));
            settle().await;
            assert!((&mut asked).now_or_never().is_none());
            sender.send_data(Bytes::from_static(sent.as_bytes())).await.unwrap();
            drop(sender);
            assert_eq!(asked.await.unwrap().status(), status, "{sent}");
        }
        let (mut sender, body) = Channel::<Bytes>::new(2);
        let mut cancelled = Box::pin(service.clone().oneshot(post(body)));
        sender.send_data(Bytes::from_static(b"re")).await.unwrap();
        assert!((&mut cancelled).now_or_never().is_none());
        drop(cancelled);
    });
    assert_eq!(strict.called(), 1);
}

#[test]
fn who_hangs_up_costs_nothing_and_holds_nobody_up() {
    let (record, gate, plans, strict) = (Record::default(), gate(), plans(), Strict::default());
    let service = gateway(&plans).authorizer(held(&record, &gate)).build().unwrap().layer(strict.clone());
    run(async {
        let mut first = Box::pin(service.clone().oneshot(custom("ada")));
        let mut second = Box::pin(service.clone().oneshot(custom("ada")));
        // The first poll of each only makes the service ready.
        for _ in 0..3 {
            assert!((&mut first).now_or_never().is_none());
            assert!((&mut second).now_or_never().is_none());
        }
        drop(first);
        assert!(is_uncharged(&plans));
        gate.add_permits(1);
        assert_eq!(second.await.unwrap().status(), 200);
        assert_eq!((strict.called(), record.take()), (1, vec!["ada".to_owned()]), "one call for both");
        assert!(!is_uncharged(&plans), "the one that came through is charged");
        // With nobody left to wait, the call ends, and the next one asks anew.
        let mut alone = Box::pin(service.clone().oneshot(custom("bob")));
        for _ in 0..3 {
            assert!((&mut alone).now_or_never().is_none());
        }
        drop(alone);
        gate.add_permits(1);
        assert_eq!(service.oneshot(custom("bob")).await.unwrap().status(), 200);
        assert_eq!((strict.called(), record.take()), (2, vec!["bob".to_owned(); 2]));
    });
}
