//! Starting the appliance: from a saved state where there is one, else by booting it.
//!
//! ```text
//! start_appliance ─ state found ─▶ QEMU takes the memory in ─▶ greet ─▶ plug the disks ─▶ Warm
//!        │                              └ anything fails: the state is deleted ─┐
//!        ├ none yet ◀──────────────────────────────────────────────────────────┘
//!        │     └▶ boot without disks ─▶ greet ─▶ save ─▶ plug the disks ─▶ Cold, ColdAfter(why)
//!        └ no folder, or a machine that cannot be saved ─▶ boot with its disks ─▶ greet ─▶ Cold
//! ```
//! A machine is saved before it has a disk, so that one state serves every image, and its agent is idle then. Two machines
//! that are restored from one state would draw the same random numbers: the greeting brings the host's, and its clock.
//!
//! Under KVM that nobody has tried on this host yet, the same start is the test: an agent that does not answer within
//! seconds is not going to, and TCG takes over. See [`KvmProbe`](crate::KvmProbe).

mod kernel;
mod key;
mod migrate;
pub(crate) mod plug;
mod states;

use crate::{
    Choice, Error, Qemu, Running, Supervisor,
    communicator::{AgentError, agent::AgentSession},
    config::{Accelerator, Boot, Interface, MachineConfig},
    death::Death,
    launch::{Launch, launch},
};
use key::Key;
use states::{Found, States};
use std::{path::Path, time::Duration};
use tokio::time::timeout;

/// The agent's start takes 3 to 10 seconds under TCG; a loaded host takes several times as long.
const AGENT_WITHIN: Duration = Duration::from_secs(120);

/// Under KVM the agent answers within a second or two, or, where the host's KVM hangs, never.
const KVM_WITHIN: Duration = Duration::from_secs(10);

/// A restored agent has nothing to do but to answer.
const RESTORED_WITHIN: Duration = Duration::from_secs(30);

/// QEMU's end is known a moment after the connection broke.
const DEATH_WITHIN: Duration = Duration::from_secs(2);

/// How an appliance was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Booted.
    Cold,
    /// Restored from its saved state.
    Warm,
    /// Booted, since a saved state was of no use, or none could be made: why.
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
/// states; without one every start is cold. Where KVM was chosen without having been tried and does not work, TCG runs
/// the machine, and [`Running::fallback`] says why.
///
/// # Errors
/// When QEMU cannot be started, ends, or the agent does not answer.
pub async fn start_appliance(
    qemu: &Qemu,
    supervisor: &Supervisor,
    config: &MachineConfig,
    choice: &Choice,
    states: Option<&Path>,
) -> Result<Appliance, Error> {
    let starter = |config, within| Starter { qemu, supervisor, config, within };
    if !choice.may_fall_back {
        return starter(config, AGENT_WITHIN).start(states).await;
    }
    let why = match starter(config, KVM_WITHIN).start(states).await {
        Ok(appliance) => {
            choice.remember(None);
            return Ok(appliance);
        }
        Err(Error::Died(death)) => death.first_line(),
        Err(error @ (Error::Agent(_) | Error::QmpSilent { .. })) => error.to_string(),
        Err(error) => return Err(error),
    };
    let fallback = MachineConfig { accelerator: Accelerator::Tcg, ..config.clone() };
    let mut appliance = starter(&fallback, AGENT_WITHIN).start(states).await?;
    // An appliance that starts under neither says nothing about KVM.
    choice.remember(Some(&why));
    appliance.running.fell_back(why);
    Ok(appliance)
}

/// Everything that a start needs.
#[derive(Clone, Copy)]
struct Starter<'a> {
    qemu: &'a Qemu,
    supervisor: &'a Supervisor,
    config: &'a MachineConfig,
    /// How long the agent's first answer may take.
    within: Duration,
}

