//! Cache entries across restarts: what is there again, and what must not be.

use super::Place;
use crate::support::run;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::Duration,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    cache::{Cache, CacheBuilder, CacheLayer, Purge, rfc::Rfc9111},
    clock::ManualClock,
    redb::StateFile,
};

const MIB: u64 = 1024 * 1024;

/// A cache on a file, in front of a service that counts its calls and tells them apart.
struct Process {
    file: StateFile,
    cache: Cache,
    layer: CacheLayer,
    calls: Arc<AtomicU32>,
}

impl Process {
    fn start(place: &Place, clock: &ManualClock, change: impl FnOnce(CacheBuilder) -> CacheBuilder) -> Self {
        let file = StateFile::open(&place.0).unwrap();
        let store = file.cache_store(4 * MIB, MIB).unwrap().clock(clock.clock());
        let builder = Cache::builder().store(store).clock(clock.clock()).ttl(Duration::from_secs(60));
        let cache = change(builder).build().unwrap();
        Self { file, layer: CacheLayer::new(cache.clone()), cache, calls: Arc::default() }
    }

    async fn ask(&self, path: &str) -> String {
        self.ask_with(path, None).await
    }

    async fn ask_with(&self, path: &str, field: Option<(&str, &str)>) -> String {
        String::from_utf8(self.answer_to(path, field).await.into_body().to_vec()).unwrap()
    }

    async fn answer_to(&self, path: &str, field: Option<(&str, &str)>) -> Response<Bytes> {
        let calls = Arc::clone(&self.calls);
        let service = self.layer.layer(service_fn(move |request: Request<Full<Bytes>>| {
            let call = calls.fetch_add(1, SeqCst) + 1;
            let answer =
                Response::builder().header("surrogate-key", "pets").header("cache-control", "max-age=60");
            let more =
                if request.uri().path().starts_with("/large") { " ".repeat(900_000) } else { String::new() };
            let answer = answer.body(Full::<Bytes>::from(format!("secret answer {call}{more}"))).unwrap();
            async move { Ok::<_, Infallible>(answer) }
        }));
        let request =
            field.into_iter().fold(Request::get(path), |request, (name, value)| request.header(name, value));
        let answer = service.oneshot(request.body(Full::default()).unwrap()).await.unwrap();
        let (head, body) = answer.into_parts();
        Response::from_parts(head, body.collect().await.unwrap().to_bytes())
    }

    fn called(&self) -> u32 {
        self.calls.load(SeqCst)
    }
}

fn same(builder: CacheBuilder) -> CacheBuilder {
    builder
}

fn at_noon() -> ManualClock {
    ManualClock::at_unix_seconds(1_795_348_800)
}

/// Another process's clock: its monotonic part starts anew, the wall goes on.
fn later(seconds: i64) -> ManualClock {
    ManualClock::at_unix_seconds(1_795_348_800 + seconds)
}

#[test]
fn an_entry_is_there_after_a_restart_and_ages_by_the_wall() {
    let place = Place::new("cached");
    run(async {
        let process = Process::start(&place, &at_noon(), same);
        assert_eq!(process.ask("/a").await, "secret answer 1");
        assert_eq!(process.ask("/b").await, "secret answer 2");
    });
    run(async {
        let clock = later(40);
        let process = Process::start(&place, &clock, same);
        assert_eq!(process.ask("/a").await, "secret answer 1");
        assert_eq!((process.called(), process.ask("/c").await.as_str()), (0, "secret answer 1"));
        clock.advance(Duration::from_secs(19));
        assert_eq!(process.ask("/a").await, "secret answer 1");
        clock.advance(Duration::from_secs(1));
        assert_eq!(process.ask("/a").await, "secret answer 2", "60 s after it was stored");
        assert_eq!(process.ask("/b").await, "secret answer 3", "not asked for before it expired");
    });
}

#[test]
fn what_was_purged_does_not_come_back() {
    let place = Place::new("purged");
    run(async {
        let process = Process::start(&place, &at_noon(), same);
        for path in ["/a", "/b", "/c", "/d"] {
            process.ask(path).await;
        }
        assert_eq!(process.cache.purge(&Purge::all().path("/a")), 1);
        assert_eq!(process.cache.purge(&Purge::all().path("/d").softly()), 1);
    });
    run(async {
        let process = Process::start(&place, &later(1), same);
        // Nobody has asked for it since the restart.
        assert_eq!(process.cache.purge(&Purge::all().path("/b")), 1);
        assert_eq!(process.ask("/a").await, "secret answer 1");
    });
    run(async {
        let process = Process::start(&place, &later(2), same);
        assert_eq!(process.ask("/b").await, "secret answer 1");
        assert_eq!(process.ask("/d").await, "secret answer 2", "it is stale");
        assert_eq!(process.ask("/c").await, "secret answer 3", "the third answer of the first process");
        assert_eq!(process.called(), 2);
        assert!(process.cache.flush() >= 4);
    });
    run(async {
        let process = Process::start(&place, &later(3), same);
        assert_eq!(process.ask("/c").await, "secret answer 1");
    });
}

