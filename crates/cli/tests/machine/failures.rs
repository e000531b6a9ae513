//! Failures say what failed, on what, why, and what to type next.

use crate::{tiny, world};
use anyhow::{Context, Result};
use kiln_testkit::{Kiln, Run, tiny_template, tool};
use std::path::Path;

fn build(kiln: &Kiln, rest: &str) -> Result<Run> {
    let folder = kiln.world.template("tiny", &tiny_template(&tiny()?, rest))?;
    kiln.run(&["build", folder.to_str().context("a path")?])
}

/// The part of standard error that is the error itself, with this world's paths taken out.
fn error(kiln: &Kiln, run: &Run) -> String {
    let start = run.stderr.find("error:").unwrap_or_default();
    run.stderr[start..].replace(&*kiln.world.path().to_string_lossy(), "WORLD")
}

#[test]
fn a_script_that_exits_7() -> Result<()> {
    let kiln = world()?;
    let step = r#"
[[provisioner]]
type = "shell"
name = "fails"
inline = ["echo before", "echo a reason >&2; (exit 7)", "echo after"]
"#;
    let run = build(&kiln, step)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let text = error(&kiln, &run);
    for part in ["step 1 `fails`", "template.toml:", "line 2", "(exit 7)", "7", "a reason"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    assert!(!run.stderr.contains("| after"), "the script went on: {}", run.stderr);
    assert_eq!(kiln.images()?, 0);
    Ok(())
}

#[test]
fn a_script_that_never_ends() -> Result<()> {
    let kiln = world()?;
    let step = r#"
[[provisioner]]
type = "shell"
name = "sleeps"
inline = ["echo first", "sleep 100000"]
timeout = "3s"
"#;
    let run = build(&kiln, step)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let text = error(&kiln, &run);
    for part in ["step 1 `sleeps`", "3s", "first"] {
        assert!(text.contains(part), "{part} is missing: {text}");
    }
    kiln.no_processes(std::time::Duration::from_secs(5))
}

#[test]
fn a_step_that_wants_the_network_which_the_template_does_not_give() -> Result<()> {
    let kiln = world()?;
    let steps =
        "network = \"none\"\n[[provisioner]]\ntype = \"shell\"\ninline = [\"ip route get 192.0.2.1\"]\n";
    let run = build(&kiln, steps)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let hint = "hint: machine.network is \"none\": a step that needs it wants network = \"user\"\n";
    assert!(run.stderr.ends_with(hint), "{}", run.stderr);
    Ok(())
}

#[test]
fn a_secret_that_a_step_leaves_in_the_image() -> Result<()> {
    let kiln = world()?;
    let step = r#"
[variables]
token = { default = "swordfish-0123456789", sensitive = true }

[[provisioner]]
type = "shell"
inline = ["echo ${var.token} > /etc/left"]
"#;
    let folder = kiln.world.template("tiny", &tiny_template(&tiny()?, step))?;
    let run = kiln.run(&["build", folder.to_str().context("a path")?, "--on-error", "keep"])?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let text = error(&kiln, &run);
    assert!(text.contains("the value of `token` is in /etc/left"), "{text}");
    assert!(!run.stderr.contains("swordfish"), "{}", run.stderr);
    assert_eq!(kiln.images()?, 0);
    let kept = fs_err::read_dir(kiln.world.home().join("kept"))?.next().context("nothing was kept")??.path();
    assert!(kept.join("overlay.qcow2").is_file() && kept.join("appliance-console.log").is_file());
    Ok(())
}

#[test]
fn a_full_disk() -> Result<()> {
    let kiln = world()?;
    let home = kiln.world.home();
    let _full = Tmpfs::mount(&home, "96m")?;
    let step = r#"
[[provisioner]]
type = "shell"
inline = ["dd if=/dev/urandom of=/big bs=1M count=200", "sync"]
"#;
    let run = build(&kiln, step)?;
    assert_eq!(run.code, Some(1), "{run:?}");
    let text = error(&kiln, &run);
    assert!(text.contains("no space left on") && text.contains("WORLD/home"), "{text}");
    assert_eq!(kiln.images()?, 0);
    kiln.no_processes(std::time::Duration::from_secs(5))
}

/// A small file system for a home to run full.
struct Tmpfs<'a>(&'a Path);

impl<'a> Tmpfs<'a> {
    fn mount(place: &'a Path, size: &str) -> Result<Self> {
        let place_text = place.to_str().context("a path")?;
        tool("mount", &["-t", "tmpfs", "-o", &format!("size={size}"), "kiln-test", place_text])?;
        Ok(Self(place))
    }
}

impl Drop for Tmpfs<'_> {
    fn drop(&mut self) {
        drop(tool("umount", &["-l", &self.0.to_string_lossy()]));
    }
}
