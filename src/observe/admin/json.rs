//! JSON as it is written here: objects and lists that set their own commas.

use super::super::access_log::Escaping;
use std::fmt::{Display, Write};

/// An object that is being written.
pub(super) struct Object<'a> {
    out: &'a mut String,
    is_empty: bool,
}

/// Writes an object.
pub(super) fn push_object(out: &mut String, fill: impl FnOnce(&mut Object<'_>)) {
    out.push('{');
    fill(&mut Object { out, is_empty: true });
    out.push('}');
}

/// An object as a text.
pub(super) fn object(fill: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    push_object(&mut out, fill);
    out
}

/// Writes a list; `push` writes one of its items.
pub(super) fn push_list<T>(
    out: &mut String,
    items: impl IntoIterator<Item = T>,
    mut push: impl FnMut(&mut String, T),
) {
    out.push('[');
    for (index, item) in items.into_iter().enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        push(out, item);
    }
    out.push(']');
}

pub(super) fn push_string(out: &mut String, text: &str) {
    out.push('"');
    Escaping::Json.push(text, out);
    out.push('"');
}

impl Object<'_> {
    fn key(&mut self, name: &str) -> &mut String {
        self.out.push_str(if self.is_empty { "" } else { "," });
        self.is_empty = false;
        push_string(self.out, name);
        self.out.push(':');
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        push_string(self.key(name), text);
        self
    }

    /// Left out where it is absent.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    /// What prints as JSON: a number or a boolean.
    pub(super) fn value(&mut self, name: &str, value: impl Display) -> &mut Self {
        let _writing_to_a_string_cannot_fail = write!(self.key(name), "{value}");
        self
    }

    /// Numbers that JSON does not have are left out.
    pub(super) fn fraction(&mut self, name: &str, number: f64) -> &mut Self {
        if number.is_finite() {
            let _writing_to_a_string_cannot_fail = write!(self.key(name), "{number:.3}");
        }
        self
    }

    pub(super) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) -> &mut Self {
        push_object(self.key(name), fill);
        self
    }

    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        push: impl FnMut(&mut String, T),
    ) -> &mut Self {
        push_list(self.key(name), items, push);
        self
    }

    pub(super) fn texts<'t>(&mut self, name: &str, texts: impl IntoIterator<Item = &'t str>) -> &mut Self {
        self.list(name, texts, push_string)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stand_between_and_texts_are_escaped() {
        let text = object(|o| {
            o.text("a\"", "b\n").value("n", 7).fraction("none", f64::NAN).optional("o", None);
            o.object("empty", |_| ()).texts("list", ["x", "\u{1}"]);
        });
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let wanted = serde_json::json!({ "a\"": "b\n", "n": 7, "empty": {}, "list": ["x", "\u{1}"] });
        assert_eq!(read, wanted);
    }
}
