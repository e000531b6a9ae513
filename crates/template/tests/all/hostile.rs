//! Whatever the text: an answer, and never a panic.

use crate::{inputs, load_text};
use proptest::prelude::*;
use std::{fmt::Write as _, path::Path};

const WHOLE: &str = include_str!("../../../../fixtures/template/ok/everything.toml");

/// Templates that between them have every key.
const ALL: [&str; 3] = [
    WHOLE,
    include_str!("../../../../fixtures/template/ok/everything-ssh.toml"),
    include_str!("../../../../fixtures/template/ok/everything-iso.toml"),
];

/// What a mistake is never without.
fn answers(text: &str) {
    let mut inputs = inputs(Path::new("../../fixtures/template/ok"));
    inputs.vars.push(("release".to_owned(), "x".to_owned()));
    inputs.vars.push(("password".to_owned(), "y".to_owned()));
    if let Err(report) = load_text(text, &inputs) {
        assert!(report.len() > 0);
        for colour in [false, true] {
            assert!(report.render(colour).contains("error"));
        }
    }
}

/// The nearest place not before `at` where the text can be cut.
fn boundary(text: &str, at: usize) -> usize {
    (at.min(text.len())..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text(text in "\\PC*") {
        answers(&text);
    }

    #[test]
    fn any_text_of_tomls_letters(text in "([a-z]{1,3}|[\\[\\]{}=\"'#.,\\n\\r\\t \\\\$:-]|\\$\\{var\\.|[0-9]|ü){0,80}") {
        answers(&text);
    }

    #[test]
    fn a_template_with_a_piece_replaced(which in 0..ALL.len(), at in 0..WHOLE.len(), len in 0..40usize, piece in "[\\[\\]{}=\"'\\n$a-z0-9.]{0,6}") {
        let whole = ALL[which];
        let start = boundary(whole, at);
        let end = boundary(whole, start + len);
        answers(&format!("{}{piece}{}", &whole[..start], &whole[end..]));
    }

    #[test]
    fn a_template_with_any_value_anywhere(which in 0..ALL.len(), line in 0..120usize, value in "(-?[0-9]{1,20}|true|1\\.5|\\[\\]|\\[1\\]|\\{\\}|\"\"|\"\\$\\{\"|\"\\$\\{var\\.x\\}\"|\"\\\\u0000\"|\"\\\\n\"|1979-05-27|\"[a-z/.:-]{0,8}\")") {
        let lines = ALL[which].lines().enumerate().map(|(number, text)| match text.split_once(" = ") {
            Some((key, _)) if number == line => format!("{key} = {value}"),
            _ => text.to_owned(),
        });
        answers(&lines.collect::<Vec<_>>().join("\n"));
    }
}

#[test]
fn a_chain_of_locals_ends() {
    let mut text = WHOLE.replace("[locals]", "[locals]\nl0 = \"end\"");
    for number in (1..5_000).rev() {
        text = text.replacen("l0 =", &format!("l{number} = \"${{local.l{}}}\"\nl0 =", number - 1), 1);
    }
    let report = load_text(&text, &inputs(Path::new("."))).unwrap_err();
    assert!(report.render(false).contains("too deeply"));
}

#[test]
fn locals_that_double_do_not_fill_the_memory() {
    let mut locals = "[locals]\nl0 = \"0123456789\"\n".to_owned();
    for number in 1..60 {
        writeln!(locals, "l{number} = \"${{local.l{0}}}${{local.l{0}}}\"", number - 1).unwrap();
    }
    let report = load_text(&WHOLE.replace("[locals]", &locals), &inputs(Path::new("."))).unwrap_err();
    assert!(report.render(false).contains("too long"), "{}", report.render(false));
}

#[test]
fn deep_nesting_ends() {
    answers(&format!("a = {}1{}", "[".repeat(5_000), "]".repeat(5_000)));
    answers(&format!("{}.a = 1", vec!["a"; 5_000].join(".")));
}
