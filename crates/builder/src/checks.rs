//! What a test asks of a guest, and what the guest answers.
//!
//! A built-in check is a small script of the guest's own shell. It ends with 0 where all is well, with 75 (`EX_TEMPFAIL`) where it
//! is not yet and may be soon, and with anything else where it will never be; what it prints says why.

use crate::{
    Error, Events,
    guest::{Guest, alive},
    mask::Mask,
    step::{self, Surroundings},
};
use kiln_machine::communicator::agent::{Exec, ExitStatus};
use kiln_template::{Check, FileCheck, Owner, Provisioner, Step, StepCache, Test};
use std::time::{Duration, Instant};

const BOOTS: &str = include_str!("checks/boots.sh");
const NO_FAILED_UNITS: &str = include_str!("checks/no_failed_units.sh");
const PORT: &str = include_str!("checks/port.sh");
const SERVICE: &str = include_str!("checks/service.sh");
const FILE: &str = include_str!("checks/file.sh");
const PACKAGE: &str = include_str!("checks/package.sh");

/// What a script ends with that is to be asked again.
const NOT_YET: ExitStatus = ExitStatus::Exited(75);

/// Pause before it is.
const PAUSE: Duration = Duration::from_secs(1);

/// A script is given this long for one answer even where less of its test's time is left: what is waited for is the state, and a slow
/// guest's answer still tells it.
const ANSWER: Duration = Duration::from_secs(30);

/// As much of what a program says as stands in a result; the rest is in the events.
const LAST_LINES: usize = 20;

/// What came of a check.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// All is well.
    Passed,
    /// It is not, and why.
    Failed(String),
}

/// What every check of a run finds.
pub(crate) struct Checker<'a> {
    pub(crate) surroundings: &'a Surroundings,
    pub(crate) mask: &'a Mask,
    pub(crate) events: &'a Events,
}

