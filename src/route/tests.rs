use super::*;
use proptest::prelude::*;

fn routes(declared: &[(&str, &str)]) -> Routes {
    let builder = declared.iter().fold(Routes::builder(), |builder, (verb, path)| match *verb {
        "ANY" => builder.any(path, ApiMethod::new()),
        verb => builder.method(path, verb.parse().unwrap(), ApiMethod::new()),
    });
    builder.build().unwrap()
}

fn found(routes: &Routes, verb: &str, path: &str) -> Option<String> {
    routes
        .find(&verb.parse().unwrap(), path)
        .map(|found| format!("{} {}", found.method(), found.resource_path()))
}

#[test]
fn path_and_method_are_matched_together() {
    // LocalStack's AWS-validated test_path_routing_with_method.
    let routes = routes(&[("OPTIONS", "/{proxy+}"), ("POST", "/foo"), ("ANY", "/foo/bar")]);
    assert_eq!(found(&routes, "OPTIONS", "/foo").as_deref(), Some("OPTIONS /{proxy+}"));
    assert_eq!(found(&routes, "GET", "/foo"), None);
    assert_eq!(found(&routes, "POST", "/foo").as_deref(), Some("POST /foo"));
    assert_eq!(found(&routes, "OPTIONS", "/foo/bar").as_deref(), Some("ANY /foo/bar"));
}

#[test]
fn static_beats_variable_beats_greedy_from_the_left() {
    let routes = routes(&[
        ("GET", "/foo/{a}/baz"),
        ("GET", "/foo/{a}/{b}"),
        ("GET", "/pets/{id}"),
        ("GET", "/pets/mine"),
        ("GET", "/files/{path+}"),
        ("GET", "/"),
    ]);
    assert_eq!(found(&routes, "GET", "/foo/1/baz").as_deref(), Some("GET /foo/{a}/baz"));
    assert_eq!(found(&routes, "GET", "/foo/1/other").as_deref(), Some("GET /foo/{a}/{b}"));
    assert_eq!(found(&routes, "GET", "/pets/mine").as_deref(), Some("GET /pets/mine"));
    assert_eq!(found(&routes, "GET", "/pets/%6Dine/").as_deref(), Some("GET /pets/mine"));
    assert_eq!(found(&routes, "GET", "/pets/").as_deref(), None);
    assert_eq!(found(&routes, "GET", "/files"), None);
    assert_eq!(found(&routes, "GET", "//files/a//b").as_deref(), Some("GET /files/{path+}"));
    assert_eq!(found(&routes, "GET", "/").as_deref(), Some("GET /"));
    assert_eq!(found(&routes, "HEAD", "/"), None);
}

#[test]
fn variables_are_given_as_received() {
    let routes = routes(&[("ANY", "/{a}/x/{b}"), ("ANY", "/deep/{c}/{d}/{e}/{f}/{g}/{h+}")]);
    let one = routes.find(&Method::GET, "/a%2Fb/x/c+d/").unwrap();
    assert_eq!((one.param("a"), one.param("b"), one.param("z")), (Some("a%2Fb"), Some("c+d"), None));
    let deep = routes.find(&Method::GET, "/deep/1/2/3/4/5/6//7").unwrap();
    assert_eq!((deep.param("c"), deep.param("g"), deep.param("h")), (Some("1"), Some("5"), Some("6//7")));
}

#[test]
fn backtracking_drops_the_variables_of_dead_ends() {
    let routes = routes(&[("GET", "/{a}/{b}/end"), ("GET", "/x/y/{c+}")]);
    let hit = routes.find(&Method::GET, "/x/y/end").unwrap();
    assert_eq!((hit.resource_path(), hit.param("c")), ("/x/y/{c+}", Some("end")));
    let other = routes.find(&Method::GET, "/x/z/end").unwrap();
    assert_eq!((other.param("a"), other.param("b")), (Some("x"), Some("z")));
}

