//! Sensitive values as files that only a step's user can read.

use crate::communicator::{
    CommunicatorError, Session,
    agent::{Exec, ExitStatus, Stream, Upload, UploadContent},
};
use std::time::Duration;

/// Where they lie.
const FOLDER: &str = "/run/secrets";

/// A guest's `/run` may be a disk's, and a tmpfs may be swapped out to one: ramfs is neither. The agent's is made anew for
/// each step and its guest has no swap.
const MOUNT: &str = "grep -q ' /run/secrets ' /proc/mounts || { mkdir -p /run/secrets && mount -t ramfs -o mode=0755 \
                     kiln-secrets /run/secrets; }";

const WITHIN: Duration = Duration::from_secs(30);

/// Puts the values there for this user, or root.
pub(super) async fn put(
    session: &mut Session,
    secrets: &[(String, String)],
    user: Option<&str>,
) -> Result<(), CommunicatorError> {
    if secrets.is_empty() {
        return Ok(());
    }
    if matches!(session, Session::Ssh(_)) {
        mount(session).await?;
    }
    for (name, value) in secrets {
        let upload = Upload {
            content: UploadContent::Bytes(value.clone().into_bytes()),
            destination: format!("{FOLDER}/{name}"),
            mode: Some(0o400),
            owner: user.map(str::to_owned),
        };
        session.upload(&upload).await?;
    }
    Ok(())
}

async fn mount(session: &mut Session) -> Result<(), CommunicatorError> {
    let mut said = Vec::new();
    let exec = Exec { argv: ["/bin/sh", "-c", MOUNT].map(str::to_owned).to_vec(), ..Exec::default() };
    let ended = session.exec(&exec, Some(WITHIN), |stream, bytes| {
        if stream == Stream::Stderr {
            said.extend_from_slice(bytes);
        }
    });
    if ended.await? == ExitStatus::Exited(0) {
        return Ok(());
    }
    let message = String::from_utf8_lossy(&said).trim().to_owned();
    Err(CommunicatorError::Guest { doing: "making a place for secrets in memory".to_owned(), message })
}

#[cfg(test)]
mod tests;
