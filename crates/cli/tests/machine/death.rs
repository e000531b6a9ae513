//! Death at any moment leaves no process and no half-made result, and the next build succeeds.

use crate::tiny;
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, LONG, Started, tiny_template, tool};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    path::PathBuf,
    thread::sleep,
    time::{Duration, Instant},
};

const STEPS: &str = r#"
[variables]
wait = { default = "0" }

[[provisioner]]
type = "shell"
name = "waits"
inline = ["echo step has begun", "sleep ${var.wait}", "echo done > /srv-done"]

[[export]]
format = "qcow2"
path = "dist/tiny.qcow2"
"#;

/// A world with a template whose step waits as long as `--var wait=…` says.
fn world() -> Result<(Kiln, PathBuf)> {
    let kiln = crate::world()?;
    let folder = kiln.world.template("tiny", &tiny_template(&tiny()?, STEPS))?;
    Ok((kiln, folder))
}

fn start(kiln: &Kiln, folder: &std::path::Path, wait: &str) -> Result<Started> {
    let wait = format!("wait={wait}");
    kiln.start(&["build", folder.to_str().context("a path")?, "--var", &wait])
}

fn send(pid: u32, signal: Signal) -> Result<()> {
    kill_process(Pid::from_raw(pid.cast_signed()).context("a process id")?, signal)?;
    Ok(())
}

#[test]
fn a_killed_qemu_is_noticed_within_a_second() -> Result<()> {
    let (kiln, folder) = world()?;
    let mut build = start(&kiln, &folder, "600")?;
    build.wait_for("| step has begun")?;
    send(kiln.qemu()?, Signal::KILL)?;
    let killed = Instant::now();
    let (code, log) = build.end()?;
    let took = killed.elapsed();
    assert_eq!(code, Some(1), "{log}");
    assert!(took < Duration::from_secs(3), "noticed after {took:?}");
    assert!(log.contains("QEMU") && log.contains("signal 9"), "{log}");
    assert!(log.contains("waits"), "the step is named: {log}");
    kiln.no_processes(Duration::from_secs(5))?;
    assert_eq!(kiln.images()?, 0);
    the_next_build_succeeds(&kiln, &folder)
}

#[test]
fn a_qemu_that_crashes_at_its_start_is_started_again() -> Result<()> {
    let (kiln, folder) = world()?;
    let mut build = start(&kiln, &folder, "0")?;
    build.wait_for("accelerator: ")?;
    let begun = Instant::now();
    let pid = loop {
        match kiln.qemu() {
            Ok(pid) => break pid,
            Err(error) if begun.elapsed() > LONG => return Err(error),
            Err(_not_yet) => sleep(Duration::from_millis(20)),
        }
    };
    send(pid, Signal::ABORT)?;
    let (code, log) = build.end()?;
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("warning: QEMU crashed at its start"), "{log}");
    Ok(())
}

#[test]
fn a_guest_panic_is_told_with_the_consoles_last_lines() -> Result<()> {
    let kiln = crate::world()?;
    let panic = r#"
[[provisioner]]
type = "shell"
inline = ["echo c > /proc/sysrq-trigger", "sleep 600"]
"#;
    let folder = kiln.world.template("tiny", &tiny_template(&tiny()?, panic))?;
    let mut build = start_plain(&kiln, &folder)?;
    let (code, log) = build.end()?;
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("panic"), "{log}");
    assert!(log.contains("sysrq"), "the console's last lines are shown: {log}");
    kiln.no_processes(Duration::from_secs(5))
}

fn start_plain(kiln: &Kiln, folder: &std::path::Path) -> Result<Started> {
    kiln.start(&["build", folder.to_str().context("a path")?])
}

#[test]
fn an_interrupted_build_leaves_nothing_and_says_so() -> Result<()> {
    let (kiln, folder) = world()?;
    let mut build = start(&kiln, &folder, "600")?;
    build.wait_for("| step has begun")?;
    send(build.child.id(), Signal::INT)?;
    let (code, log) = build.end()?;
    assert_eq!(code, Some(130), "{log}");
    assert!(log.contains("interrupted"), "{log}");
    kiln.no_processes(Duration::from_secs(5))?;
    let builds = fs_err::read_dir(kiln.world.home().join("builds"))?.count();
    assert_eq!(builds, 0, "the build's folder is gone");
    assert_eq!(kiln.images()?, 0);
    Ok(())
}

#[test]
fn a_killed_kiln_leaves_no_process_and_no_half_made_image() -> Result<()> {
    let (kiln, folder) = world()?;
    for phase in [
        "==> base: ",
        "==> base snapshot",
        "==> machine",
        "| step has begun",
        "==> shutdown",
        "==> snapshot",
        "==> export",
    ] {
        let wait = if phase.starts_with('|') { "wait=600" } else { "wait=0" };
        let template = folder.to_str().context("a path")?;
        let mut build = kiln.start(&["build", template, "--new", "--var", wait])?;
        build.wait_for(phase)?;
        // A little further into the phase.
        sleep(Duration::from_millis(30));
        build.child.kill()?;
        build.child.wait()?;
        kiln.no_processes(Duration::from_secs(5)).with_context(|| format!("killed at {phase}"))?;
        let disk = folder.join("dist/tiny.qcow2");
        if disk.exists() {
            // The build was faster than its death: then the file is whole.
            tool("qemu-img", &["check", "-f", "qcow2", disk.to_str().context("a path")?])?;
            fs_err::remove_file(&disk)?;
        }
        for image in kiln.json(&["image", "list", "--json"])?["Images"].as_array().context("a list")? {
            assert_eq!(image["State"], "available", "killed at {phase}");
            let snapshot =
                image["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"].as_str().context("a snapshot")?;
            let out = kiln.world.path().join("whole.raw");
            let export = kiln.run(&["export", snapshot, "-o", out.to_str().context("a path")?])?;
            assert_eq!(export.code, Some(0), "killed at {phase}: {export:?}");
        }
    }
    the_next_build_succeeds(&kiln, &folder)?;
    let builds = fs_err::read_dir(kiln.world.home().join("builds"))?.count();
    assert_eq!(builds, 0, "what the killed builds left is swept");
    Ok(())
}

fn the_next_build_succeeds(kiln: &Kiln, folder: &std::path::Path) -> Result<()> {
    let run = kiln.run(&["build", folder.to_str().context("a path")?, "--var", "wait=0", "--json"])?;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(folder.join("dist/tiny.qcow2").exists());
    assert!(kiln.images()? >= 1);
    kiln.no_processes(LONG)
}
