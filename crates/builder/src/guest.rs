//! A guest that steps run in: a machine, and the connection to it.

use crate::{Error, Events, appliance::AGENT_WITHIN};
use kiln_machine::{Death, Rung, Running, communicator::Session};
use std::time::Duration;

/// How long the appliance has to turn itself off once the agent was told to.
const OFF_WITHIN: Duration = Duration::from_secs(30);

/// QEMU's end is known a moment after the connection broke.
const DEATH_WITHIN: Duration = Duration::from_secs(2);

/// A machine that runs, and the connection over which it is told what to do.
#[derive(Debug)]
pub(crate) struct Guest {
    pub(crate) running: Running,
    pub(crate) session: Session,
}

impl Guest {
    /// Leaves the image whole and turns the machine off. `trim` says whether unused blocks are given back.
    pub(crate) async fn close(self, trim: bool, events: &Events) -> Result<(), Error> {
        let Self { running, session } = self;
        let mut session = match session {
            Session::Agent(session) => session,
            Session::Ssh(session) => return crate::ssh::shut_down(running, session, events).await,
        };
        let finished = bounded("closing the file systems", AGENT_WITHIN, session.finish(trim));
        if alive(&running, finished).await?.relabels {
            events.note("SELinux: the image labels its files when it first boots");
        }
        // The guest may be gone before its answer is here.
        drop(session.power_off().await);
        turned_off(running, OFF_WITHIN, events).await
    }
}

/// Waits until a machine is off that was told to turn itself off.
pub(crate) async fn turned_off(running: Running, within: Duration, events: &Events) -> Result<(), Error> {
    match running.stop(within).await? {
        Rung::Guest => {}
        rung => events.warning(format!("the guest did not turn itself off; ended by {rung:?}")),
    }
    Ok(())
}

/// Waits for work in a guest, or for the guest's death, which says more than the broken connection that comes of it.
pub(crate) async fn alive<T, E: Into<Error>>(
    running: &Running,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let error = tokio::select! {
        biased;
        result = work => match result {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        },
        death = running.death() => return Err(dead(death)),
    };
    if !matches!(error, Error::Communicator(_)) {
        return Err(error);
    }
    let death = tokio::time::timeout(DEATH_WITHIN, running.death()).await;
    Err(death.map_or(error, dead))
}

/// Gives up on a guest that neither works nor dies.
pub(crate) async fn bounded<T, E: Into<Error>>(
    doing: &'static str,
    within: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    match tokio::time::timeout(within, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_elapsed) => Err(Error::GuestStuck { doing, within }),
    }
}

fn dead(death: Death) -> Error {
    Error::Machine(death.into())
}
