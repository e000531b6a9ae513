//! A Debian that boots: its steps run over SSH, and nothing of the connection stays in the image.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, tool};
use std::path::Path;

const TEMPLATE: &str = r#"
[template]
name = "over-ssh"

[variables]
token = { default = "swordfish-0123456789", sensitive = true }

[source]
type = "bootstrap"
suite = "bookworm"
packages = ["openssh-server"]
disk_size = "2GiB"

[communicator]
type = "ssh"

[[machine.disk]]
name = "data"
size = "64MiB"

[[provisioner]]
type = "shell"
inline = [
    "test \"$(cat /run/secrets/token | wc -c)\" = 20",
    "cat /proc/1/comm > /srv/init",
    "echo on another disk > \"$KILN_DISK_DATA\"",
]
secrets = ["token"]

[[provisioner]]
type = "shell"
inline = ["echo first >> /srv/second", "date > \"$KILN_DISK_DATA\""]

[[provisioner]]
type = "download"
source = "/etc/os-release"
destination = "fetched/"

[[export]]
format = "raw"
path = "dist/out.raw"
"#;

#[test]
fn a_debian_that_boots_is_built_on_over_ssh() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let folder = kiln.world.template("over-ssh", TEMPLATE)?;
    let document = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let build = &document["Builds"][0];
    assert_eq!(build["StepsRun"], 3);
    assert_eq!(build["SnapshotIds"].as_array().map(Vec::len), Some(2), "{build}");
    ensure!(fs_err::read_to_string(folder.join("fetched/os-release"))?.contains("bookworm"));

    nothing_of_the_connection_is_left(&folder, "first")?;
    no_key_lies_in_a_layer(&kiln)?;

    // The second build goes on from what the first step left.
    let changed = TEMPLATE.replace("echo first", "echo second");
    fs_err::write(folder.join("template.toml"), changed)?;
    let document = kiln.json(&[
        "build",
        folder.to_str().context("a path")?,
        "--json",
        "--replace",
        "--on-error",
        "keep",
    ])?;
    assert_eq!(document["Builds"][0]["StepsCached"], 1, "{document}");
    nothing_of_the_connection_is_left(&folder, "second")
}

/// Layers are written uncompressed: what they hold is found by looking.
fn no_key_lies_in_a_layer(kiln: &Kiln) -> Result<()> {
    let mut layers = 0;
    for layer in fs_err::read_dir(kiln.world.home().join("cache/layers"))? {
        let overlay = fs_err::read(layer?.path().join("kiln-root.qcow2"))?;
        ensure!(memchr::memmem::find(&overlay, b"BEGIN OPENSSH PRIVATE KEY").is_none(), "a key");
        layers += 1;
    }
    assert_eq!(layers, 2);
    Ok(())
}

fn nothing_of_the_connection_is_left(folder: &Path, second: &str) -> Result<()> {
    let raw = folder.join("dist/out.raw");
    let layout = tool("sfdisk", &["--json", raw.to_str().context("a path")?])?;
    let layout: serde_json::Value = serde_json::from_str(&layout)?;
    let partitions = layout["partitiontable"]["partitions"].as_array().context("partitions")?;
    let sectors = |partition: &&serde_json::Value| partition["size"].as_u64();
    let root = partitions.iter().max_by_key(sectors).context("a root")?;
    let offset = root["start"].as_u64().context("a start")? * 512;
    let disk = format!("{}?offset={offset}", raw.display());
    let root = |request: &str| {
        let shown = tool("debugfs", &["-R", request, &disk])?;
        // It names itself, too.
        let lines = shown.lines().filter(|line| !line.starts_with("debugfs "));
        anyhow::Ok(lines.collect::<Vec<_>>().join("\n"))
    };
    assert_eq!(root("cat /srv/init")?, "systemd");
    assert_eq!(root("cat /srv/second")?, second);
    let etc = root("ls -p /etc")?;
    ensure!(etc.contains("/passwd/") && !etc.contains("kiln"), "{etc}");
    let units = root("ls -p /etc/systemd/system")?;
    ensure!(!units.contains("kiln"), "{units}");
    assert_eq!(root("cat /etc/machine-id")?, "");
    let keys = root("ls -p /etc/ssh")?;
    ensure!(keys.contains("/sshd_config/") && !keys.contains("ssh_host_"), "{keys}");
    Ok(())
}
