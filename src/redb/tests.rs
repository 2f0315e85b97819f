//! The file itself: whose it is, which version, who may read it, and what damage does.

use super::{
    StateFile, StateFileError,
    tables::{FORMAT, write_format},
};
use crate::{
    ConfigErrorKind,
    api_key::{ApiKey, ApiKeys, KeyUpdate},
    throttle::Throttle,
    usage_plan::{UsagePlan, UsagePlans},
};
use ::redb::{Database, TableDefinition};
use std::{
    error::Error as _,
    path::{Path, PathBuf},
    time::Duration,
};

mod disk;

/// A path of its own below the system's temporary directory, gone when the test is over.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("tower-gateway-{}-{name}.state", std::process::id()));
        let _none_there = std::fs::remove_file(&path);
        Self(path)
    }

    fn open(&self) -> Result<StateFile, StateFileError> {
        StateFile::open(&self.0)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.0);
    }
}

const VALUE: &str = "the-value-of-a-key-0123456789";

fn keys(configured: impl IntoIterator<Item = ApiKey>) -> ApiKeys {
    let keys = ApiKeys::new();
    let _values = keys.add_all(configured).unwrap();
    keys
}

/// The records, by id, as they are after a start with these keys configured.
fn start(place: &Place, configured: impl IntoIterator<Item = ApiKey>) -> (StateFile, ApiKeys) {
    let (file, keys) = (place.open().unwrap(), keys(configured));
    file.keep_keys(&keys).unwrap();
    (file, keys)
}

fn finds(keys: &ApiKeys, value: &str) -> Option<(String, bool)> {
    use crate::api_key::{ApiKeyStore, KeyDigest};
    let entry = keys.lookup(&KeyDigest::of(value.as_bytes()))?;
    Some((entry.id().to_owned(), entry.end_unix_millis().is_none()))
}

fn a_key(id: &str) -> ApiKey {
    ApiKey::new(id).value(format!("{id}-{VALUE}"))
}

#[test]
fn every_change_of_a_key_survives() {
    let place = Place::new("keys");
    let before = {
        let (file, keys) = start(&place, []);
        let _values = keys.add_all(["a", "b", "c", "d", "e"].map(a_key)).unwrap();
        keys.set_enabled("a", false).unwrap();
        let _rotated =
            keys.rotate("b", Some("b-rotated-0123456789abcdef"), Duration::from_secs(3600)).unwrap();
        keys.update("c", KeyUpdate::new().name("new name").customer_id("acme")).unwrap();
        keys.delete("d").unwrap();
        let csv = "Name,Key\nimported,imported-0123456789abcdefghij\n";
        keys.import_csv(csv, crate::api_key::ImportOptions::default()).unwrap();
        assert!(file.stats().batches >= 6);
        keys.list("")
    };
    let (_file, keys) = start(&place, []);
    assert_eq!(keys.list(""), before);
    assert_eq!(finds(&keys, "b-rotated-0123456789abcdef"), Some(("b".to_owned(), true)));
    assert_eq!(finds(&keys, &format!("b-{VALUE}")), Some(("b".to_owned(), false)));
    assert_eq!(finds(&keys, &format!("d-{VALUE}")), None);
    assert!(finds(&keys, "imported-0123456789abcdefghij").is_some());
}

#[test]
fn what_was_changed_last_counts() {
    let place = Place::new("merged");
    let configured = || ["stays", "disabled", "deleted", "reconfigured", "dropped"].map(a_key);
    {
        let (_file, keys) = start(&place, configured());
        keys.set_enabled("disabled", false).unwrap();
        keys.delete("deleted").unwrap();
        keys.set_enabled("reconfigured", false).unwrap();
        let _value = keys.add(a_key("added")).unwrap();
    }
    {
        let (_file, keys) = start(&place, configured());
        assert!(keys.get("stays").unwrap().enabled() && !keys.get("disabled").unwrap().enabled());
        assert!(keys.get("deleted").is_none() && keys.get("added").is_some());
    }
    let other = ["stays", "disabled", "deleted"].map(a_key);
    let (_file, keys) = start(&place, other.into_iter().chain([a_key("reconfigured").name("other")]));
    assert!(keys.get("reconfigured").unwrap().enabled(), "its configuration is another one");
    assert!(keys.get("dropped").is_none(), "it is no longer configured");
    assert_eq!(finds(&keys, &format!("dropped-{VALUE}")), None);
    assert!(keys.get("added").is_some() && !keys.get("disabled").unwrap().enabled());
}

