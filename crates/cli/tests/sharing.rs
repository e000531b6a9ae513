//! Who may do what with a snapshot, on the command line: its owner, whom it is shared with, and everybody else.

use anyhow::{Context, Result, ensure};
use kiln_testkit::Kiln;
use serde_json::Value;

const OWNER: &str = "000000000000";
const FRIEND: &str = "111111111111";
const STRANGER: &str = "222222222222";

/// What stands for a snapshot's id in a row.
const SNAPSHOT: &str = "SNAPSHOT";

/// An installation whose configuration names a second region, `team`.
fn installation() -> Result<Kiln> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let team = kiln.world.path().join("team").display().to_string();
    kiln.world.file("config.toml", "")?;
    done(&kiln, OWNER, &["region", "add", "team", &team])?;
    Ok(kiln)
}

/// Runs a command as an account; returns what it printed, or the first line of why it refused.
fn said(kiln: &Kiln, account: &str, words: &[&str]) -> Result<std::result::Result<String, String>> {
    let config = kiln.world.path().join("config.toml").display().to_string();
    let run = kiln.run(&[words, &["--account", account, "--config", &config]].concat())?;
    let error = || run.stderr.lines().find(|line| line.starts_with("error: ")).map(str::to_owned);
    match run.code {
        Some(0) => Ok(Ok(run.stdout)),
        Some(1) => error().map(Err).with_context(|| format!("{words:?}: {run:?}")),
        _ => anyhow::bail!("{words:?}: {run:?}"),
    }
}

fn done(kiln: &Kiln, account: &str, words: &[&str]) -> Result<String> {
    said(kiln, account, words)?.map_err(|error| anyhow::anyhow!("{words:?}: {error}"))
}

fn shown(kiln: &Kiln, account: &str, snapshot: &str) -> Result<Value> {
    let text = done(kiln, account, &["snapshot", "show", snapshot, "--json"])?;
    Ok(serde_json::from_str::<Value>(&text)?["Snapshots"][0].take())
}

/// Makes a snapshot that is shared so.
fn snapshot(kiln: &Kiln, account: &str, description: &str, shares: &[&str]) -> Result<String> {
    let disk = kiln.world.file("disk.raw", description.repeat(1000))?.display().to_string();
    let words =
        ["snapshot", "create", &disk, "--format", "raw", "--description", description, "--tag", "A=b"];
    let id = done(kiln, account, &words)?.trim_end().to_owned();
    for who in shares {
        done(kiln, account, &["snapshot", "share", &id, "--add", who])?;
    }
    Ok(id)
}

#[test]
fn what_accounts_see_of_snapshots() -> Result<()> {
    let kiln = installation()?;
    let friend = format!("account:{FRIEND}");
    for (shares, see) in [
        (&[][..], &[OWNER][..]),
        (&[&*friend], &[OWNER, FRIEND]),
        (&["public"], &[OWNER, FRIEND, STRANGER]),
        (&[&*friend, "public"], &[OWNER, FRIEND, STRANGER]),
    ] {
        let id = snapshot(&kiln, OWNER, "a disk", shares)?;
        for account in [OWNER, FRIEND, STRANGER] {
            let (row, sees) = (format!("{shares:?} {account}"), see.contains(&account));
            assert_eq!(done(&kiln, account, &["snapshot", "list"])?.contains(&id), sees, "{row}");
            if !sees {
                let missing = format!("error: InvalidSnapshot.NotFound: The snapshot '{id}' does not exist.");
                assert_eq!(said(&kiln, account, &["snapshot", "show", &id])?, Err(missing), "{row}");
                continue;
            }
            let (record, owns) = (shown(&kiln, account, &id)?, account == OWNER);
            assert_eq!(record["Tags"] != serde_json::json!([]), owns, "{row}: tags are the owner's");
            let permissions = record.get("CreateVolumePermissions").is_some();
            assert_eq!(permissions, owns && !shares.is_empty(), "{row}: permissions are the owner's");
            let table = done(&kiln, account, &["snapshot", "show", &id])?;
            assert_eq!(
                table.matches("create volume").count(),
                if owns { shares.len() } else { 0 },
                "{table}"
            );
        }
    }
    Ok(())
}

