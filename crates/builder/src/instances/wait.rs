//! Until an instance answers.
//!
//! QEMU takes every connection to a forwarded port, and cuts it where the guest's is closed: a port answers when a connection
//! lasts, or says something.

use super::{Described, InstanceError, Port, SSH};
use crate::{Error, Kiln};
use std::{net::Ipv4Addr, time::Duration};
use tokio::{
    io::AsyncReadExt,
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// How long a connection has to last.
const LASTS: Duration = Duration::from_millis(500);

/// Pauses between attempts.
const PAUSE: Duration = Duration::from_millis(250);

impl Kiln {
    /// Waits until the ports of an instance answer that its owner named, or SSH where none was.
    ///
    /// # Errors
    /// When it ends meanwhile, or does not answer in time.
    pub async fn wait_for_instance(&self, described: &Described, within: Duration) -> Result<(), Error> {
        let id = described.instance.instance_id;
        let ports = &described.instance.ports;
        let named: Vec<&Port> = ports.iter().filter(|port| port.guest != SSH).collect();
        let wanted = if named.is_empty() { ports.iter().collect() } else { named };
        let until = Instant::now() + within;
        for port in wanted {
            while !answers(port).await {
                let now = self.described(id)?;
                let state = now.map_or("terminated", |described| described.state.name.as_str());
                if state != "running" {
                    return Err(InstanceError::IncorrectState { id, what: "waited for", state }.into());
                }
                if Instant::now() > until {
                    return Err(InstanceError::Silent { id, port: port.guest }.into());
                }
                sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}

async fn answers(port: &Port) -> bool {
    let Some(host) = port.host else { return false };
    let Ok(mut stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, host)).await else { return false };
    match timeout(LASTS, stream.read(&mut [0])).await {
        // The other side waits for us, as web servers do, or speaks first, as SSH's do.
        Err(_lasted) => true,
        Ok(read) => read.is_ok_and(|bytes| bytes > 0),
    }
}
