//! AWS's signing suites: each intermediate text, the signature, and acceptance.

use super::{ARN, Raw, SECRET, vectors};
use crate::sigv4::{
    Credentials, Payload, RequestHead, SigV4Verifier,
    canonical::write_path_for_tests,
    key::{Secret, derive},
    sink::Sink,
};
use serde_json::Value;
use std::{fs, path::Path};

/// 2015-08-30T12:36:00Z
const SUITE_TIME: i64 = 1_440_938_160;

struct Expected {
    canonical_request: String,
    string_to_sign: String,
    signature: String,
}

/// The setting of a case.
struct Setting {
    normalize: bool,
    region: String,
    service: String,
    secret: String,
    access_key: String,
    token: Option<String>,
    now: i64,
}

impl Default for Setting {
    fn default() -> Self {
        Self {
            normalize: true,
            region: "us-east-1".to_owned(),
            service: "service".to_owned(),
            secret: SECRET.to_owned(),
            access_key: "AKIDEXAMPLE".to_owned(),
            token: None,
            now: SUITE_TIME,
        }
    }
}

impl Setting {
    fn read(context: &Value) -> Self {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let credentials = &context["credentials"];
        let basic: String =
            text(&context["timestamp"]).chars().filter(|character| !"-:".contains(*character)).collect();
        Self {
            normalize: context["normalize"].as_bool().unwrap(),
            region: text(&context["region"]),
            service: text(&context["service"]),
            secret: text(&credentials["secret_access_key"]),
            access_key: text(&credentials["access_key_id"]),
            token: credentials["token"].as_str().map(str::to_owned),
            now: crate::sigv4::date::SignedTime::parse_basic(basic.as_bytes()).unwrap().unix_seconds,
        }
    }

    fn verifier(&self) -> SigV4Verifier {
        let verifier = SigV4Verifier::new(self.region.clone(), self.service.clone()).unwrap();
        verifier.normalize_path(self.normalize).allow_unsigned_query_token(true)
    }

    fn credentials(&self) -> Credentials {
        let builder = Credentials::builder(self.access_key.clone(), self.secret.clone(), ARN);
        let token = self.token.iter();
        token.fold(builder, |builder, token| builder.session_token(token.clone(), i64::MAX)).build().unwrap()
    }

    /// Judges one signed request; `false` where HTTP could not carry it and only its path was judged.
    fn judge(&self, name: &str, raw: &Raw, expected: &Expected) -> bool {
        let (Some(uri), Some(headers)) = (raw.uri(), raw.header_map()) else {
            self.judge_path(name, raw, expected);
            return false;
        };
        let verifier = self.verifier();
        let head = RequestHead { method: &raw.method, uri: &uri, headers: &headers };
        let texts = verifier.canonical_texts(&head, Payload::of(&raw.body)).unwrap();
        let omits_token = texts.canonical_request() != expected.canonical_request;
        if omits_token {
            // `post-sts-header-after`: the token was appended to the signed query.
            assert!(
                name.contains("after"),
                "{name}\n{}\n{}",
                texts.canonical_request(),
                expected.canonical_request
            );
        } else {
            assert_eq!(texts.string_to_sign(), expected.string_to_sign, "{name}");
        }
        assert_eq!(self.sign(&expected.string_to_sign), expected.signature, "{name}");
        let outcome = raw.verify(&verifier, self.now, &self.credentials()).unwrap();
        assert_eq!(outcome.unwrap().user_arn(), ARN, "{name}");
        self.judge_altered(name, raw);
        true
    }

    fn judge_path(&self, name: &str, raw: &Raw, expected: &Expected) {
        let path = raw.target.split(|byte| *byte == b'?').next().unwrap();
        let expected = expected.canonical_request.lines().nth(1).unwrap();
        assert_eq!(write_path_for_tests(path, self.normalize), expected, "{name}");
    }

