use super::*;
use http::header::{ACCEPT, ACCEPT_LANGUAGE};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

fn at(seconds: u64) -> Timestamp {
    Timestamp::new(seconds * SECOND, (1_700_000_000 + seconds as i64) * SECOND as i64)
}

fn freshness() -> Freshness {
    Freshness {
        lifetime: Duration::from_secs(300),
        initial_age: Duration::from_secs(5),
        while_revalidate: Duration::from_secs(20),
        if_error: Duration::from_secs(60),
        must_revalidate: false,
        always_validate: true,
        immutable: true,
    }
}

fn request(language: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ACCEPT_LANGUAGE, HeaderValue::from_static(language));
    headers
}

fn entry(language: &'static str) -> Entry {
    let selection = Selection::of([ACCEPT, ACCEPT_LANGUAGE].into(), &request(language));
    let tags = Box::new(["pet-7".into(), "dogs".into()]);
    let meta = Meta::new(StatusCode::OK, (at(9), at(10)), freshness(), Some(selection), tags);
    let mut headers = HeaderMap::new();
    headers.append("a", HeaderValue::from_static("words"));
    headers.append("a", HeaderValue::from_bytes(b"\xff").unwrap());
    headers.get_mut("a").unwrap().set_sensitive(true);
    let trailers = Some(Box::new(headers.clone()));
    Entry::new(meta, Content { headers, body: Bytes::from_static(b"pets"), trailers })
}

fn two() -> StoredValue {
    StoredValue(Slot::of(vec![Arc::new(entry("de")), Arc::new(entry("en"))]).unwrap())
}

fn read(bytes: &[u8], stored_for: StoredFor, now: Timestamp) -> Option<StoredValue> {
    StoredValue::from_bytes(Bytes::copy_from_slice(bytes), b"key", stored_for, now)
}

/// A call that began since has the newer answer.
#[test]
fn what_is_read_was_asked_for_as_long_ago_as_it_is_old() {
    let (mut value, mut now) = (two(), at(30));
    for _ in 0..3 {
        let written = value.to_bytes(b"key", now);
        now = at(now.monotonic_nanos() / SECOND + 100);
        value = read(&written, StoredFor::WallClock, now).unwrap();
        let meta = &value.0.entries()[0].meta;
        assert!(!meta.is_of_later_call(at(9)) && meta.is_of_later_call(at(4)), "{meta:?}");
    }
}

#[test]
fn what_is_written_is_read_and_has_aged() {
    let bytes = two().to_bytes(b"key", at(30));
    // In a process whose monotonic clock has just begun.
    let now = Timestamp::new(SECOND, at(130).unix_seconds() * SECOND as i64);
    for stored_for in [StoredFor::WallClock, StoredFor::Time(Duration::from_secs(100))] {
        let value = read(&bytes, stored_for, now).unwrap();
        let at_de = value.0.position(&request("de")).unwrap();
        assert_eq!(
            (at_de, value.0.position(&request("en")), value.0.position(&request("fr"))),
            (0, Some(1), None)
        );
        let (read, written) = (&value.0.entries()[0], entry("de"));
        assert_eq!(read.meta.status, StatusCode::OK);
        assert_eq!(read.meta.age(now), Duration::from_secs(5 + 20 + 100));
        assert_eq!(read.meta.age(now), written.meta.age(at(130)));
        assert_eq!(read.meta.remaining(now), written.meta.remaining(at(130)));
        assert_eq!(read.meta.responded.since(read.meta.requested), Duration::from_secs(1));
        let same = Freshness { initial_age: Duration::from_secs(5), ..read.meta.freshness };
        assert_eq!(same, freshness());
        assert_eq!((&read.meta.tags, &read.meta.selection), (&written.meta.tags, &written.meta.selection));
        assert_eq!(read.content.headers, written.content.headers);
        assert!(read.content.headers["a"].is_sensitive());
        assert_eq!(
            (&read.content.trailers, &read.content.body),
            (&written.content.trailers, &written.content.body)
        );
        assert_eq!(read.weight, written.weight);
        assert!(!read.is_sealed && !read.meta.is_soft_purged());
        assert_eq!(value.remaining(now), Duration::from_secs(300 + 60 - 125));
    }
}

