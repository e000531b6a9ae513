//! One tool that takes part, and one run of it.

use crate::run::shown;
use anyhow::{Context, Result, bail};
use std::{
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

/// A run that takes longer hangs.
const LONGEST: &str = "1800";

/// Lines of a failed run's output that are shown.
const SHOWN: usize = 25;

/// A tool that takes part.
pub(super) struct Contender {
    /// What it says of its own version.
    pub(super) version: String,
    /// Prepares a run, which is not timed, and returns its command, which is. Runs are numbered from 0.
    pub(super) prepare: Box<dyn Fn(usize) -> Result<Command>>,
    /// Fails if the run did not do what it should.
    pub(super) check: fn(stdout: &[u8]) -> Result<()>,
}

/// How a tool fared.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The seconds of each run that counts.
    pub(super) seconds: Vec<f64>,
    /// Why it takes no part any more.
    pub(super) failed: Option<String>,
}

impl Outcome {
    pub(super) fn median(&self) -> Option<f64> {
        let mut sorted = self.seconds.clone();
        sorted.sort_by(f64::total_cmp);
        let upper = sorted.get(sorted.len() / 2)?;
        let lower = sorted.get((sorted.len() - 1) / 2)?;
        Some(f64::midpoint(*lower, *upper))
    }
}

impl Contender {
    /// Runs the tool once; what it says goes to `logs/NAME-NUMBER.log`.
    pub(super) fn run(&self, name: &str, number: usize, logs: &Path) -> Result<f64> {
        let mut command = in_time(&(self.prepare)(number)?);
        let log = logs.join(format!("{}-{number}.log", name.replace([',', ' '], "")));
        command.stdin(Stdio::null()).stderr(fs_err::File::create(&log)?.into_file());
        let start = Instant::now();
        let output = command.output().with_context(|| format!("{name} cannot be run"))?;
        let seconds = start.elapsed().as_secs_f64();
        let mut said = fs_err::read(&log)?;
        said.extend(&output.stdout);
        fs_err::write(&log, &said)?;
        if !output.status.success() {
            bail!("{}; its log, {}, ends with:\n{}", output.status, shown(&log), last_lines(&said));
        }
        (self.check)(&output.stdout)
            .with_context(|| format!("it did not do what it should, see {}", shown(&log)))?;
        Ok(seconds)
    }
}

/// The same command, which is ended when it hangs.
fn in_time(command: &Command) -> Command {
    let mut timed = Command::new("timeout");
    timed.args(["--kill-after=20", LONGEST]).arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => timed.env(name, value),
            None => timed.env_remove(name),
        };
    }
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    timed
}

fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(SHOWN)..).unwrap_or_default();
    last.iter().map(|line| format!("    | {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        let of = |seconds: &[f64]| Outcome { seconds: seconds.to_vec(), failed: None }.median();
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[4.0]), Some(4.0));
        assert_eq!(of(&[9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(of(&[1.0, 2.0, 8.0, 4.0]), Some(3.0));
    }

    fn contender(script: &'static str, check: fn(&[u8]) -> Result<()>) -> Contender {
        let prepare = Box::new(move |_| {
            let mut command = Command::new("sh");
            command.args(["-c", script]).env("WORD", "hello");
            Ok(command)
        });
        Contender { version: String::new(), prepare, check }
    }

    #[test]
    fn a_failed_run_shows_what_it_said() -> Result<()> {
        let logs = target_folder()?;
        let error =
            contender("echo $WORD; echo no >&2; exit 3", |_| Ok(())).run("a, b", 7, &logs).unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("exit status: 3") && text.contains("| no\n    | hello"), "{text}");
        assert_eq!(fs_err::read_to_string(logs.join("ab-7.log"))?, "no\nhello\n");
        let text = contender("true", |_| bail!("nothing was built")).run("a, b", 7, &logs).unwrap_err();
        assert!(format!("{text:#}").ends_with("ab-7.log: nothing was built"), "{text:#}");
        assert!(contender("sleep 0.1", |_| Ok(())).run("a, b", 7, &logs)? >= 0.1);
        Ok(())
    }

    fn target_folder() -> Result<std::path::PathBuf> {
        let folder = crate::run::target()?.join("tmp/bench-test");
        fs_err::create_dir_all(&folder)?;
        Ok(folder)
    }
}
