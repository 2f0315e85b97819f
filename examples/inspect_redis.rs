//! What Redis counts for a key, and which leases are out:
//! `REDIS_URL=redis://127.0.0.1 cargo run --features redis --example inspect_redis -- PLAN KEY-ID [PREFIX]`.
//! Of `cluster.rs`, for example: `basic basic-key pet-shop`.

mod process;

use std::{error::Error, time::Duration};
use tower_gateway::redis::{Inspection, Redis};

fn print(found: &Inspection) {
    if *found == Inspection::default() {
        println!("nothing known: unused until now, or no such plan, key or prefix");
        return;
    }
    for (day, units) in &found.days {
        println!("day {day}: {units} used");
    }
    for period in &found.periods {
        println!("period from {}: {} charged, leases included", period.start, period.charged);
        for lease in &period.leases {
            println!(
                "  {:032x} holds {} until {}.{:06} s",
                lease.holder,
                lease.held,
                lease.until / 1_000_000,
                lease.until % 1_000_000
            );
        }
    }
    match found.bucket {
        Some((deficit, at)) => {
            let tokens = deficit as f64 / 1e18;
            println!("bucket: {tokens:.3} tokens missing at {}.{:06} s", at / 1_000_000, at % 1_000_000);
        }
        None => println!("bucket: full"),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(plan), Some(key)) = (words.next(), words.next()) else {
        return Err("say a plan's id and a key's id".into());
    };
    let url = std::env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let mut redis = Redis::new(&url)?;
    if let Some(prefix) = words.next() {
        redis = redis.prefix(&prefix)?;
    }
    let found = redis.inspect(&plan, &key, Duration::from_secs(5)).await;
    print(&found.map_err(|error| format!("Redis at {}: {error}", process::without_secrets(&url)))?);
    Ok(())
}
