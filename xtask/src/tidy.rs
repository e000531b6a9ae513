//! `tidy`: what no compiler checks. All findings at once.

use crate::run::{cargo, output, root};
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::{fs, path::Path};

/// Which crates a crate may depend on; the same as the first lines of `crates/README.md`. Every crate may use `types`.
const EDGES: [(&str, &[&str]); 13] = [
    ("types", &[]),
    ("template", &[]),
    ("agent", &[]),
    ("disk", &[]),
    ("qcow2", &[]),
    ("machine", &["agent"]),
    ("store", &["qcow2"]),
    ("export", &["store", "qcow2"]),
    ("catalog", &["store"]),
    ("builder", &["template", "machine", "disk", "qcow2", "store", "export", "catalog"]),
    ("cli", &["builder"]),
    ("testkit", &["disk"]),
    ("xtask", &[]),
];

/// Lines before the tests of a file, above which one part of it probably wants a file of its own.
const LONGEST: usize = 600;

/// Checks the tree.
pub(crate) fn run() -> Result<()> {
    let mut findings = edges()?;
    let tracked = output("git", &["-C", &root().to_string_lossy(), "ls-files"]).context("git ls-files")?;
    for name in tracked.lines() {
        let Ok(text) = fs::read_to_string(root().join(name)) else { continue };
        if name.ends_with(".rs") && !name.starts_with("fixtures/") {
            source(name, &text, &mut findings);
        }
        forbidden(name, &text, &mut findings);
    }
    reasons(&mut findings)?;
    if findings.is_empty() {
        return Ok(());
    }
    for finding in &findings {
        eprintln!("{finding}");
    }
    bail!("{} findings", findings.len());
}

/// Compares the edges between crates with those allowed. Tests may use `testkit` besides.
fn edges() -> Result<Vec<String>> {
    let metadata =
        cargo(&["metadata", "--format-version=1", "--no-deps"]).output().context("cargo metadata")?;
    let metadata: Value = serde_json::from_slice(&metadata.stdout).context("cargo metadata")?;
    let mut findings = Vec::new();
    for package in metadata["packages"].as_array().into_iter().flatten() {
        let name = short(&package["name"]);
        let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
            findings.push(format!("{name}: no line in xtask's table of edges names it"));
            continue;
        };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let to = short(&dependency["name"]);
            let ours = dependency["path"].is_string();
            let testing = dependency["kind"] == "dev";
            let fine = to == "types"
                || allowed.contains(&to)
                || (testing && matches!(to, "testkit" | "store" | "qcow2"));
            if ours && !fine {
                findings.push(format!("{name} may not depend on {to}"));
            }
        }
    }
    Ok(findings)
}

fn short(name: &Value) -> &str {
    let name = name.as_str().unwrap_or_default();
    name.strip_prefix("kiln-").unwrap_or(name)
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

/// Finds what must not be in the project: this machine's paths, and the hosts that its packages come from.
fn forbidden(name: &str, text: &str, findings: &mut Vec<String>) {
    let here = root();
    let above = here.parent().filter(|above| *above != Path::new("/"));
    let places =
        [Some(here.as_path()), above].into_iter().flatten().map(|path| format!("{}/", path.display()));
    for word in places.chain(hosts()) {
        if text.contains(&word) {
            findings.push(format!("{name}: names {word}"));
        }
    }
}

/// The hosts of this machine's package sources.
fn hosts() -> Vec<String> {
    let text = output("apt-get", &["indextargets", "--format", "$(SITE)"]).unwrap_or_default();
    let sites = text.lines().filter_map(|site| site.split("//").nth(1)?.split('/').next());
    let mut hosts: Vec<String> = sites.map(str::to_owned).collect();
    hosts.sort();
    hosts.dedup();
    hosts
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
