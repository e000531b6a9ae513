//! Running other programs, and timing the parts of a task.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// Returns the root of the workspace.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).unwrap_or(here)
}

/// Returns `cargo`, in the workspace's root.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(root()).stdin(Stdio::null());
    command
}

/// Returns what cargo says about the workspace.
pub(crate) fn metadata() -> Result<Value> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps"]).stderr(Stdio::inherit()).output();
    let output = output.context("cargo cannot be run")?;
    ensure!(output.status.success(), "cargo metadata: {}", output.status);
    serde_json::from_slice(&output.stdout).context("cargo metadata")
}

/// Returns the folder that cargo builds into: `target`, or what the user has set.
pub(crate) fn target() -> Result<PathBuf> {
    let metadata = metadata()?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target_directory")?;
    Ok(PathBuf::from(folder))
}

/// Shows a path as one would type it in the workspace's root.
pub(crate) fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Runs a command to its end; it must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("{shown} cannot be run"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Runs a program and returns what it prints in English; nothing where it cannot be run or fails.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).env("LC_ALL", "C").stdin(Stdio::null()).stderr(Stdio::null());
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Returns where a program of the PATH lies, system folders too: Debian's users have none in their PATH.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "xtask has no configuration but its environment")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Times the parts of a task and prints them at the end.
#[derive(Default)]
pub(crate) struct Phases {
    done: Vec<(&'static str, f64)>,
    failed: Vec<&'static str>,
}

impl Phases {
    /// Runs a part without which the rest cannot go on.
    pub(crate) fn part<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let result = work();
        self.done.push((name, start.elapsed().as_secs_f64()));
        result
    }

    /// Runs a part whose failure is told now and counts at the end.
    pub(crate) fn check(&mut self, name: &'static str, work: impl FnOnce() -> Result<()>) {
        if let Err(error) = self.part(name, work) {
            eprintln!("error: {error:#}");
            self.failed.push(name);
        }
    }

    /// Prints how long each part took.
    pub(crate) fn print(&self) {
        println!("== seconds");
        for (name, seconds) in &self.done {
            let failed = if self.failed.contains(name) { "  FAILED" } else { "" };
            println!("{seconds:>8.1}  {name}{failed}");
        }
    }

    /// Fails if a check did.
    pub(crate) fn finish(self) -> Result<()> {
        ensure!(self.failed.is_empty(), "failed: {}", self.failed.join(", "));
        Ok(())
    }
}
