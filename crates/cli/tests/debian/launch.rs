//! A Debian that is launched as EC2 launches it: cloud-init lets its owner in and runs what it was handed, the guest learns who it is,
//! and what is done by hand becomes an image.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, root_of, tool};
use serde_json::Value;

const TEMPLATE: &str = r#"
[template]
name = "launched"

[source]
type = "bootstrap"
suite = "bookworm"
packages = ["openssh-server", "wget"]
cloud_init = true
disk_size = "2GiB"

[image]
name = "launched"
"#;

const USER_DATA: &str = "#!/bin/sh\necho handed > /srv/handed\n";

/// Asks as EC2's guests do.
const WHO_AM_I: &str = "at=http://169.254.169.254/latest; \
    token=$(wget -qO- --method=PUT --header='X-aws-ec2-metadata-token-ttl-seconds: 60' $at/api/token) && \
    wget -qO- --header=\"X-aws-ec2-metadata-token: $token\" $at/meta-data/instance-id";

fn first<'a>(document: &'a Value, list: &str) -> Result<&'a Value> {
    document[list].get(0).with_context(|| format!("{list} of {document}"))
}

/// Runs a command in the guest, as its owner.
fn over_ssh(kiln: &Kiln, command: &str) -> Result<String> {
    let run = kiln.run(&["instance", "ssh", "web", "--", command])?;
    ensure!(run.code == Some(0), "{command}: {run:?}");
    Ok(run.stdout)
}

#[test]
fn a_debian_is_launched_and_customised_and_becomes_an_image() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let folder = kiln.world.template("launched", TEMPLATE)?;
    kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let user_data = kiln.world.file("user-data", USER_DATA)?;
    let user_data = user_data.to_str().context("a path")?;
    let words = ["launch", "launched", "--name", "web", "--user-data", user_data, "--metadata"];
    let launched = kiln.json(&[&words[..], &["--wait", "--timeout", "15m", "--json"]].concat())?;
    let id = first(&launched, "Instances")?["InstanceId"].as_str().context("an id")?.to_owned();

    over_ssh(&kiln, "cloud-init status --wait")?;
    assert_eq!(over_ssh(&kiln, "cat /srv/handed; hostname")?, "handed\nweb\n");
    assert_eq!(over_ssh(&kiln, WHO_AM_I)?.trim(), id);
    over_ssh(&kiln, "echo by hand > /srv/customised")?;

    // The guest turns itself off before its disk is read.
    kiln.json(&["instance", "create-image", "web", "--name", "customised", "--json"])?;
    let raw = kiln.world.path().join("customised.raw").display().to_string();
    assert_eq!(kiln.run(&["export", "customised", "-o", &raw])?.code, Some(0));
    assert!(tool("debugfs", &["-R", "cat /srv/customised", &root_of(&raw)?])?.contains("by hand\n"));
    assert_eq!(kiln.run(&["instance", "terminate", "web"])?.code, Some(0));
    Ok(())
}
