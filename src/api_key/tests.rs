//! Keys, records and import, without HTTP.

use super::*;
use crate::{ConfigError, clock::ManualClock};
use proptest::prelude::*;
use std::{sync::atomic::Ordering::SeqCst, time::Duration};

const ONE: &str = "one-one-one-one-one-one";
const TWO: &str = "two-two-two-two-two-two";
const THREE: &str = "three-three-three-three";
const START: i64 = 1_700_000_000;

fn entry(keys: &ApiKeys, value: &str) -> Option<KeyEntry> {
    keys.lookup(&KeyDigest::of(value.as_bytes()))
}

/// The id, if the value would be accepted now.
fn accepted(keys: &ApiKeys, value: &str) -> Option<String> {
    let entry = entry(keys, value)?;
    entry.is_usable(|| keys.clock().now()).then(|| entry.id().to_owned())
}

fn at_start() -> (ManualClock, ApiKeys) {
    let manual = ManualClock::at_unix_seconds(START);
    let keys = ApiKeys::builder().clock(manual.clock()).key(ApiKey::new("k1").value(ONE)).build().unwrap();
    (manual, keys)
}

fn problem<T: std::fmt::Debug>(result: Result<T, ConfigError>) -> String {
    result.unwrap_err().problem().to_owned()
}

#[test]
fn limits_have_the_words_of_aws_and_the_value_stays_out_of_errors() {
    let keys = ApiKeys::new();
    let of_value = |value: String| keys.add(ApiKey::new("a").value(value));
    assert_eq!(problem(of_value("v".repeat(19))), "API Key value should be at least 20 characters");
    assert_eq!(problem(of_value("v".repeat(129))), "API Key value exceeds maximum size of 128 characters");
    for odd in ['\n', ' ', 'é', '\u{7f}'] {
        let odd = format!("{}{odd}", "v".repeat(24));
        let error = of_value(odd).unwrap_err();
        assert_eq!(error.problem(), "the value may hold visible ASCII characters only");
        assert!(!error.to_string().contains("vvv"), "{error}");
        assert_eq!((error.location(), error.value()), ("value of API key", "a"));
    }
    let name = |length| keys.add(ApiKey::new("n").name("ü".repeat(length)));
    assert_eq!(problem(name(1025)), "Invalid API Key name, can be at most 1024 characters.");
    assert!(name(1024).is_ok());
    let description = |length| keys.add(ApiKey::new("d").description("d".repeat(length)));
    assert_eq!(problem(description(125_001)), "Invalid API Key description specified.");
    assert!(description(125_000).is_ok());
    for id in ["", "a b", "é", &"i".repeat(129)] {
        assert_eq!(problem(keys.add(ApiKey::new(id))), "Invalid API Key identifier specified");
    }
    assert_eq!(keys.len(), 2);
    assert!(of_value("v".repeat(20)).is_ok());
    assert!(keys.add(ApiKey::new("b").value("w".repeat(128))).is_ok());
}

#[test]
fn ids_and_values_are_unique() {
    let (_, keys) = at_start();
    let same_value = keys.add(ApiKey::new("k2").value(ONE)).unwrap_err();
    assert_eq!(same_value.to_string(), "value of API key `k2`: API Key already exists");
    let same_id = keys.add(ApiKey::new("k1").value(TWO)).unwrap_err();
    assert_eq!(same_id.to_string(), "API key id `k1`: API Key already exists");
    assert_eq!((keys.len(), accepted(&keys, TWO)), (1, None));
    let batch = |second: ApiKey| keys.add_all([ApiKey::new("k3").value(THREE), second]);
    for second in [ApiKey::new("k3"), ApiKey::new("k4").value(THREE), ApiKey::new("k4").value(ONE)] {
        assert_eq!(problem(batch(second)), "API Key already exists");
        assert_eq!((keys.len(), accepted(&keys, THREE)), (1, None), "all or nothing");
    }
    let added = batch(ApiKey::new("k4")).unwrap();
    assert_eq!(added.iter().map(NewKey::id).collect::<Vec<_>>(), ["k3", "k4"]);
    assert_eq!(accepted(&keys, added[1].expose_value()).as_deref(), Some("k4"));
}

#[test]
fn an_empty_value_is_generated_but_not_where_nobody_would_see_it() {
    let created = ApiKeys::new().add(ApiKey::with_random_id().unwrap().value("")).unwrap();
    assert_eq!((created.id().len(), created.expose_value().len()), (10, 40));
    let error = ApiKeys::builder().key(ApiKey::new("silent")).build().unwrap_err();
    assert_eq!(error.value(), "silent");
}

