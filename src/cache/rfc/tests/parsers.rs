//! Parsers against naive oracles: no text makes them panic, what is written is read again.

use super::*;
use crate::cache::rfc::{
    ByteRange, ResponseControl, byte_range, date::format_http_date, lexer::Directives, parse_http_date,
    parse_targeted, vary,
};
use proptest::prelude::*;

#[test]
fn a_date_is_read_in_three_formats_and_in_no_other() {
    for text in
        ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]
    {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(NOW), "{text}");
    }
    for text in ["SUN, 06 nov 1994 08:49:37 gmt", "Mon, 06 Nov 1994 08:49:37 GMT"] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), Some(NOW), "{text}");
    }
    for text in [
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 94 08:49:37 GMT",
        "Sun 06 Nov 1994 08:49:37 GMT",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 06 Nov 1994  08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Xyz, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov +994 08:49:37 GMT",
    ] {
        assert_eq!(parse_http_date(text.as_bytes(), NOW), None, "{text}");
    }
}

#[test]
fn two_digits_of_a_year_are_at_most_fifty_years_ahead() {
    let year = |digits: &str, now: i64| {
        let text = format!("Thursday, 18-Aug-{digits} 02:01:18 GMT");
        String::from_utf8(format_http_date(parse_http_date(text.as_bytes(), now).unwrap())[12..16].to_vec())
            .unwrap()
    };
    assert_eq!([year("44", NOW), year("45", NOW)], ["1944", "1945"]);
    let in_2026 = 1_795_000_000;
    assert_eq!([year("50", in_2026), year("76", in_2026), year("77", in_2026)], ["2050", "2076", "1977"]);
}

/// What jiff writes.
fn oracle_date(seconds: i64, format: &str) -> String {
    jiff::Timestamp::from_second(seconds).unwrap().strftime(format).to_string()
}

/// One directive as it may be written, and what it says.
fn directive() -> impl Strategy<Value = (String, String, Option<String>)> {
    let name = "[a-zA-Z][a-zA-Z0-9!#$%&'*+.^_`|~-]{0,8}";
    let token = "[a-zA-Z0-9!#$%&'*+.^_`|~-]{1,8}".prop_map(|token| (token.clone(), token));
    let quoted = "[ -~]{0,12}".prop_map(|text| {
        let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
        (format!("\"{escaped}\""), escaped)
    });
    let value = prop::option::of(prop_oneof![token, quoted]);
    (name, value).prop_map(|(name, value)| match value {
        None => (name.clone(), name, None),
        Some((written, said)) => (format!("{name}={written}"), name, Some(said)),
    })
}

