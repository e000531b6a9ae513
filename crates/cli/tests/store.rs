//! Regions and snapshots on the command line, without a machine.

use anyhow::{Context, Result, ensure};
use kiln_testkit::{Kiln, tool};

fn world() -> Result<Kiln> {
    Kiln::new(env!("CARGO_BIN_EXE_kiln"))
}

fn done(kiln: &Kiln, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(0), "{words:?}: {run:?}");
    Ok(run.stdout)
}

/// Runs a command that must be refused with this code, and returns the line that says why.
fn refused(kiln: &Kiln, code: i32, words: &[&str]) -> Result<String> {
    let run = kiln.run(words)?;
    ensure!(run.code == Some(code), "{words:?}: {run:?}");
    let line = run.stderr.lines().find(|line| line.starts_with("error: "));
    Ok(line.unwrap_or_default().to_owned())
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

    // What it holds goes to and fro.
    let snapshot = kiln.json(&[&["snapshot", "list", "--json"], &there[..]].concat())?;
    let snapshot = snapshot["Snapshots"][0]["SnapshotId"].as_str().context("an id")?.to_owned();
    let copied = done(&kiln, &[&["snapshot", "copy", &snapshot, "--to", "local"], &there[..]].concat())?;
    assert_eq!(exported(&kiln, copied.trim_end())?, [7; 4096]);
    let back = done(&kiln, &["snapshot", "copy", copied.trim_end(), "--to", "team", "--config", config])?;
    let back = kiln.json(&[&["snapshot", "show", back.trim_end(), "--json"], &there[..]].concat())?;
    assert_eq!(back["Snapshots"][0]["Kiln"]["NewBlocks"], 0, "the region has its block already");

    done(&kiln, &["region", "remove", "team", "--config", config])?;
    assert_eq!(fs_err::read_to_string(config)?, "# Ours.\n");
    let gone = refused(&kiln, 2, &[&["image", "list"], &there[..]].concat())?;
    assert_eq!(gone, "error: there is no region team in the configuration");
    Ok(())
}

/// Some blocks of a disk: text of a seed, or zeros where the seed is 0.
fn disk(seeds: &[u8]) -> Vec<u8> {
    let block = |seed: &u8| {
        let line = if *seed == 0 { vec![0] } else { format!("line {seed} of a disk\n").into_bytes() };
        line.into_iter().cycle().take(512 << 10).collect::<Vec<u8>>()
    };
    seeds.iter().flat_map(block).collect()
}

fn path(path: &std::path::Path) -> Result<&str> {
    path.to_str().context("a path")
}

fn create(kiln: &Kiln, file: &str, more: &[&str]) -> Result<String> {
    Ok(done(kiln, &[&["snapshot", "create", file], more].concat())?.trim_end().to_owned())
}

fn exported(kiln: &Kiln, snapshot: &str) -> Result<Vec<u8>> {
    let file = kiln.world.path().join("exported.raw");
    done(kiln, &["export", snapshot, "--output", path(&file)?])?;
    Ok(fs_err::read(file)?)
}