#[test]
fn marks_are_kept() {
    for whose in [false, true] {
        let pass = StoredValue(Slot::Pass { until: 100 * SECOND, of_credentials: whose });
        let bytes = pass.to_bytes(b"key", at(40));
        let value = read(&bytes, StoredFor::Time(Duration::from_secs(50)), at(7)).unwrap();
        assert!(
            matches!(value.0, Slot::Pass { until, of_credentials } if (until, of_credentials) == (17 * SECOND, whose))
        );
        assert_eq!(
            (value.remaining(at(7)), value.remaining(at(18))),
            (Duration::from_secs(10), Duration::ZERO)
        );
    }
    let purged = entry("de");
    purged.meta.purge_softly(at(40), Duration::from_secs(3));
    let sealed = Entry { is_sealed: true, ..purged };
    let bytes = StoredValue(Slot::One(Arc::new(sealed))).to_bytes(b"key", at(40));
    let value = read(&bytes, StoredFor::WallClock, at(40)).unwrap();
    let [read] = value.0.entries() else { panic!("one entry") };
    assert!(read.is_sealed && !read.meta.is_fresh(at(40)));
    assert_eq!(read.meta.soft_purged_for(at(45)), Some(Duration::from_secs(8)));
    assert_eq!(read.meta.staleness(at(45)), Duration::from_secs(8));
}

#[test]
fn another_key_s_value_and_a_damaged_one_are_none() {
    let bytes = two().to_bytes(b"key", at(30));
    assert!(StoredValue::from_bytes(bytes.clone().into(), b"kez", StoredFor::WallClock, at(30)).is_none());
    assert!(StoredValue::from_bytes(bytes.clone().into(), b"ke", StoredFor::WallClock, at(30)).is_none());
    for at_byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at_byte] ^= 1;
        assert!(read(&damaged, StoredFor::WallClock, at(30)).is_none(), "byte {at_byte}");
        assert!(read(&bytes[..at_byte], StoredFor::WallClock, at(30)).is_none(), "{at_byte} bytes");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(read(&longer, StoredFor::WallClock, at(30)).is_none());
}

proptest! {
    /// Also past the checksum, which who can write into the store can make.
    #[test]
    fn garbage_is_no_value(
        garbage in proptest::collection::vec(any::<u8>(), 0..200),
        at_byte in 0_usize..400,
        with in proptest::collection::vec(any::<u8>(), 1..9),
    ) {
        prop_assert!(read(&garbage, StoredFor::WallClock, at(1)).is_none());
        let _any = decode_checked(garbage.into(), StoredFor::WallClock, at(1));
        let mut bytes = two().to_bytes(b"key", at(30)).split_off(HEAD);
        let from = at_byte.min(bytes.len());
        let to = (from + with.len()).min(bytes.len());
        bytes.splice(from..to, with);
        let _any = decode_checked(bytes.into(), StoredFor::WallClock, at(1));
    }

    #[test]
    fn what_is_read_is_written_alike(body in proptest::collection::vec(any::<u8>(), 0..2000), age in 0_u64..1000) {
        let meta = Meta::new(StatusCode::NOT_FOUND, (at(1), at(2)), freshness(), None, Box::default());
        let content = Content { headers: request("de"), body: body.clone().into(), trailers: None };
        let value = StoredValue(Slot::One(Arc::new(Entry::new(meta, content))));
        let bytes = value.to_bytes(b"key", at(2 + age));
        let again = read(&bytes, StoredFor::Time(Duration::ZERO), at(2 + age)).unwrap();
        prop_assert_eq!(&again.0.entries()[0].content.body[..], &body[..]);
        let written = again.to_bytes(b"key", at(2 + age));
        prop_assert_eq!(&written[HEAD..], &bytes[HEAD..]);
    }
}
