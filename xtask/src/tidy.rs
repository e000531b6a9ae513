//! `tidy`: what no compiler checks. All findings at once.

mod edges;

use crate::{
    packages::{ALWAYS_THERE, BENCH, PACKAGES},
    run::{metadata, output, root},
};
use anyhow::{Context, Result, bail};
use fs_err as fs;
use std::collections::BTreeSet;

/// Lines before the tests of a file, above which one part of it probably wants a file of its own.
const LONGEST: usize = 600;

/// Checks the tree.
pub(crate) fn run() -> Result<()> {
    let map = fs::read_to_string(root().join("crates/README.md"))?;
    let mut findings = edges::check(&map, &metadata()?);
    let root = root();
    let tracked = output("git", &["-C", &root.to_string_lossy(), "ls-files"]);
    let tracked = tracked.context("git ls-files failed: is this a clone, owned by who runs this?")?;
    let forbidden = forbidden();
    for name in tracked.lines() {
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        if name.ends_with(".rs") && !name.starts_with("fixtures/") {
            source(name, &text, &mut findings);
            programs(name, &text, &mut findings);
        }
        let named = forbidden.iter().filter(|word| names(&text, word));
        findings.extend(named.map(|word| format!("{name}: names {word}")));
    }
    reasons(&mut findings)?;
    templates(&mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    bail!("findings: {}", findings.len());
}

fn source(name: &str, text: &str, findings: &mut Vec<String>) {
    if !text.starts_with("//!") {
        findings.push(format!("{name}: does not open with //! and what it is"));
    }
    let lines = text.lines().take_while(|line| *line != "#[cfg(test)]").count();
    if lines > LONGEST {
        findings
            .push(format!("{name}: {lines} lines before its tests: does one part want a file of its own?"));
    }
    // In pieces, so that this file does not find itself.
    for (word, instead) in [
        (concat!("#[", "allow("), "#[expect(…, reason = …)]"),
        (concat!("#![", "allow("), "#![expect(…, reason = …)]"),
        (concat!("todo", "!("), "the code"),
        (concat!("unimplemented", "!("), "the code"),
        (concat!("#[", "ignore"), "a test that runs"),
    ] {
        if text.contains(word) {
            findings.push(format!("{name}: {word} where {instead} should be"));
        }
    }
}

/// Every outside program that is run by its name is one that `setup` installs.
fn programs(name: &str, text: &str, findings: &mut Vec<String>) {
    // The others are testkit's way to run a tool, and that of a test.
    let calls = ["Command::new(\"", " tool(\"", "(tool(\"", " told(\"", "(told(\""]
        .into_iter()
        .flat_map(|call| text.split(call).skip(1));
    for path in calls.filter_map(|rest| rest.split('"').next()) {
        let program = path.rsplit('/').next().unwrap_or(path);
        let mut packages = PACKAGES.iter().chain(&BENCH);
        let listed = packages.any(|package| package.programs.contains(&program));
        if !listed && !ALWAYS_THERE.contains(&program) {
            findings.push(format!("{name}: {program} is of no package in xtask/src/packages.rs"));
        }
    }
}

/// What must not be in the project: the folder that it lies in here, and the hosts that this machine's packages come from.
fn forbidden() -> BTreeSet<String> {
    // In pieces, so that this file does not find itself.
    let known =
        [["/wo", "rk/"], ["deb.deb", "ian.org"], ["security.deb", "ian.org"], ["archive.ub", "untu.com"]];
    let mut words: BTreeSet<String> = known.iter().map(|pieces| pieces.concat()).collect();
    let targets = output("apt-get", &["indextargets", "--format", "$(ORIGIN)|$(SITE)"]).unwrap_or_default();
    for line in targets.lines() {
        let Some((origin, site)) = line.split_once('|') else { continue };
        // Other projects' sources are those of a desk, and one may well write about them.
        if origin.starts_with("Debian") || origin.starts_with("Ubuntu") {
            let host = site.split("//").nth(1).and_then(|rest| rest.split(['/', ':']).next());
            words.extend(host.filter(|host| host.contains('.')).map(str::to_owned));
        }
    }
    words.insert(format!("{}/", root().display()));
    words
}

/// Says whether a word stands in a text; a path only where it begins.
fn names(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        !word.starts_with('/') || !before.is_some_and(|c| c.is_alphanumeric() || "._-}/".contains(c))
    })
}

/// Every dependency says why it is there.
fn reasons(findings: &mut Vec<String>) -> Result<()> {
    let manifest = fs::read_to_string(root().join("Cargo.toml"))?;
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let table = table.split("\n[").next().unwrap_or_default();
    for line in table.lines().filter(|line| line.contains(" = ") && !line.contains("path = ")) {
        if !line.contains("# ") {
            findings.push(format!("Cargo.toml: why is this there: {line}"));
        }
    }
    Ok(())
}

/// Every template is one, and the README knows it.
fn templates(findings: &mut Vec<String>) -> Result<()> {
    let readme = fs::read_to_string(root().join("README.md"))?;
    for entry in fs::read_dir(root().join("templates"))? {
        let entry = entry?;
        let name = format!("templates/{}", entry.file_name().to_string_lossy());
        if !entry.path().is_dir() {
            continue;
        }
        if !entry.path().join("template.toml").is_file() {
            findings.push(format!("{name}: has no template.toml"));
        }
        if !readme.contains(&name) {
            findings.push(format!("README.md: does not name {name}"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_count_where_they_begin() {
        let word = "/srv/kiln/";
        assert!(names("see /srv/kiln/x", word) && names("\"/srv/kiln/\"", word));
        assert!(!names("disk/srv/kiln/x", word) && !names("{home}/srv/kiln/x", word));
        assert!(names("http://mirror.example/debian", "mirror.example"));
    }

    #[test]
    fn a_source_file_that_breaks_every_rule() {
        let mut findings = Vec::new();
        let text = format!("fn f() {{ {}) }}\nCommand::new(\"/sbin/nosuchtool\")\n", concat!("todo", "!("));
        source("x.rs", &text, &mut findings);
        programs("x.rs", &text, &mut findings);
        assert_eq!(findings.len(), 3, "{findings:?}");
        assert!(findings[2].contains("nosuchtool"), "{findings:?}");
    }
}