#[test]
fn permissions_are_given_and_taken() -> Result<()> {
    let kiln = installation()?;
    let (friend, stranger) = (format!("account:{FRIEND}"), format!("account:{STRANGER}"));
    let id = snapshot(&kiln, OWNER, "a disk", &[])?;
    let user = |id: &str| serde_json::json!({"UserId": id});
    let all = serde_json::json!({"Group": "all"});
    for (words, left) in [
        (&["--add", &friend][..], vec![user(FRIEND)]),
        (&["--add", FRIEND], vec![user(FRIEND)]),
        (&["--add", "public", "--add", &stranger], vec![all, user(FRIEND), user(STRANGER)]),
        (&["--remove", "all", "--remove", &friend], vec![user(STRANGER)]),
        (&["--remove", STRANGER, "--add", &friend], vec![user(FRIEND)]),
        (&["--remove", &friend], vec![]),
    ] {
        let said = done(&kiln, OWNER, &[&["snapshot", "share", &id], words].concat())?;
        assert_eq!(said.lines().count(), 1 + left.len(), "{words:?}: {said}");
        let permissions = shown(&kiln, OWNER, &id)?;
        let permissions = permissions.get("CreateVolumePermissions").cloned().unwrap_or(Value::Array(vec![]));
        assert_eq!(permissions, Value::Array(left), "{words:?}");
    }
    for words in
        [&["--add", "arn:aws:organizations::123456789012:organization/o-a"][..], &["--add", "42"], &[]]
    {
        let run = kiln.run(&[&["snapshot", "share", &id], words].concat())?;
        assert_eq!(run.code, Some(2), "{words:?}: {run:?}");
    }
    done(&kiln, OWNER, &["snapshot", "share", &id, "--add", "public"])?;
    let copied = done(&kiln, OWNER, &["snapshot", "copy", &id, "--to", "team"])?;
    let copy = shown_in_team(&kiln, copied.trim_end())?;
    ensure!(copy.get("CreateVolumePermissions").is_none(), "a copy is nobody else's: {copy}");
    Ok(())
}

fn shown_in_team(kiln: &Kiln, id: &str) -> Result<Value> {
    let text = done(kiln, OWNER, &["snapshot", "show", id, "--json", "--region", "team"])?;
    Ok(serde_json::from_str::<Value>(&text)?["Snapshots"][0].take())
}

/// What becomes of a command of whom a snapshot is shared with.
#[derive(Clone, Copy, PartialEq)]
enum Friend {
    May,
    MayNot,
}