#[test]
fn records_keep_what_was_said_and_lists_go_by_prefix() {
    let (manual, keys) = at_start();
    let key = ApiKey::new("k2").name("Pets").description("d").customer_id("acme").tag("a", "1").tag("a", "2");
    let _shown = keys.add_all([key, ApiKey::new("k3").name("pets").enabled(false)]).unwrap();
    let named = |prefix: &str| keys.list(prefix).iter().map(|r| r.id().to_owned()).collect::<Vec<_>>();
    assert_eq!(named("Pe"), ["k2"]);
    assert_eq!(named("ets"), Vec::<String>::new());
    assert_eq!(named(""), ["k1", "k2", "k3"]);
    let record = keys.get("k2").unwrap();
    assert_eq!((record.name(), record.description()), (Some("Pets"), Some("d")));
    assert_eq!((record.customer_id(), record.enabled()), (Some("acme"), true));
    assert_eq!(record.tags().collect::<Vec<_>>(), [("a", "2")]);
    assert_eq!((record.created_unix_seconds(), record.updated_unix_seconds()), (START, START));
    assert_eq!((keys.get("k1").unwrap().name(), keys.get("k9")), (None, None));
    manual.advance(Duration::from_secs(5));
    keys.update("k2", KeyUpdate::new().name("").customer_id("other")).unwrap();
    let record = keys.get("k2").unwrap();
    assert_eq!((record.name(), record.description(), record.customer_id()), (None, Some("d"), Some("other")));
    assert_eq!((record.created_unix_seconds(), record.updated_unix_seconds()), (START, START + 5));
    assert!(keys.update("k2", KeyUpdate::new().name("n".repeat(1025))).is_err());
    let old = keys.add(ApiKey::new("old").created_unix_seconds(7)).unwrap();
    assert_eq!(keys.get(old.id()).unwrap().created_unix_seconds(), 7);
}

#[test]
fn what_requests_see_follows_the_record() {
    let (_, keys) = at_start();
    keys.update("k1", KeyUpdate::new().customer_id("acme")).unwrap();
    let found = entry(&keys, ONE).unwrap();
    let proof = |entry: KeyEntry| entry.verified(ONE.as_bytes());
    let first = proof(found);
    assert_eq!((first.id(), first.customer_id()), ("k1", Some("acme")));
    assert_eq!(first.subject(), crate::context::subject("key", "k1"));
    let _second = keys.rotate("k1", Some(TWO), Duration::from_secs(9)).unwrap();
    keys.set_enabled("k1", false).unwrap();
    assert_eq!((accepted(&keys, ONE), accepted(&keys, TWO)), (None, None));
    assert!(entry(&keys, ONE).is_some(), "disabled is not unknown");
    keys.set_enabled("k1", true).unwrap();
    assert_eq!(accepted(&keys, ONE).as_deref(), Some("k1"), "the old value keeps its end");
    assert_eq!(entry(&keys, ONE).unwrap().end_unix_millis(), Some((START + 9) * 1000));
    assert_eq!(proof(entry(&keys, TWO).unwrap()).subject(), first.subject(), "usage belongs to the id");
    keys.delete("k1").unwrap();
    assert!(entry(&keys, ONE).is_none() && entry(&keys, TWO).is_none() && keys.is_empty());
    assert!(keys.add(ApiKey::new("k2").value(ONE)).is_ok(), "a deleted value is free");
    for missing in [keys.set_enabled("k1", true), keys.delete("k1"), keys.update("k1", KeyUpdate::new())] {
        assert_eq!(problem(missing), "Invalid API Key identifier specified");
    }
}

#[test]
fn entries_stay_small_and_ids_of_any_length_are_whole() {
    assert!(size_of::<KeyEntry>() <= 104, "{}", size_of::<KeyEntry>());
    for length in [1, 21, 22, 23, 128] {
        let id = "i".repeat(length);
        assert_eq!(KeyEntry::new(KeyDigest::of(b"d"), &id).id(), id);
    }
}