#[test]
fn one_value_is_one_keys_across_file_and_configuration() {
    let place = Place::new("values");
    {
        let (_file, keys) = start(&place, []);
        let _value = keys.add(ApiKey::new("one").value(VALUE)).unwrap();
    }
    let file = place.open().unwrap();
    let other = keys([ApiKey::new("two").value(VALUE)]);
    let error = file.keep_keys(&other).unwrap_err();
    assert!(matches!(&error, StateFileError::Config(error) if error.location() == "API key id"), "{error}");
    assert!(matches!(&error, StateFileError::Config(error) if error.kind() == ConfigErrorKind::Exists));
    assert!(!error.to_string().contains(VALUE));
}

#[test]
fn a_file_keeps_one_handle_of_a_kind() {
    let place = Place::new("once");
    let (file, _keys) = start(&place, []);
    let error = file.keep_keys(&ApiKeys::new()).unwrap_err();
    assert!(
        matches!(&error, StateFileError::Config(error) if error.kind() == ConfigErrorKind::InUse),
        "{error}"
    );
    assert!(error.path().is_none() && error.source().is_none(), "it says nothing beyond its own text");
}

#[test]
fn a_change_that_cannot_be_written_is_refused() {
    let place = Place::new("refused");
    let (file, keys) = start(&place, [a_key("a")]);
    file.close();
    let error = keys.set_enabled("a", false).unwrap_err();
    assert_eq!((error.location(), error.kind()), ("state file", ConfigErrorKind::Store));
    assert_eq!(error.value(), place.0.display().to_string());
    let cause = error.source().and_then(|source| source.downcast_ref::<StateFileError>()).unwrap();
    assert!(matches!(cause, StateFileError::Closed { .. }), "{cause:?}");
    assert_eq!(cause.path(), Some(&*place.0));
    assert!(keys.get("a").unwrap().enabled(), "nothing has changed");
    assert!(keys.delete("a").is_err() && keys.add(a_key("b")).is_err() && keys.len() == 1);
    assert!(matches!(file.flush(), Err(StateFileError::Closed { .. })));
    assert!(place.open().is_ok(), "the file is free again");
}

#[test]
fn no_value_is_in_the_file() {
    let place = Place::new("values-at-rest");
    {
        let (file, keys) = start(&place, [a_key("a")]);
        let _values = keys.rotate("a", Some("another-value-0123456789"), Duration::from_secs(9)).unwrap();
        file.flush().unwrap();
    }
    let bytes = std::fs::read(&place.0).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("tower-gateway"), "the search works");
    assert!(!has(VALUE) && !has("another-value"));
}

fn plan(id: &str, burst: u32) -> UsagePlan {
    UsagePlan::new(id).throttle(Throttle::new(1.0, burst).unwrap())
}

/// Plans by id with their bursts, and whether each key is in its plan.
fn plans_of(place: &Place, configured: &UsagePlans) -> StateFile {
    let file = place.open().unwrap();
    file.keep_plans(configured).unwrap();
    file
}

fn burst(plans: &UsagePlans, id: &str) -> Option<u32> {
    Some(plans.plan(id)?.general_throttle()?.burst_limit())
}

fn is_attached(plans: &UsagePlans, plan: &str, key: &str) -> bool {
    plans.usage(plan, Some(key), "2026-11-27", "2026-11-27").is_ok()
}

