//! A machine's TPM: swtpm, beside QEMU under the same supervisor.
//!
//! ```text
//! supervisor ─┬─▶ swtpm ◀─ socket pair ─┐        <state>/tpm2-00.permall
//!             └─▶ QEMU ◀────────────────┘
//! ```
//! swtpm writes its state anew with every command that changes it, and ends when its connection does. The supervisor
//! waits for that: whoever sees the machine's end may read the state.

use crate::{
    Error, Qemu,
    supervisor::{dies_with_this_process, naming},
};
use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{PidfdFlags, pidfd_open},
};
use std::{
    ffi::OsString,
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// The file descriptor that QEMU inherits for its connection to the TPM.
pub(crate) const TPM_FD: i32 = 5;

/// What swtpm inherits its end as.
const OWN_FD: i32 = 3;

/// The program.
pub(crate) const PROGRAM: &str = "swtpm";

/// What tells a supervisor that a program and a folder follow.
pub(crate) const FLAG: &str = "--tpm";

/// It ends within milliseconds.
const ENDS_WITHIN: Timespec = Timespec { tv_sec: 3, tv_nsec: 0 };

/// The TPM of a machine before it is started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tpm {
    /// swtpm.
    pub(crate) program: PathBuf,
    /// The folder of its state; an empty one becomes a new TPM.
    pub(crate) state: PathBuf,
}

impl Tpm {
    /// Prepares the TPM whose state is in that folder.
    pub(crate) fn new(qemu: &Qemu, state: &Path) -> Result<Self, Error> {
        let program = qemu.swtpm.clone().ok_or(Error::NoTpm)?;
        // swtpm itself says of a folder that is missing only that it cannot start.
        fs_err::metadata(state)?;
        Ok(Self { program, state: state.to_owned() })
    }

    /// Takes a TPM from the head of a supervisor's arguments, and returns the rest.
    pub(crate) fn of_arguments(args: &[OsString]) -> (Option<Self>, &[OsString]) {
        match args {
            [flag, program, state, rest @ ..] if flag == FLAG => {
                (Some(Self { program: program.into(), state: state.into() }), rest)
            }
            _ => (None, args),
        }
    }

    /// Starts swtpm. Its log is the caller's standard error.
    pub(crate) fn start(&self) -> io::Result<Emulator> {
        let (qemus, own) = UnixStream::pair()?;
        let mut command = Command::new(&self.program);
        command.args(["socket", "--tpm2", "--terminate"]);
        command.args(["--ctrl", &format!("type=unixio,clientfd={OWN_FD}")]);
        // In its folder: a comma in a path would end swtpm's option.
        command.args(["--tpmstate", "dir=.,mode=0600"]).current_dir(&self.state);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let own = FdMapping { parent_fd: own.into(), child_fd: OWN_FD };
        command.fd_mappings(vec![own]).map_err(io::Error::other)?;
        dies_with_this_process(&mut command);
        let child = command.spawn().map_err(|error| naming(self.program.as_os_str(), &error))?;
        Ok(Emulator { child, connection: Some(qemus.into()) })
    }
}

/// A TPM that runs.
#[derive(Debug)]
pub(crate) struct Emulator {
    child: Child,
    connection: Option<OwnedFd>,
}

impl Emulator {
    /// Takes QEMU's end of the connection; there is one.
    pub(crate) fn take_connection(&mut self) -> Option<OwnedFd> {
        self.connection.take()
    }
}

/// QEMU is gone by then, and the connection with it.
impl Drop for Emulator {
    fn drop(&mut self) {
        drop(self.connection.take());
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let Some(Ok(pidfd)) = pid.map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
            poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&ENDS_WITHIN)).ok();
        }
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tpm_stands_before_the_program() {
        let args = ["--tpm", "/bin/swtpm", "/state", "qemu", "--tpm"].map(OsString::from);
        let (tpm, rest) = Tpm::of_arguments(&args);
        assert_eq!(tpm, Some(Tpm { program: "/bin/swtpm".into(), state: "/state".into() }));
        assert_eq!(rest, ["qemu", "--tpm"]);
        assert_eq!(Tpm::of_arguments(rest), (None, rest));
    }
}
