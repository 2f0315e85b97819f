//! Routing and canaries as recorded from AWS.

use super::*;
use crate::support::recorded;

/// Resources of a recorded API, and what each declared method answers.
fn recorded_api(resources: &Value) -> (Routes, Answers) {
    let (mut builder, mut answers) = (Routes::builder(), HashMap::new());
    for (path, methods) in resources.as_object().unwrap() {
        for (verb, method) in methods.as_object().unwrap() {
            builder = match verb.as_str() {
                "ANY" => builder.any(path, ApiMethod::new()),
                verb => builder.method(path, verb.parse().unwrap(), ApiMethod::new()),
            };
            let template = &method["integrationResponses"]["200"]["responseTemplates"]["application/json"];
            answers.insert((path.clone(), verb.clone()), template.as_str().unwrap_or("{}").to_owned());
        }
    }
    (builder.build().unwrap(), answers)
}

/// A mock integration: the template of the matched method with stage variables and canary flag put in.
async fn mock(stages: &Stages, answers: &Arc<[(String, Answers)]>, request: &Value) -> Answer {
    let answers = Arc::clone(answers);
    let service = StageRouter::new(stages.clone()).layer(service_fn(move |request: Request<Full<Bytes>>| {
        let answers = Arc::clone(&answers);
        async move {
            let context = RequestContext::of(request.extensions()).unwrap();
            let (_, of) = answers.iter().find(|(id, _)| id == context.deployment_id().unwrap()).unwrap();
            let resource = context.resource_path().unwrap().to_owned();
            let template = of
                .get(&(resource.clone(), request.method().to_string()))
                .or_else(|| of.get(&(resource, "ANY".to_owned())))
                .unwrap();
            let mut text = template.replace(
                "$context.isCanaryRequest",
                &context.variable("isCanaryRequest").unwrap_or_default(),
            );
            while let Some(at) = text.find("$stageVariables.") {
                let name: String =
                    text[at + 16..].chars().take_while(|c| c.is_ascii_alphanumeric()).collect();
                let value = context.stage_variable(&name).unwrap_or_default().to_owned();
                text.replace_range(at..at + 16 + name.len(), &value);
            }
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(text)))
        }
    }));
    let path = format!("/dev{}", request["path"].as_str().unwrap());
    let request = Request::builder().method(request["method"].as_str().unwrap()).uri(path);
    service.oneshot(request.body(Full::default()).unwrap()).await.unwrap()
}

async fn judge(id: &str, answer: Answer, expect: &Value) {
    assert_eq!(u64::from(answer.status().as_u16()), expect["status"].as_u64().unwrap(), "{id}");
    for (name, value) in expect["headers"].as_object().into_iter().flatten() {
        assert_eq!(answer.headers()[name.as_str()].to_str().unwrap(), value.as_str().unwrap(), "{id}");
    }
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    if let Some(json) = expect.get("json") {
        assert_eq!(serde_json::from_slice::<Value>(&body).unwrap(), *json, "{id}");
    }
}

#[test]
fn routing_as_recorded_from_aws() {
    run(async {
        for case in recorded("routing", 5) {
            let (routes, answers) = recorded_api(&case["api"]["resources"]);
            let stages = Stages::single("dev", routes).unwrap();
            let answer =
                mock(&stages, &(Arc::new([("initial".to_owned(), answers)]) as Arc<[_]>), &case["request"])
                    .await;
            judge(case["id"].as_str().unwrap(), answer, &case["expect"]).await;
        }
    });
}

#[test]
fn canaries_as_recorded_from_aws() {
    run(async {
        for case in recorded("stage-canary", 1) {
            let api = &case["api"];
            let (main, main_answers) = recorded_api(&api["deployment"]["resources"]);
            let (other, other_answers) = recorded_api(&api["canary"]["deployment"]["resources"]);
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let pairs = |object: &Value| -> Vec<(String, String)> {
                object
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(name, value)| (name.clone(), text(value)))
                    .collect()
            };
            let canary = CanarySettings::new("canary", api["canary"]["percentTraffic"].as_f64().unwrap());
            let canary = pairs(&api["canary"]["stageVariableOverrides"])
                .into_iter()
                .fold(canary, |canary, (name, value)| canary.override_variable(name, value));
            let stage = pairs(&api["stageVariables"])
                .into_iter()
                .fold(Stage::new("dev", "main"), |stage, (name, value)| stage.variable(name, value));
            let stages = Stages::builder()
                .deployment(Deployment::new("main", main))
                .deployment(Deployment::new("canary", other))
                .stage(stage.canary(canary))
                .build()
                .unwrap();
            let answers = Arc::new([("main".to_owned(), main_answers), ("canary".to_owned(), other_answers)]);
            let answer = mock(&stages, &(answers as Arc<[_]>), &case["request"]).await;
            judge(case["id"].as_str().unwrap(), answer, &case["expect"]).await;
        }
    });
}