#[test]
fn plans_and_attachments_survive() {
    let place = Place::new("plans");
    let configured = || {
        UsagePlans::builder()
            .plan(plan("gold", 5))
            .attach("gold", "alice")
            .attach("gold", "eve")
            .build()
            .unwrap()
    };
    {
        let plans = configured();
        let _file = plans_of(&place, &plans);
        plans.put_plan(plan("gold", 7)).unwrap();
        plans.put_plan(plan("basic", 1)).unwrap();
        plans.put_plan(plan("gone", 1)).unwrap();
        plans.attach_all("basic", ["bob", "carol"]).unwrap();
        plans.attach("gone", "dave").unwrap();
        plans.detach("gold", "eve").unwrap();
        plans.detach("basic", "carol").unwrap();
        plans.delete_plan("gone").unwrap();
        assert!(plans.attach_all("basic", ["fred", "alice", "gina"]).is_err(), "alice is in gold");
    }
    let plans = configured();
    let _file = plans_of(&place, &plans);
    assert_eq!(
        (burst(&plans, "gold"), burst(&plans, "basic"), burst(&plans, "gone")),
        (Some(7), Some(1), None)
    );
    assert!(is_attached(&plans, "gold", "alice") && is_attached(&plans, "basic", "bob"));
    assert!(!is_attached(&plans, "gold", "eve") && !is_attached(&plans, "basic", "carol"));
    assert!(is_attached(&plans, "basic", "fred") && !is_attached(&plans, "basic", "gina"));
}

#[test]
fn the_accounts_throttle_survives_and_follows_its_configuration() {
    let place = Place::new("account");
    let throttle = |burst| Throttle::new(1.0, burst).unwrap();
    let configured = |burst: Option<u32>| {
        let builder =
            burst.into_iter().fold(UsagePlans::builder(), |it, burst| it.account_throttle(throttle(burst)));
        builder.build().unwrap()
    };
    let limit =
        |plans: &UsagePlans| plans.account().map(|account| (account.throttle.burst_limit(), account.shadow));
    let start = |burst: Option<u32>| {
        let plans = configured(burst);
        (plans_of(&place, &plans), plans)
    };
    {
        let (_file, plans) = start(Some(5));
        assert_eq!(limit(&plans), Some((5, false)));
        plans.account_throttle(Some(throttle(9))).unwrap();
        plans.shadow_account_throttle(true).unwrap();
    }
    {
        let (_file, plans) = start(Some(5));
        assert_eq!(limit(&plans), Some((9, true)), "it was changed while the process ran");
        plans.account_throttle(None).unwrap();
    }
    assert_eq!(limit(&start(Some(5)).1), None, "it does not come back with the configuration");
    assert_eq!(limit(&start(Some(6)).1), Some((6, false)), "another configuration");
    let (file, plans) = start(None);
    assert_eq!(limit(&plans), None, "it is no longer configured");
    plans.account_throttle(Some(throttle(3))).unwrap();
    file.close();
    assert!(plans.account_throttle(None).is_err());
    assert_eq!(limit(&plans), Some((3, false)), "what cannot be written is refused");
    drop((file, plans));
    assert_eq!(limit(&start(None).1), Some((3, false)));
}

