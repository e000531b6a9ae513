//! The life of an image: built, tested, shared, found and launched by another account, customised there, made into an image of
//! theirs, copied to S3, launched from there, deprecated, deregistered, and collected.

use crate::{tiny, world};
use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, Run, S3, tiny_template};
use serde_json::Value;
use std::{
    thread,
    time::{Duration, Instant},
};

const FRIEND: &str = "111111111111";
const LONG: Duration = Duration::from_secs(240);

/// A guest that notes each of its starts.
const TEMPLATE: &str = "[image]\nname = \"web\"\n[[provisioner]]\ntype = \"shell\"\ninline = [\n\
    \"mkdir -p /srv\", \"echo 'echo start >> /srv/starts; sync; cat /srv/starts; echo NOTED' > /etc/rc.local\",\n]\n\
    [[test]]\ntype = \"file\"\npath = \"/etc/rc.local\"\n";

struct World {
    kiln: Kiln,
    s3: S3,
    config: String,
}

impl World {
    fn run(&self, words: &[&str]) -> Result<Run> {
        let mut command = self.kiln.command(&[words, &["--config", &self.config]].concat());
        Ok(Run::from(command.envs(self.s3.environment()).output()?))
    }

    fn done(&self, words: &[&str]) -> Result<String> {
        let run = self.run(words)?;
        ensure!(run.code == Some(0), "{words:?}: {run:?}");
        Ok(run.stdout)
    }

    /// Runs a command, and returns the first of what it lists.
    fn first(&self, words: &[&str], list: &str) -> Result<Value> {
        let document: Value = serde_json::from_str(&self.done(&[words, &["--json"]].concat())?)?;
        document[list].get(0).cloned().with_context(|| format!("{list} of {document}"))
    }

    /// Launches an image, waits until its guest has noted its start, and returns its id and how many starts it knows of.
    fn launched(&self, words: &[&str]) -> Result<(String, usize)> {
        let usual = ["launch", "--cpus", "1", "--memory", "256MiB"];
        let instance = self.first(&[&usual, words].concat(), "Instances")?;
        let id = instance["InstanceId"].as_str().context("an id")?.to_owned();
        let account = instance["OwnerId"].as_str().context("an account")?;
        let until = Instant::now() + LONG;
        loop {
            let said = self.done(&["instance", "console", &id, "--account", account])?;
            if said.contains("NOTED") {
                let starts = said.lines().filter(|line| line.trim() == "start").count();
                return Ok((id, starts));
            }
            ensure!(Instant::now() < until, "{said}");
            thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn an_image_lives_among_accounts_and_regions() -> Result<()> {
    let kiln = world()?;
    let config = kiln.world.file("config.toml", "")?.display().to_string();
    let world = World { kiln, s3: S3::start()?, config };
    let team = world.kiln.world.path().join("team").display().to_string();
    world.done(&["region", "add", "team", &team])?;
    world.done(&["region", "add", "eu", "s3://bucket/images"])?;
    let folder = world.kiln.world.template("web", &tiny_template(&tiny()?, TEMPLATE))?;
    let built = world.first(&["build", folder.to_str().context("a path")?], "Builds")?;
    let image = built["ImageId"].as_str().context("an id")?;

    // Shared with another account, which finds it, launches it, and makes an image of what became of it.
    world.done(&["image", "share", image, "--add", &format!("account:{FRIEND}")])?;
    let as_friend = ["--account", FRIEND];
    let found = world.done(&[&["image", "list", "--filter", "name=w?b"][..], &as_friend].concat())?;
    assert!(found.contains(image), "{found}");
    let (instance, starts) = world.launched(&[&[image][..], &as_friend].concat())?;
    assert_eq!(starts, 1);
    let unseen = world.run(&["instance", "terminate", &instance])?;
    assert!(unseen.stderr.starts_with("error: InvalidInstanceID.NotFound: "), "{}", unseen.stderr);
    world.done(&[&["instance", "stop", "--force", &instance][..], &as_friend].concat())?;
    let words = ["instance", "create-image", &instance, "--name", "web-customised"];
    let customised = world.first(&[&words[..], &as_friend].concat(), "Images")?;
    assert_eq!((&customised["OwnerId"], &customised["SourceImageId"]), (&FRIEND.into(), &image.into()));
    let customised = customised["ImageId"].as_str().context("an id")?.to_owned();

    // Copied into a bucket, it starts from there.
    let copy =
        world.first(&[&["image", "copy", &customised, "--to", "eu"][..], &as_friend].concat(), "Images")?;
    let copy = copy["ImageId"].as_str().context("an id")?.to_owned();
    let elsewhere = world.run(&[&["launch", &copy][..], &as_friend].concat())?;
    assert!(elsewhere.stderr.starts_with("error: InvalidAMIID.NotFound: "), "{}", elsewhere.stderr);
    let (other, starts) = world.launched(&[&[copy.as_str(), "--region", "eu"][..], &as_friend].concat())?;
    assert_eq!(starts, 2, "what the first instance wrote is in the copy");
    world.done(&[&["instance", "terminate", &other][..], &as_friend].concat())?;
    world.done(&[&["instance", "terminate", &instance][..], &as_friend].concat())?;
    world.kiln.no_processes(LONG)?;

    // Disabled, it starts nowhere; deregistered, its blocks go.
    let eu = ["--region", "eu", "--account", FRIEND];
    world.done(&[&["image", "edit", &copy, "--disable"][..], &eu].concat())?;
    let disabled = world.run(&[&["launch", &copy][..], &eu].concat())?;
    assert!(disabled.stderr.starts_with("error: InvalidAMIID.Unavailable: "), "{}", disabled.stderr);
    world.done(&[&["image", "deregister", &copy, "--delete-snapshots"][..], &eu].concat())?;
    let packs = || world.s3.objects().iter().filter(|object| object.contains("packs/")).count();
    assert_ne!(packs(), 0);
    for _mark_and_sweep in 0..2 {
        world.done(&[&["gc", "--grace", "0s"][..], &eu].concat())?;
    }
    assert_eq!(packs(), 0);
    for region in ["local", "eu"] {
        world.done(&["fsck", "--region", region])?;
    }
    Ok(())
}