#[test]
fn what_accounts_do_with_a_snapshot() -> Result<()> {
    let kiln = installation()?;
    let id = snapshot(&kiln, OWNER, "a disk", &[&format!("account:{FRIEND}")])?;
    let disk = kiln.world.file("new.raw", "a new disk".repeat(1000))?.display().to_string();
    let out = kiln.world.path().join("out.raw").display().to_string();
    let not_found = format!("error: InvalidSnapshot.NotFound: The snapshot '{id}' does not exist.");
    let no_device = format!("error: InvalidSnapshotID.NotFound: The snapshot ID '{id}' does not exist");
    let mapping = format!("/dev/sda1={SNAPSHOT}:4");
    for (words, friend, stranger) in [
        (&["snapshot", "show", SNAPSHOT][..], Friend::May, &not_found),
        (&["snapshot", "diff", SNAPSHOT, SNAPSHOT], Friend::May, &not_found),
        (&["snapshot", "verify", SNAPSHOT], Friend::May, &not_found),
        (&["snapshot", "copy", SNAPSHOT, "--to", "team"], Friend::May, &not_found),
        (&["snapshot", "create", &disk, "--format", "raw", "--parent", SNAPSHOT], Friend::May, &not_found),
        (&["image", "diff", SNAPSHOT, SNAPSHOT], Friend::May, &not_found),
        (
            &["image", "register", "--name", "web", "--block-device-mapping", &mapping],
            Friend::May,
            &no_device,
        ),
        (&["export", SNAPSHOT, "--output", &out], Friend::May, &not_found),
        (&["snapshot", "edit", SNAPSHOT, "--tag", "A=c"], Friend::MayNot, &not_found),
        (&["snapshot", "share", SNAPSHOT, "--add", STRANGER], Friend::MayNot, &not_found),
        (&["snapshot", "delete", SNAPSHOT], Friend::MayNot, &not_found),
    ] {
        let words: Vec<_> = words.iter().map(|word| word.replace(SNAPSHOT, &id)).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        assert_eq!(&said(&kiln, STRANGER, &words)?.expect_err(&format!("{words:?}")), stranger, "{words:?}");
        let as_friend = said(&kiln, FRIEND, &words)?;
        match friend {
            Friend::May => ensure!(as_friend.is_ok(), "{words:?}: {as_friend:?}"),
            Friend::MayNot => {
                let denied = format!("error: AuthFailure: Not authorized for snapshot:{id}");
                assert_eq!(as_friend, Err(denied), "{words:?}");
            }
        }
    }
    assert_eq!(shown(&kiln, OWNER, &id)?["Tags"], serde_json::json!([{"Key": "A", "Value": "b"}]));
    // Whoever looks after a region looks after all of it.
    let checked = done(&kiln, STRANGER, &["fsck"])?;
    done(&kiln, STRANGER, &["gc"])?;
    assert_eq!(checked, done(&kiln, OWNER, &["fsck"])?);
    done(&kiln, OWNER, &["snapshot", "verify", &id])?;
    Ok(())
}

#[test]
fn lists_are_asked_as_ec2s_are() -> Result<()> {
    let kiln = installation()?;
    let (friend, owner) = (format!("account:{FRIEND}"), format!("account:{OWNER}"));
    for (account, name, shares) in [
        (OWNER, "mine", &[][..]),
        (OWNER, "lent", &[&*friend]),
        (OWNER, "given", &["public"]),
        (FRIEND, "hidden", &[]),
        (FRIEND, "borrowed", &[&*owner]),
        (FRIEND, "found", &["public"]),
    ] {
        snapshot(&kiln, account, name, shares)?;
    }
    for (owners, restorable_by, listed) in [
        (&[][..], &[][..], &["borrowed", "found", "given", "lent", "mine"][..]),
        (&["self"], &[], &["given", "lent", "mine"]),
        (&[OWNER], &[], &["given", "lent", "mine"]),
        (&[FRIEND], &[], &["borrowed", "found"]),
        (&[STRANGER], &[], &[]),
        (&["self", FRIEND], &[], &["borrowed", "found", "given", "lent", "mine"]),
        (&[], &["self"], &["borrowed", "given", "lent", "mine"]),
        (&[], &["all"], &["found", "given"]),
        (&[], &[FRIEND], &["lent"]),
        (&["self"], &["self"], &["given", "lent", "mine"]),
        (&["self"], &["all"], &["given"]),
        (&["self"], &[FRIEND], &["lent"]),
        (&["self"], &[STRANGER], &[]),
        (&[FRIEND], &["self"], &["borrowed"]),
        (&[FRIEND], &["all"], &["found"]),
        (&[FRIEND], &[OWNER], &["borrowed"]),
        (&["self"], &["all", FRIEND], &["given", "lent"]),
    ] {
        let owners = owners.iter().flat_map(|owner| ["--owner", owner]);
        let restorable_by = restorable_by.iter().flat_map(|who| ["--restorable-by", who]);
        let words: Vec<_> =
            ["snapshot", "list", "--json"].into_iter().chain(owners).chain(restorable_by).collect();
        let document: Value = serde_json::from_str(&done(&kiln, OWNER, &words)?)?;
        let snapshots = document["Snapshots"].as_array().context("snapshots")?;
        let mut names: Vec<_> = snapshots.iter().filter_map(|one| one["Description"].as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, listed, "{words:?}");
    }
    for words in [["--owner", "all"], ["--restorable-by", "42"]] {
        assert_eq!(kiln.run(&[&["snapshot", "list"], &words[..]].concat())?.code, Some(2), "{words:?}");
    }
    Ok(())
}

