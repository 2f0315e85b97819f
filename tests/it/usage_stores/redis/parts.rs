//! What each process admits alone: its part of each limit, also of those that it has never asked Redis about.

use super::node::{Node, month};
use crate::support::{
    redis_server::{RedisServer, eventually_async},
    run,
};
use tower_gateway::{store::StoreOptions, throttle::Throttle, usage_plan::UsagePlan};

#[test]
fn without_redis_each_process_admits_its_part_of_what_it_never_asked_about() {
    let throttled = UsagePlan::new("p").throttle(Throttle::new(0.001, 20).unwrap());
    for (plan, part) in [(throttled, 6), (month("p", 7), 2)] {
        let Some(server) = RedisServer::start() else { return };
        run(async {
            let nodes = [(); 3].map(|()| Node::new(&server.url(), plan.clone(), StoreOptions::new()));
            for node in &nodes {
                let knows = || node.plans.sharing_processes() == Some(3);
                eventually_async("they know of each other", knows).await;
            }
            server.assert_all_expire();
            server.kill();
            for node in &nodes {
                let mut admitted = 0;
                for _ in 0..20 {
                    admitted += usize::from(node.ask("ann").await.admitted());
                }
                assert_eq!(admitted, part, "{plan:?}");
            }
        });
    }
}

/// Nobody has ever answered: what the operator says counts.
#[test]
fn before_redis_was_ever_reached_each_admits_its_part_of_the_number_that_was_set() {
    let Some(server) = RedisServer::start() else { return };
    server.kill();
    run(async {
        let options = StoreOptions::new().processes(4);
        let throttle = Throttle::new(0.001, 20).unwrap();
        let node = Node::new(&server.url(), UsagePlan::new("p").throttle(throttle), options);
        let mut admitted = 0;
        for _ in 0..20 {
            admitted += usize::from(node.ask("ann").await.admitted());
        }
        assert_eq!((admitted, node.plans.sharing_processes()), (5, Some(4)));
    });
}
