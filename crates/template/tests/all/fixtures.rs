//! Every file of `fixtures/template`: `ok/*.toml` beside what it means, `err/*.toml` beside what is said about it.
//!
//! A fixture's first lines may say what it is read with:
//! ```text
//! #: --var name=value
//! #: --var-file ../values/file.toml
//! #: env NAME=value
//! ```
//! `KILN_BLESS=1 cargo test -p kiln-template` writes what came out as what is expected.

use crate::inputs;
use kiln_template::{Inputs, Report, Template, VarFile, load};
use std::path::{Path, PathBuf};

const ROOT: &str = "../../fixtures/template";

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').expect("a fixture's option is name=value");
    (name.to_owned(), value.to_owned())
}

fn options(folder: &Path, text: &str) -> Inputs {
    let mut inputs = inputs(folder);
    for option in text.lines().map_while(|line| line.strip_prefix("#: ")) {
        match option.split_once(' ').expect("a fixture's option is a word and a value") {
            ("--var", value) => inputs.vars.push(pair(value)),
            ("env", value) => inputs.env.extend([pair(value)]),
            ("--var-file", name) => inputs.var_files.push(VarFile {
                path: PathBuf::from(name.rsplit('/').next().unwrap()),
                text: fs_err::read_to_string(folder.join(name)).unwrap(),
            }),
            (other, _) => panic!("unknown option {other}"),
        }
    }
    inputs
}

/// Loads a fixture under its bare file name.
fn read(path: &Path) -> Result<Vec<Template>, Report> {
    let text = fs_err::read_to_string(path).unwrap();
    let name = Path::new(path.file_name().unwrap());
    load(name, &text, &options(path.parent().unwrap(), &text))
}

fn fixtures(kind: &str, at_least: usize) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(Path::new(ROOT).join(kind)).unwrap();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    assert!(paths.len() >= at_least, "only {} fixtures in {kind}", paths.len());
    paths
}

/// Compares with the file beside the fixture, or writes it.
fn compare(path: &Path, extension: &str, found: &str, failures: &mut Vec<String>) {
    #[expect(clippy::disallowed_methods, reason = "a switch for whoever runs the tests")]
    let bless = std::env::var_os("KILN_BLESS").is_some();
    let beside = path.with_extension(extension);
    if bless {
        fs_err::write(&beside, found).unwrap();
        return;
    }
    let expected = fs_err::read_to_string(&beside).unwrap_or_default();
    if expected != found {
        failures.push(format!("=== {}\n--- expected\n{expected}\n--- found\n{found}", path.display()));
    }
}

#[test]
fn right_templates_mean_what_they_should() {
    let mut failures = Vec::new();
    for path in fixtures("ok", 8) {
        match read(&path) {
            Ok(templates) => {
                let found: String = templates.iter().map(|template| format!("{template:#?}\n")).collect();
                compare(&path, "resolved", &found, &mut failures);
            }
            Err(report) => failures.push(format!("=== {}\n{}", path.display(), report.render(false))),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn mistaken_templates_are_refused_in_these_words() {
    let mut failures = Vec::new();
    for path in fixtures("err", 35) {
        match read(&path) {
            Ok(_) => failures.push(format!("=== {}: accepted", path.display())),
            Err(report) => compare(&path, "stderr", &report.render(false), &mut failures),
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn five_mistakes_are_five_diagnostics() {
    let report = read(&Path::new(ROOT).join("err/five-mistakes.toml")).unwrap_err();
    assert_eq!(report.len(), 5);
    assert_eq!(report.render(false).matches("error: ").count(), 5);
    assert_eq!(report.to_string(), "5 mistakes in five-mistakes.toml");
    assert!(report.render(true).contains("\u{1b}["), "colours are there when asked for");
}
