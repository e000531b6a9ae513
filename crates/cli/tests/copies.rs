//! Images that go from region to region on the command line: two folders and a bucket, three accounts.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, Run, S3};
use serde_json::Value;
use std::path::Path;

const FRIEND: &str = "111111111111";
const STRANGER: &str = "222222222222";

/// An installation whose configuration names the regions `team`, a folder, and `eu`, in a bucket.
struct Regions {
    kiln: Kiln,
    s3: S3,
}

impl Regions {
    fn new() -> Result<Self> {
        let regions = Self { kiln: Kiln::new(env!("CARGO_BIN_EXE_kiln"))?, s3: S3::start()? };
        regions.kiln.world.file("config.toml", "")?;
        let team = regions.path("team");
        regions.done(&["region", "add", "team", &team])?;
        regions.done(&["region", "add", "eu", "s3://bucket/images"])?;
        Ok(regions)
    }

    fn path(&self, name: &str) -> String {
        self.kiln.world.path().join(name).to_string_lossy().into_owned()
    }

    fn run(&self, words: &[&str]) -> Result<Run> {
        let config = self.path("config.toml");
        let mut command = self.kiln.command(&[words, &["--config", &config]].concat());
        Ok(Run::from(command.envs(self.s3.environment()).output()?))
    }

    fn done(&self, words: &[&str]) -> Result<String> {
        let run = self.run(words)?;
        ensure!(run.code == Some(0), "{words:?}: {run:?}");
        Ok(run.stdout)
    }

    fn image(&self, words: &[&str]) -> Result<Value> {
        let mut document: Value = serde_json::from_str(&self.done(&[words, &["--json"]].concat())?)?;
        Ok(document["Images"][0].take())
    }

    /// Runs a command that must be refused, and returns the first line of what it says.
    fn refused(&self, words: &[&str]) -> Result<String> {
        let run = self.run(words)?;
        ensure!(run.code == Some(1), "{words:?}: {run:?}");
        let line = run.stderr.lines().find(|line| line.starts_with("error: "));
        Ok(line.unwrap_or_default().to_owned())
    }

    /// Makes a snapshot of some blocks.
    fn snapshot(&self, seeds: &[u8]) -> Result<String> {
        let file = self.kiln.world.file("disk.raw", blocks(seeds))?;
        let file = file.to_str().context("a path")?;
        Ok(self.done(&["snapshot", "create", file, "--format", "raw"])?.trim_end().to_owned())
    }

    /// Registers `web` with a root of three blocks and a volume of two, of which one is the root's too.
    fn web(&self) -> Result<String> {
        let (root, data) = (self.snapshot(&[1, 2, 3])?, self.snapshot(&[3, 4])?);
        let (root, data) = (format!("/dev/sda1={root}:9"), format!("/dev/sdf={data}::false:gp3"));
        let words = ["image", "register", "--name", "web", "--description", "a page", "--tag", "Role=web"];
        let devices = ["--block-device-mapping", &root, "--block-device-mapping", &data];
        Ok(self.done(&[&words[..], &devices].concat())?.trim_end().to_owned())
    }

    /// Returns how many new blocks the volumes of an image brought into its region, and what its volumes hold.
    fn volumes(&self, image: &Value, region: &str) -> Result<Vec<(u64, Vec<u8>)>> {
        let mappings = image["BlockDeviceMappings"].as_array().context("mappings")?;
        let volume = |mapping: &Value| {
            let id = mapping["Ebs"]["SnapshotId"].as_str().context("a snapshot")?;
            let shown = self.done(&["snapshot", "show", id, "--region", region, "--json"])?;
            let shown: Value = serde_json::from_str(&shown)?;
            let new = shown["Snapshots"][0]["Kiln"]["NewBlocks"].as_u64().context("a count")?;
            let out = self.path("exported.raw");
            self.done(&["export", id, "--region", region, "-o", &out])?;
            Ok((new, fs_err::read(&out)?))
        };
        mappings.iter().map(volume).collect()
    }
}

