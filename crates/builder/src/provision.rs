//! The steps of a template, as the machine runs them.

use crate::{Error, Events, Phase, mask::Mask, request::Loaded, steps::alive};
use kiln_machine::{
    Running,
    communicator::agent::AgentSession,
    provisioner::{Cause, FileSource, FileStep, ShellSource, ShellStep, StepError, StepFailed},
};
use kiln_template::{Content, ShellCode, Step};
use std::fmt::Write;

/// Runs every step of a template, one after the other.
pub(crate) async fn run(
    running: &Running,
    session: &mut AgentSession,
    loaded: &Loaded,
    events: &Events,
) -> Result<(), Error> {
    let mask = Mask::new(loaded.template.secrets());
    let count = loaded.template.provisioners.len();
    for (index, provisioner) in loaded.template.provisioners.iter().enumerate() {
        let number = index + 1;
        let phase = events.begin(Phase::Step { number, count, name: provisioner.name.clone() });
        let work = run_step(session, &provisioner.name, &provisioner.step, &mask, events);
        let result = alive(running, work).await;
        result.map_err(|source| Error::Step {
            number,
            name: provisioner.name.clone(),
            template: loaded.file_name.clone(),
            line: provisioner.line,
            source: Box::new(source),
        })?;
        phase.done("");
    }
    Ok(())
}

/// Runs a step, and ends what it left running.
async fn run_step(
    session: &mut AgentSession,
    name: &str,
    step: &Step,
    mask: &Mask,
    events: &Events,
) -> Result<(), Error> {
    let result = match step {
        Step::Shell(shell) => {
            shell_step(name, shell).run(session, |_, line| events.output(mask.apply(line))).await
        }
        Step::File(file) => file_step(name, file).run(session).await,
    };
    match result {
        Ok(()) => Ok(session.end_step().await?),
        Err(StepError::Failed(failed)) => Err(Error::StepFailed { told: told(&failed, step, mask) }),
        Err(StepError::Agent { source, .. }) => Err(source.into()),
    }
}

fn shell_step(name: &str, shell: &kiln_template::ShellStep) -> ShellStep {
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
        environment: shell
            .environment
            .iter()
            .map(|(key, value)| (key.clone(), value.expose().to_owned()))
            .collect(),
        interpreter: shell.interpreter.clone(),
        working_directory: shell.working_directory.clone(),
        user: shell.user.clone(),
        timeout: shell.timeout.map(kiln_types::TimeSpan::as_duration),
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
        Cause::TimedOut(after) => format!("not done after {}: its timeout", whole_seconds(*after)),
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

fn whole_seconds(span: std::time::Duration) -> String {
    format!("{}s", span.as_secs_f64().ceil())
}
