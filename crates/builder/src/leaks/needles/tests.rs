//! Every form of a value, as the tools that make it write it.

use super::*;
use crate::leaks::stream::Stream;
use base64::prelude::BASE64_STANDARD;
use proptest::prelude::*;

const TOKEN: &str = "s3cr3t/+Token?with=odd&bytes";
const KEY: &str = "-----BEGIN OPENSSH PRIVATE KEY-----\n\
    b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAAzAAAAC3NzaC1lZDI1NTE5\n\
    AAAAIB7f0Qd9Zz6Qyq1bX0hB8mJj3o5nq3m9oQb0mF5G3sZxAAAAC3NzaC1lZDI1NTE5xQ==\n\
    -----END OPENSSH PRIVATE KEY-----\n";

/// Searches a text at once, and in pieces of every length that matters.
fn found(value: &str, text: &str) -> Vec<(u64, u64)> {
    assert!(!too_short(value));
    let needles = Needles::new([value]).unwrap();
    let at_once = needles.search(text.as_bytes(), 0..text.len(), 0);
    for length in [1, 7, 64, 4096] {
        let mut stream = Stream::new(&needles, 0);
        let pieces = text.as_bytes().chunks(length);
        let mut found: BTreeSet<_> = pieces.flat_map(|piece| stream.push(piece)).collect();
        found.extend(stream.finish());
        assert_eq!(found, at_once, "pieces of {length}");
    }
    at_once.into_iter().map(|one| (one.start, one.end)).collect()
}

fn wrapped(text: &str, width: usize, end: &str) -> String {
    let lines = text.as_bytes().chunks(width).map(|line| String::from_utf8_lossy(line).into_owned());
    lines.collect::<Vec<_>>().join(end)
}

#[test]
fn as_it_is_with_its_place() {
    assert_eq!(found(TOKEN, &format!("ab {TOKEN} {TOKEN}")), [(3, 31), (32, 60)]);
    assert_eq!(found(&format!("{TOKEN}\n"), &format!("x{TOKEN}")), [(1, 29)], "ends are trimmed");
    let half = TOKEN.split_at(14).0;
    assert_eq!(found(TOKEN, &format!("{half} and {half} or {}", TOKEN.to_uppercase())), []);
}

#[test]
fn base64_wherever_it_begins() {
    for before in ["", "a", "ab", "user:"] {
        let text = BASE64_STANDARD.encode(format!("{before}{TOKEN} and more"));
        assert_eq!(found(TOKEN, &format!("x: {text}")).len(), 1, "{before}");
        let url = text.replace('+', "-").replace('/', "_");
        assert_eq!(found(TOKEN, &url).len(), 1, "{before}");
    }
    assert_eq!(found(TOKEN, &BASE64_STANDARD.encode(TOKEN.replace("odd", "bad"))), []);
}

#[test]
fn keys_that_were_reformatted() {
    let indented = KEY.replace('\n', "\n        ");
    let windows = KEY.replace('\n', "\r\n");
    let json = serde_json::to_string(KEY).unwrap();
    let mime = wrapped(&BASE64_STANDARD.encode(KEY), 76, "\n");
    let yaml = wrapped(&BASE64_STANDARD.encode(format!("a{KEY}")), 64, "\n      ");
    for text in [KEY, &indented, &windows, &json, &mime, &yaml] {
        assert_eq!(found(KEY, &format!("key: |\n        {text}\n")).len(), 1, "{text}");
    }
    let other = KEY.replace("xQ==", "xR==");
    for text in [&other, &BASE64_STANDARD.encode(&other)] {
        assert_eq!(found(KEY, text), [], "its head alone is no key");
    }
}

#[test]
fn percent_encoded_as_programs_do() {
    let value = "pass word/ä:1";
    for text in [
        "pass%20word%2F%C3%A4%3A1",
        "pass%20word%2f%c3%a4%3a1",
        "pass+word%2F%C3%A4%3A1",
        "pass+word%2f%c3%a4%3a1",
        "pass word/ä:1",
    ] {
        assert_eq!(found(value, &format!("https://u:{text}@x")), [(10, 10 + text.len() as u64)], "{text}");
    }
    assert_eq!(lower_hex("A%2FB%"), "A%2fB%");
}

#[test]
fn quotes_and_backslashes_in_json() {
    let value = r#"a"b\c{"key": "longer value"}"#;
    assert_eq!(found(value, &serde_json::to_string(value).unwrap()).len(), 1);
}

#[test]
fn several_values_that_overlap() {
    let needles = Needles::new(["password-one", "password-one-and-two", "one-and-two-and-three"]).unwrap();
    let text = b"password-one-and-two-and-three";
    let values: Vec<_> = needles.search(text, 0..text.len(), 0).into_iter().map(|one| one.value).collect();
    assert_eq!(values, [0, 1, 2]);
}

#[test]
fn short_values() {
    assert!(too_short("1234567") && too_short("  12 34\n567 ") && too_short(""));
    assert!(!too_short("12345678"));
    assert_eq!(found("12345678", "0123456789"), [(1, 9)]);
}

#[test]
fn long_values_by_their_beginning() {
    let value: String = (0..4000).map(|number| format!("{number:04}")).collect();
    assert_eq!(found(&value, &format!("xx{value}")).len(), 1);
    assert_eq!(found(&value, &format!("xx{}", BASE64_STANDARD.encode(&value))).len(), 1);
    assert_eq!(found(&value, value.get(100..).unwrap()), []);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Any value is found in each of its forms, after anything.
    #[test]
    fn any_value(value in "[ -~]{8,200}", before in "[a-z]{0,90}", width in 60_usize..80) {
        prop_assume!(!too_short(&value) && value.split(['"', '\\']).any(|part| part.trim().len() > 2));
        let value = value.trim();
        let encoded = wrapped(&BASE64_STANDARD.encode(format!("{before}{value}")), width / 4 * 4, "\n");
        for text in [format!("{before}{value}"), serde_json::to_string(value).unwrap(), encoded] {
            prop_assert!(!found(value, &text).is_empty(), "{}", text);
        }
    }
}
