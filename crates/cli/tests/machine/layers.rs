//! Nothing runs twice: what a step left is there for the next build, whatever became of the one that ran it.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, LONG, root_of, tiny_template, tool};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

/// A template whose steps each add a line to a file, and write one of their own.
fn template(steps: &[&str]) -> Result<String> {
    let mut rest = String::new();
    for (number, step) in (1..).zip(steps) {
        write!(
            rest,
            "[[provisioner]]\ntype = \"shell\"\ninline = ['echo {number} >> /lines', '{step}', 'echo {number} > /step{number}']\n"
        )?;
    }
    rest.push_str("[[export]]\nformat = \"raw\"\npath = \"dist/tiny.raw\"\n");
    Ok(tiny_template(&tiny()?, &rest))
}

/// A world with one template.
struct Site {
    kiln: Kiln,
    folder: String,
}

impl Site {
    fn new(steps: &[&str]) -> Result<Self> {
        let kiln = world()?;
        let folder = kiln.world.template("tiny", &template(steps)?)?;
        Ok(Self { kiln, folder: folder.to_str().context("a path")?.to_owned() })
    }

    fn becomes(&self, steps: &[&str]) -> Result<()> {
        fs_err::write(Path::new(&self.folder).join("template.toml"), template(steps)?)?;
        Ok(())
    }

    fn build(&self, args: &[&str]) -> Result<Value> {
        let args = [&["build", &self.folder, "--json", "--replace"], args].concat();
        Ok(self.kiln.json(&args)?["Builds"][0].clone())
    }

    /// Returns what a plan says of each step.
    fn plan(&self) -> Result<Vec<(String, String)>> {
        let plan = self.kiln.json(&["plan", &self.folder, "--json"])?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let items = plan["Items"].as_array().context("items")?.iter().skip(1);
        Ok(items.map(|item| (text(&item["Action"]), text(&item["Reason"]))).collect())
    }

    /// Reads a file of the disk that was exported.
    fn cat(&self, path: &str) -> Result<String> {
        let disk = Path::new(&self.folder).join("dist/tiny.raw");
        let disk = root_of(disk.to_str().context("a path")?)?;
        let said = tool("debugfs", &["-R", &format!("cat {path}"), &disk])?;
        // The first line is debugfs's own.
        Ok(said
            .lines()
            .filter(|line| !line.starts_with("debugfs "))
            .fold(String::new(), |all, line| all + line + "\n"))
    }

    /// Lists the folders of the layers.
    fn layers(&self) -> Result<Vec<PathBuf>> {
        let folder = self.kiln.world.home().join("cache/layers");
        fs_err::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect()
    }
}

fn steps(build: &Value) -> (u64, u64) {
    let count = |key: &str| build[key].as_u64().unwrap_or(u64::MAX);
    (count("StepsCached"), count("StepsRun"))
}

const SEVEN: [&str; 7] = ["true", "sleep 0", "uname -r", "ls /", "id -u", "hostname", "pwd"];
const LINES: &str = "1\n2\n3\n4\n5\n6\n7\n";

#[test]
fn a_changed_step_runs_on_the_layer_below_it() -> Result<()> {
    let site = Site::new(&SEVEN)?;
    assert_eq!(site.plan()?[0].1, "the base above is made anew");
    assert_eq!(steps(&site.build(&[])?), (0, 7));
    assert_eq!(site.layers()?.len(), 7);

    let mut other = SEVEN;
    other[6] = "echo other";
    site.becomes(&other)?;
    let plan = site.plan()?;
    assert!(plan[..6].iter().all(|(action, _)| action == "cached"), "{plan:?}");
    assert_eq!(plan[6], ("run".to_owned(), "inline: pwd → echo other".to_owned()));
    assert_eq!(steps(&site.build(&[])?), (6, 1));
    assert_eq!(site.cat("/lines")?, LINES, "each step ran once");

    other[2] = "echo third";
    site.becomes(&other)?;
    let plan = site.plan()?;
    assert_eq!(plan[2].1, "inline: uname -r → echo third");
    assert_eq!(plan[3].1, "step 3 above runs");
    assert_eq!(steps(&site.build(&[])?), (2, 5));
    assert_eq!(site.cat("/lines")?, LINES);

    // Back to where it began: the image is there; were it not, every layer would be but those that were made anew.
    site.becomes(&SEVEN)?;
    assert_eq!(steps(&site.build(&["--new"])?), (7, 0));
    assert_eq!(site.cat("/lines")?, LINES);
    assert_eq!(steps(&site.build(&["--no-cache-from", "6"])?), (5, 2));
    assert_eq!(site.cat("/lines")?, LINES);
    site.kiln.no_processes(LONG)
}

