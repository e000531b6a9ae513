//! Instances: launched, stopped, started, made into images, terminated.

use crate::{tiny, world};
use anyhow::{Context, Result, bail};
use kiln_testkit::{Kiln, root_of, tiny_template, tool};
use serde_json::Value;
use std::{
    io::{Read, Write},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

const LONG: Duration = Duration::from_secs(120);

/// A guest that counts its starts, and serves the count.
const STEPS: &str = "[image]\nname = \"web\"\n[[provisioner]]\ntype = \"shell\"\ninline = [\n\
    \"mkdir -p /srv\",\n\
    \"printf 'echo start >> /srv/starts; sync; httpd -h /srv\\\\necho SERVES\\\\n' > /etc/rc.local\",\n]\n";

fn first<'a>(document: &'a Value, list: &str) -> Result<&'a Value> {
    document[list].get(0).with_context(|| format!("{list} of {document}"))
}

fn text(value: &Value) -> Result<String> {
    value.as_str().map(str::to_owned).context("a text")
}

fn built(kiln: &Kiln) -> Result<String> {
    let folder = kiln.world.template("web", &tiny_template(&tiny()?, STEPS))?;
    let built = kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    text(&first(&built, "Builds")?["ImageId"])
}

/// Launches with a port for the web server, and waits until it answers.
fn launch(kiln: &Kiln, words: &[&str]) -> Result<Value> {
    let usual = ["launch", "--json", "--cpus", "1", "--memory", "256MiB", "--port", "80", "--wait"];
    Ok(first(&kiln.json(&[&usual, words].concat())?, "Instances")?.clone())
}

/// How often the guest has started, by what it serves.
fn starts(instance: &Value) -> Result<usize> {
    let ports = instance["Ports"].as_array().context("ports")?;
    let port = ports.iter().find(|port| port["Guest"] == 80).context("port 80")?;
    let port = u16::try_from(port["Host"].as_u64().context("a port")?)?;
    let until = Instant::now() + LONG;
    while Instant::now() < until {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.write_all(b"GET /starts HTTP/1.0\r\n\r\n")?;
        if stream.read_to_string(&mut answer).is_ok()
            && let Some((_, body)) = answer.split_once("\r\n\r\n")
        {
            return Ok(body.lines().count());
        }
        thread::sleep(Duration::from_millis(200));
    }
    bail!("the guest does not answer")
}

fn state(kiln: &Kiln, id: &str) -> Result<String> {
    let shown = kiln.json(&["instance", "show", id, "--json"])?;
    text(&first(&shown, "Instances")?["State"]["Name"])
}

#[test]
fn an_instance_lives_on_and_becomes_an_image() -> Result<()> {
    let kiln = world()?;
    let image = built(&kiln)?;
    let instance = launch(&kiln, &[&image, "--name", "web"])?;
    let id = text(&instance["InstanceId"])?;
    assert_eq!((&instance["State"]["Name"], &instance["State"]["Code"]), (&"running".into(), &16.into()));
    assert_eq!(starts(&instance)?, 1);
    let launched =
        first(&kiln.json(&["image", "show", &image, "--json"])?, "Images")?["LastLaunchedTime"].clone();
    assert!(launched.is_string(), "{launched}");
    let console = kiln.run(&["instance", "console", "web"])?.stdout;
    assert!(console.contains("KILN-TINY-UP"), "{console}");

    // While it runs: the image has what was written until then.
    let live = kiln.json(&["instance", "create-image", "web", "--name", "live", "--no-reboot", "--json"])?;
    let live = first(&live, "Images")?.clone();
    assert_eq!(live["SourceInstanceId"], Value::from(id.clone()));
    assert_eq!(starts(&instance)?, 1, "it runs on");

    assert_eq!(kiln.run(&["instance", "stop", "web", "--force"])?.code, Some(0));
    assert_eq!(state(&kiln, &id)?, "stopped");
    let again = kiln.run(&["instance", "stop", "web"])?;
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.starts_with("error: IncorrectInstanceState: "), "{}", again.stderr);
    kiln.json(&["instance", "start", "web", "--json"])?;
    let shown = kiln.json(&["instance", "show", "web", "--json"])?;
    assert_eq!(starts(first(&shown, "Instances")?)?, 2, "its disk was kept");
    kiln.run(&["instance", "stop", "web", "--force"])?;

    let saved = kiln.json(&["instance", "create-image", "web", "--name", "saved", "--json"])?;
    let saved = text(&first(&saved, "Images")?["ImageId"])?;
    let copy = launch(&kiln, &[&saved])?;
    assert_eq!(starts(&copy)?, 3);
    let snapshot = |image: &Value| -> Result<Value> {
        let id = text(&image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"])?;
        Ok(first(&kiln.json(&["snapshot", "show", &id, "--json"])?, "Snapshots")?.clone())
    };
    let parent = first(&kiln.json(&["image", "show", &image, "--json"])?, "Images")?.clone();
    assert_eq!(snapshot(&live)?["ParentSnapshotId"], snapshot(&parent)?["SnapshotId"]);
    let raw = kiln.world.path().join("live.raw").display().to_string();
    assert_eq!(kiln.run(&["export", "live", "-o", &raw])?.code, Some(0));
    assert!(tool("debugfs", &["-R", "cat /srv/starts", &root_of(&raw)?])?.contains("start\n"));

    for id in [&id, &text(&copy["InstanceId"])?] {
        assert_eq!(kiln.run(&["instance", "terminate", id])?.code, Some(0));
        assert_eq!(state(&kiln, id)?, "terminated");
    }
    kiln.no_processes(LONG)?;
    Ok(())
}

