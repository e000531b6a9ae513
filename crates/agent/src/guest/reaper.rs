//! Children: started here, and waited for without losing the status of any.
//!
//! PID 1 inherits every orphan of the guest and must wait for it, or what polls for a daemon's end never sees it. A
//! `wait` for just anyone could take away the status of a program that was started here, or of one whose start failed and
//! whom the standard library waits for itself. So the reaper only looks (`WNOWAIT`) until it holds the lock under which
//! programs are started.

use super::lock;
use crate::model::ExitStatus;
use rustix::{
    io::Errno,
    pipe::{PipeFlags, pipe_with},
    process::{Pid, WaitId, WaitIdOptions, WaitOptions, WaitStatus, wait, waitid},
};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, Read, Write},
    os::{fd::OwnedFd, unix::process::ExitStatusExt},
    process::{self, ChildStderr, ChildStdout, Command},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::Duration,
};

/// Starts programs and tells when they end. Clones share the children.
#[derive(Clone, Default)]
pub(crate) struct Reaper(Arc<Shared>);

#[derive(Default)]
struct Shared {
    /// The write ends of [`Ending`]s. `None` where this process is not PID 1: then each child has a thread that waits.
    watched: Mutex<Option<HashMap<Pid, OwnedFd>>>,
    started: Condvar,
}

/// Becomes readable when the child has ended.
pub(crate) struct Ending(pub(crate) File);

impl Ending {
    /// Waits for the end and returns the status.
    pub(crate) fn status(&mut self) -> io::Result<ExitStatus> {
        let mut bytes = [0; 5];
        self.0.read_exact(&mut bytes)?;
        let [signaled, number @ ..] = bytes;
        let number = i32::from_le_bytes(number);
        Ok(if signaled == 1 { ExitStatus::Signaled(number) } else { ExitStatus::Exited(number) })
    }
}

fn announce(end: OwnedFd, status: ExitStatus) {
    let (signaled, number) = match status {
        ExitStatus::Exited(code) => (0, code),
        ExitStatus::Signaled(signal) => (1, signal),
    };
    let mut bytes = vec![signaled];
    bytes.extend_from_slice(&number.to_le_bytes());
    // Whoever asked may have gone; five bytes always fit into a pipe.
    File::from(end).write_all(&bytes).ok();
}

impl Reaper {
    /// Starts waiting for everyone, as PID 1 must.
    pub(crate) fn as_init() -> Self {
        let reaper = Self::default();
        *lock(&reaper.0.watched) = Some(HashMap::new());
        let waiting = reaper.clone();
        thread::spawn(move || waiting.reap());
        reaper
    }

    /// Starts a program. Its status comes through [`Ending`] alone.
    pub(crate) fn spawn(&self, command: &mut Command) -> io::Result<Running> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
        let mut watched = lock(&self.0.watched);
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a child without a number"))?;
        if let Some(watched) = watched.as_mut() {
            watched.insert(pid, write);
            self.0.started.notify_all();
        } else {
            thread::spawn(move || child.wait().map(|status| announce(write, of(status))));
        }
        Ok(Running { pid, stdout, stderr, ending: Ending(File::from(read)) })
    }

    /// Waits for every child, for ever.
    fn reap(&self) {
        loop {
            match waitid(WaitId::All, WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
                Err(Errno::CHILD) => {
                    let watched = lock(&self.0.watched);
                    drop(self.0.started.wait_timeout(watched, IDLE).unwrap_or_else(PoisonError::into_inner));
                }
                _ => self.take_all(),
            }
        }
    }

    /// Waits for every child that has ended by now.
    fn take_all(&self) {
        let mut watched = lock(&self.0.watched);
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            let end = watched.as_mut().and_then(|watched| watched.remove(&pid));
            if let (Some(end), Some(status)) = (end, meaning(status)) {
                announce(end, status);
            }
        }
    }
}

/// With the last child gone there is nothing to wait for; a start wakes the reaper before this is over.
const IDLE: Duration = Duration::from_secs(1);

/// A program that was started.
pub(crate) struct Running {
    pub(crate) pid: Pid,
    pub(crate) stdout: Option<ChildStdout>,
    pub(crate) stderr: Option<ChildStderr>,
    pub(crate) ending: Ending,
}

fn meaning(status: WaitStatus) -> Option<ExitStatus> {
    let exited = status.exit_status().map(ExitStatus::Exited);
    exited.or_else(|| status.terminating_signal().map(ExitStatus::Signaled))
}

fn of(status: process::ExitStatus) -> ExitStatus {
    let signal = || ExitStatus::Signaled(status.signal().unwrap_or_default());
    status.code().map_or_else(signal, ExitStatus::Exited)
}
