//! What is kept of a whole plan, deleted: it lies under as many keys as callers, which only the server can list.

use super::{connection::Redis, error::RedisError, reply};
use bytes::Bytes;
use std::time::Duration;

/// What is kept of a caller on a plan.
pub(super) const KINDS: [&str; 4] = ["counter", "days", "bucket", "methods"];

/// Keys that are looked at in one step: the server does nothing else meanwhile.
const PAGE: usize = 1_000;
/// Nobody's request waits for these calls.
const PATIENCE: Duration = Duration::from_secs(1);

impl Redis {
    /// Deletes what is kept of all callers on a plan, page by page. What is made meanwhile may stay.
    pub(super) async fn forget_plan(&self, plan: &str) -> Result<(), RedisError> {
        let starts = KINDS.map(|kind| self.names().name(kind, &[plan, ""]));
        let pattern = format!("{}*:{}:*", escaped(&self.key_prefix()), escaped(&self.plan_part(plan)));
        let mut cursor = Bytes::from_static(b"0");
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(&*cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(PAGE);
            let (next, keys) = reply::page(self.call(&scan, PATIENCE).await?)?;
            let of_plan = |key: &Bytes| starts.iter().any(|start| key.starts_with(start.as_bytes()));
            let mut unlink = ::redis::cmd("UNLINK");
            let mut found = reply::all_bytes(Some(keys))?.into_iter().filter(of_plan).peekable();
            if found.peek().is_some() {
                for key in found {
                    unlink.arg(&*key);
                }
                self.call(&unlink, PATIENCE).await?;
            }
            if *next == *b"0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    /// A plan's id as it stands in names.
    fn plan_part(&self, plan: &str) -> String {
        let (start, name) = (self.names().name("", &[]), self.names().name("", &[plan]));
        name[start.len() + 1..].to_owned()
    }
}

/// A pattern that only the text itself matches.
fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, letter| {
        if matches!(letter, '*' | '?' | '[' | ']' | '^' | '\\') {
            out.push('\\');
        }
        out.push(letter);
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_letter_of_an_id_is_a_pattern() {
        assert_eq!(escaped(r"{p}:a*b?[c]\d"), r"{p}:a\*b\?\[c\]\\d");
        let redis = Redis::new("redis://127.0.0.1").unwrap();
        assert_eq!(redis.plan_part("a:b%"), "a%3Ab%25");
    }
}
