//! The page in a real browser: what it shows, in both themes, and that nothing a client or a configuration says is more
//! than text there.

use super::VALUE;
use crate::{browser::chromium, support::left_out};
use axum::{Router, body::Body};
use http::{Method, Request, Response};
use serde_json::Value;
use std::{convert::Infallible, path::Path, process::Command};
use tower::{Layer, ServiceExt, service_fn};
use tower_gateway::{
    api_key::{ApiKey, ApiKeys},
    authorizer::{Authorizer, AuthorizerAnswer, AuthorizerEvent, AuthorizerLayer, authorizer_fn},
    cache::{Cache, CacheLayer},
    gateway::Gateway,
    observe::{
        ObserveLayer, PrometheusMetrics,
        admin::{AdminService, Explain},
    },
    route::{ApiMethod, Authorization, CacheKey, CacheSettings, MethodSettings, Routes},
    stage::{Deployment, Stage, Stages},
    throttle::Throttle,
    usage_plan::{Quota, QuotaPeriod, UsagePlan, UsagePlans},
};

const KEY_ID: &str = "<img/src=x/onerror=\"window.tricked='key'\">";
const PLAN_ID: &str = "</td><script>window.tricked='plan'</script>";
const AUTHORIZER: &str = "\"><svg onload=alert('authorizer')>";
const PATH: &str = "/prod/pets/%3Cimg%20src=x%20onerror=alert(1)%3E'\"{}";

struct Shop {
    keys: ApiKeys,
    plans: UsagePlans,
    stages: Stages,
    metrics: PrometheusMetrics,
    explain: Explain,
}

async fn who(event: AuthorizerEvent) -> Result<AuthorizerAnswer, &'static str> {
    match event.authorization_token() {
        "ada" => Ok(AuthorizerAnswer::allow("<b>ada</b>", ["*"])),
        _ => Err("Unauthorized"),
    }
}

impl Shop {
    fn open() -> Self {
        let keyed = ApiMethod::new().api_key_required(true);
        let routes = Routes::builder()
            .method("/pets/{id}", Method::GET, keyed)
            .method("/me", Method::GET, ApiMethod::new().authorization(Authorization::custom(AUTHORIZER)))
            .method("/news", Method::GET, ApiMethod::new().cache_key(CacheKey::new().query("page")));
        let caching = MethodSettings::new().caching(CacheSettings::new());
        let stage = Stage::new("prod", "v1").settings("news/GET", caching);
        let stages =
            Stages::builder().deployment(Deployment::new("v1", routes.build().unwrap())).stage(stage);
        let plan = UsagePlan::new(PLAN_ID)
            .throttle(Throttle::new(1_000.0, 1_000).unwrap())
            .quota(Quota::new(20, QuotaPeriod::Day).unwrap());
        Self {
            keys: ApiKeys::builder().key(ApiKey::new(KEY_ID).value(VALUE)).build().unwrap(),
            plans: UsagePlans::builder().plan(plan).attach(PLAN_ID, KEY_ID).build().unwrap(),
            stages: stages.build().unwrap(),
            metrics: PrometheusMetrics::new(),
            explain: Explain::new(200),
        }
    }

    fn router(&self) -> Router {
        let authorizer = Authorizer::token(AUTHORIZER, authorizer_fn(who)).build().unwrap();
        let observe = ObserveLayer::new().observer(self.metrics.clone()).observer(self.explain.clone());
        let gateway = Gateway::builder()
            .stages(self.stages.clone())
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .authorizer(AuthorizerLayer::new(authorizer))
            .observe(observe)
            .cache(CacheLayer::new(Cache::builder().build().unwrap()))
            .build()
            .unwrap();
        let service = gateway.layer(service_fn(|_: Request<_>| async {
            Ok::<_, Infallible>(Response::new(Body::from("pets")))
        }));
        let admin = AdminService::<Body>::new(self.explain.clone(), self.metrics.clone())
            .allow(|_| true)
            .api_keys(self.keys.clone())
            .usage_plans(self.plans.clone())
            .stages(self.stages.clone());
        Router::new().nest_service("/admin", admin).fallback_service(service)
    }
}

