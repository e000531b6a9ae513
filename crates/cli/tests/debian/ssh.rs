//! A Debian that boots: its steps run over SSH, and nothing of the connection stays in the image.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, root_of, tool};
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

/// One of each kind, on a boot by the image's own boot loader.
const TESTS: &str = r#"
[[test]]
type = "boots"

[[test]]
type = "no_failed_units"

[[test]]
type = "unique_machine_id"

[[test]]
type = "service"
service = "ssh"
enabled = true

[[test]]
type = "port"
port = 22

[[test]]
type = "package"
package = "openssh-server"
version = "1:9.*"

[[test]]
type = "package"
package = "telnetd"
absent = true

[[test]]
type = "file"
path = "/etc/shadow"
mode = "0640"
owner = "root:shadow"

[[test]]
type = "command"
command = ["sshd", "-t"]

[[test]]
name = "the second disk is there"
type = "shell"
inline = ["head -c 3 \"$KILN_DISK_DATA\" | grep -q ."]
"#;

/// Each for a reason of its own.
const FAILING: &str = r#"
[[test]]
name = "port"
type = "port"
port = 81
timeout = "3s"

[[test]]
name = "service"
type = "service"
service = "nginx"
timeout = "3s"

[[test]]
name = "enabled"
type = "service"
service = "ssh"
enabled = false

[[test]]
name = "version"
type = "package"
package = "openssh-server"
version = "1:8.*"

[[test]]
name = "absent"
type = "package"
package = "openssh-server"
absent = true
"#;

#[test]
fn a_debian_that_boots_is_built_on_over_ssh() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let folder = kiln.world.template("over-ssh", &format!("{TEMPLATE}{TESTS}"))?;
    let document = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let build = &document["Builds"][0];
    assert_eq!(build["StepsRun"], 3);
    assert_eq!(build["Tests"].as_array().map(Vec::len), Some(10), "{build:#}");
    fails_its_tests(&kiln, build["ImageId"].as_str().context("an id")?)?;
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

/// Tests that must not pass, on an image that booted without its boot loader.
fn fails_its_tests(kiln: &Kiln, image: &str) -> Result<()> {
    let folder = kiln.world.template("failing", &format!("{TEMPLATE}{FAILING}"))?;
    let run = kiln.run(&["test", image, "--template", folder.to_str().context("a path")?, "--json"])?;
    ensure!(run.code == Some(1), "{run:?}");
    let tested: serde_json::Value = serde_json::from_str(&run.stdout)?;
    for (index, why) in [
        "nobody listens on TCP port 81, after 3s",
        "nginx is inactive, after 3s",
        "ssh is enabled",
        "is of version 1:9",
        "is installed",
    ]
    .iter()
    .enumerate()
    {
        let message = tested["Tests"][index]["Message"].as_str().unwrap_or_default();
        ensure!(message.contains(why), "{why}: {tested:#}");
    }
    Ok(())
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
    let disk = root_of(raw.to_str().context("a path")?)?;
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
