//! The reference and the reader know the same keys.

use std::{collections::BTreeSet, path::Path};
use toml::{Table, Value};

const REFERENCE: &str = include_str!("../../REFERENCE.md");

/// Tables whose keys are the template's own, by the key that holds them.
const FREE: [&str; 7] =
    ["variables", "locals", "environment", "extra_vars", "http_content", "filters", "tags"];

/// Collects the keys of a table and of those below it.
fn keys(table: &Table, found: &mut BTreeSet<String>) {
    for (key, value) in table {
        found.insert(key.clone());
        match value {
            // A variable's declaration has keys of the reader's, under a name of its own.
            Value::Table(variables) if key == "variables" => {
                variables.values().filter_map(Value::as_table).for_each(|declared| keys(declared, found));
            }
            // Its axes are the template's own; what it knows beside them is read by name.
            Value::Table(matrix) if key == "matrix" => {
                found.extend(matrix.keys().filter(|key| *key == "exclude").cloned());
            }
            Value::Table(below) if !FREE.contains(&key.as_str()) => keys(below, found),
            Value::Array(items) => {
                items.iter().filter_map(Value::as_table).for_each(|item| keys(item, found));
            }
            _ => {}
        }
    }
}

/// Every key that a right template of the fixtures has.
fn read() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs_err::read_dir(Path::new("../../fixtures/template/ok")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            keys(&fs_err::read_to_string(path).unwrap().parse().unwrap(), &mut found);
        }
    }
    found
}

/// Every key of the reference: the words in the first column of a table that is headed `key`, and those of headings.
fn documented() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut of_keys = false;
    for line in REFERENCE.lines() {
        of_keys = line.starts_with("| key |") || (of_keys && line.starts_with('|'));
        let place = match line.strip_prefix("| ").and_then(|row| row.split_once(" | ")) {
            Some((first, _)) if of_keys => first,
            _ if line.contains("`[") => line,
            _ => continue,
        };
        let words = place.split('`').skip(1).step_by(2);
        let words = words.filter(|word| of_keys || word.starts_with('['));
        found.extend(words.flat_map(|word| word.trim_matches(['[', ']']).split('.')).map(str::to_owned));
    }
    found
}

#[test]
fn every_key_is_in_the_reference_and_in_a_fixture() {
    let (read, documented) = (read(), documented());
    let missing: Vec<_> = read.difference(&documented).collect();
    assert!(missing.is_empty(), "not in REFERENCE.md: {missing:?}");
    let untried: Vec<_> = documented.difference(&read).collect();
    assert!(untried.is_empty(), "in no template of fixtures/template/ok: {untried:?}");
}

#[test]
fn every_word_of_sysprep_is_in_the_reference() {
    let text = fs_err::read_to_string("../../fixtures/template/err/sysprep-values.stderr").unwrap();
    let words = text.lines().find_map(|line| line.split_once("values of `keep`: ")).unwrap().1;
    for word in words.split('`').skip(1).step_by(2) {
        assert!(REFERENCE.contains(&format!("| `{word}` |")), "{word}");
    }
}
