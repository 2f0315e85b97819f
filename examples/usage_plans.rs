//! Plans, edits and the usage report in virtual time: `cargo run --example usage_plans`.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use std::{convert::Infallible, error::Error, time::Duration};
use tower::{ServiceBuilder, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeyLayer, ApiKeys},
    clock::ManualClock,
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlanLayer, UsagePlans},
};

const KEY: &str = "0123456789abcdefghij";

fn plan(burst: u32, quota: u64) -> Result<UsagePlan, Box<dyn Error>> {
    Ok(UsagePlan::new("basic")
        .throttle(Throttle::new(1.0, burst)?)
        .quota(Quota::new(quota, QuotaPeriod::Day)?))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // 22 November 2026, 23:59:00 UTC: one minute before the day's quota starts anew.
    let time = ManualClock::at_unix_seconds(1_795_391_940);
    let keys = ApiKeys::builder().key(ApiKey::new("alice").value(KEY)).build()?;
    let plans =
        UsagePlans::builder().plan(plan(3, 5)?).attach("basic", "alice").clock(time.clock()).build()?;
    let service = ServiceBuilder::new()
        .layer(ApiKeyLayer::new(keys))
        .layer(UsagePlanLayer::new(plans.clone()))
        .service(service_fn(|_: Request<Full<Bytes>>| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("ok")))
        }));

    let ask = async |what: &str, times: usize| -> Result<(), Box<dyn Error>> {
        let mut statuses = Vec::new();
        let mut last = Response::new(Full::default());
        for _ in 0..times {
            let request = Request::get("/").header("x-api-key", KEY).body(Full::default())?;
            last = layer_answer(service.clone().oneshot(request).await);
            statuses.push(last.status().as_u16());
        }
        let fields = |name| last.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-");
        println!(
            "{what:<38} {statuses:?}  RateLimit: {}  Retry-After: {}",
            fields("ratelimit"),
            fields("retry-after")
        );
        Ok(())
    };

    ask("four at once, burst 3:", 4).await?;
    time.advance(Duration::from_secs(2));
    ask("two seconds later, three:", 3).await?;
    time.advance(Duration::from_secs(10));
    ask("the quota of five is used up:", 1).await?;
    plans.put_plan(plan(3, 7)?)?;
    ask("the plan now allows seven, edits keep:", 3).await?;
    plans.update_remaining("basic", "alice", 1)?;
    ask("one more granted by hand:", 1).await?;
    time.advance(Duration::from_secs(60));
    ask("the next day:", 1).await?;
    println!("{}", plans.usage("basic", Some("alice"), "2026-11-22", "2026-11-23")?.to_json());
    Ok(())
}

fn layer_answer(answer: Result<Response<Full<Bytes>>, Infallible>) -> Response<Full<Bytes>> {
    answer.unwrap_or_else(|never| match never {})
}
