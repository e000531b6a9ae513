//! The steps of a template, as the machine runs them.

use crate::{
    Error, Events, OnError, Phase, Terminal,
    guest::{Guest, alive},
    layering::Layers,
    mask::Mask,
    on_error,
    request::Loaded,
    step::{self, Surroundings},
};
use kiln_template::{Provisioner, Step};
use std::time::Duration;

/// A guest that failed a moment ago may need one.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

/// How a step came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did what it was to do.
    Done,
    /// It failed, and the template goes on.
    Failed,
}

/// What the steps of one build share.
#[derive(Clone, Copy)]
pub(crate) struct Provision<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) events: &'a Events,
    pub(crate) mask: &'a Mask,
    pub(crate) on_error: OnError,
    pub(crate) terminal: Option<&'a dyn Terminal>,
    pub(crate) surroundings: &'a Surroundings,
}

impl Provision<'_> {
    /// Runs every step whose result is not there, one after the other, and says how many ran.
    pub(crate) async fn run(&self, guest: &mut Guest, layers: &mut Layers<'_, '_>) -> Result<usize, Error> {
        let provisioners = &self.loaded.template.provisioners;
        let mut ran = 0;
        for (index, provisioner) in provisioners.iter().enumerate() {
            if layers.stops_before(index) {
                break;
            }
            let (number, count) = (index + 1, provisioners.len());
            let phase = self.events.begin(Phase::Step { number, count, name: provisioner.name.clone() });
            if let Some(why) = &provisioner.skipped {
                phase.skipped(why);
                continue;
            }
            if layers.holds(index) {
                phase.cached("");
                continue;
            }
            let result = self.step(guest, provisioner).await;
            let result = result.map_err(|source| Error::Step {
                number,
                name: provisioner.name.clone(),
                template: self.loaded.file_name.clone(),
                line: provisioner.line,
                source: Box::new(source),
            })?;
            layers.after(guest, index, result, self.events).await?;
            ran += 1;
            phase.done("");
        }
        Ok(ran)
    }

    /// Runs a step: pauses, tries, tries again, asks a person, goes on regardless, as the template says.
    async fn step(&self, guest: &mut Guest, provisioner: &Provisioner) -> Result<Outcome, Error> {
        if let Some(pause) = provisioner.pause_before {
            let pause = pause.as_duration();
            alive(&guest.running, async {
                tokio::time::sleep(pause).await;
                Ok::<_, Error>(())
            })
            .await?;
        }
        if let Step::Breakpoint(breakpoint) = &provisioner.step {
            self.breakpoint(guest, breakpoint.note.as_deref()).await?;
            return Ok(Outcome::Done);
        }
        let mut tries = 0;
        loop {
            let Err(error) = self.attempt(guest, provisioner).await else {
                return Ok(Outcome::Done);
            };
            let failed = matches!(error, Error::StepFailed { .. });
            if failed && tries < provisioner.max_retries {
                tries += 1;
                self.events
                    .warning(format!("{error}; trying again ({tries} of {})", provisioner.max_retries));
                tokio::time::sleep(BETWEEN_TRIES).await;
                continue;
            }
            if failed && provisioner.continue_on_error {
                self.events.warning(format!("{error}; going on, as the step says"));
                return Ok(Outcome::Failed);
            }
            if failed
                && self.on_error == OnError::Shell
                && let Some(terminal) = self.terminal
            {
                self.events.warning(format!("{error}\na shell in the guest; leave it to end the build"));
                self.shell(guest, terminal, Some(&provisioner.step)).await?;
            }
            return Err(error);
        }
    }

    /// Runs a step once, and ends what it left running, however it ended.
    async fn attempt(&self, guest: &mut Guest, provisioner: &Provisioner) -> Result<(), Error> {
        let result = step::run(guest, provisioner, self.surroundings, self.mask, self.events).await;
        let Guest { running, session, .. } = guest;
        let keeps = result.is_err() && self.on_error == OnError::Shell;
        // A person looks at what the step left.
        if !keeps && matches!(result, Ok(()) | Err(Error::StepFailed { .. })) {
            alive(running, session.end_step()).await?;
        }
        result
    }

    async fn breakpoint(&self, guest: &mut Guest, note: Option<&str>) -> Result<(), Error> {
        let terminal = self.terminal.ok_or(Error::NoTerminal)?;
        self.events.note(format!(
            "breakpoint{}: a shell in the guest; leave it to go on",
            note.map(|note| format!(" ({note})")).unwrap_or_default()
        ));
        self.shell(guest, terminal, None).await?;
        alive(&guest.running, guest.session.end_step()).await
    }

    async fn shell(
        &self,
        guest: &mut Guest,
        terminal: &dyn Terminal,
        step: Option<&Step>,
    ) -> Result<(), Error> {
        let Guest { running, session, .. } = guest;
        let environment = self.surroundings.environment_of(step);
        alive(running, on_error::shell(session, terminal, environment, self.events)).await
    }
}
