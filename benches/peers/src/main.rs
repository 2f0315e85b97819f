//! Our layers beside their best peers and the floor, in one process.
//!
//! ```text
//! cargo run --release                                  every row
//! cargo run --release --features cedar -- policy       with a peer that takes minutes to compile
//! cargo run --release -- cors-simple timeout           some rows
//! cargo run --release -- --rounds 400 refusal          more rounds (200 unless told)
//! valgrind --tool=callgrind --toggle-collect='*timed_region*' \
//!     target/release/tower-gateway-peers --row cors-simple --side ours --iterations 10000
//! ```
//!
//! A line shows the floor's nanoseconds, then for ours and the peer: nanoseconds, nanoseconds over the floor (the
//! median of paired differences), allocations over the floor; then ours/peer as the goal counts it, or what else the goal
//! is about, and the most allocations where there is a limit. The peers of each subject are named in its file.

mod allocator;
mod authorizer;
mod cache;
mod edits;
mod http_cache;
mod jwt;
mod lease;
mod least;
mod measure;
mod memory;
mod observe;
mod ours;
mod peers;
mod policy;
mod redis;
mod rows;
mod services;
mod sigv4;
mod threads;
mod tokens;

use std::process::ExitCode;

#[derive(Debug)]
struct Arguments {
    rows: Vec<String>,
    rounds: usize,
    alone: Option<String>,
    side: String,
    iterations: usize,
}

impl Arguments {
    fn parse() -> Self {
        let mut parsed =
            Self { rows: Vec::new(), rounds: 200, alone: None, side: "ours".to_owned(), iterations: 10_000 };
        let mut rest = std::env::args().skip(1);
        while let Some(argument) = rest.next() {
            let mut value = || rest.next().unwrap_or_else(|| panic!("{argument} needs a value"));
            match argument.as_str() {
                "--rounds" => parsed.rounds = value().parse().expect("a number"),
                "--row" => parsed.alone = Some(value()),
                "--side" => parsed.side = value(),
                "--iterations" => parsed.iterations = value().parse().expect("a number"),
                _ => parsed.rows.push(argument),
            }
        }
        parsed
    }

    fn wants(&self, name: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row == name)
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // With the I/O driver, as in every server: registering a timer may have to wake it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _timers = runtime.enter();
    if arguments.alone.as_deref() == Some("redis") {
        redis::run_alone(&arguments.side, arguments.iterations);
        return ExitCode::SUCCESS;
    }
    if let Some(name) = &arguments.alone {
        let (name, make) = rows::all().find(|(row, _)| row == name).expect("a row of that name");
        make(name).run_alone(&arguments.side, arguments.iterations);
        return ExitCode::SUCCESS;
    }
    if run_table(&arguments) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run_table(arguments: &Arguments) -> bool {
    measure::heading();
    let mut met = true;
    for (name, make) in rows::all().filter(|(name, _)| arguments.wants(name)) {
        met &= make(name).measure(arguments.rounds);
    }
    if arguments.wants("policy") {
        met &= policy::measure(arguments.rounds);
    }
    if arguments.wants("cache-two-threads") {
        met &= threads::measure(arguments.rounds);
    }
    if arguments.wants("metrics-two-threads") {
        threads::measure_metrics(arguments.rounds);
    }
    if arguments.wants("memory") {
        met &= memory::measure();
    }
    if arguments.wants("redis") {
        met &= redis::measure(arguments.rounds);
    }
    if arguments.wants("edits") {
        met &= edits::measure(arguments.rounds / 5);
    }
    met
}