#[test]
fn a_plan_follows_its_configuration_where_that_was_changed_last() {
    let place = Place::new("plans-merged");
    {
        let plans = UsagePlans::builder()
            .plan(plan("gold", 5))
            .plan(plan("old", 1))
            .attach("old", "alice")
            .build()
            .unwrap();
        let _file = plans_of(&place, &plans);
        plans.put_plan(plan("gold", 7)).unwrap();
        plans.delete_plan("old").unwrap();
    }
    {
        let plans = UsagePlans::builder()
            .plan(plan("gold", 5))
            .plan(plan("old", 1))
            .attach("old", "alice")
            .build()
            .unwrap();
        let _file = plans_of(&place, &plans);
        assert_eq!((burst(&plans, "gold"), burst(&plans, "old")), (Some(7), None));
    }
    let plans = UsagePlans::builder().plan(plan("gold", 9)).attach("gold", "alice").build().unwrap();
    let _file = plans_of(&place, &plans);
    assert_eq!((burst(&plans, "gold"), is_attached(&plans, "gold", "alice")), (Some(9), true));
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_it() {
    use std::os::unix::fs::PermissionsExt;
    let place = Place::new("mode");
    let _file = place.open().unwrap();
    assert_eq!(std::fs::metadata(&place.0).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_second_opening_is_refused_until_the_first_is_closed() {
    let place = Place::new("twice");
    let file = place.open().unwrap();
    let error = place.open().unwrap_err();
    assert!(matches!(error, StateFileError::InUse { .. }), "{error:?}");
    assert!(error.to_string().ends_with("another process has it open"));
    drop(file);
    assert!(place.open().is_ok());
}

#[test]
fn a_newer_format_is_named_and_left_alone() {
    let place = Place::new("newer");
    write_format(&place.0, FORMAT + 1);
    let before = std::fs::read(&place.0).unwrap();
    let error = place.open().unwrap_err();
    assert!(
        matches!(error, StateFileError::Version { found, newest, .. } if found == FORMAT + 1 && newest == FORMAT)
    );
    assert!(error.to_string().ends_with("has format 2, and 1 is the newest known here"), "{error}");
    assert_eq!(std::fs::read(&place.0).unwrap().len(), before.len());
    assert!(matches!(place.open().unwrap_err(), StateFileError::Version { .. }), "every time");
}

#[test]
fn a_foreign_file_is_named_and_left_alone() {
    let text = Place::new("text");
    for content in ["these are the notes of somebody else", &"x".repeat(100_000)] {
        std::fs::write(&text.0, content).unwrap();
        assert!(matches!(text.open().unwrap_err(), StateFileError::Foreign { .. }));
        assert_eq!(std::fs::read_to_string(&text.0).unwrap(), content);
    }
    let database = Place::new("database");
    {
        let other = Database::create(&database.0).unwrap();
        let transaction = other.begin_write().unwrap();
        transaction.open_table(TableDefinition::<u8, u8>::new("theirs")).unwrap().insert(1, 2).unwrap();
        transaction.commit().unwrap();
    }
    assert!(matches!(database.open().unwrap_err(), StateFileError::Foreign { .. }));
    assert!(matches!(
        StateFile::open(std::env::temp_dir().join("tower-gateway/no/such/directory")).unwrap_err(),
        StateFileError::Io { .. }
    ));
}

/// What a start makes of the file: the records, or the error.
fn read(path: &Path) -> Result<Vec<crate::api_key::ApiKeyRecord>, StateFileError> {
    let file = StateFile::open(path)?;
    let keys = ApiKeys::new();
    file.keep_keys(&keys)?;
    Ok(keys.list(""))
}

/// Every page, one byte changed at a time, and every length: what was written, or a typed error.
#[test]
fn damage_is_named_and_loses_nothing_silently() {
    let place = Place::new("damage");
    let whole = {
        let (_file, keys) = start(&place, []);
        let _values = keys.add_all((0..300).map(|number| a_key(&format!("key-{number}")))).unwrap();
        keys.list("")
    };
    let bytes = std::fs::read(&place.0).unwrap();
    let copy = Place::new("damaged");
    let mut found = (0, 0);
    let mut judge = |damaged: &[u8], what: &str| {
        std::fs::write(&copy.0, damaged).unwrap();
        match read(&copy.0) {
            Ok(records) => {
                assert_eq!(records, whole, "{what}");
                found.0 += 1;
            }
            Err(
                StateFileError::Damaged { .. } | StateFileError::Foreign { .. } | StateFileError::Io { .. },
            ) => found.1 += 1,
            Err(StateFileError::Version { .. }) => found.1 += 1,
            Err(error) => panic!("{what}: {error}"),
        }
    };
    let used = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    for at in (0..320).chain((320..used).step_by(used / 150)) {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0x10;
        judge(&damaged, &format!("byte {at}"));
    }
    for length in (1..bytes.len()).step_by(bytes.len() / 40) {
        judge(&bytes[..length], &format!("cut at {length}"));
    }
    println!("{} left whole, {} named", found.0, found.1);
    assert!(found.1 > 60, "{found:?}");
}
