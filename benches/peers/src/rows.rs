//! The rows of the table: what is sent, through what, and what must come out.
//!
//! The floor makes our context, so whoever is compared over it, ours or peer, stands inside a layer that makes it too.
//! Who is compared as a whole, or over the router alone, does not.

use crate::{
    authorizer, cache, jwt,
    least::Limited,
    measure::{BATCH, Goal, MakeRequest, Row, Subject},
    observe, ours,
    peers::{self, API_KEY},
    services::{bare, empty, floor, no_content, posted, request, with_context},
    sigv4,
};
use http::{Method, header};
use tower::Layer;

/// A row is made when its turn comes: the ones with many keys are large.
pub type MakeRow = fn(&'static str) -> Row;

/// All rows of the table, subject by subject.
pub fn all() -> impl Iterator<Item = &'static (&'static str, MakeRow)> {
    let subjects: [&'static [(&str, MakeRow)]; 6] =
        [&ROWS, &sigv4::ROWS, &jwt::ROWS, &authorizer::ROWS, &cache::ROWS, &observe::ROWS];
    subjects.into_iter().flatten()
}

const ROWS: [(&str, MakeRow); 24] = [
    ("context", context),
    ("cors-simple", cors_simple),
    ("cors-no-origin", cors_no_origin),
    ("cors-preflight", cors_preflight),
    ("payload-limit", payload_limit),
    ("payload-limit-bytes-only", payload_limit_bytes_only),
    ("payload-limit-in-gateway", payload_limit_in_gateway),
    ("timeout", timeout),
    ("stage-router", stage_router),
    ("api-key-10k-keys", api_key_10k_keys),
    ("limits-without-fields", limits_without_fields),
    ("limits-1-key", limits_1_key),
    ("limits-10k-keys", limits_10k_keys),
    ("limits-1m-keys", limits_1m_keys),
    ("limits-1-key-least", |name| limits_beside_the_least(name, 1)),
    ("limits-10k-keys-least", |name| limits_beside_the_least(name, 10_000)),
    ("quota-under-lease-1-key", quota_under_lease_1_key),
    ("quota-under-lease-10k-keys", quota_under_lease_10k_keys),
    ("redb-1-key", redb_1_key),
    ("redb-100-keys", redb_100_keys),
    ("refusal", refusal),
    ("stack", stack),
    ("stack-over-bare", stack_over_bare),
    ("stack-allocations", stack_allocations),
];

const ORIGIN: &str = "https://shop.example";

pub type Side = Option<Box<dyn Subject>>;

pub fn side(subject: impl Subject + 'static) -> Side {
    Some(Box::new(subject))
}

fn get() -> MakeRequest {
    Box::new(|_| empty(request(Method::GET, "/pets")))
}

/// The n-th request uses one of `keys` keys, each in its turn, in an order without locality.
fn with_keys(keys: usize) -> MakeRequest {
    Box::new(move |index| {
        let key = ours::key(index.wrapping_mul(7_919) % keys);
        empty(request(Method::GET, "/pets").header(API_KEY, key))
    })
}

/// Over the floor that makes the context, each answer being 200.
pub fn row(name: &'static str, request: MakeRequest, ours: Side, peer: Side, goal: Goal) -> Row {
    let floor = Box::new(floor());
    Row { name, request, status: 200, warm: 0, batch: BATCH, floor, ours, peer, goal, most_allocations: None }
}

/// What the floor of all other rows costs over the router alone.
fn context(name: &'static str) -> Row {
    Row { floor: Box::new(bare()), ..row(name, get(), side(floor()), None, Goal::None) }
}

fn cors_simple(name: &'static str) -> Row {
    let simple = Box::new(|_| empty(request(Method::GET, "/pets").header(header::ORIGIN, ORIGIN)));
    let peer = with_context(peers::cors().layer(bare()));
    row(name, simple, ours::cors(), side(peer), Goal::OverFloor(0.25))
}

fn cors_no_origin(name: &'static str) -> Row {
    let peer = with_context(peers::cors().layer(bare()));
    row(name, get(), ours::cors(), side(peer), Goal::OverFloor(0.25))
}

/// A preflight never reaches the router, so its floor is a service that drops the request and answers nothing.
fn cors_preflight(name: &'static str) -> Row {
    let preflight = Box::new(|_| {
        let asked = request(Method::OPTIONS, "/pets").header(header::ORIGIN, ORIGIN);
        let method = asked.header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST");
        empty(method.header(header::ACCESS_CONTROL_REQUEST_HEADERS, "content-type"))
    });
    let peer = side(peers::cors().layer(bare()));
    let made = row(name, preflight, ours::cors_alone(), peer, Goal::OverFloor(0.5));
    Row { status: 0, floor: Box::new(no_content()), ..made }
}

fn post() -> MakeRequest {
    Box::new(|_| posted(request(Method::POST, "/pets")))
}

/// Ours does more by default: header fields, URL, minimum rate.
fn payload_limit(name: &'static str) -> Row {
    let peer = with_context(peers::payload_limit().layer(bare()));
    row(name, post(), ours::payload_limit(), side(peer), Goal::OverFloor(0.5))
}

fn payload_limit_bytes_only(name: &'static str) -> Row {
    Row { ours: ours::payload_limit_of_bytes(), ..payload_limit(name) }
}

/// Over a gateway without it, where the body is wrapped anyway; the peer over the router.
fn payload_limit_in_gateway(name: &'static str) -> Row {
    let floor = Box::new(ours::gateway_with_payload_limit(false));
    let made = row(name, post(), side(ours::gateway_with_payload_limit(true)), None, Goal::None);
    Row { floor, ..made }
}

fn timeout(name: &'static str) -> Row {
    let peer = with_context(peers::timeout().layer(bare()));
    row(name, get(), ours::timeout(), side(peer), Goal::OverFloor(0.2))
}

fn stage_router(name: &'static str) -> Row {
    row(name, get(), ours::stage_router(), None, Goal::None)
}

/// The part of the rows below that the key has.
fn api_key_10k_keys(name: &'static str) -> Row {
    Row { warm: 10_000, ..row(name, with_keys(10_000), ours::api_key(10_000), None, Goal::None) }
}

/// What the `RateLimit` fields on every answer have in the row of 10,000 keys.
fn limits_without_fields(name: &'static str) -> Row {
    Row { ours: ours::limits_without_fields(10_000), ..limits(name, 10_000, 1.2) }
}

fn limits(name: &'static str, keys: usize, goal: f64) -> Row {
    let peer = with_context(peers::generous().layer(bare()));
    let made = row(name, with_keys(keys), ours::limits(keys), side(peer), Goal::OverFloor(goal));
    Row { warm: keys, ..made }
}

/// The peer is what limits by key cannot do without.
fn limits_beside_the_least(name: &'static str, keys: usize) -> Row {
    let least = with_context(Limited::new(bare(), (0..keys).map(ours::key)));
    let made = row(name, with_keys(keys), ours::limits(keys), side(least), Goal::None);
    Row { warm: keys, ..made }
}

fn limits_1_key(name: &'static str) -> Row {
    limits(name, 1, 3.0)
}

fn limits_10k_keys(name: &'static str) -> Row {
    limits(name, 10_000, 1.2)
}

fn limits_1m_keys(name: &'static str) -> Row {
    limits(name, 1_000_000, 1.2)
}

/// Over the same limits in memory: what it costs that the quota is shared.
fn quota_under_lease(name: &'static str, keys: usize) -> Row {
    let made =
        row(name, with_keys(keys), ours::limits_leased(keys, with_keys(keys)), None, Goal::Nanos(200.0));
    Row { warm: keys, floor: ours::limits(keys).expect("ours"), ..made }
}

fn quota_under_lease_1_key(name: &'static str) -> Row {
    quota_under_lease(name, 1)
}

fn quota_under_lease_10k_keys(name: &'static str) -> Row {
    quota_under_lease(name, 10_000)
}

/// Over the same limits in memory: what it costs that use and quotas survive the process.
fn redb(name: &'static str, keys: usize) -> Row {
    let made =
        row(name, with_keys(keys), ours::limits_in_file(keys, with_keys(keys)), None, Goal::Nanos(100.0));
    Row { warm: keys, floor: ours::limits(keys).expect("ours"), ..made }
}

fn redb_1_key(name: &'static str) -> Row {
    redb(name, 1)
}

/// Each key has a record of its own to be written.
fn redb_100_keys(name: &'static str) -> Row {
    redb(name, 100)
}

/// Too many requests with one key.
fn refusal(name: &'static str) -> Row {
    let made =
        row(name, with_keys(1), ours::refusing(), side(peers::strict().layer(bare())), Goal::Whole(0.05));
    Row { status: 429, warm: 1, ..made }
}

/// An allowed request of a page: origin, key and a body.
fn page_request() -> MakeRequest {
    Box::new(|index| {
        let builder = request(Method::POST, "/pets").header(header::ORIGIN, ORIGIN);
        posted(builder.header(API_KEY, ours::key(index.wrapping_mul(7_919) % STACK_KEYS)))
    })
}

const STACK_KEYS: usize = 10_000;

/// Over a floor that makes the context.
fn stack(name: &'static str) -> Row {
    let peer = side(with_context(peers::stack(bare())));
    Row { warm: STACK_KEYS, ..row(name, page_request(), ours::stack(STACK_KEYS), peer, Goal::OverFloor(0.6)) }
}

/// The same over the router alone, where making the context counts against us.
fn stack_over_bare(name: &'static str) -> Row {
    let peer = side(peers::stack(bare()));
    let made = row(name, page_request(), ours::stack(STACK_KEYS), peer, Goal::OverFloor(0.6));
    Row { warm: STACK_KEYS, floor: Box::new(bare()), ..made }
}

fn stack_allocations(name: &'static str) -> Row {
    Row { goal: Goal::Allocations(7.0), ..stack_over_bare(name) }
}
