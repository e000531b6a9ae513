//! Running other programs, and timing the parts of a task.

use anyhow::{Context, Result, ensure};
use std::{
    path::PathBuf,
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

/// Runs a command to its end; it must succeed.
pub(crate) fn succeed(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}").replace('"', "");
    let status = command.status().with_context(|| format!("{shown} cannot be run"))?;
    ensure!(status.success(), "{shown}: {status}");
    Ok(())
}

/// Runs a command and returns what it prints, whether or not it succeeds.
pub(crate) fn output(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Times the parts of a task and prints them at the end.
#[derive(Default)]
pub(crate) struct Phases(Vec<(&'static str, f64)>);

impl Phases {
    /// Runs a part.
    pub(crate) fn part<T>(&mut self, name: &'static str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        println!("== {name}");
        let start = Instant::now();
        let result = work().with_context(|| format!("{name} failed"));
        self.0.push((name, start.elapsed().as_secs_f64()));
        result
    }

    /// Prints how long each part took.
    pub(crate) fn print(&self) {
        println!("== seconds");
        for (name, seconds) in &self.0 {
            println!("{seconds:>8.1}  {name}");
        }
    }
}