#[test]
fn rotation_ends_to_the_millisecond_in_wall_time() {
    let (manual, keys) = at_start();
    let shown = keys.rotate("k1", Some(TWO), Duration::from_millis(1500)).unwrap();
    assert_eq!(shown.expose_value(), TWO);
    let both = |keys: &ApiKeys| (accepted(keys, ONE).is_some(), accepted(keys, TWO).is_some());
    assert_eq!(both(&keys), (true, true));
    manual.advance(Duration::from_millis(1499));
    assert_eq!(both(&keys), (true, true));
    manual.advance(Duration::from_millis(1));
    assert_eq!(both(&keys), (false, true));
    manual.set_unix_seconds(START);
    assert_eq!(both(&keys), (true, true), "the wall clock decides");
    let ends = keys.get("k1").unwrap().previous_value_ends_unix_millis();
    assert_eq!(ends, Some(START * 1000 + 1500));
}

#[test]
fn a_second_rotation_keeps_exactly_two_values() {
    let (_, keys) = at_start();
    let hour = Duration::from_secs(3600);
    let rotate = |value| keys.rotate("k1", Some(value), hour);
    let _two = rotate(TWO).unwrap();
    let _three = rotate(THREE).unwrap();
    let valid = || [ONE, TWO, THREE].map(|value| accepted(&keys, value).is_some());
    assert_eq!(valid(), [false, true, true]);
    assert!(entry(&keys, ONE).is_none());
    assert_eq!(problem(rotate(THREE)), "API Key already exists", "it is the value already");
    let _back = rotate(TWO).unwrap();
    assert_eq!(valid(), [false, true, true], "back to the value before");
    assert_eq!(entry(&keys, TWO).unwrap().end_unix_millis(), None);
    let generated = keys.rotate("k1", None, Duration::ZERO).unwrap();
    assert_eq!(valid(), [false; 3]);
    assert!(accepted(&keys, generated.expose_value()).is_some());
    let _other = keys.add(ApiKey::new("k2").value(ONE)).unwrap();
    assert_eq!(problem(rotate(ONE)), "API Key already exists", "another key's");
    assert_eq!(problem(keys.add(ApiKey::new("k3").value(TWO))), "API Key already exists", "rotated away");
    assert_eq!(problem(rotate("short")), "API Key value should be at least 20 characters");
    assert_eq!(problem(keys.rotate("k9", None, hour)), "Invalid API Key identifier specified");
    let _forever = keys.rotate("k2", None, Duration::MAX).unwrap();
    assert!(accepted(&keys, ONE).is_some());
}

#[test]
fn a_format_holds_for_given_and_generated_values() {
    let format = KeyFormat::new("shop").unwrap();
    let keys = ApiKeys::builder().format(format.clone()).build().unwrap();
    let created = keys.add(ApiKey::new("k1")).unwrap();
    assert!(format.accepts(created.expose_value().as_bytes()));
    assert!(keys.is_plausible(created.expose_value().as_bytes()) && !keys.is_plausible(ONE.as_bytes()));
    let words = "the value does not have the configured format";
    assert_eq!(problem(keys.add(ApiKey::new("k2").value(ONE))), words);
    assert_eq!(problem(keys.rotate("k1", Some(ONE), Duration::ZERO)), words);
    let report = keys.import_csv(&format!("name,key\na,{ONE}\n"), ImportOptions::default()).unwrap();
    assert_eq!(report.warnings, [format!("Skipped invalid record: 1. {words} (line 2)")]);
}

#[test]
fn nothing_that_holds_a_secret_shows_it() {
    let builder = ApiKeys::builder().key(ApiKey::new("k1").value(ONE).name("n"));
    let digest = KeyDigest::of(ONE.as_bytes());
    let hex: String = digest.as_bytes()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    let mut shown = format!("{builder:?} {:?} {digest:?} ", ApiKey::new("k1").value(ONE));
    let keys = builder.build().unwrap();
    let rotated = keys.rotate("k1", Some(TWO), Duration::from_secs(1)).unwrap();
    shown += &format!("{keys:?} {keys:#?} {rotated:?} {:?} {:?} ", keys.get("k1"), entry(&keys, ONE));
    shown += &format!("{:?} ", ApiKeyLayer::new(keys.clone()).layer_for_tests());
    shown += &format!("{:?} {:?}", keys.add(ApiKey::new("k2").value(ONE)), UsageIdentifierKey::new(ONE));
    assert!(!shown.contains(ONE) && !shown.contains(TWO) && !shown.to_lowercase().contains(&hex), "{shown}");
    assert!(!shown.contains(&format!("{:?}", digest.as_bytes())), "{shown}");
    assert!(shown.contains("k1"));
}

impl<K> ApiKeyLayer<K> {
    fn layer_for_tests(&self) -> (&Self, ApiKeyService<(), K>) {
        (self, tower_layer::Layer::layer(self, ()))
    }
}