impl Checker<'_> {
    /// Checks what a test asks for.
    ///
    /// # Errors
    /// When the guest cannot be asked any more.
    pub(crate) async fn run(&self, guest: &mut Guest, test: &Test) -> Result<Verdict, Error> {
        let verdict = match &test.check {
            Check::Shell(_) => self.shell(guest, test).await,
            Check::Command { command, exit_code, contains } => {
                let exec = Exec { argv: command.clone(), ..self.exec() };
                let (status, lines) = match self.ask(guest, &exec, test.timeout.as_duration()).await? {
                    Ok(answer) => answer,
                    Err(why) => return Ok(Verdict::Failed(why)),
                };
                Ok(judge(status, *exit_code, contains.as_deref(), &lines))
            }
            builtin => match script(builtin) {
                Some(argv) => self.until_settled(guest, &Exec { argv, ..self.exec() }, test).await,
                None => Ok(Verdict::Passed),
            },
        }?;
        let Guest { running, session } = guest;
        alive(running, session.end_step()).await?;
        Ok(verdict)
    }

    fn exec(&self) -> Exec {
        Exec { environment: self.surroundings.environment_of(None), ..Exec::default() }
    }

    /// Runs a test's own commands, as a step.
    async fn shell(&self, guest: &mut Guest, test: &Test) -> Result<Verdict, Error> {
        let Check::Shell(shell) = &test.check else { return Ok(Verdict::Passed) };
        let step = Provisioner {
            name: test.name.clone(),
            line: test.line,
            variables: test.variables.clone(),
            skipped: None,
            pause_before: None,
            timeout: Some(test.timeout),
            max_retries: 0,
            continue_on_error: false,
            cache: StepCache::Never,
            step: Step::Shell(shell.clone()),
        };
        match step::run(guest, &step, self.surroundings, self.mask, self.events).await {
            Ok(()) => Ok(Verdict::Passed),
            Err(Error::StepFailed { told, .. }) => Ok(Verdict::Failed(told)),
            Err(error) => Err(error),
        }
    }

    /// Asks a script until it knows, or the time is up.
    async fn until_settled(&self, guest: &mut Guest, exec: &Exec, test: &Test) -> Result<Verdict, Error> {
        let (begun, timeout) = (Instant::now(), test.timeout.as_duration());
        loop {
            let left = timeout.saturating_sub(begun.elapsed());
            let (status, lines) = match self.ask(guest, exec, left.max(ANSWER)).await? {
                Ok(answer) => answer,
                Err(why) => return Ok(Verdict::Failed(why)),
            };
            let why = lines.join("\n");
            match status {
                ExitStatus::Exited(0) => return Ok(Verdict::Passed),
                NOT_YET if begun.elapsed() + PAUSE < timeout => tokio::time::sleep(PAUSE).await,
                NOT_YET => {
                    return Ok(Verdict::Failed(format!("{why}, after {}s", timeout.as_secs_f64().ceil())));
                }
                status if why.is_empty() => return Ok(Verdict::Failed(status.to_string())),
                _ => return Ok(Verdict::Failed(why)),
            }
        }
    }

    /// Runs a program and returns how it ended and the last lines that it wrote, or why it did not end.
    async fn ask(
        &self,
        guest: &mut Guest,
        exec: &Exec,
        timeout: Duration,
    ) -> Result<Result<(ExitStatus, Vec<String>), String>, Error> {
        let mut said = Vec::new();
        let Guest { running, session } = guest;
        let asked = session.exec(exec, Some(timeout), |_, bytes| said.extend_from_slice(bytes));
        let ended = alive(running, asked).await;
        let lines = String::from_utf8_lossy(&said);
        let lines: Vec<_> = lines.lines().map(|line| self.mask.apply(line)).collect();
        match ended {
            Ok(status) => Ok(Ok((status, lines))),
            Err(Error::Communicator(error)) if error.timed_out().is_some() => {
                Ok(Err(format!("not done after {}s", timeout.as_secs_f64().ceil())))
            }
            Err(Error::Communicator(error)) if error.is_refused() => Ok(Err(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// Judges a program by how it ended and what it said.
fn judge(status: ExitStatus, expected: u8, contains: Option<&str>, lines: &[String]) -> Verdict {
    let said = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n");
    if status != ExitStatus::Exited(expected.into()) {
        return Verdict::Failed(
            format!("{status}, not exit status {expected}\n{said}").trim_end().to_owned(),
        );
    }
    match contains {
        Some(text) if !lines.iter().any(|line| line.contains(text)) => {
            Verdict::Failed(format!("no line of its output holds: {text}\n{said}").trim_end().to_owned())
        }
        _ => Verdict::Passed,
    }
}

/// Returns the program that looks at what a built-in check is about, where a guest is asked at all.
fn script(check: &Check) -> Option<Vec<String>> {
    let (script, arguments) = match check {
        Check::Shell(_) | Check::Command { .. } | Check::UniqueMachineId => return None,
        Check::Boots => (BOOTS, Vec::new()),
        Check::NoFailedUnits => (NO_FAILED_UNITS, Vec::new()),
        Check::Port { port } => (PORT, vec![port.to_string()]),
        Check::Service { service, enabled } => {
            (SERVICE, vec![service.clone(), enabled.map(|enabled| enabled.to_string()).unwrap_or_default()])
        }
        Check::File(FileCheck { path, mode, owner, contains, absent }) => {
            let mode = mode.map(|mode| format!("{mode:o}")).unwrap_or_default();
            let owner = owner.as_ref().map(whole).unwrap_or_default();
            let contains = contains.clone().unwrap_or_default();
            (FILE, vec![path.clone(), absent.to_string(), mode, owner, contains])
        }
        Check::Package { package, version, absent } => {
            (PACKAGE, vec![package.clone(), absent.to_string(), version.clone().unwrap_or_default()])
        }
    };
    let program = ["/bin/sh", "-c", script, "check"].map(str::to_owned);
    Some(program.into_iter().chain(arguments).collect())
}

fn whole(owner: &Owner) -> String {
    match &owner.group {
        Some(group) => format!("{}:{group}", owner.user),
        None => owner.user.clone(),
    }
}
