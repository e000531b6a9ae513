//! An SSH server of the build's own, put into an image before it boots: it starts as soon as the guest has its file systems,
//! without cloud-init, the image's network configuration or its own server.
//!
//! ```text
//! /etc/kiln-build/{start,sshd_config,host_key,authorized_keys}
//! /etc/systemd/system/kiln-build.service   and the link that starts it, in basic.target.wants/
//! /etc/cloud/cloud-init.disabled           unless it is there, or cloud-init is wanted
//! ```
//! All of it goes through the agent before the guest boots, and is taken out through the agent once it is off.

use super::{KeyPair, SshError};
use crate::communicator::{
    AgentError,
    agent::{AgentSession, Exec, ExitStatus, Upload, UploadContent},
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, time::Duration};

/// The port that the server listens on; the image's own has the usual one.
pub const PORT: u16 = 50022;

const FACTS: &str = include_str!("fast_boot/facts.sh");
const HIDE: &str = include_str!("fast_boot/hide.sh");
const SHOW: &str = include_str!("fast_boot/show.sh");
const START: &str = include_str!("fast_boot/start.sh");
const UNIT: &str = include_str!("fast_boot/kiln-build.service");
const SSHD_CONFIG: &str = include_str!("fast_boot/sshd_config");

const FOLDER: &str = "/etc/kiln-build";
const UNIT_FILE: &str = "/etc/systemd/system/kiln-build.service";
const WANTS: &str = "/etc/systemd/system/basic.target.wants";
const LINK: &str = "/etc/systemd/system/basic.target.wants/kiln-build.service";
const CLOUD_INIT_OFF: &str = "/etc/cloud/cloud-init.disabled";
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// A script of these takes moments.
const WITHIN: Duration = Duration::from_secs(60);

/// Who is let in, and what the guest shows them.
#[derive(Debug, Clone)]
pub struct Access {
    /// The line of `authorized_keys`; it lets in as every user of the guest.
    pub authorized_key: String,
    /// The guest's host key.
    pub host_key: KeyPair,
    /// Whether cloud-init does its work nevertheless.
    pub cloud_init: bool,
}

/// Why an image cannot be booted so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// Its init is another.
    NoSystemd,
    /// It has no OpenSSH server.
    NoSshd,
    /// Its root may not log in.
    RootLocked,
    /// SELinux is enforced, and would refuse what lies where it expects nothing.
    SeLinux,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSystemd => "its init is not systemd",
            Self::NoSshd => "it has no OpenSSH server (package openssh-server)",
            Self::RootLocked => "its root account is locked",
            Self::SeLinux => "SELinux is enforced in it",
        })
    }
}

