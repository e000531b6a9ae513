//! Starting the appliance.

use crate::{
    Choice, Error, Qemu, Running, Supervisor, communicator::agent::AgentSession, config::MachineConfig, start,
};
use std::{path::Path, time::Duration};

/// The agent's start takes 3 to 10 seconds under TCG; a loaded host takes several times as long.
const AGENT_WITHIN: Duration = Duration::from_secs(120);

/// How an appliance was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Booted.
    Cold,
    /// Restored from its saved state.
    Warm,
    /// Booted, since a saved state was of no use: why.
    ColdAfter(String),
}

/// An appliance whose agent listens.
#[derive(Debug)]
pub struct Appliance {
    /// The machine.
    pub running: Running,
    /// The connection to its agent.
    pub session: AgentSession,
    /// How it was started.
    pub how: Start,
}

/// Starts a machine whose guest runs the agent, with its disks, and greets the agent. `states` is the folder of saved
/// states; without one every start is cold.
///
/// # Errors
/// When QEMU cannot be started, ends, or the agent does not answer.
pub async fn start_appliance(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    choice: &Choice,
    _states: Option<&Path>,
) -> Result<Appliance, Error> {
    let mut running = start(qemu, supervisor, config, choice).await?;
    let stream = running.take_agent().ok_or(Error::NoAgentPort)?;
    let session = AgentSession::connect(stream, AGENT_WITHIN);
    let session = tokio::select! {
        biased;
        session = session => session,
        death = running.death() => return Err(death.into()),
    };
    match session {
        Ok(session) => Ok(Appliance { running, session, how: Start::Cold }),
        Err(error) => Err(tokio::time::timeout(Duration::from_secs(2), running.death())
            .await
            .map_or(Error::Agent(error), Error::Died)),
    }
}