/// The run before let its clients have them.
#[test]
fn tags_that_an_earlier_run_stored_are_stripped() {
    let place = Place::new("tags");
    run(async {
        let process = Process::start(&place, &at_noon(), same);
        assert!(process.answer_to("/a", None).await.headers().contains_key("surrogate-key"));
    });
    run(async {
        let process = Process::start(&place, &later(1), |builder| builder.strip_tags(true));
        let answer = process.answer_to("/a", None).await;
        assert_eq!((process.called(), answer.headers().contains_key("surrogate-key")), (0, false));
        assert_eq!(process.cache.purge(&Purge::all().tag("pets")), 1);
    });
}

#[cfg(feature = "cache-encryption")]
#[test]
fn encrypted_entries_stay_so_and_open_with_the_same_key_only() {
    use tower_gateway::{cache::EncryptionKeys, route::CacheSettings};
    let place = Place::new("sealed");
    let with = |key: u8| {
        move |builder: CacheBuilder| {
            let settings = CacheSettings::new().data_encrypted(true).ttl(Duration::from_secs(60));
            builder.settings(settings).encryption(EncryptionKeys::new(&[key; 32]).unwrap())
        }
    };
    run(async {
        let process = Process::start(&place, &at_noon(), with(1));
        assert_eq!(process.ask("/a").await, "secret answer 1");
        process.file.flush().unwrap();
    });
    let bytes = std::fs::read(&place.0).unwrap();
    assert!(!bytes.windows(13).any(|window| window == b"secret answer"));
    run(async {
        let process = Process::start(&place, &later(1), with(1));
        assert_eq!((process.ask("/a").await.as_str(), process.called()), ("secret answer 1", 0));
    });
    run(async {
        // Keys are known by themselves, in whatever order they come.
        let rotated = EncryptionKeys::new(&[9; 32]).unwrap();
        rotated.rotate(&[1; 32]).unwrap();
        let process = Process::start(&place, &later(1), |builder| with(1)(builder).encryption(rotated));
        assert_eq!((process.ask("/a").await.as_str(), process.called()), ("secret answer 1", 0));
        assert_eq!(process.ask("/c").await, "secret answer 1");
    });
    run(async {
        let process = Process::start(&place, &later(1), with(1));
        assert_eq!((process.ask("/c").await.as_str(), process.called()), ("secret answer 1", 0));
    });
    run(async {
        let process = Process::start(&place, &later(2), with(2));
        process.ask("/b").await;
        assert_eq!(process.ask("/a").await, "secret answer 2", "another key");
    });
}

#[test]
fn variants_and_callers_stay_apart_across_a_restart() {
    let place = Place::new("variants");
    let rfc = |builder: CacheBuilder| builder.rfc9111(Rfc9111::new());
    run(async {
        let process = Process::start(&place, &at_noon(), rfc);
        assert_eq!(process.ask("/a").await, "secret answer 1");
        assert_eq!(process.ask_with("/a", Some(("authorization", "ada"))).await, "secret answer 1");
        assert_eq!(process.ask_with("/b", Some(("authorization", "ada"))).await, "secret answer 2");
    });
    run(async {
        let process = Process::start(&place, &later(1), rfc);
        assert_eq!(process.ask_with("/b", Some(("authorization", "bob"))).await, "secret answer 1");
    });
}

#[test]
fn the_file_holds_no_more_than_its_capacity() {
    let place = Place::new("bounded");
    run(async {
        let process = Process::start(&place, &at_noon(), same);
        for number in 0..20_000 {
            process.ask(&format!("/{number}")).await;
        }
        process.file.flush().unwrap();
    });
    let size = std::fs::metadata(&place.0).unwrap().len();
    println!("{size} bytes after 20,000 entries in 4 MiB");
    assert!(size < 24 * MIB, "{size}");
}

/// One large answer takes the place of many small ones.
#[test]
fn large_answers_make_as_much_room_as_they_need() {
    let place = Place::new("mixed");
    run(async {
        let process = Process::start(&place, &at_noon(), same);
        for number in 0..8_000 {
            process.ask(&format!("/{number}")).await;
        }
        process.file.flush().unwrap();
        for number in 0..40 {
            process.ask(&format!("/large/{number}")).await;
            process.file.flush().unwrap();
        }
    });
    let size = std::fs::metadata(&place.0).unwrap().len();
    println!("{size} bytes after 8,000 small and 40 large entries in 4 MiB");
    assert!(size < 24 * MIB, "{size}");
}

/// The next program makes its layers in another order: their numbers mean others.
#[test]
fn the_second_layer_of_another_program_is_another_one() {
    let place = Place::new("layers");
    run(async {
        let mut process = Process::start(&place, &at_noon(), same);
        let again = |process: &Process| CacheLayer::new(process.cache.clone());
        process.layer = again(&process);
        assert_eq!(process.ask("/a").await, "secret answer 1");
        process.layer = again(&process).namespace("pets");
        assert_eq!(process.ask("/a").await, "secret answer 2");
        process.file.flush().unwrap();
        drop(process);
        let mut process = Process::start(&place, &later(1), same);
        process.calls.store(9, SeqCst);
        process.layer = again(&process);
        assert_eq!(process.ask("/a").await, "secret answer 10");
        process.layer = again(&process).namespace("pets");
        assert_eq!(process.ask("/a").await, "secret answer 2");
    });
}
