//! The `Forwarded` field (RFC 7239), read from the right.
//!
//! A client may have written the left part of a line to which a proxy appended, and what it wrote need not be
//! well-formed: one open quote would turn everything behind it over for whoever reads from the left. From the right,
//! what the proxies wrote is read first, and nothing on its left changes it.

/// Pieces of a text between the separators that stand outside of its quoted-strings, the last one first. Where quotes do
/// not balance, a last item is `None`: what is left of there cannot be told apart.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    rest: Option<&'a [u8]>,
    separator: u8,
}

impl<'a> Pieces<'a> {
    /// The elements of a field line, one per proxy.
    pub(super) fn elements(line: &'a [u8]) -> Self {
        Self { rest: Some(line), separator: b',' }
    }

    fn pairs(element: &'a [u8]) -> Self {
        Self { rest: Some(element), separator: b';' }
    }

    /// Where the last separator outside of quotes stands, if there is one.
    fn last_separator(&self, text: &[u8]) -> Result<Option<usize>, Unbalanced> {
        let mut end = text.len();
        loop {
            let found = text[..end].iter().rposition(|byte| *byte == self.separator || *byte == b'"');
            match found {
                Some(at) if text[at] == b'"' => end = opening_quote(text, at)?,
                found => return Ok(found),
            }
        }
    }
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Self::Item> {
        let text = self.rest.take()?;
        Some(match self.last_separator(text) {
            Ok(Some(at)) => {
                self.rest = Some(&text[..at]);
                Some(&text[at + 1..])
            }
            Ok(None) => Some(text),
            Err(Unbalanced) => None,
        })
    }
}

/// A quote without its other half.
struct Unbalanced;

/// Where the quoted-string that ends at `closing` begins: behind an equals sign, at the first quote to the left that no
/// backslash escapes.
fn opening_quote(text: &[u8], closing: usize) -> Result<usize, Unbalanced> {
    if is_escaped(text, closing) {
        return Err(Unbalanced);
    }
    let quotes = (0..closing).rev().filter(|at| text[*at] == b'"');
    let opening = quotes.into_iter().find(|at| !is_escaped(text, *at)).ok_or(Unbalanced)?;
    if text[..opening].ends_with(b"=") { Ok(opening) } else { Err(Unbalanced) }
}

fn is_escaped(text: &[u8], at: usize) -> bool {
    text[..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}

/// The one `for=` of an element, without its quotes. A backslash stands in no address: what is escaped stays as it is.
pub(super) fn forwarded_for(element: &[u8]) -> Option<&str> {
    let mut found = None;
    for pair in Pieces::pairs(element) {
        let pair = pair?;
        let Some(at) = pair.iter().position(|byte| *byte == b'=') else { continue };
        // Other parameters may have bytes of a client's that are no text: `host` has.
        let is_for = pair[..at].trim_ascii().eq_ignore_ascii_case(b"for");
        if is_for && found.replace(&pair[at + 1..]).is_some() {
            return None;
        }
    }
    let value = std::str::from_utf8(found?).ok()?.trim_matches([' ', '\t']);
    value.strip_prefix('"').map_or(Some(value), |rest| rest.strip_suffix('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elements(line: &str) -> Vec<Option<&str>> {
        let text =
            |piece: &[u8]| -> &str { std::str::from_utf8(&line.as_bytes()[offset(line, piece)]).unwrap() };
        Pieces::elements(line.as_bytes()).map(|piece| piece.map(text)).collect()
    }

    fn offset(line: &str, piece: &[u8]) -> std::ops::Range<usize> {
        let start = piece.as_ptr() as usize - line.as_ptr() as usize;
        start..start + piece.len()
    }

    #[test]
    fn separators_inside_quotes_do_not_separate() {
        assert_eq!(elements("for=a, for=b"), [Some(" for=b"), Some("for=a")]);
        assert_eq!(elements(r#"for=a;host="x,y;z""#), [Some(r#"for=a;host="x,y;z""#)]);
        assert_eq!(elements(r#"for=a,host="x\",y\\";by=z"#), [Some(r#"host="x\",y\\";by=z"#), Some("for=a")]);
        assert_eq!(elements(""), [Some("")]);
    }

    #[test]
    fn what_is_left_of_an_odd_quote_is_not_read() {
        assert_eq!(elements(r#"for=a;host="x, for=b"#), [Some(" for=b"), None]);
        assert_eq!(elements(r#"for=a, host="x\""#), [None]);
        assert_eq!(elements(r#"for=a, host=x""#), [None]);
        assert_eq!(elements(r#"for=a, "x""#), [None]);
        assert_eq!(elements(r#"""#), [None]);
    }

    /// A client's `Host` may have any byte from 0x80 on, and a proxy quotes it.
    #[test]
    fn other_parameters_need_not_be_text() {
        assert_eq!(forwarded_for(b"for=203.0.113.9;host=\"\xff\""), Some("203.0.113.9"));
        assert_eq!(forwarded_for(b"for=\xff"), None);
    }

    #[test]
    fn an_element_names_one_address() {
        let named = |element: &'static str| forwarded_for(element.as_bytes());
        assert_eq!(named(r#"by="[::1]"; For="[2001:db8::1]:4711" ;proto=http"#), Some("[2001:db8::1]:4711"));
        assert_eq!(named(r#"for=1.1.1.1;host="a;for=2.2.2.2""#), Some("1.1.1.1"));
        assert_eq!(named(r#"host="a;for=2.2.2.2""#), None);
        assert_eq!(named("for=1.1.1.1;for=1.1.1.1"), None);
        assert_eq!(named(r#"for="1.1.1.1"#), None);
        assert_eq!(named(r#"for=1.1.1.1;host="a"#), None);
    }
}