/// Why nothing was put into an image.
#[derive(Debug, thiserror::Error)]
pub enum FastBootError {
    /// The image is not fit for it; another way may be.
    #[error("the image cannot be booted with an SSH server of the build's own: {0}")]
    Unfit(Unfit),
    /// The key cannot be written.
    #[error(transparent)]
    Key(#[from] SshError),
    /// The agent failed.
    #[error(transparent)]
    Agent(#[from] AgentError),
}

/// What was put into an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use = "it must be taken out again"]
pub struct Placed {
    /// Files and folders, in the order in which they go.
    paths: Vec<Cow<'static, str>>,
}

/// Puts everything into an image that the agent has mounted.
///
/// # Errors
/// [`FastBootError::Unfit`] where this cannot work; nothing was written then.
pub async fn put(session: &mut AgentSession, access: &Access) -> Result<Placed, FastBootError> {
    let facts = run(session, FACTS).await?;
    let has = |word: &str| facts.lines().any(|line| line == word);
    let unfit = [
        (!has("systemd"), Unfit::NoSystemd),
        (!has("sshd"), Unfit::NoSshd),
        (has("locked"), Unfit::RootLocked),
        (has("selinux"), Unfit::SeLinux),
    ];
    if let Some((_, why)) = unfit.into_iter().find(|(is_so, _)| *is_so) {
        return Err(FastBootError::Unfit(why));
    }
    let mut paths = vec![LINK, UNIT_FILE, FOLDER];
    let private = access.host_key.private_openssh()?;
    let key = format!("{}\n", access.authorized_key.trim());
    let mut files = vec![
        ("/etc/kiln-build/start", START, 0o755),
        ("/etc/kiln-build/sshd_config", SSHD_CONFIG, 0o644),
        ("/etc/kiln-build/host_key", &private, 0o600),
        ("/etc/kiln-build/authorized_keys", &key, 0o644),
        (UNIT_FILE, UNIT, 0o644),
    ];
    if has("cloud-init") && !access.cloud_init {
        paths.push(CLOUD_INIT_OFF);
        files.push((CLOUD_INIT_OFF, "", 0o644));
    }
    if has("no-resolv.conf") {
        // What a file system is bound over must be there.
        paths.push(RESOLV_CONF);
        files.push((RESOLV_CONF, "", 0o644));
    }
    for (destination, text, mode) in files {
        let (content, destination) = (UploadContent::Bytes(text.into()), destination.to_owned());
        session.upload(&Upload { content, destination, mode: Some(mode), owner: None }).await?;
    }
    run(session, &format!("mkdir -p {WANTS} && ln -sfn {UNIT_FILE} {LINK}")).await?;
    Ok(Placed { paths: paths.into_iter().map(Cow::Borrowed).collect() })
}

/// Takes everything out of the image again, once the guest is off and the agent has mounted its root.
///
/// # Errors
/// When it cannot be taken out.
pub async fn remove(session: &mut AgentSession, placed: &Placed) -> Result<(), AgentError> {
    run(session, &placed.removal()).await.map(drop)
}

impl Placed {
    /// Returns the shell script that takes the keys off the disk, while the guest runs: its disk can be kept then. They stay in
    /// the guest's memory.
    #[must_use]
    pub fn hiding(&self) -> String {
        HIDE.to_owned()
    }

    /// Returns the shell script that puts the keys where the guest finds them when it boots again.
    #[must_use]
    pub fn showing(&self) -> String {
        SHOW.to_owned()
    }

    /// Returns the shell script that takes everything out, for a guest in which no agent can run. The server goes on until
    /// the guest is off.
    #[must_use]
    pub fn removal(&self) -> String {
        let mut script = String::new();
        for path in &self.paths {
            script.push_str(match path.as_ref() {
                // A step may have filled it; then it is the image's.
                RESOLV_CONF => "umount /etc/resolv.conf 2>/dev/null; [ -s /etc/resolv.conf ] || rm -f ",
                _ => "rm -rf ",
            });
            script.push_str(path);
            script.push('\n');
        }
        script + "rmdir " + WANTS + " 2>/dev/null || true\n"
    }
}

/// Runs a script as the agent's guest has it, and returns what it printed.
async fn run(session: &mut AgentSession, script: &str) -> Result<String, AgentError> {
    let argv = ["/bin/sh", "-c", script].map(str::to_owned).to_vec();
    let (mut printed, mut said) = (Vec::new(), Vec::new());
    let exec = Exec { argv, ..Exec::default() };
    let ended = session.exec(&exec, Some(WITHIN), |stream, bytes| match stream {
        kiln_agent::Stream::Stdout => printed.extend_from_slice(bytes),
        kiln_agent::Stream::Stderr => said.extend_from_slice(bytes),
    });
    match ended.await? {
        ExitStatus::Exited(0) => Ok(String::from_utf8_lossy(&printed).into_owned()),
        status => {
            let said = String::from_utf8_lossy(&said);
            let message = format!("{status}: {}", said.trim());
            Err(AgentError::Refused { doing: "preparing the image for SSH".to_owned(), message })
        }
    }
}

#[cfg(test)]
mod tests;