fn blocks(seeds: &[u8]) -> Vec<u8> {
    let block =
        |seed: &u8| format!("line {seed} of a disk\n").into_bytes().into_iter().cycle().take(512 << 10);
    seeds.iter().flat_map(block).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn an_image_goes_from_folder_to_folder_to_bucket_and_back() -> Result<()> {
    let regions = Regions::new()?;
    let web = regions.web()?;
    regions.done(&["image", "share", &web, "--add", &format!("account:{FRIEND}")])?;
    regions.done(&["image", "edit", &web, "--deprecate-in", "90d", "--protection", "enabled"])?;

    let team = regions.image(&["image", "copy", "web", "--to", "team"])?;
    let id = text(&team["ImageId"]).to_owned();
    ensure!(id != web && team["SourceImageId"] == *web && team["SourceImageRegion"] == "local", "{team}");
    ensure!(
        team["Name"] == "web" && team["Description"] == "a page" && team["Tags"] == serde_json::json!([])
    );
    ensure!(team.get("LaunchPermissions").is_none() && team.get("DeprecationTime").is_none(), "{team}");
    ensure!(team["DeregistrationProtection"] == "disabled" && team["State"] == "available", "{team}");
    let ebs = |image: &Value, index: usize| image["BlockDeviceMappings"][index]["Ebs"].clone();
    ensure!(ebs(&team, 0)["VolumeSize"] == 9 && ebs(&team, 1)["VolumeType"] == "gp3", "{team}");
    let volumes = regions.volumes(&team, "team")?;
    ensure!(volumes == [(3, blocks(&[1, 2, 3])), (1, blocks(&[3, 4]))]);

    let taken = regions.refused(&["image", "copy", &web, "--to", "team"])?;
    let expected = format!("error: InvalidAMIName.Duplicate: AMI name web is already in use by AMI {id}");
    ensure!(taken == expected, "{taken}");
    let again = ["image", "copy", &web, "--to", "team", "--name", "web 2", "--description", "again"];
    let again = regions.image(&again)?;
    ensure!(again["Description"] == "again" && ebs(&again, 0)["SnapshotId"] != ebs(&team, 0)["SnapshotId"]);
    ensure!(regions.volumes(&again, "team")?.iter().all(|(new, _)| *new == 0), "all of it was there");

    regions.done(&["image", "edit", &id, "--region", "team", "--tag", "Stage=test"])?;
    regions.done(&["image", "share", &id, "--region", "team", "--add", "public"])?;
    let both = ["--copy-tags", "--copy-permissions"];
    let there =
        regions.image(&[&["image", "copy", &id, "--region", "team", "--to", "eu"], &both[..]].concat())?;
    ensure!(there["SourceImageRegion"] == "team" && there["Public"] == true, "{there}");
    ensure!(there["Tags"] == serde_json::json!([{"Key": "Stage", "Value": "test"}]), "{there}");
    let back =
        ["image", "copy", text(&there["ImageId"]), "--region", "eu", "--to", "local", "--name", "back"];
    let back = regions.image(&back)?;
    ensure!(back["Kiln"]["Lineage"] == serde_json::json!([web, id, there["ImageId"]]), "{back}");
    let volumes = regions.volumes(&back, "local")?;
    ensure!(volumes == [(0, blocks(&[1, 2, 3])), (0, blocks(&[3, 4]))]);
    for region in ["local", "team", "eu"] {
        ensure!(regions.done(&["fsck", "--region", region])?.contains("no damage"));
    }
    Ok(())
}

#[test]
fn who_may_not_see_an_image_may_not_copy_it() -> Result<()> {
    let regions = Regions::new()?;
    let web = regions.web()?;
    regions.done(&["image", "share", &web, "--add", &format!("account:{FRIEND}")])?;
    let copy = ["image", "copy", &web, "--to", "team", "--account"];
    let hidden = regions.refused(&[&copy[..], &[STRANGER]].concat())?;
    ensure!(hidden == format!("error: InvalidAMIID.NotFound: The image id '[{web}]' does not exist"));
    let others = regions.refused(&[&copy[..], &[FRIEND, "--copy-permissions"]].concat())?;
    ensure!(others == format!("error: AuthFailure: Not authorized for image:{web}"), "{others}");
    for mapping in
        regions.image(&["image", "show", &web])?["BlockDeviceMappings"].as_array().context("mappings")?
    {
        regions.done(&["snapshot", "share", text(&mapping["Ebs"]["SnapshotId"]), "--add", FRIEND])?;
    }
    let theirs = regions.image(&[&copy[..], &[FRIEND, "--copy-tags"]].concat())?;
    ensure!(theirs["OwnerId"] == FRIEND && theirs["Tags"] == serde_json::json!([]), "{theirs}");
    ensure!(theirs["ImageLocation"] == format!("{FRIEND}/web"), "{theirs}");
    // Their name is not the owner's.
    regions.done(&["image", "copy", &web, "--to", "team"])?;

    regions.done(&["image", "edit", &web, "--disable"])?;
    let disabled = regions.refused(&["image", "copy", &web, "--to", "eu"])?;
    ensure!(
        disabled.starts_with(&format!("error: IncorrectState: The image '{web}' is in state 'disabled'"))
    );
    let nowhere = regions.run(&["image", "copy", &web, "--to", "mars"])?;
    ensure!(nowhere.code == Some(2) && nowhere.stderr.contains("no region mars"), "{nowhere:?}");
    Ok(())
}

#[test]
fn a_copy_that_failed_leaves_no_image_and_is_taken_up_again() -> Result<()> {
    let regions = Regions::new()?;
    let web = regions.web()?;
    let image = regions.image(&["image", "show", &web])?;
    let data = text(&image["BlockDeviceMappings"][1]["Ebs"]["SnapshotId"]).to_owned();
    // Its block that is not the root's lies in a pack of its own.
    let packs = regions.kiln.world.home().join("regions/local/packs");
    let mut packs: Vec<_> = fs_err::read_dir(packs)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    packs.sort_by_key(|pack| fs_err::metadata(pack).map(|pack| pack.len()).ok());
    let small = packs.first().context("a pack")?;
    let whole = fs_err::read(small)?;
    let mut damaged = whole.clone();
    damaged[20] ^= 1;
    fs_err::write(small, damaged)?;
    ensure!(regions.run(&["snapshot", "verify", &data])?.code == Some(1), "the second volume is damaged");
    for region in ["team", "eu"] {
        let failed = regions.run(&["image", "copy", &web, "--to", region])?;
        ensure!(failed.code == Some(1), "{failed:?}");
    }
    fs_err::write(small, whole)?;
    for region in ["team", "eu"] {
        for what in ["image", "snapshot"] {
            let left = regions.done(&[what, "list", "--region", region])?;
            ensure!(left.lines().count() <= 1, "{left}");
        }
        let copied = regions.image(&["image", "copy", &web, "--to", region])?;
        let volumes = regions.volumes(&copied, region)?;
        ensure!(volumes == [(0, blocks(&[1, 2, 3])), (1, blocks(&[3, 4]))], "the root's blocks were there");
        ensure!(regions.done(&["fsck", "--region", region])?.contains("no damage"));
    }
    Ok(())
}

#[test]
fn an_image_of_a_bundle_takes_its_bundle_along() -> Result<()> {
    let regions = Regions::new()?;
    let noise: Vec<u8> = (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    regions.kiln.world.file("disk.raw", &noise)?;
    let (disk, keys, out) = (regions.path("disk.raw"), regions.path("keys"), regions.path("out"));
    regions.done(&["bundle", "keygen", "-o", &keys])?;
    let (cert, key) = (format!("{keys}/cert.pem"), format!("{keys}/key.pem"));
    let create = ["bundle", "create", &disk, "--prefix", "d", "-o", &out, "--part-size", "256KiB"];
    let pair = ["--cert", &cert, "--key", &key, "--ec2cert", &cert, "--user", "123456789012"];
    regions.done(&[&create[..], &pair].concat())?;
    let manifest = format!("{out}/d.manifest.xml");
    let register = ["image", "register", "--name", "bundled", "--image-location", &manifest];
    let image = regions.done(&register)?.trim_end().to_owned();

    // A part that is gone stops the copy; those that arrived are not sent again.
    let part = Path::new(&out).join("d.part.03");
    let bytes = fs_err::read(&part)?;
    fs_err::remove_file(&part)?;
    let missing = regions.run(&["image", "copy", "bundled", "--to", "eu"])?;
    ensure!(missing.code == Some(1) && missing.stderr.contains("is missing"), "{missing:?}");
    fs_err::write(&part, bytes)?;
    drop(regions.s3.requests());
    let there = regions.image(&["image", "copy", "bundled", "--to", "eu"])?;
    let place = format!("bucket/images/bundles/{image}/d.manifest.xml");
    ensure!(there["ImageLocation"] == *place && there["RootDeviceType"] == "instance-store", "{there}");
    let sent = regions.s3.requests();
    ensure!(sent.iter().all(|request| !request.starts_with("PUT") || !request.ends_with("d.part.00")));

    let id = text(&there["ImageId"]);
    let team = regions.image(&["image", "copy", id, "--region", "eu", "--to", "team"])?;
    let location = text(&team["ImageLocation"]);
    ensure!(location == format!("{}/bundles/{id}/d.manifest.xml", regions.path("team")), "{team}");
    let back = regions.path("back.raw");
    regions.done(&["bundle", "extract", location, "--key", &key, "--cert", &cert, "-o", &back])?;
    ensure!(fs_err::read(&back)?.starts_with(&noise));
    Ok(())
}