    fn sign(&self, string_to_sign: &str) -> String {
        let date = &string_to_sign.lines().nth(1).unwrap()[..8];
        let scope = [date, &self.region, &self.service, "aws4_request"].join("/");
        let key = derive(&Secret::new(self.secret.clone()), scope.as_bytes());
        let signature = key.of::<1>(|text| text.put(string_to_sign.as_bytes()));
        signature.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Another method, another body, a longer path or query, another time: refused.
    fn judge_altered(&self, name: &str, raw: &Raw) {
        let with = |change: &dyn Fn(&mut Raw)| {
            let mut altered = raw.clone();
            change(&mut altered);
            altered.verify(&self.verifier(), self.now, &self.credentials())
        };
        assert!(with(&|raw| raw.method = http::Method::PATCH).unwrap().is_err(), "{name}");
        assert!(with(&|raw| raw.body.push(b'x')).unwrap().is_err(), "{name}");
        assert!(with(&|raw| raw.target.push(b'x')).unwrap().is_err(), "{name}");
        let late = raw.verify(&self.verifier(), self.now + 3901, &self.credentials()).unwrap();
        assert!(late.is_err(), "{name}");
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap().replace("\r\n", "\n").trim_end_matches('\n').to_owned()
}

/// The folders below that hold a case, by the file that makes them one.
fn cases(root: &Path, marker: impl Fn(&Path) -> bool) -> Vec<std::path::PathBuf> {
    let mut folders: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.sort();
    folders.into_iter().filter(|folder| folder.is_dir() && marker(folder)).collect()
}

fn judge_aws_c(folder: &Path, form: &str) -> bool {
    let name = format!("{} {form}", folder.display());
    let setting = Setting::read(&serde_json::from_str(&text(&folder.join("context.json"))).unwrap());
    let raw = Raw::parse(&fs::read(folder.join(format!("{form}-signed-request.txt"))).unwrap());
    let read = |what: &str| text(&folder.join(format!("{form}-{what}.txt")));
    let expected = Expected {
        canonical_request: read("canonical-request"),
        string_to_sign: read("string-to-sign"),
        signature: read("signature"),
    };
    setting.judge(&name, &raw, &expected)
}

#[test]
fn the_suite_of_aws_c_auth_and_what_smithy_added() {
    let mut judged = [0, 0];
    for suite in ["sigv4/aws-c-auth-v4", "sigv4/smithy-rs-extra"] {
        let Some(root) = vectors(suite) else { continue };
        for folder in cases(&root, |folder| folder.join("context.json").exists()) {
            for form in ["header", "query"] {
                if folder.join(format!("{form}-signed-request.txt")).exists() {
                    judged[usize::from(judge_aws_c(&folder, form))] += 1;
                }
            }
        }
    }
    println!("{} signed requests verified, {} judged by their path alone", judged[1], judged[0]);
    assert!(judged[1] >= 30 || vectors("sigv4").is_none(), "{judged:?}");
}

fn judge_aws4(folder: &Path) -> bool {
    let name = folder.file_name().unwrap().to_str().unwrap();
    let read = |ending: &str| text(&folder.join(format!("{name}.{ending}")));
    let raw = Raw::parse(&fs::read(folder.join(format!("{name}.sreq"))).unwrap());
    let expected = Expected {
        canonical_request: read("creq"),
        string_to_sign: read("sts"),
        signature: read("authz").rsplit("Signature=").next().unwrap().to_owned(),
    };
    let token = raw.header("x-amz-security-token");
    Setting { token, ..Setting::default() }.judge(name, &raw, &expected)
}

#[test]
fn the_older_published_suite() {
    let Some(root) = vectors("sigv4/aws4_testsuite") else { return };
    let has_request = |folder: &Path| {
        let name = folder.file_name().unwrap().to_str().unwrap();
        folder.join(format!("{name}.sreq")).exists()
    };
    let mut folders = cases(&root, has_request);
    folders.extend(cases(&root.join("normalize-path"), has_request));
    let judged = folders.iter().filter(|folder| judge_aws4(folder)).count();
    println!("{judged} of {} signed requests verified", folders.len());
    assert!(judged >= 12, "{judged}");
}
