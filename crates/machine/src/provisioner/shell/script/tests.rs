//! Scripts, and the check as this host's shells do it.

use super::*;
use std::{path::Path, process::Command};

fn owned(elements: &[&str]) -> Vec<String> {
    elements.iter().map(|element| (*element).to_owned()).collect()
}

#[test]
fn marks_stand_where_the_check_allows_them() {
    let script = Script::put_together(&owned(&["a", "if b", "fi"]), &Checked::read("0\n1\n", 3));
    let lines: Vec<&str> = script.text.lines().collect();
    assert!(lines[0].ends_with("; a") && lines[0].contains("echo 0 >"), "{lines:?}");
    assert!(lines[1].ends_with("; if b") && lines[2] == "fi", "{lines:?}");
    assert!(script.marked);
}

#[test]
fn what_is_no_command_gets_its_mark_on_a_line_before() {
    let script = Script::put_together(&owned(&["a", "fi"]), &Checked::read("0\n1\nincomplete\n", 2));
    let lines: Vec<&str> = script.text.lines().collect();
    assert!(lines[1].contains("echo 1 >") && lines[2] == "fi", "{lines:?}");
}

#[test]
fn without_a_check_the_script_is_as_it_was_written() {
    let script = Script::put_together(&owned(&["a", "b"]), &Checked::default());
    assert_eq!(script, Script { text: "a\nb\n".to_owned(), marked: false });
}

/// `*` stands for `all`, `!` for `incomplete`.
const CASES: [(&[&str], &str); 17] = [
    (&["a", "b # c", "# x", "", "cat <<E\nx\nE", "[ -f x ] && y", "z &", "(a); { b; }", "exit 1;"], "*"),
    (&["if a; then b; fi", "for x in 1 2; do c; done", "f() { d; }", "case x in x) e ;; esac"], "*"),
    (&["cat <<E", "x", "E", "b"], "0 3"),
    (&["cat <<'E'", "E", "b"], "0 2"),
    (&["if a", "then b", "fi", "c"], "0 3"),
    (&["if a; then", "b", "else", "c", "fi", "d"], "0 5"),
    (&["f() { a", "}", "b"], "0 2"),
    (&["{ a", "}; {", "b; }", "c"], "0 3"),
    (&["a \\", "b", "c"], "0 2"),
    (&["a", "echo 'b", "c'", "d"], "0 1 3"),
    (&["echo \"a", "b\"", "c"], "0 2"),
    (&["a &&", "b |", "c", "d"], "0 3"),
    (&["case x in", "x) a;;", "esac", "b"], "0 3"),
    (&["( a", "b )", "c"], "0 2"),
    (&["a", "if then", "b"], "0 1 !"),
    (&["a", ")", "c"], "0 1 !"),
    (&["a", "cat <<E", "x"], "0 1 !"),
];

#[test]
fn shells_tell_where_commands_end() {
    let shells = ["/bin/sh", "/bin/dash", "/bin/bash"].into_iter().filter(|shell| Path::new(shell).exists());
    for shell in shells {
        for (elements, expected) in CASES {
            let elements = owned(elements);
            let mut check = Command::new(shell);
            let output =
                check.args(["-c", CHECK, shell, &wrapped(&elements)]).args(&elements).output().unwrap();
            let printed = String::from_utf8(output.stdout).unwrap();
            let words: Vec<&str> = printed.split_whitespace().collect();
            let said = words.join(" ").replace("all", "*").replace("incomplete", "!");
            assert_eq!(said, expected, "{shell}: {elements:?}");
        }
    }
}