#[test]
fn a_failed_or_killed_build_leaves_what_it_did() -> Result<()> {
    let site = Site::new(&["true", "true", "exit 3"])?;
    let run = site.kiln.run(&["build", &site.folder])?;
    assert_eq!(run.code, Some(1), "{run:?}");
    site.becomes(&["true", "true", "echo waiting; sleep 600"])?;
    let mut build = site.kiln.start(&["build", &site.folder])?;
    build.wait_for("| waiting")?;
    let pid = Pid::from_raw(build.child.id().cast_signed()).context("a process id")?;
    kill_process(pid, Signal::KILL)?;
    let (_, log) = build.end()?;
    assert_eq!(log.matches("cached").count(), 3, "the base and two steps: {log}");
    site.becomes(&["true", "true", "true"])?;
    assert_eq!(steps(&site.build(&[])?), (2, 1));
    assert_eq!(site.cat("/lines")?, "1\n2\n3\n", "what the killed step wrote is gone");
    site.kiln.no_processes(LONG)
}

#[test]
fn a_damaged_layer_is_made_anew() -> Result<()> {
    let site = Site::new(&SEVEN[..2])?;
    site.build(&["--until", "2"])?;
    for layer in site.layers()? {
        let overlay = layer.join("kiln-root.qcow2");
        let length = fs_err::metadata(&overlay)?.len();
        fs_err::OpenOptions::new().write(true).open(&overlay)?.set_len(length / 2)?;
    }
    let plan = site.plan()?;
    assert!(plan[0].1.starts_with("its layer is damaged"), "{plan:?}");
    let run = site.kiln.run(&["build", &site.folder, "--json"])?;
    assert!(run.stderr.contains("warning: a step runs again: its layer is damaged"), "{run:?}");
    let document: Value = serde_json::from_str(&run.stdout)?;
    assert_eq!(steps(&document["Builds"][0]), (0, 2));
    assert_eq!(site.cat("/lines")?, "1\n2\n");
    Ok(())
}

/// Files made, changed, emptied, moved and removed, with modes, owners and links.
const FILES: [&str; 4] = [
    "mkdir -p /a/b; seq 20000 > /a/b/numbers; echo one > /a/one; ln -s one /a/link; chmod 600 /a/one",
    "rm /a/b/numbers; mv /a/one /a/two; ln /a/two /a/hard; chown 7:8 /a/two; dd if=/dev/zero of=/a/zeros bs=1M count=3",
    ": > /a/zeros; seq 9 > /a/b/numbers; echo more >> /a/two; echo x > /tmp/x; echo y > /run/y",
    "ls /tmp /run | grep -cx [xy] > /a/seen || true; rm /a/link; mkfifo /a/fifo",
];

#[test]
fn what_was_cached_is_what_would_be_made() -> Result<()> {
    let site = Site::new(&FILES)?;
    let fresh = site.build(&["--no-cache"])?;
    assert_eq!(site.cat("/a/seen")?, "0\n", "steps share neither /tmp nor /run");
    let known = site.layers()?.iter().filter(|layer| layer.join("kiln-root.blocks").exists()).count();
    assert!(known > 0, "the next snapshots read only what lies above these");
    for from in ["4", "3", "2"] {
        let again = site.build(&["--no-cache-from", from])?;
        let cached = from.parse::<u64>()? - 1;
        assert_eq!(steps(&again), (cached, 4 - cached));
        let ids = [&fresh, &again].map(|build| build["ImageId"].as_str().unwrap_or_default());
        let diff = site.kiln.json(&["image", "diff", ids[0], ids[1], "--json"])?;
        assert_eq!(diff["Files"], serde_json::json!([]), "{diff}");
    }
    Ok(())
}

#[test]
fn two_builds_at_once_run_each_step_once() -> Result<()> {
    let site = Site::new(&["sleep 1", "echo second; sleep 3", "true"])?;
    let mut first = site.kiln.start(&["build", &site.folder])?;
    first.wait_for("| second")?;
    let second = site.build(&[])?;
    assert_eq!(second["Unchanged"], true, "{second}");
    assert_eq!(first.end()?.0, Some(0));
    assert_eq!(site.kiln.images()?, 1);
    // Another template with the same first steps waits for them.
    let other =
        site.kiln.world.template("other", &template(&["sleep 1", "echo second; sleep 3", "echo other"])?)?;
    let other = site.kiln.json(&["build", other.to_str().context("a path")?, "--json"])?;
    assert_eq!(steps(&other["Builds"][0]), (2, 1));
    Ok(())
}

