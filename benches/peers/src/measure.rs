//! The harness: the same requests through floor, ours and peer, interleaved, many rounds, medians.

use crate::allocator;
use axum::body::Body;
use futures_util::FutureExt;
use http::{Request, Response};
use std::{
    convert::Infallible,
    hint::black_box,
    task::{Context, Waker},
    time::{Duration, Instant},
};
use tower::Service;

/// Requests in one timed batch, unless a row says otherwise. Small enough to stay in the cache and to be over before a busy
/// machine gives the processor to somebody else, large enough to hide the clock's reading.
pub const BATCH: usize = 256;

/// A service under measurement.
pub trait Subject {
    /// Sends the requests one after the other; every answer must be there at once.
    fn run(&mut self, requests: Vec<Request<Body>>) -> Duration;

    /// One request, to look at its status and headers.
    fn ask(&mut self, request: Request<Body>) -> Response<()>;
}

impl<S, R> Subject for S
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
{
    fn run(&mut self, requests: Vec<Request<Body>>) -> Duration {
        let start = Instant::now();
        timed_region(self, requests);
        start.elapsed()
    }

    fn ask(&mut self, request: Request<Body>) -> Response<()> {
        answer(self, request).map(drop)
    }
}

/// For `valgrind --tool=callgrind --toggle-collect='*timed_region*'`.
#[inline(never)]
fn timed_region<S, R>(service: &mut S, requests: Vec<Request<Body>>)
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible> + Clone,
{
    for request in requests {
        black_box(answer(service, request));
    }
}

fn answer<S, R>(service: &mut S, request: Request<Body>) -> Response<R>
where
    S: Service<Request<Body>, Response = Response<R>, Error = Infallible>,
{
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert!(ready.is_ready(), "the services of this benchmark are always ready");
    match service.call(request).now_or_never() {
        Some(Ok(response)) => response,
        None => panic!("the services of this benchmark answer at once"),
    }
}

/// Makes the n-th request of a row.
pub type MakeRequest = Box<dyn Fn(usize) -> Request<Body>>;

/// How ours is compared with the peer.
#[derive(Clone, Copy, Debug)]
pub enum Goal {
    /// Cost over the floor, at most this share of the peer's.
    OverFloor(f64),
    /// Whole cost (a refusal never reaches the handler), at most this share of the peer's.
    Whole(f64),
    /// Allocations over the bare service, at most.
    Allocations(f64),
    /// Nanoseconds over the floor, at most.
    Nanos(f64),
    /// Only reported.
    None,
}

/// One line of the table.
pub struct Row {
    pub name: &'static str,
    pub request: MakeRequest,
    /// Status that ours and the peer must answer, so that nothing is measured by mistake; 0 for any success.
    pub status: u16,
    /// Requests that go through ours and the peer before anything is measured, one for each key.
    pub warm: usize,
    /// Requests in one timed batch. Of slow sides few, or most of their batches are interrupted and the other's are not.
    pub batch: usize,
    pub floor: Box<dyn Subject>,
    pub ours: Option<Box<dyn Subject>>,
    pub peer: Option<Box<dyn Subject>>,
    pub goal: Goal,
    /// Allocations over the floor, at most; asked beside the goal.
    pub most_allocations: Option<f64>,
}

/// Figures of one subject: nanoseconds and allocations for one request.
#[derive(Clone, Copy, Debug)]
struct Figures {
    nanos: f64,
    over: f64,
    allocations: f64,
}

impl Row {
    fn subject(&mut self, index: usize) -> Option<&mut Box<dyn Subject>> {
        [Some(&mut self.floor), self.ours.as_mut(), self.peer.as_mut()].into_iter().nth(index).flatten()
    }

    fn requests(&self, from: usize) -> Vec<Request<Body>> {
        (from..from + self.batch).map(&self.request).collect()
    }

    /// Warms ours and the peer up, and looks at what they answer.
    fn prepare(&mut self) {
        for index in [1, 2] {
            for number in 0..self.warm {
                let request = (self.request)(number);
                self.subject(index).map(|subject| subject.ask(request));
            }
            let (request, name, wanted) = ((self.request)(0), self.name, self.status);
            if let Some(got) = self.subject(index).map(|subject| subject.ask(request).status()) {
                assert!(
                    got == wanted || (wanted == 0 && got.is_success()),
                    "row {name}, subject {index}: {got}"
                );
            }
        }
    }

