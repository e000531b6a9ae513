//! `kill -9` at random points of everything that writes to a region: what was published stays whole, and what was not is
//! garbage that the next collection takes.

use anyhow::{Context, Result, ensure};
use kiln_testkit::Kiln;
use std::{
    collections::BTreeMap,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

/// How many commands are killed.
const KILLS: u32 = 200;

/// Numbers that look random and are the same in every run: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Bytes that do not compress.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        std::iter::repeat_with(|| self.below(u64::MAX).to_le_bytes()).flatten().take(count).collect()
    }
}

/// The disks that snapshots are made of, by the description of the snapshot.
struct Disks(BTreeMap<String, Vec<u8>>);

impl Disks {
    /// Disks that share some blocks and differ in others.
    fn make(kiln: &Kiln, random: &mut Random) -> Result<Self> {
        const BLOCK: usize = 512 << 10;
        let blocks: Vec<_> = (0..6).map(|_| random.bytes(BLOCK)).collect();
        let mut disks = BTreeMap::new();
        for name in ["a", "b", "c", "d"] {
            let mut disk = Vec::new();
            for _ in 0..4 {
                match usize::try_from(random.below(7))? {
                    6 => disk.resize(disk.len() + BLOCK, 0),
                    at => disk.extend_from_slice(&blocks[at]),
                }
            }
            kiln.world.file(name, &disk)?;
            disks.insert(name.to_owned(), disk);
        }
        Ok(Self(disks))
    }
}

/// Returns the snapshots that are there, and what each is made of.
fn snapshots(kiln: &Kiln) -> Result<Vec<(String, String)>> {
    let listed = kiln.json(&["snapshot", "list", "--json"])?;
    let listed = listed["Snapshots"].as_array().context("snapshots")?.iter().map(|snapshot| {
        let text = |key: &str| snapshot[key].as_str().map(str::to_owned).context("a text");
        Ok((text("SnapshotId")?, text("Description")?))
    });
    listed.collect()
}

/// Chooses a command.
fn command(kiln: &Kiln, random: &mut Random, there: &[(String, String)]) -> Result<Vec<String>> {
    let any = |random: &mut Random| -> Result<Option<String>> {
        let count = u64::try_from(there.len())?;
        let at = if count == 0 { 0 } else { usize::try_from(random.below(count))? };
        Ok(there.get(at).map(|(id, _)| id.clone()))
    };
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let choice = random.below(10);
    let chosen = any(random)?;
    Ok(match (choice, chosen) {
        (0 | 1, _) => words(&["gc", "--grace", "0s"]),
        (4, Some(id)) => {
            let config = kiln.world.path().join("config.toml");
            words(&["snapshot", "copy", &id, "--to", "other", "--config", config.to_str().context("a path")?])
        }
        (2 | 3, Some(id)) if there.len() > 3 => words(&["snapshot", "delete", &id]),
        (_, parent) => {
            let name = ["a", "b", "c", "d"][usize::try_from(random.below(4))?];
            create(kiln, name, parent.as_deref().filter(|_| choice < 7))?
        }
    })
}

/// The command that makes a snapshot of a disk.
fn create(kiln: &Kiln, name: &str, parent: Option<&str>) -> Result<Vec<String>> {
    let file = kiln.world.path().join(name);
    let file = file.to_str().context("a path")?;
    let create = ["snapshot", "create", file, "--format", "raw", "--description", name];
    let parent = parent.map(|parent| ["--parent", parent]);
    Ok(create.into_iter().chain(parent.into_iter().flatten()).map(str::to_owned).collect())
}

/// Runs a command and kills it after a while.
fn killed(kiln: &Kiln, words: &[String], after: Duration) -> Result<bool> {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut command = kiln.command(&words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    thread::sleep(after);
    let ended = child.try_wait()?.is_some();
    child.kill()?;
    child.wait()?;
    Ok(!ended)
}

#[test]
fn two_hundred_kills() -> Result<()> {
    let kiln = Kiln::new(env!("CARGO_BIN_EXE_kiln"))?;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let disks = Disks::make(&kiln, &mut random)?;
    let (config, other) = (kiln.world.file("config.toml", "")?, kiln.world.path().join("other"));
    let (config, other) = (config.to_str().context("a path")?, other.to_str().context("a path")?);
    ensure!(
        kiln.run(&["region", "add", "other", other, "--config", config])?.code == Some(0),
        "no other region"
    );
    // A third of the time that a snapshot takes is added: some commands end before they are killed.
    let begun = Instant::now();
    for name in disks.0.keys() {
        let words = create(&kiln, name, None)?;
        ensure!(
            kiln.run(&words.iter().map(String::as_str).collect::<Vec<_>>())?.code == Some(0),
            "{words:?}"
        );
    }
    let usual = u64::try_from(begun.elapsed().as_micros())?.max(1000) / 3;

    let (mut kills, mut ends, mut there) = (0, 0, snapshots(&kiln)?);
    while kills < KILLS {
        let words = command(&kiln, &mut random, &there)?;
        let after = Duration::from_micros(random.below(usual));
        if killed(&kiln, &words, after)? {
            kills += 1;
        } else {
            ends += 1;
        }
        ensure!(ends < 20 * KILLS, "the commands end before they are killed: {ends} of them, {kills} killed");
        if kills % 4 == 0 {
            there = snapshots(&kiln)?;
        }
    }
    for region in ["local", "other"] {
        let run = kiln.run(&["fsck", "--region", region, "--config", config])?;
        ensure!(run.code == Some(0) && run.stdout.ends_with(": no damage\n"), "{run:?}");
    }
    // What the dead have left goes, and the rest stays.
    let before = snapshots(&kiln)?;
    for _ in 0..2 {
        ensure!(kiln.run(&["gc", "--grace", "0s"])?.code == Some(0), "a collection fails");
    }
    let after = kiln.run(&["gc", "--grace", "0s"])?;
    ensure!(after.stdout == "no garbage\n", "{after:?}");
    assert_eq!(snapshots(&kiln)?, before);
    ensure!(before.len() > 3, "only {} snapshots were published", before.len());
    for (id, description) in &before {
        let file = kiln.world.path().join("exported.raw");
        let run = kiln.run(&["export", id, "--no-sha256", "--output", file.to_str().context("a path")?])?;
        ensure!(run.code == Some(0), "{id}: {run:?}");
        ensure!(fs_err::read(&file)? == disks.0[description], "{id} is not {description} any more");
    }
    ensure!(kiln.run(&["fsck"])?.stdout.ends_with(": no damage\n"), "a collection took too much");
    Ok(())
}
