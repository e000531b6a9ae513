//! One step, from what the template means to what the machine does.

use crate::{
    Error, Events,
    guest::{Guest, alive},
    mask::Mask,
};
use kiln_machine::communicator::{
    CommunicatorError, Session,
    agent::{Upload, UploadContent},
};
use kiln_machine::provisioner::{Cause, FileSource, FileStep, ShellSource, ShellStep, StepError, StepFailed};
use kiln_template::{Content, Provisioner, ShellCode, Step};
use std::{collections::BTreeMap, fmt::Write, time::Duration};

/// What every step of a build finds, beside what it brings.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    /// Variables that every program gets, below the step's own: `KILN_DISK_DATA=/dev/vdb`, proxies.
    pub(crate) environment: Vec<(String, String)>,
    /// The values of sensitive variables, for steps that want them as files.
    pub(crate) secrets: BTreeMap<String, String>,
}

impl Surroundings {
    /// Returns the variables of a step's programs, or those that all have.
    pub(crate) fn environment_of(&self, step: Option<&Step>) -> Vec<(String, String)> {
        let mut variables: BTreeMap<_, _> = self.environment.iter().cloned().collect();
        if let Some(Step::Shell(shell)) = step {
            variables.extend(
                shell.environment.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())),
            );
        }
        variables.into_iter().collect()
    }
}

impl Surroundings {
    /// Puts the secrets that a step asks for where it finds them: in a tmpfs, readable by its user alone.
    async fn put_secrets(
        &self,
        session: &mut Session,
        shell: &kiln_template::ShellStep,
    ) -> Result<(), CommunicatorError> {
        for name in &shell.secrets {
            let value = self.secrets.get(name).cloned().unwrap_or_default();
            let upload = Upload {
                content: UploadContent::Bytes(value.into_bytes()),
                destination: format!("{SECRETS}/{name}"),
                mode: Some(0o400),
                owner: shell.user.clone(),
            };
            session.upload(&upload).await?;
        }
        Ok(())
    }
}

/// Where a step finds the secrets that it asks for.
const SECRETS: &str = "/run/secrets";

/// Runs a step once.
pub(crate) async fn run(
    guest: &mut Guest,
    provisioner: &Provisioner,
    surroundings: &Surroundings,
    mask: &Mask,
    events: &Events,
) -> Result<(), Error> {
    let Provisioner { name, step, timeout, .. } = provisioner;
    let timeout = timeout.map(kiln_types::TimeSpan::as_duration);
    let Guest { running, session } = guest;
    let work = async {
        match step {
            Step::Shell(shell) => {
                let cannot = |source| StepError::Communicator { name: name.clone(), source };
                surroundings.put_secrets(session, shell).await.map_err(cannot)?;
                let step = shell_step(name, shell, timeout, surroundings);
                step.run(session, |_, line| events.output(mask.apply(line))).await
            }
            Step::File(file) => file_step(name, file).run(session).await,
            Step::Download(_) | Step::Reboot(_) | Step::Ansible(_) | Step::Breakpoint(_) => Ok(()),
        }
    };
    let result = alive(running, async {
        // A script's own programs are ended in good order first.
        let patience = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_add(GRACE));
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StepError::Failed(failed))) => Err(Error::StepFailed { told: told(&failed, step, mask) }),
            Ok(Err(StepError::Communicator { source, .. })) => Err(source.into()),
            Err(_elapsed) => Err(Error::StepFailed { told: not_done(timeout.unwrap_or_default()) }),
        }
    });
    result.await
}

/// How much longer than its timeout a step may take to end.
const GRACE: Duration = Duration::from_secs(15);

fn shell_step(
    name: &str,
    shell: &kiln_template::ShellStep,
    timeout: Option<Duration>,
    surroundings: &Surroundings,
) -> ShellStep {
    ShellStep {
        name: name.to_owned(),
        source: match &shell.code {
            ShellCode::Inline(lines) => {
                ShellSource::Inline(lines.iter().map(|line| line.text.expose().to_owned()).collect())
            }
            ShellCode::Scripts(scripts) => {
                ShellSource::Scripts(scripts.iter().map(|script| script.path.clone()).collect())
            }
        },
        environment: surroundings.environment_of(Some(&Step::Shell(shell.clone()))),
        interpreter: shell.interpreter.clone(),
        working_directory: shell.working_directory.clone(),
        user: shell.user.clone(),
        timeout,
        valid_exit_codes: shell.valid_exit_codes.iter().copied().collect(),
    }
}

fn file_step(name: &str, file: &kiln_template::FileStep) -> FileStep {
    FileStep {
        name: name.to_owned(),
        source: match &file.content {
            Content::Source(path) => FileSource::Path(path.path.clone()),
            Content::Text(text) => FileSource::Content(text.expose().to_owned()),
        },
        destination: file.destination.clone(),
        mode: file.mode,
        owner: file.owner.as_ref().map(|owner| match &owner.group {
            Some(group) => format!("{}:{group}", owner.user),
            None => owner.user.clone(),
        }),
    }
}

/// Says which line of a step failed, how, and what it last said; secrets masked.
fn told(failed: &StepFailed, step: &Step, mask: &Mask) -> String {
    let mut text = match &failed.cause {
        Cause::Exit(status) => format!("{status}"),
        Cause::TimedOut(after) => not_done(*after),
    };
    if let Some((index, line)) = &failed.line {
        let place = match step {
            Step::Shell(kiln_template::ShellStep { code: ShellCode::Inline(lines), .. }) => {
                lines.get(*index).map_or(String::new(), |line| format!(" (template line {})", line.line))
            }
            _ => String::new(),
        };
        write!(text, "\n  in line {}{place}: {}", index + 1, mask.apply(line))
            .expect("a string takes what is written");
    }
    if let Some(script) = &failed.script {
        write!(text, "\n  in script {}", script.display()).expect("a string takes what is written");
    }
    if !failed.last_output.is_empty() {
        text.push_str("\n  its last output:");
        for line in &failed.last_output {
            write!(text, "\n    | {}", mask.apply(line)).expect("a string takes what is written");
        }
    }
    text
}

fn not_done(after: Duration) -> String {
    format!("not done after {}s: its timeout", after.as_secs_f64().ceil())
}
