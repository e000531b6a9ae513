//! What the tests of the command share: the binary in a world of its own, and a look at the process table.
#![expect(dead_code, reason = "each test binary uses a part of it")]
#![expect(clippy::disallowed_methods, reason = "tests take their cache's place from the environment")]

use anyhow::{Context, Result, ensure};
use kiln_testkit::{TinyBase, World, tiny_base};
use serde_json::Value;
use std::{
    env,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

/// Longer than any step of a tiny build takes on a busy machine without KVM.
pub const LONG: Duration = Duration::from_secs(240);

/// A temporary home, and the command that works in it.
pub struct Kiln {
    pub world: World,
}

impl Kiln {
    pub fn new() -> Result<Self> {
        Ok(Self { world: World::new()? })
    }

    /// Returns `kiln` with these arguments, ready to be started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_kiln"));
        command.args(args).env("KILN_HOME", self.world.home()).stdin(Stdio::null());
        command.env_remove("KILN_LOG").env("NO_COLOR", "1");
        command
    }

    /// Runs `kiln` to its end.
    pub fn run(&self, args: &[&str]) -> Result<Run> {
        Ok(Run::from(self.command(args).output()?))
    }

    /// Runs `kiln`, which must succeed, and reads the JSON that it prints.
    pub fn json(&self, args: &[&str]) -> Result<Value> {
        let run = self.run(args)?;
        ensure!(run.code == Some(0), "kiln {args:?}: {run:?}");
        serde_json::from_str(&run.stdout).with_context(|| run.stdout.clone())
    }

    /// Starts `kiln` with its output in a file, and returns it with that file.
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
    pub fn images(&self) -> Result<usize> {
        Ok(self.json(&["image", "list", "--json"])?["Images"].as_array().context("no list")?.len())
    }
}

/// How a command ended.
#[derive(Debug)]
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
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

/// A command that runs.
pub struct Started {
    pub child: Child,
    pub log: PathBuf,
}

impl Started {
    /// Waits until the command's standard error holds `text`.
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

/// Returns the folder where packages and tiny bases are kept between runs.
pub fn cache() -> PathBuf {
    let kept = env::var_os("KILN_TEST_CACHE").map(PathBuf::from);
    kept.unwrap_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("cache"))
}

/// Returns the tiny base.
pub fn tiny() -> Result<TinyBase> {
    let cache = cache();
    fs_err::create_dir_all(&cache)?;
    tiny_base(&cache)
}

/// Returns a template over the tiny base, with these further tables.
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
pub fn tool(program: &str, args: &[&str]) -> Result<String> {
    let output =
        Command::new(program).args(args).output().with_context(|| format!("{program} cannot be run"))?;
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "{program} {args:?}: {}\n{text}", output.status);
    Ok(text)
}
