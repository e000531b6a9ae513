//! A small process between `kiln` and what it starts, so that nothing outlives `kiln`.
//!
//! ```text
//! kiln ──standard input, never written to──▶ supervisor ─┬─▶ QEMU
//!                                                        └─▶ swtpm, where the machine has a TPM
//! ```
//! `kiln` holds the only write end of the pipe. However it ends, the pipe closes, the supervisor sees the end of its
//! input and kills its process group. When the supervisor itself is killed, PR_SET_PDEATHSIG kills QEMU: the thread
//! that started QEMU is the supervisor's only one, so that the signal cannot come early, as it does from a pool whose
//! threads end. The supervisor leads a session of its own: Ctrl-C in a terminal reaches `kiln` and not the machine.
//!
//! Exit code: that of the program, or 128 and the number of the signal that ended it.

use crate::{
    command::{AGENT_FD, QMP_FD},
    tpm::{self, Emulator, TPM_FD, Tpm},
};
use command_fds::{CommandFdExt, FdMapping};
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::{Errno, FdFlags, fcntl_setfd},
    process::{
        Pid, PidfdFlags, Resource, Rlimit, Signal, getpgrp, getpid, getppid, kill_process_group, pidfd_open,
        set_parent_process_death_signal, setrlimit, setsid,
    },
};
use std::{
    ffi::{OsStr, OsString},
    io::{self, Read},
    os::{
        fd::{BorrowedFd, FromRawFd, OwnedFd},
        unix::process::{CommandExt, ExitStatusExt},
    },
    path::{Path, PathBuf},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
};

/// What the program inherits beside its standard streams.
const HANDED_OVER: [i32; 2] = [QMP_FD, AGENT_FD];

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
    pub(crate) fn command(&self, tpm: Option<&Tpm>, program: &Path, args: &[OsString]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.args);
        if let Some(Tpm { program, state }) = tpm {
            command.arg(tpm::FLAG).args([program, state]);
        }
        command.arg(program).args(args).stdin(Stdio::piped());
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
                eprintln!("the machine cannot be started: {error}");
            }
            ExitCode::from(NOT_STARTED)
        }
    }
}

fn supervise(args: &[OsString]) -> io::Result<ExitStatus> {
    let (tpm, args) = Tpm::of_arguments(args);
    let Some((program, args)) = args.split_first() else {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "no program is named"));
    };
    // Without a group of its own, ending the group would end the caller's.
    setsid()?;
    // A QEMU that aborts, as it does on some hosts with KVM, would leave the guest's memory and its secrets on disk.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    let mut handed_over = handed_over()?;
    // It goes after the program has, whose exit code is told when both are gone.
    let mut tpm = tpm.map(|tpm| tpm.start()).transpose()?;
    let connection = tpm.as_mut().and_then(Emulator::take_connection);
    handed_over.extend(connection.map(|parent_fd| FdMapping { parent_fd, child_fd: TPM_FD }));
    // What is handed over is closed here: else the other ends would not see the program's end before this process'.
    let mut child = spawn(program, args, handed_over)?;
    let pidfd = pidfd_open(pid_of(&child)?, PidfdFlags::empty())?;
    let stdin = io::stdin();
    loop {
        let mut fds = [PollFd::new(&stdin, PollFlags::IN), PollFd::new(&pidfd, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let (input, ended) = (!fds[0].revents().is_empty(), !fds[1].revents().is_empty());
        if input && io::stdin().lock().read(&mut [0; 64])? == 0 {
            // The whole group: what the program started goes with it, and so does the supervisor.
            child.kill()?;
            kill_process_group(getpgrp(), Signal::KILL)?;
        }
        if ended {
            return child.wait();
        }
    }
}

/// Takes hold of the descriptors that are meant for the program, and keeps every one from what else is started.
fn handed_over() -> io::Result<Vec<FdMapping>> {
    let mut mappings = Vec::new();
    for number in inherited()? {
        #[expect(unsafe_code, reason = "descriptors that were inherited have no owner yet")]
        // SAFETY: it is open, as its link showed, and nothing in this process closes it meanwhile.
        fcntl_setfd(unsafe { BorrowedFd::borrow_raw(number) }, FdFlags::CLOEXEC)?;
        if HANDED_OVER.contains(&number) {
            #[expect(unsafe_code, reason = "descriptors that were inherited have no owner yet")]
            // SAFETY: it is open, and nothing else in this process closes it.
            let parent_fd = unsafe { OwnedFd::from_raw_fd(number) };
            mappings.push(FdMapping { parent_fd, child_fd: number });
        }
    }
    Ok(mappings)
}

/// Lists the descriptors beyond the standard streams, but for the one that lists them.
fn inherited() -> io::Result<Vec<i32>> {
    let folder = Path::new("/proc/self/fd");
    // Names alone: an entry keeps the folder open.
    let names = fs_err::read_dir(folder)?.map(|entry| Ok(entry?.file_name()));
    let names = names.collect::<io::Result<Vec<_>>>()?;
    let still_open = names.iter().filter(|name| fs_err::read_link(folder.join(name)).is_ok());
    let numbers = still_open.filter_map(|name| name.to_str()?.parse().ok());
    Ok(numbers.filter(|number| *number > 2).collect())
}

fn spawn(program: &OsString, args: &[OsString], handed_over: Vec<FdMapping>) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).fd_mappings(handed_over).map_err(io::Error::other)?;
    dies_with_this_process(&mut command);
    command.spawn().map_err(|error| naming(program, &error))
}

pub(crate) fn naming(program: &OsStr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", program.display()))
}

/// Has what the command starts killed when this process dies.
pub(crate) fn dies_with_this_process(command: &mut Command) {
    let supervisor = getpid();
    #[expect(unsafe_code, reason = "the death signal has to be set between fork and exec")]
    // SAFETY: the closure makes two system calls and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            set_parent_process_death_signal(Some(Signal::KILL))?;
            // The supervisor may have died before the signal was set.
            if getppid() == Some(supervisor) { Ok(()) } else { Err(Errno::SRCH.into()) }
        });
    }
}

fn pid_of(child: &Child) -> io::Result<Pid> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    pid.ok_or_else(|| io::Error::other("the child has no process id"))
}

fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().unwrap_or_else(|| SIGNALED + status.signal().unwrap_or_default());
    ExitCode::from(u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}
