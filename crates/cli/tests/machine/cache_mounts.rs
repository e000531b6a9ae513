//! Folders that last from build to build and are no part of the image.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, LONG, root_of, tiny_template, tool};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;

/// Each build adds a line to the kept folder, and notes in the image how many there are.
fn template(kiln: &Kiln, folder: &str, run: &str) -> Result<String> {
    let rest = format!(
        "[[cache_mount]]\npath = \"/var/cache/kept\"\n\n\
         [[provisioner]]\ntype = \"shell\"\ninline = ['echo {run} >> /var/cache/kept/lines', \
         'wc -l < /var/cache/kept/lines > /count']\n\n\
         [[provisioner]]\ntype = \"shell\"\ninline = ['sync', 'echo {run}', 'test {run} != wait || sleep 600']\n\n\
         [[export]]\nformat = \"raw\"\npath = \"dist/tiny.raw\"\n"
    );
    let folder = kiln.world.template(folder, &tiny_template(&tiny()?, &rest))?;
    Ok(folder.to_str().context("a path")?.to_owned())
}

fn debugfs(folder: &str, command: &str) -> Result<String> {
    let disk = Path::new(folder).join("dist/tiny.raw");
    let said = tool("debugfs", &["-R", command, &root_of(disk.to_str().context("a path")?)?])?;
    // The first line is debugfs's own.
    let lines: Vec<_> = said.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    Ok(lines.join("\n"))
}

#[test]
fn a_kept_folder_lasts_and_is_no_part_of_the_image() -> Result<()> {
    let kiln = world()?;
    let run = |args: &[&str]| -> Result<String> {
        let run = kiln.run(args)?;
        anyhow::ensure!(run.code == Some(0), "{run:?}");
        Ok(run.stderr)
    };
    let build = |folder: &str| run(&["build", folder, "--replace"]);
    let count = |folder: &str| debugfs(folder, "cat /count");

    let first = template(&kiln, "a", "first")?;
    build(&first)?;
    assert_eq!(count(&first)?, "1");
    assert!(!debugfs(&first, "ls -p /var/cache/kept")?.contains("lines"), "the image has the folder, empty");

    // Another one that is killed keeps what it wrote; while it runs, the folder is its own.
    let killed = template(&kiln, "b", "wait")?;
    let mut running = kiln.start(&["build", &killed])?;
    running.wait_for("| wait")?;
    let beside = template(&kiln, "c", "beside")?;
    let said = build(&beside)?;
    assert!(said.contains("/var/cache/kept is used by another build"), "{said}");
    assert_eq!(count(&beside)?, "1", "it began empty");
    let entries = kiln.json(&["cache", "list", "--json"])?;
    let entries = entries["Entries"].as_array().context("entries")?;
    let mounts: Vec<_> = entries.iter().filter(|entry| entry["Kind"] == "mount").collect();
    assert_eq!(mounts.len(), 1);
    assert_eq!(mounts[0]["Of"], "tiny: /var/cache/kept");
    assert_eq!(mounts[0]["InUse"], true);
    kill_process(Pid::from_raw(running.child.id().cast_signed()).context("a process id")?, Signal::KILL)?;
    running.end()?;
    kiln.no_processes(LONG)?;

    let third = template(&kiln, "a", "third")?;
    build(&third)?;
    assert_eq!(count(&third)?, "3", "first, wait and third");

    // What was open when the host went down is not trusted.
    let folder = fs_err::read_dir(kiln.world.home().join("cache/mounts"))?.next().context("a mount")??.path();
    assert!(!folder.join("open").exists());
    fs_err::write(folder.join("open"), "another boot")?;
    let fourth = template(&kiln, "a", "fourth")?;
    build(&fourth)?;
    assert_eq!(count(&fourth)?, "1");
    run(&["cache", "prune", "--all"])?;
    assert!(!folder.exists());
    Ok(())
}
