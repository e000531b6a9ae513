//! Until an instance answers.

use super::{
    Described, InstanceError, Port, SSH,
    control::{Order, give},
};
use crate::{Error, Kiln};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Pauses between attempts.
const PAUSE: Duration = Duration::from_millis(250);

impl Kiln {
    /// Waits until the ports of an instance answer that its owner named, or SSH where none was.
    ///
    /// # Errors
    /// When it ends meanwhile, or does not answer in time.
    pub async fn wait_for_instance(&self, described: &Described, within: Duration) -> Result<(), Error> {
        let (id, ports) = (described.instance.instance_id, &described.instance.ports);
        let files = self.instance_files(id);
        let named: Vec<&Port> = ports.iter().filter(|port| port.guest != SSH).collect();
        let wanted = if named.is_empty() { ports.iter().collect() } else { named };
        let until = Instant::now() + within;
        for Port { guest: port, .. } in wanted.into_iter().copied() {
            while let Err(error) = give(&files, Order::Answers(port)).await {
                tracing::debug!(%error, port, "no answer yet");
                let now = self.described(id)?;
                let state = now.map_or("terminated", |described| described.state.name.as_str());
                if state != "running" {
                    return Err(InstanceError::IncorrectState { id, what: "waited for", state }.into());
                }
                if Instant::now() > until {
                    return Err(InstanceError::Silent { id, port }.into());
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