    /// Runs all rounds and prints the line; says whether the goal was met.
    pub fn measure(&mut self, rounds: usize) -> bool {
        self.prepare();
        let mut samples: [Vec<f64>; 3] = Default::default();
        for round in 0..rounds {
            for turn in 0..3 {
                // Every subject is first, second and third equally often.
                let index = (turn + round) % 3;
                let requests = self.requests(round * self.batch);
                let Some(subject) = self.subject(index) else { continue };
                samples[index].push(subject.run(requests).as_nanos() as f64 / self.batch as f64);
            }
        }
        let figures = self.figures(&samples);
        self.report(figures)
    }

    fn figures(&mut self, samples: &[Vec<f64>; 3]) -> [Option<Figures>; 3] {
        let mut figures = [None; 3];
        for index in 0..3 {
            let (requests, batch) = (self.requests(0), self.batch);
            let Some(subject) = self.subject(index) else { continue };
            let (_, allocated) = allocator::measure(|| subject.run(requests));
            let paired = samples[index].iter().zip(&samples[0]).map(|(own, floor)| own - floor).collect();
            figures[index] = Some(Figures {
                nanos: median(samples[index].clone()),
                over: median(paired),
                // The vector of requests is not the subject's, and is not allocated in here.
                allocations: allocated.count as f64 / batch as f64,
            });
        }
        figures
    }

    fn report(&self, [floor, ours, peer]: [Option<Figures>; 3]) -> bool {
        let base = floor.map_or(0.0, |floor| floor.allocations);
        let cell = |figures: Option<Figures>| match figures {
            Some(figures) => {
                format!("{:>9.0} {:>+9.0} {:>+7.1}", figures.nanos, figures.over, figures.allocations - base)
            }
            None => format!("{:>9} {:>9} {:>7}", "-", "-", "-"),
        };
        let floor_ns = floor.map_or(0.0, |floor| floor.nanos);
        let (value, limit) = self.against_goal(base, ours, peer);
        let mut verdicts = verdict(value, limit);
        if let Some(most) = self.most_allocations {
            let allocated = verdict(ours.map(|ours| ours.allocations - base), Some(most));
            verdicts += &format!("; allocations {allocated}");
        }
        println!("{:<28} {floor_ns:>7.0} |{} |{} | {verdicts}", self.name, cell(ours), cell(peer));
        !verdicts.contains("FAIL")
    }

    fn against_goal(
        &self,
        base: f64,
        ours: Option<Figures>,
        peer: Option<Figures>,
    ) -> (Option<f64>, Option<f64>) {
        let ratio = |of: fn(Figures) -> f64| Some(of(ours?).max(0.0) / of(peer?));
        match self.goal {
            Goal::OverFloor(limit) => (ratio(|figures| figures.over), Some(limit)),
            Goal::Whole(limit) => (ratio(|figures| figures.nanos), Some(limit)),
            Goal::Allocations(limit) => (ours.map(|ours| ours.allocations - base), Some(limit)),
            Goal::Nanos(limit) => (ours.map(|ours| ours.over), Some(limit)),
            Goal::None => (ratio(|figures| figures.over), None),
        }
    }

    /// Runs one subject alone, for an instruction counter.
    pub fn run_alone(&mut self, side: &str, iterations: usize) {
        let index =
            ["floor", "ours", "peer"].iter().position(|name| *name == side).expect("floor, ours or peer");
        self.prepare();
        let mut taken = Duration::ZERO;
        for from in (0..iterations).step_by(self.batch) {
            let requests = self.requests(from);
            taken += self.subject(index).expect("the row has that side").run(requests);
        }
        let iterations = iterations.next_multiple_of(self.batch);
        println!("{side}: {iterations} requests, {:.0} ns each", taken.as_nanos() as f64 / iterations as f64);
    }
}

/// Head of the table that [`Row::measure`] prints.
pub fn heading() {
    println!("{:<28} {:>7} |{:^27} |{:^27} |", "", "floor", "ours", "peer");
    let columns = format!("{:>9} {:>9} {:>7}", "ns", "over", "allocs");
    println!("{:<28} {:>7} |{columns} |{columns} | ours/peer (goal)", "row", "ns");
}

/// `0.21 (0.25) PASS`
pub fn verdict(value: Option<f64>, limit: Option<f64>) -> String {
    match (value, limit) {
        (Some(value), Some(limit)) => {
            format!("{value:.2} ({limit}) {}", if value <= limit { "PASS" } else { "FAIL" })
        }
        (Some(value), None) => format!("{value:.2}"),
        (None, Some(limit)) => format!("- ({limit}) not measured"),
        (None, None) => String::new(),
    }
}

/// The middle of the samples.
pub fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied().unwrap_or(0.0)
}