impl Starter<'_> {
    async fn start(self, states: Option<&Path>) -> Result<Appliance, Error> {
        let Some(folder) = states.filter(|_| can_be_saved(self.config)) else {
            return self.boot(Start::Cold).await;
        };
        let key = Key::new(self.qemu, self.config).await?;
        let states = States::new(folder);
        let why = match states.find(&key) {
            Found::Nothing => None,
            Found::Refused(why) => return self.boot(Start::ColdAfter(why)).await,
            Found::Unusable(why) => Some(why),
            Found::Saved(saved) => match self.restore(&saved).await {
                Ok((running, session)) => {
                    plug::disks(&running, self.config).await?;
                    return Ok(Appliance { running, session, how: Start::Warm });
                }
                Err(error) => {
                    states.discard(&key);
                    Some(format!("the saved machine did not come up: {}", first_line(&error)))
                }
            },
        };
        self.boot_and_save(&states, &key, why).await
    }

    /// Boots the machine as it is to be.
    async fn boot(self, how: Start) -> Result<Appliance, Error> {
        let running = launch(self.qemu, self.supervisor, self.config, Launch::Whole).await?;
        let (running, session) = greet(running, self.within).await?;
        Ok(Appliance { running, session, how })
    }

    async fn restore(self, saved: &states::Saved) -> Result<(Running, AgentSession), Error> {
        let placeholder = if saved.unpacked { Some(kernel::placeholder(self.config)?) } else { None };
        let config = kernel::instead(self.config, placeholder.as_ref());
        let running = launch(self.qemu, self.supervisor, &config, Launch::Restored).await?;
        let restored = alive(&running, migrate::restore(running.qmp(), &saved.memory)).await;
        match restored {
            Ok(()) => greet(running, RESTORED_WITHIN.min(self.within)).await,
            Err(error) => {
                running.kill().await;
                Err(error)
            }
        }
    }

    async fn boot_and_save(
        self,
        states: &States,
        key: &Key,
        why: Option<String>,
    ) -> Result<Appliance, Error> {
        let unpacked = kernel::unpacked(self.config).await;
        let config = kernel::instead(self.config, unpacked.as_ref());
        let running = launch(self.qemu, self.supervisor, &config, Launch::WithoutDisks).await?;
        let (running, session) = greet(running, self.within).await?;
        if !session.guest().hot_plug {
            running.kill().await;
            let why = format!("the kernel {} takes no disks while it runs", session.guest().kernel);
            states.refuse(key, &why);
            return self.boot(Start::ColdAfter(why)).await;
        }
        let saved = alive(&running, migrate::save(running.qmp(), states)).await;
        let why = match saved {
            Ok(staged) => {
                staged.publish(states, key, unpacked.is_some());
                why
            }
            Err(Error::Died(death)) => return Err(death.into()),
            Err(error) => Some(format!("the machine could not be saved: {error}")),
        };
        alive(&running, migrate::go_on(running.qmp())).await?;
        plug::disks(&running, self.config).await?;
        Ok(Appliance { running, session, how: why.map_or(Start::Cold, Start::ColdAfter) })
    }
}

/// Says whether a state of this machine can be saved without its disks and serve again: nothing in it may be the caller's
/// own, and nothing may write to a file.
fn can_be_saved(config: &MachineConfig) -> bool {
    let plain = config.tpm.is_none() && config.media.is_empty() && config.extra_args.is_empty();
    let plugged = config.disks.iter().all(|disk| disk.interface == Interface::VirtioBlk);
    plain && plugged && matches!(config.boot, Boot::Kernel { .. }) && config.disks.len() <= plug::MOST_DISKS
}

/// Greets the agent; a machine whose agent does not answer is ended.
async fn greet(mut running: Running, within: Duration) -> Result<(Running, AgentSession), Error> {
    let stream = running.take_agent().ok_or(Error::NoAgentPort)?;
    match alive(&running, AgentSession::connect(stream, within)).await {
        Ok(session) => Ok((running, session)),
        Err(error) => {
            running.kill().await;
            Err(error)
        }
    }
}

/// Waits for work in a machine, or for its death, which says more than the connections that break with it.
async fn alive<T, E: Into<Error>>(
    running: &Running,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Error> {
    let error: Error = tokio::select! {
        biased;
        result = work => match result {
            Ok(value) => return Ok(value),
            Err(error) => error.into(),
        },
        death = running.death() => return Err(death.into()),
    };
    if !matches!(error, Error::QmpGone { .. } | Error::Agent(AgentError::Disconnected { .. })) {
        return Err(error);
    }
    let death = timeout(DEATH_WITHIN, running.death()).await;
    Err(death.map_or(error, Error::Died))
}

fn first_line(error: &Error) -> String {
    match error {
        Error::Died(death) => Death::first_line(death),
        error => error.to_string(),
    }
}
