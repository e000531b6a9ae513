//! A whole build: steps run, blocks are stored, a record is written, the exported disk boots.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Firmware, Guest, Kiln, LONG, root_of, tiny_template, tool};
use sha2::{Digest, Sha256};
use std::path::Path;

const STEPS: &str = r##"
[variables]
secret = { default = "correct-horse-battery", sensitive = true }

[[provisioner]]
type = "shell"
name = "write with a shell"
inline = [
    "cd /srv || mkdir -p /srv && cd /srv",
    "echo \"$GREETING from $(id -un)\" > hello",
    "if true; then",
    "  echo spread over elements >> hello",
    "fi",
    "echo ${var.secret} | wc -c",
    "echo the secret is ${var.secret}",
]
environment = { GREETING = "hello" }

[[provisioner]]
type = "shell"
name = "as another user"
user = "app"
working_directory = "/tmp"
script = "files/whoami.sh"
valid_exit_codes = [0, 3]

[[provisioner]]
type = "file"
name = "a folder"
source = "files/tree"
destination = "/srv/tree"
owner = "app"

[[provisioner]]
type = "file"
content = "#!/bin/sh\necho PLANTED-BY-A-STEP > /dev/console\n"
destination = "/etc/rc.local"
mode = "0755"

[image]
name = "tiny-${build.timestamp}"
description = "a tiny image"
tags = { Role = "test" }

[[export]]
format = "qcow2"
path = "dist/tiny.qcow2"

[[export]]
format = "raw"
path = "dist/tiny.raw"
"##;

#[test]
fn a_build_from_template_to_a_disk_that_boots() -> Result<()> {
    let base = tiny()?;
    let kiln = world()?;
    let folder = kiln.world.template("tiny", &tiny_template(&base, STEPS))?;
    kiln.world.file(
        "templates/tiny/files/whoami.sh",
        "#!/bin/sh\nid -un > /tmp/x && cp /tmp/x /srv/who 2>/dev/null\nexit 3\n",
    )?;
    kiln.world.file("templates/tiny/files/tree/inner/one", "one\n")?;
    std::os::unix::fs::symlink("inner/one", folder.join("files/tree/link"))?;
    let template = folder.to_str().context("a path")?;

    let run = kiln.run(&["build", template, "--json"])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(!run.stderr.contains("correct-horse-battery"), "a secret was shown: {}", run.stderr);
    assert!(run.stderr.contains("the secret is ********"), "{}", run.stderr);
    assert!(
        run.stderr.contains("TCG") || run.stderr.contains("KVM"),
        "the accelerator is said: {}",
        run.stderr
    );
    let document: serde_json::Value = serde_json::from_str(&run.stdout)?;
    let build = &document["Builds"][0];
    assert_eq!(build["StepsRun"], 4);
    assert_eq!(build["Exports"].as_array().context("exports")?.len(), 2);

    the_record_is_ec2s(&kiln, build)?;
    the_disk_holds_what_the_steps_made(&folder.join("dist"))?;
    the_exports_are_what_they_say(&folder, build)?;
    an_export_by_hand_is_the_same(&kiln, &folder, build)?;
    an_unchanged_build_returns_the_image(&kiln, template, build)?;

    let mut guest = Guest::boot(&folder.join("dist/tiny.qcow2"), "qcow2", Firmware::Bios)?;
    guest.wait_for_console("PLANTED-BY-A-STEP", LONG)?;
    kiln.no_processes(LONG)?;
    Ok(())
}