/// 30 with the key, of which 20 are within the quota; three of one caller and one of another; five of the cache.
async fn traffic(router: &Router) {
    let ask = async |uri: &str, name: &str, value: &str| {
        let request = Request::get(uri).header(name, value).body(Body::empty()).unwrap();
        let answer = router.clone().oneshot(request).await.unwrap();
        axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    };
    for _ in 0..5 {
        ask("/prod/news?page=1", "x-any", "").await;
    }
    for token in ["ada", "ada", "ada", "<i>eve</i>"] {
        ask("/prod/me", "authorization", token).await;
    }
    for _ in 0..30 {
        ask(PATH, "x-api-key", VALUE).await;
    }
    ask("/prod/%22%3E%3Cscript%3Ealert(1)%3C/script%3E", "x-any", "").await;
}

/// What the script found, with screenshots below the target directory; `None` where something is not installed.
fn look(address: &str) -> Option<Value> {
    let (modules, folder) =
        (Path::new(env!("CARGO_TARGET_TMPDIR")).join("clients"), env!("CARGO_TARGET_TMPDIR"));
    let has_node = Command::new("node").arg("--version").output().is_ok();
    let Some(chromium) =
        chromium().filter(|_| has_node && modules.join("node_modules/playwright-core").exists())
    else {
        left_out("the operators' page in a real browser (no chromium, node or playwright-core here)");
        return None;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/operators/page.mjs");
    let mut node = Command::new("node");
    node.arg(script).arg(address).arg(modules).arg(folder).arg("hostile").env("CHROMIUM", chromium);
    let output = node.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_texts_stay_text_in_both_themes() {
    let router = Shop::open().router();
    traffic(&router).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}/admin/", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let Some(found) = tokio::task::spawn_blocking(move || look(&address)).await.unwrap() else { return };

    for theme in ["light", "dark"] {
        let page = &found[theme];
        assert_eq!(page["bad"], serde_json::json!([]), "{theme}: dialogs, errors, requests elsewhere");
        assert_eq!(
            (&page["foreign"], &page["tricked"], &page["inline"]),
            (&0.into(), &Value::Null, &false.into())
        );
        assert!(page["policy"].as_str().unwrap().starts_with("default-src 'none'; style-src 'sha256-"));
        assert_eq!(page["overflow"], 0, "{theme}: wider than the window");
        assert_eq!((&page["shown"]["state"], &page["shown"]["count"]), (&"live".into(), &"40".into()));
        check_tables(&page["tables"]);
        assert_eq!(page["shown"]["ratio"], "92 % of the look-ups were hits");
    }
    assert_ne!(found["light"]["colors"], found["dark"]["colors"]);
}

fn check_tables(tables: &Value) {
    let quota = &tables["quotas"][0];
    let cells = [&quota[0], &quota[1], &quota[3], &quota[4], &quota[5], &quota[7]];
    assert_eq!(cells, [KEY_ID, PLAN_ID, "0", "20", "20 / day", "spent"].map(Value::from).each_ref());
    let newest = &tables["recent"][0];
    assert_eq!(
        (&newest[0], &newest[2]),
        (&"403".into(), &"/prod/%22%3E%3Cscript%3Ealert(1)%3C/script%3E".into())
    );
    let refused = &tables["recent"][1];
    let cells = [&refused[0], &refused[2], &refused[3], &refused[5]];
    assert_eq!(cells, ["429", PATH, "Quota", KEY_ID].map(Value::from).each_ref());
    let rows = |id: &str| tables[id].as_array().unwrap().clone();
    assert!(rows("refusals").contains(&serde_json::json!(["QUOTA_EXCEEDED", "Quota, UsagePlanLayer", "10"])));
    assert!(rows("cache").contains(&serde_json::json!(["hit", "", "23"])), "{:?}", rows("cache"));
    assert!(rows("cache").contains(&serde_json::json!(["miss", "not-found", "2"])), "{:?}", rows("cache"));
    let authorizer = &rows("authorizers")[0];
    assert_eq!(
        [&authorizer[0], &authorizer[1], &authorizer[2]],
        [AUTHORIZER, "2", "2"].map(Value::from).each_ref()
    );
}