/// A guest that asks who it is, says what it hears, and turns itself off.
const ASKS: &str = r#"
[image]
name = "asks"
[[provisioner]]
type = "shell"
inline = ['''cat > /etc/rc.local <<'END'
until ifconfig eth0 | grep -q 169.254; do sleep 1; done
at=http://169.254.169.254/latest
put() { printf "PUT /latest/api/token HTTP/1.1\\r\\nHost: it\\r\\n$1: 60\\r\\nConnection: close\\r\\n\\r\\n" | nc 169.254.169.254 80; }
wget -q -O - $at/meta-data/instance-id || echo "refused"
put X-Other | head -n 1
token=$(put X-aws-ec2-metadata-token-ttl-seconds | tail -n 1)
ask() { echo "$1: $(wget -q -O - --header "X-aws-ec2-metadata-token: $token" "$at/$1")"; }
ask meta-data/instance-id
ask meta-data/public-keys/0/openssh-key
ask user-data
poweroff -f
END''']
"#;

#[test]
fn a_guest_asks_who_it_is() -> Result<()> {
    let kiln = world()?;
    let folder = kiln.world.template("asks", &tiny_template(&tiny()?, ASKS))?;
    kiln.json(&["build", folder.to_str().context("a path")?, "--json"])?;
    let data = kiln.world.file("data", "#!/bin/sh\n")?.display().to_string();
    let words = ["launch", "asks", "--name", "me, and 'you'", "--memory", "256MiB", "--user-data", &data];
    let said = kiln.run(&[&words[..], &["--metadata", "--rm", "--console"]].concat())?;
    assert_eq!(said.code, Some(0), "{said:?}");
    let listed = kiln.json(&["instance", "list", "--json"])?;
    let instance = first(first(&listed, "Reservations")?, "Instances")?;
    assert_eq!(instance["State"]["Name"], "terminated", "{}", said.stdout);
    let id = text(&instance["InstanceId"])?;
    for line in [
        "refused",
        "HTTP/1.1 400 Bad Request",
        &format!("meta-data/instance-id: {id}"),
        "user-data: #!/bin/sh",
    ] {
        assert!(said.stdout.lines().any(|said| said.trim_end() == line), "{line}: {}", said.stdout);
    }
    assert!(said.stdout.contains("openssh-key: ssh-ed25519 "), "{}", said.stdout);
    kiln.no_processes(LONG)?;
    Ok(())
}

#[test]
fn a_killed_keeper_leaves_a_stopped_instance() -> Result<()> {
    let kiln = world()?;
    let image = built(&kiln)?;
    let refused = kiln.run(&["launch", "ami-00000000000000000"])?;
    assert!(refused.stderr.starts_with("error: InvalidAMIID.NotFound: "), "{}", refused.stderr);
    let device = "/dev/sdf=:1:false";
    let instance = launch(&kiln, &[&image, "--block-device-mapping", device])?;
    let id = text(&instance["InstanceId"])?;
    let size = instance["Volumes"][1]["Size"].clone();
    assert_eq!(size, 1 << 30, "{instance:#}");
    let keepers = kiln.processes()?;
    let keeper =
        keepers.iter().find(|line| line.contains(&format!("instance keep {id}"))).context("a keeper")?;
    let pid = keeper.split(['/', ' ']).nth(2).context("an id")?;
    tool("kill", &["-KILL", pid])?;
    kiln.no_processes(LONG)?;
    assert_eq!(state(&kiln, &id)?, "stopped");
    kiln.json(&["instance", "start", &id, "--json"])?;
    assert_eq!(state(&kiln, &id)?, "running");

    kiln.run(&["instance", "stop", &id, "--force"])?;
    let ended = kiln.run(&["instance", "terminate", &id])?;
    assert!(ended.stderr.contains("/dev/sdf goes on as snap-"), "{}", ended.stderr);
    let unknown = kiln.run(&["instance", "show", "--account", "111111111111", &id])?;
    assert!(unknown.stderr.starts_with("error: InvalidInstanceID.NotFound: "), "{}", unknown.stderr);
    Ok(())
}
