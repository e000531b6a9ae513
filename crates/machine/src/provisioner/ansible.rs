//! A step that runs a playbook of this host against the guest, with this host's Ansible.
//!
//! ```text
//! <folder>/ansible-…/inventory.json   the guest, and how it is reached
//!                    known_hosts      its host key, and no other
//!                    key              the private key, where there is one
//!                    vars.json        variables of the play
//!                    roles, collections   what the step's galaxy file asks for
//! ```
//! Only the owner can read any of it, nothing of it is an argument, and it goes away with the step.

mod files;

use super::{Cause, StepError, StepFailed, Stream, lines::Lines};
use crate::communicator::{
    Session,
    agent::ExitStatus,
    ssh::{Credential, SshSession},
};
use files::Files;
use rustix::process::{Pid, Signal, kill_process_group};
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::Stdio,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
};

/// Bytes that are read of Ansible's output at once.
const CHUNK: usize = 8 << 10;

/// The Debian package.
const PACKAGE: &str = "ansible-core";

/// A playbook to run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AnsibleStep {
    /// The step's name, for errors.
    pub name: String,
    /// The playbook. Ansible runs in its folder.
    pub playbook: PathBuf,
    /// Arguments for `ansible-playbook`. Other users of this host can see them.
    pub extra_arguments: Vec<String>,
    /// Variables of the play.
    pub extra_vars: BTreeMap<String, String>,
    /// Groups of the inventory that the guest is in.
    pub groups: Vec<String>,
    /// Roles and collections for `ansible-galaxy` to install first.
    pub galaxy_file: Option<PathBuf>,
    /// The guest's user that Ansible connects as; `None` is the session's.
    pub user: Option<String>,
    /// Environment variables of Ansible, on this host.
    pub environment: Vec<(String, String)>,
}

/// What Ansible finds on this host.
#[derive(Debug, Clone, Copy)]
pub struct AnsibleHost<'a> {
    /// Folders where programs are looked for.
    pub programs: &'a [PathBuf],
    /// The build's folder, which only its owner can read.
    pub folder: &'a Path,
}

impl AnsibleStep {
    /// Runs the playbook. `on_line` gets every line that Ansible writes.
    ///
    /// # Errors
    /// [`StepError::Failed`] when Ansible ran and did not succeed.
    pub async fn run(
        &self,
        session: &mut Session,
        host: AnsibleHost<'_>,
        on_line: impl FnMut(Stream, &str) + Send,
    ) -> Result<(), StepError> {
        let Session::Ssh(ssh) = session else { return Err(StepError::NeedsSsh { name: self.name.clone() }) };
        let playbook = self.find(host.programs, "ansible-playbook")?;
        let files = Files::write(self, ssh, host.folder).map_err(|source| self.host(host.folder, source))?;
        let mut lines = Lines::new(on_line);
        if let Some(file) = &self.galaxy_file {
            let galaxy = self.find(host.programs, "ansible-galaxy")?;
            let mut command = self.command(&galaxy, ssh, &files);
            command.arg("install").arg("-r").arg(file);
            self.finish(command, &galaxy, &mut lines).await?;
        }
        let mut command = self.command(&playbook, ssh, &files);
        command.arg("--inventory").arg(files.inventory()).arg("--extra-vars").arg(files.vars_argument());
        command.args(&self.extra_arguments).arg("--").arg(&self.playbook);
        self.finish(command, &playbook, &mut lines).await
    }

    fn find(&self, folders: &[PathBuf], program: &'static str) -> Result<PathBuf, StepError> {
        let found = folders.iter().map(|folder| folder.join(program)).find(|path| path.is_file());
        found.ok_or_else(|| StepError::NoProgram { name: self.name.clone(), program, package: PACKAGE })
    }

    fn host(&self, path: &Path, source: io::Error) -> StepError {
        StepError::Host { name: self.name.clone(), path: path.to_owned(), source }
    }

    fn command(&self, program: &Path, ssh: &SshSession, files: &Files) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.playbook.parent().unwrap_or(Path::new("/")))
            .env("ANSIBLE_HOST_KEY_CHECKING", "True")
            .env("ANSIBLE_NOCOLOR", "1")
            .env("ANSIBLE_RETRY_FILES_ENABLED", "False")
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", files.sockets())
            .env("ANSIBLE_ROLES_PATH", first_in(files.path("roles"), ROLES))
            .env("ANSIBLE_COLLECTIONS_PATH", first_in(files.path("collections"), COLLECTIONS))
            .env("PYTHONUNBUFFERED", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own, so that all of it ends with the step.
            .process_group(0)
            .kill_on_drop(true);
        for credential in &ssh.target().credentials {
            if let Credential::Agent(socket) = credential {
                command.env("SSH_AUTH_SOCK", socket);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs a program of Ansible's to its end.
    async fn finish<F: FnMut(Stream, &str) + Send>(
        &self,
        mut command: Command,
        program: &Path,
        lines: &mut Lines<F>,
    ) -> Result<(), StepError> {
        let about = |source| self.host(program, source);
        let mut child = Group(command.spawn().map_err(about)?);
        let (out, errors) = (child.0.stdout.take(), child.0.stderr.take());
        let (Some(mut out), Some(mut errors)) = (out, errors) else {
            return Err(about(io::ErrorKind::BrokenPipe.into()));
        };
        let (mut said, mut complained) = (vec![0; CHUNK], vec![0; CHUNK]);
        let (mut saying, mut complaining) = (true, true);
        while saying || complaining {
            let (stream, bytes, open) = tokio::select! {
                bytes = some(&mut out, &mut said), if saying => (Stream::Stdout, bytes.map_err(about)?, &mut saying),
                bytes = some(&mut errors, &mut complained), if complaining => {
                    (Stream::Stderr, bytes.map_err(about)?, &mut complaining)
                }
            };
            *open = !bytes.is_empty();
            lines.take(stream, bytes);
        }
        let status = child.0.wait().await.map_err(about)?;
        lines.end();
        if status.success() {
            return Ok(());
        }
        let status = match status.code() {
            Some(code) => ExitStatus::Exited(code),
            None => ExitStatus::Signaled(status.signal().unwrap_or_default()),
        };
        let (name, script) = (self.name.clone(), Some(self.playbook.clone()));
        let (cause, last_output) = (Cause::Exit(status), lines.last());
        Err(StepError::Failed(Box::new(StepFailed { name, script, line: None, cause, last_output })))
    }
}

/// Where Ansible looks by itself.
const ROLES: &str = "~/.ansible/roles:/usr/share/ansible/roles:/etc/ansible/roles";
const COLLECTIONS: &str = "~/.ansible/collections:/usr/share/ansible/collections";

/// Puts a folder before others.
fn first_in(folder: PathBuf, others: &str) -> OsString {
    let mut list = folder.into_os_string();
    list.push(":");
    list.push(others);
    list
}

async fn some<'a>(from: &mut (impl AsyncRead + Unpin), buffer: &'a mut [u8]) -> io::Result<&'a [u8]> {
    let count = from.read(buffer).await?;
    Ok(buffer.get(..count).unwrap_or_default())
}

/// A process and what it started. Dropped, all of it is killed.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        // It is known until it has been waited for.
        let pid = self.0.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(pid) = pid {
            kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

#[cfg(test)]
mod tests;
