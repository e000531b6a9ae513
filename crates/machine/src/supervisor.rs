//! A small process between `kiln` and what it starts, so that nothing outlives `kiln`.
//!
//! ```text
//! kiln ──standard input, never written to──▶ supervisor ──▶ QEMU
//! ```
//! `kiln` holds the only write end of the pipe. However it ends, the pipe closes, the supervisor sees the end of its
//! input and kills its process group. When the supervisor itself is killed, PR_SET_PDEATHSIG kills QEMU: the thread
//! that started QEMU is the supervisor's only one, so that the signal cannot come early, as it does from a pool whose
//! threads end. The supervisor leads a session of its own: Ctrl-C in a terminal reaches `kiln` and not the machine.
//!
//! Exit code: that of the program, or 128 and the number of the signal that ended it.

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{PidfdFlags, Signal, kill_process_group, pidfd_open, set_parent_process_death_signal, setsid},
};
use std::{
    ffi::OsString,
    io::{self, Read},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::PathBuf,
    process::{Command, ExitCode, ExitStatus, Stdio},
};

/// What the exit code of a signal starts from, as in a shell.
pub(crate) const SIGNALED: i32 = 128;

/// The exit code where the program could not be started at all.
const NOT_STARTED: u8 = 127;

/// How a supervisor is started: `kiln` starts itself.
#[derive(Debug, Clone)]
pub struct Supervisor {
    /// The program.
    pub program: PathBuf,
    /// Arguments that make it call [`supervise_main`] with what follows them.
    pub args: Vec<OsString>,
}

impl Supervisor {
    /// Returns the command that runs `program` under supervision. Its standard input must be a pipe, and what holds
    /// the other end decides how long the program lives.
    pub(crate) fn command(&self, program: &std::path::Path, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args).arg(program).args(args).stdin(Stdio::piped());
        command
    }
}

/// Runs the program that the arguments name, until it ends or standard input does.
pub fn supervise_main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let args: Vec<OsString> = args.collect();
    match supervise(&args) {
        Ok(status) => exit_code(status),
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "standard error is a log that the caller reads")]
            {
                eprintln!(
                    "{} cannot be run: {error}",
                    args.first().cloned().unwrap_or_default().to_string_lossy()
                );
            }
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn supervise(args: &[OsString]) -> io::Result<ExitStatus> {
    let Some((program, args)) = args.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    // A process that leads a group already cannot make a session; the session is then the caller's.
    setsid().ok();
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null());
    #[expect(unsafe_code, reason = "the death signal has to be set between fork and exec")]
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe {
        command.pre_exec(|| Ok(set_parent_process_death_signal(Some(Signal::KILL))?));
    }
    let mut child = command.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| io::Error::other("the child has no process id"))?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    loop {
        let stdin = io::stdin();
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let input_ended = !fds[0].revents().is_empty() && io::stdin().lock().read(&mut [0; 64])? == 0;
        if input_ended {
            // The whole group: what the program started goes with it, and so does the supervisor.
            child.kill()?;
            kill_process_group(rustix::process::getpgrp(), Signal::KILL)?;
        }
        if !fds[1].revents().is_empty() {
            return child.wait();
        }
    }
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| SIGNALED + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
