//! The same figures through the `metrics` facade.

use super::*;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};

/// A recorder that notes what it is told.
#[derive(Default)]
struct Names {
    /// Names and labels, in the order of the calls.
    told: Mutex<Vec<String>>,
    /// Names and units.
    described: Mutex<Vec<String>>,
}

impl Names {
    fn meaning(&self, name: &KeyName, unit: Option<Unit>) {
        let unit = unit.map_or("-", |unit| unit.as_str());
        self.described.lock().unwrap().push(format!("{} {unit}", name.as_str()));
    }

    fn note(&self, key: &Key) {
        let labels: Vec<_> = key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        self.told.lock().unwrap().push(format!("{} {}", key.name(), labels.join(",")));
    }
}
impl Recorder for Names {
    fn describe_counter(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.meaning(&name, unit);
    }
    fn describe_gauge(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.meaning(&name, unit);
    }
    fn describe_histogram(&self, name: KeyName, unit: Option<Unit>, _: SharedString) {
        self.meaning(&name, unit);
    }
    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note(key);
        Counter::noop()
    }
    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.note(key);
        Gauge::noop()
    }
    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.note(key);
        Histogram::noop()
    }
}

#[test]
fn the_facade_gets_the_same_figures() {
    let names = Names::default();
    let service = shop(ObserveLayer::new().observer(FacadeMetrics::new()), ApiKind::Rest);
    metrics::with_local_recorder(&names, || run(ask(&service, "/prod/nothing")));
    metrics::with_local_recorder(&names, || FacadeMetrics::new().describe());
    let told = names.told.lock().unwrap().len();
    let broken = service_fn(|_: Request<Full<Bytes>>| {
        let answer = Response::builder().status(503).body(Full::<Bytes>::from("x"));
        std::future::ready(Ok::<_, Infallible>(answer.unwrap()))
    });
    let broken = ObserveLayer::new().observer(FacadeMetrics::new()).layer(broken);
    metrics::with_local_recorder(&names, || run(ask(&broken, "/")));
    let of_503 = names.told.lock().unwrap().split_off(told);
    assert!(of_503[2].ends_with(",http.response.status_code=503,error.type=503"), "{of_503:?}");
    let described = std::mem::take(&mut *names.described.lock().unwrap());
    assert!(described.contains(&"http.server.request.duration seconds".to_owned()), "{described:?}");
    assert_eq!(described.iter().filter(|line| line.ends_with(" bytes")).count(), 2);
    for told in names.told.lock().unwrap().iter() {
        let name = told.split(' ').next().unwrap();
        assert!(described.iter().any(|line| line.starts_with(&format!("{name} "))), "{name}");
    }
    let labels = "stage=prod,http.request.method=GET,http.route=other,http.response.status_code=403";
    assert_eq!(
        *names.told.lock().unwrap(),
        [
            "http.server.active_requests ".to_owned(),
            "http.server.active_requests ".into(),
            format!("http.server.request.duration {labels}"),
            format!("http.server.response.body.size {labels}"),
            "tower_gateway.requests_ended outcome=complete".into(),
            "tower_gateway.refusals response_type=MISSING_AUTHENTICATION_TOKEN,cause=NoRoute,layer=StageRouter".into(),
        ]
    );
}
