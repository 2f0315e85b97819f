//! Use and quotas across clean restarts.

use super::{Place, Process};
use crate::support::run;

#[test]
fn what_was_used_survives_a_clean_restart_to_the_unit() {
    let place = Place::new("clean");
    let mut admitted = 0;
    for round in 1..=4 {
        run(async {
            let process = Process::start(&place.0, 1000);
            for _ in 0..233 {
                assert_eq!(process.ask().await, 200);
                admitted += 1;
            }
            process.plans.hand_back().await;
            assert_eq!(process.reported().await, (233 * round, 0));
        });
    }
    run(async {
        let process = Process::start(&place.0, 1000);
        assert!(process.file.unknown_usage().unwrap().is_empty());
        while process.ask().await == 200 {
            admitted += 1;
        }
        assert_eq!(process.ask().await, 429);
    });
    assert_eq!(admitted, 1000);
}

#[test]
fn without_handing_back_the_rest_of_the_lease_is_unknown_until_it_is_reconciled() {
    let place = Place::new("reconciled");
    run(async {
        let process = Process::start(&place.0, 1000);
        for _ in 0..10 {
            assert_eq!(process.ask().await, 200);
        }
        process.file.close();
    });
    run(async {
        let process = Process::start(&place.0, 1000);
        let unknown = process.file.unknown_usage().unwrap();
        let (used, units) =
            (process.reported().await.0, unknown.iter().map(|unknown| unknown.units).sum::<u64>());
        assert_eq!(unknown.len(), 1);
        assert_eq!((&*unknown[0].plan_id, unknown[0].key_id.as_deref()), ("gold", Some("alice")));
        assert!(used <= 10 && used + units >= 10, "{used} {units}");
        assert_eq!(process.reported().await.1, units);
        let back = process.file.reconcile(|_| 10 - used).unwrap();
        assert_eq!(back, units - (10 - used));
        assert_eq!(process.reported().await, (10, 0));
        let mut admitted = 10;
        while process.ask().await == 200 {
            admitted += 1;
        }
        assert_eq!(admitted, 1000);
    });
}

#[test]
fn a_deleted_plan_and_a_detached_key_start_anew() {
    let place = Place::new("anew");
    run(async {
        let process = Process::start(&place.0, 3);
        while process.ask().await == 200 {}
        process.plans.hand_back().await;
        process.plans.detach("gold", "alice").unwrap();
        process.plans.attach("gold", "alice").unwrap();
        assert_eq!(process.file.unknown_usage().unwrap(), []);
    });
    run(async {
        let process = Process::start(&place.0, 3);
        assert_eq!(process.ask().await, 200);
    });
}

#[test]
fn a_closed_file_denies_what_it_would_have_to_be_asked_about() {
    let place = Place::new("denied");
    run(async {
        let process = Process::start(&place.0, 3);
        process.file.close();
        assert_eq!(process.ask().await, 503);
        assert!(process.keys.set_enabled("alice", false).is_err());
    });
}
