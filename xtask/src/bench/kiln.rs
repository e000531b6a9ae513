//! Kiln: the same template by the agent and over SSH, run by the release build.

use super::{Bench, contender::Contender, steps};
use crate::run::output;
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

/// How the steps get into the guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The agent, restored from its saved machine.
    Warm,
    /// The agent, booted.
    Cold,
    /// A guest that boots by itself.
    Ssh,
}

impl Way {
    /// Its name in the table.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Warm => "kiln, agent, warm",
            Self::Cold => "kiln, agent, cold",
            Self::Ssh => "kiln, ssh",
        }
    }
}

/// Returns Kiln, going one way.
pub(super) fn contender(bench: &Bench, kiln: &Path, way: Way) -> Result<Contender> {
    let communicator = if way == Way::Ssh { "ssh" } else { "agent" };
    let folder = bench.path("kiln").join(communicator);
    fs_err::create_dir_all(&folder)?;
    let (head, program, home) = (head(bench, communicator, communicator), kiln.to_owned(), home(bench));
    let prepare = move |number: usize| {
        fs_err::write(folder.join("template.toml"), format!("{head}{}", provisioners(number)?))?;
        let mut command = Command::new(&program);
        command.arg("--home").arg(&home).arg("build").arg(&folder).args(["--new", "--json"]);
        if way == Way::Cold {
            command.arg("--cold");
        }
        Ok(command)
    };
    Ok(Contender { version: version(kiln), prepare: Box::new(prepare), check })
}

pub(super) fn home(bench: &Bench) -> PathBuf {
    bench.path("kiln/home")
}

pub(super) fn version(kiln: &Path) -> String {
    let said = kiln.to_str().and_then(|kiln| output(kiln, &["--version"]));
    said.unwrap_or_default().trim().trim_start_matches("kiln ").to_owned()
}

/// The part of a template that says on what the steps run.
pub(super) fn head(bench: &Bench, name: &str, communicator: &str) -> String {
    let (cpus, memory, accelerator) = (bench.cpus, bench.memory_mib, bench.accelerator);
    // The peers do no cleaning either.
    format!(
        "[template]\nname = \"bench-{name}\"\n\n\
         [source]\ntype = \"disk\"\npath = \"../../base/base.qcow2\"\nformat = \"qcow2\"\n\
         checksum = \"file:../../base/SHA256SUMS\"\n\n\
         [machine]\ncpus = {cpus}\nmemory = \"{memory}MiB\"\naccelerator = \"{accelerator}\"\n\n\
         [communicator]\ntype = \"{communicator}\"\n\n[sysprep]\nenabled = false\n\n"
    )
}

/// What no other run has.
pub(super) fn now() -> Result<u128> {
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos())
}

/// The steps. Each run's differ in a comment, so that no step is taken from an earlier run.
fn provisioners(number: usize) -> Result<String> {
    let now = now()?;
    let commands = steps::COMMANDS.map(|command| format!("{command:?}")).join(", ");
    Ok(format!(
        "[[provisioner]]\ntype = \"shell\"\ninline = [\"touch {} # run {number}, {now}\"]\n\n\
         [[provisioner]]\ntype = \"file\"\nsource = \"../../base/upload\"\ndestination = \"{}\"\n\n\
         [[provisioner]]\ntype = \"shell\"\ninline = [{commands}]\n",
        steps::TOUCHED,
        steps::UPLOADED
    ))
}

/// An image that was there already, or steps that were, are no run.
fn check(stdout: &[u8]) -> Result<()> {
    let document: Value = serde_json::from_slice(stdout).context("kiln build --json printed no JSON")?;
    let build = &document["Builds"][0];
    ensure!(build["Unchanged"] == false, "the image was there already");
    ensure!(build["StepsRun"] == 3 && build["StepsCached"] == 0, "not every step ran: {build}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_run_of_every_step_counts() {
        let of = |text: &str| check(text.as_bytes()).map_err(|error| format!("{error:#}"));
        assert_eq!(of(r#"{"Builds":[{"Unchanged":false,"StepsRun":3,"StepsCached":0}]}"#), Ok(()));
        for wrong in [
            "",
            "{}",
            r#"{"Builds":[{"Unchanged":true,"StepsRun":0,"StepsCached":0}]}"#,
            r#"{"Builds":[{"Unchanged":false,"StepsRun":1,"StepsCached":2}]}"#,
        ] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn two_runs_have_different_steps() -> Result<()> {
        assert_ne!(provisioners(0)?, provisioners(1)?);
        Ok(())
    }
}
