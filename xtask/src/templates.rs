//! `templates`: builds the templates that come with Kiln, with their tests, and says how long each took.

use crate::run::{cargo, output, root, succeed, target};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// Templates that start from the image of another.
const NEEDS: [(&str, &str); 1] = [("debian-web-custom", "debian-web")];
/// The template that wants a key and a certificate, which no repository should hold.
const WANTS_KEYS: &str = "debian-instance-store";

/// The template of an architecture whose updates lag behind on mirrors, with indexes that are not what the release says: it is built of the
/// suite alone.
const SUITE_ALONE: &str = "debian-i386";

/// What came of a template.
struct Done {
    name: String,
    result: String,
    seconds: f64,
}

/// Builds these templates, or those that differ from a commit (`--since=REF`), or all. One that fails does not stop the others.
pub(crate) fn run(words: &[String], flags: &[String]) -> Result<()> {
    let mut names = all()?;
    let unknown = flags.iter().find(|flag| !flag.starts_with("--since="));
    ensure!(unknown.is_none(), "there is no flag {unknown:?}");
    let since = flags.iter().find_map(|flag| flag.strip_prefix("--since="));
    if let Some(reference) = since {
        let changed = changed_since(reference).with_context(|| format!("git knows no {reference}"))?;
        names.retain(|name| changed.contains(name));
    }
    for word in words {
        ensure!(root().join("templates").join(word).is_dir(), "there is no templates/{word}");
    }
    if !words.is_empty() {
        names.retain(|name| words.contains(name));
    }
    succeed(&mut cargo(&["build", "--release", "--locked", "--package", "kiln-cli"]))?;
    build_all(&target()?.join("release/kiln"), names)
}

/// Builds the templates that the newest commit changed, a merge's whole branch, with the program that the tests run.
pub(crate) fn changed() -> Result<()> {
    let Some(names) = changed_since("HEAD^") else {
        println!("git knows no commit before this one: which templates it changed cannot be told");
        return Ok(());
    };
    if names.is_empty() {
        println!("the newest commit changed none");
        return Ok(());
    }
    build_all(&target()?.join("debug/kiln"), names)
}

fn build_all(kiln: &Path, mut names: BTreeSet<String>) -> Result<()> {
    // In the order of their names, what another starts from comes before it.
    for (name, needs) in NEEDS {
        if names.contains(name) {
            names.insert(needs.to_owned());
        }
    }
    let home = target()?.join("templates");
    run_kiln(kiln, &home, &["doctor", "--fix"])?;
    let done: Vec<_> = names.iter().map(|name| build(kiln, &home, name)).collect::<Result<_>>()?;
    println!("== seconds");
    for Done { name, result, seconds } in &done {
        println!("{seconds:>8.1}  {name}  {result}");
    }
    let failed: Vec<_> =
        done.iter().filter(|done| done.result == "FAILED").map(|done| done.name.as_str()).collect();
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

fn all() -> Result<BTreeSet<String>> {
    let entries = std::fs::read_dir(root().join("templates")).context("templates")?;
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

/// Lists the templates that are there of which git knows a file that is not what it was at a commit; nothing where it knows no such
/// commit.
fn changed_since(reference: &str) -> Option<BTreeSet<String>> {
    let repository = root();
    let words = ["-C", repository.to_str()?, "diff", "--name-only", reference, "--", "templates"];
    let listed = output("git", &words)?;
    let names = listed.lines().filter_map(|path| path.strip_prefix("templates/")?.split_once('/'));
    let there = names.filter(|(name, _)| repository.join("templates").join(name).is_dir());
    Some(there.map(|(name, _)| name.to_owned()).collect())
}

fn run_kiln(kiln: &Path, home: &Path, words: &[&str]) -> Result<()> {
    succeed(Command::new(kiln).args(words).arg("--home").arg(home).current_dir(root()).stdin(Stdio::null()))
}

fn build(kiln: &Path, home: &Path, name: &str) -> Result<Done> {
    println!("== templates/{name}");
    let keys = format!("templates/{name}/keys");
    if name == WANTS_KEYS && !root().join(&keys).exists() {
        run_kiln(kiln, home, &["bundle", "keygen", "--output", &keys])?;
    }
    let start = Instant::now();
    let mut command = Command::new(kiln);
    command.args(["build", &format!("templates/{name}"), "--json", "--home"]).arg(home);
    if name == SUITE_ALONE {
        command.args(["--var", &format!("mirror={}", mirror_of("bookworm")?)]);
    }
    command.current_dir(root()).stdin(Stdio::null()).stderr(Stdio::inherit());
    let output = command.output().context("kiln cannot be run")?;
    let seconds = start.elapsed().as_secs_f64();
    if !output.status.success() {
        return Ok(Done { name: name.to_owned(), result: "FAILED".to_owned(), seconds });
    }
    let document: Value =
        serde_json::from_slice(&output.stdout).context("kiln build --json printed no JSON")?;
    let build = &document["Builds"][0];
    let Some(image) = build["ImageId"].as_str() else { bail!("kiln build --json printed no ImageId") };
    let tests = build["Tests"].as_array().map_or(0, Vec::len);
    let how =
        if build["Unchanged"] == true { "unchanged".to_owned() } else { format!("{tests} tests passed") };
    Ok(Done { name: name.to_owned(), result: format!("{image}, {how}"), seconds })
}

/// Returns where this host's apt takes a suite from.
fn mirror_of(suite: &str) -> Result<String> {
    let words = ["indextargets", "--format", "$(RELEASE) $(SITE)", "Created-By: Packages"];
    let targets = output("apt-get", &words).context("apt-get cannot be asked")?;
    let mut sites = targets.lines().filter_map(|line| line.split_once(' '));
    let site = sites.find(|(release, _)| *release == suite);
    site.map(|(_, site)| site.to_owned()).context("apt has no sources of this suite")
}