// Import.

fn import(keys: &ApiKeys, text: &str) -> ImportReport {
    keys.import_csv(text, ImportOptions::default()).unwrap()
}

#[test]
fn the_files_of_the_guide_are_read() {
    let keys = ApiKeys::new();
    let one = "Name,key,description,Enabled,usageplanIds\n\
               MyFirstApiKey,apikey1234abcdefghij0123456789,An imported key,TRUE,c7y23b\n";
    let report = import(&keys, one);
    let id = report.ids[0].clone();
    assert_eq!(report.plan_ids, [(id.clone(), vec!["c7y23b".to_owned()])]);
    let record = keys.get(&id).unwrap();
    assert_eq!((record.name(), record.description()), (Some("MyFirstApiKey"), Some("An imported key")));
    assert!(record.enabled());
    assert_eq!(accepted(&keys, "apikey1234abcdefghij0123456789"), Some(id.clone()));
    // The same value again overwrites the key, other columns are ignored, either quote will do.
    let again = "Enabled,Color,Name,KEY,UsageplanIds\r\n\
                 false,red,Renamed,apikey1234abcdefghij0123456789,'c7y23b, glvrsr'\r\n";
    let report = import(&keys, again);
    assert_eq!((&report.ids, keys.len()), (&vec![id.clone()], 1));
    assert_eq!(report.plan_ids, [(id.clone(), vec!["c7y23b".to_owned(), "glvrsr".to_owned()])]);
    let record = keys.get(&id).unwrap();
    assert_eq!((record.name(), record.description(), record.enabled()), (Some("Renamed"), None, false));
    assert_eq!(accepted(&keys, "apikey1234abcdefghij0123456789"), None);
    assert!(report.warnings.is_empty());
}

#[test]
fn records_that_break_a_limit_are_skipped_or_fail_the_file() {
    let keys = ApiKeys::new();
    // The example of the ImportApiKeys page: its third value is too short.
    let text = "key,name, description\n\
                y9tXe4GwrU65cug8QyQKE8pRwIzUFznda7iO73Gn, importedKey_1, firstone\n\
                abcdef1234ghijklmnop0123456789, importedKey_2, secondone\n\
                abcdefghij, importedKey_3,\n";
    let error = keys.import_csv(text, ImportOptions::new().fail_on_warnings(true)).unwrap_err();
    let words = "API key file `line 4`: API Key value should be at least 20 characters";
    assert_eq!((error.to_string().as_str(), keys.len()), (words, 0));
    let report = import(&keys, text);
    let words = "Skipped invalid record: 3. API Key value should be at least 20 characters (line 4)";
    assert_eq!((report.warnings.as_slice(), report.ids.len()), ([words.to_owned()].as_slice(), 2));
    assert_eq!(keys.list("importedKey_1").len(), 1);
}

#[test]
fn odd_records_are_named_in_the_order_of_the_file() {
    let keys = ApiKeys::new();
    let long = "n".repeat(1025);
    let text =
        format!("Name,Key,Enabled\na,{ONE},yes\nb,{TWO},true,extra\n{long},{TWO}\n,{THREE},\n\"x\n\",\n");
    let report = import(&keys, &text);
    let odd = "Record 1: `Enabled` is neither true nor false and counts as false (line 2)";
    let more = "Skipped invalid record: 2. more fields than the header names (line 3)";
    let name = "Skipped invalid record: 3. Invalid API Key name, can be at most 1024 characters. (line 4)";
    let none = "Skipped invalid record: 5. API Key value should be at least 20 characters (line 6)";
    assert_eq!(report.warnings, [odd, more, name, none]);
    assert!(!keys.get(&report.ids[0]).unwrap().enabled());
    assert!(keys.get(&report.ids[1]).unwrap().enabled(), "an empty field is the default, true");
    let strict = ImportOptions::new().fail_on_warnings(true);
    assert_eq!(keys.import_csv(&text, strict).unwrap_err().value(), "line 2");
}

