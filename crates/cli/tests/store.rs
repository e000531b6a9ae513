//! Regions and snapshots on the command line, without a machine.

use anyhow::{Context, Result, ensure};
use kiln_testkit::Kiln;

fn world() -> Result<Kiln> {
    Kiln::new(env!("CARGO_BIN_EXE_kiln"))
}

fn done(kiln: &Kiln, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(0), "{words:?}: {run:?}");
    Ok(run.stdout)
}

/// Runs a command that must be refused with this code, and returns the first line of what it says.
fn refused(kiln: &Kiln, code: i32, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(code), "{words:?}: {run:?}");
    Ok(run.stderr.lines().next().unwrap_or_default().to_owned())
}

#[test]
fn a_region_is_named_used_and_forgotten() -> Result<()> {
    let kiln = world()?;
    let config = kiln.world.file("config.toml", "# Ours.\n")?;
    let config = config.to_str().context("a path")?;
    let disk = kiln.world.file("disk.raw", [7; 4096])?;
    let disk = disk.to_str().context("a path")?;
    let folder = kiln.world.path().join("team").display().to_string();

    let added = done(&kiln, &["region", "add", "team", &folder, "--config", config])?;
    assert_eq!(added, format!("team is {folder}, owned by 000000000000\n"));
    let twice = refused(&kiln, 2, &["region", "add", "team", "/x", "--config", config])?;
    assert_eq!(twice, "error: a region is called team already");
    let refusal = refused(&kiln, 1, &["region", "add", "b", "gs://b", "--config", config])?;
    assert_eq!(refusal, "error: `gs://b` is neither a folder nor s3://bucket/prefix");
    let listed = kiln.json(&["region", "list", "--json", "--config", config])?;
    assert_eq!(listed["Regions"][1], serde_json::json!({"RegionName": "team", "Url": folder}));

    let there = ["--region", "team", "--config", config];
    let import = ["image", "import", disk, "--format", "raw", "--name", "web"];
    done(&kiln, &[&import[..], &there].concat())?;
    ensure!(done(&kiln, &[&["image", "list"], &there[..]].concat())?.contains("web"));
    ensure!(!done(&kiln, &["image", "list"])?.contains("web"), "it is not in the host's own region");
    // The one that made it is not needed to read it.
    let folder = std::path::Path::new(&folder);
    ensure!(folder.join("region.json").exists() && !kiln.world.home().join("regions/team").exists());

    done(&kiln, &["region", "remove", "team", "--config", config])?;
    assert_eq!(fs_err::read_to_string(config)?, "# Ours.\n");
    let gone = refused(&kiln, 2, &[&["image", "list"], &there[..]].concat())?;
    assert_eq!(gone, "error: there is no region team in the configuration");
    Ok(())
}
