//! The browser's side of the protocol, written from the Fetch standard and independent of the layer.

pub(super) type Fields = [(String, String)];

#[derive(Clone, Debug)]
pub(super) struct Browser {
    pub(super) origin: String,
    /// Credentials mode `include`.
    pub(super) credentials: bool,
}

impl Browser {
    /// "CORS check": may the page read this answer?
    pub(super) fn lets_script_read(&self, answer: &Fields) -> bool {
        match get(answer, "access-control-allow-origin").as_deref() {
            Some("*") if !self.credentials => true,
            Some(allowed) if allowed == self.origin => {
                !self.credentials
                    || get(answer, "access-control-allow-credentials").as_deref() == Some("true")
            }
            _ => false,
        }
    }

    /// "CORS-preflight fetch", from the answer on: is the request sent?
    pub(super) fn goes_on(&self, status: u16, answer: &Fields, method: &str, unsafe_names: &[&str]) -> bool {
        let lists =
            (list(answer, "access-control-allow-methods"), list(answer, "access-control-allow-headers"));
        let (Some(methods), Some(names)) = lists else { return false };
        self.lets_script_read(answer)
            && (200..300).contains(&status)
            && self.allows_method(&methods, method)
            && unsafe_names.iter().all(|name| self.allows_name(&names, name))
    }

    fn allows_method(&self, methods: &[String], method: &str) -> bool {
        methods.iter().any(|allowed| allowed == method)
            || ["GET", "HEAD", "POST"].contains(&method)
            || self.takes_star(methods)
    }

    fn allows_name(&self, names: &[String], name: &str) -> bool {
        names.iter().any(|allowed| allowed.eq_ignore_ascii_case(name))
            || (!name.eq_ignore_ascii_case("authorization") && self.takes_star(names))
    }

    fn takes_star(&self, items: &[String]) -> bool {
        !self.credentials && items.iter().any(|item| item == "*")
    }

    /// "CORS filtered response": the value that the page sees.
    pub(super) fn script_sees(&self, answer: &Fields, name: &str) -> Option<String> {
        const SAFE: [&str; 7] = [
            "cache-control",
            "content-language",
            "content-length",
            "content-type",
            "expires",
            "last-modified",
            "pragma",
        ];
        let exposed = list(answer, "access-control-expose-headers").unwrap_or_default();
        let listed = exposed.iter().any(|item| item.eq_ignore_ascii_case(name)) || self.takes_star(&exposed);
        let forbidden = ["set-cookie", "set-cookie2"].contains(&&*name.to_ascii_lowercase());
        let visible = !forbidden && (listed || SAFE.contains(&&*name.to_ascii_lowercase()));
        if visible { get(answer, name) } else { None }
    }
}

/// "CORS-safelisted request-header", negated.
pub(super) fn needs_preflight(name: &str, value: &str) -> bool {
    let value = trim(value);
    let safe = value.len() <= 128
        && match &*name.to_ascii_lowercase() {
            "accept" => !value.bytes().any(is_unsafe),
            "accept-language" | "content-language" => value.bytes().all(is_language_byte),
            "content-type" => !value.bytes().any(is_unsafe) && is_simple_type(value),
            "range" => is_simple_range(value),
            _ => false,
        };
    !safe
}

fn is_unsafe(byte: u8) -> bool {
    (byte < 0x20 && byte != b'\t') || b"\"():<>?@[\\]{}\x7f".contains(&byte)
}

fn is_language_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" *,-.;=".contains(&byte)
}

fn is_simple_type(value: &str) -> bool {
    let essence = value.split(';').next().unwrap_or_default().trim_end_matches([' ', '\t', '\r', '\n']);
    ["application/x-www-form-urlencoded", "multipart/form-data", "text/plain"]
        .iter()
        .any(|simple| simple.eq_ignore_ascii_case(essence))
}

/// "Parse a single range header value", without whitespace, with a start.
fn is_simple_range(value: &str) -> bool {
    let Some((start, end)) = value.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return false;
    };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok());
    match (number(start), number(end)) {
        (Some(Some(start)), Some(Some(end))) => start <= end,
        (Some(Some(_)), Some(None)) => end.is_empty(),
        _ => false,
    }
}

/// "Get": values joined by `, `, as a browser has them after trimming.
fn get(answer: &Fields, name: &str) -> Option<String> {
    let values: Vec<_> = answer
        .iter()
        .filter(|(field, _)| field.eq_ignore_ascii_case(name))
        .map(|(_, value)| trim(value))
        .collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// "Extract header list values"; `None` is a failure, an absent field an empty list.
fn list(answer: &Fields, name: &str) -> Option<Vec<String>> {
    let text = get(answer, name).unwrap_or_default();
    let items = text.split(',').map(trim).filter(|item| !item.is_empty());
    items.map(|item| is_token(item).then(|| item.to_owned())).collect()
}

fn is_token(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn trim(value: &str) -> &str {
    value.trim_matches([' ', '\t', '\r', '\n'])
}