#[test]
fn a_shared_image_gives_no_right_to_its_snapshots() -> Result<()> {
    let kiln = installation()?;
    let (root, data) = (snapshot(&kiln, OWNER, "root", &[])?, snapshot(&kiln, OWNER, "data", &[])?);
    let devices = [format!("/dev/sda1={root}"), format!("/dev/sdf={data}")];
    let mut register = vec!["image", "register", "--name", "web"];
    register.extend(devices.iter().flat_map(|device| ["--block-device-mapping", device]));
    let image = done(&kiln, OWNER, &register)?.trim_end().to_owned();
    done(&kiln, OWNER, &["image", "share", &image, "--add", FRIEND])?;

    // As whoever launches it, whoever builds from it has its volumes, the data's as it lies.
    let from = |name: &str| {
        let source = format!("[source]\ntype = \"image\"\nid = \"{image}\"\n");
        let text = format!("[template]\nname = \"{name}\"\n{source}[image]\nname = \"{name}\"\n");
        let folder = kiln.world.template(name, &text)?.display().to_string();
        anyhow::Ok(serde_json::from_str::<Value>(&done(&kiln, FRIEND, &["build", &folder, "--json"])?)?)
    };
    let built = from("grown")?;
    assert_eq!(built["Builds"][0]["SnapshotIds"][1], data.as_str(), "{built:#}");
    let own = built["Builds"][0]["SnapshotIds"][0].as_str().context("a root")?;
    assert_eq!(shown(&kiln, FRIEND, own)?["OwnerId"], FRIEND, "who builds owns what was built");

    let out = kiln.world.path().join("out.raw").display().to_string();
    let copy = ["image", "copy", &image, "--to", "team"];
    let reading = [&copy[..], &["export", &image, "--output", &out], &["image", "diff", &image, own]];
    let denied = "error: InvalidRequest: You do not have permission to access the storage of this ami";
    for words in reading {
        assert_eq!(said(&kiln, FRIEND, words)?, Err(denied.to_owned()), "{words:?}");
    }
    let team = kiln.world.path().join("config.toml").display().to_string();
    let hint = kiln.run(&[&copy[..], &["--account", FRIEND, "--config", &team]].concat())?.stderr;
    for id in [&root, &data] {
        let command = format!("kiln snapshot share {id} --add account:{FRIEND}");
        ensure!(hint.contains(&command), "{hint}");
        done(&kiln, OWNER, &command.split(' ').skip(1).collect::<Vec<_>>())?;
        assert_eq!(said(&kiln, FRIEND, &copy)?.is_err(), *id == root, "all of its snapshots are needed");
    }
    for words in &reading[1..] {
        done(&kiln, FRIEND, words)?;
    }
    let device = format!("/dev/sdf={data}");
    done(&kiln, OWNER, &["snapshot", "share", &data, "--remove", FRIEND])?;
    let taken = ["image", "register", "--name", "mine", "--root-device-name", "/dev/sdf"];
    let missing = format!("error: InvalidSnapshotID.NotFound: The snapshot ID '{data}' does not exist");
    assert_eq!(
        said(&kiln, FRIEND, &[&taken[..], &["--block-device-mapping", &device]].concat())?,
        Err(missing)
    );

    // An image that another account made of it keeps a snapshot, and its owner is told which.
    let in_use = said(&kiln, OWNER, &["snapshot", "delete", &data])?.expect_err("it is in use");
    ensure!(in_use.starts_with("error: InvalidSnapshot.InUse: "), "{in_use}");
    let gone = ["image", "deregister", "grown", "--delete-snapshots", "--json"];
    let gone: Value = serde_json::from_str(&done(&kiln, FRIEND, &gone)?)?;
    assert_eq!(gone["DeleteSnapshotResults"][0]["ReturnCode"], "success", "{gone:#}");
    assert_eq!(gone["DeleteSnapshotResults"][1]["ReturnCode"], "skipped", "{gone:#}");
    Ok(())
}