#[test]
fn disks_of_every_format_become_snapshots() -> Result<()> {
    let kiln = world()?;
    let mut content = disk(&[1, 0, 2, 3]);
    content.truncate(content.len() - 1000 * 512);
    let raw = kiln.world.file("disk.raw", &content)?;
    let parent =
        create(&kiln, path(&raw)?, &["--format", "raw", "--description", "the first", "--tag", "Role=db"])?;
    assert_eq!(exported(&kiln, &parent)?, content);
    let shown = &kiln.json(&["snapshot", "show", &parent, "--json"])?["Snapshots"][0];
    assert_eq!(shown["Description"], "the first");
    assert_eq!(shown["Tags"], serde_json::json!([{"Key": "Role", "Value": "db"}]));
    let edit = ["snapshot", "edit", &parent, "--tag", "Team=web", "--remove-tag", "Role", "--json"];
    let edited = &kiln.json(&edit)?["Snapshots"][0];
    assert_eq!(edited["Tags"], serde_json::json!([{"Key": "Team", "Value": "web"}]));
    assert_eq!(edited["Description"], "the first");
    done(&kiln, &["snapshot", "edit", &parent, "--description", "base"])?;
    ensure!(done(&kiln, &["snapshot", "show", &parent])?.contains("base\ntags          Team=web\n"));
    let others = [&edit[..], &["--account", "111111111111"]].concat();
    ensure!(refused(&kiln, 1, &others)?.starts_with("error: InvalidSnapshot.NotFound: "));
    ensure!(refused(&kiln, 1, &["snapshot", "edit", &parent, "--tag", "aws:x=y"])?.contains("aws:"));

    // The file has holes where its parent has data, and more blocks than it.
    let grown = disk(&[0, 0, 4, 3, 0, 5]);
    let sparse = kiln.world.path().join("sparse.raw");
    let grown_file = kiln.world.file("grown.raw", &grown)?;
    tool("cp", &["--sparse=always", path(&grown_file)?, path(&sparse)?])?;
    let child = create(&kiln, path(&sparse)?, &["--format", "raw", "--parent", &parent])?;
    assert_eq!(exported(&kiln, &child)?, grown);
    let changed = kiln.json(&["snapshot", "diff", &parent, &child, "--json"])?;
    let range = |start: u32, count: u32, written: &str| serde_json::json!({"StartingBlockIndex": start, "BlockCount": count, "WrittenIn": written});
    // The parent ended within block 2, and block 3 was none of its.
    assert_eq!(changed["ChangedRanges"][0], range(0, 1, "both"));
    let smaller =
        refused(&kiln, 1, &["snapshot", "create", path(&raw)?, "--format", "raw", "--parent", &child])?;
    ensure!(smaller.contains("a child may not be smaller"), "{smaller}");

    for (format, size) in [("qcow2", content.len()), ("vmdk", content.len()), ("vpc", 0), ("vhdx", 0)] {
        let file = kiln.world.path().join(format!("disk.{format}"));
        tool("qemu-img", &["convert", "-f", "raw", "-O", format, path(&raw)?, path(&file)?])?;
        let snapshot = create(&kiln, path(&file)?, &[])?;
        let found = exported(&kiln, &snapshot)?;
        // Some formats round the size up.
        ensure!(
            found.starts_with(&content) && (size == 0 || found.len() == size),
            "{format}: {}",
            found.len()
        );
        ensure!(done(&kiln, &["snapshot", "verify", &snapshot])?.ends_with(" blocks, 0 damaged\n"));
    }
    Ok(())
}

#[test]
fn a_snapshot_is_deleted_when_no_image_names_it_and_its_blocks_are_collected() -> Result<()> {
    let kiln = world()?;
    let file = kiln.world.file("disk.raw", disk(&[1, 2]))?;
    let file = path(&file)?;
    let image =
        &kiln.json(&["image", "import", file, "--format", "raw", "--name", "web", "--json"])?["Images"][0];
    let image = image["ImageId"].as_str().context("an id")?;
    let snapshot = kiln.json(&["snapshot", "list", "--json"])?["Snapshots"][0]["SnapshotId"].clone();
    let snapshot = snapshot.as_str().context("an id")?;
    let used = refused(&kiln, 1, &["snapshot", "delete", snapshot])?;
    let expected =
        format!("error: InvalidSnapshot.InUse: The snapshot {snapshot} is currently in use by {image}");
    assert_eq!(used, expected);
    let denied = refused(&kiln, 1, &["snapshot", "delete", snapshot, "--account", "111111111111"])?;
    ensure!(denied.starts_with("error: InvalidSnapshot.NotFound: "), "{denied}");

    let child = create(
        &kiln,
        path(&kiln.world.file("next.raw", disk(&[1, 3]))?)?,
        &["--format", "raw", "--parent", snapshot],
    )?;
    done(&kiln, &["image", "deregister", image])?;
    done(&kiln, &["snapshot", "delete", snapshot])?;
    ensure!(done(&kiln, &["gc"])?.ends_with(": younger than 1d, and wait\n"));
    ensure!(done(&kiln, &["gc", "--grace", "0s", "--dry-run"])?.contains("would be deleted"));
    // Half of the parent's pack is dead.
    let first = done(&kiln, &["gc", "--grace", "0s"])?;
    ensure!(
        first.contains(": deleted\n") && first.contains(": dead in packs that were written anew\n"),
        "{first}"
    );
    ensure!(done(&kiln, &["gc", "--grace", "0s"])?.contains(": deleted\n"));
    assert_eq!(done(&kiln, &["gc", "--grace", "0s"])?, "no garbage\n");
    assert_eq!(exported(&kiln, &child)?, disk(&[1, 3]));
    assert_eq!(done(&kiln, &["fsck"])?, "2 packs, 2 blocks, 1 snapshots: no damage\n");

    for pack in fs_err::read_dir(kiln.world.home().join("regions/local/packs"))? {
        let pack = pack?.path();
        let mut bytes = fs_err::read(&pack)?;
        bytes[20] ^= 1;
        fs_err::write(pack, bytes)?;
    }
    for words in [&["fsck"][..], &["fsck", "--repair", "--json"], &["snapshot", "verify", &child]] {
        assert_eq!(kiln.run(words)?.code, Some(1), "{words:?}");
    }
    let state = kiln.json(&["snapshot", "show", &child, "--json"])?["Snapshots"][0]["State"].clone();
    assert_eq!(state, "error");
    assert_eq!(kiln.run(&["fsck"])?.code, Some(0));
    Ok(())
}