#[test]
fn the_last_record_of_a_value_wins_and_a_rotated_value_is_not_for_the_taking() {
    let (_, keys) = at_start();
    let _two = keys.rotate("k1", Some(TWO), Duration::from_secs(60)).unwrap();
    let text =
        format!("Name,Key,UsagePlanIds\nfirst,{THREE},p1\nold,{ONE},\ncurrent,{TWO},\nlast,{THREE},p2\n");
    let report = import(&keys, &text);
    assert_eq!(report.warnings, ["Skipped invalid record: 2. API Key already exists (line 3)"]);
    assert_eq!((report.ids.len(), report.ids[1].as_str(), keys.len()), (2, "k1", 2));
    assert_eq!(keys.get(&report.ids[0]).unwrap().name(), Some("last"));
    assert_eq!(report.plan_ids, [(report.ids[0].clone(), vec!["p2".to_owned()])]);
    assert_eq!(accepted(&keys, ONE).as_deref(), Some("k1"), "the overlap goes on");
    assert_eq!(keys.get("k1").unwrap().name(), Some("current"));
}

#[test]
fn files_without_their_columns_are_refused() {
    let keys = ApiKeys::new();
    for (text, words) in [
        ("", "API key file `line 1`: the file is empty"),
        ("\n\nName,Value\n", "API key file `line 3`: the columns `Name` and `Key` are required"),
        ("Name,Key,name\n", "API key file `line 1`: a column is named twice"),
        ("Name,Key\na,\"b\n", "API key file `line 2`: a quoted field is not closed"),
    ] {
        let error = keys.import_csv(text, ImportOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), words);
    }
    assert_eq!(import(&keys, "Name,Key"), ImportReport::default());
}

proptest! {
    #[test]
    fn any_file_is_imported_or_refused_without_its_values_in_the_words(
        values in proptest::collection::vec("[a-z]{15,24}", 0..8),
        noise in "[,\"'\r\n a-z]{0,12}",
    ) {
        let keys = ApiKeys::new();
        let lines: Vec<_> = values.iter().map(|value| format!("n,{value}")).collect();
        let text = format!("Name,Key\n{}\n{noise}", lines.join("\n"));
        let said = match keys.import_csv(&text, ImportOptions::default()) {
            Ok(report) => {
                prop_assert_eq!(report.ids.len(), keys.len());
                format!("{:?}", report.warnings)
            }
            Err(error) => error.to_string(),
        };
        prop_assert!(values.iter().all(|value| !said.contains(value.as_str())), "{}", said);
    }
}

// Many keys, many threads.

#[test]
fn a_hundred_thousand_keys_are_added_in_bulk_and_one_by_one() {
    let keys = ApiKeys::new();
    let key = |number: u32| ApiKey::new(format!("k{number}")).value(format!("key-value-of-number-{number}"));
    assert_eq!(keys.add_all((0..100_000).map(key)).unwrap().len(), 100_000);
    for number in 100_000..101_000 {
        let _shown = keys.add(key(number)).unwrap();
    }
    for number in (0..101_000).step_by(97) {
        let id = accepted(&keys, &format!("key-value-of-number-{number}"));
        assert_eq!(id, Some(format!("k{number}")));
    }
    assert_eq!((keys.len(), accepted(&keys, "key-value-of-number-101000")), (101_000, None));
}

#[test]
fn look_ups_are_right_while_keys_change() {
    let keys = ApiKeys::builder().key(ApiKey::new("steady").value(ONE)).build().unwrap();
    let (done, looked) = (std::sync::atomic::AtomicBool::new(false), std::sync::atomic::AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    assert_eq!(accepted(&keys, ONE).as_deref(), Some("steady"));
                    assert_eq!(accepted(&keys, TWO), None);
                    looked.fetch_add(1, SeqCst);
                }
            });
        }
        for thread in ["a", "b"] {
            let keys = keys.clone();
            let (done, looked) = (&done, &looked);
            scope.spawn(move || {
                for round in 0..300 {
                    churn(&keys, &format!("{thread}{round}"));
                }
                while looked.load(SeqCst) < 100 {
                    std::thread::yield_now();
                }
                done.store(true, SeqCst);
            });
        }
    });
    assert_eq!(keys.len(), 1);
}

/// The life of a key: what a change returns from is what the next look-up sees.
fn churn(keys: &ApiKeys, id: &str) {
    let first = keys.add(ApiKey::new(id)).unwrap().into_value();
    assert_eq!(accepted(keys, &first).as_deref(), Some(id));
    let second = keys.rotate(id, None, Duration::from_secs(60)).unwrap().into_value();
    keys.set_enabled(id, false).unwrap();
    assert_eq!((accepted(keys, &first), accepted(keys, &second)), (None, None));
    keys.set_enabled(id, true).unwrap();
    assert_eq!(accepted(keys, &second).as_deref(), Some(id));
    keys.delete(id).unwrap();
    assert!(entry(keys, &first).is_none() && entry(keys, &second).is_none());
}
