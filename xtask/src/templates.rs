//! `templates`: builds the templates that come with Kiln, with their tests, and says how long each took.

use crate::run::{cargo, output, root, succeed, target};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Templates that start from the image of another.
const NEEDS: [(&str, &str); 1] = [("debian-web-custom", "debian-web")];

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
        let changed = changed_since(reference)?;
        names.retain(|name| changed.contains(name));
    }
    for word in words {
        ensure!(root().join("templates").join(word).is_dir(), "there is no templates/{word}");
    }
    if !words.is_empty() {
        names.retain(|name| words.contains(name));
    }
    // In the order of their names, what another starts from comes before it.
    for (name, needs) in NEEDS {
        if names.contains(name) {
            names.insert(needs.to_owned());
        }
    }
    let kiln = kiln()?;
    let home = target()?.join("templates");
    run_kiln(&kiln, &home, &["doctor", "--fix"])?;
    let done: Vec<_> = names.iter().map(|name| build(&kiln, &home, name)).collect::<Result<_>>()?;
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

/// Lists the templates of which git knows a file that is not what it was at a commit.
fn changed_since(reference: &str) -> Result<BTreeSet<String>> {
    let repository = root();
    let repository = repository.to_str().context("the path of the workspace is no text")?;
    let words = ["-C", repository, "diff", "--name-only", reference, "--", "templates"];
    let listed = output("git", &words).with_context(|| format!("git knows no {reference}"))?;
    let names = listed.lines().filter_map(|path| path.strip_prefix("templates/")?.split_once('/'));
    Ok(names.map(|(name, _)| name.to_owned()).collect())
}

fn kiln() -> Result<PathBuf> {
    succeed(&mut cargo(&["build", "--release", "--locked", "--package", "kiln-cli"]))?;
    Ok(target()?.join("release/kiln"))
}

fn run_kiln(kiln: &Path, home: &Path, words: &[&str]) -> Result<()> {
    succeed(Command::new(kiln).args(words).arg("--home").arg(home).current_dir(root()).stdin(Stdio::null()))
}

fn build(kiln: &Path, home: &Path, name: &str) -> Result<Done> {
    println!("== templates/{name}");
    let start = Instant::now();
    let mut command = Command::new(kiln);
    command.args(["build", &format!("templates/{name}"), "--json", "--home"]).arg(home);
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
