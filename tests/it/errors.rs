//! What errors tell a program: of what kind a fault is, and what it came from, once.

use std::error::Error;
use tower_gateway::{
    ConfigError,
    ConfigErrorKind::{self, Exists, InUse, Invalid, NotFound, System},
    api_key::{ApiKey, ApiKeys},
    gateway::BuildError,
    observe::RotatingFile,
    route::{MethodSettings, Routes},
    stage::{CanarySettings, CustomDomain, Deployment, Stage, Stages},
    store::StoreError,
    usage_plan::{SharedUsageError, UsagePlan, UsagePlans},
};

fn kind<T: std::fmt::Debug>(changed: Result<T, ConfigError>) -> ConfigErrorKind {
    changed.unwrap_err().kind()
}

/// What a program prints that follows the causes.
fn texts(error: &dyn Error) -> Vec<String> {
    let (mut texts, mut next) = (Vec::new(), Some(error));
    while let Some(error) = next {
        texts.push(error.to_string());
        next = error.source();
    }
    texts
}

#[test]
fn of_changes_to_keys() {
    let value = "the-value-of-the-first-key";
    let keys = ApiKeys::builder().key(ApiKey::new("first").value(value)).build().unwrap();
    assert_eq!(kind(keys.add(ApiKey::new("first"))), Exists);
    assert_eq!(kind(keys.add(ApiKey::new("second").value(value))), Exists, "the value is the first one's");
    assert_eq!(kind(keys.add(ApiKey::new("second").value("short"))), Invalid);
    assert_eq!(kind(keys.add(ApiKey::new(""))), Invalid);
    assert_eq!(kind(keys.set_enabled("second", true)), NotFound);
    assert_eq!(kind(keys.delete("second")), NotFound);
    let _value = keys.add(ApiKey::new("second")).unwrap();
    assert_eq!(kind(keys.rotate("second", Some(value), std::time::Duration::ZERO)), Exists);
}

#[test]
fn of_changes_to_plans() {
    let plans = UsagePlans::builder().plan(UsagePlan::new("gold")).plan(UsagePlan::new("basic"));
    let plans = plans.attach("gold", "partner").build().unwrap();
    assert_eq!(kind(plans.attach("silver", "partner")), NotFound);
    assert_eq!(kind(plans.attach("basic", "partner")), InUse, "one plan for a stage");
    assert_eq!(kind(plans.detach("basic", "partner")), NotFound);
    assert_eq!(kind(plans.delete_plan("silver")), NotFound);
    assert_eq!(kind(plans.update_remaining("gold", "partner", 1)), Invalid, "it has no quota");
    let twice = UsagePlans::builder().plan(UsagePlan::new("gold")).plan(UsagePlan::new("gold")).build();
    assert_eq!(kind(twice), Exists);
}

#[test]
fn of_changes_to_stages() {
    let routes = Routes::builder().build().unwrap();
    let stages = Stages::single("prod", routes.clone()).unwrap();
    assert_eq!(kind(stages.create_stage(Stage::new("prod", "initial"))), Exists);
    assert_eq!(kind(stages.create_stage(Stage::new("a/b", "initial"))), Invalid);
    assert_eq!(kind(stages.create_stage(Stage::new("test", "next"))), NotFound, "the deployment");
    assert_eq!(kind(stages.create_deployment(Deployment::new("initial", routes.clone()))), Exists);
    assert_eq!(kind(stages.delete_deployment("initial")), InUse);
    assert_eq!(kind(stages.delete_deployment("next")), NotFound);
    assert_eq!(kind(stages.roll_back("prod")), NotFound, "there was none before");
    assert_eq!(kind(stages.promote_canary("prod")), NotFound);
    assert_eq!(kind(stages.remove_canary("prod")), NotFound);
    assert_eq!(kind(stages.remove_variable("prod", "color")), NotFound);
    assert_eq!(kind(stages.set_variable("prod", "co/lor", "")), Invalid);
    assert_eq!(kind(stages.remove_settings("prod", "*/*")), NotFound);
    assert_eq!(kind(stages.set_settings("prod", "dogs/GET", MethodSettings::new())), Invalid);
    assert_eq!(kind(stages.remove_domain("api.example")), NotFound);
    assert_eq!(kind(stages.set_domain(CustomDomain::new("api.example").mapping("", "test"))), NotFound);
    stages.create_deployment(Deployment::new("next", routes)).unwrap();
    stages.set_canary("prod", CanarySettings::new("next", 10.0)).unwrap();
    assert_eq!(kind(stages.deploy("prod", "next")), InUse, "by the canary");
    assert_eq!(kind(stages.roll_back("prod")), InUse);
}

#[test]
fn what_the_machine_says_is_the_source() {
    let error = RotatingFile::open("/nowhere/access.log", 1, 0).unwrap_err();
    assert_eq!(error.kind(), System);
    let cause = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    assert_eq!(cause.map(std::io::Error::kind), Some(std::io::ErrorKind::NotFound));
    let other = RotatingFile::open("/nowhere/access.log", 1, 0).unwrap_err();
    assert_eq!(error, other, "what it came from is not compared");
    assert_ne!(error, RotatingFile::open("/nowhere/access.log", 0, 0).unwrap_err());
}

#[test]
fn a_cause_is_printed_once() {
    let config = || RotatingFile::open("/nowhere/access.log", 1, 0).unwrap_err();
    let told = texts(&config());
    assert_eq!(told[0], "access log file `/nowhere/access.log`: cannot be opened");
    assert_eq!(told.len(), 2, "and what the system says: {told:?}");
    assert_eq!(texts(&BuildError::Config(config())), told);
    assert_eq!(texts(&SharedUsageError::from(config())), told);
    let store = StoreError::caused_by("the connection is closed", std::fmt::Error);
    assert_eq!(
        texts(&SharedUsageError::from(store)),
        ["the connection is closed", &std::fmt::Error.to_string()]
    );
}