fn the_record_is_ec2s(kiln: &Kiln, build: &serde_json::Value) -> Result<()> {
    let images = kiln.json(&["image", "list", "--json"])?;
    let image = &images["Images"][0];
    assert_eq!(image["ImageId"], build["ImageId"]);
    assert_eq!(image["State"], "available");
    assert_eq!(image["RootDeviceType"], "ebs");
    assert_eq!(image["Architecture"], "x86_64");
    assert_eq!(image["Tags"][0]["Key"], "Role");
    assert_eq!(image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"], build["SnapshotIds"][0]);
    let snapshots = kiln.json(&["snapshot", "list", "--json"])?;
    let snapshots = snapshots["Snapshots"].as_array().context("snapshots")?;
    assert_eq!(snapshots.len(), 2, "the base's and the image's");
    let table = kiln.run(&["image", "list"])?.stdout;
    assert!(table.contains(image["ImageId"].as_str().context("an id")?), "{table}");
    Ok(())
}

/// Reads the root partition of the raw export with e2fsprogs.
fn the_disk_holds_what_the_steps_made(dist: &Path) -> Result<()> {
    let raw = dist.join("tiny.raw");
    let raw = raw.to_str().context("a path")?;
    let device = root_of(raw)?;
    let cat = |path: &str| tool("debugfs", &["-R", &format!("cat {path}"), &device]);
    assert!(cat("/srv/hello")?.contains("hello from root\nspread over elements\n"), "{}", cat("/srv/hello")?);
    assert!(cat("/srv/tree/inner/one")?.contains("one\n"));
    let stat = tool("debugfs", &["-R", "stat /srv/tree/link", &device])?;
    assert!(stat.contains("Fast link dest: \"inner/one\"") && stat.contains("User:  1000"), "{stat}");
    let check = tool("e2fsck", &["-fn", &device])?;
    assert!(!check.contains("FILE SYSTEM WAS MODIFIED"), "{check}");
    Ok(())
}

fn the_exports_are_what_they_say(folder: &Path, build: &serde_json::Value) -> Result<()> {
    let (qcow2, raw) = (folder.join("dist/tiny.qcow2"), folder.join("dist/tiny.raw"));
    let (qcow2, raw) = (qcow2.to_str().context("a path")?, raw.to_str().context("a path")?);
    tool("qemu-img", &["check", "-f", "qcow2", qcow2])?;
    tool("qemu-img", &["compare", "-f", "qcow2", "-F", "raw", qcow2, raw])?;
    for export in build["Exports"].as_array().context("exports")? {
        let bytes = fs_err::read(export["Path"].as_str().context("a path")?)?;
        assert_eq!(export["Size"], bytes.len());
        let digest = Sha256::digest(&bytes);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(export["Sha256"], hex);
    }
    Ok(())
}

fn an_export_by_hand_is_the_same(kiln: &Kiln, folder: &Path, build: &serde_json::Value) -> Result<()> {
    let again = kiln.world.path().join("again.qcow2");
    let again = again.to_str().context("a path")?;
    let run = kiln.run(&["export", build["ImageId"].as_str().context("an id")?, "-o", again])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(
        fs_err::read(again)?,
        fs_err::read(folder.join("dist/tiny.qcow2"))?,
        "same snapshot, same bytes"
    );
    Ok(())
}

fn an_unchanged_build_returns_the_image(
    kiln: &Kiln,
    template: &str,
    build: &serde_json::Value,
) -> Result<()> {
    let second = kiln.json(&["build", template, "--json"])?;
    assert_eq!(second["Builds"][0]["Unchanged"], true, "{second}");
    assert_eq!(second["Builds"][0]["ImageId"], build["ImageId"]);
    assert_eq!(kiln.images()?, 1);
    Ok(())
}

/// Runs in every build.
const ALWAYS: &str = r#"
[[provisioner]]
type = "shell"
inline = ["date +%s%N > /when"]
cache = false

[image]
name = "always"
"#;

#[test]
fn a_step_that_is_to_run_every_time_makes_another_image() -> Result<()> {
    let kiln = world()?;
    let folder = kiln.world.template("always", &tiny_template(&tiny()?, ALWAYS))?;
    let template = folder.to_str().context("a path")?;
    let first = kiln.json(&["build", template, "--json"])?;
    let second = kiln.json(&["build", template, "--json", "--replace"])?;
    assert_eq!(second["Builds"][0]["Unchanged"], false, "{second}");
    assert_eq!(second["Builds"][0]["StepsRun"], 1);
    assert_ne!(second["Builds"][0]["ImageId"], first["Builds"][0]["ImageId"]);
    Ok(())
}
