//! The `kiln` command in a world of its own, and a look at the process table.

use crate::{TinyBase, World};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longer than any step of a tiny build takes on a busy machine without KVM.
pub const LONG: Duration = Duration::from_secs(240);

/// A temporary home, and the command that works in it.
#[derive(Debug)]
pub struct Kiln {
    /// The home and what lies beside it.
    pub world: World,
    program: PathBuf,
}

impl Kiln {
    /// Makes a world for this program.
    ///
    /// # Errors
    /// When the world cannot be made.
    pub fn new(program: impl AsRef<Path>) -> Result<Self> {
        Ok(Self { world: World::new()?, program: program.as_ref().to_owned() })
    }

    /// Returns `kiln` with these arguments, ready to be started.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(args).env("KILN_HOME", self.world.home()).stdin(Stdio::null());
        command.env_remove("KILN_LOG").env("NO_COLOR", "1");
        command
    }

    /// Runs `kiln` to its end.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn run(&self, args: &[&str]) -> Result<Run> {
        Ok(Run::from(self.command(args).output()?))
    }

    /// Runs `kiln`, which must succeed, and reads the JSON that it prints.
    ///
    /// # Errors
    /// When it fails or prints something else.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let run = self.run(args)?;
        ensure!(run.code == Some(0), "kiln {args:?}: {run:?}");
        serde_json::from_str(&run.stdout).with_context(|| run.stdout.clone())
    }

    /// Starts `kiln` with its output in a file, and returns it with that file.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, args: &[&str]) -> Result<Started> {
        let log = self.world.path().join("stderr.log");
        let child = self
            .command(args)
            .stdout(Stdio::null())
            .stderr(fs_err::File::create(&log)?.into_parts().0)
            .spawn()?;
        Ok(Started { child, log })
    }

    /// Lists the processes whose command line names this world.
    ///
    /// # Errors
    /// When the process table cannot be read.
    pub fn processes(&self) -> Result<Vec<String>> {
        let place = self.world.path().to_string_lossy().into_owned();
        let mut found = Vec::new();
        for entry in fs_err::read_dir("/proc")? {
            let folder = entry?.path();
            let Ok(bytes) = fs_err::read(folder.join("cmdline")) else { continue };
            let line = String::from_utf8_lossy(&bytes).replace('\0', " ");
            if line.contains(&place) {
                found.push(format!("{} {line}", folder.display()));
            }
        }
        Ok(found)
    }

    /// Waits until no process of this world is left.
    ///
    /// # Errors
    /// When one is left.
    pub fn no_processes(&self, within: Duration) -> Result<()> {
        let start = Instant::now();
        loop {
            let left = self.processes()?;
            if left.is_empty() {
                return Ok(());
            }
            ensure!(start.elapsed() < within, "processes are left: {left:#?}");
            sleep(Duration::from_millis(50));
        }
    }

    /// Returns the process id of this world's QEMU.
    ///
    /// # Errors
    /// When there is none.
    pub fn qemu(&self) -> Result<u32> {
        let processes = self.processes()?;
        let qemu = processes.iter().find(|line| {
            let program = line.split(' ').nth(1).unwrap_or_default();
            program.contains("qemu-system")
        });
        let pid = qemu.and_then(|line| line.split(['/', ' ']).nth(2)).context("no QEMU runs")?;
        Ok(pid.parse()?)
    }

    /// Returns how many images this home has.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn images(&self) -> Result<usize> {
        Ok(self.json(&["image", "list", "--json"])?["Images"].as_array().context("no list")?.len())
    }
}

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; nothing where a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// A command that runs; killed when dropped.
#[derive(Debug)]
pub struct Started {
    /// The process.
    pub child: Child,
    log: PathBuf,
}

impl Started {
    /// Waits until the command's standard error holds `text`.
    ///
    /// # Errors
    /// When the command ends before, or never says it.
    pub fn wait_for(&mut self, text: &str) -> Result<()> {
        let start = Instant::now();
        loop {
            let log = fs_err::read_to_string(&self.log)?;
            if log.contains(text) {
                return Ok(());
            }
            ensure!(self.child.try_wait()?.is_none(), "kiln ended before it said {text:?}:\n{log}");
            ensure!(start.elapsed() < LONG, "kiln never said {text:?}:\n{log}");
            sleep(Duration::from_millis(20));
        }
    }

    /// Waits for the end, and returns the exit code and standard error.
    ///
    /// # Errors
    /// When it does not end.
    pub fn end(&mut self) -> Result<(Option<i32>, String)> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok((status.code(), fs_err::read_to_string(&self.log)?));
            }
            ensure!(start.elapsed() < LONG, "kiln does not end:\n{}", fs_err::read_to_string(&self.log)?);
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // It may have ended by itself.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Returns a template over the tiny base, with these further tables.
#[must_use]
pub fn tiny_template(base: &TinyBase, rest: &str) -> String {
    format!(
        r#"
[template]
name = "tiny"

[source]
type = "disk"
path = "{}"
checksum = "sha256:{}"

[machine]
memory = "512MiB"

{rest}
"#,
        base.disk.display(),
        base.sha256,
    )
}

/// Runs an outside tool, which must succeed, and returns what it prints.
///
/// # Errors
/// When it cannot be run or fails.
pub fn tool(program: &str, args: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("{program} cannot be run"))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program} {args:?}: {}\n{text}", output.status);
    Ok(text)
}

/// Returns what e2fsprogs call the root file system of a raw disk: its largest partition.
///
/// # Errors
/// When the disk has no partitions.
pub fn root_of(raw: &str) -> Result<String> {
    let layout: serde_json::Value = serde_json::from_str(&tool("sfdisk", &["--json", raw])?)?;
    let partitions = layout["partitiontable"]["partitions"].as_array().context("partitions")?;
    let root = partitions.iter().max_by_key(|part| part["size"].as_u64()).context("a root")?;
    let offset = root["start"].as_u64().context("a start")? * 512;
    Ok(format!("{raw}?offset={offset}"))
}
