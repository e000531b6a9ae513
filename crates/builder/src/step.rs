//! One step, from what the template means to what the machine does.

use crate::{
    Error, Events,
    guest::{Guest, alive},
    mask::Mask,
};
use kiln_machine::{
    communicator::ssh::{Progress, Reached},
    provisioner::{
        AnsibleHost, AnsibleStep, Cause, DownloadStep, FileSource, FileStep, RebootStep, ShellSource,
        ShellStep, StepError, StepFailed,
    },
};
use kiln_template::{Content, Provisioner, ShellCode, Step};
use std::{collections::BTreeMap, fmt::Write, path::PathBuf, time::Duration};

/// What every step of a build finds, beside what it brings.
#[derive(Clone, Default)]
pub(crate) struct Surroundings {
    /// Variables that every program gets, below the step's own: `KILN_DISK_DATA=/dev/vdb`, proxies.
    pub(crate) environment: Vec<(String, String)>,
    /// The values of sensitive variables, for steps that want them as files.
    pub(crate) secrets: BTreeMap<String, String>,
    /// Folders of this host where programs are looked for.
    pub(crate) programs: Vec<PathBuf>,
    /// The build's folder, which only its owner can read.
    pub(crate) folder: PathBuf,
    /// Whether the guest has no network.
    pub(crate) offline: bool,
}

/// What programs say that wanted a network and had none.
const NO_NETWORK: [&str; 7] = [
    "Temporary failure resolving",
    "Temporary failure in name resolution",
    "Could not resolve",
    "Name or service not known",
    "Network is unreachable",
    "bad address",
    "unable to resolve",
];

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
                let step = shell_step(name, shell, timeout, surroundings);
                step.run(session, |_, line| events.output(mask.apply(line))).await
            }
            Step::File(file) => file_step(name, file).run(session).await,
            Step::Download(download) => {
                let (name, source) = (name.clone(), download.source.clone());
                DownloadStep { name, source, target: download.target() }.run(session).await
            }
            Step::Reboot(reboot) => {
                let step = RebootStep {
                    name: name.clone(),
                    command: reboot.command.as_ref().map(|command| command.expose().to_owned()),
                    timeout: reboot.timeout.as_duration(),
                };
                let tell = |progress| events.output(told_progress(progress));
                step.run(session, |_, line| events.output(mask.apply(line)), tell).await
            }
            Step::Ansible(ansible) => {
                let host = AnsibleHost { programs: &surroundings.programs, folder: &surroundings.folder };
                let step = ansible_step(name, ansible);
                step.run(session, host, |_, line| events.output(mask.apply(line))).await
            }
            // Who runs the steps stops there.
            Step::Breakpoint(_) => Ok(()),
        }
    };
    let result = alive(running, async {
        // A script's own programs are ended in good order first.
        let patience = timeout.map_or(Duration::MAX, |timeout| timeout.saturating_add(GRACE));
        match tokio::time::timeout(patience, work).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(StepError::Failed(failed))) => {
                let said = |sign: &str| failed.last_output.iter().any(|line| line.contains(sign));
                let wants_network = surroundings.offline && NO_NETWORK.iter().any(|sign| said(sign));
                Err(Error::StepFailed { told: told(&failed, step, mask), wants_network })
            }
            Ok(Err(StepError::Communicator { source, .. })) => Err(source.into()),
            Ok(Err(error)) => Err(error.into()),
            Err(_elapsed) => {
                Err(Error::StepFailed { told: not_done(timeout.unwrap_or_default()), wants_network: false })
            }
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
        expect_disconnect: shell.expect_disconnect,
        secrets: shell
            .secrets
            .iter()
            .map(|name| (name.clone(), surroundings.secrets.get(name).cloned().unwrap_or_default()))
            .collect(),
    }
}

fn ansible_step(name: &str, ansible: &kiln_template::AnsibleStep) -> AnsibleStep {
    let exposed = |(key, text): (&String, &kiln_template::Text)| (key.clone(), text.expose().to_owned());
    AnsibleStep {
        name: name.to_owned(),
        playbook: ansible.playbook.path.clone(),
        extra_arguments: ansible.extra_arguments.iter().map(|text| text.expose().to_owned()).collect(),
        extra_vars: ansible.extra_vars.iter().map(exposed).collect(),
        groups: ansible.groups.clone(),
        galaxy_file: ansible.galaxy_file.as_ref().map(|file| file.path.clone()),
        user: ansible.user.clone(),
        environment: ansible.environment.iter().map(exposed).collect(),
    }
}

/// Says how far a guest is that is waited for.
pub(crate) fn told_progress(progress: Progress) -> String {
    match progress {
        Progress::Console(line) => line,
        Progress::Reached(Reached::Nothing | Reached::Tcp) => "ssh: no server answers yet".to_owned(),
        Progress::Reached(Reached::Banner) => "ssh: a server answers".to_owned(),
        Progress::Reached(Reached::Login) => "ssh: logs in".to_owned(),
        Progress::Server(server) => format!("ssh: the guest runs {server}"),
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