proptest! {
    #[test]
    fn nothing_makes_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..64), length in any::<usize>()) {
        parse_http_date(&bytes, NOW);
        parse_targeted(&bytes);
        byte_range(&bytes, length);
        let directives = Directives::new(&bytes).count();
        prop_assert!(directives <= bytes.len());
        if let Ok(value) = HeaderValue::from_bytes(&bytes) {
            let mut map = HeaderMap::new();
            for name in ["cache-control", "pragma", "vary", "accept", "if-none-match", "if-modified-since", "connection", "age"] {
                map.append(name, value.clone());
            }
            RequestControl::of(&map);
            vary::names(&map);
            crate::cache::rfc::condition::is_not_modified(&map, &map, NOW);
            let _ = storage::plan(&Rfc9111::new(), storage::Asked::of(&map, false), response(&map));
        }
    }

    #[test]
    fn what_is_written_as_directives_is_read_as_them(
        list in prop::collection::vec((directive(), "[ \t]{0,2}(,[ \t]{0,2}){1,2}"), 0..6),
    ) {
        let line: String = list.iter().map(|((written, ..), gap)| format!("{written}{gap}")).collect();
        let read: Vec<_> = Directives::new(line.as_bytes()).collect();
        prop_assert_eq!(read.len(), list.len(), "{}", line);
        for (read, ((_, name, value), _)) in read.iter().zip(&list) {
            prop_assert_eq!(read.name, name.as_bytes());
            match value {
                None => prop_assert_eq!(read.value, crate::cache::rfc::lexer::Value::None),
                Some(said) => prop_assert_eq!(read.value, crate::cache::rfc::lexer::Value::Text(said.as_bytes())),
            }
        }
    }

    /// Splitting at every comma is right where there are no quotes.
    #[test]
    fn without_quotes_it_is_a_list_split_at_commas(line in "[a-z=, 0-9]{0,40}") {
        let says = |name: &str| {
            let mut items = line.split(',').map(|item| item.trim_matches([' ', '\t']));
            items.any(|item| item.split(['=', ' ']).next() == Some(name))
        };
        let control = ResponseControl::of(&headers(&[("cache-control", &line)]));
        prop_assert_eq!(control.no_store, says("no-store"));
        prop_assert_eq!(control.max_age.is_some(), says("max-age"));
    }

    #[test]
    fn every_date_of_four_digit_years_is_read_as_written(seconds in -62_167_219_200_i64..253_402_300_800) {
        let written = format_http_date(seconds);
        prop_assert_eq!(std::str::from_utf8(&written).unwrap(), oracle_date(seconds, "%a, %d %b %Y %H:%M:%S GMT"));
        prop_assert_eq!(parse_http_date(&written, NOW), Some(seconds));
        let asctime = oracle_date(seconds, "%a %b %e %H:%M:%S %Y");
        prop_assert_eq!(parse_http_date(asctime.as_bytes(), NOW), Some(seconds));
    }

    #[test]
    fn obsolete_dates_near_now_are_read_as_written(seconds in -1_500_000_000_i64..1_500_000_000) {
        let now = 1_795_000_000;
        let written = oracle_date(now + seconds, "%A, %d-%b-%y %H:%M:%S GMT");
        prop_assert_eq!(parse_http_date(written.as_bytes(), now), Some(now + seconds));
    }

    /// One changed character never makes another date of it unless digits or letters of names changed.
    #[test]
    fn a_date_with_a_broken_separator_is_none(at in 0..29_usize, byte in any::<u8>()) {
        let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
        let separator = !text[at].is_ascii_alphanumeric();
        let changed = text[at] != byte;
        text[at] = byte;
        if separator && changed {
            prop_assert_eq!(parse_http_date(&text, NOW), None);
        }
    }

    /// The bytes of a range are those a naive reader would pick one by one.
    #[test]
    fn a_range_holds_the_bytes_it_names(length in 0..40_usize, first in prop::option::of(0..50_usize), last in prop::option::of(0..50_usize)) {
        let text = |number: Option<usize>| number.map_or_else(String::new, |number| number.to_string());
        let got = byte_range(format!("bytes={}-{}", text(first), text(last)).as_bytes(), length);
        let named = |at: usize| match (first, last) {
            (Some(first), Some(last)) => (first..=last).contains(&at),
            (Some(first), None) => at >= first,
            (None, Some(count)) => at + count >= length,
            (None, None) => false,
        };
        let valid = match (first, last) { (Some(first), Some(last)) => first <= last, (None, None) => false, _ => true };
        let wanted: Vec<usize> = (0..length).filter(|at| named(*at)).collect();
        match got {
            ByteRange::Whole => prop_assert!(!valid),
            ByteRange::Unsatisfiable => prop_assert!(valid && wanted.is_empty()),
            ByteRange::Part(range) => prop_assert_eq!(range.collect::<Vec<_>>(), wanted),
        }
    }

    /// A field that a naive writer of structured fields produces is read; the last of a repeated key counts.
    #[test]
    fn a_written_dictionary_is_read(ages in prop::collection::vec((0..2_000_000_000_u32, "[a-z*][a-z0-9_.*-]{0,6}"), 1..5)) {
        let line: Vec<String> = ages.iter().map(|(age, key)| format!("{key}=tok;p=1, max-age={age}")).collect();
        let control = parse_targeted(line.join(" ,\t").as_bytes());
        let known = ["max-age", "s-maxage"];
        prop_assume!(!ages.iter().any(|(_, key)| known.contains(&key.as_str())));
        prop_assert_eq!(control.unwrap().max_age, ages.last().map(|(age, _)| *age));
    }

    #[test]
    fn vary_lists_what_a_naive_reader_finds(members in prop::collection::vec("[A-Za-z-]{1,6}|\\*", 0..5), lines in 1..3_usize) {
        let chunks = members.chunks(members.len().div_ceil(lines).max(1)).map(|chunk| chunk.join(" , "));
        let fields: Vec<String> = chunks.collect();
        let map = headers(&fields.iter().map(|field| ("vary", field.as_str())).collect::<Vec<_>>());
        let mut wanted: Vec<String> = members.iter().map(|member| member.to_ascii_lowercase()).collect();
        wanted.sort();
        wanted.dedup();
        let got = vary::names(&map).map(|names| names.map_or_else(Vec::new, |names| names.iter().map(ToString::to_string).collect()));
        prop_assert_eq!(got, (!members.iter().any(|member| member == "*")).then_some(wanted));
    }
}