#[test]
fn a_build_stops_at_a_step_and_goes_on_from_a_layer() -> Result<()> {
    let site = Site::new(&SEVEN[..3])?;
    let reached = site.build(&["--until", "2"])?;
    assert_eq!(steps(&reached), (0, 2));
    let layer = reached["Layer"].as_str().context("a layer")?.to_owned();
    assert_eq!(site.kiln.images()?, 0);
    // The first step is another one now, and the layer's own stands in its place.
    site.becomes(&["exit 1", "true", "uname -r"])?;
    let build = site.build(&["--from-layer", &layer[..12]])?;
    assert_eq!(steps(&build), (2, 1));
    assert_eq!(site.cat("/lines")?, "1\n2\n3\n");
    let unknown = site.kiln.run(&["build", &site.folder, "--until", "nothing"])?;
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.stderr.contains("no step `nothing`"), "{}", unknown.stderr);
    Ok(())
}

#[test]
fn the_cache_is_listed_verified_and_pruned() -> Result<()> {
    let site = Site::new(&SEVEN[..3])?;
    site.build(&["--until", "3"])?;
    let kinds = |entries: &Value| -> Vec<String> {
        let all = entries["Entries"].as_array().into_iter().flatten();
        all.map(|entry| entry["Kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let listed = site.kiln.json(&["cache", "list", "--json"])?;
    assert_eq!(kinds(&listed).iter().filter(|kind| *kind == "layer").count(), 3, "{listed}");
    let of = listed["Entries"].as_array().context("entries")?.iter().map(|entry| entry["Of"].as_str());
    assert!(of.flatten().any(|of| of.starts_with("tiny: step 3 ")), "{listed}");
    assert_eq!(site.kiln.json(&["cache", "verify", "--json"])?["Whole"], 3);

    // The same size, time and inode, and another byte: only its digest tells.
    let second = site.kiln.json(&["plan", &site.folder, "--json"])?["Items"][2]["Key"].clone();
    let overlay = site
        .kiln
        .world
        .home()
        .join("cache/layers")
        .join(second.as_str().context("a key")?)
        .join("kiln-root.qcow2");
    let before = fs_err::metadata(&overlay)?.modified()?;
    let mut bytes = fs_err::read(&overlay)?;
    *bytes.last_mut().context("a byte")? ^= 1;
    fs_err::write(&overlay, &bytes)?;
    fs_err::OpenOptions::new().write(true).open(&overlay)?.set_modified(before)?;
    assert!(site.plan()?.iter().all(|(action, _)| action == "cached"));
    let verified = site.kiln.run(&["cache", "verify", "--json"])?;
    assert_eq!(verified.code, Some(1), "{verified:?}");
    let damaged: Value = serde_json::from_str(&verified.stdout)?;
    assert_eq!(damaged["Damaged"].as_array().map(Vec::len), Some(2), "it and what stood on it: {damaged}");
    assert_eq!(steps(&site.build(&["--until", "3"])?), (1, 2));

    // A layer that a build reads stays, and what it stands on; all else goes.
    let mut waits = SEVEN[..3].to_vec();
    waits[2] = "echo waiting; sleep 600";
    site.becomes(&waits)?;
    let mut build = site.kiln.start(&["build", &site.folder])?;
    build.wait_for("| waiting")?;
    let would = site.kiln.json(&["cache", "prune", "--all", "--dry-run", "--json"])?;
    assert_eq!(kinds(&would), ["layer"], "the third one: {would}");
    build.child.kill()?;
    build.end()?;
    site.kiln.no_processes(LONG)?;
    // The dead build's links go with its folder.
    site.build(&["--until", "1"])?;
    let gone = site.kiln.json(&["cache", "prune", "--max-size", "0B", "--json"])?;
    assert_eq!(kinds(&gone).iter().filter(|kind| *kind == "layer").count(), 3, "{gone}");
    let place = |kind: &str| kinds(&gone).iter().rposition(|other| other == kind);
    assert!(place("layer") < place("base"), "layers go before what they stand on: {gone}");
    assert_eq!(site.layers()?.len(), 0);
    assert_eq!(site.kiln.run(&["cache", "prune"])?.code, Some(2));
    Ok(())
}

fn damage_files(folder: &Path) -> Result<()> {
    for file in fs_err::read_dir(folder)? {
        let path = file?.path();
        let mut bytes = fs_err::read(&path)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs_err::write(&path, bytes)?;
    }
    Ok(())
}

#[test]
fn layers_travel_through_a_region() -> Result<()> {
    let site = Site::new(&SEVEN[..3])?;
    let config = site.kiln.world.file("config.toml", "")?.display().to_string();
    let team = site.kiln.world.path().join("team").display().to_string();
    let to = ["--region", "team", "--config", &config];
    site.kiln.run(&["region", "add", "team", &team, "--config", &config])?;
    let nothing = site.kiln.run(&[&["cache", "push", &site.folder], &to[..]].concat())?;
    assert!(nothing.stderr.contains("nothing of tiny is in the cache"), "{nothing:?}");
    assert_eq!(site.kiln.run(&["cache", "push", &site.folder])?.code, Some(2));
    site.build(&[])?;
    let push = || site.kiln.json(&[&["cache", "push", &site.folder, "--json"], &to[..]].concat());
    let sent = push()?["Templates"][0].clone();
    assert_eq!((&sent["Base"], sent["Layers"].as_array().map(Vec::len)), (&true.into(), Some(3)), "{sent}");
    assert_eq!(push()?["Templates"][0]["There"], 3);

    // A machine that has nothing but the template and the region.
    let other = Site::new(&SEVEN[..3])?;
    let from =
        |other: &Site| other.kiln.run(&[&["cache", "pull", &other.folder, "--json"], &to[..]].concat());
    let pulled: Value = serde_json::from_str(&from(&other)?.stdout)?;
    let pulled = &pulled["Templates"][0];
    assert_eq!((&pulled["Base"], pulled["Layers"].as_array().map(Vec::len)), (&true.into(), Some(3)));
    let plan = other.plan()?;
    assert!(plan.iter().all(|(action, _)| action == "cached"), "{plan:?}");
    assert_eq!(steps(&other.build(&[])?), (3, 0));
    assert_eq!(other.cat("/lines")?, "1\n2\n3\n");

    // One that made its own results keeps them, and cannot put what stands on them upon the others'.
    let own = Site::new(&SEVEN[..3])?;
    own.build(&["--until", "2"])?;
    let pulled: Value = serde_json::from_str(&from(&own)?.stdout)?;
    assert_eq!(pulled["Templates"][0]["There"], 2, "{pulled}");
    assert!(pulled["Templates"][0]["Stopped"].as_str().is_some_and(|why| why.contains("step 3")), "{pulled}");
    let sent = own.kiln.json(&[&["cache", "push", &own.folder, "--json"], &to[..]].concat())?;
    assert_eq!(sent["Templates"][0]["Stopped"], "the region has another result of step 1");

    // A name in a record is never a path.
    let records = Path::new(&team).join("cache/layers");
    let hostile = fs_err::read_dir(&records)?.map(|entry| Ok(entry?.path().join("00000001.json")));
    for record in hostile.collect::<Result<Vec<_>>>()? {
        let text = fs_err::read_to_string(&record)?;
        fs_err::write(&record, text.replace("\"kiln-root\"", "\"../../../escaped\""))?;
    }
    let fourth = Site::new(&SEVEN[..3])?;
    let pulled: Value = serde_json::from_str(&from(&fourth)?.stdout)?;
    assert_eq!(pulled["Templates"][0]["Layers"], serde_json::json!([]), "{pulled}");
    assert!(pulled["Templates"][0]["Stopped"].is_string(), "{pulled}");
    assert_eq!(fourth.layers()?.len(), 0);
    for record in fs_err::read_dir(&records)? {
        let record = record?.path().join("00000001.json");
        let text = fs_err::read_to_string(&record)?;
        fs_err::write(&record, text.replace("\"../../../escaped\"", "\"kiln-root\""))?;
    }

    // What is damaged on the way is refused, and nothing of it is used.
    damage_files(&Path::new(&team).join("cache/files"))?;
    let third = Site::new(&SEVEN[..3])?;
    let refused = from(&third)?;
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot be used"), "{refused:?}");
    assert_eq!(third.layers()?.len(), 0);

    // What is kept no longer is no error to whoever comes later.
    site.kiln.run(&[&["gc", "--grace", "0s", "--cache-age", "0s"], &to[..]].concat())?;
    let late: Value = serde_json::from_str(&from(&third)?.stdout)?;
    assert_eq!(late["Templates"][0]["Layers"], serde_json::json!([]), "{late}");
    assert_eq!(push()?["Templates"][0]["Layers"].as_array().map(Vec::len), Some(3));
    Ok(())
}