#[test]
fn faults_are_named() {
    for (path, problem) in [
        ("pets", "does not start with `/`"),
        ("/a//b", "has an empty segment"),
        ("/a/..", "has a dot segment"),
        ("/{a+}/b", "a greedy variable is not the last segment"),
        ("/{a}/{a}", "a variable's name appears twice"),
        ("/{}", "a variable's name holds letters, digits and `_-.:$` only"),
        ("/pets/:id", "a variable is written `{name}` or `{name+}`"),
        ("/files/*rest", "a variable is written `{name}` or `{name+}`"),
        ("/a b", "a segment is neither text, `{name}` nor `{name+}`"),
    ] {
        let error = Routes::builder().any(path, ApiMethod::new()).build().unwrap_err();
        assert_eq!((error.value(), error.problem()), (path, problem));
    }
    let twice =
        Routes::builder().any("/a", ApiMethod::new()).any("/a", ApiMethod::new()).build().unwrap_err();
    assert_eq!((twice.value(), twice.problem()), ("ANY /a", table::SAME_METHOD));
    let siblings = Routes::builder().any("/{a}", ApiMethod::new()).any("/{b+}", ApiMethod::new()).build();
    assert_eq!(siblings.unwrap_err().problem(), table::SECOND_VARIABLE);
    let unknown =
        Routes::builder().any("/a", ApiMethod::new()).settings("b/GET", MethodSettings::new()).build();
    assert_eq!(unknown.unwrap_err().value(), "b/GET");
}

#[test]
fn settings_keys_in_all_three_spellings() {
    for (key, normal) in [
        ("pets/GET", "/pets GET"),
        ("/pets/GET", "/pets GET"),
        ("~1pets~1{id}/GET", "/pets/{id} GET"),
        ("~1/GET", "/ GET"),
        ("//GET", "/ GET"),
        ("*/*", "*/*"),
    ] {
        assert_eq!(settings::normalise(key), normal, "{key}");
    }
}

#[test]
fn every_method_has_its_own_bucket_from_the_default() {
    let all = MethodSettings::new().throttle(crate::throttle::Throttle::new(1.0, 1).unwrap());
    let own = MethodSettings::new().throttle(crate::throttle::Throttle::new(2.0, 2).unwrap());
    let routes = Routes::builder()
        .method("/a", Method::GET, ApiMethod::new())
        .any("/b", ApiMethod::new())
        .settings("*/*", all)
        .settings("b/POST", own)
        .build()
        .unwrap();
    let scope = routes.scope();
    let burst = |index: usize, verb| scope.settings[index].throttle(&verb).unwrap().throttle.burst_limit();
    assert_eq!((burst(0, Method::GET), burst(1, Method::GET), burst(1, Method::POST)), (1, 1, 2));
    let slot = |index: usize| &scope.settings[index].throttle(&Method::GET).unwrap().slot;
    assert!(!Arc::ptr_eq(slot(0), slot(1)));
    assert!(Arc::ptr_eq(slot(0), &routes.scope().settings[0].throttle(&Method::GET).unwrap().slot));
}

proptest! {
    /// Whatever the bytes, the match neither panics nor reports ranges outside the path.
    #[test]
    fn any_path_is_safe(path in "/[a-c/%{}.~2Ff]{0,24}") {
        let routes = routes(&[("ANY", "/a/{x}/b"), ("ANY", "/{y}"), ("ANY", "/a/b/{rest+}")]);
        if let Some(hit) = routes.find(&Method::GET, &path) {
            for name in ["x", "y", "rest"] {
                prop_assert!(hit.param(name).is_none_or(|value| !value.is_empty() && path.contains(value)));
            }
        }
    }

    /// A search without any cleverness is the oracle.
    #[test]
    fn agrees_with_a_naive_priority_search(path in "(/[ab]{1}){1,4}") {
        let declared = ["/a/b", "/a/{v}", "/{v}/b/a", "/{v}/{w}/{x}", "/a/b/{rest+}", "/b"];
        let routes = routes(&declared.map(|path| ("ANY", path)));
        let expected = naive(&declared, &path);
        prop_assert_eq!(found(&routes, "GET", &path), expected.map(|path| format!("ANY {path}")));
    }
}

/// All templates that fit, best by comparing segment kinds from the left.
fn naive<'a>(declared: &[&'a str], path: &str) -> Option<&'a str> {
    let segments: Vec<_> = path[1..].split('/').collect();
    let rank = |template: &&str| -> Option<Vec<u8>> {
        let parts: Vec<_> = template[1..].split('/').collect();
        let greedy = parts.last().is_some_and(|part| part.ends_with("+}"));
        if segments.len() < parts.len() || (!greedy && segments.len() != parts.len()) {
            return None;
        }
        let kinds = parts.iter().zip(&segments).map(|(part, segment)| match part {
            part if part.ends_with("+}") => Some(2),
            part if part.starts_with('{') => Some(1),
            part => (part == segment).then_some(0),
        });
        kinds.collect()
    };
    declared.iter().filter_map(|template| Some((rank(template)?, *template))).min().map(|best| best.1)
}
